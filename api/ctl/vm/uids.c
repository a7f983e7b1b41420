#include "api/ctl/vm/uids.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <unistd.h>

#include "api/ctl/base/process.h"
#include "vmm/base/fd.h"

enum { RECORD_MAX = 64, SUBUID_MAX = 1 << 20 };

/* ---- the range ---------------------------------------------------------- */

/* A number of up to ten digits, without a sign. */
static bool take_number(const char **at, char end, uint64_t *out)
{
	const size_t len = strspn(*at, "0123456789");

	if (!len || len > 10 || ((*at)[len] != end && (*at)[len]))
		return false;
	*out = strtoull(*at, NULL, 10);
	*at += len + ((*at)[len] == end);
	return true;
}

bool uids_parse_range(const char *text, uid_t *first, uid_t *count)
{
	static const char key[] = "mayfly:";
	const char *line = text, *at;
	uint64_t start, length;

	while (line && strncmp(line, key, sizeof(key) - 1) != 0) {
		line = strchr(line, '\n');
		line = line ? line + 1 : NULL;
	}
	if (!line)
		return false;
	at = line + sizeof(key) - 1;
	/* Root is in no range, and 2^32 - 1 is nobody. */
	if (!take_number(&at, ':', &start) ||
	    !take_number(&at, '\n', &length) || !start || !length ||
	    start + length > UINT32_MAX)
		return false;
	*first = (uid_t)start;
	*count = (uid_t)length;
	return true;
}

static void read_range(uid_t *first, uid_t *count)
{
	char *text = NULL;

	if (process_read_file("/etc/subuid", SUBUID_MAX, &text, NULL) ||
	    !uids_parse_range(text, first, count)) {
		*first = UIDS_FIRST;
		*count = UIDS_COUNT;
	}
	free(text);
}

/* Whether the kernel lets us be those: user_namespaces(7), uid_map. */
static int check_range(uid_t first, uid_t count, struct err *e)
{
	FILE *map = fopen("/proc/self/uid_map", "re");
	unsigned long inside, outside, length;
	bool is_mapped = !map;

	while (map &&
	       fscanf(map, "%lu %lu %lu", &inside, &outside, &length) == 3)
		is_mapped |= first >= inside &&
			     first - inside + (unsigned long)count <= length;
	if (map)
		fclose(map);
	if (is_mapped)
		return 0;
	return err_set(e, -EINVAL,
		       "this user namespace has no uids %u to %u for monitors; "
		       "say which it has in /etc/subuid: mayfly:START:COUNT",
		       first, first + count - 1);
}

/* ---- claims ------------------------------------------------------------- */

/* Opens the folder; others must not be able to put claims there. */
static int open_dir(bool is_made, struct err *e)
{
	CLEAN_FD int fd = -1;
	struct stat st;

	if (is_made && mkdir(UIDS_DIR, 0700) && errno != EEXIST)
		return err_errno(e, "can't make %s", UIDS_DIR);
	fd = open(UIDS_DIR, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (fd < 0 || fstat(fd, &st))
		return err_errno(e, "can't open %s", UIDS_DIR);
	if (st.st_uid != 0 || st.st_mode & 0022)
		return err_set(e, -EPERM, "%s is not root's alone; remove it",
			       UIDS_DIR);
	return fd_steal(&fd);
}

/*
 * Whether the process that a claim names still lives: to the last of its
 * threads, where the first may have ended and be a zombie, which tells no
 * start.
 */
static bool is_held(int fd)
{
	CLEAN_FD int process = -1;
	char text[RECORD_MAX] = "";
	uint64_t start, now;
	int pid;

	if (pread(fd, text, sizeof(text) - 1, 0) <= 0 ||
	    sscanf(text, "%d %" SCNu64, &pid, &start) != 2 || pid <= 0)
		return false;
	process = process_open(pid);
	if (process < 0 || !process_wait(process, 0))
		return false;
	now = process_start_time(pid);
	return !now || now == start;
}

/* Locks a claim that nobody holds. Returns an fd, or -1. */
static int lock_claim(int dir, uid_t uid, int flags)
{
	CLEAN_FD int fd = -1;
	struct stat st, named;
	char name[16];

	snprintf(name, sizeof(name), "%u", uid);
	fd = openat(dir, name, O_RDWR | O_CLOEXEC | O_NOFOLLOW | flags, 0600);
	if (fd < 0 || flock(fd, LOCK_EX | LOCK_NB) || is_held(fd))
		return -1;
	/* Somebody may have removed it between the open and the lock. */
	if (fstat(fd, &st) || fstatat(dir, name, &named, AT_SYMLINK_NOFOLLOW) ||
	    st.st_ino != named.st_ino || ftruncate(fd, 0))
		return -1;
	return fd_steal(&fd);
}

int uids_claim(struct uid_claim *c, struct err *e)
{
	uid_t first = 0, count = 0, i;
	uint32_t at = 0;
	int rc;

	*c = (struct uid_claim){.fd = -1};
	read_range(&first, &count);
	rc = check_range(first, count, e);
	if (rc)
		return rc;
	/* Somewhere in it: those in use are rarely in the way. */
	if (getrandom(&at, sizeof(at), 0) != sizeof(at))
		at = (uint32_t)getpid();
	for (i = 0; i < count; i++) {
		const uid_t uid = first + (at % count + i) % count;
		/* Who gives the last claim back removes the folder. */
		CLEAN_FD int dir = open_dir(true, e);

		if (dir < 0 && dir != -ENOENT)
			return dir;
		c->fd = dir < 0 ? -1 : lock_claim(dir, uid, O_CREAT);
		if (c->fd < 0)
			continue;
		c->uid = uid;
		return 0;
	}
	return err_set(e, -EBUSY,
		       "all %u uids from %u on are in use by microVMs; widen "
		       "the range in /etc/subuid: mayfly:START:COUNT",
		       count, first);
}

int uids_write_self(int fd)
{
	char text[RECORD_MAX], pid[16];
	/* As /proc has it, whatever the PID namespace calls us. */
	ssize_t n = readlink("/proc/self", pid, sizeof(pid) - 1);
	int len;

	if (n <= 0)
		return -errno;
	pid[n] = '\0';
	len = snprintf(text, sizeof(text), "%s %" PRIu64 "\n", pid,
		       process_start_time(atoi(pid)));
	return fd_pwrite(fd, text, (size_t)len, 0);
}

static void remove_claim(int dir, uid_t uid, int (*gone)(uid_t uid))
{
	CLEAN_FD int fd = lock_claim(dir, uid, 0);
	char name[16];

	if (fd < 0 || gone(uid))
		return;
	snprintf(name, sizeof(name), "%u", uid);
	(void)unlinkat(dir, name, 0);
}

void uids_release(uid_t uid, int (*gone)(uid_t uid))
{
	CLEAN_FD int dir = open_dir(false, NULL);

	if (dir < 0)
		return;
	remove_claim(dir, uid, gone);
	(void)rmdir(UIDS_DIR);
}

void uids_sweep(int (*gone)(uid_t uid))
{
	CLEAN_FD int fd = open_dir(false, NULL);
	DIR *dir = fd < 0 ? NULL : fdopendir(fd);
	struct dirent *entry;

	if (!dir)
		return;
	fd_steal(&fd);
	while ((entry = readdir(dir))) {
		char *end;
		unsigned long uid = strtoul(entry->d_name, &end, 10);

		if (!*end && uid && uid < UINT32_MAX)
			remove_claim(dirfd(dir), (uid_t)uid, gone);
	}
	closedir(dir);
	(void)rmdir(UIDS_DIR);
}
