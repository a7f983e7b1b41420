/* A tap whose wire is a socket of ours. */
#include "tests/unit/fake_tap.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

#include "devices/tap.h"
#include "vmm/base/clock.h"
#include "vmm/base/fd.h"

struct fake_tap fake_tap;

void fake_tap_reset(void)
{
	unsigned i;

	for (i = 0; i < fake_tap.queues; i++)
		fd_close(&fake_tap.wire[i]);
	memset(&fake_tap, 0, sizeof(fake_tap));
	fake_tap.can = 0x7f;
}

static void take_lock(void)
{
	const uint64_t end = clock_now_ns() + 5000000000ULL;

	fake_tap.waiting++;
	while (fake_tap.is_locked && clock_now_ns() < end)
		clock_rest();
	fake_tap.waiting--;
	if (fake_tap.is_locked)
		fake_tap.was_impatient = true;
	fake_tap.steps++;
}

static void make_queue(struct tap *t)
{
	const int type = SOCK_SEQPACKET | SOCK_NONBLOCK | SOCK_CLOEXEC;
	const int big = 4 << 20;
	int size = fake_tap.send_buffer ? fake_tap.send_buffer : big;
	int ends[2];

	assert_true(fake_tap.queues < FAKE_TAP_QUEUES);
	assert_int_equal(socketpair(AF_UNIX, type, 0, ends), 0);
	assert_int_equal(setsockopt(ends[0], SOL_SOCKET, SO_SNDBUFFORCE, &size,
				    sizeof(size)) &&
				 setsockopt(ends[0], SOL_SOCKET, SO_SNDBUF,
					    &size, sizeof(size)),
			 0);
	assert_int_equal(setsockopt(ends[1], SOL_SOCKET, SO_SNDBUFFORCE, &big,
				    sizeof(big)) &&
				 setsockopt(ends[1], SOL_SOCKET, SO_SNDBUF,
					    &big, sizeof(big)),
			 0);
	t->fd = ends[0];
	fake_tap.fd[fake_tap.queues] = ends[0];
	fake_tap.wire[fake_tap.queues++] = ends[1];
}

int tap_open(struct tap *t, const char *name, bool want_multi, struct err *e)
{
	t->fd = -1;
	if (fake_tap.fail_open)
		return err_set(e, -EBUSY, "the tap %s is in use", name);
	*t = (struct tap){
		.is_multi = want_multi && !fake_tap.is_single,
		.is_attached = true,
		.offloads = fake_tap.can,
	};
	strncpy(t->name, name, sizeof(t->name) - 1);
	make_queue(t);
	fake_tap.attached[0] = true;
	return 0;
}

int tap_adopt(struct tap *t, int fd, const char *name, struct err *e)
{
	int rc = tap_open(t, name ? name : "adopted", false, e);

	/* A tap's descriptor in the place of theirs. */
	if (!rc)
		close(fd);
	return rc;
}

int tap_reserve(struct tap *t, const struct tap *first, struct err *e)
{
	(void)e;
	*t = *first;
	t->is_attached = false;
	make_queue(t);
	return 0;
}

int tap_attach(struct tap *t, bool is_attached)
{
	unsigned i = 0;

	while (i < fake_tap.queues && fake_tap.fd[i] != t->fd)
		i++;
	assert_true(i < fake_tap.queues);
	if (t->is_attached == is_attached)
		return 0;
	take_lock();
	if (is_attached && fake_tap.fail_attach == i)
		return -E2BIG;
	t->is_attached = is_attached;
	fake_tap.attached[i] = is_attached;
	return 0;
}

int tap_set_offloads(const struct tap *t, uint32_t offloads)
{
	(void)t;
	take_lock();
	if (offloads & ~fake_tap.can || (offloads > 1 && !(offloads & 1)))
		return -EINVAL;
	fake_tap.offloads = offloads;
	fake_tap.sets++;
	return 0;
}

void tap_close(struct tap *t)
{
	fd_close(&t->fd);
}
