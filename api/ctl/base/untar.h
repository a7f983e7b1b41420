#pragma once

#include <stddef.h>

#include "vmm/base/err.h"

/*
 * Unpacks what a guest sends, a tar archive that arrives piece by piece, on
 * the host. The archive is hostile: nothing is written outside the folder it
 * goes to, no link in it is followed, whether the archive's or one that stood
 * there; device nodes, FIFOs and sockets are left out, and so are setuid bits.
 * Files are the caller's own, with the mode less the umask, and keep their
 * times.
 *
 * All is unpacked into a folder of its own first (.mayctl-XXXXXX), so that a
 * copy that fails leaves nothing. One that is killed leaves that folder.
 */
struct untar;

struct untar_rules {
	int dirfd;	  /* borrowed: the folder it goes into */
	const char *from; /* every entry's first part; "." for none */
	const char *as;	  /* its name in dirfd; "" for its contents alone */
};

/* NULL and a sentence where there is nowhere to unpack. */
struct untar *untar_new(const struct untar_rules *rules, struct err *e);

/* 0, or a negative errno and a sentence; then only untar_free() is left. */
int untar_add(struct untar *u, const void *data, size_t len, struct err *e);

/*
 * The archive is whole: puts it in its place. Folders merge with folders that
 * stand there, which keep their modes and times; files and links take the
 * place of files and links. A folder where there is none, or the reverse, is
 * refused before anything is moved.
 */
int untar_end(struct untar *u, struct err *e);

/* Removes what was not put in its place. NULL is fine. */
void untar_free(struct untar *u);
