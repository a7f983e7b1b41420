/*
 * bench block: reads of a disk in the host's page cache by a guest with Linux,
 * past the guest's own: 4 KiB all over it, 32 and one under way, and 1 MiB one
 * after the other; and the same program's reads of the same file on the host.
 */
#include <errno.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "api/ctl/base/process.h"
#include "api/ctl/bench/bench.h"
#include "api/ctl/bench/disk.h"
#include "api/ctl/bench/guest.h"
#include "api/ctl/bench/wire.h"
#include "api/ctl/bench/work.h"
#include "api/json/json.h"
#include "vmm/base/fd.h"

enum { LOADS = 3, METRICS_MAX = 1 << 20 };
enum { ASYNC, SYNC, QEMU, FIRECRACKER, HOST, LANES };

static const struct work_load loads[LOADS] = {
	{"random-32", 1}, {"random-1", 1}, {"sequential", 1.048576}};

static const char *const jobs[LOADS] = {"4096,32,random", "4096,1,random",
					"1048576,4,next"};

const struct bench_measure bench_block_more[] = {
	{"block-depth-1", "4 KiB random reads, one at a time", "/s", true},
	{"block-1m", "1 MiB sequential reads, 4 under way", "MB/s", true},
	{0},
};

/* All that it needs while it runs. */
struct blocks {
	struct guest guest;
	struct guest_words words[LANES];
	struct work_lane work[LANES];
	struct lane lanes[LANES];
	char program[PATH_MAX];
	char path[PATH_MAX];
	char host_jobs[LOADS][PATH_MAX + 64];
	bool is_made;
	unsigned count; /* lanes */
};

static void write_jobs(struct blocks *k, const struct bench *b)
{
	size_t len = 0;
	unsigned i;

	len = (size_t)snprintf(k->guest.args, sizeof(k->guest.args),
			       "console=ttyS0 quiet reboot=t panic=1 acpi=off");
	for (i = 0; i < LOADS; i++) {
		len += (size_t)snprintf(k->guest.args + len,
					sizeof(k->guest.args) - len,
					" work=read,%s,/dev/vda,%s,%u",
					loads[i].name, jobs[i], b->load_ms);
		snprintf(k->host_jobs[i], sizeof(k->host_jobs[i]),
			 "read,%s,%s,%s,%u", loads[i].name, k->path, jobs[i],
			 b->load_ms);
	}
}

static void add_lane(struct blocks *k, unsigned who, const char *name)
{
	work_lane(&k->lanes[k->count++], &k->work[who], name, loads, LOADS,
		  k->words[who].argv);
}

static int add_mayfly(struct blocks *k, const struct bench *b, unsigned who,
		      const char *name, struct err *e)
{
	const bool is_ours = who != FIRECRACKER;
	const struct guest_how how = {
		.program = is_ours ? b->parts->mayfly
				   : b->parts->peers[PEER_FIRECRACKER],
		.huge_pages = is_ours ? "Transparent" : "None",
		.engine = who == SYNC ? "Sync" : "Async",
	};
	char config[PATH_MAX + 32];
	int rc;

	snprintf(config, sizeof(config), "%s/block-%u.json", b->parts->scratch,
		 who);
	rc = guest_mayfly(&k->words[who], &k->guest, &how, config, e);
	if (!rc)
		add_lane(k, who, name);
	return rc;
}

static int add_lanes(struct blocks *k, const struct bench *b, struct err *e)
{
	const struct guest_how qemu = {.program = b->parts->peers[PEER_QEMU]};
	unsigned i;
	int rc = add_mayfly(k, b, ASYNC, "mayfly", e);

	if (!rc)
		rc = add_mayfly(k, b, SYNC, "mayfly-sync", e);
	if (!rc && *b->parts->peers[PEER_FIRECRACKER])
		rc = add_mayfly(k, b, FIRECRACKER, "firecracker", e);
	if (rc)
		return rc;
	if (*qemu.program) {
		guest_qemu(&k->words[QEMU], &k->guest, &qemu);
		add_lane(k, QEMU, "qemu");
	}
	k->words[HOST].argv[0] = k->program;
	for (i = 0; i < LOADS; i++)
		k->words[HOST].argv[1 + i] = k->host_jobs[i];
	add_lane(k, HOST, "host");
	return 0;
}

/* ---- exits, by mayfly's own counters ------------------------------------ */

struct exits {
	struct result *results;
	const char *metrics;
	int api;
	double before;
};

