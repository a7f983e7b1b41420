#pragma once

#include <stdbool.h>

#include "vmm/base/err.h"
#include "vmm/base/fd.h"

/*
 * What a monitor is handed as descriptors, so that it has nothing to open: its
 * cell need not have the files, nor the monitor the rights.
 */

enum { HANDED_MAX = 40, HANDED_LIST = 256 };

struct handed {
	int fds[HANDED_MAX];	  /* owned; ascending */
	bool is_file[HANDED_MAX]; /* the monitor may call it fd:N */
	unsigned count;
};

/* `fd:N:NAME`, as the monitor's configuration and its sentences name it. */
struct handed_name {
	char text[80];
};

/* Adds an open descriptor, which is the struct's from here on. */
int handed_add(struct handed *h, int fd, bool is_file, struct err *e);

/*
 * Opens a file for the monitor as fd_open() does; name may be NULL. Returns the
 * descriptor or a negative errno.
 */
int handed_open(struct handed *h, const char *path, int flags,
		enum fd_kind kind, const char *what, struct handed_name *name,
		struct err *e);

/* The same of what is open already; a copy is made, which label names. */
int handed_copy(struct handed *h, int fd, const char *label,
		struct handed_name *name, struct err *e);

/* /dev/kvm, with a sentence that says what to do where it can't be had. */
int handed_open_kvm(struct handed *h, struct err *e);

/* A queue of a tap. */
int handed_open_tap(struct handed *h, const char *tap, struct handed_name *name,
		    struct err *e);

/* One that is open already, and is the struct's from here on. */
int handed_take_tap(struct handed *h, int fd, struct handed_name *name,
		    struct err *e);

/* A file of memory with text in it, which can only be read. */
int handed_write(struct handed *h, const char *text, struct handed_name *name,
		 struct err *e);

/* `3,4,7`: those that are files. */
void handed_list(const struct handed *h, char out[HANDED_LIST]);

void handed_close(struct handed *h);
