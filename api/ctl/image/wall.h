#pragma once

/*
 * The wall around the tools that read what strangers made. image_wall_enter()
 * is for the child, between fork() and execve().
 */
enum image_wall {
	IMAGE_WALL_WRITES = 1, /* only below the import's folder (Landlock) */
	IMAGE_WALL_USER = 2,   /* root of a user namespace, of nothing else */
};

/*
 * Confines the calling process as kinds (of enum image_wall) says. folder is
 * an open descriptor of the folder that may be written in. What the kernel
 * does not have is left out; docs/images.md says what stands then. Returns 0
 * or a negative errno.
 */
int image_wall_enter(unsigned kinds, int folder);
