/*
 * Memory that becomes a file while a guest writes to it: an ioctl() and vCPUs
 * of our own, and a guest that writes at the rate it is told whenever it may.
 */
#include "vmm/machine/forked.h"

#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "vmm/base/fd.h"
#include "vmm/machine/parts.h"
#include "vmm/machine/saved.h"

enum { PAGE = 4096, PAGES = 2048, SIZE = PAGES * PAGE, NS_PER_MS = 1000000 };

static struct {
	uint64_t dirty[PAGES / 64]; /* what KVM has noted */
	bool is_logged;
	bool fails;   /* its log can't be had */
	bool is_held; /* the vCPUs */
	unsigned holds;
	unsigned rate; /* pages that the guest writes in a millisecond */
	unsigned next; /* the one that it writes then */
	uint32_t value;
} fake;

static struct machine m;

static void write_page(unsigned page)
{
	memset(m.mem.map + (size_t)page * PAGE, (int)++fake.value, PAGE);
	if (fake.is_logged)
		fake.dirty[page / 64] |= 1ULL << page % 64;
}

/* The guest, for so long. */
static void run(uint64_t ns)
{
	uint64_t left = fake.rate * ns / NS_PER_MS;

	if (fake.is_held)
		return;
	for (; left; left--) {
		write_page(fake.next);
		fake.next = (fake.next + 1) % PAGES;
	}
}

int ioctl(int fd, unsigned long request, ...)
{
	const struct kvm_userspace_memory_region *slot;
	const struct kvm_dirty_log *log;
	va_list ap;
	void *arg;

	(void)fd;
	va_start(ap, request);
	arg = va_arg(ap, void *);
	va_end(ap);
	if (request == KVM_SET_USER_MEMORY_REGION) {
		slot = arg;
		fake.is_logged = slot->flags & KVM_MEM_LOG_DIRTY_PAGES;
	} else if (request == KVM_GET_DIRTY_LOG) {
		if (fake.fails) {
			errno = EIO;
			return -1;
		}
		log = arg;
		memcpy(log->dirty_bitmap, fake.dirty, sizeof(fake.dirty));
		memset(fake.dirty, 0, sizeof(fake.dirty));
	}
	return 0;
}

void cpus_hold(struct cpus *c)
{
	(void)c;
	fake.is_held = true;
	fake.holds++;
}

void cpus_release(struct cpus *c)
{
	(void)c;
	fake.is_held = false;
}

struct vcpu *cpus_held(struct cpus *c, uint32_t i)
{
	(void)c;
	(void)i;
	return NULL;
}

static void setup_of(enum guest_mem_kind kind, bool is_tracked)
{
	const struct guest_range range = {0, SIZE};
	const struct guest_mem_backing backing = {kind, -1, 0};
	struct err e;
	unsigned i;

	memset(&fake, 0, sizeof(fake));
	memset(&m, 0, sizeof(m));
	m.vm = (struct vm){.fd = 4, .kvm = &m.kvm};
	assert_int_equal(guest_mem_open(&m.mem, &range, 1, &backing, &e), 0);
	if (kind == GUEST_MEM_TRANSPARENT)
		madvise(m.mem.map, m.mem.size, MADV_NOHUGEPAGE);
	for (i = 0; i < PAGES; i += 3)
		write_page(i);
	if (!is_tracked)
		return;
	fake.is_logged = true;
	assert_int_equal(saved_track(&m, &e), 0);
}

static void teardown(void)
{
	forked_free(&m);
	free(m.written);
	free(m.fresh);
	free(m.since_mark);
	guest_mem_close(&m.mem);
}

static void expect_file(int fd, const uint8_t *want)
{
	uint8_t *got = malloc(SIZE);
	unsigned page;

	assert_int_equal(fd_pread(fd, got, SIZE, 0), 0);
	for (page = 0; page < PAGES; page++)
		if (memcmp(got + (size_t)page * PAGE,
			   want + (size_t)page * PAGE, PAGE) != 0)
			fail_msg("page %u is of another moment", page);
	free(got);
}

