/*
 * Overlays that are forked while they are written to: what the fork has is the
 * disk of the instant, whoever writes meanwhile and however quickly.
 */
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

#include "devices/block_overlay.h"
#include "tests/unit/fake_driver.h"
#include "vmm/base/clock.h"
#include "vmm/base/fd.h"

/* No multiple of the cluster, and more than one chunk of the map. */
enum {
	SECTOR = 512,
	DISK = (3 * OVERLAY_CHUNK + 7) * OVERLAY_CLUSTER + 3 * SECTOR
};
enum { CLUSTERS = DISK / OVERLAY_CLUSTER + 1, AT = 5, MOST = 24 };

#define STEP_NS 20000ULL

static struct block_file base;
static struct block_overlay *overlay;
static uint8_t *disk; /* as it must be */
static struct fake_random rnd;
static struct err e;

/* What happens while somebody looks at the clock; NULL for nothing. */
static void (*meanwhile)(void);

uint64_t clock_now_ns(void)
{
	struct timespec now;

	if (meanwhile)
		meanwhile();
	clock_gettime(CLOCK_MONOTONIC, &now);
	return (uint64_t)now.tv_sec * 1000000000ULL + (uint64_t)now.tv_nsec;
}

uint64_t clock_cpu_ns(void)
{
	return 0;
}

void clock_rest(void)
{
	usleep(1000);
}

static int new_file(uint64_t size)
{
	const int fd = memfd_create("disk", MFD_CLOEXEC);

	assert_true(fd > 0);
	assert_int_equal(ftruncate(fd, (off_t)size), 0);
	return fd;
}

static struct block_overlay *new_overlay(const char *dir)
{
	const struct block_overlay_config config = {.is_wanted = true,
						    .dir = dir};
	struct block_overlay *o;

	assert_int_equal(block_overlay_new(&o, &base, &config, &e), 0);
	return o;
}

static void setup_of(uint64_t size, const char *dir)
{
	base = (struct block_file){
		.fd = new_file(size),
		.size = size,
		.is_in_memory = true,
	};
	overlay = new_overlay(dir);
	rnd.state = 0xf0124;
}

static int setup(void **state)
{
	uint32_t i;

	(void)state;
	setup_of(DISK, NULL);
	disk = malloc(DISK);
	assert_non_null(disk);
	for (i = 0; i < DISK; i++)
		disk[i] = (uint8_t)(i * 7 + i / SECTOR);
	assert_int_equal(fd_pwrite(base.fd, disk, DISK, 0), 0);
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	block_overlay_free(overlay);
	block_file_close(&base);
	free(disk);
	disk = NULL;
	return 0;
}

static void perform(enum block_op op, uint64_t offset, uint8_t *data,
		    size_t bytes)
{
	struct iovec iovec = {.iov_base = data, .iov_len = bytes};
	struct block_request r = {
		.op = op,
		.offset = offset,
		.length = op == BLOCK_WRITE || op == BLOCK_READ ? 0 : bytes,
		.data = {.at = &iovec, .count = 1, .bytes = bytes},
	};

	assert_int_equal(block_overlay_perform(overlay, &r), 0);
}

/* A write, or zeroes, of some sectors. */
static void do_something(void)
{
	const unsigned sector = fake_random_below(&rnd, DISK / SECTOR - MOST);
	const size_t bytes =
		(size_t)SECTOR * (1 + fake_random_below(&rnd, MOST));
	uint8_t *at = disk + (size_t)sector * SECTOR;

	if (fake_random_below(&rnd, 5)) {
		memset(at, (int)fake_random(&rnd), bytes);
		perform(BLOCK_WRITE, (uint64_t)sector * SECTOR, at, bytes);
	} else {
		memset(at, 0, bytes);
		perform(BLOCK_ZERO_UNMAP, (uint64_t)sector * SECTOR, NULL,
			bytes);
	}
}

/* ---- forks --------------------------------------------------------------- */

static int step(void)
{
	struct overlay_fork_look look = {0};
	const int rc = block_overlay_fork_step(
		overlay, clock_now_ns() + STEP_NS, &look, &e);

	assert_true(rc >= 0);
	return rc;
}

/* What a child has of the map and the file. */
static struct block_overlay *child(const struct visitor *v, int fd)
{
	struct block_overlay *o = new_overlay(NULL);
	struct visitor w;

