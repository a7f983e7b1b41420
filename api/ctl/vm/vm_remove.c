/* A microVM's files: those that are of no more use, and all of them. */
#include <dirent.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "api/ctl/base/tree.h"
#include "api/ctl/vm/monitor_log.h"
#include "api/ctl/vm/vm.h"

/* Empties a directory of ours, but for what is kept. */
static int remove_files(const char *path, const char *const *kept,
			struct err *e)
{
	DIR *dir = opendir(path);
	const struct dirent *entry;
	unsigned i;

	if (!dir)
		return err_errno(e, "can't open %s", path);
	while ((entry = readdir(dir))) {
		const char *name = entry->d_name;

		for (i = 0; kept[i]; i++)
			if (!strcmp(name, kept[i]))
				name = ".";
		if (strcmp(name, ".") != 0 && strcmp(name, "..") != 0)
			(void)tree_remove(dirfd(dir), name, 0, NULL);
	}
	closedir(dir);
	return 0;
}

void vm_forget(const struct vm *vm)
{
	static const char *const kept[] = {VM_STATE_FILE, "config.json",
					   MONITOR_LOG_FILE, NULL};
	static const char *const on_disk[] = {"console.log", "output",
					      "output.1", NULL};

	(void)remove_files(vm->dir, kept, NULL);
	if (vm->state.disk_dir)
		(void)remove_files(vm->state.disk_dir, on_disk, NULL);
}

int vm_remove(const struct vm *vm, struct err *e)
{
	static const char *const none[] = {NULL};
	/* The state goes last: it tells of the rest. */
	static const char *const state[] = {VM_STATE_FILE, NULL};
	int rc;

	if (vm->state.disk_dir) {
		(void)remove_files(vm->state.disk_dir, none, NULL);
		(void)rmdir(vm->state.disk_dir);
	}
	rc = remove_files(vm->dir, state, e);
	if (!rc)
		rc = remove_files(vm->dir, none, e);
	if (!rc && rmdir(vm->dir))
		rc = err_errno(e, "can't remove %s", vm->dir);
	return rc;
}
