/*
 * mayctl cp: a file or a directory into a container, or out of it, as a tar
 * archive that the host's tar makes or unpacks.
 *
 * What comes out of a guest is hostile: it is unpacked in a new directory of
 * its own, of which only the one thing that was asked for is taken, and no
 * device node is.
 */
#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <libgen.h>
#include <limits.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "api/ctl/agent/session.h"
#include "api/ctl/base/tree.h"
#include "api/ctl/commands/ctl.h"
#include "api/ctl/vm/vm.h"
#include "vmm/base/fd.h"

enum { STALL_MS = 60000, CHUNK = 32 << 10, TREE_FDS = 16 };

struct copy {
	struct vm vm;
	struct session session;
	char socket[VM_PATH_MAX];
};

/* ---- tar ---------------------------------------------------------------- */

/* Starts tar with one end of a pipe; the other is *fd, owned by the caller. */
static int start_tar(const char *const argv[], int its_fd, int *fd, pid_t *pid,
		     struct err *e)
{
	posix_spawn_file_actions_t actions;
	int ends[2], ours, theirs, rc;

	*fd = -1;

	if (pipe2(ends, O_CLOEXEC))
		return err_errno(e, "can't make a pipe");
	theirs = its_fd == STDIN_FILENO ? ends[0] : ends[1];
	ours = its_fd == STDIN_FILENO ? ends[1] : ends[0];
	posix_spawn_file_actions_init(&actions);
	posix_spawn_file_actions_adddup2(&actions, theirs, its_fd);
	rc = posix_spawnp(pid, "tar", &actions, NULL,
			  (char *const *)(uintptr_t)argv, environ);
	posix_spawn_file_actions_destroy(&actions);
	close(theirs);
	*fd = ours;
	if (!rc)
		return 0;
	fd_close(fd);
	return err_set(e, -rc, "can't run tar: %s; is it installed?",
		       strerror(rc));
}

static int wait_tar(pid_t pid, struct err *e)
{
	int status;

	while (waitpid(pid, &status, 0) < 0)
		if (errno != EINTR)
			return err_errno(e, "can't wait for tar");
	if (WIFEXITED(status) && WEXITSTATUS(status) == 0)
		return 0;
	return err_set(e, -EIO, "tar failed; what it said is above");
}

/* A name in the left half of tar's --transform=s|…|…|. */
static void quote_pattern(const char *name, char *out, size_t size)
{
	size_t len = 0;

	for (; *name && len + 3 < size; name++) {
		if (strchr("\\.*[]^$|", *name))
			out[len++] = '\\';
		out[len++] = *name;
	}
	out[len] = '\0';
}

