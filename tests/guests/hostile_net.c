/* Attacks by what virtio-net frames say (virtio 1.2, 5.1.6). */
#include "tests/guests/hostile.h"

static void net_fill(struct device *d)
{
	(void)d;
}

static const char *net_prove(struct device *d)
{
	(void)d;
	return NULL;
}

const struct kind net_kind = {
	.id = ID_NET,
	.name = "net",
	.queues = 2,
	.target = 1,
	.features = F_ALL,
	.fill = net_fill,
	.prove = net_prove,
};

const struct attack net_attacks[] = {
	{0},
};
