/*
 * A machine that is saved and loaded, over an ioctl() of our own: its devices'
 * sections, and which pages a diff has. It has no vCPU.
 */
#include "vmm/machine/saved.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/sysinfo.h>
#include <unistd.h>

#include <cmocka.h>

#include "vmm/base/fd.h"
#include "vmm/machine/parts.h"

enum { PAGE = 4096, LOW = 64, HIGH = 16, PAGES = LOW + HIGH };

static struct {
	unsigned fail_slot; /* whose log can't be had; 9 for none */
	int fail_errno;
	uint64_t dirty[2]; /* what the guest wrote to, by slot */
	uint32_t flags[2]; /* of slots */
} kvm_fake;

static int get_log(const struct kvm_dirty_log *log)
{
	uint64_t *bits = log->dirty_bitmap;

	if (log->slot == kvm_fake.fail_slot) {
		errno = kvm_fake.fail_errno;
		return -1;
	}
	*bits = kvm_fake.dirty[log->slot];
	kvm_fake.dirty[log->slot] = 0;
	return 0;
}

/* The C library's declarations, in whose place these stand. */
int ioctl(int fd, unsigned long request, ...)
{
	struct kvm_userspace_memory_region slot;
	va_list ap;
	void *arg;

	(void)fd;
	va_start(ap, request);
	arg = va_arg(ap, void *);
	va_end(ap);
	if (request == KVM_GET_DIRTY_LOG)
		return get_log(arg);
	if (request == KVM_SET_USER_MEMORY_REGION) {
		memcpy(&slot, arg, sizeof(slot));
		kvm_fake.flags[slot.slot] = slot.flags;
	}
	return 0;
}

int sysinfo(struct sysinfo *out)
{
	memset(out, 0, sizeof(*out));
	return 0;
}

/* A device that is a number, and quiet at the third asking. */
struct thing {
	struct device device; /* first */
	uint32_t number;
	unsigned held;
	unsigned released;
	unsigned settles; /* calls until it has settled */
};

static bool thing_hold(struct device *d)
{
	struct thing *t = (struct thing *)d;

	t->held++;
	return t->held >= 3;
}

static void thing_release(struct device *d)
{
	((struct thing *)d)->released++;
}

static bool thing_settle(struct device *d)
{
	struct thing *t = (struct thing *)d;

	if (t->settles)
		t->settles--;
	return !t->settles;
}

static void thing_visit(struct device *d, struct visitor *v)
{
	struct thing *t = (struct thing *)d;

	visit_u32(v, &t->number);
	visit_check(v, t->number < 100, "a thing of %u", t->number);
}

static const struct device_ops thing_ops = {
	.name = "thing",
	.state = 2,
	.visit = thing_visit,
	.hold = thing_hold,
	.release = thing_release,
	.settle = thing_settle,
};

/* As a serial console without a guest's state. */
static const struct device_ops mute_ops = {.name = "mute"};

static struct thing things[3];
static struct machine m;

static int setup_with(enum guest_mem_kind kind)
{
	const struct guest_range ranges[] = {
		{0, (uint64_t)LOW * PAGE}, {1ULL << 32, (uint64_t)HIGH * PAGE}};
	const struct arch_topology topology = {.vcpus = 1};
	struct err e;
	unsigned i;

	memset(&kvm_fake, 0, sizeof(kvm_fake));
	kvm_fake.fail_slot = 9;
	kvm_fake.fail_errno = EIO;
	memset(&m, 0, sizeof(m));
	memset(things, 0, sizeof(things));
	m.vm = (struct vm){.fd = 4, .kvm = &m.kvm};
	things[0].device.id = "a";
	things[1].device.id = "b";
	for (i = 0; i < 3; i++) {
		things[i].device.ops = i < 2 ? &thing_ops : &mute_ops;
		things[i].device.slot.base = 0xd0000000 + i * PAGE;
		things[i].device.slot.gsi = 5 + i;
		things[i].number = 10 + i;
		m.devices[i] = &things[i].device;
	}
	m.device_count = 3;
	if (guest_mem_open(&m.mem, ranges, 2,
			   &(struct guest_mem_backing){kind, -1, 0}, &e) ||
	    arch_new(&m.arch, &m.kvm, &topology, &e))
		return -1;
	return arch_attach(m.arch, &m.vm, &m.mmio, &m.pio, &e);
}

static int setup(void **state)
{
	(void)state;
	return setup_with(GUEST_MEM_SMALL);
}

static int teardown(void **state)
{
	(void)state;
	arch_free(m.arch);
	free(m.written);
	free(m.fresh);
	free(m.since_mark);
	guest_mem_close(&m.mem);
	return 0;
}

/* ---- what is quiet ---------------------------------------------------------
 */