	visitor_load(&w, v->data, v->len, 1, &e);
	block_overlay_fork_load(o, fcntl(fd, F_DUPFD_CLOEXEC, 3), &w);
	assert_int_equal(visitor_end(&w), 0);
	return o;
}

static void rest(struct visitor *v)
{
	assert_int_equal(block_overlay_fork_rest(overlay, &e), 0);
	visitor_save(v, 1, &e);
	block_overlay_fork_save(overlay, AT, v);
	assert_int_equal(visitor_end(v), 0);
	block_overlay_fork_end(overlay);
}

static void expect_disk(struct block_overlay *o)
{
	uint8_t *have = malloc(DISK);
	struct block_overlay *kept = overlay;

	assert_non_null(have);
	overlay = o;
	perform(BLOCK_READ, 0, have, DISK);
	overlay = kept;
	assert_memory_equal(have, disk, DISK);
	free(have);
}

static int begin(void)
{
	const int fd = new_file((AT + CLUSTERS) * (uint64_t)OVERLAY_CLUSTER);

	assert_int_equal(block_overlay_fork_begin(overlay, fd, AT, &e), 0);
	return fd;
}

/* Forked, marked, reset, forked again, and a child's child. */
static void a_fork_has_the_disk_of_its_instant(void **state)
{
	struct block_overlay *o;
	struct visitor v;
	unsigned round, i;
	int fd;

	(void)state;
	for (round = 0; round < 12; round++) {
		for (i = 0; i < 200; i++)
			do_something();
		if (round == 4 || round == 8)
			block_overlay_mark(overlay);
		fd = begin();
		do
			do_something();
		while (!step());
		if (round % 2) {
			/* Prepared, and taken up later. */
			for (i = 0; i < 100; i++)
				do_something();
			block_overlay_fork_again(overlay);
			while (!step())
				;
		}
		do_something();
		rest(&v);
		o = child(&v, fd);
		expect_disk(o);
		if (round % 3 == 2) {
			block_overlay_free(overlay);
			overlay = o;
			o = child(&v, fd);
		}
		/* Whoever writes afterwards writes for nobody else. */
		block_overlay_mark(overlay);
		perform(BLOCK_WRITE, 0, disk + 100 * SECTOR,
			100 * (size_t)SECTOR);
		expect_disk(o);
		block_overlay_reset(overlay);
		expect_disk(overlay);
		block_overlay_free(o);
		visitor_fini(&v);
		close(fd);
	}
}

static atomic_bool is_over;

/* The drive's thread. */
static void *write_all_the_time(void *unused)
{
	(void)unused;
	while (!atomic_load(&is_over))
		do_something();
	return NULL;
}

/* The instant; whoever loads it has this disk. */
static void expect_child(int fd)
{
	struct block_overlay *o;
	struct visitor v;

	rest(&v);
	o = child(&v, fd);
	expect_disk(o);
	block_overlay_free(o);
	visitor_fini(&v);
	close(fd);
}

static void nothing_is_lost_beside_a_thread_that_writes(void **state)
{
	pthread_t thread;
	unsigned i, round;
	int fd;

	(void)state;
	for (round = 0; round < 8; round++) {
		atomic_store(&is_over, false);
		assert_int_equal(
			pthread_create(&thread, NULL, write_all_the_time, NULL),
			0);
		fd = begin();
		for (i = 0; i < 400 && !step(); i++)
			;
		atomic_store(&is_over, true);
		assert_int_equal(pthread_join(thread, NULL), 0);
		/* However far it came beside it. */
		while (!step())
			;
		expect_child(fd);
	}
}

static void write_much(void)
{
	perform(BLOCK_WRITE, 0, disk, 200 * (size_t)OVERLAY_CLUSTER);
}

static void who_gets_nowhere_says_so(void **state)
{
	struct overlay_fork_look look = {0};
	int fd, passes = 0;

	(void)state;
	write_much();
	fd = begin();
	/* As soon as somebody looks at the clock more is written. */
	meanwhile = write_much;
	for (; passes < 3; passes++) {
		assert_false(look.is_stuck && passes < 2);
		assert_int_equal(
			block_overlay_fork_step(overlay, UINT64_MAX, &look, &e),
			0);
	}
	assert_true(look.is_stuck);
	/* Where nobody writes it comes to an end at once. */
	meanwhile = NULL;
	look.is_stuck = false;
	while (!block_overlay_fork_step(overlay, UINT64_MAX, &look, &e))
		;
	assert_false(look.is_stuck);
	block_overlay_fork_end(overlay);
	/* What is written after it is not noted, and the next begins anew. */
	do_something();
	close(fd);
	fd = begin();
	while (!step())
		;
	block_overlay_fork_end(overlay);
	close(fd);
}

