#pragma once

#include <stdint.h>

#include "vmm/base/err.h"
#include "vmm/machine/device.h"

/*
 * A virtio-vsock device (virtio 1.2, 5.10) whose other end is Unix sockets of
 * the host: stream sockets between the guest and processes of the host.
 * docs/guest-abi.md has what a process there says and hears.
 */
struct vsock_config {
	const char *id; /* for messages: "vsock0" */
	uint32_t cid;	/* the guest's: at least 3, less than 2^32 - 1 */
	/*
	 * The socket for connections to the guest; must not exist yet, and is
	 * removed in the end. Connections from the guest to port P go to the
	 * socket at uds_path, then "_P". NULL where vsock_listen()
	 * is to tell it.
	 */
	const char *uds_path;
	/*
	 * One that listens already (fd_check_listener()), somewhere that
	 * uds_path need not be; copied. 0 to make it at uds_path.
	 */
	int listen_fd;
};

/*
 * Makes the socket and listens. Strings are copied. Returns 0 or a negative
 * errno with a sentence that names the socket. The device belongs to the loop
 * thread.
 */
int vsock_new(struct device **out, const struct vsock_config *config,
	      struct err *e);

/*
 * Makes the socket of a device that was made and started without one. On
 * failure there is none.
 */
int vsock_listen(struct device *d, const char *uds_path, int listen_fd,
		 struct err *e);