static void devices_are_held_until_all_are_quiet(void **state)
{
	struct err e;

	(void)state;
	assert_int_equal(machine_quiet(&m, &e), 0);
	assert_int_equal(things[0].held, 3);
	assert_int_equal(things[1].held, 3);
	/* Again, nothing; and released once. */
	assert_int_equal(machine_quiet(&m, &e), 0);
	assert_int_equal(things[0].held, 3);
	assert_int_equal(things[0].released, 0);
	machine_unquiet(&m);
	machine_unquiet(&m);
	assert_int_equal(things[0].released, 1);
	assert_int_equal(things[1].released, 1);
}

static struct state *save(void)
{
	struct state *s = state_new();
	struct err e;

	if (machine_save(&m, s, &e))
		fail_msg("%s", e.text);
	return s;
}

static void a_save_leaves_things_as_they_were(void **state)
{
	struct state *s = save();
	struct err e;

	(void)state;
	assert_false(m.is_quiet);
	assert_int_equal(things[0].released, 1);
	state_free(s);
	/* In a longer quiet it does not end that. */
	assert_int_equal(machine_quiet(&m, &e), 0);
	state_free(save());
	assert_true(m.is_quiet);
	assert_int_equal(things[0].released, 1);
}

static void sections_have_the_names_of_devices(void **state)
{
	static const char *const names[] = {"model", "platform", "thing a",
					    "thing b"};
	struct state *s = save();
	unsigned i;

	(void)state;
	for (i = 0; i < 4; i++)
		assert_string_equal(state_name(s, i), names[i]);
	assert_null(state_name(s, i));
	state_free(s);
}

static int load(const struct state *s, struct err *e)
{
	int rc;

	memset(e, 0, sizeof(*e));
	m.state = s;
	rc = saved_load(&m, e);
	m.state = NULL;
	return rc;
}

static void devices_come_back_and_stay_held(void **state)
{
	struct state *s = save();
	struct err e;

	(void)state;
	things[0].number = things[1].number = 1;
	things[0].released = 0;
	things[1].settles = 3;
	assert_int_equal(load(s, &e), 0);
	assert_int_equal(things[0].number, 10);
	assert_int_equal(things[1].number, 11);
	assert_int_equal(things[1].settles, 0);
	assert_int_equal(things[0].released, 0);
	machine_unquiet(&m);
	assert_int_equal(things[0].released, 1);
	state_free(s);
}

static void what_does_not_fit_is_named(void **state)
{
	static const struct device_ops newer = {
		.name = "thing", .state = 1, .visit = thing_visit};
	struct state *s = save();
	struct err e;

	(void)state;
	things[1].device.slot.gsi = 9;
	assert_true(load(s, &e) < 0);
	assert_non_null(strstr(e.text, "the state's section 'thing b'"));
	assert_non_null(strstr(e.text, "was at 0xd0001000 with interrupt 6, "
				       "and here would be at 0xd0001000 with "
				       "9"));
	things[1].device.slot.gsi = 6;
	things[1].device.id = "c";
	assert_int_equal(load(s, &e), -ENOENT);
	assert_non_null(strstr(e.text, "thing c"));
	things[1].device.id = "b";
	things[1].device.ops = &newer;
	assert_int_equal(load(s, &e), -ENOTSUP);
	assert_non_null(strstr(e.text, "thing b"));
	things[1].device.ops = &thing_ops;
	assert_int_equal(load(s, &e), 0);
	state_free(s);
	/* A number that the device refuses. */
	things[0].number = 100;
	s = save();
	assert_true(load(s, &e) < 0);
	assert_non_null(strstr(e.text, "'thing a'"));
	assert_non_null(strstr(e.text, "a thing of 100"));
	state_free(s);
}

static int check_names(const struct state *s, struct err *e)
{
	int rc;

	memset(e, 0, sizeof(*e));
	m.state = s;
	rc = saved_check(&m, e);
	m.state = NULL;
	return rc;
}

static void add(struct state *s, const char *name)
{
	struct visitor v;

	visitor_save(&v, 1, NULL);
	assert_int_equal(state_add(s, name, &v, NULL), 0);
}

/* It would be state of the guest that is lost. */
static void a_section_that_nobody_asks_for_is_refused(void **state)
{
	static const char *const others[] = {"thing c", "thing", "vcpu 2",
					     "vcpu 00", "mute",	 "balloon"};
	struct state *s;
	struct err e;
	unsigned i;

	(void)state;
	m.config.vcpus = 2;
	for (i = 0; i < sizeof(others) / sizeof(others[0]); i++) {
		m.config.vcpus = 0;
		s = save();
		m.config.vcpus = 2;
		add(s, "config");
		add(s, "vcpu 0");
		add(s, "vcpu 1");
		assert_int_equal(check_names(s, &e), 0);
		add(s, others[i]);
		assert_int_equal(check_names(s, &e), -ENOTSUP);
		assert_non_null(strstr(e.text, others[i]));
		state_free(s);
	}
	m.config.vcpus = 0;
}

