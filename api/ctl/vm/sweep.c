/*
 * Directories of what is no microVM with a name, and what is left of any that
 * were killed: directories, claims of uids, cgroups.
 */
#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "api/ctl/base/process.h"
#include "api/ctl/vm/cell.h"
#include "api/ctl/vm/folder.h"
#include "api/ctl/vm/place.h"
#include "api/ctl/vm/vm.h"

#define PLACE ".place-"

int vm_make_place(struct vm *vm, struct err *e)
{
	char root[VM_PATH_MAX];
	int rc = place_runtime(root, sizeof(root), e);

	if (rc)
		return rc;
	/* A pid has no two processes; what one before it left is in the way. */
	if (snprintf(vm->dir, sizeof(vm->dir), "%s/" PLACE "%d", root,
		     getpid()) >= (int)sizeof(vm->dir))
		return err_set(e, -ENAMETOOLONG, "%s is too long", root);
	(void)vm_remove(vm, NULL);
	if (mkdir(vm->dir, 0700))
		return err_errno(e, "can't make %s", vm->dir);
	return 0;
}

static int is_place(const struct dirent *entry)
{
	return !strncmp(entry->d_name, PLACE, sizeof(PLACE) - 1);
}

void vm_sweep(void)
{
	struct dirent **entries = NULL;
	char root[VM_PATH_MAX], disk[PATH_MAX];
	struct vm vm = {0};
	int i, count;

	cell_sweep();
	/* Clones that were not yet begun. */
	if (!place_disk(disk, sizeof(disk), NULL))
		folder_sweep(disk);
	if (place_runtime(root, sizeof(root), NULL))
		return;
	count = scandir(root, &entries, is_place, NULL);
	for (i = 0; i < count; i++) {
		const int pid = atoi(entries[i]->d_name + sizeof(PLACE) - 1);

		if (pid > 0 && !process_start_time(pid) &&
		    snprintf(vm.dir, sizeof(vm.dir), "%s/%.32s", root,
			     entries[i]->d_name) < (int)sizeof(vm.dir))
			(void)vm_remove(&vm, NULL);
		free(entries[i]);
	}
	free(entries);
}
