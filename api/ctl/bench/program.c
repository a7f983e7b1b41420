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
	const struct spawn_how how = {.argv = p->argv, .out = fd, .err = fd};
	struct spawned s;
	int rc = spawn_begin(&s, &how, e);

	if (!rc)
		rc = spawn_wait(&s, ms, NULL, e);
	return rc || !p->says ? rc : check_said(fd, p->says, e);
}

void program_words(const char *const *argv, char *out, size_t size)
{
	size_t len = 0;
	unsigned i;

	for (i = 0; argv[i] && len < size; i++)
		len += (size_t)snprintf(out + len, size - len, "%s%s",
					i ? " " : "", argv[i]);
}

void program_lane(struct lane *lane, const char *name, const struct program *p)
{
	*lane = (struct lane){
		.name = name,
		.once = once,
		.context = (void *)(uintptr_t)p,
	};
	program_words(p->argv, lane->command, sizeof(lane->command));
}

unsigned program_peers(struct lane *lanes, struct program *programs,
		       const struct parts *p, const struct program_peer *all,
		       unsigned count)
{
	unsigned i, n = 0;

	for (i = 0; i < count; i++) {
		if (!*p->peers[all[i].who])
			continue;
		programs[n] = all[i].program;
		program_lane(&lanes[n], peer_name(all[i].who), &programs[n]);
		n++;
	}
	return n;
}
