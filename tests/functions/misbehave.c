/*
 * A function on port 8000 that does what one should not, by the path:
 *
 *	/loop		never stops working
 *	/fork		makes processes without end
 *	/memory		takes memory without end
 *	/disk		writes to its disk without end
 *	/flood		answers without end
 *	/half		says half of what it has promised
 *	/never		says nothing
 *	anything else	answers "well"
 */
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "tests/functions/listen.h"

static char block[1 << 16];

static void say(int fd, const char *text)
{
	if (write(fd, text, strlen(text)) < 0)
		_exit(1);
}

static void endlessly_write(int fd)
{
	while (write(fd, block, sizeof(block)) > 0)
		;
}

static void endlessly_take(void)
{
	for (;;) {
		char *more = malloc(1 << 20);

		if (more)
			memset(more, 1, 1 << 20);
	}
}

static void misbehave(int fd, const char *how)
{
	static const char head[] = "HTTP/1.1 200 OK\r\nConnection: close\r\n";

	if (!strncmp(how, "/loop", 5))
		for (volatile int i = 0;; i++)
			;
	if (!strncmp(how, "/fork", 5))
		for (;;)
			(void)!fork();
	if (!strncmp(how, "/memory", 7))
		endlessly_take();
	if (!strncmp(how, "/never", 6))
		for (;;)
			pause();
	if (!strncmp(how, "/disk", 5))
		for (;;)
			endlessly_write(open("/var/full",
					     O_WRONLY | O_CREAT | O_APPEND,
					     0600));
	say(fd, head);
	if (!strncmp(how, "/flood", 6)) {
		say(fd, "\r\n");
		endlessly_write(fd);
	} else if (!strncmp(how, "/half", 5)) {
		say(fd, "Content-Length: 1000\r\n\r\nhalf");
	} else {
		say(fd, "Content-Length: 4\r\n\r\nwell");
	}
}

int main(void)
{
	const int listener = listen_at_8000();
	char request[4096];
	ssize_t n;
	int fd;

	signal(SIGPIPE, SIG_IGN);
	if (listener < 0)
		return 1;
	for (;;) {
		fd = accept(listener, NULL, NULL);
		n = fd < 0 ? -1 : read(fd, request, sizeof(request) - 1);
		request[n > 0 ? n : 0] = '\0';
		if (n > 4)
			misbehave(fd, request + 4);
		close(fd);
	}
}