/* Steps until it may be held; the guest writes between. */
static unsigned step_on(void)
{
	uint64_t rest_ns = 0;
	unsigned steps = 0;
	struct err e;
	int rc;

	while (!(rc = machine_fork_step(&m, &rest_ns, &e))) {
		/* A turn of the loop's takes a little. */
		run(rest_ns ? rest_ns : NS_PER_MS / 50);
		if (++steps > 10000)
			fail_msg("it comes to no end");
	}
	if (rc < 0)
		fail_msg("%s", e.text);
	return steps;
}

/* The instant, and what the guest does after it. */
static int split(void)
{
	uint8_t *want = malloc(SIZE);
	struct err e;
	int fd;

	cpus_hold(NULL);
	assert_int_equal(machine_quiet(&m, &e), 0);
	assert_int_equal(machine_fork(&m, &e), 0);
	memcpy(want, m.mem.map, SIZE);
	machine_unquiet(&m);
	cpus_release(NULL);
	fake.rate = PAGES;
	run(NS_PER_MS / 2);
	assert_int_equal(machine_fork_memory(&m, &fd, &e), 0);
	machine_fork_end(&m);
	assert_false(fake.is_held);
	expect_file(fd, want);
	free(want);
	return fd;
}

static void fork_of(enum guest_mem_kind kind, unsigned rate, bool is_tracked)
{
	struct err e;
	unsigned i;

	setup_of(kind, is_tracked);
	for (i = 0; i < 3; i++) {
		fake.rate = rate;
		assert_int_equal(machine_fork_begin(&m, true, &e), 0);
		step_on();
		close(split());
		assert_true(m.is_tracked == is_tracked);
		assert_true(fake.is_logged == is_tracked);
		assert_true(!m.mem.written == !is_tracked);
	}
	teardown();
}

static void each_kind_of_memory_is_of_one_moment(void **state)
{
	(void)state;
	fork_of(GUEST_MEM_SMALL, 0, false);
	fork_of(GUEST_MEM_SMALL, 300, false);
	fork_of(GUEST_MEM_SMALL, 300, true);
	fork_of(GUEST_MEM_TRANSPARENT, 300, false);
	fork_of(GUEST_MEM_TRANSPARENT, 300, true);
}

/* The first is no copy, nor is the file that others have. */
static void memory_of_its_own_becomes_the_file(void **state)
{
	struct stat before, after;
	struct err e;
	int first, second;

	(void)state;
	setup_of(GUEST_MEM_SMALL, false);
	assert_int_equal(fstat(m.mem.fd, &before), 0);
	assert_int_equal(machine_fork_begin(&m, true, &e), 0);
	step_on();
	first = split();
	assert_int_equal(fstat(first, &after), 0);
	assert_true(before.st_ino == after.st_ino);
	assert_int_equal(m.mem.kind, GUEST_MEM_FILE);
	assert_int_equal(machine_fork_begin(&m, true, &e), 0);
	step_on();
	second = split();
	assert_int_equal(fstat(second, &after), 0);
	assert_true(before.st_ino != after.st_ino);
	assert_int_equal(pwrite(first, "x", 1, 0), -1);
	assert_int_equal(errno, EPERM);
	assert_int_equal(ftruncate(second, 0), -1);
	assert_true(mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_SHARED, second,
			 0) == MAP_FAILED);
	close(first);
	close(second);
	teardown();
}

/* It writes more in a turn than the last pause may copy. */
static void a_guest_that_writes_quicker_than_we_copy_is_held(void **state)
{
	struct err e;

	(void)state;
	setup_of(GUEST_MEM_TRANSPARENT, false);
	fake.rate = 20000;
	assert_int_equal(machine_fork_begin(&m, true, &e), 0);
	assert_int_equal(fake.holds, 1);
	step_on();
	assert_true(fake.holds > 4);
	close(split());
	teardown();
}

