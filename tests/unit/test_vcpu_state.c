/*
 * What KVM is asked when a vCPU is saved and loaded, and in which order, over
 * an ioctl() of our own; and states that nobody saved.
 */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>

#include <cmocka.h>

#include "vmm/arch/x86_64/x86.h"

enum { KVM_FD = 3, VM_FD, VCPU_FD };
enum { MSRS = 200, FIRST = 0x100, MSR_TSC = 0x10, MSR_DEADLINE = 0x6e0 };

/* A KVM with MSRs FIRST and on, the TSC and its deadline. */
static struct {
	char calls[1024]; /* "mp regs …", as they came */
	int xsave_cap;
	uint8_t xsave[8192];   /* as it was set */
	uint32_t refused;      /* an MSR that is in the list alone */
	uint32_t unset;	       /* one that can be read, but not written */
	uint32_t more_listed;  /* MSRs that the list has beside */
	uint64_t values[MSRS]; /* of FIRST and on */
	uint64_t tsc;
	uint64_t deadline;
	uint64_t offset;
	bool has_no_offset;
	bool has_no_scaling;
	int khz;
	uint64_t fail; /* the request that fails with EIO, 0 for none */
} fake;

static void note(const char *call)
{
	size_t n = strlen(fake.calls);

	snprintf(fake.calls + n, sizeof(fake.calls) - n, "%s%s", n ? " " : "",
		 call);
}

static uint64_t *msr(uint32_t index)
{
	if (index == fake.refused)
		return NULL;
	if (index == MSR_TSC)
		return &fake.tsc;
	if (index == MSR_DEADLINE)
		return &fake.deadline;
	return index >= FIRST && index < FIRST + MSRS
		       ? &fake.values[index - FIRST]
		       : NULL;
}

static int list(struct kvm_msr_list *out)
{
	uint32_t i;

	if (out->nmsrs < MSRS + 2 + fake.more_listed) {
		errno = E2BIG;
		return -1;
	}
	out->indices[0] = MSR_TSC;
	for (i = 0; i < MSRS; i++)
		out->indices[1 + i] = FIRST + i;
	out->indices[1 + MSRS] = MSR_DEADLINE;
	out->nmsrs = MSRS + 2;
	return 0;
}

static int get_msrs(struct kvm_msrs *m)
{
	uint32_t i;

	for (i = 0; i < m->nmsrs && msr(m->entries[i].index); i++)
		m->entries[i].data = *msr(m->entries[i].index);
	return (int)i;
}

static int set_msrs(struct kvm_msrs *m)
{
	uint32_t i;

	if (m->nmsrs > 1)
		note("msrs");
	else if (m->entries[0].index == MSR_TSC)
		note("tsc");
	else
		note("msr");
	for (i = 0; i < m->nmsrs; i++) {
		if (!msr(m->entries[i].index) ||
		    m->entries[i].index == fake.unset)
			break;
		*msr(m->entries[i].index) = m->entries[i].data;
	}
	return (int)i;
}

static int tsc_attr(const struct kvm_device_attr *a, bool is_set)
{
	uint64_t *user = (void *)(uintptr_t)a->addr;

	assert_int_equal(a->group, KVM_VCPU_TSC_CTRL);
	assert_int_equal(a->attr, KVM_VCPU_TSC_OFFSET);
	if (fake.has_no_offset) {
		errno = ENXIO;
		return -1;
	}
	if (is_set) {
		note("offset");
		fake.offset = *user;
	} else {
		*user = fake.offset;
	}
	return 0;
}

