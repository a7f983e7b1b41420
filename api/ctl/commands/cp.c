/*
 * mayctl cp: a file or a directory into a container, or out of it, as a tar
 * archive that the agent makes or unpacks, and we unpack or make.
 *
 * What comes out of a guest is hostile: untar.h has what that means.
 */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <signal.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "api/ctl/agent/session.h"
#include "api/ctl/base/interrupt.h"
#include "api/ctl/base/pack.h"
#include "api/ctl/base/tar.h"
#include "api/ctl/base/untar.h"
#include "api/ctl/commands/cp_place.h"
#include "api/ctl/commands/ctl.h"
#include "api/ctl/commands/docker.h"
#include "api/ctl/vm/vm.h"
#include "vmm/base/args.h"
#include "vmm/base/fd.h"

enum { STALL_MS = 60000, TURN_MS = 500, CHUNK = 32 << 10, LINKS_MAX = 16 };

struct copy {
	struct vm vm;
	struct session session;
	char socket[VM_PATH_MAX];
	/* What was typed. */
	bool is_followed; /* -L: a link stands for what it leads to */
	bool has_owners;  /* -a: by number, instead of root's and ours */
	bool is_quiet;	  /* there is nothing to be quiet of */
	const char *words[2];
	unsigned count;
};

static volatile sig_atomic_t is_interrupted;

static void interrupt(int signal)
{
	(void)signal;
	is_interrupted = 1;
}

/* As session_await(), but heeds Ctrl-C: untar has to tidy up. */
static int await(struct session *s, struct session_frame *f, struct err *e)
{
	int rc = -ETIMEDOUT, waited;

	for (waited = 0; waited < STALL_MS && rc == -ETIMEDOUT;
	     waited += TURN_MS) {
		if (is_interrupted)
			return err_set(e, -EINTR, "the copy was interrupted");
		rc = session_await(s, f, TURN_MS, e);
	}
	return rc;
}

/* ---- what is there ------------------------------------------------------ */

struct look {
	enum copy_kind kind;
	bool is_link;
	char link[PATH_MAX];
};

static int take_entry(void *ctx, const struct tar_entry *entry, struct err *e)
{
	struct look *l = ctx;
	unsigned i;

	(void)e;
	l->kind = entry->type == '5' ? COPY_DIRECTORY : COPY_FILE;
	l->is_link = entry->type == '2';
	for (i = 0; i < TAR_NAMES; i++)
		if (entry->links[i] && *entry->links[i]) {
			snprintf(l->link, sizeof(l->link), "%s",
				 entry->links[i]);
			break;
		}
	return 1;
}

/*
 * What a path of the container's is: the first entry of its archive tells, and
 * of the rest nothing is read.
 */
static int look_once(struct copy *c, const char *path, bool is_followed,
		     struct look *l, struct err *e)
{
	static const struct tar_hooks hooks = {.entry = take_entry};
	struct session_frame f = {0};
	struct tar tar;
	int rc = session_connect(&c->session, c->socket, e);

	*l = (struct look){.kind = COPY_FILE};
	tar_init(&tar, "the guest's archive", &hooks, l);
	if (!rc)
		rc = session_copy_out(&c->session, path, is_followed, e);
	while (!rc && !(rc = await(&c->session, &f, e))) {
		if (f.event == SESSION_OUTPUT && f.stream == 1)
			rc = tar_add(&tar, f.bytes, f.len, e);
		else if (f.event == SESSION_DONE)
			break;
		else if (f.event == SESSION_FAILED &&
			 (f.error == ENOENT || f.error == ENOTDIR))
			l->kind = COPY_MISSING;
		else if (f.event == SESSION_FAILED)
			rc = err_set(e, -EIO, "%s", f.text);
		if (l->kind == COPY_MISSING)
			break;
	}
	tar_fini(&tar);
	session_fini(&c->session);
	return rc == 1 ? 0 : rc;
}

/* Where a link leads to, as a path of the container's; in place. */
static int follow(char path[PATH_MAX], const char *link, struct err *e)
{
	char dir[PATH_MAX], whole[2 * PATH_MAX];
	int n;

	copy_dir(path, dir);
	n = snprintf(whole, sizeof(whole), "%s%s%s", *link == '/' ? "" : dir,
		     *link == '/' ? "" : "/", link);
	if (n >= PATH_MAX)
		return err_set(e, -ENAMETOOLONG, "%s leads too far", path);
	memcpy(path, whole, (size_t)n + 1);
	return 0;
}

/* Looks at path, or, in place, at what it leads to. */
static int look_through(struct copy *c, char path[PATH_MAX], struct look *l,
			struct err *e)
{
	unsigned links = 0;
	int rc;

