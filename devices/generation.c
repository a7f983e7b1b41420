/*
 * The generation of a machine: 16 bytes of an id, and behind them the page of a
 * VMClock (linux/vmclock-abi.h), which says how often the guest's time and its
 * whole life have jumped. It tells no time: what a guest has of its clock comes
 * from KVM.
 *
 * Both are the guest's memory, which it may write as it likes; what they say is
 * kept here, and never read there. They cost a start two pages and no system
 * call: the first id is made of the random bytes that Linux gives each program
 * it starts. The C library takes its own secrets from these, so the guest gets
 * what leads back to none of them. Later ids are getrandom()'s: machines that
 * are loaded from the same file have nothing else that sets them apart.
 */
#include "devices/generation.h"

#include <errno.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/auxv.h>
#include <sys/random.h>

#include "vmm/base/le.h"
#include "vmm/state/hmac.h"

enum { ID_BYTES = 16, RANDOM_BYTES = 16, STATE = 1 };

/* vmclock-abi.h, version 1. */
#define CLOCK_MAGIC 0x4b4c4356U /* "VCLK" */
enum { CLOCK_VERSION = 1, CLOCK_BYTES = 4096, NO_COUNTER = 0xff };
enum { HAS_GENERATION = 1 << 8, HAS_NOTIFICATION = 1 << 9 };

struct vmclock {
	le32_t magic;
	le32_t size;
	le16_t version;
	uint8_t counter_id;
	uint8_t time_type;
	le32_t seq_count; /* odd while the rest changes */
	le64_t disruption_marker;
	le64_t flags;
	uint8_t of_time[72]; /* which we don't tell */
	le64_t vm_generation_counter;
};
_Static_assert(sizeof(struct vmclock) == 112, "as vmclock-abi.h has it");

struct generation {
	struct device device;
	uint8_t id[ID_BYTES];
	/* Of this process's load: the id that it replaced, and by which. */
	bool was_given;
	uint8_t before[ID_BYTES];
	uint8_t given[ID_BYTES];
	uint32_t sequence;
	uint64_t disruptions;
	uint64_t generations;
};

static struct generation *generation_of(struct device *d)
{
	return (struct generation *)d;
}

static int clock_write(const struct generation *g)
{
	const struct device *d = &g->device;
	const struct guest_mem *mem = d->host->mem;
	const uint64_t gpa = d->slot.base + ID_BYTES;
	const uint64_t at = gpa + offsetof(struct vmclock, seq_count);
	struct vmclock clock = {.counter_id = NO_COUNTER};
	le32_t changing, done;
	int rc;

	le32_put(&changing, g->sequence - 1);
	le32_put(&done, g->sequence);
	le32_put(&clock.magic, CLOCK_MAGIC);
	le32_put(&clock.size, CLOCK_BYTES);
	le16_put(&clock.version, CLOCK_VERSION);
	clock.seq_count = changing;
	le64_put(&clock.disruption_marker, g->disruptions);
	le64_put(&clock.flags, HAS_GENERATION | HAS_NOTIFICATION);
	le64_put(&clock.vm_generation_counter, g->generations);
	rc = guest_mem_write(mem, at, &changing, sizeof(changing));
	atomic_thread_fence(memory_order_release);
	rc = rc ? rc : guest_mem_write(mem, gpa, &clock, sizeof(clock));
	atomic_thread_fence(memory_order_release);
	return rc ? rc : guest_mem_write(mem, at, &done, sizeof(done));
}

/* Makes the guest's memory say what we know. */
static int tell(const struct generation *g)
{
	const struct device *d = &g->device;
	int rc = guest_mem_write(d->host->mem, d->slot.base, g->id, ID_BYTES);

	return rc ? rc : clock_write(g);
}

static int generation_start(struct device *d, struct err *e)
{
	static const char purpose[] = "the generation of a machine";
	struct generation *g = generation_of(d);
	uint8_t tag[HMAC_LEN];
	const uint8_t *random = (const uint8_t *)getauxval(AT_RANDOM);

	if (!random)
		return err_set(e, -ENOTSUP,
			       "this kernel gives programs no random bytes "
			       "(AT_RANDOM)");
	hmac_sha256(random, RANDOM_BYTES, purpose, sizeof(purpose), tag);
	memcpy(g->id, tag, ID_BYTES);
	if (tell(g))
		return err_set(e, -EFAULT, "no memory for an id");
	return 0;
}

/* Has the guest take the id that was given for another, and look. */
static int give(struct generation *g, struct err *e)
{
	struct device *d = &g->device;
	int rc;

	memcpy(g->id, g->given, ID_BYTES);
	g->sequence += 2;
	g->disruptions++;
	g->generations++;
	rc = tell(g);
	rc = rc ? rc : vm_pulse(d->host->vm, d->slot.gsi);
	if (rc)
		return err_set(e, rc, "can't tell the guest its new id: %s",
			       strerror(-rc));
	return 0;
}

int generation_changed(struct device *d, struct err *e)
{
	struct generation *g = generation_of(d);

	if (getrandom(g->given, ID_BYTES, 0) != ID_BYTES)
		return err_errno(e, "no random bytes for the machine's id");
	memcpy(g->before, g->id, ID_BYTES);
	g->was_given = true;
	return give(g, e);
}

int generation_again(struct device *d, struct err *e)
{
	struct generation *g = generation_of(d);

	if (!g->was_given || memcmp(g->id, g->before, ID_BYTES) != 0)
		return 0;
	return give(g, e);
}

static void generation_visit(struct device *d, struct visitor *v)
{
	struct generation *g = generation_of(d);
	uint32_t sequence = g->sequence;

	visit_bytes(v, g->id, ID_BYTES);
	visit_u32(v, &sequence);
	visit_u64(v, &g->disruptions);
	visit_u64(v, &g->generations);
	if (!visit_check(v, sequence % 2 == 0,
			 "a VMClock in the middle of a change"))
		return;
	g->sequence = sequence;
	/* start() has put another id there, maybe over the guest's memory. */
	if (v->is_loading && tell(g))
		visit_fail(v, -EFAULT, "no memory for the machine's id");
}

static void generation_free(struct device *d)
{
	free(d);
}

static const struct device_ops generation_ops = {
	.name = "generation",
	.kind = ARCH_GENERATION,
	.start = generation_start,
	.visit = generation_visit,
	.state = STATE,
	.free = generation_free,
};

int generation_new(struct device **out, struct err *e)
{
	struct generation *g = calloc(1, sizeof(*g));

	if (!g)
		return err_set(e, -ENOMEM, "no memory for a generation");
	g->device.ops = &generation_ops;
	*out = &g->device;
	return 0;
}
