/*
 * Reads what jails there are, in two walks: one over the directories, one over
 * /proc. Directories that are not root's or have no `root` are no jails.
 */
#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "jailer/jails/jail.h"
#include "vmm/base/fd.h"

int jail_open(int dir_fd, const char *path, int flags)
{
	const struct open_how how = {
		.flags = (uint64_t)flags | O_CLOEXEC,
		.resolve = RESOLVE_NO_SYMLINKS | RESOLVE_NO_MAGICLINKS |
			   (*path == '/' ? 0 : RESOLVE_BENEATH),
	};
	long fd;

	do
		fd = syscall(SYS_openat2, dir_fd, path, &how, sizeof(how));
	while (fd < 0 && (errno == EINTR || errno == EAGAIN));
	return (int)fd;
}

/*
 * The jailer makes no others, and a base that others may write to could hold
 * names that do things to a terminal.
 */
static bool is_plain(const char *name)
{
	for (; *name; name++)
		if (!isgraph((unsigned char)*name))
			return false;
	return true;
}

/* Calls visit for each directory in fd, until one returns an error. */
static int each_dir(int fd,
		    int (*visit)(struct jail_list *l, int fd, const char *name,
				 const char *above, struct err *e),
		    struct jail_list *l, const char *above, struct err *e)
{
	CLEAN_FD int copy = fcntl(fd, F_DUPFD_CLOEXEC, 3);
	DIR *dir = copy < 0 ? NULL : fdopendir(copy);
	struct dirent *entry;
	int rc = 0;

	if (!dir)
		return err_errno(e, "reading the jails' directory");
	fd_steal(&copy);
	rewinddir(dir);
	while (!rc && (entry = readdir(dir))) {
		CLEAN_FD int sub = -1;

		if (entry->d_name[0] == '.' || !is_plain(entry->d_name))
			continue;
		sub = jail_open(fd, entry->d_name, O_RDONLY | O_DIRECTORY);
		if (sub >= 0)
			rc = visit(l, sub, entry->d_name, above, e);
	}
	closedir(dir);
	return rc;
}

/* A list that the jail's user could have written names nothing. */
static void read_cgroups(int fd, struct jail_entry *entry)
{
	CLEAN_FD int list = jail_open(fd, "cgroups", O_RDONLY | O_NONBLOCK);
	struct stat st;
	ssize_t n;

	if (list < 0 || fstat(list, &st) || !S_ISREG(st.st_mode) ||
	    st.st_uid != geteuid() || st.st_nlink != 1 ||
	    st.st_mode & (S_IWGRP | S_IWOTH))
		return;
	n = read(list, entry->cgroups, sizeof(entry->cgroups) - 1);
	entry->cgroups[n > 0 ? n : 0] = 0;
}

static int visit_id(struct jail_list *l, int fd, const char *name,
		    const char *program, struct err *e)
{
	CLEAN_FD int root = jail_open(fd, "root", O_RDONLY | O_DIRECTORY);
	struct jail_entry *more, *entry;
	char pid_file[300];
	struct stat st, above;

	if (root < 0 || fstat(root, &st) || fstat(fd, &above))
		return 0;
	more = realloc(l->entries, (l->count + 1) * sizeof(*more));
	if (!more)
		return err_set(e, -ENOMEM, "no memory for %zu jails",
			       l->count + 1);
	l->entries = more;
	entry = &more[l->count++];
	*entry = (struct jail_entry){.device = st.st_dev, .inode = st.st_ino};
	snprintf(entry->program, sizeof(entry->program), "%s", program);
	snprintf(entry->id, sizeof(entry->id), "%s", name);
	snprintf(pid_file, sizeof(pid_file), "%s.pid", program);
	/*
	 * The jail's own may remove the file, but not give its root back to who
	 * has what is above it. The jailer gives it away when it is in there
	 * itself, so a jail that is being made counts as alive by then.
	 */
	entry->was_started = st.st_uid != above.st_uid ||
			     !fstatat(root, pid_file, &st, AT_SYMLINK_NOFOLLOW);
	read_cgroups(fd, entry);
	return 0;
}

static int visit_program(struct jail_list *l, int fd, const char *name,
			 const char *above, struct err *e)
{
	(void)above;
	return each_dir(fd, visit_id, l, name, e);
}

static int compare(const void *a, const void *b)
{
	const struct jail_entry *x = a, *y = b;
	int by_program = strcmp(x->program, y->program);

	return by_program ? by_program : strcmp(x->id, y->id);
}

/*
 * Looks at each process's root. One that ends meanwhile is none; one that we
 * may not look at means that the answer would be wrong.
 */
static int find_processes(struct jail_entry *entries, size_t count,
			  struct err *e)
{
	DIR *dir = opendir("/proc");
	struct dirent *process;
	char path[300];
	struct stat st;
	size_t i;

	if (!dir)
		return err_errno(e, "/proc");
	while ((process = readdir(dir))) {
		if (!isdigit((unsigned char)process->d_name[0]))
			continue;
		snprintf(path, sizeof(path), "/proc/%s/root", process->d_name);
		if (stat(path, &st))
			continue;
		for (i = 0; i < count; i++) {
			struct jail_entry *entry = &entries[i];

			if (st.st_dev != entry->device ||
			    st.st_ino != entry->inode)
				continue;
			if (entry->pid_count < JAIL_PIDS_MAX)
				entry->pids[entry->pid_count] =
					(pid_t)atoi(process->d_name);
			entry->pid_count++;
		}
	}
	closedir(dir);
	return 0;
}

int jail_list_read(struct jail_list *l, const char *base, struct err *e)
{
	int rc;

	*l = (struct jail_list){.base_fd = -1};
	l->base_fd = jail_open(AT_FDCWD, base, O_RDONLY | O_DIRECTORY);
	if (l->base_fd < 0 && errno == ENOENT)
		return 0;
	if (l->base_fd < 0 && errno == ELOOP)
		return err_set(e, -ELOOP,
			       "%.256s: is or leads through a symbolic link; "
			       "give the real path",
			       base);
	if (l->base_fd < 0)
		return err_errno(e, "%.256s", base);
	rc = each_dir(l->base_fd, visit_program, l, NULL, e);
	if (rc || !l->count)
		return rc;
	qsort(l->entries, l->count, sizeof(*l->entries), compare);
	return find_processes(l->entries, l->count, e);
}

void jail_list_fini(struct jail_list *l)
{
	fd_close(&l->base_fd);
	free(l->entries);
	l->entries = NULL;
	l->count = 0;
}

int jail_processes(struct jail_entry *entry, struct err *e)
{
	int rc;

	entry->pid_count = 0;
	rc = find_processes(entry, 1, e);
	return rc ? rc : (int)entry->pid_count;
}
