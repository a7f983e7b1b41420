#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

/* A block of a tar archive: a header (POSIX.1-2017, pax, "ustar Interchange
 * Format"). */
enum { TAR_BLOCK = 512, TAR_NAME_MAX = 4096 };

struct tar_header {
	char name[100];
	char mode[8];
	char uid[8];
	char gid[8];
	char size[12];
	char mtime[12];
	char checksum[8];
	char type;
	char linkname[100];
	char magic[6];
	char version[2];
	char uname[32];
	char gname[32];
	char major[8];
	char minor[8];
	char prefix[155];
	char pad[12];
};

/* Octal, or GNU's base 256 with the top bit set. False if it is neither. */
bool tar_number(const char *field, size_t len, uint64_t *value);

unsigned tar_checksum(const struct tar_header *h);

/* In a child: enters the container's mounts, with no rights but over files. 0,
 * or a positive errno. */
int tar_enter(int mntfd);

/* All of it, or -errno; reading, fewer only at the end. */
ssize_t tar_read_full(int fd, void *data, size_t len);
int tar_write_full(int fd, const void *data, size_t len);

/* What COPY_OUT and COPY_IN do in their child, as a child_fn: @arg is this. */
struct copy {
	int mntfd;
	uint32_t flags;
	const char *path;
};

/* An archive into a directory, for who has entered nothing. */
int tar_unpack(int dir, int in, uint32_t flags, char *sentence, size_t len);

int tar_write(void *arg, int in, int out, char *sentence, size_t len);
int tar_read(void *arg, int in, int out, char *sentence, size_t len);
