/*
 * bench boot: the same kernel and initrd in each monitor, from exec to the end
 * of a process whose guest reboots as soon as its init runs.
 */
#include <errno.h>
#include <jansson.h>
#include <limits.h>
#include <stdio.h>

#include "api/ctl/bench/bench.h"
#include "api/ctl/bench/phases.h"
#include "api/ctl/bench/program.h"
#include "api/ctl/vm/monitor.h"
#include "vmm/arch/host/host.h"

#define ARGS "console=ttyS0 quiet reboot=t panic=1 acpi=off mayfly.do=reboot"
static const char qemu_machine[] =
	"microvm,x-option-roms=off,pit=off,pic=off,rtc=off,acpi=off,"
	"isa-serial=on";
#define SAYS	   "mayfly-init: Linux"
#define TIMED_ARGS ARGS " mayfly.boottimer"

enum { PHASE_ROUNDS = 5 };

struct boot {
	char kernel[PATH_MAX];
	char initrd[PATH_MAX];
	char ours[PATH_MAX + 32];   /* config files */
	char timed[PATH_MAX + 32];  /* the same with a boot timer */
	char theirs[PATH_MAX + 32]; /* without what only mayfly knows */
};

/* QEMU always asks for huge pages, so mayfly does here. */
static int write_config(const char *path, const struct boot *b,
			const char *args, const char *huge_pages, struct err *e)
{
	json_t *o = json_pack("{s:{s:s,s:s,s:s},s:{s:i,s:i,s:s},s:[]}",
			      "boot-source", "kernel_image_path", b->kernel,
			      "initrd_path", b->initrd, "boot_args", args,
			      "machine-config", "vcpu_count", 1, "mem_size_mib",
			      128, "huge_pages", huge_pages, "drives");
	int rc = o ? json_dump_file(o, path, 0) : -1;

	json_decref(o);
	return rc ? err_errno(e, "can't write %s", path) : 0;
}

static int prepare(struct boot *b, const struct parts *p, struct err *e)
{
	int rc = monitor_find_file(b->kernel, HOST_KERNEL, e);

	if (!rc)
		rc = monitor_find_file(b->initrd, "bench-initrd", e);
	snprintf(b->ours, sizeof(b->ours), "%s/boot.json", p->scratch);
	snprintf(b->timed, sizeof(b->timed), "%s/timed.json", p->scratch);
	snprintf(b->theirs, sizeof(b->theirs), "%s/peer.json", p->scratch);
	if (!rc)
		rc = write_config(b->ours, b, ARGS, "Transparent", e);
	if (!rc)
		rc = write_config(b->timed, b, TIMED_ARGS, "Transparent", e);
	return rc ? rc : write_config(b->theirs, b, ARGS, "None", e);
}

static unsigned add_peers(struct lane *lanes, struct program *programs,
			  const struct parts *p, const struct boot *b)
{
	const struct program_peer all[] = {
		{PEER_QEMU,
		 {{p->peers[PEER_QEMU],
		   "-accel",
		   "kvm",
		   "-cpu",
		   "host",
		   "-m",
		   "128",
		   "-smp",
		   "1",
		   "-nodefaults",
		   "-no-user-config",
		   "-M",
		   qemu_machine,
		   "-kernel",
		   b->kernel,
		   "-initrd",
		   b->initrd,
		   "-append",
		   ARGS,
		   "-display",
		   "none",
		   "-serial",
		   "stdio",
		   "-no-reboot",
		   NULL},
		  SAYS}},
		{PEER_FIRECRACKER,
		 {{p->peers[PEER_FIRECRACKER], "--no-api", "--config-file",
		   b->theirs, NULL},
		  SAYS}},
		{PEER_KVMTOOL,
		 {{p->peers[PEER_KVMTOOL], "run", "-k", b->kernel, "-i",
		   b->initrd, "-m", "128", "-c", "1", "-p", ARGS, "--console",
		   "serial", NULL},
		  SAYS}},
	};

	return program_peers(lanes, programs, p, all,
			     sizeof(all) / sizeof(all[0]));
}

/* What of the time to init is not the guest's. */
static void tell_share(struct result *r)
{
	double ours = 0, kernel = 0;
	unsigned i;

	for (i = 0; i < r->phase_count; i++)
		if (i < 3)
			ours += r->phases[i].us;
		else if (i == 3)
			kernel = r->phases[i].us;
	if (kernel > 0)
		result_figure(r, "mayfly's own share of main to init",
			      100 * ours / (ours + kernel), "%");
}

int bench_boot(struct result *r, const struct bench *b, struct err *e)
{
	static struct boot boot;
	struct program ours = {{b->parts->mayfly, "--no-api", "--config-file",
				boot.ours, NULL},
			       SAYS};
	struct program timed = {{b->parts->mayfly, "--no-api", "--config-file",
				 boot.timed, NULL}};
	struct program peers[PEER_COUNT];
	struct lane lanes[1 + PEER_COUNT];
	const char *no_kernels = host_no_kernels(b->host);
	int rc;

	if (no_kernels)
		return err_set(e, -EOPNOTSUPP,
			       "it needs a guest with Linux, and %s",
			       no_kernels);
	rc = prepare(&boot, b->parts, e);
	if (rc)
		return rc;
	program_lane(&lanes[0], "mayfly", &ours);
	rc = rounds_run(r, lanes,
			1 + add_peers(&lanes[1], peers, b->parts, &boot),
			&b->pace, e);
	if (*b->parts->peers[PEER_CLOUD_HYPERVISOR])
		result_leave_out(r, peer_name(PEER_CLOUD_HYPERVISOR),
				 "it starts its guest again when that reboots");
	if (!rc)
		rc = phases_measure(r, timed.argv, PHASE_ROUNDS, e);
	if (!rc)
		tell_share(r);
	return rc;
}
