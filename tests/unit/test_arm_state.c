/*
 * What is saved of an aarch64 machine and loaded again, against a KVM that
 * keeps registers in tables: compiled with the kernel's headers of aarch64, on
 * any machine.
 */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>
#include <linux/kvm.h>
#include <sys/ioctl.h>

#include "vmm/arch/aarch64/arm.h"

enum { REGISTERS = 5, ATTRIBUTES = 1024, CPU_FD = 7, GIC_FD = 8 };

#define WIDE_ID	    (KVM_REG_ARM64 | KVM_REG_ARM64_SVE | KVM_REG_SIZE_U2048 | 0x20U)
#define FIRST_ID    (KVM_REG_ARM64 | KVM_REG_ARM_CORE | KVM_REG_SIZE_U64)
#define READONLY_ID ARM64_SYS_REG(3, 0, 0, 0, 0)

/* One register as KVM keeps it. */
struct kept {
	uint64_t id;
	uint8_t bytes[256];
	bool is_readonly;
};

/* One of the interrupt controller's. */
struct attribute {
	uint32_t group;
	uint64_t attr;
	uint64_t value;
};

static struct {
	struct kept registers[REGISTERS];
	struct attribute attributes[ATTRIBUTES];
	unsigned attribute_count;
	unsigned sets;		     /* of attributes */
	struct attribute last[4096]; /* in their order */
	struct kvm_mp_state run;
	struct kvm_vcpu_events events;
	unsigned resets;
} fake;

static struct arch arch;
static struct vcpu vcpu;
static struct visitor v;
static struct err err;

static struct kept *find(uint64_t id)
{
	unsigned i;

	for (i = 0; i < REGISTERS; i++)
		if (fake.registers[i].id == id)
			return &fake.registers[i];
	return NULL;
}

static size_t size_of(uint64_t id)
{
	return 1U << ((id & KVM_REG_SIZE_MASK) >> KVM_REG_SIZE_SHIFT);
}

static int one_register(unsigned long request, const struct kvm_one_reg *reg)
{
	struct kept *kept = find(reg->id);
	void *data = (void *)(uintptr_t)reg->addr;

	if (!kept) {
		errno = ENOENT;
		return -1;
	}
	if (request == KVM_GET_ONE_REG) {
		memcpy(data, kept->bytes, size_of(reg->id));
		return 0;
	}
	if (kept->is_readonly) {
		errno = EINVAL;
		return -1;
	}
	memcpy(kept->bytes, data, size_of(reg->id));
	return 0;
}

static int list(uint64_t *out)
{
	unsigned i;

	assert_true(out[0] >= REGISTERS);
	out[0] = REGISTERS;
	for (i = 0; i < REGISTERS; i++)
		out[1 + i] = fake.registers[i].id;
	return 0;
}

static struct attribute *attribute_of(uint32_t group, uint64_t attr)
{
	struct attribute *a = fake.attributes;

	while (a < fake.attributes + fake.attribute_count &&
	       (a->group != group || a->attr != attr))
		a++;
	if (a == fake.attributes + fake.attribute_count) {
		assert_true(fake.attribute_count < ATTRIBUTES);
		*a = (struct attribute){group, attr, 0};
		fake.attribute_count++;
	}
	return a;
}

/* Values of the CPU interface have 64 bits, the others 32. */
static int one_attribute(unsigned long request,
			 const struct kvm_device_attr *attr)
{
	struct attribute *a = attribute_of(attr->group, attr->attr);
	const size_t size = attr->group == KVM_DEV_ARM_VGIC_GRP_CPU_SYSREGS ? 8
									    : 4;
	void *data = (void *)(uintptr_t)attr->addr;

	if (request == KVM_GET_DEVICE_ATTR) {
		memcpy(data, &a->value, size);
		return 0;
	}
	memcpy(&a->value, data, size);
	fake.last[fake.sets++] = *a;
	return 0;
}

