#pragma once

/*
 * An error a person will read. Control-plane functions return 0 or a negative
 * errno and take a struct err as their last argument; on failure it holds one
 * sentence that says what was wrong and what to do. The buffer is fixed, so
 * reporting an error never allocates. The data path returns the code only.
 */
struct err {
	int code; /* negative errno of the failure, 0 if none */
	char text[512];
};

/*
 * Fills *e (which may be NULL) and returns code, so that a failing function
 * can end with `return err_set(e, -EINVAL, "…")`. code is a negative errno.
 * The text is cut, never overrun. Thread: any, e is the caller's.
 */
int err_set(struct err *e, int code, const char *fmt, ...)
	__attribute__((format(printf, 3, 4)));

/* err_set(e, -errno, …) with `: strerror(errno)` appended. */
int err_errno(struct err *e, const char *fmt, ...)
	__attribute__((format(printf, 2, 3)));

/*
 * Puts context before a text that is already there: "kernel /x: truncated".
 * Returns e->code, so it can end a function too.
 */
int err_context(struct err *e, const char *fmt, ...)
	__attribute__((format(printf, 2, 3)));
