/*
 * Drives with an overlay: against a copy of what the disk must hold, through
 * writes, zeroes, discards, marks, resets, saves and loads. The file under it
 * is compared at the end of each test, and has no more bytes than it had.
 */
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "tests/unit/block_bench.h"
#include "tests/unit/fake_kvm.h"

enum { DISCARD = 11, WRITE_ZEROES = 13, UNMAP = 1 };
/* No multiple of the cluster. */
enum { DISK_SECTORS = 61 * 8 + 3, DISK = DISK_SECTORS * SECTOR };
enum { CLUSTERS = (DISK + OVERLAY_CLUSTER - 1) / OVERLAY_CLUSTER };
enum { MOST_SECTORS = 40, ROUNDS = 1500, RESETS = 10000 };

static uint8_t disk[DISK], marked[DISK]; /* as it must be, and was */
static struct fake_random rnd;

static struct block_overlay *overlay(void)
{
	return block_overlay_of(host.device);
}

static off_t store_bytes(void)
{
	struct stat st;

	assert_int_equal(fstat(overlay()->store.fd, &st), 0);
	return st.st_size;
}

static void start(void)
{
	struct err e;

	assert_int_equal(open_disk("rootfs", false, true, &e), 0);
	up(F_FLUSH | F_DISCARD | F_WRITE_ZEROES);
}

static int setup(void **state)
{
	unsigned i;

	bench_setup(state);
	make_disk(DISK);
	bench_overlay.bytes_max = 0;
	start();
	memset(disk, 0, sizeof(disk));
	for (i = 0; i < SECTORS * SECTOR; i++)
		disk[i] = (uint8_t)(i * 7 + i / SECTOR);
	memcpy(marked, disk, sizeof(disk));
	rnd.state = 0x0e71a + bench_engine;
	return 0;
}

static int teardown(void **state)
{
	struct stat st;

	expect_disk_unharmed();
	assert_int_equal(stat(bench_path, &st), 0);
	assert_int_equal(st.st_size, DISK);
	return bench_teardown(state);
}

static void hold(void)
{
	while (!host.device->ops->hold(host.device))
		usleep(1000);
}

static void release(void)
{
	host.device->ops->release(host.device);
}

static void expect_all(void)
{
	uint8_t have[DISK];

	hold();
	read_disk(0, have, sizeof(have));
	release();
	assert_memory_equal(have, disk, sizeof(disk));
}

/* ---- one request --------------------------------------------------------- */

/* In descriptors of many sizes. */
static size_t piece(void)
{
	return 256 + 16 * fake_random_below(&rnd, 300);
}

static uint8_t write_sectors(unsigned sector, unsigned count, uint8_t seed)
{
	const size_t bytes = count * SECTOR;
	size_t i;

	header(OUT, sector);
	for (i = 0; i < bytes; i++)
		sent[16 + i] = (uint8_t)(seed + i / 13);
	assert_int_equal(request(16 + bytes, 1, piece()), 1);
	return got[0];
}

static void write_some(unsigned sector, unsigned count)
{
	const uint8_t seed = (uint8_t)fake_random(&rnd);

	assert_int_equal(write_sectors(sector, count, seed), OK);
	memcpy(disk + sector * SECTOR, sent + 16, count * SECTOR);
}

static void read_some(unsigned sector, unsigned count)
{
	const size_t bytes = count * SECTOR;

	header(IN, sector);
	assert_int_equal(request(16, bytes + 1, piece()), bytes + 1);
	assert_int_equal(got[bytes], OK);
	assert_memory_equal(got, disk + sector * SECTOR, bytes);
}

static void range(uint32_t type, uint64_t sector, uint32_t count,
		  uint32_t flags)
{
	header(type, 0);
	memcpy(sent + 16, &sector, 8);
	memcpy(sent + 24, &count, 4);
	memcpy(sent + 28, &flags, 4);
	assert_int_equal(request(32, 1, 512), 1);
	assert_int_equal(got[0], OK);
}