/* The model's, which is not here; its registers are lost as KVM loses them. */
int arm_init_vcpu(const struct arch *a, const struct vcpu *c)
{
	assert_ptr_equal(a->vcpus[c->id], c);
	memset(find(FIRST_ID)->bytes, 0, 256);
	fake.resets++;
	return 0;
}

int ioctl(int fd, unsigned long request, ...)
{
	va_list args;
	void *data;

	va_start(args, request);
	data = va_arg(args, void *);
	va_end(args);
	assert_int_equal(fd, request == KVM_SET_DEVICE_ATTR ||
					     request == KVM_GET_DEVICE_ATTR
				     ? GIC_FD
				     : CPU_FD);
	switch (request) {
	case KVM_GET_ONE_REG:
	case KVM_SET_ONE_REG:
		return one_register(request, data);
	case KVM_GET_REG_LIST:
		return list(data);
	case KVM_GET_DEVICE_ATTR:
	case KVM_SET_DEVICE_ATTR:
		return one_attribute(request, data);
	case KVM_GET_MP_STATE:
		memcpy(data, &fake.run, sizeof(fake.run));
		return 0;
	case KVM_SET_MP_STATE:
		memcpy(&fake.run, data, sizeof(fake.run));
		return 0;
	case KVM_GET_VCPU_EVENTS:
		memcpy(data, &fake.events, sizeof(fake.events));
		return 0;
	case KVM_SET_VCPU_EVENTS:
		memcpy(&fake.events, data, sizeof(fake.events));
		return 0;
	default:
		fail_msg("ioctl 0x%lx", request);
		return -1;
	}
}

static int setup(void **state)
{
	const uint64_t ids[REGISTERS] = {FIRST_ID, WIDE_ID, READONLY_ID,
					 KVM_REG_ARM_TIMER_CNT,
					 KVM_REG_ARM64_SVE_VLS};
	unsigned i;

	(void)state;
	memset(&fake, 0, sizeof(fake));
	memset(&arch, 0, sizeof(arch));
	memset(&err, 0, sizeof(err));
	for (i = 0; i < REGISTERS; i++) {
		fake.registers[i].id = ids[i];
		memset(fake.registers[i].bytes, 0x10 + (int)i, 256);
	}
	find(READONLY_ID)->is_readonly = true;
	find(KVM_REG_ARM64_SVE_VLS)->is_readonly = true;
	fake.run.mp_state = KVM_MP_STATE_STOPPED;
	fake.events.exception.serror_pending = 1;
	vcpu = (struct vcpu){.fd = CPU_FD};
	arch.vcpus[0] = &vcpu;
	arch.gic = (struct gic){.fd = GIC_FD, .cpus = 2};
	visitor_save(&v, 1, &err);
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	visitor_fini(&v);
	return 0;
}

/* Loads what was saved, with one byte of it, at at, changed by flip. */
static int load(void (*visit)(void), size_t at, uint8_t flip)
{
	struct visitor saved = v;
	int rc;

	assert_int_equal(saved.rc, 0);
	saved.data[at] ^= flip;
	visitor_load(&v, saved.data, saved.len, 1, &err);
	visit();
	rc = visitor_end(&v);
	saved.data[at] ^= flip;
	v = saved;
	return rc;
}

static void visit_vcpu(void)
{
	arch_visit_vcpu(&arch, &vcpu, &v);
}

static void visit_platform(void)
{
	arch_visit_platform(&arch, &v);
}

static void a_vcpu_gets_all_back(void **state)
{
	(void)state;
	visit_vcpu();
	memset(find(FIRST_ID)->bytes, 0, 256);
	memset(find(WIDE_ID)->bytes, 0, 256);
	memset(find(KVM_REG_ARM_TIMER_CNT)->bytes, 0, 256);
	fake.run.mp_state = KVM_MP_STATE_RUNNABLE;
	fake.events.exception.serror_pending = 0;
	assert_int_equal(load(visit_vcpu, 0, 0), 0);
	assert_int_equal(find(FIRST_ID)->bytes[7], 0x10);
	assert_int_equal(find(WIDE_ID)->bytes[255], 0x11);
	/* That is the platform's, one for all. */
	assert_int_equal(find(KVM_REG_ARM_TIMER_CNT)->bytes[0], 0);
	assert_int_equal(fake.run.mp_state, KVM_MP_STATE_STOPPED);
	assert_int_equal(fake.events.exception.serror_pending, 1);
	assert_true(vcpu.is_loaded);
}

