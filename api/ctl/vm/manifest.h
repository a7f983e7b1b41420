#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "api/ctl/vm/vm.h"
#include "api/json/json.h"
#include "vmm/base/err.h"

/*
 * What mayctl knows of a microVM that it has saved: the file machine.json of
 * the snapshot's folder, beside
 *
 *	state, memory   what the monitor wrote (docs/snapshot.md)
 *	ID.disk         a disk of that id, all of it
 *	tag             where there is a key (seal.h)
 *
 * Anybody may have written it. It names no file: a disk's is called as the disk
 * is, and the image is looked for in the store.
 */
#define MANIFEST_FILE	"machine.json"
#define MANIFEST_STATE	"state"
#define MANIFEST_MEMORY "memory"

enum {
	MANIFEST_VERSION = 1,
	MANIFEST_NAME_MAX = 32,
	MANIFEST_TEXT_MAX = 64 << 10,
	MANIFEST_STATE_MAX = 64 << 20,
};

enum manifest_network {
	MANIFEST_NET_NONE,
	MANIFEST_NET_NAT,
	MANIFEST_NET_TAP,
};

struct manifest_drive {
	char *id; /* owned; "image", "upper", "volumeN" */
	bool is_read_only;
};

struct manifest {
	uint32_t version;
	char *image;  /* owned, as all strings here; as it was given */
	char *digest; /* of the image in the store */
	char *command;
	char *stop_signal;
	uint32_t vcpu_count;
	uint64_t memory_mib;
	int network;		   /* enum manifest_network */
	bool has_console;	   /* the kernel's messages were kept */
	struct field_array dns;	   /* char *: the name servers of --dns */
	struct field_array drives; /* struct manifest_drive, vda first */
};

/* Whether it is the image, which is in the store and not in the folder. */
bool manifest_is_image(const struct manifest_drive *d);

/* The strings of a dns, which stay its own, as a list that ends with NULL. */
void manifest_servers(const struct field_array *dns,
		      const char *list[VM_SERVERS_MAX + 1]);

/* ID.disk. Returns out. */
const char *manifest_file(const struct manifest_drive *d,
			  char out[MANIFEST_NAME_MAX]);

/*
 * Of a microVM, out of its state and its configuration; paths get the drives'
 * on the host, owned, VM_DEVICES_MAX of them.
 */
int manifest_of(struct manifest *m, const struct vm *vm, char **paths,
		struct err *e);

/* Writes it into a folder, as a new file, with is_synced to the disk. */
int manifest_write(const struct manifest *m, int dir, bool is_synced,
		   struct err *e);

/* Reads a file of it, and refuses what no microVM of mayctl's is. */
int manifest_read(struct manifest *m, int fd, struct err *e);

/* Accepts a zeroed struct. */
void manifest_fini(struct manifest *m);
