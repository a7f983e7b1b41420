/*
 * What x86_64 asks of KVM for a VM and its vCPUs, over an ioctl() of our own:
 * the PMU that is hidden, MSRs that are refused, memory of more than a slot.
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

#include "vmm/arch/arch.h"

enum { SLOTS = 16 };

/* What KVM was asked, and what it answers. */
static struct {
	struct kvm_userspace_memory_region slots[SLOTS];
	unsigned slot_count;
	struct kvm_dirty_log logs[SLOTS];
	unsigned log_count;
	uint64_t disabled_pmu; /* the argument, or 0 */
	bool has_no_pmu_switch;
	int msrs_set; /* negative: an errno */
	struct kvm_cpuid2 *model;
} kvm_fake;

static uint8_t model[sizeof(struct kvm_cpuid2) +
		     256 * sizeof(struct kvm_cpuid_entry2)];

/* All bits of all leaves that have to do with it. */
static int supported_cpuid(struct kvm_cpuid2 *out)
{
	static const uint32_t leaves[][2] = {
		{0, 0},		 {1, 0},	  {7, 0},	   {7, 1},
		{0xa, 0},	 {0x14, 0},	  {0x1c, 0},	   {0x23, 0},
		{0x80000001, 0}, {0x8000001b, 0}, {0x80000022, 0},
	};
	const uint32_t count = sizeof(leaves) / sizeof(leaves[0]);
	uint32_t i;

	for (i = 0; i < count; i++) {
		out->entries[i] = (struct kvm_cpuid_entry2){
			.function = leaves[i][0],
			.index = leaves[i][1],
			.eax = UINT32_MAX,
			.ebx = UINT32_MAX,
			.ecx = UINT32_MAX,
			.edx = UINT32_MAX,
		};
	}
	out->nent = count;
	return 0;
}

static int enable(const struct kvm_enable_cap *cap)
{
	if (cap->cap != KVM_CAP_PMU_CAPABILITY)
		return 0;
	if (kvm_fake.has_no_pmu_switch) {
		errno = EINVAL;
		return -1;
	}
	kvm_fake.disabled_pmu = cap->args[0];
	return 0;
}

/* The C library's declaration, in whose place this one stands. */
int ioctl(int fd, unsigned long request, ...)
{
	va_list ap;
	void *arg;

	(void)fd;
	va_start(ap, request);
	arg = va_arg(ap, void *);
	va_end(ap);
	switch (request) {
	case KVM_SET_USER_MEMORY_REGION:
		assert_true(kvm_fake.slot_count < SLOTS);
		memcpy(&kvm_fake.slots[kvm_fake.slot_count++], arg,
		       sizeof(kvm_fake.slots[0]));
		return 0;
	case KVM_GET_DIRTY_LOG:
		assert_true(kvm_fake.log_count < SLOTS);
		memcpy(&kvm_fake.logs[kvm_fake.log_count++], arg,
		       sizeof(kvm_fake.logs[0]));
		return 0;
	case KVM_ENABLE_CAP:
		return enable(arg);
	case KVM_GET_SUPPORTED_CPUID:
		return supported_cpuid(arg);
	case KVM_SET_CPUID2:
		kvm_fake.model = (void *)model;
		memcpy(model, arg,
		       sizeof(struct kvm_cpuid2) +
			       ((struct kvm_cpuid2 *)arg)->nent *
				       sizeof(struct kvm_cpuid_entry2));
		return 0;
	case KVM_SET_MSRS:
		if (kvm_fake.msrs_set >= 0)
			return kvm_fake.msrs_set;
		errno = -kvm_fake.msrs_set;
		return -1;
	default:
		return 0;
	}
}

static struct kvm kvm;
static struct vm vm = {.fd = 3, .kvm = &kvm};
static struct vcpu vcpu = {.fd = 4, .id = 7};
static struct bus mmio, pio;
static struct arch *arch;

static int setup(void **state)
{
	const struct arch_topology topology = {.vcpus = 1};
	struct err e;

	(void)state;
	memset(&kvm_fake, 0, sizeof(kvm_fake));
	memset(&mmio, 0, sizeof(mmio));
	kvm_fake.msrs_set = 2;
	return arch_new(&arch, &kvm, &topology, &e);
}

static int teardown(void **state)
{
	(void)state;
	arch_free(arch);
	return 0;
}

static int init_vcpu(struct err *e)
{
	int rc = arch_prepare_cpus(arch, e);

	return rc ? rc : arch_vcpu_init(arch, &vcpu, e);
}

static void the_pmu_is_switched_off(void **state)
{
	struct err e = {0};

	(void)state;
	assert_int_equal(arch_attach(arch, &vm, &mmio, &pio, &e), 0);
	assert_int_equal(kvm_fake.disabled_pmu, KVM_PMU_CAP_DISABLE);
}

static void a_kvm_without_the_switch_is_well(void **state)
{
	struct err e = {0};

	(void)state;
	kvm_fake.has_no_pmu_switch = true;
	assert_int_equal(arch_attach(arch, &vm, &mmio, &pio, &e), 0);
}

static const struct kvm_cpuid_entry2 *leaf(uint32_t function, uint32_t index)
{
	uint32_t i;

	for (i = 0; i < kvm_fake.model->nent; i++)
		if (kvm_fake.model->entries[i].function == function &&
		    kvm_fake.model->entries[i].index == index)
			return &kvm_fake.model->entries[i];
	fail_msg("no leaf 0x%x", function);
	return NULL;
}

static void assert_no_leaf(uint32_t function)
{
	const struct kvm_cpuid_entry2 *x = leaf(function, 0);

	assert_int_equal(x->eax | x->ebx | x->ecx | x->edx, 0);
}

