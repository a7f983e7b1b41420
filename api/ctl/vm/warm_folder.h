#pragma once

#include <limits.h>

#include "vmm/base/err.h"

/* What warm.c and warm_make.c have in common. */

/* images/HEX/warm, of images/HEX/rootfs.erofs. */
int warm_folder(const char *image_path, char out[PATH_MAX], struct err *e);

/* A small file as a string: owned; NULL where it can't be read. */
char *warm_read(int dir, const char *path);
