/* Reads what mayfly says of its time. */
#include "api/ctl/bench/phases.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "api/ctl/bench/spawn.h"
#include "vmm/base/fd.h"

enum { PHASES = 5, ROUNDS_MAX = 64, OTHER = PHASES };

static const struct {
	const char *word;
	const char *name;
} table[PHASES] = {
	{" start_us=", "arguments and configuration"},
	{" load_us=", "machine and kernel"},
	{" run_us=", "to the first entry"},
	{" kernel_us=", "guest's kernel, to its init"},
	{" guest_us=", "guest to its end"},
};

/* Of `timing: exec_us=… start_us=…`. What exec takes is not told to it. */
static int read_line(int fd, double us[PHASES])
{
	char text[1024];
	ssize_t n = pread(fd, text, sizeof(text) - 1, 0);
	const char *line;
	unsigned i;

	if (n <= 0 || ftruncate(fd, 0) || lseek(fd, 0, SEEK_SET))
		return -EIO;
	text[n] = '\0';
	line = strstr(text, "timing:");
	for (i = 0; i < PHASES; i++) {
		const char *at = line ? strstr(line, table[i].word) : NULL;

		if (!at)
			return -EBADMSG;
		us[i] = strtod(at + strlen(table[i].word), NULL);
	}
	return 0;
}

static int one_run(const struct spawn_how *how, double us[PHASES + 1],
		   struct err *e)
{
	struct spawned s;
	unsigned i;
	double ms;
	int rc = spawn_begin(&s, how, e);

	if (!rc)
		rc = spawn_wait(&s, &ms, NULL, e);
	if (rc)
		return rc;
	if (read_line(how->err, us))
		return err_set(e, -EBADMSG,
			       "mayfly did not say where its time went");
	us[OTHER] = 1000 * ms;
	for (i = 0; i < PHASES; i++)
		us[OTHER] -= us[i];
	return 0;
}

int phases_measure(struct result *r, const char **argv, unsigned rounds,
		   struct err *e)
{
	double us[PHASES + 1] = {0}, values[PHASES + 1][ROUNDS_MAX];
	CLEAN_FD int fd = memfd_create("timing", MFD_CLOEXEC);
	const struct spawn_how how = {.argv = argv, .err = fd};
	unsigned i, k;
	int rc = 0;

	for (i = 0; argv[i]; i++)
		;
	argv[i] = "--timing";
	argv[i + 1] = NULL;
	rounds = rounds < ROUNDS_MAX ? rounds : ROUNDS_MAX;
	for (k = 0; k < rounds && !rc; k++) {
		rc = one_run(&how, us, e);
		for (i = 0; i <= PHASES && !rc; i++)
			values[i][k] = us[i];
	}
	for (i = 0; i <= PHASES && !rc; i++) {
		const double median = stats_median(values[i], k);

		if (median > 0)
			result_phase(
				r, i == OTHER ? "exec and exit" : table[i].name,
				median);
	}
	return rc;
}
