/* Error sentences in a fixed buffer. */
#include "vmm/base/err.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

int err_set(struct err *e, int code, const char *fmt, ...)
{
	va_list ap;

	if (!e)
		return code;
	e->code = code;
	va_start(ap, fmt);
	vsnprintf(e->text, sizeof(e->text), fmt, ap);
	va_end(ap);
	return code;
}

int err_errno(struct err *e, const char *fmt, ...)
{
	int code = errno ? -errno : -EIO;
	size_t at;
	va_list ap;

	if (!e)
		return code;
	e->code = code;
	va_start(ap, fmt);
	vsnprintf(e->text, sizeof(e->text), fmt, ap);
	va_end(ap);
	at = strlen(e->text);
	snprintf(e->text + at, sizeof(e->text) - at, ": %s", strerror(-code));
	return code;
}

int err_context(struct err *e, const char *fmt, ...)
{
	char old[sizeof(e->text)];
	size_t at;
	va_list ap;

	if (!e)
		return -EIO;
	memcpy(old, e->text, sizeof(old));
	va_start(ap, fmt);
	vsnprintf(e->text, sizeof(e->text), fmt, ap);
	va_end(ap);
	at = strlen(e->text);
	snprintf(e->text + at, sizeof(e->text) - at, ": %s", old);
	return e->code;
}
