/* Memory slots: a region of any size is given to KVM whole, in ones it takes.
 */
#include "vmm/kvm/vm.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>

#include <cmocka.h>

#define TIB (1ULL << 40)
/* As Linux has it: KVM_MEM_MAX_NR_PAGES. */
#define PAGES_MAX ((1ULL << 31) - 1)

enum { CALLS_MAX = 16 };

static struct {
	struct kvm_userspace_memory_region slots[CALLS_MAX];
	struct kvm_dirty_log logs[CALLS_MAX];
	unsigned slot_count;
	unsigned log_count;
} fake;

/* The C library's declaration, in whose place this one stands. */
int ioctl(int fd, unsigned long request, ...)
{
	va_list ap;
	void *arg;

	(void)fd;
	va_start(ap, request);
	arg = va_arg(ap, void *);
	va_end(ap);
	if (request == KVM_SET_USER_MEMORY_REGION &&
	    fake.slot_count < CALLS_MAX)
		memcpy(&fake.slots[fake.slot_count++], arg,
		       sizeof(fake.slots[0]));
	else if (request == KVM_GET_DIRTY_LOG && fake.log_count < CALLS_MAX)
		memcpy(&fake.logs[fake.log_count++], arg, sizeof(fake.logs[0]));
	else
		return -1;
	return 0;
}

/* 3 GiB, and 16 TiB and a page beyond the device hole; nobody touches it. */
static void describe(struct guest_mem *mem)
{
	uint8_t *map = (uint8_t *)(uintptr_t)0x100000000000;

	*mem = (struct guest_mem){
		.count = 2,
		.map = map,
		.size = (3ULL << 30) + 16 * TIB + GUEST_PAGE,
		.regions = {{0, 3ULL << 30, map},
			    {4ULL << 30, 16 * TIB + GUEST_PAGE,
			     map + (3ULL << 30)}},
	};
}

static void a_region_may_be_larger_than_a_slot(void **state)
{
	struct vm vm = {.fd = 3};
	struct guest_mem mem;
	struct err e = {0};
	uint64_t gpa = 0, given = 0;
	unsigned i;

	(void)state;
	memset(&fake, 0, sizeof(fake));
	describe(&mem);
	assert_int_equal(vm_map(&vm, &mem, false, &e), 0);
	assert_true(fake.slot_count > 3);
	for (i = 0; i < fake.slot_count; i++) {
		const struct kvm_userspace_memory_region *s = &fake.slots[i];

		if (gpa == mem.regions[0].size)
			gpa = mem.regions[1].gpa;
		assert_int_equal(s->slot, i);
		assert_int_equal(s->guest_phys_addr, gpa);
		assert_int_equal(s->userspace_addr, (uintptr_t)mem.map + given);
		assert_true(s->memory_size / GUEST_PAGE <= PAGES_MAX);
		gpa += s->memory_size;
		given += s->memory_size;
	}
	assert_int_equal(given, mem.size);
}

static void what_was_written_is_asked_of_each(void **state)
{
	struct vm vm = {.fd = 3};
	struct guest_mem mem;
	struct err e = {0};
	uint64_t *const pages = (uint64_t *)(uintptr_t)0x10000;
	unsigned i;

	(void)state;
	memset(&fake, 0, sizeof(fake));
	describe(&mem);
	assert_int_equal(vm_log_writes(&vm, &mem, true, &e), 0);
	assert_int_equal(vm_take_written(&vm, &mem, pages, &e), 0);
	assert_int_equal(fake.log_count, fake.slot_count);
	for (i = 0; i < fake.log_count; i++) {
		const uint64_t at =
			fake.slots[i].userspace_addr - (uintptr_t)mem.map;

		assert_int_equal(fake.slots[i].flags, KVM_MEM_LOG_DIRTY_PAGES);
		assert_int_equal(fake.logs[i].slot, i);
		/* No bit of another slot's: it begins at a word of its own. */
		assert_int_equal(at / GUEST_PAGE % GUEST_WORD, 0);
		assert_ptr_equal(fake.logs[i].dirty_bitmap,
				 pages + at / GUEST_PAGE / GUEST_WORD);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_region_may_be_larger_than_a_slot),
		cmocka_unit_test(what_was_written_is_asked_of_each),
	};

	return cmocka_run_group_tests_name("slots", tests, NULL, NULL);
}
