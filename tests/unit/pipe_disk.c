/* A pipe in the place of a disk, and reads that wait for it. */
#include "tests/unit/pipe_disk.h"

#include <fcntl.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

int pipe_in = -1, pipe_out = -1;

/* The descriptor of an open file, by its name. */
static int descriptor_of(const char *path)
{
	char link[32], target[64];
	ssize_t n;
	int fd;

	for (fd = 3; fd < 1000; fd++) {
		snprintf(link, sizeof(link), "/proc/self/fd/%d", fd);
		n = readlink(link, target, sizeof(target) - 1);
		if (n < 0)
			continue;
		target[n] = '\0';
		if (!strcmp(target, path))
			return fd;
	}
	fail_msg("%s is not open", path);
	return -1;
}

/* The device gets the pipe for reading and writing, and blocking. */
void pipe_disk_open(void)
{
	char link[32];
	int ends[2], both;

	assert_int_equal(pipe2(ends, O_CLOEXEC | O_NONBLOCK), 0);
	pipe_out = ends[0];
	pipe_in = ends[1];
	assert_true(fcntl(pipe_in, F_SETPIPE_SZ, 1 << 20) > 0);
	snprintf(link, sizeof(link), "/proc/self/fd/%d", pipe_out);
	both = open(link, O_RDWR | O_CLOEXEC);
	assert_true(both > 0);
	assert_true(dup3(both, descriptor_of(bench_path), O_CLOEXEC) > 0);
	close(both);
}

int pipe_disk_setup_with(off_t bytes, bool is_writeback)
{
	struct err e;

	bench_setup(NULL);
	make_disk(bytes);
	if (open_disk("rootfs", false, is_writeback, &e))
		fail_msg("%s", e.text);
	pipe_disk_open();
	up(F_DISCARD | (is_writeback ? F_FLUSH : 0));
	return 0;
}

int pipe_disk_setup(void **state)
{
	(void)state;
	return pipe_disk_setup_with(SECTORS * SECTOR, true);
}

static atomic_bool is_over;

static void *flood(void *unused)
{
	static const uint8_t zeroes[64 << 10];

	while (!atomic_load(&is_over))
		if (write(pipe_in, zeroes, sizeof(zeroes)) <= 0)
			usleep(1000);
	return unused;
}

/* A device waits for what is in flight, also where a test failed. */
int pipe_disk_teardown(void **state)
{
	pthread_t t;

	atomic_store(&is_over, false);
	assert_int_equal(pthread_create(&t, NULL, flood, NULL), 0);
	bench_teardown(state);
	atomic_store(&is_over, true);
	pthread_join(t, NULL);
	close(pipe_in);
	close(pipe_out);
	pipe_in = pipe_out = -1;
	bench_queues = 1;
	return 0;
}

/* The disk says something: so many bytes of what. */
void feed(size_t bytes, uint8_t what)
{
	uint8_t buf[SECTOR];
	size_t n;

	memset(buf, what, sizeof(buf));
	for (; bytes; bytes -= n) {
		n = bytes < sizeof(buf) ? bytes : sizeof(buf);
		assert_int_equal(write(pipe_in, buf, n), n);
	}
}

/* Makes chain `at` of three descriptors a read of bytes to GOT_GPA + to. */
void describe_read(uint16_t at, size_t to, uint32_t bytes)
{
	header(IN, 0);
	fake_ring_desc(&ring, at, SENT_GPA, 16, FAKE_NEXT, at + 1);
	fake_ring_desc(&ring, at + 1, GOT_GPA + to, bytes,
		       FAKE_NEXT | FAKE_WRITE, at + 2);
	fake_ring_desc(&ring, at + 2, GOT_GPA + to + bytes, 1, FAKE_WRITE, 0);
}

/* Offers n reads of a sector, all to the same place, and serves them. */
void begin_reads(unsigned n)
{
	unsigned i;

	describe_read(0, 0, SECTOR);
	memset(got, UNTOUCHED, 2 * SECTOR);
	for (i = 0; i < n; i++)
		fake_ring_offer(&ring, 0);
	fake_write32(&host, MMIO_NOTIFY, 0);
	assert_true(fake_host_turn(&host, 16) < 16);
}

unsigned unanswered(void)
{
	return (uint16_t)(ring.avail_idx - ring.used_head[1]);
}

/* Takes the answers of n requests, each of so many bytes. */
void take_answers(unsigned n, uint32_t bytes)
{
	uint32_t id, len;

	while (n--) {
		assert_true(answered(&id, &len));
		assert_int_equal(len, bytes);
	}
}