	while (!(rc = look_once(c, path, false, l, e)) && l->is_link) {
		if (++links > LINKS_MAX)
			return err_set(e, -ELOOP, "%s: too many links", path);
		rc = follow(path, l->link, e);
		if (rc)
			return rc;
	}
	return rc;
}

/* ---- into the container ------------------------------------------------- */

/* What has come of the request by now: 0 when it is done, or -EAGAIN. */
static int take_answers(struct session *s, struct err *e)
{
	struct session_frame f = {0};
	int rc;

	while (!(rc = session_next(s, &f, e))) {
		if (f.event == SESSION_DONE)
			return 0;
		if (f.event == SESSION_FAILED)
			return err_set(e, -EIO, "%s", f.text);
	}
	return rc;
}

/*
 * Waits until the agent takes more. -EAGAIN when it does, 0 when it is done.
 */
static int await_room(struct session *s, struct err *e)
{
	int rc, flushed, waited = 0;

	while ((rc = take_answers(s, e)) == -EAGAIN) {
		struct pollfd p = {.fd = s->fd, .events = POLLIN};

		flushed = session_flush(s);
		if (flushed && flushed != -EAGAIN)
			return err_set(e, flushed,
				       "the connection to the guest broke");
		if (!flushed && session_room(s))
			return -EAGAIN;
		if (flushed)
			p.events |= POLLOUT;
		if (is_interrupted)
			return err_set(e, -EINTR, "the copy was interrupted");
		if (poll(&p, 1, TURN_MS) == 0 &&
		    (waited += TURN_MS) >= STALL_MS)
			return err_set(e, -ETIMEDOUT,
				       "the guest takes no more of the copy");
	}
	return rc;
}

/* Of an archive, as fast as the agent takes it. */
static int send_bytes(void *ctx, const void *bytes, size_t len, struct err *e)
{
	struct session *s = ctx;
	const uint8_t *at = bytes;
	int rc;

	while (len) {
		size_t room;

		rc = await_room(s, e);
		/* It said that it is done before it had all. */
		if (rc != -EAGAIN)
			return rc ? rc
				  : err_set(e, -EPIPE,
					    "the guest wants no more of it");
		room = session_room(s);
		room = room < len ? room : len;
		session_input(s, at, room);
		at += room;
		len -= room;
	}
	return 0;
}

/* The archive is sent; waits until it is unpacked. */
static int send_end(struct session *s, struct err *e)
{
	struct session_frame f = {0};
	int rc;

	session_end_input(s);
	while (!(rc = await(s, &f, e))) {
		if (f.event == SESSION_DONE)
			return 0;
		if (f.event == SESSION_FAILED)
			return err_set(e, -EIO, "%s", f.text);
	}
	return rc;
}

/* `cp -`: whoever made the archive, the agent judges it. */
static int send_stdin(struct copy *c, struct err *e)
{
	uint8_t bytes[CHUNK];
	ssize_t n;
	int rc = 0;

	while (!rc && (n = read(STDIN_FILENO, bytes, sizeof(bytes))) != 0) {
		if (n < 0)
			return err_errno(e, "can't read the archive");
		rc = send_bytes(&c->session, bytes, (size_t)n, e);
	}
	return rc;
}

/* The folder that a path of ours lies in, and its name there. */
static int open_source(const char *path, char base[NAME_MAX + 1], struct err *e)
{
	char dir[PATH_MAX];
	int fd;

	copy_base(path, base);
	copy_dir(path, dir);
	/* "..", "." and "/" are found from themselves. */
	if (!strcmp(base, "..") || !strcmp(base, ".")) {
		snprintf(dir, sizeof(dir), "%s", path);
		snprintf(base, NAME_MAX + 1, ".");
	}
	fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	return fd < 0 ? err_errno(e, "can't read %s", dir) : fd;
}

static int send_source(struct copy *c, const char *source, const char *as,
		       struct err *e)
{
	const struct pack_sink sink = {send_bytes, &c->session};
	const bool is_followed = c->is_followed || copy_ends_in_slash(source);
	char base[NAME_MAX + 1];
	CLEAN_FD int dir = open_source(source, base, e);

	if (dir < 0)
		return dir;
	return pack_tree(dir, base, *as ? as : ".", is_followed, &sink, e);
}

/* What a path of ours is. */
static int look_here(const struct copy *c, const char *path, bool is_source,
		     enum copy_kind *kind, struct err *e)
{
	const bool is_followed = !is_source || c->is_followed ||
				 copy_ends_in_slash(path);
	struct stat st;

