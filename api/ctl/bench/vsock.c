/*
 * bench vsock: streams both ways and round trips between a guest with Linux and
 * its host, whose end is a Unix socket under mayfly, and the kernel's
 * (vhost-vsock) under QEMU; and the same programs over a Unix socket alone.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/un.h>
#include <unistd.h>

#include "api/ctl/bench/bench.h"
#include "api/ctl/bench/guest.h"
#include "api/ctl/bench/work.h"

#define VHOST "/dev/vhost-vsock"

/* The CIDs that people choose are small. */
enum { LOADS = 3, PORT = 5000, FIRST_CID = 1 << 20 };
enum { SERVERS = 3 };
enum { OURS, QEMU, FIRECRACKER, ALONE, LANES };

static const struct work_load loads[LOADS] = {
	{"send", 1e-6}, {"receive", 1e-6}, {"trip", 0}};

const struct bench_measure bench_vsock_more[] = {
	{"vsock-to-guest", "a vsock stream to the guest", "MB/s", true},
	{"vsock-trip", "a byte there and back over vsock", "us", false},
	{0},
};

struct vsocks {
	struct guest guest;
	struct guest_words words[LANES];
	struct work_lane work[LANES];
	struct lane lanes[LANES];
	char program[PATH_MAX];
	char sockets[LANES][PATH_MAX + 8];
	char host_jobs[LOADS][PATH_MAX + 64];
	struct spawned servers[SERVERS];
	unsigned server_count;
	unsigned count;
};

static void write_jobs(struct vsocks *v, const struct bench *b)
{
	size_t len;
	unsigned i;

	snprintf(v->sockets[OURS], sizeof(v->sockets[OURS]), "%s/v",
		 b->parts->scratch);
	snprintf(v->sockets[FIRECRACKER], sizeof(v->sockets[FIRECRACKER]),
		 "%s/f", b->parts->scratch);
	len = (size_t)snprintf(v->guest.args, sizeof(v->guest.args),
			       "console=ttyS0 quiet reboot=t panic=1 acpi=off");
	for (i = 0; i < LOADS; i++) {
		len += (size_t)snprintf(
			v->guest.args + len, sizeof(v->guest.args) - len,
			" work=%s,%s,vsock:2:%d,%u", loads[i].name,
			loads[i].name, PORT, b->load_ms);
		snprintf(v->host_jobs[i], sizeof(v->host_jobs[i]),
			 "%s,%s,unix:%s_%d,%u", loads[i].name, loads[i].name,
			 v->sockets[OURS], PORT, b->load_ms);
	}
}

static void add_lane(struct vsocks *v, unsigned who, const char *name)
{
	work_lane(&v->lanes[v->count++], &v->work[who], name, loads, LOADS,
		  v->words[who].argv);
}

static int add_server(struct vsocks *v, const char *address, struct err *e)
{
	int rc = work_serve(&v->servers[v->server_count], v->program, address,
			    e);

	if (!rc)
		v->server_count++;
	return rc;
}

/* Its socket is its own, for not everybody removes it at the end. */
static int add_mayfly(struct vsocks *v, const struct bench *b, unsigned who,
		      const char *program, const char *name, struct err *e)
{
	const struct guest_how how = {
		.program = program,
		.huge_pages = who == OURS ? "Transparent" : "None",
	};
	char config[PATH_MAX + 32], address[PATH_MAX + 32];
	int rc;

	snprintf(config, sizeof(config), "%s/vsock-%u.json", b->parts->scratch,
		 who);
	snprintf(address, sizeof(address), "unix:%s_%d", v->sockets[who], PORT);
	v->guest.socket = v->sockets[who];
	v->work[who].leftover = v->sockets[who];
	rc = guest_mayfly(&v->words[who], &v->guest, &how, config, e);
	if (!rc)
		rc = add_server(v, address, e);
	if (!rc)
		add_lane(v, who, name);
	return rc;
}

static int add_qemu(struct vsocks *v, const struct bench *b, struct result *r,
		    struct err *e)
{
	const struct guest_how how = {.program = b->parts->peers[PEER_QEMU]};
	char address[32];
	int rc;

	if (!*how.program)
		return 0;
	if (access(VHOST, R_OK | W_OK)) {
		result_leave_out(r, "qemu",
				 "it has vsock by " VHOST
				 " alone, which can't be used here; `modprobe "
				 "vhost_vsock` makes it, and sudo may open it");
		return 0;
	}
	snprintf(address, sizeof(address), "vsock::%d", PORT);
	rc = add_server(v, address, e);
	if (rc)
		return rc;
	guest_qemu(&v->words[QEMU], &v->guest, &how);
	add_lane(v, QEMU, "qemu");
	return 0;
}

static int add_lanes(struct vsocks *v, const struct bench *b, struct result *r,
		     struct err *e)
{
	const char *rival = b->parts->peers[PEER_FIRECRACKER];
	unsigned i;
	int rc = add_mayfly(v, b, OURS, b->parts->mayfly, "mayfly", e);

	if (!rc && *rival)
		rc = add_mayfly(v, b, FIRECRACKER, rival, "firecracker", e);
	if (!rc)
		rc = add_qemu(v, b, r, e);
	if (rc)
		return rc;
	v->words[ALONE].argv[0] = v->program;
	for (i = 0; i < LOADS; i++)
		v->words[ALONE].argv[1 + i] = v->host_jobs[i];
	add_lane(v, ALONE, "host");
	return 0;
}

static int measure(struct result *r, struct vsocks *v, const struct bench *b,
		   struct err *e)
{
	const struct pace pace = guest_pace(b);
	unsigned i;
	int rc = 0;

	write_jobs(v, b);
	if (strlen(v->sockets[OURS]) + 8 >
	    sizeof(((struct sockaddr_un *)0)->sun_path))
		rc = err_set(e, -ENAMETOOLONG,
			     "%s is too long for a socket; TMPDIR may be "
			     "another",
			     v->sockets[OURS]);
	if (!rc)
		rc = add_lanes(v, b, r, e);
	if (!rc)
		rc = rounds_run_all(r, LOADS, v->lanes, v->count, &pace, e);
	for (i = 0; i < v->server_count; i++)
		spawn_kill(&v->servers[i]);
	for (i = 0; i < v->count && !rc; i++)
		if (v->lanes[i].context != &v->work[ALONE])
			work_tell_interrupts(&r[2], v->lanes[i].context, 2,
					     v->lanes[i].name, "round trip");
	return rc;
}

int bench_vsock(struct result *r, const struct bench *b, struct err *e)
{
	struct vsocks *v = calloc(1, sizeof(*v));
	unsigned i;
	int rc;

	if (!v)
		return err_set(e, -ENOMEM, "no memory for a bench");
	rc = work_begin(&v->guest, v->program, b, "vsock", e);
	if (!rc) {
		v->guest.cid = FIRST_CID + (unsigned)getpid();
		rc = measure(r, v, b, e);
	}
	for (i = 0; i < LANES; i++)
		work_fini(&v->work[i]);
	free(v);
	return rc;
}
