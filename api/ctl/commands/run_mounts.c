/*
 * What is put into a container's tree: -v and --tmpfs, and --mount, which says
 * the same in words.
 */
#include <errno.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "api/ctl/commands/run_options.h"
#include "api/ctl/commands/values.h"

static char *copy_target(const char *text, size_t len)
{
	while (len > 1 && text[len - 1] == '/')
		len--;
	return strndup(text, len);
}

static int add_volume(struct run_options *o, const char *source, size_t len,
		      const char *target, bool is_read_only, struct err *e)
{
	struct volume_source *v = &o->volumes[o->volume_count];
	int rc = value_target("-v", target, e);

	if (rc)
		return rc;
	if (o->volume_count == RUN_VOLUMES_MAX)
		return err_set(e, -E2BIG, "at most %d times -v",
			       RUN_VOLUMES_MAX);
	v->source = strndup(source, len);
	v->target = copy_target(target, strlen(target));
	v->is_read_only = is_read_only;
	o->volume_count++;
	return v->source && v->target ? 0
				      : err_set(e, -ENOMEM, "no memory for -v");
}

/*
 * Words behind the target, divided by commas. Those about SELinux and about
 * caches of docker's on other systems have nothing to do here, and that mounts
 * do not spread is so anyway.
 */
static bool read_volume_words(const char *text, bool *is_read_only)
{
	static const char *const idle[] = {
		"rw",	     "z",	   "Z",	      "cached",
		"delegated", "consistent", "private", "rprivate",
	};
	size_t len;
	unsigned i;

	for (;; text += len + 1) {
		len = strcspn(text, ",");
		if (len == 2 && !strncmp(text, "ro", 2)) {
			*is_read_only = true;
		} else {
			for (i = 0; i < sizeof(idle) / sizeof(idle[0]); i++)
				if (strlen(idle[i]) == len &&
				    !strncmp(text, idle[i], len))
					break;
			if (i == sizeof(idle) / sizeof(idle[0]))
				return false;
		}
		if (!text[len])
			return true;
	}
}

int run_take_volume(const struct args *a, void *into, struct err *e)
{
	const char *text = a->value;
	const char *colon = strchr(text, ':'), *second;
	bool is_read_only = false;
	char *target;
	int rc;

	if (!colon && *text == '/')
		return err_set(e, -EINVAL,
			       "-v %s names no source, and microVMs have no "
			       "volumes without a name; --tmpfs %s or --disk "
			       "SIZE give room to write",
			       text, text);
	second = colon ? strchr(colon + 1, ':') : NULL;
	if (!colon || colon == text || colon[1] != '/' ||
	    (second && !read_volume_words(second + 1, &is_read_only)))
		return err_set(e, -EINVAL,
			       "-v takes SOURCE:TARGET or SOURCE:TARGET:ro, "
			       "TARGET a path from / on, not '%s'",
			       text);
	target = second ? strndup(colon + 1, (size_t)(second - colon - 1))
			: strdup(colon + 1);
	if (!target)
		return err_set(e, -ENOMEM, "no memory for -v");
	rc = add_volume(into, text, (size_t)(colon - text), target,
			is_read_only, e);
	free(target);
	return rc;
}

/* ---- --tmpfs ------------------------------------------------------------ */

/* One of mount's words, with those that docker says for it. */
static bool read_tmpfs_word(struct session_mount *m, const char *word)
{
	static const struct {
		const char *word;
		size_t member;
		bool value;
	} flags[] = {
		{"ro", offsetof(struct session_mount, is_read_only), true},
		{"rw", offsetof(struct session_mount, is_read_only), false},
		{"noexec", offsetof(struct session_mount, is_no_exec), true},
		{"exec", offsetof(struct session_mount, is_no_exec), false},
		{"nosuid", offsetof(struct session_mount, is_no_suid), true},
		{"suid", offsetof(struct session_mount, is_no_suid), false},
	};
	char *end;
	unsigned long mode;
	uint64_t id;
	unsigned i;

	/* All bits would be no id (chown(2)). */
	if (!strncmp(word, "uid=", 4) || !strncmp(word, "gid=", 4)) {
		if (!args_number(word + 4, &id) || id >= UINT32_MAX)
			return false;
		*(*word == 'u' ? &m->uid : &m->gid) = (uint32_t)id;
		return true;
	}
	if (!strncmp(word, "size=", 5))
		return value_bytes(word + 5, &m->tmp_bytes) && m->tmp_bytes;
	if (!strncmp(word, "mode=", 5)) {
		mode = strtoul(word + 5, &end, 8);
		m->mode = (uint32_t)mode;
		return word[5] >= '0' && word[5] <= '7' && !*end && mode &&
		       mode <= 07777;
	}
	for (i = 0; i < sizeof(flags) / sizeof(flags[0]); i++)
		if (!strcmp(word, flags[i].word)) {
			memcpy((char *)m + flags[i].member, &flags[i].value,
			       sizeof(flags[i].value));
			return true;
		}
	/* No device is one, in any mount of a container's. */
	return !strcmp(word, "nodev");
}

