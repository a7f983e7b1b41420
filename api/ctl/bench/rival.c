/* Snapshots and restores of another monitor, over its socket. */
#include "api/ctl/bench/rival.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <unistd.h>

#include "api/ctl/bench/machine.h"
#include "api/ctl/bench/spawn.h"
#include "api/ctl/bench/wire.h"
#include "vmm/base/fd.h"

static int begin(const struct rival *r, bool has_out, struct spawned *s,
		 int *fd, struct err *e)
{
	return wire_begin(s, r->program, r->sock, has_out, fd, e);
}

static int put(int fd, const char *path, const char *body, struct err *e)
{
	return wire_ask(fd, "PUT", path, body, NULL, 0, e);
}

static int start(const struct rival *r, int fd, unsigned mib, struct err *e)
{
	char text[WIRE_TEXT_MAX / 2];
	int rc;

	snprintf(text, sizeof(text),
		 "{\"kernel_image_path\": \"%.2000s\", \"boot_args\": \"W\"}",
		 r->guest);
	rc = put(fd, "/boot-source", text, e);
	snprintf(text, sizeof(text),
		 "{\"vcpu_count\": 1, \"mem_size_mib\": %u}", mib);
	if (!rc)
		rc = put(fd, "/machine-config", text, e);
	return rc ? rc
		  : put(fd, "/actions", "{\"action_type\": \"InstanceStart\"}",
			e);
}

static int save(const struct rival *r, int fd, struct err *e)
{
	char text[WIRE_TEXT_MAX / 2];
	int rc = wire_ask(fd, "PATCH", "/vm", "{\"state\": \"Paused\"}", NULL,
			  0, e);

	snprintf(text, sizeof(text),
		 "{\"snapshot_type\": \"Full\", \"snapshot_path\": "
		 "\"%.1500s.state\", \"mem_file_path\": \"%.1500s.mem\"}",
		 r->place, r->place);
	return rc ? rc : put(fd, "/snapshot/create", text, e);
}

static int let_go(const struct rival *r, struct err *e)
{
	char path[PATH_MAX + 64], act = 1;
	CLEAN_FD int fd = -1;

	snprintf(path, sizeof(path), "%s.mem", r->place);
	fd = open(path, O_WRONLY | O_CLOEXEC);
	if (fd < 0 || fd_pwrite(fd, &act, 1, MACHINE_FLAG))
		return err_errno(e, "can't write %s", path);
	return 0;
}

int rival_save(struct rival *r, const char *scratch, unsigned mib,
	       struct err *e)
{
	struct spawned s;
	CLEAN_FD int fd = -1;
	char byte = 0;
	int rc;

	snprintf(r->sock, sizeof(r->sock), "%s/r.sock", scratch);
	snprintf(r->place, sizeof(r->place), "%s/rival", scratch);
	rc = begin(r, true, &s, &fd, e);
	if (rc)
		return rc;
	rc = start(r, fd, mib, e);
	/* Its log may come the same way; the guest waits, if not for us. */
	while (!rc && byte != 'W')
		rc = spawn_hear(&s, &byte, e);
	if (!rc)
		rc = save(r, fd, e);
	spawn_kill(&s);
	return rc ? rc : let_go(r, e);
}

int rival_restore_once(void *context, double *ms, struct err *e)
{
	const struct rival *r = context;
	char text[WIRE_TEXT_MAX / 2];
	CLEAN_FD int fd = -1;
	struct spawned s;
	int rc = begin(r, false, &s, &fd, e);

	if (rc)
		return rc;
	snprintf(text, sizeof(text),
		 "{\"snapshot_path\": \"%.1500s.state\", \"resume_vm\": true, "
		 "\"mem_backend\": {\"backend_type\": \"File\", "
		 "\"backend_path\": \"%.1500s.mem\"}}",
		 r->place, r->place);
	rc = wire_send(fd, "PUT", "/snapshot/load", text, e);
	if (!rc)
		rc = spawn_wait(&s, ms, NULL, e);
	else
		spawn_kill(&s);
	return rc;
}
