/*
 * bench boot: the same kernel and initrd in each monitor, from exec to the end
 * of a process whose guest reboots as soon as its init runs; and each monitor
 * with the kernel and the flags that it recommends itself.
 */
#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/utsname.h>
#include <unistd.h>

#include "api/ctl/bench/bench.h"
#include "api/ctl/bench/guest.h"
#include "api/ctl/bench/phases.h"
#include "api/ctl/bench/program.h"

#define INIT  "acpi=off mayfly.do=reboot"
#define ARGS  "console=ttyS0 quiet reboot=t panic=1 " INIT
#define TIMED " mayfly.boottimer"
#define SAYS  "mayfly-init: Linux"
/* As `mayctl run` has it: nobody listens at a serial port. */
#define OWN_ARGS  "quiet reboot=k panic=-1 8250.nr_uarts=0 " INIT TIMED
#define OWN_SAYS  "Guest-boot-time"
#define QEMU_ARGS "earlyprintk=ttyS0 console=ttyS0 reboot=t mayfly.do=reboot"
#define FIRE_ARGS "console=ttyS0 reboot=k panic=1 mayfly.do=reboot"

enum { PHASE_ROUNDS = 5, MIB = 128 };
enum { OURS, PHASES, QEMU, FIRECRACKER, KVMTOOL, PROGRAMS };

const struct bench_measure bench_boot_more[] = {
	{"boot-own",
	 "the same, each monitor with the kernel and flags it recommends",
	 "ms"},
	{0},
};

/* One table of lanes. */
struct boots {
	struct guest guest;
	struct guest_words words[PROGRAMS];
	struct program programs[PROGRAMS];
	struct lane lanes[PROGRAMS];
	unsigned count;
};

static void add(struct boots *b, unsigned who, const char *name,
		const char *says)
{
	struct program *p = &b->programs[who];

	memcpy(p->argv, b->words[who].argv, sizeof(p->argv));
	p->says = says;
	program_lane(&b->lanes[b->count++], name, p);
}

/*
 * In that monitor's words, which name a file of that name. QEMU always asks for
 * huge pages, so mayfly does here.
 */
static int make(struct boots *b, unsigned who, const char *file,
		const char *args, const struct parts *p, struct err *e)
{
	const struct guest_how how = {
		.program = who == FIRECRACKER ? p->peers[PEER_FIRECRACKER]
					      : p->mayfly,
		.huge_pages = who == FIRECRACKER ? "None" : "Transparent",
	};
	char config[PATH_MAX + 32];

	snprintf(b->guest.args, sizeof(b->guest.args), "%s", args);
	snprintf(config, sizeof(config), "%s/%s.json", p->scratch, file);
	return guest_mayfly(&b->words[who], &b->guest, &how, config, e);
}

static void add_qemu(struct boots *b, const char *program, const char *machine)
{
	const struct guest_how how = {.program = program, .machine = machine};

	guest_qemu(&b->words[QEMU], &b->guest, &how);
	add(b, QEMU, peer_name(PEER_QEMU), SAYS);
}

static void add_kvmtool(struct boots *b, const char *program)
{
	const char *const argv[] = {program,	 "run",
				    "-k",	 b->guest.kernel,
				    "-i",	 b->guest.initrd,
				    "-m",	 "128",
				    "-c",	 "1",
				    "-p",	 b->guest.args,
				    "--console", "serial",
				    NULL};

	memcpy(b->words[KVMTOOL].argv, argv, sizeof(argv));
	add(b, KVMTOOL, peer_name(PEER_KVMTOOL), SAYS);
}

/* ---- the same for all ---------------------------------------------------- */