static int add_tmpfs(struct run_options *o, const char *target, size_t len,
		     char *words, bool is_read_only, struct err *e)
{
	struct session_mount *m = &o->tmpfs[o->tmpfs_count];
	const char *word;
	int rc;

	if (o->tmpfs_count == RUN_TMPFS_MAX)
		return err_set(e, -E2BIG, "at most %d times --tmpfs",
			       RUN_TMPFS_MAX);
	*m = (struct session_mount){
		.kind = SESSION_TMPFS,
		.target = copy_target(target, len),
		.is_read_only = is_read_only,
		.is_no_exec = true,
		.is_no_suid = true,
	};
	o->tmpfs_count++;
	if (!m->target)
		return err_set(e, -ENOMEM, "no memory for --tmpfs");
	rc = value_target("--tmpfs", m->target, e);
	while (!rc && words && (word = strsep(&words, ",")))
		if (!read_tmpfs_word(m, word))
			rc = err_set(
				e, -EINVAL,
				"--tmpfs takes PATH[:size=SIZE,mode=MODE,"
				"uid=N,gid=N,exec,suid,ro], a MODE in octal, not '%s'",
				word);
	return rc;
}

int run_take_tmpfs(const struct args *a, void *into, struct err *e)
{
	const size_t len = strcspn(a->value, ":");
	char *words = a->value[len] ? strdup(a->value + len + 1) : NULL;
	int rc;

	if (a->value[len] && !words)
		return err_set(e, -ENOMEM, "no memory for --tmpfs");
	rc = add_tmpfs(into, a->value, len, words, false, e);
	free(words);
	return rc;
}

/* ---- --mount ------------------------------------------------------------ */

struct mount_words {
	const char *type, *source, *target;
	char tmpfs[64]; /* as --tmpfs has them */
	bool is_read_only;
};

/* The value of "key=value", NULL where the word is of another key. */
static const char *value_of(const char *word, const char *keys)
{
	const size_t len = strcspn(word, "=");

	for (; *keys; keys += strcspn(keys, " "), keys += *keys == ' ')
		if (strcspn(keys, " ") == len && !strncmp(word, keys, len))
			return word[len] ? word + len + 1 : word + len;
	return NULL;
}

static bool read_mount_word(struct mount_words *m, const char *word)
{
	const size_t len = strlen(m->tmpfs);
	const char *value;

	if ((value = value_of(word, "type")))
		m->type = value;
	else if ((value = value_of(word, "source src")))
		m->source = value;
	else if ((value = value_of(word, "target dst destination")))
		m->target = value;
	else if ((value = value_of(word, "readonly ro")))
		m->is_read_only = strcmp(value, "false") != 0 &&
				  strcmp(value, "0") != 0;
	else if ((value = value_of(word, "bind-propagation")))
		return !strcmp(value, "rprivate") || !strcmp(value, "private");
	else if ((value = value_of(word, "tmpfs-size")))
		return snprintf(m->tmpfs + len, sizeof(m->tmpfs) - len,
				",size=%s",
				value) < (int)(sizeof(m->tmpfs) - len);
	else if ((value = value_of(word, "tmpfs-mode")))
		return snprintf(m->tmpfs + len, sizeof(m->tmpfs) - len,
				",mode=%s",
				value) < (int)(sizeof(m->tmpfs) - len);
	else
		return false;
	return true;
}

int run_take_mount(const struct args *a, void *into, struct err *e)
{
	struct mount_words m = {.type = "volume", .tmpfs = "nodev"};
	char *copy = strdup(a->value), *rest = copy;
	const char *word;
	int rc = copy ? 0 : err_set(e, -ENOMEM, "no memory for --mount");

	while (!rc && (word = strsep(&rest, ",")))
		if (!read_mount_word(&m, word))
			rc = err_set(e, -EINVAL,
				     "--mount can't use '%s'; it takes "
				     "type=bind,source=SOURCE,target=TARGET"
				     "[,readonly], or type=tmpfs,target=TARGET"
				     "[,tmpfs-size=SIZE,tmpfs-mode=MODE]",
				     word);
	if (rc) {
		free(copy);
		return rc;
	}
	if (!m.target)
		rc = err_set(e, -EINVAL, "--mount needs target=PATH");
	else if (!strcmp(m.type, "tmpfs"))
		rc = add_tmpfs(into, m.target, strlen(m.target), m.tmpfs,
			       m.is_read_only, e);
	else if (strcmp(m.type, "bind") != 0 && strcmp(m.type, "volume") != 0)
		rc = err_set(e, -EINVAL,
			     "--mount knows type=bind and "
			     "type=tmpfs, not '%s'",
			     m.type);
	else if (!m.source || !*m.source)
		rc = err_set(e, -EINVAL,
			     "--mount of this type needs source=SOURCE; "
			     "type=tmpfs gives room to write");
	else
		rc = add_volume(into, m.source, strlen(m.source), m.target,
				m.is_read_only, e);
	free(copy);
	return rc;
}

/* ---- all of them -------------------------------------------------------- */

static const char *target_of(const struct run_options *o, unsigned i)
{
	return i < o->volume_count ? o->volumes[i].target
				   : o->tmpfs[i - o->volume_count].target;
}

int run_judge_mounts(const struct run_options *o, struct err *e)
{
	const unsigned count = o->volume_count + o->tmpfs_count;
	unsigned i, k;

	for (i = 0; i < count; i++)
		for (k = 0; k < i; k++)
			if (!strcmp(target_of(o, i), target_of(o, k)))
				return err_set(e, -EINVAL,
					       "two things would be at %s of "
					       "the container; leave one out",
					       target_of(o, i));
	return 0;
}
