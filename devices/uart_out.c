/*
 * The output of a serial port, from the ring to where it goes. As a rule the
 * loop thread writes, what the reader takes without a wait. But a file is
 * always ready, by its word, and then a write may wait for a disk, or for
 * another host. Where it does (uart_sink_may_wait()) a thread writes
 * (worker.h): then the ring fills, and what does not fit is dropped, as with
 * any reader that is slow.
 *
 * One at a time takes bytes out of the ring, the loop thread or that one, and
 * so writes them without the lock.
 */
#include <errno.h>
#include <poll.h>
#include <string.h>
#include <sys/epoll.h>

#include "devices/uart_device.h"
#include "vmm/base/clock.h"
#include "vmm/base/container.h"
#include "vmm/base/log.h"

enum {
	DRAIN_WRITES = 16, /* before other devices get a turn */
	FINAL_WAIT_MS = 100,
};

/* How much output there is in one piece, and where. */
static size_t next_output(struct uart *u, const uint8_t **at)
{
	size_t from, len;

	mutex_lock(&u->device.lock);
	from = u->out_read % UART_OUT_BYTES;
	len = u->out_written - u->out_read;
	mutex_unlock(&u->device.lock);
	*at = u->out + from;
	return len < UART_OUT_BYTES - from ? len : UART_OUT_BYTES - from;
}

static void finish_output(struct uart *u, size_t len, bool is_lost)
{
	mutex_lock(&u->device.lock);
	u->out_read += len;
	if (is_lost)
		u->dropped += len;
	mutex_unlock(&u->device.lock);
}

static void drop_output(struct uart *u)
{
	const uint8_t *at;
	size_t len;

	while ((len = next_output(u, &at)))
		finish_output(u, len, true);
}

/*
 * Writes what the reader takes now, within bounds: the guest may fill as fast
 * as we drain. 0 when the ring is empty, -EAGAIN where the reader is slow,
 * -EINPROGRESS where there is more.
 */
static int drain(struct uart *u)
{
	const uint8_t *at;
	size_t len;
	ssize_t n;
	int i;

	for (i = 0; i < DRAIN_WRITES && !uart_sink_may_wait(&u->sink); i++) {
		len = next_output(u, &at);
		if (!len)
			return 0;
		n = uart_sink_write(&u->sink, at, len);
		if (n == -EAGAIN || n == -EINTR)
			return -EAGAIN;
		/* Nobody will ever read: as if the cable were out. */
		finish_output(u, n < 0 ? len : (size_t)n, n < 0);
	}
	return -EINPROGRESS;
}

/* Thread: the worker's, which may take as long as the file does. */
static int write_ring(struct device *d, struct worker_job *j)
{
	struct uart *u = (struct uart *)d;
	const uint8_t *at;
	size_t len;
	ssize_t n;

	(void)j;
	while ((len = next_output(u, &at))) {
		n = uart_sink_write(&u->sink, at, len);
		if (n == -EINTR)
			continue;
		finish_output(u, n < 0 ? len : (size_t)n, n < 0);
	}
	return 0;
}

/* What came just before the end of it woke nobody. */
static void ring_written(struct device *d, struct worker_job *j, int rc)
{
	struct uart *u = (struct uart *)d;

	(void)j;
	/* It could not be confined. */
	if (rc) {
		u->dropped += u->out_written - u->out_read;
		u->out_read = u->out_written;
	}
	if (u->out_written != u->out_read)
		uart_ask_for_work(u);
}

static const struct worker_ops out_ops = {
	.thread = "serial",
	.perform = write_ring,
	.done = ring_written,
};

/* 0 or a negative errno, where there can be no thread for it. */
static int hand_over(struct uart *u)
{
	int rc = 0;

	mutex_lock(&u->device.lock);
	if (!u->out_worker.in_flight && u->out_written != u->out_read)
		rc = worker_add(&u->out_worker, &u->out_job);
	mutex_unlock(&u->device.lock);
	return rc;
}

/* Waits for the reader if it is slow, and only then. */
void uart_out_drain(struct uart *u)
{
	struct loop *loop = u->device.host->loop;
	int rc;

	if (uart_sink_may_wait(&u->sink)) {
		rc = hand_over(u);
		if (!rc)
			return;
		log_warn_limited("serial: no thread to wait for the file: %s; "
				 "what the guest says is lost",
				 strerror(-rc));
		drop_output(u);
		return;
	}
	rc = drain(u);
	if (rc == -EAGAIN && u->out_watch.fd < 0 &&
	    loop_add(loop, &u->out_watch, u->sink.fd, EPOLLOUT, NULL)) {
		/* Can't wait: an empty ring asks for us again, a full one not.
		 */
		drop_output(u);
	} else if (rc == 0) {
		loop_delete(loop, &u->out_watch);
	} else if (rc == -EINPROGRESS) {
		uart_ask_for_work(u);
	}
}

static void out_ready(struct loop_watch *w, uint32_t events)
{
	(void)events;
	uart_out_drain(container_of(w, struct uart, out_watch));
}

static int64_t now_ms(void)
{
	return (int64_t)(clock_now_ns() / 1000000);
}

static bool is_writing(struct uart *u)
{
	bool is;

	mutex_lock(&u->device.lock);
	is = u->out_worker.in_flight;
	mutex_unlock(&u->device.lock);
	return is;
}

/* Until a moment; false where a write does not end by then. */
static bool await_writer(struct uart *u, int64_t end)
{
	while (!hand_over(u) && is_writing(u)) {
		if (now_ms() >= end)
			return false;
		clock_rest();
	}
	return true;
}

/* The guest's last words are often the reason why: give them a moment. */
bool uart_out_stop(struct device *d)
{
	struct uart *u = (struct uart *)d;
	const int64_t end = now_ms() + FINAL_WAIT_MS;
	struct pollfd p = {.fd = u->sink.fd, .events = POLLOUT};
	int64_t left;
	int rc;

	while (!uart_sink_may_wait(&u->sink) && (rc = drain(u)) != 0 &&
	       (left = end - now_ms()) > 0)
		if (rc == -EAGAIN)
			(void)poll(&p, 1, (int)left);
	if (uart_sink_may_wait(&u->sink) && !await_writer(u, end))
		return false;
	drop_output(u);
	if (u->dropped)
		log_warn("serial: %llu bytes were dropped, since nobody read "
			 "them in time",
			 (unsigned long long)u->dropped);
	return true;
}

void uart_out_init(struct uart *u)
{
	u->out_watch = (struct loop_watch){.fd = -1, .ready = out_ready};
	worker_init(&u->out_worker, &out_ops, &u->device);
}

void uart_out_end(struct uart *u)
{
	if (u->device.host)
		loop_delete(u->device.host->loop, &u->out_watch);
	worker_stop(&u->out_worker);
	uart_sink_close(&u->sink);
}
