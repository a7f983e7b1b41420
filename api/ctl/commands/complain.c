/* What mayctl says to whom it can't serve. */
#include <stdarg.h>
#include <stdio.h>

#include "api/ctl/commands/ctl.h"

void ctl_complain(const char *fmt, ...)
{
	va_list ap;

	fputs("mayctl: ", stderr);
	va_start(ap, fmt);
	vfprintf(stderr, fmt, ap);
	va_end(ap);
	fputc('\n', stderr);
}

void ctl_complain_of(const struct args *a)
{
	ctl_complain("%s: can't use the argument '%s'; --help shows how",
		     a->argv[0], a->argv[a->at - 1]);
}
