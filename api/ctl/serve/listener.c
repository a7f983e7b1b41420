#include "api/ctl/serve/listener.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "vmm/base/fd.h"

enum { BACKLOG = 1024, WHERE = 160 };

static int wrong(const char *text, struct err *e)
{
	return err_set(e, -EINVAL,
		       "--listen is ADDRESS:PORT, [ADDRESS]:PORT or unix:PATH, "
		       "not '%s'",
		       text);
}

/* Another may listen there, or has done so and died. */
static bool is_stale(const struct sockaddr_un *at)
{
	CLEAN_FD int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	return fd >= 0 &&
	       connect(fd, (const struct sockaddr *)at, sizeof(*at)) &&
	       errno == ECONNREFUSED;
}

static int open_unix(const char *path, struct err *e)
{
	struct sockaddr_un at = {.sun_family = AF_UNIX};
	CLEAN_FD int fd = -1;
	int rc;

	if (!*path || strlen(path) >= sizeof(at.sun_path))
		return err_set(e, -EINVAL,
			       "the path of --listen has 1 to %zu bytes",
			       sizeof(at.sun_path) - 1);
	memcpy(at.sun_path, path, strlen(path));
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd < 0)
		return err_errno(e, "can't make a socket");
	rc = bind(fd, (const struct sockaddr *)&at, sizeof(at));
	if (rc && errno == EADDRINUSE && is_stale(&at)) {
		(void)unlink(path);
		rc = bind(fd, (const struct sockaddr *)&at, sizeof(at));
	}
	if (rc || listen(fd, BACKLOG))
		return err_errno(e, "can't listen at %s", path);
	return fd_steal(&fd);
}

/* Numbers alone: a name may mean several, and one is listened at. */
static socklen_t read_address(const char *text, struct sockaddr_storage *out)
{
	struct sockaddr_in6 *six = (struct sockaddr_in6 *)out;
	struct sockaddr_in *four = (struct sockaddr_in *)out;
	const char *colon = strrchr(text, ':');
	char host[INET6_ADDRSTRLEN + 2], *end;
	unsigned long port;
	size_t len;

	*out = (struct sockaddr_storage){0};
	if (!colon || (size_t)(colon - text) >= sizeof(host) || !colon[1])
		return 0;
	port = strtoul(colon + 1, &end, 10);
	if (*end || port > UINT16_MAX)
		return 0;
	len = (size_t)(colon - text);
	memcpy(host, text, len);
	host[len] = '\0';
	if (inet_pton(AF_INET, host, &four->sin_addr) == 1) {
		four->sin_family = AF_INET;
		four->sin_port = htons((uint16_t)port);
		return sizeof(*four);
	}
	if (len < 2 || *host != '[' || host[len - 1] != ']')
		return 0;
	host[len - 1] = '\0';
	if (inet_pton(AF_INET6, host + 1, &six->sin6_addr) != 1)
		return 0;
	six->sin6_family = AF_INET6;
	six->sin6_port = htons((uint16_t)port);
	return sizeof(*six);
}

static void name(int fd, char where[WHERE])
{
	struct sockaddr_storage at = {0};
	socklen_t len = sizeof(at);
	char host[INET6_ADDRSTRLEN] = "";
	const struct sockaddr_in6 *six = (const struct sockaddr_in6 *)&at;
	const struct sockaddr_in *four = (const struct sockaddr_in *)&at;

	if (getsockname(fd, (struct sockaddr *)&at, &len))
		return;
	if (at.ss_family == AF_INET)
		snprintf(
			where, WHERE, "http://%s:%u",
			inet_ntop(AF_INET, &four->sin_addr, host, sizeof(host)),
			ntohs(four->sin_port));
	else
		snprintf(where, WHERE, "http://[%s]:%u",
			 inet_ntop(AF_INET6, &six->sin6_addr, host,
				   sizeof(host)),
			 ntohs(six->sin6_port));
}

int listener_open(const char *text, char where[WHERE], struct err *e)
{
	struct sockaddr_storage at;
	const int one = 1;
	CLEAN_FD int fd = -1;
	socklen_t len;

	snprintf(where, WHERE, "%s", text);
	if (!strncmp(text, "unix:", 5))
		return open_unix(text + 5, e);
	len = read_address(text, &at);
	if (!len)
		return wrong(text, e);
	fd = socket(at.ss_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK,
		    0);
	if (fd < 0)
		return err_errno(e, "can't make a socket");
	(void)setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
	if (bind(fd, (const struct sockaddr *)&at, len) || listen(fd, BACKLOG))
		return err_errno(e, "can't listen at %s", text);
	name(fd, where);
	return fd_steal(&fd);
}