static void zero_some(unsigned sector, unsigned count)
{
	range(WRITE_ZEROES, sector, count, fake_random_below(&rnd, 2));
	memset(disk + sector * SECTOR, 0, count * SECTOR);
}

/* What was there, or zeroes; it is then what it turns out to be. */
static void discard_some(unsigned sector, unsigned count)
{
	uint8_t *want = disk + sector * SECTOR;
	size_t i;

	range(DISCARD, sector, count, 0);
	header(IN, sector);
	assert_int_equal(request(16, count * SECTOR + 1, 4096),
			 count * SECTOR + 1);
	for (i = 0; i < count * SECTOR; i++) {
		if (got[i])
			assert_int_equal(got[i], want[i]);
		want[i] = got[i];
	}
}

/* The same without the driver, which takes longer to be told than all of it. */
static void perform(enum block_op op, unsigned sector, unsigned count)
{
	uint8_t data[MOST_SECTORS * SECTOR];
	struct iovec iovec = {.iov_base = data, .iov_len = count * SECTOR};
	struct block_request r = {
		.op = op,
		.offset = sector * SECTOR,
		.length = op == BLOCK_WRITE ? 0 : count * SECTOR,
		.data = {.at = &iovec, .count = 1, .bytes = count * SECTOR},
	};

	memset(data, op == BLOCK_WRITE ? (int)sector : 0, sizeof(data));
	memcpy(disk + r.offset, data, count * SECTOR);
	assert_int_equal(block_overlay_perform(overlay(), &r), 0);
}

/* ---- saved and loaded ---------------------------------------------------- */

static void save(struct visitor *v, int fd)
{
	uint64_t at = 3; /* as if another drive's came before */

	visitor_save(v, 1, NULL);
	hold();
	block_overlay_save(overlay(), fd, &at, v);
	release();
	assert_int_equal(visitor_end(v), 0);
	assert_true(at <= 3 + CLUSTERS);
}

static int load(const struct visitor *v, int fd, struct err *e)
{
	uint64_t at = 0;
	struct visitor w;

	visitor_load(&w, v->data, v->len, 1, e);
	block_overlay_load(overlay(), fd, &at, &w);
	return visitor_end(&w);
}

static void move_on(void)
{
	int fd = memfd_create("saved", MFD_CLOEXEC);
	struct visitor v;
	struct err e;

	assert_true(fd > 0);
	save(&v, fd);
	fake_host_close(&host);
	start();
	assert_int_equal(load(&v, fd, &e), 0);
	visitor_fini(&v);
	assert_int_equal(store_bytes(), 0);
	memcpy(marked, disk, sizeof(disk));
}

/* ---- tests --------------------------------------------------------------- */

static void do_something(unsigned what, unsigned sector, unsigned count)
{
	if (what < 30)
		write_some(sector, count);
	else if (what < 40)
		zero_some(sector, count);
	else if (what < 50)
		discard_some(sector, count);
	else
		read_some(sector, count);
}

static void back_or_on(unsigned what)
{
	hold();
	if (what < 4) {
		block_overlay_reset(overlay());
		memcpy(disk, marked, sizeof(disk));
	} else {
		block_overlay_mark(overlay());
		memcpy(marked, disk, sizeof(disk));
	}
	release();
	expect_all();
}

static void random_requests_keep_the_disk_right(void **state)
{
	unsigned round, what, sector, most, resets = 0, loads = 0;

	(void)state;
	for (round = 0; round < ROUNDS; round++) {
		what = fake_random_below(&rnd, 106);
		sector = fake_random_below(&rnd, DISK_SECTORS);
		most = DISK_SECTORS - sector;
		if (most > MOST_SECTORS)
			most = MOST_SECTORS;
		/* To the end, often, where a cluster is short. */
		if (!fake_random_below(&rnd, 8)) {
			sector = DISK_SECTORS - most;
			do_something(what, sector, most);
		} else if (what < 100) {
			do_something(what, sector,
				     1 + fake_random_below(&rnd, most));
		} else {
			back_or_on(what - 100);
			resets += what < 104;
		}
		if (round % 500 == 499) {
			move_on();
			loads++;
			expect_all();
		}
	}
	expect_all();
	assert_true(resets > 50 && loads == ROUNDS / 500);
	assert_true(overlay()->supply.end <= 2 * CLUSTERS);
}