/* What a guest's access to a device costs, of all vCPUs until now. */
static int read_exits(const struct exits *x, double *sum, struct err *e)
{
	/* Not of ports: what the guest says goes out by its serial one. */
	static const char *const kinds[] = {"exit_mmio_read",
					    "exit_mmio_write"};
	char *text = NULL, *line, *next;
	json_t *all = NULL, *vcpu;
	unsigned i;
	int rc = wire_ask(x->api, "PUT", "/actions",
			  "{\"action_type\": \"FlushMetrics\"}", NULL, 0, e);

	if (!rc)
		rc = process_read_file(x->metrics, METRICS_MAX, &text, e);
	if (rc)
		return rc;
	for (line = text; (next = strchr(line, '\n')) && next[1];)
		line = next + 1;
	all = json_parse(line, strlen(line), e);
	vcpu = json_object_get(all, "vcpu");
	for (*sum = 0, i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++)
		*sum += json_number_value(json_object_get(vcpu, kinds[i]));
	rc = vcpu ? 0 : err_set(e, -EBADMSG, "mayfly's metrics have no vcpu");
	json_decref(all);
	free(text);
	return rc;
}

static int watch_exits(void *context, unsigned load, bool is_end, double count,
		       struct err *e)
{
	struct exits *x = context;
	double now = 0;
	int rc = read_exits(x, &now, e);

	if (!rc && is_end)
		result_figure(&x->results[load],
			      "mayfly: exits to user space of each read",
			      (now - x->before) / count, "");
	x->before = now;
	return rc;
}

/* Once more, with nobody beside it and no time taken. */
static int count_exits(struct result *r, struct blocks *k,
		       const struct bench *b, struct err *e)
{
	char metrics[PATH_MAX + 16];
	const char *argv[] = {b->parts->mayfly,
			      "--api-fd",
			      "3",
			      "--config-file",
			      k->words[ASYNC].text[0],
			      "--metrics-path",
			      metrics,
			      NULL};
	struct exits x = {.results = r, .metrics = metrics};
	const struct work_watch watch = {watch_exits, &x};
	struct spawn_how how = {.argv = argv};
	int rc;

	snprintf(metrics, sizeof(metrics), "%s/metrics", b->parts->scratch);
	unlink(metrics);
	rc = wire_pair(&how.listener, &x.api, e);
	if (!rc)
		rc = work_watch(&k->work[ASYNC], &how, &watch, NULL, e);
	fd_close(&how.listener);
	fd_close(&x.api);
	return rc;
}

/* ---- all of it ---------------------------------------------------------- */

static int measure(struct result *r, struct blocks *k, const struct bench *b,
		   struct err *e)
{
	const struct pace pace = guest_pace(b);
	unsigned i, n;
	int rc = add_lanes(k, b, e);

	if (!rc)
		rc = rounds_run_all(r, LOADS, k->lanes, k->count, &pace, e);
	if (*b->parts->peers[PEER_CLOUD_HYPERVISOR])
		result_leave_out(r, peer_name(PEER_CLOUD_HYPERVISOR),
				 "its disks are on PCI, which the kernel of "
				 "mayfly's guests does not have");
	if (*b->parts->peers[PEER_KVMTOOL])
		result_leave_out(r, peer_name(PEER_KVMTOOL),
				 "its disks are on PCI, which the kernel of "
				 "mayfly's guests does not have");
	for (i = 0; i < LOADS && !rc; i++)
		for (n = 0; n < k->count; n++)
			if (k->lanes[n].context != &k->work[HOST])
				work_tell_interrupts(&r[i], k->lanes[n].context,
						     i, k->lanes[n].name,
						     "read");
	return rc ? rc : count_exits(r, k, b, e);
}

int bench_block(struct result *r, const struct bench *b, struct err *e)
{
	struct blocks *k = calloc(1, sizeof(*k));
	unsigned i;
	int rc;

	if (!k)
		return err_set(e, -ENOMEM, "no memory for a bench");
	rc = work_begin(&k->guest, k->program, b, "block", e);
	if (!rc)
		rc = disk_open(b->disk, k->path, &k->is_made, e);
	if (!rc) {
		k->guest.disk = k->path;
		write_jobs(k, b);
		rc = measure(r, k, b, e);
	}
	for (i = 0; i < LANES; i++)
		work_fini(&k->work[i]);
	if (k->is_made)
		unlink(k->path);
	free(k);
	return rc;
}
