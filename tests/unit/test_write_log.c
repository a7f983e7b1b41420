/*
 * KVM's log of writes: every slot is logged and asked, and its pages stand
 * where the memory's mapping has them. Over an ioctl() of our own.
 */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <sys/ioctl.h>

#include <cmocka.h>

#include "vmm/kvm/vm.h"

enum { SLOTS = 8, PAGE = 4096 };

static struct {
	struct kvm_userspace_memory_region slots[SLOTS];
	unsigned slot_calls;
	unsigned fail_slot; /* that can't be set or asked; SLOTS for none */
	/* Pages of a slot that the guest wrote to: the first and the last. */
	uint64_t dirty[SLOTS][2];
	unsigned dirty_count[SLOTS];
} fake;

static void set_bit(uint64_t *bits, uint64_t bit)
{
	bits[bit / 64] |= 1ULL << bit % 64;
}

static int get_log(struct kvm_dirty_log *log)
{
	struct kvm_userspace_memory_region *s = &fake.slots[log->slot];
	unsigned i;

	assert_true(log->slot < SLOTS);
	if (!(s->flags & KVM_MEM_LOG_DIRTY_PAGES)) {
		errno = ENOENT;
		return -1;
	}
	/* As KVM: whole words, each of them. */
	memset(log->dirty_bitmap, 0, (s->memory_size / PAGE + 63) / 64 * 8);
	for (i = 0; i < fake.dirty_count[log->slot]; i++)
		set_bit(log->dirty_bitmap, fake.dirty[log->slot][i]);
	fake.dirty_count[log->slot] = 0;
	return 0;
}

/* The C library's declaration, in whose place this one stands. */
int ioctl(int fd, unsigned long request, ...)
{
	uint32_t slot;
	va_list ap;
	void *arg;

	(void)fd;
	va_start(ap, request);
	arg = va_arg(ap, void *);
	va_end(ap);
	memcpy(&slot, arg, sizeof(slot)); /* of both */
	assert_true(slot < SLOTS);
	if (slot == fake.fail_slot) {
		errno = EIO;
		return -1;
	}
	if (request == KVM_GET_DIRTY_LOG)
		return get_log(arg);
	assert_true(request == KVM_SET_USER_MEMORY_REGION);
	memcpy(&fake.slots[slot], arg, sizeof(fake.slots[0]));
	fake.slot_calls++;
	return 0;
}

static struct vm vm = {.fd = 3};

/* 64 pages below the hole, 70 above, as one mapping. */
enum { LOW = 64, HIGH = 70, WORDS = (LOW + HIGH + 63) / 64 };

static struct guest_mem mem;

static int setup(void **state)
{
	const struct guest_range ranges[] = {
		{0, (uint64_t)LOW * PAGE}, {1ULL << 32, (uint64_t)HIGH * PAGE}};

	(void)state;
	memset(&fake, 0, sizeof(fake));
	fake.fail_slot = SLOTS;
	return guest_mem_open(&mem, ranges, 2,
			      &(struct guest_mem_backing){GUEST_MEM_SMALL},
			      NULL);
}

static int teardown(void **state)
{
	(void)state;
	guest_mem_close(&mem);
	return 0;
}

static void expect_slots(unsigned calls, uint32_t flags)
{
	assert_int_equal(fake.slot_calls, calls);
	assert_int_equal(fake.slots[0].flags, flags);
	assert_int_equal(fake.slots[0].guest_phys_addr, 0);
	assert_int_equal(fake.slots[0].memory_size, LOW * PAGE);
	assert_int_equal(fake.slots[0].userspace_addr, (uintptr_t)mem.map);
	assert_int_equal(fake.slots[1].flags, flags);
	assert_int_equal(fake.slots[1].guest_phys_addr, 1ULL << 32);
	assert_int_equal(fake.slots[1].memory_size, HIGH * PAGE);
	assert_int_equal(fake.slots[1].userspace_addr,
			 (uintptr_t)mem.map + LOW * PAGE);
}

