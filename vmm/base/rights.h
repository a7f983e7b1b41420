#pragma once

#include <stddef.h>
#include <sys/types.h>

/*
 * Descriptors that go along with bytes over a Unix socket (SCM_RIGHTS,
 * unix(7)).
 */

enum { RIGHTS_MAX = 3 };

/* Arrays of them have -1 behind the last. */
unsigned rights_count(const int fds[RIGHTS_MAX]);
void rights_close(int fds[RIGHTS_MAX]);

/*
 * Sends what can be sent of len bytes, the descriptors with the first of them.
 * The receiver gets copies; where it asks for none the kernel closes them.
 * Waits only where the socket does. Returns the bytes sent, or a negative errno
 * and then no descriptor has gone.
 */
ssize_t rights_send(int socket_fd, const void *bytes, size_t len,
		    const int *fds, unsigned count);