static int add_same(struct boots *b, const struct parts *p, struct err *e)
{
	int rc = make(b, PHASES, "timed", ARGS TIMED, p, e);

	if (!rc)
		rc = make(b, OURS, "boot", ARGS, p, e);
	if (rc)
		return rc;
	add(b, OURS, "mayfly", SAYS);
	if (*p->peers[PEER_QEMU])
		add_qemu(b, p->peers[PEER_QEMU], NULL);
	if (*p->peers[PEER_FIRECRACKER]) {
		rc = make(b, FIRECRACKER, "peer", ARGS, p, e);
		add(b, FIRECRACKER, peer_name(PEER_FIRECRACKER), SAYS);
	}
	if (*p->peers[PEER_KVMTOOL])
		add_kvmtool(b, p->peers[PEER_KVMTOOL]);
	return rc;
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

static int run_same(struct result *r, struct boots *b, const struct bench *of,
		    struct err *e)
{
	const struct pace pace = guest_pace(of);
	int rc = add_same(b, of->parts, e);

	if (!rc)
		rc = rounds_run(r, b->lanes, b->count, &pace, e);
	if (*of->parts->peers[PEER_CLOUD_HYPERVISOR])
		result_leave_out(r, peer_name(PEER_CLOUD_HYPERVISOR),
				 "it starts its guest again when that reboots");
	if (!rc)
		rc = phases_measure(r, b->words[PHASES].argv,
				    pace.rounds < PHASE_ROUNDS ? pace.rounds
							       : PHASE_ROUNDS,
				    e);
	if (!rc)
		tell_share(r);
	return rc;
}

/* ---- each as it likes ---------------------------------------------------- */

/* QEMU has no kernel of its own: its users take their system's. */
static bool find_qemu_kernel(char out[PATH_MAX], const struct bench *of)
{
	struct utsname u;

	if (of->kernels[PEER_QEMU])
		return snprintf(out, PATH_MAX, "%s", of->kernels[PEER_QEMU]) >
		       0;
	uname(&u);
	snprintf(out, PATH_MAX, "/boot/vmlinuz-%s", u.release);
	return !access(out, R_OK);
}

/* The machine with all that it has unless told otherwise. */
static void add_own_qemu(struct result *r, struct boots *b,
			 const struct bench *of)
{
	if (!find_qemu_kernel(b->guest.kernel, of)) {
		result_leave_out(r, peer_name(PEER_QEMU),
				 "this system's kernel is not in /boot; "
				 "--qemu-kernel names one");
		return;
	}
	snprintf(b->guest.args, sizeof(b->guest.args), QEMU_ARGS);
	add_qemu(b, of->parts->peers[PEER_QEMU], "microvm");
}

static int add_own_firecracker(struct result *r, struct boots *b,
			       const struct bench *of, struct err *e)
{
	const char *kernel = of->kernels[PEER_FIRECRACKER];
	int rc;

	if (!kernel) {
		result_leave_out(r, peer_name(PEER_FIRECRACKER),
				 "--firecracker-kernel names the kernel that "
				 "its project builds");
		return 0;
	}
	snprintf(b->guest.kernel, sizeof(b->guest.kernel), "%s", kernel);
	rc = make(b, FIRECRACKER, "peer-own", FIRE_ARGS, of->parts, e);
	add(b, FIRECRACKER, peer_name(PEER_FIRECRACKER), SAYS);
	return rc;
}

static int run_own(struct result *r, struct boots *b, const struct bench *of,
		   struct err *e)
{
	const struct pace pace = guest_pace(of);
	const struct parts *p = of->parts;
	unsigned n = 0;
	int rc = make(b, OURS, "own", OWN_ARGS, p, e);

	if (rc)
		return rc;
	while (b->words[OURS].argv[n])
		n++;
	b->words[OURS].argv[n++] = "--boot-timer";
	b->words[OURS].argv[n++] = "--level"; /* which tells its time */
	b->words[OURS].argv[n] = "Info";
	b->count = 0;
	add(b, OURS, "mayfly", OWN_SAYS);
	if (*p->peers[PEER_QEMU])
		add_own_qemu(r, b, of);
	if (*p->peers[PEER_FIRECRACKER])
		rc = add_own_firecracker(r, b, of, e);
	return rc ? rc : rounds_run(r, b->lanes, b->count, &pace, e);
}

int bench_boot(struct result *r, const struct bench *b, struct err *e)
{
	struct boots *boots = calloc(1, sizeof(*boots));
	int rc = guest_check(b, "boot", e);

	if (!boots)
		return err_set(e, -ENOMEM, "no memory for a bench");
	if (!rc)
		rc = guest_find(&boots->guest, "bench-initrd", e);
	if (!rc) {
		boots->guest.mib = MIB;
		rc = run_same(&r[0], boots, b, e);
	}
	if (!rc)
		rc = run_own(&r[1], boots, b, e);
	free(boots);
	return rc;
}
