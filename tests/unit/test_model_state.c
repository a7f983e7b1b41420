/*
 * What is saved of a machine beside vCPUs and devices: the CPU model, the
 * guest's clock and how far the host's had come. Over an ioctl() of our own.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>

#include <cmocka.h>

#include "vmm/arch/x86_64/x86.h"

static struct kvm_clock_data kvm_clock;

/* The C library's declaration, in whose place this one stands. */
int ioctl(int fd, unsigned long request, ...)
{
	va_list ap;
	void *arg;

	(void)fd;
	va_start(ap, request);
	arg = va_arg(ap, void *);
	va_end(ap);
	if (request == KVM_GET_CLOCK)
		memcpy(arg, &kvm_clock, sizeof(kvm_clock));
	else if (request == KVM_SET_CLOCK)
		memcpy(&kvm_clock, arg, sizeof(kvm_clock));
	return 0;
}

static struct vm vm;
static struct arch arch;
static struct cpuid model;

static int setup(void **state)
{
	(void)state;
	memset(&arch, 0, sizeof(arch));
	arch.vm = &vm;
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	free(arch.wanted);
	return 0;
}

static struct visitor save_model(uint32_t count)
{
	struct visitor v;
	uint32_t i;

	arch.cpuid = &model;
	model.count = count;
	for (i = 0; i < count; i++)
		model.entries[i] = (struct kvm_cpuid_entry2){
			.function = i,
			.index = i + 1,
			.flags = 1,
			.eax = i * 3,
			.ebx = i * 5,
			.ecx = i * 7,
			.edx = i * 11,
		};
	visitor_save(&v, ARCH_STATE_MODEL, NULL);
	arch_visit_model(&arch, &v);
	assert_int_equal(v.rc, 0);
	return v;
}

static int load_model(const uint8_t *data, size_t len, struct err *e)
{
	struct visitor v;

	memset(e, 0, sizeof(*e));
	visitor_load(&v, data, len, ARCH_STATE_MODEL, e);
	arch_visit_model(&arch, &v);
	return visitor_end(&v);
}

static void a_model_comes_back(void **state)
{
	struct visitor v = save_model(CPUID_ENTRIES_MAX);
	const uint64_t then = arch.host_tsc;
	struct err e;

	(void)state;
	assert_true(then > 0);
	assert_int_equal(load_model(v.data, v.len, &e), 0);
	assert_memory_equal(arch.wanted, &model, sizeof(model));
	/* The host's has gone on by as much as the guest's must not. */
	assert_true(arch.tsc_shift + arch.host_tsc == then);
	visitor_fini(&v);
}

static void a_model_of_anybodys_is_bounded(void **state)
{
	struct visitor v = save_model(3);
	struct err e;
	size_t i;

	(void)state;
	for (i = 0; i < v.len; i++)
		assert_true(load_model(v.data, i, &e) < 0);
	/* The count, after the host's TSC. */
	v.data[9] = 1;
	assert_true(load_model(v.data, v.len, &e) < 0);
	assert_non_null(strstr(e.text, "a CPU model of 259 entries"));
	assert_int_equal(arch.wanted->count, 0);
	memset(v.data + 8, 0xff, 4);
	assert_true(load_model(v.data, v.len, &e) < 0);
	assert_int_equal(arch.wanted->count, 0);
	visitor_fini(&v);
}

static void visit_platform(struct visitor *v)
{
	memset(&arch.ioapic, 0, sizeof(arch.ioapic));
	arch.ioapic.vm = &vm;
	mutex_init(&arch.ioapic.lock);
	arch_visit_platform(&arch, v);
	assert_int_equal(v->rc, 0);
}

static void clock_of(uint32_t flags, bool is_realtime,
		     struct kvm_clock_data *loaded)
{
	struct visitor v, w;

	kvm_clock = (struct kvm_clock_data){
		.clock = 12345, .flags = flags, .realtime = 678};
	visitor_save(&v, ARCH_STATE_PLATFORM, NULL);
	visit_platform(&v);
	memset(&kvm_clock, 0, sizeof(kvm_clock));
	arch.topology.clock_realtime = is_realtime;
	visitor_load(&w, v.data, v.len, ARCH_STATE_PLATFORM, NULL);
	visit_platform(&w);
	assert_int_equal(visitor_end(&w), 0);
	visitor_fini(&v);
	*loaded = kvm_clock;
}

static void the_guests_clock_goes_on_or_on_by_the_time_between(void **state)
{
	struct kvm_clock_data c;

	(void)state;
	clock_of(KVM_CLOCK_REALTIME | KVM_CLOCK_HOST_TSC, false, &c);
	assert_int_equal(c.clock, 12345);
	assert_int_equal(c.flags, 0);
	clock_of(KVM_CLOCK_REALTIME | KVM_CLOCK_HOST_TSC, true, &c);
	assert_int_equal(c.clock, 12345);
	assert_int_equal(c.flags, KVM_CLOCK_REALTIME);
	assert_int_equal(c.realtime, 678);
	/* A KVM that told no time of day (before Linux 5.16). */
	clock_of(0, true, &c);
	assert_int_equal(c.clock, 12345);
	assert_int_equal(c.flags, 0);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(a_model_comes_back),
		TEST(a_model_of_anybodys_is_bounded),
		TEST(the_guests_clock_goes_on_or_on_by_the_time_between),
	};

	return cmocka_run_group_tests_name("model_state", tests, NULL, NULL);
}
