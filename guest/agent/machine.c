/*
 * The machine as a whole.
 */
#include "guest/agent/machine.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/random.h>
#include <string.h>
#include <sys/ioctl.h>
#include <time.h>
#include <unistd.h>

enum { SEED_MAX = 512 };

struct machine machine;

uint64_t machine_uptime_us(void)
{
	struct timespec t;

	clock_gettime(CLOCK_BOOTTIME, &t);
	return (uint64_t)t.tv_sec * 1000000U + (uint64_t)t.tv_nsec / 1000U;
}

uint64_t machine_realtime_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_REALTIME, &t);
	return (uint64_t)t.tv_sec * 1000000000U + (uint64_t)t.tv_nsec;
}

int machine_clock_set(uint64_t ns)
{
	const struct timespec t = {.tv_sec = (time_t)(ns / 1000000000U),
				   .tv_nsec = (long)(ns % 1000000000U)};

	if (machine.is_test)
		return 0;
	return clock_settime(CLOCK_REALTIME, &t) ? -errno : 0;
}

int machine_entropy(const void *data, size_t len, bool reseed)
{
	struct {
		struct rand_pool_info info;
		uint8_t bytes[SEED_MAX];
	} pool;
	int fd, rc = 0;

	if (len > SEED_MAX)
		return -EINVAL;
	if (machine.is_test || !len)
		return 0;
	fd = open("/dev/urandom", O_RDWR | O_CLOEXEC);
	if (fd < 0)
		return -errno;
	pool.info.entropy_count = (int)len * 8;
	pool.info.buf_size = (int)len;
	memcpy(pool.bytes, data, len);
	if (ioctl(fd, RNDADDENTROPY, &pool))
		rc = -errno;
	/* Entropy alone would wait for the kernel's next reseeding. */
	if (!rc && reseed && ioctl(fd, RNDRESEEDCRNG))
		rc = -errno;
	close(fd);
	return rc;
}

int machine_hostname_set(const char *name, size_t len)
{
	if (len > 64)
		return -ENAMETOOLONG;
	return len && sethostname(name, len) ? -errno : 0;
}
