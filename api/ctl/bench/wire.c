/* HTTP as far as a bench needs it: one answer is one reception. */
#include "api/ctl/bench/wire.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "vmm/base/fd.h"
#include "vmm/base/printable.h"

enum { DIAL_US = 50 };
static const double patience_ms = 10000;

static int unix_socket(void)
{
	CLEAN_FD int low = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	return low < 0 ? -1 : fcntl(low, F_DUPFD_CLOEXEC, SPAWN_API_FD + 1);
}

int wire_pair(int *listener, int *connection, struct err *e)
{
	struct sockaddr_un a = {.sun_family = AF_UNIX};
	socklen_t len = sizeof(a);

	*connection = -1;
	*listener = unix_socket();
	/* An abstract name of the kernel's choice. */
	if (*listener >= 0 &&
	    !bind(*listener, (struct sockaddr *)&a, sizeof(a.sun_family)) &&
	    !listen(*listener, 64) &&
	    !getsockname(*listener, (struct sockaddr *)&a, &len)) {
		*connection = unix_socket();
		if (*connection >= 0 &&
		    !connect(*connection, (struct sockaddr *)&a, len))
			return 0;
	}
	err_errno(e, "can't make a socket for the API");
	fd_close(listener);
	fd_close(connection);
	return e ? e->code : -EIO;
}

int wire_dial(const char *path)
{
	struct sockaddr_un a = {.sun_family = AF_UNIX};
	CLEAN_FD int fd = unix_socket();

	if (fd < 0 || strlen(path) >= sizeof(a.sun_path))
		return -EMFILE;
	memcpy(a.sun_path, path, strlen(path));
	if (connect(fd, (struct sockaddr *)&a, sizeof(a)))
		return -ENOTCONN;
	return fd_steal(&fd);
}

int wire_begin(struct spawned *s, const char *program, const char *sock,
	       bool has_out, int *fd, struct err *e)
{
	const char *argv[] = {program, "--api-sock", sock, NULL};
	const struct spawn_how how = {.argv = argv, .has_out = has_out};
	int rc;

	unlink(sock);
	rc = spawn_begin(s, &how, e);
	while (!rc && (*fd = wire_dial(sock)) < 0) {
		if (spawn_age_ms(s) > patience_ms)
			rc = err_set(e, -ETIMEDOUT, "its socket did not come");
		usleep(DIAL_US);
	}
	if (rc)
		spawn_kill(s);
	return rc;
}

int wire_send(int fd, const char *method, const char *path, const char *body,
	      struct err *e)
{
	char text[WIRE_TEXT_MAX];
	int len = snprintf(text, sizeof(text),
			   "%s %s HTTP/1.1\r\nHost: localhost\r\n"
			   "Content-Type: application/json\r\n"
			   "Content-Length: %zu\r\n\r\n%s",
			   method, path, body ? strlen(body) : 0,
			   body ? body : "");

	if (len < 0 || len >= (int)sizeof(text))
		return err_set(e, -E2BIG, "a request of the bench is too long");
	if (send(fd, text, (size_t)len, MSG_NOSIGNAL) != len)
		return err_errno(e, "can't send %s %s", method, path);
	return 0;
}

static int refused(const char *body, struct err *e)
{
	char clean[300];

	printable_copy(body, strnlen(body, 250), clean, sizeof(clean));
	return err_set(e, -EREMOTEIO, "the monitor refused: %s", clean);
}

int wire_hear(int fd, char *answer, size_t size, struct err *e)
{
	char text[WIRE_TEXT_MAX], *body;
	const int rc = spawn_await(fd);
	ssize_t n;

	if (rc)
		return err_set(e, rc, "%s",
			       rc == -EINTR ? "ended by a signal"
					    : "the monitor did not answer");
	n = recv(fd, text, sizeof(text) - 1, 0);
	if (n <= 0)
		return err_set(e, -EPIPE, "the monitor ended without a word");
	text[n] = '\0';
	body = strstr(text, "\r\n\r\n");
	if (n < 13 || memcmp(text, "HTTP/1.1 ", 9) != 0 || !body)
		return err_set(e, -EBADMSG, "the monitor's answer is not HTTP");
	if (text[9] != '2')
		return refused(body + 4, e);
	if (answer)
		snprintf(answer, size, "%s", body + 4);
	return 0;
}

int wire_ask(int fd, const char *method, const char *path, const char *body,
	     char *answer, size_t size, struct err *e)
{
	int rc = wire_send(fd, method, path, body, e);

	return rc ? rc : wire_hear(fd, answer, size, e);
}
