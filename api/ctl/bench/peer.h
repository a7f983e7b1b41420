#pragma once

/* Programs that mayfly is measured beside. */

enum peer {
	PEER_QEMU,
	PEER_FIRECRACKER,
	PEER_CLOUD_HYPERVISOR,
	PEER_KVMTOOL,
	PEER_CRUN,
	PEER_RUNC,
	PEER_COUNT
};

/* As in reports: "cloud-hypervisor"; each is an option of that name, too. */
const char *peer_name(enum peer p);

/* As it is called in PATH, and its word for telling its version. */
const char *peer_program(enum peer p);
const char *peer_version_flag(enum peer p);