	if (is_followed ? stat(path, &st) : lstat(path, &st)) {
		*kind = COPY_MISSING;
		if (errno == ENOENT && !is_source)
			return 0;
		return err_errno(e, "%s", path);
	}
	*kind = S_ISDIR(st.st_mode) ? COPY_DIRECTORY : COPY_FILE;
	if (is_source && *kind == COPY_FILE && !S_ISREG(st.st_mode) &&
	    !S_ISLNK(st.st_mode))
		return err_set(e, -EINVAL,
			       "%s is no file, no directory and no link", path);
	return 0;
}

/* ".." has a name, too: what it leads to. */
static int name_source(const char *source, char out[PATH_MAX], struct err *e)
{
	char base[NAME_MAX + 1];

	copy_base(source, base);
	if (strcmp(base, "..") != 0) {
		snprintf(out, PATH_MAX, "%s", source);
		return 0;
	}
	return realpath(source, out) ? 0 : err_errno(e, "%s", source);
}

static int copy_in(struct copy *c, const char *source, char *target,
		   struct err *e)
{
	const bool is_stdin = !strcmp(source, "-");
	struct copy_end from = {.path = source}, to = {.path = target};
	char named[PATH_MAX];
	struct copy_place place = {0};
	struct look l = {0};
	int rc = 0;

	if (!is_stdin) {
		rc = look_here(c, source, true, &from.kind, e);
		if (!rc)
			rc = name_source(source, named, e);
		from.path = named;
	}
	if (!rc)
		rc = look_through(c, target, &l, e);
	to.kind = l.kind;
	if (!rc && is_stdin && to.kind != COPY_DIRECTORY)
		rc = err_set(e, -ENOTDIR,
			     "an archive is unpacked in a directory, and %s is "
			     "none",
			     target);
	if (!rc && is_stdin)
		snprintf(place.dir, sizeof(place.dir), "%s", target);
	else if (!rc)
		rc = copy_place(&from, &to, &place, e);
	if (!rc)
		rc = session_connect(&c->session, c->socket, e);
	if (!rc)
		rc = session_copy_in(&c->session, place.dir, c->has_owners, e);
	if (!rc)
		rc = is_stdin ? send_stdin(c, e)
			      : send_source(c, source, place.as, e);
	return rc ? rc : send_end(&c->session, e);
}

/* ---- out of the container ----------------------------------------------- */

/* To untar, or, where that is NULL, to stdout. */
static int receive(struct copy *c, struct untar *to, struct err *e)
{
	struct session_frame f = {0};
	struct session *s = &c->session;
	int rc;

	for (;;) {
		rc = await(s, &f, e);
		if (rc)
			return rc;
		if (f.event == SESSION_DONE)
			return 0;
		if (f.event == SESSION_FAILED)
			return err_set(e, -EIO, "%s", f.text);
		if (f.event != SESSION_OUTPUT || f.stream != 1)
			continue;
		if (to)
			rc = untar_add(to, f.bytes, f.len, e);
		else if ((rc = fd_write(STDOUT_FILENO, f.bytes, f.len)))
			err_set(e, rc, "can't write the archive: %s",
				strerror(-rc));
		if (rc)
			return rc;
		session_used(s, f.stream, f.len);
		(void)session_flush(s);
	}
}

