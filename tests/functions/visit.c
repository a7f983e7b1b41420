/*
 * A function without a library: an HTTP server on port 8000 that serves one
 * connection after the other and counts the visits that it knows of.
 *
 *	GET /visit	memory, a file in /tmp and one on the disk: "1 1 1"
 *	POST /echo	the body
 *	GET /id		random bytes of the kernel's
 */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/random.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "tests/functions/listen.h"

enum { HEAD_MAX = 16384, BODY_MAX = 1 << 22 };

static char head[HEAD_MAX + 1], body[BODY_MAX];

/* How often, with this time, it was called for this file. */
static long long count(const char *path)
{
	const int fd = open(path, O_WRONLY | O_CREAT | O_APPEND, 0600);
	struct stat st = {0};

	if (fd < 0 || write(fd, "x", 1) != 1 || fstat(fd, &st))
		return -1;
	close(fd);
	return st.st_size;
}

static void answer(int fd, const char *bytes, size_t len)
{
	char line[128];
	const int n = snprintf(line, sizeof(line),
			       "HTTP/1.1 200 OK\r\nContent-Length: %zu\r\n"
			       "Connection: close\r\n\r\n",
			       len);

	if (write(fd, line, (size_t)n) != n)
		return;
	while (len) {
		const ssize_t some = write(fd, bytes, len);

		if (some <= 0)
			return;
		bytes += some;
		len -= (size_t)some;
	}
}

/* The head, and what of the body came with it; -1 where there is none. */
static ssize_t read_head(int fd, char **rest)
{
	size_t have = 0;
	ssize_t n;

	while (have < HEAD_MAX) {
		n = read(fd, head + have, HEAD_MAX - have);
		if (n <= 0)
			return -1;
		have += (size_t)n;
		head[have] = '\0';
		*rest = strstr(head, "\r\n\r\n");
		if (*rest) {
			*rest += 4;
			return head + have - *rest;
		}
	}
	return -1;
}

static size_t read_body(int fd, const char *rest, size_t have)
{
	const char *field = strcasestr(head, "\r\ncontent-length:");
	size_t len = field && field < rest ? strtoul(field + 17, NULL, 10) : 0;
	ssize_t n = 1;

	if (len > BODY_MAX || have > BODY_MAX)
		return 0;
	memcpy(body, rest, have);
	while (have < len && n > 0) {
		n = read(fd, body + have, len - have);
		have += n > 0 ? (size_t)n : 0;
	}
	return have;
}

static void serve(int fd)
{
	static unsigned visits;
	unsigned char random[16];
	char text[128], *rest;
	ssize_t n = read_head(fd, &rest);
	size_t len = 0;

	if (n < 0)
		return;
	if (!strncmp(head, "POST /echo", 10)) {
		answer(fd, body, read_body(fd, rest, (size_t)n));
		return;
	}
	if (!strncmp(head, "GET /id", 7) &&
	    getrandom(random, sizeof(random), 0) == sizeof(random))
		for (unsigned i = 0; i < sizeof(random); i++)
			len += (size_t)snprintf(text + len, sizeof(text) - len,
						"%02x", random[i]);
	else
		len = (size_t)snprintf(text, sizeof(text), "%u %lld %lld",
				       ++visits, count("/tmp/visits"),
				       count("/var/visits"));
	answer(fd, text, len);
}

int main(void)
{
	const int listener = listen_at_8000();
	int fd;

	if (listener < 0)
		return 1;
	for (;;) {
		fd = accept(listener, NULL, NULL);
		if (fd < 0)
			continue;
		serve(fd);
		close(fd);
	}
}
