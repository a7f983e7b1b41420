/*
 * SHARED: a directory that containers share gets what its host's has become.
 * What comes is unpacked beside it, where no container sees it, and then moved
 * in, as kubelet's AtomicWriter moves it (Kubernetes, pkg/volume/util/
 * atomic_writer.go): first the directories whose names begin with "..", then,
 * by one rename, the link "..data" to one of them, through which all else
 * leads. So a container that may write there can spoil what is there, and
 * nothing else: only single names are used, and no link is followed.
 */
#include "guest/agent/share.h"

#include "guest/agent/child.h"
#include "guest/agent/machine.h"
#include "guest/agent/plan.h"
#include "guest/agent/tar.h"
#include "guest/agent/tree.h"
#include "guest/proto.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/fs.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

enum { FAILED = 125, PLACE = 600, TARGET = 4096 };

static const char data_link[] = "..data";

struct renewal {
	char place[PLACE]; /* the directory's path */
	int from, to;
	char **names; /* owned: what has come */
	size_t count;
};

/* What is no link is a directory of the volume's, which is there for good. */
static bool is_hidden(const char *name)
{
	return name[0] == '.' && name[1] == '.';
}

static bool has_come(const struct renewal *w, const char *name)
{
	for (size_t i = 0; i < w->count; i++)
		if (!strcmp(w->names[i], name))
			return true;
	return false;
}

static bool is_dots(const char *name)
{
	return !strcmp(name, ".") || !strcmp(name, "..");
}

/* 0 or a positive errno; stops where @each does. */
static int each_name(int fd, int (*each)(struct renewal *w, const char *name),
		     struct renewal *w)
{
	const int copy = openat(fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	DIR *dir = copy < 0 ? NULL : fdopendir(copy);
	const struct dirent *e;
	int rc = 0;

	if (!dir)
		return errno;
	while (!rc && (e = readdir(dir)))
		rc = is_dots(e->d_name) ? 0 : each(w, e->d_name);
	closedir(dir);
	return rc;
}

static int name_add(struct renewal *w, const char *name)
{
	char **more = reallocarray(w->names, w->count + 1, sizeof(*more));

	if (!more)
		return ENOMEM;
	w->names = more;
	more[w->count] = strdup(name);
	return more[w->count++] ? 0 : ENOMEM;
}

/* A link's target; "" for what is none. */
static void link_read(int dir, const char *name, char target[static TARGET])
{
	const ssize_t n = readlinkat(dir, name, target, TARGET - 1);

	target[n > 0 ? n : 0] = '\0';
}

static int remove_name(const struct renewal *w, const char *name)
{
	if (!unlinkat(w->to, name, 0) || errno == ENOENT)
		return 0;
	return tree_remove(w->place, name);
}

/* In the place of what is there; what is the same link stays. */
static int move_in(const struct renewal *w, const char *name)
{
	char old[TARGET], new[TARGET];
	int rc;

	link_read(w->to, name, old);
	link_read(w->from, name, new);
	if (*new && !strcmp(old, new))
		return 0;
	if (!renameat(w->from, name, w->to, name))
		return 0;
	rc = remove_name(w, name);
	if (!rc && renameat(w->from, name, w->to, name))
		rc = errno;
	return rc;
}

/*
 * One that "..data" leads to is the same, for it is never written to. Any other
 * that is there may be half of it: it was packed while it was being made.
 */
static int move_hidden(const struct renewal *w, const char *name)
{
	char target[TARGET];

	if (!syscall(SYS_renameat2, w->from, name, w->to, name,
		     RENAME_NOREPLACE))
		return 0;
	if (errno != EEXIST)
		return errno;
	link_read(w->to, data_link, target);
	return strcmp(target, name) != 0 ? move_in(w, name) : 0;
}

/* What an AtomicWriter would have taken away. */
static int remove_old(struct renewal *w, const char *name)
{
	char target[TARGET];

	if (has_come(w, name))
		return 0;
	link_read(w->to, name, target);
	if (!is_hidden(name) && strncmp(target, "..data/", 7) != 0)
		return 0;
	return remove_name(w, name);
}

static int take_over(struct renewal *w)
{
	const bool is_atomic = !each_name(w->from, name_add, w) &&
			       has_come(w, data_link);
	int rc = 0;

	for (size_t i = 0; i < w->count && !rc; i++)
		if (is_hidden(w->names[i]) &&
		    strcmp(w->names[i], data_link) != 0)
			rc = move_hidden(w, w->names[i]);
	if (!rc && is_atomic)
		rc = move_in(w, data_link);
	for (size_t i = 0; i < w->count && !rc; i++)
		if (!is_hidden(w->names[i]))
			rc = move_in(w, w->names[i]);
	return rc || !is_atomic ? rc : each_name(w->to, remove_old, w);
}

/* In a child: mntfd is the directory of all that are shared. */
static int renew(void *arg, int in, int out, char *sentence, size_t len)
{
	const int beneath = O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC;
	const struct copy *copy = arg;
	char made[PROTO_ID_MAX + 24], all[PLACE];
	struct renewal w = {0};
	int rc;

	(void)out;
	/* '~' is in no name. There is one renewal of a directory at a time. */
	snprintf(made, sizeof(made), "%s~new", copy->path);
	if (snprintf(all, sizeof(all), "%s/~shared", machine.base) >= PLACE ||
	    snprintf(w.place, sizeof(w.place), "%s/%s", all, copy->path) >=
		    PLACE)
		return ENAMETOOLONG;
	w.to = openat(copy->mntfd, copy->path, beneath);
	if (w.to < 0)
		return errno;
	/* What one left that was killed. */
	if (mkdirat(copy->mntfd, made, 0700) &&
	    (errno != EEXIST || tree_remove(all, made) ||
	     mkdirat(copy->mntfd, made, 0700)))
		return errno;
	w.from = openat(copy->mntfd, made, beneath);
	rc = w.from < 0 ? errno : tar_unpack(w.from, in, 0, sentence, len);
	if (!rc)
		rc = take_over(&w);
	tree_remove(all, made);
	return rc;
}

void share_renew(struct session *s, struct reader *r)
{
	char path[PLACE], *name = reader_copy(r);
	struct copy copy = {.mntfd = -1, .path = name};

	snprintf(path, sizeof(path), "%s/~shared", machine.base);
	if (name && plan_id_is_good(name, strlen(name)) && reader_done(r))
		copy.mntfd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	else
		errno = EPROTO;
	if (copy.mntfd < 0) {
		session_error(s, errno, FAILED, "no directory is shared: %s",
			      strerror(errno));
	} else {
		child_help(s, PROCESS_COPY_IN, renew, &copy, NULL);
		close(copy.mntfd);
	}
	free(name);
}
