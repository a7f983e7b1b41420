#include "api/ctl/containerd/spec_mount.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "vmm/base/fd.h"

enum { FILE_MAX = 4 << 20 };

/* Whether the agent has one there already. */
static bool is_usual(const char *target)
{
	static const char *const usual[] = {"/proc", "/sys", "/dev"};

	for (unsigned i = 0; i < 3; i++) {
		const size_t len = strlen(usual[i]);

		if (!strncmp(target, usual[i], len) &&
		    (!target[len] || target[len] == '/'))
			return true;
	}
	return false;
}

/*
 * "size=65536k", as tmpfs has it: 0, which is as is usual, for shares of the
 * memory ("50%") and for what makes no sense.
 */
static uint64_t bytes_of(const char *text)
{
	static const char units[] = "kmgt";
	uint64_t n, bytes;
	const char *unit;
	unsigned shift = 0;
	char *end;

	errno = 0;
	n = strtoull(text, &end, 0);
	unit = *end ? strchr(units, *end | 0x20) : NULL;
	if (unit) {
		shift = 10 * (unsigned)(unit - units + 1);
		end++;
	}
	bytes = n << shift;
	return errno || *end || *text == '-' || bytes >> shift != n ? 0 : bytes;
}

static void take_options(struct session_mount *m, const json_t *options)
{
	const json_t *item;
	size_t i;

	json_array_foreach(options, i, item)
	{
		const char *o = json_string_value(item);

		if (!o)
			continue;
		m->is_read_only = m->is_read_only || !strcmp(o, "ro");
		m->is_no_exec = m->is_no_exec || !strcmp(o, "noexec");
		m->is_no_suid = m->is_no_suid || !strcmp(o, "nosuid");
		if (!strncmp(o, "size=", 5))
			m->tmp_bytes = bytes_of(o + 5);
		if (!strncmp(o, "mode=", 5))
			m->mode = (uint32_t)strtoul(o + 5, NULL, 8) & 07777;
	}
}

static int take_file(struct spec *s, struct session_mount *m,
		     const char *source, struct err *e)
{
	struct stat st;
	CLEAN_FD int fd = -1;
	void *bytes;
	int rc;

	if (!stat(source, &st) && S_ISDIR(st.st_mode))
		return err_set(e, -ENOTSUP,
			       "%.200s is a directory of the host, which a "
			       "microVM has no way to share; give it a volume "
			       "of another kind",
			       source);
	fd = fd_open_stat(source, O_RDONLY, FD_REGULAR, "mount", &st, e);
	if (fd < 0)
		return fd;
	if (st.st_size > FILE_MAX)
		return err_set(e, -EFBIG,
			       "%.200s has more than %d MiB, which is the most "
			       "that is copied into a microVM",
			       source, FILE_MAX >> 20);
	bytes = malloc((size_t)st.st_size + 1);
	if (!bytes)
		return err_set(e, -ENOMEM, "no memory for %.200s", source);
	s->files[s->plan.mount_count] = bytes;
	rc = fd_pread(fd, bytes, (size_t)st.st_size, 0);
	if (rc)
		return err_set(e, rc, "%.200s: %s", source, strerror(-rc));
	m->kind = SESSION_FILE;
	m->bytes = bytes;
	m->len = (size_t)st.st_size;
	m->mode = st.st_mode & 0777;
	m->uid = st.st_uid;
	m->gid = st.st_gid;
	return 0;
}

static int take_mount(struct spec *s, const json_t *json, struct err *e)
{
	struct session_mount *m = &s->plan.mounts[s->plan.mount_count];
	const char *type = json_string_value(json_object_get(json, "type"));
	const char *source = json_string_value(json_object_get(json, "source"));
	int rc = 0;

	*m = (struct session_mount){
		.target =
			json_string_value(json_object_get(json, "destination")),
	};
	if (!m->target || *m->target != '/')
		return err_set(e, -EINVAL, "a mount has no destination");
	if (is_usual(m->target))
		return 0;
	if (s->plan.mount_count == SESSION_MOUNTS_MAX - 1)
		return err_set(e, -E2BIG, "%d mounts are all there are",
			       SESSION_MOUNTS_MAX - 1);
	take_options(m, json_object_get(json, "options"));
	if (type && !strcmp(type, "tmpfs"))
		m->kind = SESSION_TMPFS;
	else if (source && (!type || !strcmp(type, "bind")))
		rc = take_file(s, m, source, e);
	else
		rc = err_set(e, -ENOTSUP,
			     "%.100s: a mount of type %.50s is "
			     "not for a microVM",
			     m->target, type ? type : "none");
	if (!rc)
		s->plan.mount_count++;
	return rc;
}

int spec_take_mounts(struct spec *s, struct err *e)
{
	const json_t *item;
	size_t i;
	int rc = 0;

	json_array_foreach(json_object_get(s->json, "mounts"), i, item)
	{
		rc = take_mount(s, item, e);
		if (rc)
			return rc;
	}
	return rc;
}