/* Structs that are only carried: each has a byte of its own. */
static const struct {
	uint64_t get;
	uint64_t set;
	size_t size;
	const char *name;
	uint8_t byte;
} carried[] = {
	{KVM_GET_MP_STATE, KVM_SET_MP_STATE, sizeof(struct kvm_mp_state), "mp",
	 1},
	{KVM_GET_REGS, KVM_SET_REGS, sizeof(struct kvm_regs), "regs", 2},
	{KVM_GET_SREGS2, KVM_SET_SREGS2, sizeof(struct kvm_sregs2), "sregs", 3},
	{KVM_GET_XCRS, KVM_SET_XCRS, sizeof(struct kvm_xcrs), "xcrs", 4},
	{KVM_GET_DEBUGREGS, KVM_SET_DEBUGREGS, sizeof(struct kvm_debugregs),
	 "debug", 5},
	{KVM_GET_LAPIC, KVM_SET_LAPIC, sizeof(struct kvm_lapic_state), "lapic",
	 6},
	{KVM_GET_VCPU_EVENTS, KVM_SET_VCPU_EVENTS,
	 sizeof(struct kvm_vcpu_events), "events", 7},
};

static bool is_strict; /* what is set has to be what was got */

static bool carry(uint64_t request, uint8_t *arg)
{
	size_t i, k;

	for (i = 0; i < sizeof(carried) / sizeof(carried[0]); i++) {
		if (request == carried[i].get) {
			memset(arg, carried[i].byte, carried[i].size);
			note(carried[i].name);
			return true;
		}
		if (request != carried[i].set)
			continue;
		for (k = 0; k < carried[i].size && is_strict; k++)
			assert_int_equal(arg[k], carried[i].byte);
		note(carried[i].name);
		return true;
	}
	return false;
}

static int answer(uint64_t request, void *arg)
{
	switch (request) {
	case KVM_CHECK_EXTENSION:
		return (uintptr_t)arg == KVM_CAP_XSAVE2 ? fake.xsave_cap : 0;
	case KVM_GET_XSAVE:
	case KVM_GET_XSAVE2:
		note(request == KVM_GET_XSAVE ? "xsave" : "xsave2");
		memset(arg, 8,
		       fake.xsave_cap > 4096 ? (size_t)fake.xsave_cap : 4096);
		return 0;
	case KVM_SET_XSAVE:
		note("xsave");
		memcpy(fake.xsave, arg,
		       fake.xsave_cap > 4096 ? (size_t)fake.xsave_cap : 4096);
		return 0;
	case KVM_GET_MSR_INDEX_LIST:
		return list(arg);
	case KVM_GET_MSRS:
		note("msrs");
		return get_msrs(arg);
	case KVM_SET_MSRS:
		return set_msrs(arg);
	case KVM_GET_DEVICE_ATTR:
		return tsc_attr(arg, false);
	case KVM_SET_DEVICE_ATTR:
		return tsc_attr(arg, true);
	case KVM_GET_TSC_KHZ:
		return fake.khz;
	case KVM_SET_TSC_KHZ:
		note("khz");
		if (fake.has_no_scaling) {
			errno = EINVAL;
			return -1;
		}
		fake.khz = (int)(uintptr_t)arg;
		return 0;
	default:
		note("other");
		return 0;
	}
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
	if (fake.fail && request == fake.fail) {
		errno = EIO;
		return -1;
	}
	return carry(request, arg) ? 0 : answer(request, arg);
}

static struct kvm kvm = {.fd = KVM_FD};
static struct vm vm = {.fd = VM_FD, .kvm = &kvm};
static struct kvm_run run_page;
static struct vcpu vcpu = {.fd = VCPU_FD, .id = 2, .run = &run_page};
static struct arch arch;
static struct cpuid model;

static int setup(void **state)
{
	unsigned i;

	(void)state;
	memset(&fake, 0, sizeof(fake));
	fake.xsave_cap = 0;
	fake.khz = 2000000;
	vcpu.clock_khz = 2000000;
	vcpu.is_clock_scaled = false;
	fake.tsc = 1000000;
	fake.deadline = 1000500;
	fake.offset = 77;
	for (i = 0; i < MSRS; i++)
		fake.values[i] = i + 1;
	free(arch.wanted);
	memset(&arch, 0, sizeof(arch));
	arch.cpuid = &model;
	arch.kvm = &kvm;
	arch.vm = &vm;
	is_strict = true;
	return 0;
}

