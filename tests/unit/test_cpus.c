/*
 * vCPU threads that go on from a state: each loads itself before it is
 * confined, stays out until it is let in, and tells its guest of the pause.
 * Over an ioctl() of our own, which is a guest that runs until it is kicked.
 */
#include "vmm/machine/cpus.h"

#include <errno.h>
#include <poll.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cmocka.h>

enum { CPUS = 3, RUN_BYTES = 4096, FDS = 256 };

static struct {
	struct kvm_run *run[FDS]; /* by descriptor; mapped for the test */
	_Atomic unsigned runs;
	_Atomic unsigned pauses;  /* told to guests */
	_Atomic unsigned entries; /* set as for a boot */
	_Atomic unsigned loads;
	_Atomic unsigned confined;
	_Atomic bool is_out_of_order; /* confined first, or run before */
	uint32_t fail; /* the vCPU that does not load; CPUS for none */
} fake;

static int create_vcpu(void)
{
	int fd = memfd_create("vcpu", MFD_CLOEXEC);

	if (fd < 0 || fd >= FDS || ftruncate(fd, RUN_BYTES))
		return -1;
	fake.run[fd] = mmap(NULL, RUN_BYTES, PROT_READ | PROT_WRITE, MAP_SHARED,
			    fd, 0);
	return fd;
}

static int run(int fd)
{
	if (fake.confined < CPUS)
		fake.is_out_of_order = true;
	fake.runs++;
	while (!*(volatile uint8_t *)&fake.run[fd]->immediate_exit)
		poll(NULL, 0, 1);
	errno = EINTR;
	return -1;
}

/* The C library's declaration, in whose place this one stands. */
int ioctl(int fd, unsigned long request, ...)
{
	va_list ap;
	void *arg;

	va_start(ap, request);
	arg = va_arg(ap, void *);
	va_end(ap);
	switch (request) {
	case KVM_CREATE_VCPU:
		return create_vcpu();
	case KVM_RUN:
		return run(fd);
	case KVM_KVMCLOCK_CTRL:
		fake.pauses++;
		return 0;
	case KVM_SET_REGS:
		fake.entries++;
		return 0;
	case KVM_GET_SUPPORTED_CPUID:
		((struct kvm_cpuid2 *)arg)->nent = 1;
		return 0;
	case KVM_SET_MSRS:
		return (int)((struct kvm_msrs *)arg)->nmsrs;
	default:
		return 0;
	}
}

static int load(void *context, struct vcpu *vcpu, struct err *e)
{
	(void)context;
	if (vcpu->id == fake.fail)
		return err_set(e, -EBADMSG, "vCPU %u is nonsense", vcpu->id);
	fake.loads++;
	return 0;
}

static int confine(void *context, struct err *e)
{
	(void)context;
	(void)e;
	/* As many have loaded, at least, as are confined with this one. */
	if (fake.loads <= fake.confined)
		fake.is_out_of_order = true;
	fake.confined++;
	return 0;
}

static void ended(void *context, enum vcpu_exit how, const struct err *e)
{
	(void)context;
	(void)how;
	(void)e;
	fake.is_out_of_order = true;
}

static struct kvm kvm = {.fd = 300, .vcpu_map_bytes = RUN_BYTES};
static struct vm vm = {.fd = 301, .kvm = &kvm};
static struct bus mmio, pio;
static struct arch *arch;
static struct cpus *cpus;

static int begin(bool loads)
{
	const struct arch_topology topology = {.vcpus = CPUS};
	const struct cpus_config config = {
		.count = CPUS,
		.mmio = &mmio,
		.pio = &pio,
		.ended = ended,
		.confine = confine,
		.load = loads ? load : NULL,
	};
	struct cpus_config with_arch = config;
	sigset_t blocked;
	struct err e;

	memset(&fake, 0, sizeof(fake));
	fake.fail = CPUS;
	sigemptyset(&blocked);
	vcpu_take_kicks(&blocked);
	pthread_sigmask(SIG_BLOCK, &blocked, NULL);
	if (arch_new(&arch, &kvm, &topology, &e))
		return -1;
	with_arch.arch = arch;
	return cpus_new(&cpus, &with_arch, &e);
}

static int setup(void **state)
{
	(void)state;
	return begin(true);
}

static int teardown(void **state)
{
	unsigned fd;

	(void)state;
	cpus_free(cpus);
	arch_free(arch);
	for (fd = 0; fd < FDS; fd++)
		if (fake.run[fd])
			munmap(fake.run[fd], RUN_BYTES);
	return 0;
}