static void a_reset_leaves_nothing(void **state)
{
	unsigned i;

	(void)state;
	write_some(100, 30);
	hold();
	block_overlay_mark(overlay());
	memcpy(marked, disk, sizeof(disk));
	const off_t bytes = store_bytes();

	for (i = 0; i < RESETS; i++) {
		perform(BLOCK_WRITE, fake_random_below(&rnd, DISK_SECTORS - 20),
			20);
		perform(BLOCK_ZERO_UNMAP,
			fake_random_below(&rnd, DISK_SECTORS - 20), 20);
		assert_true(store_bytes() > bytes);
		block_overlay_reset(overlay());
		memcpy(disk, marked, sizeof(disk));
		assert_int_equal(store_bytes(), bytes);
		assert_int_equal(overlay()->undo_count, 0);
	}
	release();
	expect_all();
}

static void marks_over_the_same_clusters_take_no_more_room(void **state)
{
	struct stat st;
	unsigned i;

	(void)state;
	hold();
	for (i = 0; i < 1000; i++) {
		perform(BLOCK_WRITE, 64, 40);
		block_overlay_mark(overlay());
	}
	release();
	read_some(60, 40);
	/* As they are, and as they were at the mark before. */
	assert_true(overlay()->supply.end <= 10);
	/* What is no more has been given back. */
	assert_int_equal(fstat(overlay()->store.fd, &st), 0);
	assert_true(st.st_blocks * 512 <= 5 * OVERLAY_CLUSTER);
}

static void a_full_store_fails_a_write_and_loses_nothing(void **state)
{
	struct err e;

	(void)state;
	fake_host_close(&host);
	bench_overlay.bytes_max = 4ULL * OVERLAY_CLUSTER + 100;
	assert_int_equal(open_disk("rootfs", false, true, &e), 0);
	up(F_FLUSH | F_DISCARD | F_WRITE_ZEROES);
	write_some(8, 16);
	write_some(60, 2);
	write_some(70, 2);
	/* The fifth cluster; in one, as the last of two, and as a part. */
	assert_int_equal(write_sectors(200, 8, 'x'), IOERR);
	assert_int_equal(write_sectors(300, 1, 'x'), IOERR);
	read_some(200, 8);
	read_some(296, 8);
	/* What has a place can be written, and read as zeroes, on. */
	write_some(12, 9);
	zero_some(400, 16);
	expect_all();
	hold();
	block_overlay_reset(overlay());
	release();
	memcpy(disk, marked, sizeof(disk));
	write_some(200, 32);
	expect_all();
}

/* Where the host fails it in the middle, as a full disk would. */
static void a_write_that_fails_takes_no_room(void **state)
{
	struct rlimit all, few;

	(void)state;
	signal(SIGXFSZ, SIG_IGN);
	write_some(0, 40);
	assert_int_equal(overlay()->supply.end, 5);
	assert_int_equal(getrlimit(RLIMIT_FSIZE, &all), 0);
	few = all;
	few.rlim_cur = 8ULL * OVERLAY_CLUSTER;
	assert_int_equal(setrlimit(RLIMIT_FSIZE, &few), 0);
	assert_int_equal(write_sectors(80, 40, 'x'), IOERR);
	assert_int_equal(setrlimit(RLIMIT_FSIZE, &all), 0);
	assert_int_equal(overlay()->supply.end, 5);
	expect_all();
	write_some(80, 40);
	assert_int_equal(overlay()->supply.end, 10);
	expect_all();
}

static void a_drive_keeps_the_file_under_its_overlay(void **state)
{
	struct err e;

	(void)state;
	assert_int_equal(block_set_path(host.device, NULL, &e), -EPERM);
	assert_non_null(strstr(e.text, "rate_limiter"));
	assert_int_equal(fcntl(overlay()->base->fd, F_GETFL) & O_ACCMODE,
			 O_RDONLY);
}