static void quote_replacement(const char *name, char *out, size_t size)
{
	size_t len = 0;

	for (; *name && len + 3 < size; name++) {
		if (strchr("\\&|", *name))
			out[len++] = '\\';
		out[len++] = *name;
	}
	out[len] = '\0';
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

/* Sends what tar writes, as fast as the agent takes it. */
static int send_archive(struct session *s, int fd, struct err *e)
{
	uint8_t bytes[CHUNK];
	int rc, flushed;

	while ((rc = take_answers(s, e)) == -EAGAIN) {
		struct pollfd p = {.fd = s->fd, .events = POLLIN};
		size_t room = session_room(s);
		ssize_t n;

		flushed = session_flush(s);
		if (flushed && flushed != -EAGAIN)
			return err_set(e, flushed,
				       "the connection to the guest broke");
		if (flushed)
			p.events |= POLLOUT;
		else if (room) {
			n = read(fd, bytes,
				 room < sizeof(bytes) ? room : sizeof(bytes));
			if (n > 0)
				session_input(s, bytes, (size_t)n);
			else
				session_end_input(s);
			continue;
		}
		if (poll(&p, 1, STALL_MS) == 0)
			return err_set(e, -ETIMEDOUT,
				       "the guest takes no more of the copy");
	}
	return rc;
}

/* Whether a path of the container is a directory: an empty archive tells. */
static bool is_directory(struct copy *c, const char *path)
{
	static const uint8_t nothing[1024];
	struct session_frame f = {0};
	int rc = session_connect(&c->session, c->socket, NULL);

	if (!rc)
		rc = session_copy_in(&c->session, path, NULL);
	if (!rc) {
		session_input(&c->session, nothing, sizeof(nothing));
		session_end_input(&c->session);
		rc = session_await(&c->session, &f, STALL_MS, NULL);
	}
	session_fini(&c->session);
	return !rc && f.event == SESSION_DONE;
}

/*
 * Where it goes: into target, where that is a directory, or else as target's
 * last part into the directory before it.
 */
static void choose_target(struct copy *c, const char *target, char *dir,
			  char *name)
{
	char copy[PATH_MAX];

	snprintf(dir, PATH_MAX, "%s", target);
	if (is_directory(c, target))
		return;
	snprintf(copy, sizeof(copy), "%s", target);
	snprintf(name, PATH_MAX, "%.255s", basename(copy));
	snprintf(copy, sizeof(copy), "%s", target);
	snprintf(dir, PATH_MAX, "%s", dirname(copy));
}

static int send_tree(struct copy *c, const char *from, const char *name,
		     const char *as, struct err *e)
{
	char pattern[2 * NAME_MAX + 8], with[2 * NAME_MAX + 8];
	char transform[sizeof(pattern) + sizeof(with) + 32];
	const char *const argv[] = {"tar", "-C", from, transform, "-cf",
				    "-",   "--", name, NULL};
	CLEAN_FD int fd = -1;
	pid_t pid = -1;
	int rc, tar;

	/* Of names alone (r), not of what links point to (S, H). */
	quote_pattern(name, pattern, sizeof(pattern));
	quote_replacement(as, with, sizeof(with));
	snprintf(transform, sizeof(transform), "--transform=s|^%s|%s|rSH",
		 pattern, with);
	rc = start_tar(argv, STDOUT_FILENO, &fd, &pid, e);
	if (rc)
		return rc;
	rc = send_archive(&c->session, fd, e);
	fd_close(&fd);
	tar = wait_tar(pid, rc ? NULL : e);
	return rc ? rc : tar;
}

static int copy_in(struct copy *c, const char *source, const char *target,
		   struct err *e)
{
	char from[PATH_MAX], name[PATH_MAX], dir[PATH_MAX], as[PATH_MAX];
	char *slash;
	int rc;

	if (*target != '/')
		return err_set(e, -EINVAL,
			       "a path of a container begins with /, not '%s'",
			       target);
	if (!realpath(source, from))
		return err_errno(e, "can't read %s", source);
	slash = strrchr(from, '/');
	if (!slash[1])
		return err_set(e, -EINVAL,
			       "/ is more than a copy; name what is in it");
	snprintf(name, sizeof(name), "%s", slash + 1);
	snprintf(as, sizeof(as), "%s", name);
	slash[slash == from] = '\0';
	choose_target(c, target, dir, as);
	rc = session_connect(&c->session, c->socket, e);
	if (!rc)
		rc = session_copy_in(&c->session, dir, e);
	return rc ? rc : send_tree(c, from, name, as, e);
}

/* ---- out of the container ----------------------------------------------- */

static int receive_archive(struct session *s, int fd, struct err *e)
{
	struct session_frame f = {0};
	int rc;

	for (;;) {
		rc = session_await(s, &f, STALL_MS, e);
		if (rc)
			return rc;
		if (f.event == SESSION_DONE)
			return 0;
		if (f.event == SESSION_FAILED)
			return err_set(e, -EIO, "%s", f.text);
		if (f.event != SESSION_OUTPUT || f.stream != 1)
			continue;
		rc = fd_write(fd, f.bytes, f.len);
		if (rc)
			return err_set(e, rc, "tar takes no more: %s",
				       strerror(-rc));
		session_used(s, f.stream, f.len);
	}
}

/* Devices, sockets and pipes are nothing that a file is copied for. */
static int drop_node(const char *path, const struct stat *st, int kind,
		     struct FTW *where)
{
	(void)kind;
	(void)where;
	if (!S_ISREG(st->st_mode) && !S_ISDIR(st->st_mode) &&
	    !S_ISLNK(st->st_mode))
		return unlink(path);
	if (S_ISREG(st->st_mode) && st->st_mode & (S_ISUID | S_ISGID))
		return chmod(path, st->st_mode & 0777);
	return 0;
}

static int fetch(struct copy *c, const char *source, const char *dir,
		 struct err *e)
{
	const char *const argv[] = {
		"tar", "-C", dir, "--no-same-owner", "--no-same-permissions",
		"-xf", "-",  NULL};
	CLEAN_FD int fd = -1;
	pid_t pid = -1;
	int rc = session_connect(&c->session, c->socket, e);

	if (!rc)
		rc = session_copy_out(&c->session, source, e);
	if (!rc)
		rc = start_tar(argv, STDIN_FILENO, &fd, &pid, e);
	if (rc)
		return rc;
	rc = receive_archive(&c->session, fd, e);
	fd_close(&fd);
	if (rc)
		(void)wait_tar(pid, NULL);
	else
		rc = wait_tar(pid, e);
	return rc;
}

static int copy_out(struct copy *c, const char *source, const char *target,
		    struct err *e)
{
	char copy[PATH_MAX], from[2 * PATH_MAX], to[2 * PATH_MAX];
	char dir[PATH_MAX + 32], name[NAME_MAX + 1];
	struct stat st;
	int rc;

	snprintf(copy, sizeof(copy), "%s", source);
	snprintf(name, sizeof(name), "%.255s", basename(copy));
	snprintf(to, sizeof(to), "%s", target);
	if (*source != '/' || !strcmp(name, "/") || !strcmp(name, "."))
		return err_set(e, -EINVAL,
			       "a path of a container begins with / and names "
			       "something in it, unlike '%s'",
			       source);
	if (!stat(target, &st) && S_ISDIR(st.st_mode)) {
		snprintf(dir, sizeof(dir), "%s/.mayctl-XXXXXX", target);
		snprintf(to, sizeof(to), "%s/%s", target, name);
	} else {
		snprintf(copy, sizeof(copy), "%s", target);
		snprintf(dir, sizeof(dir), "%s/.mayctl-XXXXXX", dirname(copy));
	}
	if (!mkdtemp(dir))
		return err_errno(e, "can't write beside %s", target);
	rc = fetch(c, source, dir, e);
	(void)nftw(dir, drop_node, TREE_FDS, FTW_PHYS);
	snprintf(from, sizeof(from), "%s/%s", dir, name);
	if (!rc && rename(from, to))
		rc = err_errno(e, "can't put it at %s", to);
	(void)tree_remove(AT_FDCWD, dir, 0, NULL);
	return rc;
}

/* ---- mayctl cp ---------------------------------------------------------- */

/* The path behind NAME: of a word, NULL where it is a file of the host's. */
static const char *guest_path(const char *word, char name[VM_NAME_MAX + 1])
{
	const char *colon = strchr(word, ':');
	const size_t len = colon ? (size_t)(colon - word) : 0;

	if (!len || len > VM_NAME_MAX || memchr(word, '/', len))
		return NULL;
	memcpy(name, word, len);
	name[len] = '\0';
	return colon + 1;
}

int ctl_cp(int argc, char **argv)
{
	const char *from = NULL, *to = NULL;
	char name[VM_NAME_MAX + 1];
	struct copy c = {.session.fd = -1};
	struct err e = {0};
	int rc;

	if (argc == 3) {
		from = guest_path(argv[1], name);
		if (!from)
			to = guest_path(argv[2], name);
	}
	if (!from && !to) {
		ctl_complain("cp takes SOURCE NAME:TARGET or NAME:SOURCE "
			     "TARGET");
		return CTL_USAGE;
	}
	signal(SIGPIPE, SIG_IGN);
	rc = vm_load(&c.vm, name, &e);
	vm_path(&c.vm, "vsock.sock", c.socket);
	if (!rc && from)
		rc = copy_out(&c, from, argv[2], &e);
	else if (!rc)
		rc = copy_in(&c, argv[1], to, &e);
	if (rc)
		ctl_complain("%s", e.text);
	session_fini(&c.session);
	vm_fini(&c.vm);
	return rc ? CTL_REFUSED : CTL_OK;
}
