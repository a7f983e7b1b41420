/*
 * Registers that a vCPU which goes back gets with its next KVM_RUN: which of
 * them, when not, and what becomes of them where it does not run. And the kick
 * that it may have had.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>

#include <cmocka.h>

#include "vmm/arch/x86_64/x86.h"

enum { KVM_FD = 3, VM_FD, VCPU_FD };
enum { ALL = KVM_SYNC_X86_REGS | KVM_SYNC_X86_SREGS | KVM_SYNC_X86_EVENTS };
#define APIC_BASE 0xfee00900ULL

/* What KVM has of a vCPU, and the calls that told it so. */
static struct {
	int can_sync;
	struct kvm_mp_state mp;
	struct kvm_regs regs;
	struct kvm_sregs2 sregs;
	struct kvm_vcpu_events events;
	struct kvm_msi msi;
	char calls[256];
} fake;

static void take(void *to, const void *from, size_t size, const char *call)
{
	const size_t n = strlen(fake.calls);

	memcpy(to, from, size);
	snprintf(fake.calls + n, sizeof(fake.calls) - n, "%s%s", n ? " " : "",
		 call);
}

static int vcpu_call(unsigned long request, void *arg)
{
	switch (request) {
	case KVM_GET_MP_STATE:
		memcpy(arg, &fake.mp, sizeof(fake.mp));
		break;
	case KVM_GET_REGS:
		memcpy(arg, &fake.regs, sizeof(fake.regs));
		break;
	case KVM_GET_SREGS2:
		memcpy(arg, &fake.sregs, sizeof(fake.sregs));
		break;
	case KVM_GET_VCPU_EVENTS:
		memcpy(arg, &fake.events, sizeof(fake.events));
		break;
	case KVM_SET_REGS:
		take(&fake.regs, arg, sizeof(fake.regs), "regs");
		break;
	case KVM_SET_SREGS2:
		take(&fake.sregs, arg, sizeof(fake.sregs), "sregs");
		break;
	case KVM_SET_LAPIC:
		take(arg, arg, 0, "lapic");
		break;
	case KVM_SET_VCPU_EVENTS:
		take(&fake.events, arg, sizeof(fake.events), "events");
		break;
	case KVM_GET_LAPIC:
		memset(arg, 0, sizeof(struct kvm_lapic_state));
		break;
	case KVM_GET_XCRS:
		memset(arg, 0, sizeof(struct kvm_xcrs));
		break;
	case KVM_GET_DEBUGREGS:
		memset(arg, 0, sizeof(struct kvm_debugregs));
		break;
	default: /* no MSRs, and no offset of the TSC */
		break;
	}
	return 0;
}

/* The C library's declaration, in whose place this one stands. */
int ioctl(int fd, unsigned long request, ...)
{
	va_list ap;
	void *arg;

	va_start(ap, request);
	arg = va_arg(ap, void *);
	va_end(ap);
	if (request == KVM_CHECK_EXTENSION)
		return (uintptr_t)arg == KVM_CAP_SYNC_REGS ? fake.can_sync : 0;
	if (request == KVM_GET_MSR_INDEX_LIST)
		((struct kvm_msr_list *)arg)->nmsrs = 0;
	if (request == KVM_SIGNAL_MSI)
		take(&fake.msi, arg, sizeof(fake.msi), "kick");
	return fd == VCPU_FD ? vcpu_call(request, arg) : 0;
}

static struct kvm kvm = {.fd = KVM_FD};
static struct vm vm = {.fd = VM_FD, .kvm = &kvm};
static struct kvm_run run;
static struct vcpu vcpu;
static struct cpuid model;
static struct arch arch = {.cpuid = &model, .kvm = &kvm, .vm = &vm};
static struct visitor saved;

static void save(void)
{
	visitor_fini(&saved);
	visitor_save(&saved, ARCH_STATE_VCPU, NULL);
	arch_visit_vcpu(&arch, &vcpu, &saved);
	assert_int_equal(saved.rc, 0);
}

static void load(void)
{
	struct visitor v;

	fake.calls[0] = '\0';
	visitor_load(&v, saved.data, saved.len, ARCH_STATE_VCPU, NULL);
	arch_visit_vcpu(&arch, &vcpu, &v);
	assert_int_equal(visitor_end(&v), 0);
}

/* KVM_RUN leaves the vCPU elsewhere. */
static void goes_on(void)
{
	fake.regs.rip = 0xbad;
	fake.sregs.cr3 = 0xbad;
	fake.events.nmi.pending = 0;
	run.kvm_dirty_regs = 0;
	vcpu.is_loaded = false;
}

static int setup(void **state)
{
	(void)state;
	memset(&fake, 0, sizeof(fake));
	memset(&run, 0, sizeof(run));
	fake.can_sync = ALL;
	fake.mp.mp_state = KVM_MP_STATE_HALTED;
	fake.regs.rip = 0x1234;
	fake.sregs.cr3 = 0x5000;
	fake.sregs.apic_base = APIC_BASE;
	fake.events.nmi.pending = 1;
	run.apic_base = APIC_BASE;
	vcpu = (struct vcpu){.fd = VCPU_FD, .run = &run};
	save();
	goes_on();
	return 0;
}

