#include "api/ctl/containerd/spec_mount.h"

#include <errno.h>
#include <fcntl.h>
#include <sha2.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "api/ctl/base/pack.h"
#include "vmm/base/fd.h"

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

uint64_t spec_mount_bytes(const char *text)
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
			m->tmp_bytes = spec_mount_bytes(o + 5);
		if (!strncmp(o, "mode=", 5))
			m->mode = (uint32_t)strtoul(o + 5, NULL, 8) & 07777;
	}
}

/* ---- directories of the host's ------------------------------------------ */

/* Whether a part of the path begins with one of the kubelet's words. */
static bool is_kubelets(const char *source, const char *kind)
{
	char part[48];

	snprintf(part, sizeof(part), "/kubernetes.io~%s/", kind);
	return strstr(source, part) != NULL;
}

static bool is_config(const char *source)
{
	return is_kubelets(source, "configmap") ||
	       is_kubelets(source, "secret") ||
	       is_kubelets(source, "projected") ||
	       is_kubelets(source, "downward-api");
}

/* Containers that are given one directory are to see one. */
static void name_shared(struct session_mount *m, const char *source)
{
	char hex[SHA256_DIGEST_STRING_LENGTH];

	SHA256Data((const uint8_t *)source, strlen(source), hex);
	snprintf(m->shared, sizeof(m->shared), "%.24s", hex);
}

struct archive {
	uint8_t *bytes; /* owned */
	size_t len;
};

static int archive_add(void *ctx, const void *bytes, size_t len, struct err *e)
{
	struct archive *a = ctx;
	uint8_t *more;

	if (len > SPEC_COPY_MAX - a->len)
		return err_set(e, -EFBIG, "it has more than %d MiB",
			       SPEC_COPY_MAX >> 20);
	more = realloc(a->bytes, a->len + len);
	if (!more)
		return err_set(e, -ENOMEM, "no memory");
	memcpy(more + a->len, bytes, len);
	a->bytes = more;
	a->len += len;
	return 0;
}

static int take_archive(struct spec *s, struct session_mount *m,
			const char *source, struct err *e)
{
	struct archive a = {0};
	const struct pack_sink sink = {archive_add, &a};
	int rc = pack_tree(AT_FDCWD, source, ".", true, &sink, e);

	s->files[s->plan.mount_count] = a.bytes;
	if (is_config(source))
		s->volumes[s->plan.mount_count] = source;
	m->bytes = a.bytes;
	m->len = a.len;
	return rc ? err_context(e, "can't copy %.200s into the microVM", source)
		  : 0;
}

/*
 * An emptyDir is the guest's own. What else there is has to be copied: what the
 * kubelet puts together is small; of others the host's administrator says so.
 */
static int take_directory(struct spec *s, struct session_mount *m,
			  const char *source, const struct stat *st,
			  struct err *e)
{
	m->kind = SESSION_SHARED;
	m->mode = st->st_mode & 07777;
	m->uid = st->st_uid;
	m->gid = st->st_gid;
	name_shared(m, source);
	if (is_kubelets(source, "empty-dir"))
		return 0;
	if (is_config(source) || s->copies_directories)
		return take_archive(s, m, source, e);
	return err_set(e, -ENOTSUP,
		       "%.200s is a directory of the host, which a microVM has "
		       "no way to share; give it a volume of another kind, or "
		       "have such copied: \"directories\": \"copy\" in "
		       "/etc/mayfly/shim.json",
		       source);
}

/* ---- files -------------------------------------------------------------- */

static int take_file(struct spec *s, struct session_mount *m,
		     const char *source, struct err *e)
{
	struct stat st;
	CLEAN_FD int fd = -1;
	void *bytes;
	int rc;

	if (!stat(source, &st) && S_ISDIR(st.st_mode))
		return take_directory(s, m, source, &st, e);
	fd = fd_open_stat(source, O_RDONLY, FD_REGULAR, "mount", &st, e);
	if (fd < 0)
		return fd;
	if (st.st_size > SPEC_COPY_MAX)
		return err_set(e, -EFBIG,
			       "%.200s has more than %d MiB, which is the most "
			       "that is copied into a microVM",
			       source, SPEC_COPY_MAX >> 20);
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