/* ---- which pages ------------------------------------------------------------
 */

static void touch(unsigned page, uint8_t value)
{
	m.mem.map[(size_t)page * PAGE] = value;
}

/* As the guest: KVM notes it, where it was told to. */
static void guest_writes(unsigned page, uint8_t value)
{
	const unsigned slot = page >= LOW;

	touch(page, value);
	if (kvm_fake.flags[slot] & KVM_MEM_LOG_DIRTY_PAGES)
		kvm_fake.dirty[slot] |= 1ULL << (page - (slot ? LOW : 0));
}

static void track(void)
{
	struct err e;

	assert_int_equal(vm_map(&m.vm, &m.mem, true, &e), 0);
	assert_int_equal(saved_track(&m, &e), 0);
}

/* A diff's pages, as 1 for each that has data in a file of its own. */
static int diff(uint8_t pages[PAGES], struct err *e)
{
	CLEAN_FD int fd = memfd_create("diff", MFD_CLOEXEC);
	struct image_figures figures;
	unsigned i;
	int rc;

	memset(pages, 0, PAGES);
	assert_int_equal(ftruncate(fd, (off_t)PAGES * PAGE), 0);
	rc = machine_write_image(&m, MACHINE_IMAGE_DIFF, fd, 0, &figures, e);
	for (i = 0; i < PAGES && !rc; i++)
		pages[i] = lseek(fd, (off_t)i * PAGE, SEEK_DATA) ==
			   (off_t)i * PAGE;
	return rc;
}

static void expect_diff(const unsigned *list, unsigned count)
{
	uint8_t wanted[PAGES] = {0}, pages[PAGES];
	struct err e = {0};
	unsigned i;

	for (i = 0; i < count; i++)
		wanted[list[i]] = 1;
	if (diff(pages, &e))
		fail_msg("%s", e.text);
	assert_memory_equal(pages, wanted, PAGES);
}

#define EXPECT_DIFF(...)                                      \
	expect_diff((const unsigned[]){__VA_ARGS__},          \
		    sizeof((const unsigned[]){__VA_ARGS__}) / \
			    sizeof(unsigned))

static void a_diff_has_what_was_written_since_the_last(void **state)
{
	(void)state;
	touch(3, 1);
	track();
	expect_diff(NULL, 0);
	guest_writes(1, 1);
	guest_writes(LOW, 1);
	assert_int_equal(guest_mem_write(&m.mem, 5 * PAGE, "x", 1), 0);
	/* Zeroes too: they may go over something else. */
	guest_writes(7, 0);
	EXPECT_DIFF(1, 5, 7, LOW);
	/* Nobody said that the file is safe: it has them again. */
	guest_writes(2, 1);
	EXPECT_DIFF(1, 2, 5, 7, LOW);
	machine_image_kept(&m);
	expect_diff(NULL, 0);
	guest_writes(LOW + HIGH - 1, 1);
	EXPECT_DIFF(LOW + HIGH - 1);
}

static void a_full_image_begins_anew_where_it_was_kept(void **state)
{
	CLEAN_FD int fd = memfd_create("full", MFD_CLOEXEC);
	struct image_figures figures;
	struct err e;

	(void)state;
	track();
	guest_writes(1, 1);
	assert_int_equal(machine_write_image(&m, MACHINE_IMAGE_FULL, fd, 0,
					     &figures, &e),
			 0);
	assert_int_equal(figures.written, PAGE);
	EXPECT_DIFF(1);
	machine_image_kept(&m);
	expect_diff(NULL, 0);
}

/* KVM forgets what it tells. */
static void a_log_that_is_half_told_is_not_lost(void **state)
{
	uint8_t pages[PAGES];
	struct err e;

	(void)state;
	track();
	guest_writes(4, 1);
	guest_writes(LOW + 2, 1);
	assert_int_equal(guest_mem_write(&m.mem, 9 * PAGE, "x", 1), 0);
	kvm_fake.fail_slot = 1;
	assert_int_equal(diff(pages, &e), -EIO);
	assert_int_equal(kvm_fake.dirty[0], 0);
	kvm_fake.fail_slot = 9;
	EXPECT_DIFF(4, 9, LOW + 2);
}

static void without_a_log_a_diff_has_all_that_was_touched(void **state)
{
	(void)state;
	touch(1, 1);
	touch(2, 0);
	touch(LOW + 1, 1);
	EXPECT_DIFF(1, 2, LOW + 1);
	machine_image_kept(&m);
	EXPECT_DIFF(1, 2, LOW + 1);
}

