/* Attacks by what virtio-vsock packets say (virtio 1.2, 5.10.6). */
#include "tests/guests/hostile.h"

static void vsock_fill(struct device *d)
{
	(void)d;
}

static const char *vsock_prove(struct device *d)
{
	(void)d;
	return NULL;
}

const struct kind vsock_kind = {
	.id = ID_VSOCK,
	.name = "vsock",
	.queues = 3,
	.target = 1,
	.features = F_ALL,
	.fill = vsock_fill,
	.prove = vsock_prove,
};

const struct attack vsock_attacks[] = {
	{0},
};