static void a_flush_of_what_goes_with_the_process_is_nothing(void **state)
{
	(void)state;
	write_some(0, 1);
	header(FLUSH, 0);
	assert_int_equal(request(16, 1, 16), 1);
	assert_int_equal(got[0], OK);
}

/* Ten thousand damaged maps, of which none indexes beyond anything. */
static void a_damaged_map_is_refused_or_harmless(void **state)
{
	int fd = memfd_create("saved", MFD_CLOEXEC), copy;
	unsigned i, good = 0, bad = 0;
	struct visitor v, w;
	struct err e;

	(void)state;
	for (i = 0; i < 40; i++)
		do_something(i, fake_random_below(&rnd, DISK_SECTORS - 40),
			     1 + fake_random_below(&rnd, 40));
	save(&v, fd);
	for (i = 0; i < 10000; i++) {
		uint8_t bytes[4096], have[DISK];
		struct block_overlay *o;
		uint64_t at = 0;

		assert_true(v.len < sizeof(bytes));
		memcpy(bytes, v.data, v.len);
		bytes[fake_random_below(&rnd, (uint32_t)v.len)] ^=
			(uint8_t)(1 + fake_random_below(&rnd, 255));
		assert_int_equal(block_overlay_new(&o, overlay()->base,
						   &bench_overlay, &e),
				 0);
		visitor_load(&w, bytes, v.len - !fake_random_below(&rnd, 9), 1,
			     &e);
		copy = fcntl(fd, F_DUPFD_CLOEXEC, 3);
		block_overlay_load(o, copy, &at, &w);
		if (visitor_end(&w)) {
			bad++;
		} else {
			struct iovec iovec = {have, sizeof(have)};
			struct block_request r = {
				.op = BLOCK_READ,
				.data = {&iovec, 1, sizeof(have)},
			};

			assert_int_equal(block_overlay_perform(o, &r), 0);
			good++;
		}
		block_overlay_free(o);
	}
	assert_true(bad > 1000 && good > 10);
	visitor_fini(&v);
	close(fd);
}

static void a_folder_that_can_not_have_it_is_a_sentence(void **state)
{
	struct block_overlay_config config = {.is_wanted = true,
					      .dir = "/nowhere/at/all"};
	struct err e;

	(void)state;
	assert_int_equal(block_overlay_try(&config, &e), -ENOENT);
	assert_non_null(strstr(e.text, "/nowhere/at/all"));
	config.dir = "/proc";
	assert_true(block_overlay_try(&config, &e) < 0);
	config.dir = NULL;
	assert_int_equal(block_overlay_try(&config, &e), 0);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(random_requests_keep_the_disk_right),
		TEST(a_reset_leaves_nothing),
		TEST(marks_over_the_same_clusters_take_no_more_room),
		TEST(a_full_store_fails_a_write_and_loses_nothing),
		TEST(a_write_that_fails_takes_no_room),
		TEST(a_drive_keeps_the_file_under_its_overlay),
		TEST(a_flush_of_what_goes_with_the_process_is_nothing),
		TEST(a_damaged_map_is_refused_or_harmless),
		TEST(a_folder_that_can_not_have_it_is_a_sentence),
	};
	static const char *const names[] = {
		"sync, in memory",
		"async, in memory",
		"sync, in a folder",
	};
	unsigned i, failed = 0;

	/* Whoever waits for ever fails. */
	alarm(120);
	for (i = 0; i < 3; i++) {
		bench_engine = i & 1 ? BLOCK_ASYNC : BLOCK_SYNC;
		bench_overlay = (struct block_overlay_config){
			.is_wanted = true,
			.dir = i & 2 ? "/var/tmp" : NULL,
		};
		failed += (unsigned)cmocka_run_group_tests_name(names[i], tests,
								NULL, NULL);
	}
	return (int)failed;
}
