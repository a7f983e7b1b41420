/* The list of peers. */
#include "api/ctl/bench/peer.h"

static const struct {
	const char *name;
	const char *program;
	const char *version_flag;
} table[PEER_COUNT] = {
	[PEER_QEMU] = {"qemu", "qemu-system-x86_64", "--version"},
	[PEER_FIRECRACKER] = {"firecracker", "firecracker", "--version"},
	[PEER_CLOUD_HYPERVISOR] = {"cloud-hypervisor", "cloud-hypervisor",
				   "--version"},
	[PEER_KVMTOOL] = {"kvmtool", "lkvm", "version"},
	[PEER_CRUN] = {"crun", "crun", "--version"},
	[PEER_RUNC] = {"runc", "runc", "--version"},
};

const char *peer_name(enum peer p)
{
	return table[p].name;
}

const char *peer_program(enum peer p)
{
	return table[p].program;
}

const char *peer_version_flag(enum peer p)
{
	return table[p].version_flag;
}
