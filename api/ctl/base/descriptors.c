/*
 * Inherited descriptors. They are not closed at once, for a person may have
 * meant one for us (/dev/fd/63, as a shell names <(…)), but nobody else is to
 * have them: a pipe that a shim held would never end for its reader.
 */
#include "api/ctl/base/descriptors.h"

#include <dirent.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/syscall.h>
#include <unistd.h>

enum { INHERITED_MAX = 1024, CLOEXEC = 4 /* CLOSE_RANGE_CLOEXEC */ };

/* In no order; of more than fit the others are closed at once. */
static int inherited[INHERITED_MAX];
static unsigned inherited_count;

static void close_from(unsigned first, unsigned flags)
{
	(void)syscall(SYS_close_range, first, ~0U, flags);
}

void descriptors_init(void)
{
	const struct dirent *entry;
	DIR *dir;
	int fd;

	for (fd = 0; fd <= STDERR_FILENO; fd++)
		if (fcntl(fd, F_GETFD) < 0)
			/* The lowest that is free: this one. */
			(void)!open("/dev/null", O_RDWR);
	dir = opendir("/proc/self/fd");
	while (dir && (entry = readdir(dir))) {
		fd = atoi(entry->d_name);
		if (fd <= STDERR_FILENO || fd == dirfd(dir))
			continue;
		if (inherited_count == INHERITED_MAX)
			break;
		inherited[inherited_count++] = fd;
	}
	if (!dir || inherited_count == INHERITED_MAX) {
		inherited_count = 0;
		if (dir)
			closedir(dir);
		close_from(STDERR_FILENO + 1, 0);
		return;
	}
	closedir(dir);
	close_from(STDERR_FILENO + 1, CLOEXEC);
}

/* From first to last; none where that is before. */
static void close_between(int first, int last)
{
	if (first <= last)
		(void)syscall(SYS_close_range, (unsigned)first, (unsigned)last,
			      0);
}

void descriptors_keep(int a, int b)
{
	const int low = a < b ? a : b, high = a < b ? b : a;
	const int first = STDERR_FILENO + 1;

	close_between(first, low - 1);
	close_between(low < first ? first : low + 1, high - 1);
	close_from((unsigned)(high < first ? first : high + 1), 0);
}

void descriptors_drop(void)
{
	while (inherited_count)
		(void)close(inherited[--inherited_count]);
}
