/*
 * bench start: from exec to the end of a process whose guest ends at once, so
 * that all of it is the monitor's.
 */
#include <stdio.h>

#include "api/ctl/bench/bench.h"
#include "api/ctl/bench/machine.h"
#include "api/ctl/bench/phases.h"
#include "api/ctl/bench/program.h"
#include "api/ctl/bench/spawn.h"

enum { PHASE_ROUNDS = 15 };

/* kvmtool loads no ELF file, so it is not among them: boot.c has it. */
static unsigned add_peers(struct lane *lanes, struct program *programs,
			  const struct parts *p, const char *config)
{
	const struct program_peer all[] = {
		{PEER_QEMU,
		 {{p->peers[PEER_QEMU], "-accel", "kvm", "-cpu",
		   "host,-arch-capabilities", "-M",
		   "microvm,x-option-roms=off,pit=off,pic=off,rtc=off", "-m",
		   "128", "-nodefaults", "-no-user-config", "-display", "none",
		   "-no-reboot", "-kernel", p->guest, NULL}}},
		{PEER_FIRECRACKER,
		 {{p->peers[PEER_FIRECRACKER], "--no-api", "--config-file",
		   config, NULL}}},
		/* It starts again after a triple fault; so the guest ends it.
		 */
		{PEER_CLOUD_HYPERVISOR,
		 {{p->peers[PEER_CLOUD_HYPERVISOR], "--kernel", p->guest,
		   "--cmdline", "P", "--cpus", "boot=1", "--memory",
		   "size=128M", "--serial", "null", "--console", "off", NULL}}},
	};

	return program_peers(lanes, programs, p, all,
			     sizeof(all) / sizeof(all[0]));
}

int bench_start(struct result *r, const struct bench *b, struct err *e)
{
	char config[PATH_MAX + 16];
	struct program ours = {
		{b->parts->mayfly, "--no-api", "--config-file", config, NULL}};
	struct program floor = {
		{b->parts->floor, "start", b->parts->guest, NULL}};
	struct program peers[PEER_COUNT];
	struct lane lanes[2 + PEER_COUNT];
	unsigned count = 2;
	int rc;

	snprintf(config, sizeof(config), "%s/start.json", b->parts->scratch);
	rc = machine_write_config(config, b->parts->guest, "end", MACHINE_MIB,
				  e);
	if (rc)
		return rc;
	program_lane(&lanes[0], "mayfly", &ours);
	program_lane(&lanes[1], "floor", &floor);
	count += add_peers(&lanes[2], peers, b->parts, config);
	rc = rounds_run(r, lanes, count, &b->pace, e);
	return rc ? rc : phases_measure(r, ours.argv, PHASE_ROUNDS, e);
}
