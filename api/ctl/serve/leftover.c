#include "api/ctl/serve/leftover.h"

#include <dirent.h>
#include <fcntl.h>
#include <limits.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "api/ctl/base/process.h"
#include "api/ctl/base/tree.h"
#include "api/ctl/vm/end.h"
#include "api/ctl/vm/place.h"
#include "api/ctl/vm/vm.h"

void leftover_prefix(char out[LEFTOVER_PREFIX])
{
	snprintf(out, LEFTOVER_PREFIX, "serve-%u-%llu", (unsigned)getpid(),
		 (unsigned long long)process_start_time(getpid()));
}

/* Whether a name is of a host's, which is dead. */
static bool is_left(const char *name)
{
	unsigned pid;
	unsigned long long start;
	struct vm_process host;
	int n = 0;

	if (sscanf(name, "serve-%u-%llu-%n", &pid, &start, &n) != 2 || !n)
		return false;
	host = (struct vm_process){.pid = pid, .start = start};
	return !vm_process_is_alive(&host);
}

static int end_left(struct vm *vm, void *context)
{
	(void)context;
	if (vm->state.name && is_left(vm->state.name))
		(void)end_remove(vm->state.name, true, NULL);
	return 0;
}

void leftover_sweep(void)
{
	char place[PATH_MAX];
	const struct dirent *entry;
	DIR *dir;

	(void)vm_each(end_left, NULL, NULL);
	if (place_disk(place, sizeof(place), NULL))
		return;
	dir = opendir(place);
	while (dir && (entry = readdir(dir)))
		if (is_left(entry->d_name))
			(void)tree_remove(dirfd(dir), entry->d_name, 0, NULL);
	if (dir)
		closedir(dir);
}