/* Of a disk that is in a file which the page cache may have dropped. */
static void a_store_on_a_disk_is_read_without_waiting(void **state)
{
	struct overlay_fork_look look;
	unsigned i, round;
	int fd;

	(void)state;
	block_overlay_free(overlay);
	overlay = new_overlay("/var/tmp");
	for (round = 0; round < 3; round++) {
		for (i = 0; i < 300; i++)
			do_something();
		assert_int_equal(fsync(overlay->store.fd), 0);
		assert_int_equal(posix_fadvise(overlay->store.fd, 0, 0,
					       POSIX_FADV_DONTNEED),
				 0);
		fd = begin();
		for (i = 0;; i++) {
			look = (struct overlay_fork_look){0};
			if (block_overlay_fork_step(overlay,
						    clock_now_ns() + STEP_NS,
						    &look, &e))
				break;
			if (look.waits)
				usleep(100);
			assert_true(i < 1000000);
		}
		expect_child(fd);
	}
}

/* A terabyte, of which next to nothing was written. */
static void what_was_never_written_is_not_looked_at(void **state)
{
	const uint64_t size = 1ULL << 40;
	uint8_t bytes[OVERLAY_CLUSTER], have[OVERLAY_CLUSTER];
	struct block_overlay *o, *kept;
	struct visitor v;
	int fd;

	(void)state;
	teardown(NULL);
	setup_of(size, NULL);
	disk = NULL;
	memset(bytes, 0x5a, sizeof(bytes));
	perform(BLOCK_WRITE, size - OVERLAY_CLUSTER, bytes, sizeof(bytes));
	fd = new_file(AT * OVERLAY_CLUSTER + size);
	assert_int_equal(block_overlay_fork_begin(overlay, fd, AT, &e), 0);
	while (!step())
		;
	rest(&v);
	/* Size, and two runs, one of which says where it is. */
	assert_int_equal(v.len, 8 + 5 + 13);
	o = child(&v, fd);
	kept = overlay;
	overlay = o;
	perform(BLOCK_READ, size - OVERLAY_CLUSTER, have, sizeof(have));
	overlay = kept;
	assert_memory_equal(have, bytes, sizeof(bytes));
	block_overlay_free(o);
	visitor_fini(&v);
	close(fd);
}

/* Ten thousand damaged maps, of which none indexes beyond anything. */
static void a_damaged_map_is_refused_or_harmless(void **state)
{
	unsigned i, good = 0, bad = 0;
	struct block_overlay *kept = overlay;
	uint8_t *have = malloc(DISK), *bytes;
	struct visitor v, w;
	int fd;

	(void)state;
	for (i = 0; i < 20; i++)
		do_something();
	fd = begin();
	while (!step())
		;
	rest(&v);
	bytes = malloc(v.len);
	assert_true(have && bytes);
	for (i = 0; i < 10000; i++) {
		memcpy(bytes, v.data, v.len);
		bytes[fake_random_below(&rnd, (uint32_t)v.len)] ^=
			(uint8_t)(1 + fake_random_below(&rnd, 255));
		overlay = new_overlay(NULL);
		visitor_load(&w, bytes, v.len - !fake_random_below(&rnd, 9), 1,
			     &e);
		block_overlay_fork_load(overlay, fcntl(fd, F_DUPFD_CLOEXEC, 3),
					&w);
		if (visitor_end(&w)) {
			bad++;
		} else {
			if (good++ < 20)
				perform(BLOCK_READ, 0, have, DISK);
		}
		block_overlay_free(overlay);
	}
	overlay = kept;
	assert_true(bad > 1000 && good > 10);
	free(have);
	free(bytes);
	visitor_fini(&v);
	close(fd);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(a_fork_has_the_disk_of_its_instant),
		TEST(nothing_is_lost_beside_a_thread_that_writes),
		TEST(who_gets_nowhere_says_so),
		TEST(a_store_on_a_disk_is_read_without_waiting),
		TEST(what_was_never_written_is_not_looked_at),
		TEST(a_damaged_map_is_refused_or_harmless),
	};

	/* Whoever waits for ever fails. */
	alarm(120);
	return cmocka_run_group_tests_name("overlay_fork", tests, NULL, NULL);
}