/* SDM vol. 2, CPUID; APM vol. 3, E.3 and E.4: bit by bit. */
static void no_leaf_tells_of_a_pmu(void **state)
{
	struct err e = {0};

	(void)state;
	assert_int_equal(init_vcpu(&e), 0);
	assert_int_equal(leaf(1, 0)->ecx & (1 << 15 | 1 << 2 | 1 << 4), 0);
	assert_int_equal(leaf(1, 0)->edx & 1 << 21, 0);
	assert_int_equal(leaf(7, 0)->ebx & 1 << 25, 0);
	assert_int_equal(leaf(7, 0)->edx & 1 << 19, 0);
	assert_int_equal(leaf(7, 1)->eax & 1 << 8, 0);
	assert_int_equal(leaf(0x80000001, 0)->ecx &
				 (1 << 10 | 1 << 23 | 1 << 24 | 1 << 28),
			 0);
	assert_no_leaf(0xa);
	assert_no_leaf(0x14);
	assert_no_leaf(0x1c);
	assert_no_leaf(0x23);
	assert_no_leaf(0x8000001b);
	assert_no_leaf(0x80000022);
	/* And nothing else went with it: XSAVE, SMEP, LAHF. */
	assert_true(leaf(1, 0)->ecx & 1 << 26);
	assert_true(leaf(7, 0)->ebx & 1 << 7);
	assert_true(leaf(0x80000001, 0)->ecx & 1);
}

static void an_msr_that_is_refused_is_named(void **state)
{
	struct err e = {0};

	(void)state;
	errno = ENOENT; /* of something long ago */
	kvm_fake.msrs_set = 1;
	assert_int_equal(init_vcpu(&e), -EINVAL);
	assert_string_equal(e.text, "KVM refused 0x1 for MSR 0x1a0 of vCPU 7");
	kvm_fake.msrs_set = 0;
	assert_int_equal(init_vcpu(&e), -EINVAL);
	assert_string_equal(e.text,
			    "KVM refused 0x806 for MSR 0x2ff of vCPU 7");
	kvm_fake.msrs_set = -EFAULT;
	assert_int_equal(init_vcpu(&e), -EFAULT);
	assert_non_null(strstr(e.text, "KVM_SET_MSRS on vCPU 7"));
}

/* KVM_MEM_MAX_NR_PAGES: a slot's pages have to fit into 31 bits. */
static void memory_of_more_than_a_slot_has_several(void **state)
{
	const uint64_t tib = 1ULL << 40;
	const struct guest_mem mem = {
		.regions = {{0, 3ULL << 30, (void *)0x10000000},
			    {4ULL << 30, 9 * tib, (void *)0x7000000000}},
		.count = 2,
	};
	struct err e = {0};
	uint64_t sum = 0;
	unsigned i;

	(void)state;
	assert_int_equal(vm_map(&vm, &mem, false, &e), 0);
	assert_int_equal(kvm_fake.slot_count, 4);
	for (i = 0; i < kvm_fake.slot_count; i++) {
		const struct kvm_userspace_memory_region *s =
			&kvm_fake.slots[i];

		assert_int_equal(s->slot, i);
		assert_true(s->memory_size / 4096 < 1ULL << 31);
		if (i == 0) {
			assert_int_equal(s->guest_phys_addr, 0);
			assert_int_equal(s->memory_size, 3ULL << 30);
			continue;
		}
		assert_int_equal(s->guest_phys_addr, (4ULL << 30) + sum);
		assert_int_equal(s->userspace_addr, 0x7000000000 + sum);
		sum += s->memory_size;
	}
	assert_int_equal(sum, 9 * tib);
}

static void what_was_written_is_asked_of_each_slot(void **state)
{
	uint8_t *const map = (void *)0x7000000000;
	const uint64_t low = 3ULL << 30, tib = 1ULL << 40;
	const struct guest_mem mem = {
		.map = map,
		.regions = {{0, low, map}, {4ULL << 30, 9 * tib, map + low}},
		.count = 2,
	};
	uint64_t *const pages = (void *)0x10000;
	struct err e = {0};
	unsigned i;

	(void)state;
	assert_int_equal(vm_log_writes(&vm, &mem, true, &e), 0);
	assert_int_equal(vm_take_written(&vm, &mem, pages, &e), 0);
	assert_int_equal(kvm_fake.log_count, 4);
	for (i = 0; i < kvm_fake.log_count; i++) {
		const struct kvm_userspace_memory_region *s =
			&kvm_fake.slots[i];
		const uint64_t page =
			(s->userspace_addr - (uintptr_t)map) / 4096;

		assert_int_equal(s->flags, KVM_MEM_LOG_DIRTY_PAGES);
		assert_int_equal(kvm_fake.logs[i].slot, i);
		/* A word of another slot's would be written over. */
		assert_int_equal(page % 64, 0);
		assert_ptr_equal(kvm_fake.logs[i].dirty_bitmap,
				 pages + page / 64);
	}
}

int main(void)
{
#define WITH_ARCH(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
	const struct CMUnitTest tests[] = {
		WITH_ARCH(the_pmu_is_switched_off),
		WITH_ARCH(a_kvm_without_the_switch_is_well),
		WITH_ARCH(no_leaf_tells_of_a_pmu),
		WITH_ARCH(an_msr_that_is_refused_is_named),
		WITH_ARCH(memory_of_more_than_a_slot_has_several),
		WITH_ARCH(what_was_written_is_asked_of_each_slot),
	};

	return cmocka_run_group_tests_name("x86", tests, NULL, NULL);
}
