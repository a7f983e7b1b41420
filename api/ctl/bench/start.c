/*
 * bench start: from exec to the end of a process whose guest ends at once, so
 * that all of it is the monitor's.
 */
#include <errno.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "api/ctl/bench/bench.h"
#include "api/ctl/bench/machine.h"
#include "api/ctl/bench/spawn.h"
#include "vmm/base/fd.h"

enum { PHASE_ROUNDS = 15, PHASES = 4 };

struct program {
	const char *argv[SPAWN_WORDS_MAX];
};

static int once(void *context, double *ms, struct err *e)
{
	const struct program *p = context;
	const struct spawn_how how = {.argv = p->argv};
	struct spawned s;
	int rc = spawn_begin(&s, &how, e);

	return rc ? rc : spawn_wait(&s, ms, NULL, e);
}

static void add_lane(struct lane *lane, const char *name,
		     const struct program *p)
{
	size_t len = 0;
	unsigned i;

	*lane = (struct lane){
		.name = name,
		.once = once,
		.context = (void *)(uintptr_t)p,
	};
	for (i = 0; p->argv[i] && len < sizeof(lane->command); i++)
		len += (size_t)snprintf(lane->command + len,
					sizeof(lane->command) - len, "%s%s",
					i ? " " : "", p->argv[i]);
}

/* kvmtool loads no ELF file, so it is not among them: linux.c has it. */
static unsigned add_peers(struct lane *lanes, struct program *programs,
			  const struct parts *p, const char *config)
{
	const struct program all[] = {
		{{p->peers[PEER_QEMU], "-accel", "kvm", "-cpu",
		  "host,-arch-capabilities", "-M",
		  "microvm,x-option-roms=off,pit=off,pic=off,rtc=off", "-m",
		  "128", "-nodefaults", "-no-user-config", "-display", "none",
		  "-no-reboot", "-kernel", p->guest, NULL}},
		{{p->peers[PEER_FIRECRACKER], "--no-api", "--config-file",
		  config, NULL}},
		/* It starts again after a triple fault; so the guest ends it.
		 */
		{{p->peers[PEER_CLOUD_HYPERVISOR], "--kernel", p->guest,
		  "--cmdline", "P", "--cpus", "boot=1", "--memory", "size=128M",
		  "--serial", "null", "--console", "off", NULL}},
	};
	static const enum peer who[] = {PEER_QEMU, PEER_FIRECRACKER,
					PEER_CLOUD_HYPERVISOR};
	unsigned i, n = 0;

	for (i = 0; i < sizeof(who) / sizeof(who[0]); i++) {
		if (!*p->peers[who[i]])
			continue;
		programs[n] = all[i];
		add_lane(&lanes[n], peer_name(who[i]), &programs[n]);
		n++;
	}
	return n;
}

/* Reads `timing: exec_us=… start_us=…`; what exec takes is not told to it. */
static int read_phases(int fd, double us[PHASES])
{
	static const char *const names[PHASES] = {
		"start_us=", "load_us=", "run_us=", "guest_us="};
	char text[1024];
	ssize_t n = pread(fd, text, sizeof(text) - 1, 0);
	unsigned i;

	if (n <= 0 || ftruncate(fd, 0) || lseek(fd, 0, SEEK_SET))
		return -EIO;
	text[n] = '\0';
	for (i = 0; i < PHASES; i++) {
		const char *at = strstr(text, names[i]);

		if (!at)
			return -EBADMSG;
		us[i] = strtod(at + strlen(names[i]), NULL);
	}
	return 0;
}

/*
 * Where the time of one start goes, by mayfly's own word; what is left to the
 * whole is before its main() and after its last word.
 */
static int phases(struct result *r, const struct program *p, struct err *e)
{
	static const char *const names[PHASES] = {
		"arguments and configuration", "machine and kernel",
		"to the first entry", "guest to its end"};
	double us[PHASES], values[PHASES + 1][PHASE_ROUNDS], ms;
	struct program timed = *p;
	struct spawn_how how = {.argv = timed.argv};
	CLEAN_FD int fd = memfd_create("timing", MFD_CLOEXEC);
	struct spawned s;
	unsigned i, k;
	int rc = 0;

	for (i = 0; timed.argv[i]; i++)
		;
	timed.argv[i] = "--timing";
	timed.argv[i + 1] = NULL;
	how.err = fd;
	for (k = 0; k < PHASE_ROUNDS && !rc; k++) {
		rc = spawn_begin(&s, &how, e);
		if (!rc)
			rc = spawn_wait(&s, &ms, NULL, e);
		if (!rc && read_phases(fd, us))
			rc = err_set(e, -EBADMSG,
				     "mayfly did not say where its time went");
		for (i = 0; i < PHASES && !rc; i++)
			values[i][k] = us[i];
		values[PHASES][k] = 1000 * ms - us[0] - us[1] - us[2] - us[3];
	}
	for (i = 0; i < PHASES && !rc; i++)
		result_phase(r, names[i], stats_median(values[i], k));
	if (!rc)
		result_phase(r, "exec and exit",
			     stats_median(values[PHASES], k));
	return rc;
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
	add_lane(&lanes[0], "mayfly", &ours);
	add_lane(&lanes[1], "floor", &floor);
	count += add_peers(&lanes[2], peers, b->parts, config);
	rc = rounds_run(r, lanes, count, &b->pace, e);
	return rc ? rc : phases(r, &ours, e);
}