/* GICR_ISACTIVER0, whose bit 27 is the virtual timer's. */
static void a_vcpu_that_serves_a_timer_is_reset_first(void **state)
{
	struct attribute *active =
		attribute_of(KVM_DEV_ARM_VGIC_GRP_REDIST_REGS, 0x10000 + 0x300);

	(void)state;
	visit_vcpu();
	active->value = 1U << 26 | 1U << 15; /* neither is one of ours */
	assert_int_equal(load(visit_vcpu, 0, 0), 0);
	assert_int_equal(fake.resets, 0);
	active->value |= 1U << 27;
	assert_int_equal(load(visit_vcpu, 0, 0), 0);
	assert_int_equal(fake.resets, 1);
	assert_int_equal(find(FIRST_ID)->bytes[7], 0x10);
}

static void what_cannot_be_written_must_be_the_same(void **state)
{
	(void)state;
	visit_vcpu();
	find(READONLY_ID)->bytes[0] ^= 1;
	assert_int_equal(load(visit_vcpu, 0, 0), -EINVAL);
	assert_non_null(strstr(err.text, "KVM refuses 0x1212121212121212 for "
					 "register 0x603000000013c000"));
	assert_false(vcpu.is_loaded);
}

static void a_register_that_is_not_there_is_named(void **state)
{
	(void)state;
	visit_vcpu();
	/* The count of 32 bits, then the first register's number. */
	assert_true(load(visit_vcpu, 4, 0x80) < 0);
	assert_non_null(strstr(err.text, "has no register 0x6030000000100080"));
	/* Of 2^(15) bytes. */
	assert_true(load(visit_vcpu, 4 + 6, 0xc0) < 0);
	assert_true(load(visit_vcpu, 3, 0x80) < 0);
	assert_non_null(strstr(err.text, "registers"));
}

static void each_changed_byte_ends_well(void **state)
{
	size_t i;

	(void)state;
	visit_vcpu();
	for (i = 0; i < v.len; i++)
		(void)load(visit_vcpu, i, 0xff);
	assert_int_equal(load(visit_vcpu, 0, 0), 0);
}

static uint64_t *gic_value(uint32_t group, uint64_t attr)
{
	return &attribute_of(group, attr)->value;
}

static void the_interrupt_controller_gets_all_back(void **state)
{
	const uint32_t dist = KVM_DEV_ARM_VGIC_GRP_DIST_REGS;
	const uint32_t redist = KVM_DEV_ARM_VGIC_GRP_REDIST_REGS;
	unsigned i;

	(void)state;
	*gic_value(dist, 0) = 0x12;			   /* GICD_CTLR */
	*gic_value(dist, 0x104) = 0x80000001;		   /* ISENABLER1 */
	*gic_value(dist, 0x6000 + 8 * 95) = 0x1;	   /* IROUTER95 */
	*gic_value(redist, 1ULL << 32 | 0x10100) = 0x1234; /* of vCPU 1 */
	*gic_value(KVM_DEV_ARM_VGIC_GRP_CPU_SYSREGS, 0xc230) = 0xf0; /* PMR */
	visit_platform();
	for (i = 0; i < fake.attribute_count; i++)
		fake.attributes[i].value = UINT64_MAX;
	assert_int_equal(load(visit_platform, 0, 0), 0);
	assert_int_equal(*gic_value(dist, 0) & UINT32_MAX, 0x12);
	assert_int_equal(*gic_value(dist, 0x104) & UINT32_MAX, 0x80000001);
	assert_int_equal(*gic_value(dist, 0x6000 + 8 * 95) & UINT32_MAX, 1);
	assert_int_equal(*gic_value(redist, 1ULL << 32 | 0x10100) & UINT32_MAX,
			 0x1234);
	assert_int_equal(*gic_value(KVM_DEV_ARM_VGIC_GRP_CPU_SYSREGS, 0xc230),
			 0xf0);
}

