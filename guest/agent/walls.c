/*
 * Masks, paths that are read-only, sysctls, propagation: in the order of runc.
 */
#include "guest/agent/walls.h"

#include "guest/proto_security.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/statfs.h>
#include <unistd.h>

enum { FAILED = 125, PATHS = 4096 };

/* Those that a new mount on a path does not have of itself. */
enum { KEPT = MS_RDONLY | MS_NOSUID | MS_NODEV | MS_NOEXEC };

/* ---- what was said --------------------------------------------------------
 */

static char **paths_read(struct reader *r)
{
	char **list = reader_strings(r);
	size_t n = 0;

	for (; list && list[n]; n++)
		if (list[n][0] != '/')
			r->is_bad = true;
	if (n > PROTO_PATHS)
		r->is_bad = true;
	return list;
}

/* A path that leads nowhere but to what is below /proc/sys. */
static bool is_sysctl(const char *path)
{
	static const char letters[] = "abcdefghijklmnopqrstuvwxyz"
				      "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
				      "0123456789_-./@:";

	return *path && *path != '/' && strspn(path, letters) == strlen(path) &&
	       strcmp(path, "..") != 0 && strncmp(path, "../", 3) != 0 &&
	       !strstr(path, "/..");
}

static char **sysctls_read(struct reader *r)
{
	char **list = reader_strings(r);
	size_t n = 0;

	for (; list && list[n]; n++)
		if (n % 2 == 0 && !is_sysctl(list[n]))
			r->is_bad = true;
	if (n % 2 || n > 2 * PROTO_PATHS)
		r->is_bad = true;
	return list;
}

/* The kernel looks at each of its steps; here it is the length. */
static void filter_read(struct rights *rights, struct reader *r)
{
	const struct bytes b = reader_bytes(r);

	if (b.len % sizeof(*rights->filter) ||
	    b.len > PROTO_FILTER_MAX * sizeof(*rights->filter))
		r->is_bad = true;
	if (r->is_bad || !b.len)
		return;
	rights->filter = malloc(b.len);
	if (!rights->filter) {
		r->is_bad = true;
		return;
	}
	memcpy(rights->filter, b.at, b.len);
	rights->filter_len = b.len / sizeof(*rights->filter);
}

void walls_read(struct walls *w, struct rights *rights, struct reader *r)
{
	const uint32_t kinds = MS_SHARED | MS_SLAVE | MS_PRIVATE |
			       MS_UNBINDABLE;
	const struct proto_walls *head = reader_take(r, sizeof(*head));

	if (!head)
		return;
	rights->filter_flags = proto_get32(&head->filter_flags);
	w->propagation = proto_get32(&head->propagation);
	if (w->propagation & ~(kinds | MS_REC))
		r->is_bad = true;
	filter_read(rights, r);
	w->ipc = reader_copy(r);
	w->uts = reader_copy(r);
	w->pid = reader_copy(r);
	w->hidden = paths_read(r);
	w->fixed = paths_read(r);
	w->sysctls = sysctls_read(r);
	devices_read(&w->devices, r);
}

void walls_fini(struct walls *w)
{
	free(w->ipc);
	free(w->uts);
	free(w->pid);
	free(w->hidden);
	free(w->fixed);
	free(w->sysctls);
	devices_fini(&w->devices);
	*w = (struct walls){0};
}

/* ---- in the container -----------------------------------------------------
 */

static void sysctls_set(const struct spawn *sp, char *const *list)
{
	char path[PATHS];

	for (; list[0] && list[1]; list += 2) {
		int fd = -1, error = ENAMETOOLONG;

		if (snprintf(path, sizeof(path), "/proc/sys/%s", list[0]) <
		    (int)sizeof(path)) {
			fd = open(path, O_WRONLY | O_CLOEXEC);
			error = errno;
		}
		if (fd >= 0) {
			const size_t len = strlen(list[1]);

			error = write(fd, list[1], len) == (ssize_t)len ? 0
									: errno;
			close(fd);
		}
		if (error)
			spawn_fail(sp, FAILED, error,
				   "cannot set the sysctl %.80s to %.60s: %s",
				   list[0], list[1],
				   error == ENOENT ? "the microVM's kernel "
						     "has none of this name"
						   : strerror(error));
	}
}

/* What is not there needs no mask. */
static void hide(const struct spawn *sp, const char *path)
{
	struct stat st;
	int rc;

	if (stat(path, &st))
		return;
	if (S_ISDIR(st.st_mode))
		rc = mount("tmpfs", path, "tmpfs", MS_RDONLY, "size=0");
	else
		rc = mount("/dev/null", path, NULL, MS_BIND, NULL);
	if (rc)
		spawn_fail(sp, FAILED, errno, "cannot hide %.150s", path);
}

/* A mount keeps what it has: a remount says all of it. */
static unsigned long flags_of(const char *path)
{
	struct statfs st;

	return statfs(path, &st) ? 0 : (unsigned long)st.f_flags & KEPT;
}

/* @flags are the mount's, where they are known. */
static void fix(const struct spawn *sp, const char *path, unsigned long flags)
{
	if (mount(path, path, NULL, MS_BIND | MS_REC, NULL)) {
		if (errno == ENOENT || errno == ENOTDIR)
			return;
		spawn_fail(sp, FAILED, errno, "cannot fix %.150s", path);
	}
	if (!flags)
		flags = flags_of(path);
	if (mount(NULL, path, NULL, MS_BIND | MS_REMOUNT | MS_RDONLY | flags,
		  NULL))
		spawn_fail(sp, FAILED, errno, "cannot fix %.150s", path);
}

/* As docker has it. */
static void raise_usual(const struct spawn *sp)
{
	static const char *const hidden[] = {
		"/proc/acpi",
		"/proc/asound",
		"/proc/kcore",
		"/proc/keys",
		"/proc/latency_stats",
		"/proc/timer_list",
		"/proc/timer_stats",
		"/proc/sched_debug",
		"/proc/scsi",
		"/sys/firmware",
		"/sys/devices/virtual/powercap",
	};
	static const char *const fixed[] = {"/proc/bus", "/proc/fs",
					    "/proc/irq", "/proc/sys",
					    "/proc/sysrq-trigger"};

	for (size_t i = 0; i < sizeof(hidden) / sizeof(hidden[0]); i++)
		hide(sp, hidden[i]);
	for (size_t i = 0; i < sizeof(fixed) / sizeof(fixed[0]); i++)
		fix(sp, fixed[i], MS_NOSUID | MS_NODEV | MS_NOEXEC);
}

void walls_raise(const struct spawn *sp, const struct walls *w)
{
	if (!w) {
		raise_usual(sp);
		return;
	}
	sysctls_set(sp, w->sysctls);
	for (size_t i = 0; w->fixed[i]; i++)
		fix(sp, w->fixed[i], 0);
	for (size_t i = 0; w->hidden[i]; i++)
		hide(sp, w->hidden[i]);
}

void walls_propagate(const struct spawn *sp, const struct walls *w)
{
	if (w && w->propagation && mount(NULL, "/", NULL, w->propagation, NULL))
		spawn_fail(sp, FAILED, errno,
			   "cannot set the propagation of the root's mounts");
}