static int fetch(struct copy *c, const char *source, bool is_followed,
		 const struct copy_place *place, struct err *e)
{
	CLEAN_FD int dir = open(place->dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	char base[NAME_MAX + 1];
	const struct untar_rules rules = {
		.dirfd = dir, .from = base, .as = place->as};
	struct untar *u;
	int rc;

	if (dir < 0)
		return err_errno(e, "can't write to %s", place->dir);
	copy_base(source, base);
	/* The agent has no name for it either. */
	if (!strcmp(base, ".."))
		strcpy(base, ".");
	u = untar_new(&rules, e);
	if (!u)
		return -EIO;
	rc = session_connect(&c->session, c->socket, e);
	if (!rc)
		rc = session_copy_out(&c->session, source, is_followed, e);
	if (!rc)
		rc = receive(c, u, e);
	if (!rc)
		rc = untar_end(u, e);
	untar_free(u);
	return rc;
}

static int copy_out(struct copy *c, const char *source, const char *target,
		    struct err *e)
{
	const bool is_followed = c->is_followed || copy_ends_in_slash(source);
	struct copy_end from = {.path = source}, to = {.path = target};
	char real[PATH_MAX];
	struct copy_place place;
	struct look l;
	int rc;

	if (!strcmp(target, "-")) {
		if (isatty(STDOUT_FILENO))
			return err_set(e, -EINVAL,
				       "an archive is nothing for a terminal; "
				       "lead it into a file or a pipe");
		rc = session_connect(&c->session, c->socket, e);
		if (!rc)
			rc = session_copy_out(&c->session, source, is_followed,
					      e);
		return rc ? rc : receive(c, NULL, e);
	}
	rc = look_here(c, target, false, &to.kind, e);
	if (!rc)
		rc = look_once(c, source, is_followed, &l, e);
	if (rc)
		return rc;
	from.kind = l.kind;
	if (from.kind == COPY_MISSING)
		return err_set(e, -ENOENT, "%s has no %s", c->vm.state.name,
			       source);
	/* Over a link goes what it leads to, as with cp. */
	if (to.kind == COPY_FILE && !copy_ends_in_slash(target) &&
	    realpath(target, real))
		to.path = real;
	rc = copy_place(&from, &to, &place, e);
	return rc ? rc : fetch(c, source, is_followed, &place, e);
}

/* ---- mayctl cp ---------------------------------------------------------- */

/*
 * Whether a word is NAME:PATH, a path of a container's, which begins at / even
 * where it does not say so; otherwise it is a file of the host's.
 */
static bool read_guest_path(const char *word, char name[VM_NAME_MAX + 1],
			    char path[PATH_MAX])
{
	const char *colon = strchr(word, ':');
	const size_t len = colon ? (size_t)(colon - word) : 0;

	if (!len || len > VM_NAME_MAX || *word == '.' || memchr(word, '/', len))
		return false;
	memcpy(name, word, len);
	name[len] = '\0';
	snprintf(path, PATH_MAX, "%s%s", colon[1] == '/' ? "" : "/", colon + 1);
	return true;
}

static int parse(struct copy *c, int argc, char **argv)
{
	static const struct arg table[] = {
		{"follow-link", .offset = offsetof(struct copy, is_followed),
		 .letter = 'L'},
		{"archive", .offset = offsetof(struct copy, has_owners),
		 .letter = 'a'},
		{"quiet", .offset = offsetof(struct copy, is_quiet),
		 .letter = 'q'},
	};
	struct args a = ARGS(table, ARGS_DASH, argc, argv);
	enum args_found found;

	while ((found = args_next(&a))) {
		if (found == ARGS_OPTION) {
			(void)args_set(&a, c, NULL);
		} else if (found == ARGS_WORD && c->count < 2 && *a.word) {
			c->words[c->count++] = a.word;
		} else {
			docker_complain("cp", a.word);
			return -EINVAL;
		}
	}
	if (c->count == 2)
		return 0;
	ctl_complain("cp takes SOURCE NAME:TARGET or NAME:SOURCE TARGET");
	return -EINVAL;
}

static int run(struct copy *c, const char *name, bool is_out, char *path,
	       struct err *e)
{
	int rc = vm_load(&c->vm, name, e);

	if (rc)
		return rc;
	vm_path(&c->vm, "vsock.sock", c->socket);
	if (vm_status(&c->vm) != VM_RUNNING)
		return err_set(e, -ESRCH, "%s does not run: it is %s", name,
			       vm_status_word(vm_status(&c->vm)));
	return is_out ? copy_out(c, path, c->words[1], e)
		      : copy_in(c, c->words[0], path, e);
}

static void heed_signals(void)
{
	static const int ending[] = {SIGINT, SIGTERM, SIGHUP};
	const struct sigaction action = {.sa_handler = interrupt};
	unsigned i;

	signal(SIGPIPE, SIG_IGN);
	/* What nohup has us ignore stays ignored. */
	for (i = 0; i < sizeof(ending) / sizeof(ending[0]); i++)
		if (!interrupt_is_ignored(ending[i]))
			sigaction(ending[i], &action, NULL);
}

int ctl_cp(int argc, char **argv)
{
	char name[VM_NAME_MAX + 1], other[VM_NAME_MAX + 1];
	char path[PATH_MAX], unused[PATH_MAX];
	struct copy c = {.session.fd = -1};
	bool is_out, is_in;
	struct err e = {0};
	int rc;

	if (parse(&c, argc, argv))
		return CTL_USAGE;
	is_in = read_guest_path(c.words[1], other, unused);
	is_out = read_guest_path(c.words[0], name, path);
	if (is_in == is_out) {
		ctl_complain(is_in ? "cp goes between a container and the "
				     "host; copy to the host first, then on"
				   : "cp: neither is NAME:PATH of a microVM; "
				     "`mayctl ps` lists their names");
		return CTL_USAGE;
	}
	if (is_in)
		(void)read_guest_path(c.words[1], name, path);
	heed_signals();
	rc = run(&c, name, is_out, path, &e);
	if (rc)
		ctl_complain("%s", e.text);
	session_fini(&c.session);
	vm_fini(&c.vm);
	return rc ? CTL_REFUSED : CTL_OK;
}
