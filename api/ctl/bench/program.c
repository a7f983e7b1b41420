/* Runs programs to their end. */
#include "api/ctl/bench/program.h"

#include <errno.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "vmm/base/fd.h"

enum { SAID_MAX = 64 << 10 };

static int check_said(int fd, const char *word, struct err *e)
{
	static char said[SAID_MAX];
	ssize_t n = pread(fd, said, sizeof(said), 0);

	if (n > 0 && memmem(said, (size_t)n, word, strlen(word)))
		return 0;
	return err_set(e, -EBADMSG, "its guest did not say '%s'", word);
}

static int once(void *context, double *ms, struct err *e)
{
	const struct program *p = context;
	CLEAN_FD int fd = p->says ? memfd_create("said", MFD_CLOEXEC) : 0;
	const struct spawn_how how = {.argv = p->argv, .out = fd};
	struct spawned s;
	int rc = spawn_begin(&s, &how, e);

	if (!rc)
		rc = spawn_wait(&s, ms, NULL, e);
	return rc || !p->says ? rc : check_said(fd, p->says, e);
}

void program_lane(struct lane *lane, const char *name, const struct program *p)
{
	size_t len = 0;
	unsigned i;

	*lane = (struct lane){
		.name = name,
		.once = once,
		.context = (void *)(uintptr_t)p,
	};
	for (i = 0; p->argv[i] && len < sizeof(lane->command); i++)
		len += (size_t)snprintf(lane->command + len,
					sizeof(lane->command) - len, "%s%s",
					i ? " " : "", p->argv[i]);
}