static struct visitor save(void)
{
	struct visitor v;

	visitor_save(&v, ARCH_STATE_VCPU, NULL);
	arch_visit_vcpu(&arch, &vcpu, &v);
	assert_int_equal(v.rc, 0);
	return v;
}

static int load_bytes(const uint8_t *data, size_t len, struct err *e)
{
	struct visitor v;

	memset(e, 0, sizeof(*e));
	visitor_load(&v, data, len, ARCH_STATE_VCPU, e);
	arch_visit_vcpu(&arch, &vcpu, &v);
	return visitor_end(&v);
}

/* Of a vCPU that was just made, which knows its clock. */
static int load(const struct visitor *saved, struct err *e)
{
	fake.calls[0] = '\0';
	vcpu.clock_khz = (uint32_t)fake.khz;
	vcpu.is_clock_scaled = false;
	vcpu.is_loaded = false;
	return load_bytes(saved->data, saved->len, e);
}

static void expect_load(const struct visitor *saved)
{
	struct err e;

	if (load(saved, &e))
		fail_msg("%s", e.text);
}

/* One that waited since its load, and did not run, keeps its registers. */
static void what_time_moves_is_told_again(void **state)
{
	struct visitor v = save();
	struct err e;

	(void)state;
	expect_load(&v);
	fake.calls[0] = '\0';
	assert_int_equal(load_bytes(v.data, v.len, &e), 0);
	assert_string_equal(fake.calls,
			    "lapic offset msrs msrs msrs msrs events");
	assert_true(vcpu.is_loaded);
	assert_int_not_equal(load_bytes(v.data, v.len - 1, &e), 0);
	assert_false(vcpu.is_loaded);
	visitor_fini(&v);
}

/* Documentation/virt/kvm/api.rst, and why state.c says. */
static void calls_come_in_their_order(void **state)
{
	struct visitor v = save();

	(void)state;
	assert_string_equal(fake.calls, "mp regs sregs xsave xcrs debug lapic "
					"msrs msrs msrs msrs events");
	expect_load(&v);
	assert_string_equal(fake.calls, "mp regs sregs xsave xcrs debug lapic "
					"offset msrs msrs msrs msrs events");
	visitor_fini(&v);
}

static void msrs_come_back(void **state)
{
	struct visitor v = save();
	unsigned i;

	(void)state;
	memset(fake.values, 0xee, sizeof(fake.values));
	fake.deadline = 0;
	expect_load(&v);
	for (i = 0; i < MSRS; i++)
		assert_int_equal(fake.values[i], i + 1);
	assert_int_equal(fake.deadline, 1000500);
	visitor_fini(&v);
}

/* In the middle of a batch, at its border, first and last. */
static void an_msr_that_the_guest_has_not_is_left_out(void **state)
{
	static const uint32_t which[] = {FIRST,	      FIRST + 30,  FIRST + 62,
					 FIRST + 63,  FIRST + 64,  MSR_TSC,
					 FIRST + 199, MSR_DEADLINE};
	struct visitor all = save(), v;
	unsigned i;

	for (i = 0; i < sizeof(which) / sizeof(which[0]); i++) {
		setup(state);
		fake.refused = which[i];
		v = save();
		assert_int_equal(v.len, all.len - 12);
		if (which[i] != MSR_TSC && which[i] != MSR_DEADLINE)
			expect_load(&v);
		visitor_fini(&v);
	}
	visitor_fini(&all);
}

static void an_msr_that_this_host_has_not_is_named(void **state)
{
	struct visitor v = save();
	struct err e;

	(void)state;
	fake.unset = FIRST + 70;
	assert_true(load(&v, &e) < 0);
	assert_non_null(strstr(e.text, "KVM refuses 0x47 for MSR 0x146 of "
				       "vCPU 2"));
	/* One that is 0 is no loss; those behind it are there. */
	visitor_fini(&v);
	fake.values[70] = 0;
	v = save();
	memset(fake.values, 0xee, sizeof(fake.values));
	expect_load(&v);
	assert_int_equal(fake.values[69], 70);
	assert_int_equal(fake.values[71], 72);
	assert_int_equal(fake.values[199], 200);
	visitor_fini(&v);
}

