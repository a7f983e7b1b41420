/*
 * A 16550A (National Semiconductor PC16550D; register names as in its table
 * II). The line is infinitely fast, and without errors but one: overrun.
 *
 * Output. A vCPU thread puts each byte into a ring and wakes the loop thread
 * when the ring was empty, which writes as much as the reader takes at once
 * (uart_out.c). So a slow terminal costs the guest nothing, and a burst costs
 * one wake-up. A full ring drops the newest bytes and counts them.
 *
 * Input. The loop thread reads while the receive FIFO has room, from the
 * guest's first access on: no start pays for what a guest without a console
 * never asks for. When the guest makes room it wakes the loop thread the same
 * way.
 *
 * Interrupts are edges on our I/O APIC: one is raised whenever a reason
 * appears that was not there before. Linux reads IIR until it says "none",
 * which takes the reasons away one by one, so no edge is missed.
 */
#include "devices/uart.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <unistd.h>

#include "devices/uart_device.h"
#include "vmm/base/container.h"
#include "vmm/base/fd.h"
#include "vmm/base/log.h"

enum {
	REG_DATA,
	REG_IER,
	REG_IIR,
	REG_LCR,
	REG_MCR,
	REG_LSR,
	REG_MSR,
	REG_SCR
};

/* IIR, the most urgent first. */
enum { IIR_LINE = 6, IIR_RX = 4, IIR_TX = 2, IIR_MODEM = 0, IIR_NONE = 1 };
enum { IIR_FIFO = 0xc0 };
enum { FCR_ENABLE = 1, FCR_CLEAR_RX = 2 };
enum { LCR_DLAB = 0x80 };
enum { LSR_DATA = 0x01, LSR_OVERRUN = 0x02, LSR_EMPTY = 0x60 };
enum { MSR_RI_ENDED = MSR_RI >> 4 };

static struct uart *uart_of(struct device *d)
{
	return (struct uart *)d;
}

static uint8_t reasons(const struct uart *u)
{
	const uint8_t all = (u->in_count ? IER_RX : 0) |
			    (u->is_tx_pending ? IER_TX : 0) |
			    (u->is_overrun ? IER_LINE : 0) |
			    (u->msr & 0x0f ? IER_MODEM : 0);

	return all & u->ier;
}

static void raise_line(const struct uart *u)
{
	int rc = vm_pulse(u->device.host->vm, u->device.slot.gsi);

	if (rc)
		log_warn_limited("serial: %s; the guest misses an interrupt",
				 strerror(-rc));
}

static void update_line(struct uart *u)
{
	uint8_t now = reasons(u);

	/* A PC leads the line through OUT2, which looping back disconnects. */
	if (!(u->mcr & MCR_OUT2) || u->mcr & MCR_LOOP)
		now = 0;
	if (now & ~u->raised)
		raise_line(u);
	u->raised = now;
}

static bool is_room(const struct uart *u)
{
	return u->in_count < UART_IN_BYTES;
}

static void put_input(struct uart *u, uint8_t byte)
{
	u->in[(u->in_at + u->in_count++) % UART_IN_BYTES] = byte;
}

/* Drops count bytes of input; the loop thread may have waited for the room. */
static void drop_input(struct uart *u, unsigned count)
{
	const bool was_full = !is_room(u);

	u->in_at = (u->in_at + count) % UART_IN_BYTES;
	u->in_count -= count;
	if (was_full && count)
		uart_ask_for_work(u);
}

static uint8_t take_input(struct uart *u)
{
	uint8_t byte;

	if (!u->in_count)
		return 0;
	byte = u->in[u->in_at];
	drop_input(u, 1);
	return byte;
}

static void put_output(struct uart *u, uint8_t byte)
{
	if (u->out_written - u->out_read == UART_OUT_BYTES) {
		u->dropped++;
		return;
	}
	u->out[u->out_written % UART_OUT_BYTES] = byte;
	if (u->out_written++ == u->out_read)
		uart_ask_for_work(u);
}

