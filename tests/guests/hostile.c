/*
 * The hostile guest: finds the devices, lets every attack loose on each, and
 * after each attack demands two proofs: that another device still answers, and
 * that the attacked one does after a reset. Ends asleep, so that its monitor's
 * memory and idleness can be looked at; see tests/vm/hostile.
 */
#include "tests/guests/hostile.h"

void hostile_main(void);

static const struct kind *const kinds[] = {&block_kind, &net_kind, &vsock_kind};

static struct device devices[SLOT_COUNT];
static unsigned device_count;

static struct queue victim_queues[QUEUES];
static struct queue witness_queues[QUEUES];

static struct device *witness;
static uint64_t witness_slowest;
static const char *witness_slowest_at;
static const char *attack_now;

static const struct kind *kind_of(uint32_t id)
{
	unsigned i;

	for (i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++)
		if (kinds[i]->id == id)
			return kinds[i];
	return NULL;
}

static void find_devices(void)
{
	struct device *d = devices;
	unsigned slot, i;

	for (slot = 0; slot < SLOT_COUNT; slot++) {
		d->base = SLOTS + slot * SLOT_SIZE;
		if (reg_read(d, REG_MAGIC) != MAGIC)
			continue;
		d->kind = kind_of(reg_read(d, REG_DEVICE_ID));
		if (!d->kind)
			continue;
		d->number = 0;
		for (i = 0; i < device_count; i++)
			d->number += devices[i].kind == d->kind;
		d++;
		device_count++;
	}
}

/* A block device other than d: what it reads can be checked. */
static struct device *choose_witness(const struct device *d)
{
	unsigned i;

	for (i = 0; i < device_count; i++)
		if (&devices[i] != d && devices[i].kind == &block_kind)
			return &devices[i];
	return NULL;
}

const char *witness_answers(const struct device *d)
{
	const char *why;
	uint64_t begin, took;

	if (!witness || witness == d) {
		if (witness)
			device_reset(witness);
		witness = choose_witness(d);
		WANT(witness, "there is no other device");
		witness->queue = witness_queues;
		WANT(device_up(witness, F_ALL), "another did not come up");
	}
	begin = moment_now();
	why = witness->kind->prove(witness);
	took = moment_now() - begin;
	if (took > witness_slowest) {
		witness_slowest = took;
		witness_slowest_at = attack_now;
	}
	return why;
}

static const char *run(struct device *d, const struct attack *attack)
{
	const char *why;

	attack_now = attack->name;
	d->queue = victim_queues;
	if (!attack->stays_down &&
	    !device_up(d, attack->features ? attack->features : F_ALL))
		return "it did not come up";
	why = attack->run(d);
	if (why)
		return why;
	why = witness_answers(d);
	if (why)
		return why;
	WANT(device_up(d, F_ALL), "it did not come up again");
	return d->kind->prove(d);
}

static void report(const struct device *d, const char *name, const char *why)
{
	print(why ? "not ok - " : "ok - ");
	print(d->kind->name);
	print(" ");
	print_number(d->number);
	print(": ");
	print(name);
	print("\n");
	if (!why)
		return;
	print("#   ");
	print(why);
	print(" (status ");
	print_hex(reg_read(d, REG_STATUS));
	print(")\n");
}

static void run_all(struct device *d, const struct attack *attacks)
{
	const uint64_t begin = moment_now();
	const struct attack *a;

	for (a = attacks; a->name; a++)
		report(d, a->name, run(d, a));
	device_reset(d);
	print("# ");
	print_number(us_of(moment_now() - begin) / 1000);
	print(" ms\n");
}

void hostile_main(void)
{
	unsigned i;

	find_devices();
	print("# hostile guest: ");
	print_number(device_count);
	print(" devices\n");
	for (i = 0; i < device_count; i++) {
		struct device *d = &devices[i];

		/* What all devices share, for one of each kind. */
		if (!d->number) {
			run_all(d, transport_attacks);
			run_all(d, queue_attacks);
			run_all(d, ring_attacks);
			run_all(d, race_attacks);
		}
		if (d->kind == &block_kind)
			run_all(d, block_attacks);
		if (d->kind == &net_kind)
			run_all(d, net_attacks);
		if (d->kind == &vsock_kind)
			run_all(d, vsock_attacks);
	}
	print("# figure: slowest answer of a device while another was attacked"
	      " = ");
	print_number(us_of(witness_slowest));
	print(" us (");
	print(witness_slowest_at);
	print(")\n# asleep\n");
}
