/* A disk, a virtio-block device on it, and requests. */
#include "tests/unit/block_bench.h"

#include <fcntl.h>
#include <poll.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "devices/block.h"

struct fake_host host;
struct fake_ring ring, rings[BLOCK_QUEUES_MAX];
uint8_t *sent, *got;
char bench_path[48];
enum block_engine bench_engine;
unsigned bench_queues = 1;
bool bench_on_disk;
struct block_overlay_config bench_overlay;

/* Of a millisecond each, at least. */
enum { WAITS_MAX = 10000 };

static char bench_dir[32];

static uint8_t pattern(unsigned at)
{
	return (uint8_t)(at * 7 + at / SECTOR);
}

void make_disk(off_t bytes)
{
	uint8_t all[SECTORS * SECTOR];
	int fd = open(bench_path, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
	unsigned i;

	for (i = 0; i < sizeof(all); i++)
		all[i] = pattern(i);
	assert_true(fd > 0);
	assert_int_equal(write(fd, all, sizeof(all)), sizeof(all));
	assert_int_equal(ftruncate(fd, bytes), 0);
	close(fd);
}

int open_disk(const char *id, bool is_read_only, bool is_writeback,
	      struct err *e)
{
	const struct block_config config = {
		.id = id,
		.path = bench_path,
		.is_read_only = is_read_only,
		.is_writeback = is_writeback,
		.engine = bench_engine,
		.queues = bench_queues,
		.overlay = bench_overlay,
	};
	struct device *d;
	int rc;

	fake_host_open(&host);
	rc = block_new(&d, &config, e);
	if (rc)
		return rc;
	return fake_host_add(&host, d, e);
}

void up(uint64_t features)
{
	fake_driver_up(&host, &ring, features, RING_GPA, RING);
	sent = guest_mem_at(&host.mem, SENT_GPA, ROOM);
	got = guest_mem_at(&host.mem, GOT_GPA, ROOM);
}

void up_queues(unsigned n, uint64_t features, uint16_t size)
{
	unsigned i;

	features |= FAKE_F_VERSION_1;
	assert_int_equal(fake_driver_negotiate(&host, features),
			 ST_FEATURES_OK);
	for (i = 0; i < n; i++) {
		fake_ring_init(&rings[i], &host.mem, RING_GPA + i * 0x2000ULL,
			       size);
		fake_driver_queue(&host, i, &rings[i]);
	}
	fake_write32(&host, MMIO_STATUS, ST_DRIVER_OK);
	sent = guest_mem_at(&host.mem, SENT_GPA, ROOM);
	got = guest_mem_at(&host.mem, GOT_GPA, ROOM);
	fake_host_turn(&host, 4);
}

int bench_setup(void **state)
{
	const char *base = "/dev/shm";

	(void)state;
	/* In memory where that is possible: hostile drivers flush a lot. */
	if (bench_on_disk)
		base = "/var/tmp";
	else if (access("/dev/shm", W_OK))
		base = "/tmp";
	snprintf(bench_dir, sizeof(bench_dir), "%s/test_block.XXXXXX", base);
	assert_non_null(mkdtemp(bench_dir));
	assert_int_equal(chmod(bench_dir, 0755), 0); /* for nobody, too */
	snprintf(bench_path, sizeof(bench_path), "%s/disk", bench_dir);
	make_disk(SECTORS * SECTOR);
	return 0;
}

int bench_setup_up(void **state)
{
	struct err e;

	bench_setup(state);
	assert_int_equal(open_disk("rootfs", false, true, &e), 0);
	up(F_FLUSH | F_DISCARD | F_WRITE_ZEROES);
	return 0;
}

int bench_teardown(void **state)
{
	(void)state;
	fake_host_close(&host);
	unlink(bench_path);
	rmdir(bench_path);
	rmdir(bench_dir);
	return 0;
}

void header(uint32_t type, uint64_t sector)
{
	const uint32_t words[2] = {type, 0};

	memcpy(sent, words, sizeof(words));
	memcpy(sent + 8, &sector, sizeof(sector));
}

uint16_t describe(uint16_t at, uint64_t gpa, size_t len, size_t piece,
		  uint16_t flags)
{
	size_t n;

	for (; len; at++, gpa += n, len -= n) {
		n = piece < len ? piece : len;
		assert_true(at < RING);
		fake_ring_desc(&ring, at, gpa, (uint32_t)n, flags | FAKE_NEXT,
			       at + 1);
	}
	return at;
}

bool answered(uint32_t *id, uint32_t *len)
{
	struct pollfd p = {.fd = host.loop.fd, .events = POLLIN};
	unsigned waits;

	for (waits = 0; waits < WAITS_MAX; waits++) {
		/* Each of many in flight may call for itself. */
		assert_true(fake_host_turn(&host, 2 * RING) < 2 * RING);
		if (fake_ring_take(&ring, id, len))
			return true;
		if (is_broken())
			return false;
		/*
		 * Somebody else is at work: io_uring's threads, who tell the
		 * loop, or the drive's, who tells the driver.
		 */
		poll(&p, 1, 1);
	}
	return false;
}

long go(uint16_t end)
{
	uint32_t id, len;

	ring.desc[end - 1].flags &= (uint16_t)~FAKE_NEXT;
	fake_ring_offer(&ring, 0);
	fake_write32(&host, MMIO_NOTIFY, 0);
	if (!answered(&id, &len))
		return -1;
	assert_int_equal(id, 0);
	return len;
}

long request(size_t send, size_t get, size_t piece)
{
	uint16_t end;

	memset(got, UNTOUCHED, get + 1);
	end = describe(0, SENT_GPA, send, piece, 0);
	return go(describe(end, GOT_GPA, get, piece, FAKE_WRITE));
}

bool is_broken(void)
{
	return fake_read32(&host, MMIO_STATUS) & ST_NEEDS_RESET;
}

void expect_sectors(unsigned sector, unsigned count)
{
	unsigned i;

	for (i = 0; i < count * SECTOR; i++)
		if (got[i] != pattern(sector * SECTOR + i))
			fail_msg("byte %u differs", i);
}

void read_disk(uint64_t at, uint8_t *have, size_t len)
{
	struct block_overlay *overlay = block_overlay_of(host.device);
	struct iovec iovec = {.iov_base = have, .iov_len = len};
	struct block_request r = {
		.op = BLOCK_READ,
		.offset = at,
		.data = {.at = &iovec, .count = 1, .bytes = len},
	};
	int fd;

	if (overlay) {
		assert_int_equal(block_overlay_perform(overlay, &r), 0);
		return;
	}
	fd = open(bench_path, O_RDONLY | O_CLOEXEC);
	assert_true(fd > 0);
	assert_int_equal(pread(fd, have, len, (off_t)at), len);
	close(fd);
}

void expect_on_disk(unsigned at, const uint8_t *want, size_t len)
{
	uint8_t have[SECTORS * SECTOR];
	int fd = open(bench_path, O_RDONLY | O_CLOEXEC);

	assert_true(fd > 0);
	assert_int_equal(pread(fd, have, len, at), len);
	assert_memory_equal(have, want, len);
	close(fd);
}

void expect_disk_unharmed(void)
{
	uint8_t want[SECTORS * SECTOR];
	unsigned i;

	for (i = 0; i < sizeof(want); i++)
		want[i] = pattern(i);
	expect_on_disk(0, want, sizeof(want));
}