static void a_mark_begins_a_log_without_losing_what_was_touched(void **state)
{
	struct state *s = state_new();
	struct err e = {0};

	(void)state;
	touch(1, 1);
	touch(2, 0);
	if (machine_mark(&m, s, &e))
		fail_msg("%s", e.text);
	assert_ptr_equal(m.marked, s);
	assert_int_equal(kvm_fake.flags[0], KVM_MEM_LOG_DIRTY_PAGES);
	assert_int_equal(kvm_fake.flags[1], KVM_MEM_LOG_DIRTY_PAGES);
	guest_writes(LOW, 1);
	EXPECT_DIFF(1, 2, LOW);
	machine_image_kept(&m);
	guest_writes(4, 1);
	EXPECT_DIFF(4);
	/* For a reset it is all since the mark, kept or not. */
	assert_true(m.since_mark[0] == 1ULL << 4);
	assert_true(m.since_mark[1] == 1);
	state_free(s);
}

static void a_mark_of_anonymous_memory_likewise(void **state)
{
	teardown(state);
	assert_int_equal(setup_with(GUEST_MEM_TRANSPARENT), 0);
	madvise(m.mem.map, m.mem.size, MADV_NOHUGEPAGE);
	a_mark_begins_a_log_without_losing_what_was_touched(state);
}

/* What the older mark goes back to is still known. */
static void a_mark_that_fails_leaves_the_older_one(void **state)
{
	struct state *s = state_new(), *other = state_new();
	struct err e = {0};

	(void)state;
	assert_int_equal(machine_mark(&m, s, &e), 0);
	guest_writes(6, 1);
	m.mem.kind = GUEST_MEM_HUGE_2M;
	assert_int_equal(machine_mark(&m, other, &e), -EOPNOTSUPP);
	m.mem.kind = GUEST_MEM_FILE;
	assert_ptr_equal(m.marked, s);
	assert_true(m.since_mark[0] == 1ULL << 6);
	assert_int_equal(machine_mark(&m, other, &e), 0);
	assert_int_equal(m.since_mark[0], 0);
	state_free(s);
	state_free(other);
}

static void a_reset_brings_memory_and_devices_back(void **state)
{
	struct err e = {0};
	struct state *s;

	(void)state;
	assert_int_equal(machine_reset(&m, &e), -EPERM);
	touch(1, 11);
	s = save();
	assert_int_equal(machine_mark(&m, s, &e), 0);
	guest_writes(1, 22);
	guest_writes(LOW + 3, 22);
	assert_int_equal(guest_mem_write(&m.mem, 5 * PAGE, "x", 1), 0);
	things[0].number = 77;
	if (machine_reset(&m, &e))
		fail_msg("%s", e.text);
	assert_int_equal(m.mem.map[PAGE], 11);
	assert_int_equal(m.mem.map[(size_t)(LOW + 3) * PAGE], 0);
	assert_int_equal(m.mem.map[(size_t)5 * PAGE], 0);
	assert_int_equal(things[0].number, 10);
	assert_true(m.is_quiet);
	/* The next diff tells that they are as they were. */
	EXPECT_DIFF(1, 5, LOW + 3);
	state_free(s);
}

static void a_reset_that_breaks_off_is_no_refusal(void **state)
{
	struct state *s = save();
	struct err e = {0};

	(void)state;
	assert_int_equal(machine_mark(&m, s, &e), 0);
	kvm_fake.fail_slot = 1;
	kvm_fake.fail_errno = EPERM;
	assert_int_equal(machine_reset(&m, &e), -EIO);
	assert_int_equal(e.code, -EIO);
	assert_non_null(strstr(e.text, "KVM_GET_DIRTY_LOG"));
	state_free(s);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(devices_are_held_until_all_are_quiet),
		TEST(a_save_leaves_things_as_they_were),
		TEST(sections_have_the_names_of_devices),
		TEST(devices_come_back_and_stay_held),
		TEST(what_does_not_fit_is_named),
		TEST(a_section_that_nobody_asks_for_is_refused),
		TEST(a_diff_has_what_was_written_since_the_last),
		TEST(a_full_image_begins_anew_where_it_was_kept),
		TEST(a_log_that_is_half_told_is_not_lost),
		TEST(without_a_log_a_diff_has_all_that_was_touched),
		TEST(a_mark_begins_a_log_without_losing_what_was_touched),
		TEST(a_mark_of_anonymous_memory_likewise),
		TEST(a_mark_that_fails_leaves_the_older_one),
		TEST(a_reset_brings_memory_and_devices_back),
		TEST(a_reset_that_breaks_off_is_no_refusal),
	};

	return cmocka_run_group_tests_name("saved", tests, NULL, NULL);
}
