/*
 * Users and groups of a container. Its files are hostile: read once, bounded,
 * and only if they are files; a line is split in place.
 */
#include "guest/agent/user.h"

#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { FILE_MAX = 1 << 20, FIELDS = 7 };

/* The whole file with a NUL behind it, "" without one. */
static char *file_read(const char *path)
{
	const int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
	char *text = calloc(1, FILE_MAX + 1);
	size_t len = 0;
	struct stat st;

	if (text && fd >= 0 && !fstat(fd, &st) && S_ISREG(st.st_mode)) {
		while (len < FILE_MAX) {
			const ssize_t n = read(fd, text + len, FILE_MAX - len);

			if (n <= 0)
				break;
			len += (size_t)n;
		}
	}
	if (fd >= 0)
		close(fd);
	return text;
}

/* Splits the line at *@text into fields and goes on; false at the end. */
static bool line_next(char **text, char *fields[FIELDS])
{
	static char empty[1];
	char *at = *text;
	char *end = at ? at + strcspn(at, "\n") : NULL;

	if (!at || !*at)
		return false;
	*text = *end ? end + 1 : end;
	*end = '\0';
	for (int i = 0; i < FIELDS; i++) {
		fields[i] = at ? at : empty;
		at = at ? strchr(at, ':') : NULL;
		if (at)
			*at++ = '\0';
	}
	return true;
}

static bool number(const char *text, unsigned *value)
{
	unsigned long v;
	char *end;

	if (!isdigit((unsigned char)*text))
		return false;
	errno = 0;
	v = strtoul(text, &end, 10);
	if (*end || errno || v >= 0xffffffffUL)
		return false;
	*value = (unsigned)v;
	return true;
}

static void group_add(struct user *u, gid_t gid)
{
	for (size_t i = 0; i < u->groups_len; i++)
		if (u->groups[i] == gid)
			return;
	if (u->groups_len < sizeof(u->groups) / sizeof(u->groups[0]))
		u->groups[u->groups_len++] = gid;
}

/* By name first, as docker does; then by number. */
static int group_find(const char *name, gid_t *gid)
{
	char *text = file_read("/etc/group"), *at = text, *f[FIELDS];
	bool found = false;
	unsigned v = 0;

	while (!found && line_next(&at, f))
		found = !strcmp(f[0], name) && number(f[2], &v);
	free(text);
	if (!found && !number(name, &v))
		return -ENOENT;
	*gid = v;
	return 0;
}

static bool is_member(const char *list, const char *name)
{
	const size_t len = strlen(name);

	for (; *list; list += strcspn(list, ","), list += *list == ',')
		if (strcspn(list, ",") == len && !memcmp(list, name, len))
			return true;
	return false;
}

static void groups_of(struct user *u, const char *name)
{
	char *text = file_read("/etc/group"), *at = text, *f[FIELDS];
	unsigned gid;

	while (line_next(&at, f))
		if (is_member(f[3], name) && number(f[2], &gid))
			group_add(u, gid);
	free(text);
}

/* Fills in uid, gid and home; the user's name into @name, "" if unknown. */
static int passwd_find(struct user *u, const char *who, char name[static 64])
{
	char *text = file_read("/etc/passwd"), *at = text, *f[FIELDS];
	unsigned wanted = 0, uid, gid;
	const bool is_number = number(who, &wanted);
	bool found = false;

	while (!found && line_next(&at, f)) {
		if (!number(f[2], &uid) || !number(f[3], &gid) ||
		    (strcmp(f[0], who) && !(is_number && uid == wanted)))
			continue;
		found = true;
		u->uid = uid;
		u->gid = gid;
		snprintf(u->home, sizeof(u->home), "%s", f[5]);
		snprintf(name, 64, "%s", f[0]);
	}
	free(text);
	if (found)
		return 0;
	if (!is_number)
		return -ENOENT;
	u->uid = wanted;
	return 0;
}

static int groups_parse(struct user *u, char *list, char what[static 80])
{
	char *save = NULL;

	for (char *g = strtok_r(list, ",", &save); g;
	     g = strtok_r(NULL, ",", &save)) {
		gid_t gid;

		if (group_find(g, &gid)) {
			snprintf(what, 80, "group '%.60s'", g);
			return -ENOENT;
		}
		group_add(u, gid);
	}
	return 0;
}

int user_find(struct user *u, const char *text, char what[static 80])
{
	char copy[1024], name[64] = "", *group, *more = NULL;
	const int len = snprintf(copy, sizeof(copy), "%s", *text ? text : "0");

	*u = (struct user){0};
	snprintf(u->home, sizeof(u->home), "/");
	if (len >= (int)sizeof(copy)) {
		snprintf(what, 80, "user: too long");
		return -EINVAL;
	}
	group = strchr(copy, ':');
	if (group)
		*group++ = '\0';
	more = group ? strchr(group, ':') : NULL;
	if (more)
		*more++ = '\0';
	if (passwd_find(u, *copy ? copy : "0", name)) {
		snprintf(what, 80, "user '%.60s'", copy);
		return -ENOENT;
	}
	if (group && *group) {
		if (group_find(group, &u->gid)) {
			snprintf(what, 80, "group '%.60s'", group);
			return -ENOENT;
		}
	} else if (*name) {
		groups_of(u, name);
	}
	group_add(u, u->gid);
	return more ? groups_parse(u, more, what) : 0;
}
