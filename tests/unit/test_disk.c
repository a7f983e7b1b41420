/* The files behind virtio-block: which are refused, and which change. */
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <sys/fsuid.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <unistd.h>

#include <cmocka.h>

#include "tests/unit/block_bench.h"

static unsigned syncs;
static int sync_error;

/* Stands in for the C library's, so that we see what becomes durable. */
int fdatasync(int fd)
{
	(void)fd;
	syncs++;
	errno = sync_error;
	return sync_error ? -1 : 0;
}

/* What the file system has no call for, and what it was asked. */
static int missing_modes[4], asked_modes[64];
static unsigned missing_count, asked_count;
/* And what it wants to be asked for multiples of, as a device does. */
static off_t whole = 1;

int fallocate(int fd, int mode, off_t offset, off_t length)
{
	unsigned i;

	asked_modes[asked_count++ % 64] = mode;
	for (i = 0; i < missing_count; i++)
		if (mode == missing_modes[i]) {
			errno = EOPNOTSUPP;
			return -1;
		}
	if (offset % whole || length % whole) {
		errno = EINVAL;
		return -1;
	}
	return (int)syscall(SYS_fallocate, fd, mode, offset, length);
}

enum { PUNCH = 3, ZERO_RANGE = 17, RESERVE = 1 };

/* Asks for zeroes over, or a discard of, sectors 2 to 9 of known ones. */
static uint8_t ask_range(uint32_t type, uint32_t flags)
{
	const uint64_t sector = 2;
	const uint32_t rest[2] = {8, flags};

	make_disk(SECTORS * SECTOR);
	header(type, 0);
	memcpy(sent + 16, &sector, sizeof(sector));
	memcpy(sent + 24, rest, sizeof(rest));
	assert_int_equal(request(32, 1, ROOM), 1);
	return got[0];
}

static void up_without(unsigned count, int first, int second)
{
	struct err e;

	missing_count = count;
	missing_modes[0] = first;
	missing_modes[1] = second;
	asked_count = 0;
	assert_int_equal(open_disk("rootfs", false, true, &e), 0);
	up((F_FLUSH | F_DISCARD | F_WRITE_ZEROES) & fake_driver_offered(&host));
}

static void zeroes_are_written_whatever_the_file_system_has(void **state)
{
	static const int lacks[][3] = {
		{0}, {1, ZERO_RANGE}, {1, PUNCH}, {2, ZERO_RANGE, PUNCH}};
	const uint8_t zeroes[8 * SECTOR] = {0};
	unsigned i, unmaps;

	(void)state;
	fake_host_close(&host);
	for (i = 0; i < 4; i++) {
		up_without((unsigned)lacks[i][0], lacks[i][1], lacks[i][2]);
		assert_true(fake_driver_offered(&host) & F_WRITE_ZEROES);
		for (unmaps = 0; unmaps < 2; unmaps++) {
			assert_int_equal(ask_range(13, unmaps), OK);
			expect_on_disk(2 * SECTOR, zeroes, sizeof(zeroes));
			header(IN, 0);
			assert_int_equal(request(16, 2 * SECTOR + 1, ROOM),
					 2 * SECTOR + 1);
			expect_sectors(0, 2);
		}
		fake_host_close(&host);
	}
	missing_count = 0;
	assert_int_equal(open_disk("rootfs", false, true, NULL), 0);
}

/* Without unmap the space stays the disk's, though it was a hole meanwhile. */
static void zeroes_without_unmap_keep_their_space(void **state)
{
	unsigned i, n = 0;

	(void)state;
	fake_host_close(&host);
	up_without(1, ZERO_RANGE, 0);
	assert_int_equal(ask_range(13, 0), OK);
	assert_true(asked_count > 1);
	assert_int_equal(asked_modes[asked_count - 1], RESERVE);
	/* It is asked once what it has not. */
	assert_int_equal(ask_range(13, 0), OK);
	for (i = 0; i < asked_count; i++)
		n += asked_modes[i] == ZERO_RANGE;
	assert_int_equal(n, 1);
	missing_count = 0;
}

static void parts_of_a_device_s_blocks_are_written(void **state)
{
	const uint8_t zeroes[8 * SECTOR] = {0};

	(void)state;
	fake_host_close(&host);
	for (uint32_t unmaps = 0; unmaps < 2; unmaps++) {
		up_without(0, 0, 0);
		whole = 4096;
		assert_int_equal(ask_range(13, unmaps), OK);
		expect_on_disk(2 * SECTOR, zeroes, sizeof(zeroes));
		assert_int_equal(ask_range(11, 0), OK);
		expect_disk_unharmed();
		/* And whole ones are still given back. */
		whole = 1;
		asked_count = 0;
		assert_int_equal(ask_range(13, unmaps), OK);
		assert_int_not_equal(asked_count, 0);
		assert_int_equal(asked_modes[0], unmaps ? PUNCH : ZERO_RANGE);
		fake_host_close(&host);
	}
	assert_int_equal(open_disk("rootfs", false, true, NULL), 0);
}