/* Until all are in the guest, that often in all. */
static void await_runs(unsigned count)
{
	while (fake.runs < count)
		poll(NULL, 0, 1);
}

static void loaded_vcpus_are_held_and_go_on_where_they_were(void **state)
{
	struct err e = {0};
	uint32_t i;

	(void)state;
	assert_int_equal(cpus_use_vm(cpus, &vm, NULL), 0);
	assert_int_equal(cpus_wait(cpus, &e), 0);
	assert_int_equal(fake.loads, CPUS);
	assert_int_equal(fake.confined, CPUS);
	for (i = 0; i < CPUS; i++)
		assert_int_equal(cpus_held(cpus, i)->id, i);
	cpus_start_held(cpus);
	/* Holding what is held waits for nobody. */
	cpus_hold(cpus);
	assert_int_equal(fake.runs, 0);
	cpus_release(cpus);
	await_runs(CPUS);
	/* Each was told of the time between, and none began at a kernel. */
	assert_int_equal(fake.pauses, CPUS);
	assert_int_equal(fake.entries, 0);
	cpus_hold(cpus);
	assert_int_equal(fake.runs, CPUS);
	cpus_release(cpus);
	await_runs(2 * CPUS);
	assert_int_equal(fake.pauses, 2 * CPUS);
	assert_int_equal(fake.entries, 0);
	assert_false(fake.is_out_of_order);
}

/* Whoever can't load is not confined, and the reason is told. */
static void a_vcpu_that_does_not_load_says_why(void **state)
{
	struct err e = {0};

	(void)state;
	fake.fail = 1;
	assert_int_equal(cpus_use_vm(cpus, &vm, NULL), 0);
	assert_int_equal(cpus_wait(cpus, &e), -EBADMSG);
	assert_string_equal(e.text, "vCPU 1 is nonsense");
	assert_true(fake.confined < CPUS);
	assert_int_equal(fake.runs, 0);
}

/* Whoever saves it then saves its kernel's entry, not the reset's. */
static void a_guest_that_is_held_at_once_is_at_its_kernel(void **state)
{
	const struct boot_entry entry = {0};
	struct err e = {0};
	unsigned i;

	for (i = 0; i < 50; i++) {
		assert_int_equal(teardown(state), 0);
		assert_int_equal(begin(false), 0);
		assert_int_equal(cpus_use_vm(cpus, &vm, NULL), 0);
		assert_int_equal(cpus_wait(cpus, &e), 0);
		cpus_start(cpus, &entry);
		cpus_hold(cpus);
		assert_int_equal(fake.entries, 1);
		cpus_release(cpus);
		cpus_hold(cpus);
		assert_int_equal(fake.entries, 1);
	}
}

/* Threads that wait for a VM, and those that are held, end. */
static void whoever_waits_can_be_ended(void **state)
{
	struct err e = {0};

	assert_int_equal(teardown(state), 0);
	assert_int_equal(fake.loads, 0);
	assert_int_equal(setup(state), 0);
	assert_int_equal(cpus_use_vm(cpus, &vm, NULL), 0);
	assert_int_equal(cpus_wait(cpus, &e), 0);
	cpus_start_held(cpus);
	assert_int_equal(teardown(state), 0);
	assert_int_equal(fake.runs, 0);
	assert_int_equal(setup(state), 0);
}

static bool never(void *owner)
{
	(void)owner;
	return false;
}

/*
 * What its last write began has not ended: KVM finishes the access all the
 * same, for the vCPU may be told to be elsewhere before it runs again.
 */
static void a_kicked_vcpu_has_finished_its_access(void **state)
{
	const struct bus_range slow = {.settle = never};
	struct vcpu v = {.fd = create_vcpu(), .unsettled = &slow};

	(void)state;
	v.run = fake.run[v.fd];
	v.run->immediate_exit = 1;
	assert_int_equal(vcpu_run(&v, NULL), VCPU_KICKED);
	assert_int_equal(fake.runs, 1);
	assert_int_equal(v.run->immediate_exit, 0);
	assert_ptr_equal(v.unsettled, &slow);
	close(v.fd);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(a_kicked_vcpu_has_finished_its_access),
		TEST(loaded_vcpus_are_held_and_go_on_where_they_were),
		TEST(a_vcpu_that_does_not_load_says_why),
		TEST(a_guest_that_is_held_at_once_is_at_its_kernel),
		TEST(whoever_waits_can_be_ended),
	};

	return cmocka_run_group_tests_name("cpus", tests, NULL, NULL);
}
