/*
 * The thin client: one request, one answer, one connection. It asks for the
 * connection to be closed, so an answer ends where the stream does.
 */
#include "api/ctl/vm/client.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/un.h>
#include <unistd.h>

#include "api/json/json.h"
#include "vmm/base/clock.h"
#include "vmm/base/fd.h"
#include "vmm/base/printable.h"

enum {
	ANSWER_MAX = 64 << 20,
	CONNECT_TRIES = 20,
	CONNECT_PAUSE_US = 5000,
	SECOND_NS = 1000000000
};

/*
 * A socket file that was just made refuses connections until its monitor
 * listens, which on a loaded machine is a while; so does one that a killed
 * monitor left, for good.
 */
static int connect_patiently(int fd, const struct sockaddr_un *address)
{
	unsigned i;

	for (i = 0;; i++) {
		if (!connect(fd, (const struct sockaddr *)address,
			     sizeof(*address)))
			return 0;
		if (errno != ECONNREFUSED || i == CONNECT_TRIES)
			return -1;
		usleep(CONNECT_PAUSE_US);
	}
}

static int connect_to(const char *path, int seconds, struct err *e)
{
	const struct timeval timeout = {.tv_sec = seconds};
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	CLEAN_FD int fd = -1;

	if (!*path || strlen(path) >= sizeof(address.sun_path))
		return err_set(e, -ENOTCONN,
			       "the path of a socket has 1 to %zu bytes: %s",
			       sizeof(address.sun_path) - 1, path);
	memcpy(address.sun_path, path, strlen(path));
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return err_errno(e, "can't make a socket");
	(void)setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &timeout,
			 sizeof(timeout));
	(void)setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &timeout,
			 sizeof(timeout));
	if (connect_patiently(fd, &address)) {
		err_errno(e, "can't reach a monitor at %s", path);
		return -ENOTCONN;
	}
	return fd_steal(&fd);
}

/* What could not be sent is no error yet: the answer may say why. */
static void send_all(int fd, const char *bytes, size_t len)
{
	while (len) {
		ssize_t n = send(fd, bytes, len, MSG_NOSIGNAL);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return;
		bytes += n;
		len -= (size_t)n;
	}
}

/* What comes, and the descriptors that come along, where they are wanted. */
static ssize_t receive(int fd, char *to, size_t len, struct client_files *files)
{
	union {
		struct cmsghdr head;
		char room[CMSG_SPACE(CLIENT_FILES_MAX * sizeof(int))];
	} control;
	struct iovec iov = {.iov_base = to, .iov_len = len};
	struct msghdr message = {
		.msg_iov = &iov,
		.msg_iovlen = 1,
		.msg_control = files ? &control : NULL,
		.msg_controllen = files ? sizeof(control) : 0,
	};
	const struct cmsghdr *c;
	ssize_t n = recvmsg(fd, &message, MSG_CMSG_CLOEXEC);

	c = n < 0 ? NULL : CMSG_FIRSTHDR(&message);
	if (!files || !c || c->cmsg_level != SOL_SOCKET ||
	    c->cmsg_type != SCM_RIGHTS)
		return n;
	/* There is room for those of one message. */
	client_files_fini(files);
	files->count = (unsigned)((c->cmsg_len - CMSG_LEN(0)) / sizeof(int));
	memcpy(files->fds, CMSG_DATA(c), files->count * sizeof(int));
	return n;
}

/* A monitor that means ill may say a byte now and then, for ever. */
static int receive_all(int fd, int seconds, struct client_files *files,
		       char **out, struct err *e)
{
	const uint64_t until = clock_now_ns() + (uint64_t)seconds * SECOND_NS;
	size_t len = 0, size = 0;
	char *text = NULL, *larger;
	ssize_t n;

	for (;;) {
		if (len + 1 >= size) {
			size = size ? 2 * size : 4096;
			larger = size <= ANSWER_MAX ? realloc(text, size)
						    : NULL;
			if (!larger) {
				free(text);
				return err_set(e, -ENOMEM,
					       "the answer is too long");
			}
			text = larger;
		}
		n = receive(fd, text + len, size - len - 1, files);
		if (n < 0 && errno == EINTR)
			continue;
		/* A reset after the answer takes nothing away from it. */
		if (n <= 0 && (n == 0 || (errno == ECONNRESET && len)))
			break;
		if (n > 0 && clock_now_ns() > until) {
			n = -1;
			errno = ETIMEDOUT;
		}
		if (n < 0) {
			free(text);
			return err_errno(e, "no answer");
		}
		len += (size_t)n;
	}
	text[len] = '\0';
	*out = text;
	return 0;
}

