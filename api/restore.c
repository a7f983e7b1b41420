/*
 * Loading a snapshot. The configuration comes back by the code that judges
 * configurations, what the request overrides is put into it, and the machine is
 * made of it as for a boot; then machine_load() gives it the state. One that is
 * prepared then waits for its finish (finish.c).
 */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "api/snapshot.h"
#include "api/snapshot_config.h"
#include "api/snapshot_overlays.h"
#include "api/working_set.h"
#include "vmm/base/fd.h"
#include "vmm/mem/image.h"
#include "vmm/state/file.h"

/* Where the state has its memory behind it that is told, too. */
static int read_state(const struct controller *c, const char *path,
		      struct state **state, struct image_place *behind,
		      struct err *e)
{
	uint8_t *data = NULL;
	size_t len = 0;
	int rc = state_file_read(path, &data, &len, &behind->fd, e);

	if (rc)
		return rc;
	behind->at = state_memory_at(len);
	rc = state_decode(state, data, len, &c->snapshot_key, e);
	free(data);
	return rc ? err_context(e, "the snapshot %s", path) : 0;
}

static int replace(char **to, char **from, struct err *e)
{
	if (!**from)
		return err_set(e, -EINVAL, "an override's path is empty");
	free(*to);
	*to = *from;
	*from = NULL;
	return 0;
}

/* Another overlay, or the first: what it held comes back all the same. */
static int override_overlay(struct config_drive *drive,
			    struct snapshot_drive *from, struct err *e)
{
	if (!from->has_overlay)
		return 0;
	free(drive->overlay.dir_on_host);
	drive->overlay = from->overlay;
	drive->has_overlay = true;
	from->overlay.dir_on_host = NULL;
	return config_check_overlay(drive, e);
}

static int override_drives(struct vm_config *config, struct snapshot_load *body,
			   struct err *e)
{
	struct snapshot_drive *drives = body->drives.items;
	uint32_t i;
	int at, rc = 0;

	for (i = 0; i < body->drives.count && !rc; i++) {
		at = config_find_drive(config, drives[i].drive_id, e);
		rc = at < 0 ? at
			    : replace(&config->drives[at].path_on_host,
				      &drives[i].path_on_host, e);
		rc = rc ? rc
			: override_overlay(&config->drives[at], &drives[i], e);
		if (rc)
			return err_context(e, "drive_overrides[%u]", i);
	}
	return 0;
}

static int override_nets(struct vm_config *config, struct snapshot_load *body,
			 struct err *e)
{
	struct snapshot_net *nets = body->nets.items;
	uint32_t i;
	int at, rc = 0;

	for (i = 0; i < body->nets.count && !rc; i++) {
		at = config_find_net(config, nets[i].iface_id, e);
		rc = at < 0 ? at
			    : replace(&config->nets[at].host_dev_name,
				      &nets[i].host_dev_name, e);
		if (rc)
			return err_context(e, "network_overrides[%u]", i);
	}
	return 0;
}

int snapshot_override(struct vm_config *config, struct snapshot_load *body,
		      struct err *e)
{
	int rc = override_drives(config, body, e);

	rc = rc ? rc : override_nets(config, body, e);
	if (!rc && body->has_vsock) {
		if (!config->vsock.uds_path)
			return err_set(e, -ENOENT,
				       "vsock_override: the snapshot has no "
				       "vsock device");
		rc = replace(&config->vsock.uds_path, &body->vsock.uds_path, e);
		if (rc)
			return err_context(e, "vsock_override");
	}
	if (!rc && body->has_serial) {
		free(config->serial.serial_out_path);
		config->serial.serial_out_path = body->serial.serial_out_path;
		body->serial.serial_out_path = NULL;
	}
	return rc;
}

static int check_body(const struct snapshot_load *body, struct err *e)
{
	if (body->has_backend == !!body->mem_file_path)
		return err_set(e, -EINVAL,
			       body->has_backend
				       ? "give the memory once: mem_backend "
					 "or mem_file_path, not both"
				       : "give the memory: a mem_backend with "
					 "backend_type and backend_path");
	return 0;
}

/*
 * That of a state with memory behind it is what stands there, and was named
 * nevertheless: a memory file that a guest made look like a state, and somebody
 * took for one, is not enough.
 */
static int open_behind(const char *path, const struct image_place *behind,
		       struct image_place *out, struct err *e)
{
	CLEAN_FD int fd = fd_open(path, O_RDONLY, FD_REGULAR, "memory file", e);

	if (fd < 0)
		return fd;
	if (!fd_is_same(fd, behind->fd))
		return err_set(e, -EINVAL,
			       "the snapshot has its memory in the same file; "
			       "name that as mem_backend, not %s",
			       path);
	out->fd = fd_steal(&fd);
	out->at = behind->at;
	return 0;
}

static int open_memory(const struct snapshot_load *body, struct state *state,
		       const struct image_place *behind,
		       struct image_place *out, struct err *e)
{
	const char *path = body->has_backend ? body->backend.path
					     : body->mem_file_path;

