/*
 * A Unix socket's file: who may have the name, and who removes it. A socket
 * nobody listens at is what a monitor leaves that was killed; it refuses
 * connections, which is how it is known.
 */
#include "api/socket_file.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "vmm/base/fd.h"
#include "vmm/base/log.h"

/* 0 where path may be bound: nothing is there any more. */
static int remove_stale(const struct sockaddr_un *address, struct err *e)
{
	const char *path = address->sun_path;
	CLEAN_FD int fd = -1;
	struct stat st;

	if (lstat(path, &st))
		return err_errno(e, "can't look at %s", path);
	if (!S_ISSOCK(st.st_mode))
		return err_set(e, -EEXIST,
			       "can't make the API socket %s: there is a file "
			       "of that name that is no socket",
			       path);
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd < 0)
		return err_errno(e, "can't make a socket");
	if (!connect(fd, (const struct sockaddr *)address, sizeof(*address)) ||
	    errno != ECONNREFUSED)
		return err_set(e, -EADDRINUSE,
			       "the API socket %s is in use by another "
			       "process; give this microVM a path of its own "
			       "with --api-sock",
			       path);
	log_warn("replacing the socket file %s that nobody listens at", path);
	if (unlink(path))
		return err_errno(e, "can't remove the old API socket %s", path);
	return 0;
}

int socket_file_listen(struct socket_file *f, int fd, const char *path,
		       int backlog, struct err *e)
{
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	const struct sockaddr *a = (const struct sockaddr *)&address;
	struct stat st;
	int rc;

	if (!*path || strlen(path) >= sizeof(address.sun_path))
		return err_set(e, -ENAMETOOLONG,
			       "the path of the API socket must have 1 to %zu "
			       "bytes, not %zu",
			       sizeof(address.sun_path) - 1, strlen(path));
	memcpy(address.sun_path, path, strlen(path));
	/*
	 * The mode of the descriptor becomes the file's, less the umask, so
	 * that there is no moment in which others can connect.
	 */
	if (fchmod(fd, 0660))
		return err_errno(e, "can't set the mode of the API socket");
	if (bind(fd, a, sizeof(address))) {
		if (errno != EADDRINUSE)
			return err_errno(e, "can't make the API socket %s",
					 path);
		rc = remove_stale(&address, e);
		if (rc)
			return rc;
		if (bind(fd, a, sizeof(address)))
			return err_errno(e, "can't make the API socket %s",
					 path);
	}
	/* At once, for until now who sees the file is refused. */
	if (listen(fd, backlog))
		return err_errno(e, "can't listen at %s", path);
	f->path = strdup(path);
	if (!f->path)
		return err_set(e, -ENOMEM, "no memory for the API socket");
	if (lstat(path, &st))
		return err_errno(e, "can't look at %s", path);
	f->dev = st.st_dev;
	f->ino = st.st_ino;
	return 0;
}

int socket_file_connect(const char *path, const char *what, int flags,
			struct err *e)
{
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	CLEAN_FD int fd =
		socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | flags, 0);

	if (fd < 0)
		return err_errno(e, "a socket for the %s", what);
	if (strlen(path) >= sizeof(address.sun_path))
		return err_set(e, -ENAMETOOLONG,
			       "the %s %s is too long for a socket", what,
			       path);
	memcpy(address.sun_path, path, strlen(path) + 1);
	if (connect(fd, (const struct sockaddr *)&address, sizeof(address)))
		return err_errno(e,
				 "nobody takes connections at the %s %s; start "
				 "who does first",
				 what, path);
	return fd_steal(&fd);
}

void socket_file_remove(struct socket_file *f)
{
	struct stat st;

	if (f->ino && !lstat(f->path, &st) && st.st_dev == f->dev &&
	    st.st_ino == f->ino)
		unlink(f->path);
	free(f->path);
	*f = (struct socket_file){0};
}