static uint8_t *msr_bytes(const struct visitor *v, uint32_t index)
{
	const uint8_t wanted[] = {(uint8_t)index, (uint8_t)(index >> 8), 0, 0};
	size_t i;

	/* The table is the last but the events. */
	for (i = v->len - sizeof(struct kvm_vcpu_events) - (MSRS + 2) * 12;
	     i < v->len; i += 12)
		if (!memcmp(v->data + i, wanted, 4))
			return v->data + i;
	fail_msg("no MSR 0x%x", index);
	return NULL;
}

static void an_msr_that_is_in_no_list_is_refused(void **state)
{
	struct visitor v = save();
	struct err e;

	(void)state;
	msr_bytes(&v, FIRST + 3)[1] = 0x77;
	assert_true(load(&v, &e) < 0);
	assert_non_null(strstr(e.text, "has no MSR 0x7703"));
	assert_null(strstr(fake.calls, "msrs"));
	visitor_fini(&v);
}

/* 0 is what KVM tells of a deadline that has just passed. */
static void a_deadline_of_none_is_now(void **state)
{
	struct visitor v;

	(void)state;
	fake.deadline = 0;
	v = save();
	expect_load(&v);
	assert_int_equal(fake.deadline, 1000000);
	visitor_fini(&v);
}

static void the_tsc_goes_on_by_its_offset(void **state)
{
	struct visitor v = save();

	(void)state;
	arch.tsc_shift = 1000;
	fake.tsc = 5;
	expect_load(&v);
	assert_int_equal(fake.offset, 1077);
	assert_int_equal(fake.tsc, 5);
	/* Without it (before Linux 5.16) by what it was. */
	fake.has_no_offset = true;
	expect_load(&v);
	assert_int_equal(fake.tsc, 1000000);
	assert_non_null(strstr(fake.calls, "lapic tsc msrs"));
	visitor_fini(&v);
	v = save();
	fake.has_no_offset = false;
	fake.offset = fake.tsc = 9;
	expect_load(&v);
	assert_int_equal(fake.tsc, 1000000);
	assert_int_equal(fake.offset, 9);
	visitor_fini(&v);
}

static void clocks_of_other_speeds_are_scaled(void **state)
{
	struct visitor v = save();
	struct err e;

	(void)state;
	/* 250 parts in a million are one speed. */
	fake.khz = 2000500;
	expect_load(&v);
	assert_null(strstr(fake.calls, "khz"));
	fake.khz = 2000502;
	fake.tsc = 9;
	expect_load(&v);
	assert_non_null(strstr(fake.calls, "khz"));
	assert_int_equal(fake.khz, 2000000);
	/* The offset was of another speed: the value is what counts. */
	assert_int_equal(fake.tsc, 1000000);
	/* And stays what is saved: the next host's may be its own. */
	visitor_fini(&v);
	v = save();
	fake.offset = fake.tsc = 9;
	fake.khz = 2000000;
	expect_load(&v);
	assert_int_equal(fake.offset, 9);
	assert_int_equal(fake.tsc, 1000000);
	fake.khz = 1500000;
	fake.has_no_scaling = true;
	assert_true(load(&v, &e) < 0);
	assert_non_null(strstr(e.text, "runs at 2000000 kHz, this host's at "
				       "1500000"));
	visitor_fini(&v);
}