	if (body->huge_pages == SNAPSHOT_PAGES_2M)
		return err_set(e, -EINVAL,
			       "this version loads memory in the host's base "
			       "pages; leave huge_pages 2M out");
	if (body->has_backend && body->backend.type == SNAPSHOT_BACKEND_UFFD)
		return 0;
	if (*state_has_memory(state))
		return open_behind(path, behind, out, e);
	out->fd = state_pair_memory(path, state_id(state), O_RDONLY, e);
	return out->fd < 0 ? out->fd : 0;
}

/* A longer file is some other machine's; guest_mem.c refuses shorter ones. */
static int check_memory(const struct image_place *memory, uint64_t mib,
			struct err *e)
{
	struct stat st;

	if (memory->fd < 0)
		return 0;
	if (fstat(memory->fd, &st))
		return err_errno(e, "can't examine the memory file");
	st.st_size -= (off_t)memory->at;
	if (st.st_size > (off_t)(mib << 20))
		return err_set(e, -EINVAL,
			       "the memory file has %lld bytes, and the guest "
			       "has %llu MiB; it is another snapshot's",
			       (long long)st.st_size, (unsigned long long)mib);
	return 0;
}

/* What others can't have at the same time and nobody named: the finish does. */
static struct assembly_late late_of(const struct vm_config *config,
				    const struct snapshot_load *body)
{
	const struct snapshot_net *nets = body->nets.items;
	struct assembly_late late = {
		.nets = (1U << config->net_count) - 1,
		.vsock = config->vsock.uds_path && !body->has_vsock,
	};
	uint32_t i;
	int at;

	for (i = 0; i < body->nets.count; i++) {
		at = config_find_net(config, nets[i].iface_id, NULL);
		if (at >= 0)
			late.nets &= ~(1U << at);
	}
	return late;
}

static int load(struct controller *c, struct snapshot_load *body,
		struct state *state, const struct image_place *memory,
		bool is_prepared, struct err *e)
{
	struct assembly_saved saved = {
		.state = state,
		.backing = {.kind = memory->fd < 0 ? GUEST_MEM_MISSING
						   : GUEST_MEM_FILE,
			    .fd = memory->fd,
			    .offset = memory->at},
		.handler = memory->fd < 0 ? body->backend.path : NULL,
		.clock_realtime = body->clock_realtime,
		.is_prepared = is_prepared,
	};
	int rc = snapshot_override(&c->config, body, e);

	c->config.machine.track_dirty_pages = body->track_dirty_pages ||
					      body->enable_diff_snapshots;
	if (!rc && c->is_fork)
		rc = snapshot_fork_check_drives(&c->config, body->drives.items,
						body->drives.count, e);
	rc = rc ? rc : check_memory(memory, c->config.machine.mem_size_mib, e);
	if (rc)
		return rc;
	if (is_prepared)
		saved.late = late_of(&c->config, body);
	return controller_load(c, &saved, e);
}

/* A refusal that leaves the monitor as it was. */
static int may_load(const struct controller *c,
		    const struct snapshot_load *body, struct err *e)
{
	if (c->is_configured)
		return err_set(e, -EPERM,
			       "Loading a microVM snapshot not allowed after "
			       "configuring boot-specific resources.");
	return check_body(body, e);
}

static int make(struct controller *c, struct snapshot_load *body,
		bool is_prepared, struct err *e)
{
	/* fd -1: with a handler */
	struct image_place behind = {.fd = -1}, memory = {.fd = -1};
	struct state *state = NULL;
	struct saved_overlays overlays = {.fd = -1};
	int rc = read_state(c, body->snapshot_path, &state, &behind, e);

	rc = rc ? rc : open_memory(body, state, &behind, &memory, e);
	rc = rc ? rc : snapshot_config_load(c, state, e);
	rc = rc ? rc : snapshot_overlays_open(c, state, body, &overlays, e);
	rc = rc ? rc : working_set_open(c, body, state_id(state), e);
	rc = rc ? rc : load(c, body, state, &memory, is_prepared, e);
	fd_close(&behind.fd);
	fd_close(&memory.fd);
	if (!rc) {
		c->kept = state;
		machine_mark_loaded(c->machine, state);
		rc = snapshot_overlays_load(c, state, &overlays, e);
	} else {
		state_free(state);
	}
	fd_close(&overlays.fd);
	return rc;
}

int snapshot_load(struct controller *c, struct snapshot_load *body,
		  struct err *e)
{
	int rc = may_load(c, body, e);

	if (rc)
		return rc;
	rc = make(c, body, false, e);
	if (!rc && body->resume_vm)
		rc = controller_resume(c, e);
	if (rc)
		controller_fail(c, e);
	return rc;
}

int snapshot_prepare(struct controller *c, struct snapshot_load *body,
		     struct err *e)
{
	int rc = may_load(c, body, e);

	if (rc)
		return rc;
	rc = make(c, body, true, e);
	if (rc)
		controller_fail(c, e);
	else
		controller_rest(c);
	return rc;
}