/* KVM takes a change of flags alone: all else has to be as it was. */
static void a_log_begins_and_ends_on_all_of_the_memory(void **state)
{
	struct err e = {0};

	(void)state;
	assert_int_equal(vm_map(&vm, &mem, false, &e), 0);
	expect_slots(2, 0);
	assert_int_equal(vm_log_writes(&vm, &mem, true, &e), 0);
	expect_slots(4, KVM_MEM_LOG_DIRTY_PAGES);
	assert_int_equal(vm_log_writes(&vm, &mem, false, &e), 0);
	expect_slots(6, 0);
	assert_int_equal(vm_map(&vm, &mem, true, &e), 0);
	expect_slots(8, KVM_MEM_LOG_DIRTY_PAGES);
}

static void pages_stand_where_the_mapping_has_them(void **state)
{
	uint64_t pages[WORDS] = {1ULL << 5};
	struct err e = {0};

	(void)state;
	assert_int_equal(vm_map(&vm, &mem, true, &e), 0);
	fake.dirty[0][0] = 0;
	fake.dirty[0][1] = LOW - 1;
	fake.dirty[1][0] = 0;
	fake.dirty[1][1] = HIGH - 1;
	fake.dirty_count[0] = fake.dirty_count[1] = 2;
	assert_int_equal(vm_take_written(&vm, &mem, pages, &e), 0);
	/* In the place of what was there. */
	assert_true(pages[0] == (1ULL << 63 | 1));
	assert_true(pages[1] == 1);
	assert_true(pages[2] == 1ULL << (HIGH - 1 - 64));
	/* What was told is forgotten. */
	assert_int_equal(vm_take_written(&vm, &mem, pages, &e), 0);
	assert_true(!pages[0] && !pages[1] && !pages[2]);
}

static void what_kvm_refuses_is_told(void **state)
{
	uint64_t pages[WORDS] = {0};
	struct err e = {0};

	(void)state;
	assert_int_equal(vm_map(&vm, &mem, false, &e), 0);
	assert_int_equal(vm_take_written(&vm, &mem, pages, &e), -ENOENT);
	assert_non_null(strstr(e.text, "KVM_GET_DIRTY_LOG"));
	fake.fail_slot = 1;
	assert_int_equal(vm_log_writes(&vm, &mem, true, &e), -EIO);
	assert_non_null(strstr(e.text, "at 0x100000000"));
	/* What the first slot told before is not lost. */
	fake.dirty_count[0] = 1;
	fake.dirty[0][0] = 7;
	assert_int_equal(vm_take_written(&vm, &mem, pages, &e), -EIO);
	assert_true(pages[0] == 1ULL << 7);
}

/* A region of more than KVM takes in a slot, which nobody can map here. */
static void a_region_of_several_slots_is_asked_slot_by_slot(void **state)
{
	const uint64_t slot = 1ULL << 42;
	const struct guest_mem huge = {
		.regions = {{1ULL << 32, 2 * slot + PAGE,
			     (void *)0x7000000000}},
		.count = 1,
		.map = (void *)0x7000000000,
		.size = 2 * slot + PAGE,
	};
	struct err e = {0};
	unsigned i;

	(void)state;
	assert_int_equal(vm_log_writes(&vm, &huge, true, &e), 0);
	assert_int_equal(fake.slot_calls, 3);
	for (i = 0; i < 3; i++) {
		assert_int_equal(fake.slots[i].flags, KVM_MEM_LOG_DIRTY_PAGES);
		assert_int_equal(fake.slots[i].memory_size,
				 i < 2 ? slot : PAGE);
		assert_int_equal(fake.slots[i].guest_phys_addr,
				 (1ULL << 32) + i * slot);
	}
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(a_log_begins_and_ends_on_all_of_the_memory),
		TEST(pages_stand_where_the_mapping_has_them),
		TEST(what_kvm_refuses_is_told),
		TEST(a_region_of_several_slots_is_asked_slot_by_slot),
	};

	return cmocka_run_group_tests_name("write_log", tests, NULL, NULL);
}