static void what_can_not_give_space_back_does_not_say_so(void **state)
{
	(void)state;
	fake_host_close(&host);
	up_without(1, PUNCH, 0);
	assert_false(fake_driver_offered(&host) & F_DISCARD);
	assert_true(fake_driver_offered(&host) & F_WRITE_ZEROES);
	fake_host_close(&host);
	/* Another file may have less; then a discard is a hint, and no error.
	 */
	up_without(0, 0, 0);
	assert_true(fake_driver_offered(&host) & F_DISCARD);
	missing_count = 1;
	missing_modes[0] = PUNCH;
	assert_int_equal(ask_range(11, 0), OK);
	expect_disk_unharmed();
	missing_count = 0;
	assert_int_equal(ask_range(11, 0), OK);
}

static void a_read_only_disk_stays_as_it_is(void **state)
{
	struct err e;

	(void)state;
	assert_int_equal(chmod(bench_path, 0400), 0);
	assert_int_equal(open_disk("ro", true, false, &e), 0);
	assert_true(fake_driver_offered(&host) & F_RO);
	assert_false(fake_driver_offered(&host) & F_FLUSH);
	up(0); /* RO not even accepted */
	header(OUT, 0);
	assert_int_equal(request(16 + SECTOR, 1, ROOM), 1);
	assert_int_equal(got[0], IOERR);
	expect_disk_unharmed();
	header(IN, 0);
	assert_int_equal(request(16, SECTOR + 1, ROOM), SECTOR + 1);
	assert_int_equal(got[SECTOR], OK);
	header(FLUSH, 0);
	assert_int_equal(request(16, 1, ROOM), 1);
	assert_int_equal(got[0], OK);
}

/* One written sector and one flush; returns how often the disk was synced. */
static unsigned write_and_flush(bool is_writeback, uint64_t features,
				unsigned *by_write)
{
	struct err e;

	assert_int_equal(open_disk("sync", false, is_writeback, &e), 0);
	assert_int_equal(!!(fake_driver_offered(&host) & F_FLUSH),
			 is_writeback);
	up(features);
	syncs = 0;
	memset(sent + 16, 't', SECTOR);
	header(OUT, 1);
	assert_int_equal(request(16 + SECTOR, 1, ROOM), 1);
	assert_int_equal(got[0], OK);
	expect_on_disk(SECTOR, sent + 16, SECTOR);
	*by_write = syncs;
	header(FLUSH, 0);
	assert_int_equal(request(16, 1, ROOM), 1);
	assert_int_equal(got[0], OK);
	return syncs;
}

static void a_flush_is_what_makes_writes_durable(void **state)
{
	unsigned by_write;

	(void)state;
	assert_int_equal(write_and_flush(true, F_FLUSH, &by_write), 1);
	assert_int_equal(by_write, 0);
}

static void without_flush_writes_go_through(void **state)
{
	unsigned by_write;

	(void)state;
	write_and_flush(true, 0, &by_write);
	assert_int_equal(by_write, 1);
}

static void an_unsafe_disk_is_never_synced(void **state)
{
	unsigned by_write;

	(void)state;
	assert_int_equal(write_and_flush(false, 0, &by_write), 0);
}

static void a_disk_that_can_not_sync_fails_the_request(void **state)
{
	(void)state;
	sync_error = EIO;
	header(FLUSH, 0);
	assert_int_equal(request(16, 1, ROOM), 1);
	assert_int_equal(got[0], IOERR);
	up(0);
	header(OUT, 1);
	assert_int_equal(request(16 + SECTOR, 1, ROOM), 1);
	assert_int_equal(got[0], IOERR);
	assert_false(is_broken());
	sync_error = 0;
}

static void an_empty_disk_has_no_sector(void **state)
{
	struct err e;

	(void)state;
	make_disk(0);
	assert_int_equal(open_disk("empty", false, false, &e), 0);
	up(0);
	header(IN, 0);
	assert_int_equal(request(16, SECTOR + 1, ROOM), 0);
	assert_int_equal(got[SECTOR], IOERR);
	assert_int_equal(request(16, 1, ROOM), 1);
	assert_int_equal(got[0], OK);
}

static void a_file_cut_underneath_fails_its_reads_only(void **state)
{
	(void)state;
	assert_int_equal(truncate(bench_path, 3 * SECTOR + 100), 0);
	header(IN, 2);
	assert_int_equal(request(16, 2 * SECTOR + 1, ROOM), SECTOR + 100);
	assert_int_equal(got[2 * SECTOR], IOERR);
	expect_sectors(2, 1);
	header(IN, 8);
	assert_int_equal(request(16, SECTOR + 1, ROOM), 0);
	assert_int_equal(got[SECTOR], IOERR);
	assert_false(is_broken());
	header(IN, 0);
	assert_int_equal(request(16, SECTOR + 1, ROOM), SECTOR + 1);
	assert_int_equal(got[SECTOR], OK);
}