static void send(struct uart *u, uint8_t byte)
{
	if (!(u->mcr & MCR_LOOP))
		put_output(u, byte);
	else if (is_room(u))
		put_input(u, byte);
	else
		u->is_overrun = true;
	/* Empty again at once: the ring is our transmitter. */
	u->is_tx_pending = true;
}

static uint8_t read_iir(struct uart *u)
{
	const uint8_t fifo = u->has_fifo ? IIR_FIFO : 0;
	const uint8_t why = reasons(u);

	if (why & IER_LINE)
		return fifo | IIR_LINE;
	if (why & IER_RX)
		return fifo | IIR_RX;
	if (why & IER_TX) {
		u->is_tx_pending = false; /* reading takes the reason away */
		return fifo | IIR_TX;
	}
	if (why & IER_MODEM)
		return fifo | IIR_MODEM;
	return fifo | IIR_NONE;
}

static uint8_t read_lsr(struct uart *u)
{
	const uint8_t lsr = LSR_EMPTY | (u->in_count ? LSR_DATA : 0) |
			    (u->is_overrun ? LSR_OVERRUN : 0);

	u->is_overrun = false;
	return lsr;
}

static uint8_t read_msr(struct uart *u)
{
	const uint8_t msr = u->msr;

	u->msr &= 0xf0;
	return msr;
}

static void write_mcr(struct uart *u, uint8_t value)
{
	const uint8_t before = u->msr & 0xf0;
	uint8_t after, changed;

	u->mcr = value & MCR_WRITABLE;
	after = uart_modem_lines(u);
	changed = (before ^ after) >> 4;
	/* Of the ring indicator only the end of ringing counts. */
	if (after & MSR_RI)
		changed &= ~MSR_RI_ENDED;
	u->msr = after | (u->msr & 0x0f) | changed;
}

static uint8_t read_register(struct uart *u, uint64_t reg)
{
	const bool dlab = u->lcr & LCR_DLAB;

	switch (reg) {
	case REG_DATA:
		return dlab ? u->dll : take_input(u);
	case REG_IER:
		return dlab ? u->dlm : u->ier;
	case REG_IIR:
		return read_iir(u);
	case REG_LCR:
		return u->lcr;
	case REG_MCR:
		return u->mcr;
	case REG_LSR:
		return read_lsr(u);
	case REG_MSR:
		return read_msr(u);
	default:
		return u->scr;
	}
}

static void write_ier(struct uart *u, uint8_t value)
{
	/* Asking while the transmitter is empty is a reason at once. */
	if (value & IER_TX && !(u->ier & IER_TX))
		u->is_tx_pending = true;
	u->ier = value & IER_WRITABLE;
}

static void write_register(struct uart *u, uint64_t reg, uint8_t value)
{
	const bool dlab = u->lcr & LCR_DLAB;

	switch (reg) {
	case REG_DATA:
		if (dlab)
			u->dll = value;
		else
			send(u, value);
		break;
	case REG_IER:
		if (dlab)
			u->dlm = value;
		else
			write_ier(u, value);
		break;
	case REG_IIR: /* written: FCR */
		u->has_fifo = value & FCR_ENABLE;
		if (value & FCR_CLEAR_RX)
			drop_input(u, u->in_count);
		break;
	case REG_LCR:
		u->lcr = value;
		break;
	case REG_MCR:
		write_mcr(u, value);
		break;
	case REG_SCR:
		u->scr = value;
		break;
	default:
		break; /* LSR and MSR are read-only */
	}
}

static void note_use(struct uart *u)
{
	if (u->is_used)
		return;
	u->is_used = true;
	uart_ask_for_work(u);
}

/* Registers are bytes; a wider access touches the first alone. */
static void uart_read(struct device *d, uint64_t offset, void *data,
		      uint32_t len)
{
	(void)len;
	note_use(uart_of(d));
	*(uint8_t *)data = read_register(uart_of(d), offset);
	update_line(uart_of(d));
}

static void uart_write(struct device *d, uint64_t offset, const void *data,
		       uint32_t len)
{
	(void)len;
	note_use(uart_of(d));
	write_register(uart_of(d), offset, *(const uint8_t *)data);
	update_line(uart_of(d));
}

