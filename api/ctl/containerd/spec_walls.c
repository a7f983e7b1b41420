#include "api/ctl/containerd/spec_walls.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/vfs.h>

#include <linux/magic.h>

#include "api/ctl/containerd/spec_mount.h"

bool spec_number(const json_t *json, double max, uint64_t *out)
{
	const double n = json_number_value(json);

	if (!json_is_number(json) || n < 0 || n > max)
		return false;
	*out = (uint64_t)n;
	return true;
}

/* ---- paths -------------------------------------------------------------- */

static int take_paths(const json_t *array, const char *name, const char ***out,
		      struct err *e)
{
	const size_t n = json_array_size(array);
	size_t i;

	if (!n)
		return 0;
	if (n > SESSION_PATHS_MAX)
		return err_set(e, -E2BIG, "%s has more than %d paths", name,
			       SESSION_PATHS_MAX);
	*out = calloc(n + 1, sizeof(**out));
	if (!*out)
		return err_set(e, -ENOMEM, "no memory for %s", name);
	for (i = 0; i < n; i++) {
		const char *path = json_string_value(json_array_get(array, i));

		if (!path || *path != '/')
			return err_set(e, -EINVAL,
				       "%s has what is no path from the root: "
				       "%.60s",
				       name, path ? path : "no text");
		(*out)[i] = path;
	}
	return 0;
}

/* ---- sysctls ------------------------------------------------------------ */

/* What a namespace of the container's or of its pod's has one of. */
static bool is_namespaced(const char *path)
{
	static const char *const ipc[] = {
		"kernel/msgmax", "kernel/msgmnb",	   "kernel/msgmni",
		"kernel/sem",	 "kernel/shmall",	   "kernel/shmmax",
		"kernel/shmmni", "kernel/shm_rmid_forced", "kernel/domainname",
	};

	for (size_t i = 0; i < sizeof(ipc) / sizeof(ipc[0]); i++)
		if (!strcmp(path, ipc[i]))
			return true;
	return !strncmp(path, "net/", 4) || !strncmp(path, "fs/mqueue/", 10);
}

/*
 * sysctl.d(5): dots are slashes and slashes dots, unless a slash is the first
 * of them.
 */
static void sysctl_path(char *path)
{
	const char *first = strpbrk(path, "./");

	if (!first || *first == '/')
		return;
	for (; *path; path++) {
		if (*path == '.')
			*path = '/';
		else if (*path == '/')
			*path = '.';
	}
}

static bool is_path(const char *path)
{
	return !strstr(path, "/../") && strlen(path) < 256 &&
	       strspn(path, "abcdefghijklmnopqrstuvwxyz"
			    "ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-./@:") ==
		       strlen(path) &&
	       (strlen(path) < 3 ||
		strcmp(path + strlen(path) - 3, "/..") != 0);
}

static int add_sysctl(struct spec *s, size_t at, const char *name,
		      const json_t *value, struct err *e)
{
	char *path = strdup(name);

	s->sysctls[at] = path;
	if (!path)
		return err_set(e, -ENOMEM, "no memory for a sysctl");
	sysctl_path(path);
	if (!is_namespaced(path) || !is_path(path))
		return err_set(e, -EINVAL,
			       "the sysctl %.80s is of no namespace of the "
			       "container's, so it can't be set for it; those "
			       "of net., fs.mqueue. and System V IPC can",
			       name);
	if (!json_is_string(value))
		return err_set(e, -EINVAL, "the sysctl %.80s has no text",
			       name);
	s->sysctls[at + 1] = strdup(json_string_value(value));
	return s->sysctls[at + 1]
		       ? 0
		       : err_set(e, -ENOMEM, "no memory for sysctls");
}

static int take_sysctls(struct spec *s, json_t *object, struct err *e)
{
	const size_t n = json_object_size(object);
	json_t *value;
	const char *name;
	size_t at = 0;
	int rc = 0;

	if (!n)
		return 0;
	if (n > SESSION_PATHS_MAX)
		return err_set(e, -E2BIG, "there are more than %d sysctls",
			       SESSION_PATHS_MAX);
	s->sysctls = calloc(2 * n + 1, sizeof(*s->sysctls));
	if (!s->sysctls)
		return err_set(e, -ENOMEM, "no memory for sysctls");
	json_object_foreach(object, name, value)
	{
		rc = add_sysctl(s, at, name, value, e);
		if (rc)
			return rc;
		at += 2;
	}
	s->security.sysctls = (const char *const *)s->sysctls;
	return 0;
}