static void xsave_state_is_as_large_as_kvm_has_it(void **state)
{
	struct visitor small = save(), v;
	struct err e;

	(void)state;
	fake.xsave_cap = 4097;
	v = save();
	assert_non_null(strstr(fake.calls, " xsave2 "));
	assert_int_equal(v.len, small.len + 1);
	expect_load(&v);
	assert_int_equal(fake.xsave[4096], 8);
	/* A smaller one is the larger one's start, and zeroes. */
	expect_load(&small);
	assert_int_equal(fake.xsave[4095], 8);
	assert_int_equal(fake.xsave[4096], 0);
	fake.xsave_cap = 4096;
	assert_true(load(&v, &e) < 0);
	assert_non_null(strstr(e.text, "vCPU 2 has 4097 bytes of XSAVE state, "
				       "and this host's KVM takes 4096"));
	visitor_fini(&v);
	visitor_fini(&small);
}

static void what_kvm_does_not_tell_or_take_is_named(void **state)
{
	struct visitor good = save(), v;
	struct err e;
	size_t i;

	(void)state;
	for (i = 0; i < sizeof(carried) / sizeof(carried[0]); i++) {
		fake.fail = carried[i].get;
		visitor_save(&v, ARCH_STATE_VCPU, &e);
		arch_visit_vcpu(&arch, &vcpu, &v);
		assert_int_equal(visitor_end(&v), -EIO);
		assert_non_null(strstr(e.text, "does not tell the"));
		assert_non_null(strstr(e.text, "of vCPU 2"));
		visitor_fini(&v);
		fake.fail = carried[i].set;
		assert_int_equal(load(&good, &e), -EIO);
		assert_non_null(strstr(e.text, "KVM refuses the"));
		/* And nothing that comes later was set. */
		assert_null(strstr(fake.calls, carried[i].name));
		if (carried[i].set != KVM_SET_VCPU_EVENTS)
			assert_null(strstr(fake.calls, "events"));
	}
	fake.fail = KVM_GET_MSR_INDEX_LIST;
	assert_int_equal(load(&good, &e), -EIO);
	fake.fail = 0;
	fake.more_listed = 2000;
	assert_int_equal(load(&good, &e), -E2BIG);
	assert_non_null(strstr(e.text, "KVM_GET_MSR_INDEX_LIST"));
	visitor_fini(&good);
}

/* Copies of their own size, so that a sanitizer sees what reads behind. */
static void try(const uint8_t *data, size_t len)
{
	uint8_t *copy = malloc(len ? len : 1);
	struct err e;

	assert_non_null(copy);
	memcpy(copy, data, len);
	fake.calls[0] = '\0';
	if (load_bytes(copy, len, &e))
		assert_true(e.text[0]);
	free(copy);
}

static void any_bytes_are_loaded_or_refused(void **state)
{
	struct visitor v = save();
	struct err e;
	size_t i;

	(void)state;
	is_strict = false;
	for (i = 0; i < v.len; i++) {
		try(v.data, i);
		fake.calls[0] = '\0';
		assert_true(load_bytes(v.data, i, &e) < 0);
		v.data[i] ^= 0xff;
		try(v.data, v.len);
		v.data[i] ^= 0xff ^ 0x80;
		try(v.data, v.len);
		v.data[i] ^= 0x80;
	}
	visitor_fini(&v);
}

#define TEST(f) cmocka_unit_test_setup(f, setup)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(calls_come_in_their_order),
		TEST(what_time_moves_is_told_again),
		TEST(msrs_come_back),
		TEST(an_msr_that_the_guest_has_not_is_left_out),
		TEST(an_msr_that_this_host_has_not_is_named),
		TEST(an_msr_that_is_in_no_list_is_refused),
		TEST(a_deadline_of_none_is_now),
		TEST(the_tsc_goes_on_by_its_offset),
		TEST(clocks_of_other_speeds_are_scaled),
		TEST(xsave_state_is_as_large_as_kvm_has_it),
		TEST(what_kvm_does_not_tell_or_take_is_named),
		TEST(any_bytes_are_loaded_or_refused),
	};

	return cmocka_run_group_tests_name("vcpu_state", tests, NULL, NULL);
}