/* Reads what there is room for. in_fd is ready, and we are its one reader. */
static void read_input(struct uart *u)
{
	uint8_t bytes[UART_IN_BYTES];
	ssize_t n, i;

	mutex_lock(&u->device.lock);
	if (is_room(u)) {
		n = read(u->in_fd, bytes, UART_IN_BYTES - u->in_count);
		for (i = 0; i < n; i++)
			put_input(u, bytes[i]);
		/* News, even where the guest has not taken the old yet. */
		if (n > 0)
			u->raised &= ~IER_RX;
		update_line(u);
		if (n == 0 || (n < 0 && errno != EINTR && errno != EAGAIN))
			u->in_fd = -1; /* the end */
	}
	if (u->in_fd < 0 || !is_room(u))
		loop_delete(u->device.host->loop, &u->in_watch);
	mutex_unlock(&u->device.lock);
}

/* Begins to read, or goes on where the guest has made room. */
static void resume_input(struct uart *u)
{
	struct err e;
	bool is_wanted;
	int rc;

	mutex_lock(&u->device.lock);
	is_wanted = u->is_used && is_room(u);
	mutex_unlock(&u->device.lock);
	if (u->in_fd < 0 || u->in_watch.fd >= 0 || !is_wanted)
		return;
	if (!u->is_in_file) {
		rc = loop_add(u->device.host->loop, &u->in_watch, u->in_fd,
			      EPOLLIN, &e);
		u->is_in_file = rc == -EPERM;
		if (rc && !u->is_in_file) {
			log_warn("serial: no input: %s", e.text);
			u->in_fd = -1;
		}
	}
	if (u->is_in_file)
		read_input(u);
}

static void uart_work(struct device *d)
{
	uart_out_drain(uart_of(d));
	resume_input(uart_of(d));
}

static void in_ready(struct loop_watch *w, uint32_t events)
{
	(void)events;
	read_input(container_of(w, struct uart, in_watch));
}

/*
 * What the guest sent is out of its hands, and not part of its state: it stays
 * ours to write, whoever goes on with the guest. Most of it is out by then.
 */
static bool uart_hold(struct device *d)
{
	uart_out_drain(uart_of(d));
	return true;
}

/* An edge may be gone by now, or its reason may be a loaded one. */
static void uart_release(struct device *d)
{
	struct uart *u = uart_of(d);

	mutex_lock(&d->lock);
	u->raised = 0;
	update_line(u);
	mutex_unlock(&d->lock);
	resume_input(u);
}

static void uart_free(struct device *d)
{
	struct uart *u = uart_of(d);

	if (d->host)
		loop_delete(d->host->loop, &u->in_watch);
	uart_out_end(u);
	free(u->out);
	free(u);
}

static const struct device_ops uart_ops = {
	.name = "serial",
	.kind = ARCH_UART,
	.read = uart_read,
	.write = uart_write,
	.work = uart_work,
	.stop = uart_out_stop,
	.hold = uart_hold,
	.release = uart_release,
	.visit = uart_visit,
	.state = 1,
	.free = uart_free,
};

int uart_new(struct device **out, int out_fd, int in_fd, struct err *e)
{
	struct uart *u = calloc(1, sizeof(*u));
	int rc = 0;

	if (!u)
		return err_set(e, -ENOMEM, "no memory for the serial port");
	u->device.ops = &uart_ops;
	u->in_fd = in_fd;
	u->sink.fd = -1;
	uart_out_init(u);
	u->in_watch = (struct loop_watch){.fd = -1, .ready = in_ready};
	uart_power_on(u);
	u->out = malloc(UART_OUT_BYTES);
	if (!u->out)
		rc = err_set(e, -ENOMEM, "no memory for the serial port");
	else if (out_fd >= 0)
		rc = uart_sink_open(&u->sink, out_fd, e);
	if (rc) {
		uart_free(&u->device);
		return rc;
	}
	*out = &u->device;
	return 0;
}

void uart_bound_output(struct device *d)
{
	uart_sink_bound(&uart_of(d)->sink);
}