/* Its devices go on meanwhile, as they do while it is prepared. */
static void a_paused_guest_is_left_alone(void **state)
{
	static const char late[] = "a packet that came in";
	static const enum guest_mem_kind kinds[] = {GUEST_MEM_SMALL,
						    GUEST_MEM_TRANSPARENT};
	struct err e;
	unsigned i;

	(void)state;
	for (i = 0; i < 2; i++) {
		setup_of(kinds[i], false);
		fake.is_held = true;
		fake.rate = 1000;
		assert_int_equal(machine_fork_begin(&m, false, &e), 0);
		guest_mem_write(&m.mem, 9 * PAGE, late, sizeof(late));
		step_on();
		guest_mem_write(&m.mem, 300 * PAGE, late, sizeof(late));
		machine_fork_again(&m);
		step_on();
		guest_mem_write(&m.mem, 700 * PAGE, late, sizeof(late));
		assert_true(fake.is_held);
		assert_int_equal(fake.holds, 0);
		close(split());
		assert_false(fake.is_logged);
		assert_false(m.is_tracked);
		teardown();
	}
}

/* What a device was asked for may be written after it was noted. */
static void what_devices_write_late_is_there(void **state)
{
	uint64_t rest_ns = 0;
	struct err e;

	(void)state;
	setup_of(GUEST_MEM_TRANSPARENT, false);
	assert_int_equal(machine_fork_begin(&m, true, &e), 0);
	guest_mem_wrote(&m.mem, m.mem.map + (size_t)100 * PAGE, 2 * PAGE);
	while (!machine_fork_step(&m, &rest_ns, &e))
		;
	guest_mem_wrote(&m.mem, m.mem.map + (size_t)200 * PAGE, 1);
	m.mem.map[(size_t)200 * PAGE] = 77;
	close(split());
	teardown();
}

/* A mark's set and the next diff's have what was written meanwhile. */
static void others_who_ask_what_was_written_lose_nothing(void **state)
{
	struct err e;

	(void)state;
	setup_of(GUEST_MEM_TRANSPARENT, true);
	m.since_mark = calloc(PAGES / 64, sizeof(uint64_t));
	write_page(5);
	assert_int_equal(machine_fork_begin(&m, true, &e), 0);
	write_page(70);
	step_on();
	write_page(130);
	close(split());
	assert_int_equal(saved_gather(&m, &e), 0);
	assert_true(m.written[0] >> 5 & 1 && m.since_mark[0] >> 5 & 1);
	assert_true(m.written[1] >> 6 & 1 && m.since_mark[1] >> 6 & 1);
	assert_true(m.written[2] >> 2 & 1 && m.since_mark[2] >> 2 & 1);
	teardown();
}

static void one_that_fails_leaves_no_log(void **state)
{
	uint64_t rest_ns;
	struct err e;
	int rc;

	(void)state;
	setup_of(GUEST_MEM_TRANSPARENT, false);
	assert_int_equal(machine_fork_begin(&m, true, &e), 0);
	fake.fails = true;
	while (!(rc = machine_fork_step(&m, &rest_ns, &e)))
		;
	assert_int_equal(rc, -EIO);
	machine_fork_end(&m);
	assert_false(m.is_tracked);
	assert_false(fake.is_logged);
	assert_null(m.written);
	assert_null(m.mem.written);
	assert_null(m.forked);
	assert_false(fake.is_held);
	teardown();
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(each_kind_of_memory_is_of_one_moment),
		cmocka_unit_test(memory_of_its_own_becomes_the_file),
		cmocka_unit_test(
			a_guest_that_writes_quicker_than_we_copy_is_held),
		cmocka_unit_test(a_paused_guest_is_left_alone),
		cmocka_unit_test(what_devices_write_late_is_there),
		cmocka_unit_test(others_who_ask_what_was_written_lose_nothing),
		cmocka_unit_test(one_that_fails_leaves_no_log),
	};

	return cmocka_run_group_tests_name("forked", tests, NULL, NULL);
}