static void expect_refusal(int code, const char *word)
{
	struct err e = {0};

	assert_int_equal(open_disk("bad", false, true, &e), code);
	assert_non_null(strstr(e.text, bench_path));
	if (!strstr(e.text, word))
		fail_msg("no \"%s\" in \"%s\"", word, e.text);
	fake_host_close(&host);
}

static void make_socket(void)
{
	struct sockaddr_un at = {.sun_family = AF_UNIX};
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	memcpy(at.sun_path, bench_path, strlen(bench_path) + 1);
	assert_int_equal(bind(fd, (struct sockaddr *)&at, sizeof(at)), 0);
	close(fd);
}

static void odd_disks_are_refused_with_a_reason(void **state)
{
	(void)state;
	make_disk(SECTOR + 1);
	expect_refusal(-EINVAL, "512");
	make_disk(511);
	expect_refusal(-EINVAL, "512");
	unlink(bench_path);
	expect_refusal(-ENOENT, "No such file");
	assert_int_equal(mkdir(bench_path, 0700), 0);
	expect_refusal(-EISDIR, "directory");
	rmdir(bench_path);
	assert_int_equal(mkfifo(bench_path, 0600), 0);
	expect_refusal(-EINVAL, "is a FIFO; give a regular file or a block "
				"device");
	/* For reading alone a FIFO would keep us waiting for its writer. */
	assert_int_equal(open_disk("fifo", true, true, &(struct err){0}),
			 -EINVAL);
	fake_host_close(&host);
	unlink(bench_path);
	make_socket();
	expect_refusal(-EINVAL, "is a socket; give a regular file");
	unlink(bench_path);
	assert_int_equal(symlink("/dev/zero", bench_path), 0);
	expect_refusal(-EINVAL, "is a character device; give a regular file");
	unlink(bench_path);
	assert_int_equal(symlink("disk", bench_path), 0);
	expect_refusal(-ELOOP, bench_path);
	unlink(bench_path);
	assert_int_equal(mkdir(bench_path, 0700), 0);
	assert_int_equal(open_disk("dir", true, true, &(struct err){0}),
			 -EISDIR);
}

static void a_disk_one_may_not_write_says_what_to_do(void **state)
{
	struct err e = {0};
	int rc;

	(void)state;
	assert_int_equal(chmod(bench_path, 0444), 0);
	/* root may write anything: be nobody for a moment. */
	setfsuid(65534);
	if (!geteuid() && setfsuid(-1) != 65534)
		skip(); /* a user namespace that has no nobody */
	rc = open_disk("ro", false, true, &e);
	setfsuid(geteuid());
	assert_int_equal(rc, -EACCES);
	assert_non_null(strstr(e.text, "is_read_only"));
}

static void a_long_id_is_cut(void **state)
{
	struct err e;

	(void)state;
	assert_int_equal(
		open_disk("0123456789abcdefghijklmnop", false, true, &e), 0);
	up(0);
	header(GET_ID, 0);
	assert_int_equal(request(16, 21, ROOM), 21);
	assert_memory_equal(got, "0123456789abcdefghij", 20);
}

#define TEST(f) \
	cmocka_unit_test_setup_teardown(f, bench_setup_up, bench_teardown)
#define TEST_OWN(f) \
	cmocka_unit_test_setup_teardown(f, bench_setup, bench_teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST_OWN(a_read_only_disk_stays_as_it_is),
		TEST_OWN(a_flush_is_what_makes_writes_durable),
		TEST_OWN(without_flush_writes_go_through),
		TEST_OWN(an_unsafe_disk_is_never_synced),
		TEST(a_disk_that_can_not_sync_fails_the_request),
		TEST_OWN(an_empty_disk_has_no_sector),
		TEST(a_file_cut_underneath_fails_its_reads_only),
		TEST(zeroes_are_written_whatever_the_file_system_has),
		TEST(zeroes_without_unmap_keep_their_space),
		TEST(parts_of_a_device_s_blocks_are_written),
		TEST(what_can_not_give_space_back_does_not_say_so),
		TEST_OWN(odd_disks_are_refused_with_a_reason),
		TEST_OWN(a_disk_one_may_not_write_says_what_to_do),
		TEST_OWN(a_long_id_is_cut),
	};

	const struct CMUnitTest async[] = {
		TEST(zeroes_are_written_whatever_the_file_system_has),
		TEST_OWN(a_read_only_disk_stays_as_it_is),
		TEST_OWN(an_empty_disk_has_no_sector),
		TEST(a_file_cut_underneath_fails_its_reads_only),
	};
	int failed = cmocka_run_group_tests_name("sync", tests, NULL, NULL);

	bench_engine = BLOCK_ASYNC;
	return failed + cmocka_run_group_tests_name("async", async, NULL, NULL);
}