/* ---- the kernel's mounts ------------------------------------------------ */

static bool is_writable(const json_t *options)
{
	bool is_fixed = false;
	const json_t *item;
	size_t i;

	json_array_foreach(options, i, item)
	{
		const char *o = json_string_value(item);

		if (o && (!strcmp(o, "ro") || !strcmp(o, "rw")))
			is_fixed = !strcmp(o, "ro");
	}
	return !is_fixed;
}

/* Of a tmpfs by its option, or as large as the one that containerd has made for
 * the pod. */
static uint64_t shm_bytes(const json_t *mount, const char *type)
{
	const char *source =
		json_string_value(json_object_get(mount, "source"));
	const json_t *item;
	struct statfs st;
	size_t i;

	json_array_foreach(json_object_get(mount, "options"), i, item)
	{
		const char *o = json_string_value(item);

		if (o && !strncmp(o, "size=", 5))
			return spec_mount_bytes(o + 5);
	}
	if (source && *source == '/' && type && !strcmp(type, "bind") &&
	    !statfs(source, &st) && st.f_type == TMPFS_MAGIC)
		return (uint64_t)st.f_blocks * (uint64_t)st.f_bsize;
	return 0;
}

static void take_kernel_mounts(struct spec *s)
{
	const json_t *mount;
	size_t i;

	json_array_foreach(json_object_get(s->json, "mounts"), i, mount)
	{
		const char *target = json_string_value(
			json_object_get(mount, "destination"));
		const char *type =
			json_string_value(json_object_get(mount, "type"));
		const json_t *options = json_object_get(mount, "options");

		if (!target)
			continue;
		if (!strcmp(target, "/sys"))
			s->security.is_sys_writable = is_writable(options);
		else if (!strcmp(target, "/sys/fs/cgroup"))
			s->security.is_group_writable = is_writable(options);
		else if (!strcmp(target, "/dev/shm"))
			s->plan.shm_bytes = shm_bytes(mount, type);
	}
}

static int take_propagation(struct spec *s, const char *word, struct err *e)
{
	static const struct {
		const char *word;
		uint32_t flag;
	} words[] = {
		{"private", MS_PRIVATE},
		{"rprivate", MS_PRIVATE | MS_REC},
		{"slave", MS_SLAVE},
		{"rslave", MS_SLAVE | MS_REC},
		{"shared", MS_SHARED},
		{"rshared", MS_SHARED | MS_REC},
		{"unbindable", MS_UNBINDABLE},
		{"runbindable", MS_UNBINDABLE | MS_REC},
	};

	if (!word || !*word)
		return 0;
	for (size_t i = 0; i < sizeof(words) / sizeof(words[0]); i++)
		if (!strcmp(word, words[i].word)) {
			s->security.propagation = words[i].flag;
			return 0;
		}
	return err_set(e, -EINVAL, "there is no rootfsPropagation %.40s", word);
}

/* ---- namespaces --------------------------------------------------------- */

static void take_namespaces(struct spec *s, const json_t *spaces)
{
	const struct {
		const char *type;
		const char **path;
	} kinds[] = {
		{"network", &s->netns},
		{"ipc", &s->ipc},
		{"uts", &s->uts},
		{"pid", &s->pid},
	};
	const json_t *space;
	size_t i;

	json_array_foreach(spaces, i, space)
	{
		const char *type =
			json_string_value(json_object_get(space, "type"));
		const char *path =
			json_string_value(json_object_get(space, "path"));

		for (size_t k = 0; type && k < 4; k++)
			if (!strcmp(type, kinds[k].type))
				*kinds[k].path = path && *path ? path : NULL;
	}
}

int spec_take_walls(struct spec *s, struct err *e)
{
	const json_t *part = json_object_get(s->json, "linux");
	int rc = take_paths(json_object_get(part, "maskedPaths"), "maskedPaths",
			    &s->hidden, e);

	s->security.hidden = s->hidden;
	if (!rc)
		rc = take_paths(json_object_get(part, "readonlyPaths"),
				"readonlyPaths", &s->fixed, e);
	s->security.fixed = s->fixed;
	if (!rc)
		rc = take_sysctls(s, json_object_get(part, "sysctl"), e);
	if (!rc)
		rc = take_propagation(s,
				      json_string_value(json_object_get(
					      part, "rootfsPropagation")),
				      e);
	take_kernel_mounts(s);
	take_namespaces(s, json_object_get(part, "namespaces"));
	return rc;
}