static int take_answer(char *text, struct client_answer *answer, struct err *e)
{
	char *body = strstr(text, "\r\n\r\n");

	if (!body || sscanf(text, "HTTP/1.1 %d ", &answer->status) != 1)
		return err_set(e, -EBADMSG,
			       "the answer is not HTTP: is there another "
			       "program behind this socket?");
	answer->body = strdup(body + 4);
	if (!answer->body)
		return err_set(e, -ENOMEM, "no memory for the answer");
	return 0;
}

static int begin(const char *socket, const char *method, const char *path,
		 const char *body, int seconds, struct err *e)
{
	CLEAN_FD int fd = connect_to(socket, seconds, e);
	char *request = NULL;
	int n;

	if (fd < 0)
		return fd;
	n = asprintf(&request,
		     "%s %s HTTP/1.1\r\nHost: localhost\r\n"
		     "Connection: close\r\nContent-Length: %zu\r\n\r\n%s",
		     method, path, body ? strlen(body) : 0, body ? body : "");
	if (n < 0)
		return err_set(e, -ENOMEM, "no memory for the request");
	send_all(fd, request, (size_t)n);
	free(request);
	return fd_steal(&fd);
}

static int request(const char *socket, const char *method, const char *path,
		   const char *body, int seconds, struct client_answer *answer,
		   struct client_files *files, struct err *e)
{
	CLEAN_FD int fd = begin(socket, method, path, body, seconds, e);
	char *text = NULL;
	int rc;

	*answer = (struct client_answer){0};
	if (fd < 0)
		return fd;
	rc = receive_all(fd, seconds, files, &text, e);
	if (!rc)
		rc = take_answer(text, answer, e);
	free(text);
	return rc;
}

int client_begin(const char *socket, const char *method, const char *path,
		 const char *body, struct err *e)
{
	return begin(socket, method, path, body, CLIENT_USUAL_S, e);
}

int client_request(const char *socket, const char *method, const char *path,
		   const char *body, struct client_answer *answer,
		   struct err *e)
{
	return request(socket, method, path, body, CLIENT_USUAL_S, answer, NULL,
		       e);
}

/* What a monitor says of why: {"fault_message": SENTENCE}. */
static int refused(const struct client_answer *answer, struct err *e)
{
	json_t *body = json_parse(answer->body, strlen(answer->body), NULL);
	const char *why =
		json_string_value(json_object_get(body, "fault_message"));
	char text[400] = "it did not say why";

	if (why)
		printable_copy(why, strlen(why), text, sizeof(text));
	err_set(e, -EREMOTEIO, "the monitor refused: %s", text);
	json_decref(body);
	return -EREMOTEIO;
}

int client_order(const char *socket, const char *method, const char *path,
		 const char *body, int seconds, struct err *e)
{
	return client_take(socket, method, path, body, seconds, NULL, e);
}

int client_take(const char *socket, const char *method, const char *path,
		const char *body, int seconds, struct client_files *files,
		struct err *e)
{
	struct client_answer answer = {0};
	int rc =
		request(socket, method, path, body, seconds, &answer, files, e);

	if (!rc && (answer.status < 200 || answer.status > 299))
		rc = refused(&answer, e);
	client_answer_fini(&answer);
	return rc;
}

void client_files_fini(struct client_files *files)
{
	while (files->count)
		close(files->fds[--files->count]);
}

void client_answer_fini(struct client_answer *answer)
{
	free(answer->body);
	*answer = (struct client_answer){0};
}