static void one_that_has_run_gets_them_by_its_run(void **state)
{
	(void)state;
	load();
	assert_string_equal(fake.calls, "lapic");
	assert_int_equal(run.kvm_dirty_regs, ALL);
	assert_int_equal(run.s.regs.regs.rip, 0x1234);
	assert_int_equal(run.s.regs.sregs.cr3, 0x5000);
	assert_int_equal(run.s.regs.sregs.apic_base, APIC_BASE);
	assert_int_equal(run.s.regs.events.nmi.pending, 1);
	/* Once more, before it runs. */
	load();
	assert_string_equal(fake.calls, "lapic");
	assert_int_equal(run.kvm_dirty_regs, ALL);
	assert_int_equal(run.s.regs.regs.rip, 0x1234);
}

static void by_calls(void)
{
	load();
	assert_string_equal(fake.calls, "regs sregs lapic events");
	assert_int_equal(run.kvm_dirty_regs, 0);
	assert_int_equal(fake.regs.rip, 0x1234);
	assert_int_equal(fake.sregs.cr3, 0x5000);
	assert_int_equal(fake.events.nmi.pending, 1);
}

static void one_that_was_just_made_gets_them_by_calls(void **state)
{
	(void)state;
	run.apic_base = 0;
	by_calls();
}

static void a_kvm_that_takes_not_all_gets_calls(void **state)
{
	(void)state;
	fake.can_sync = KVM_SYNC_X86_REGS;
	by_calls();
}

static void another_mode_of_the_apic_comes_before_its_registers(void **state)
{
	(void)state;
	run.apic_base = APIC_BASE | 0x400;
	by_calls();
}

static void who_waits_for_an_init_has_nothing_after_it(void **state)
{
	(void)state;
	fake.mp.mp_state = KVM_MP_STATE_UNINITIALIZED;
	fake.regs.rip = 0x1234;
	fake.sregs.cr3 = 0x5000;
	fake.events.nmi.pending = 1;
	save();
	goes_on();
	by_calls();
}

static void pdptrs_go_by_calls(void **state)
{
	(void)state;
	fake.regs.rip = 0x1234;
	fake.sregs.cr3 = 0x5000;
	fake.sregs.flags = KVM_SREGS2_FLAGS_PDPTRS_VALID;
	fake.events.nmi.pending = 1;
	save();
	goes_on();
	by_calls();
	assert_int_equal(fake.sregs.flags, KVM_SREGS2_FLAGS_PDPTRS_VALID);
}

static void who_saves_it_before_it_runs_finds_them(void **state)
{
	struct visitor before;

	(void)state;
	load();
	before = saved;
	saved = (struct visitor){0};
	save();
	assert_string_equal(fake.calls, "lapic regs sregs events");
	assert_int_equal(run.kvm_dirty_regs, 0);
	assert_int_equal(before.len, saved.len);
	assert_memory_equal(before.data, saved.data, saved.len);
	visitor_fini(&before);
}

/* It was let go and held again before it came to the guest. */
static void what_nobody_took_along_is_replaced(void **state)
{
	(void)state;
	load();
	vcpu.is_loaded = false;
	run.apic_base = APIC_BASE | 0x400;
	by_calls();
}

/* Saved so, then loaded. */
static void comes_back(uint32_t mp_state, uint64_t rflags)
{
	fake.mp.mp_state = mp_state;
	fake.regs.rflags = rflags;
	save();
	goes_on();
	load();
}

static void who_may_have_been_kicked_is_kicked_again(void **state)
{
	(void)state;
	vcpu.id = 5;
	comes_back(KVM_MP_STATE_RUNNABLE, 0x2);
	assert_string_equal(fake.calls, "lapic kick");
	/* To that one, of a delivery mode that is no interrupt. */
	assert_int_equal(fake.msi.address_lo, 0xfee05000);
	assert_int_equal(fake.msi.data, 0x300);
	assert_int_equal(fake.msi.flags, 0);
	/* Back once more, before it has run. */
	load();
	assert_string_equal(fake.calls, "lapic kick");
}

/* An interrupt ends a sleep with interrupts on; and KVM has told of a sleeper.
 */
static void who_can_have_lost_no_kick_gets_none(void **state)
{
	(void)state;
	comes_back(KVM_MP_STATE_RUNNABLE, 0x202);
	assert_string_equal(fake.calls, "lapic");
	comes_back(KVM_MP_STATE_HALTED, 0x2);
	assert_string_equal(fake.calls, "lapic");
	comes_back(KVM_MP_STATE_UNINITIALIZED, 0x2);
	assert_string_equal(fake.calls, "regs sregs lapic events");
}

int main(void)
{
#define TEST(f) cmocka_unit_test_setup(f, setup)
	const struct CMUnitTest tests[] = {
		TEST(one_that_has_run_gets_them_by_its_run),
		TEST(one_that_was_just_made_gets_them_by_calls),
		TEST(a_kvm_that_takes_not_all_gets_calls),
		TEST(another_mode_of_the_apic_comes_before_its_registers),
		TEST(who_waits_for_an_init_has_nothing_after_it),
		TEST(pdptrs_go_by_calls),
		TEST(who_saves_it_before_it_runs_finds_them),
		TEST(what_nobody_took_along_is_replaced),
		TEST(who_may_have_been_kicked_is_kicked_again),
		TEST(who_can_have_lost_no_kick_gets_none),
	};

	return cmocka_run_group_tests_name("vcpu_along", tests, NULL, NULL);
}
