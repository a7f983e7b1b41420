#pragma once

#include "vmm/base/err.h"

/*
 * What is dialled at localhost in a pod's network by who is there but in no
 * guest: containerd, for a port that `kubectl port-forward` leads to. The
 * programs that it means listen in the guest, whose loopback is another.
 */
struct loopback {
	int listen_fd; /* owned: gets all of it; getsockname() tells the port */
	int link_fd;   /* owned: as long as it is open it is so */
};

/*
 * netns_fd is the namespace, and the calling thread's. Both descriptors are -1
 * after a failure, as where the kernel lets nobody load programs.
 */
int loopback_open(struct loopback *l, int netns_fd, struct err *e);

/* Accepts descriptors of -1. */
void loopback_close(struct loopback *l);