/* Where in a load a register of the distributor was last set. */
static unsigned turn_of(uint64_t attr)
{
	unsigned i;

	for (i = fake.sets; i-- > 0;)
		if (fake.last[i].group == KVM_DEV_ARM_VGIC_GRP_DIST_REGS &&
		    fake.last[i].attr == attr)
			return i;
	fail_msg("0x%llx was not set", (unsigned long long)attr);
	return 0;
}

static void bits_are_cleared_before_they_are_set(void **state)
{
	(void)state;
	visit_platform();
	assert_int_equal(load(visit_platform, 0, 0), 0);
	assert_true(turn_of(0x184) < turn_of(0x104)); /* enabled */
	assert_true(turn_of(0x284) < turn_of(0x204)); /* pending */
	assert_true(turn_of(0x384) < turn_of(0x304)); /* active */
	assert_int_equal(fake.last[turn_of(0x184)].value, UINT32_MAX);
	/* What is an edge, before what is pending of it. */
	assert_true(turn_of(0xc08) < turn_of(0x204));
}

static void the_counter_goes_on(void **state)
{
	uint64_t count = 1000, now = 0;

	(void)state;
	memcpy(find(KVM_REG_ARM_TIMER_CNT)->bytes, &count, sizeof(count));
	visit_platform();
	count = 5;
	memcpy(find(KVM_REG_ARM_TIMER_CNT)->bytes, &count, sizeof(count));
	assert_int_equal(load(visit_platform, 0, 0), 0);
	memcpy(&now, find(KVM_REG_ARM_TIMER_CNT)->bytes, sizeof(now));
	assert_int_equal(now, 1000);
}

static void another_speed_is_refused(void **state)
{
	(void)state;
	visit_platform();
	/* The last: count, hertz and time, of 8 bytes each. */
	assert_true(load(visit_platform, v.len - 16, 1) < 0);
	assert_non_null(
		strstr(err.text, "load it on a host of the same speed"));
}

static void a_model_is_judged(void **state)
{
	struct visitor saved;

	(void)state;
	arch.model.features = 1U << KVM_ARM_VCPU_PSCI_0_2 |
			      1U << KVM_ARM_VCPU_POWER_OFF;
	arch.model.sve_lengths[7] = 0x77;
	arch_visit_model(&arch, &v);
	saved = v;
	memset(&arch.model, 0, sizeof(arch.model));
	visitor_load(&v, saved.data, saved.len, 1, &err);
	arch_visit_model(&arch, &v);
	assert_true(visitor_end(&v) < 0);
	assert_non_null(strstr(err.text, "all are off"));
	saved.data[4] &= 0xfe;
	visitor_load(&v, saved.data, saved.len, 1, &err);
	arch_visit_model(&arch, &v);
	assert_int_equal(visitor_end(&v), 0);
	assert_int_equal(arch.model.sve_lengths[7], 0x77);
	assert_true(arch.is_loaded);
	v = saved;
}

int main(void)
{
#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
	const struct CMUnitTest tests[] = {
		TEST(a_vcpu_gets_all_back),
		TEST(a_vcpu_that_serves_a_timer_is_reset_first),
		TEST(what_cannot_be_written_must_be_the_same),
		TEST(a_register_that_is_not_there_is_named),
		TEST(each_changed_byte_ends_well),
		TEST(the_interrupt_controller_gets_all_back),
		TEST(bits_are_cleared_before_they_are_set),
		TEST(the_counter_goes_on),
		TEST(another_speed_is_refused),
		TEST(a_model_is_judged),
	};

	return cmocka_run_group_tests_name("arm_state", tests, NULL, NULL);
}
