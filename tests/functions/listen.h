#pragma once

#include <arpa/inet.h>
#include <sys/socket.h>

/* A socket that listens at port 8000 of every address, or -1. */
static int listen_at_8000(void)
{
	const struct sockaddr_in at = {.sin_family = AF_INET,
				       .sin_port = htons(8000)};
	const int one = 1, fd = socket(AF_INET, SOCK_STREAM, 0);

	if (setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one)) ||
	    bind(fd, (const struct sockaddr *)&at, sizeof(at)) ||
	    listen(fd, 16))
		return -1;
	return fd;
}
