#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "devices/uart_sink.h"
#include "devices/worker.h"
#include "vmm/event/loop.h"
#include "vmm/machine/device.h"
#include "vmm/state/visit.h"

/*
 * A serial port as its own files see it: uart.c is the port, uart_out.c its way
 * out, uart_state.c what of it is saved.
 */

/* IER, and in the same places our set of reasons for an interrupt. */
enum { IER_RX = 1, IER_TX = 2, IER_LINE = 4, IER_MODEM = 8, IER_WRITABLE = 15 };
enum {
	MCR_DTR = 0x01,
	MCR_RTS = 0x02,
	MCR_OUT1 = 0x04,
	MCR_OUT2 = 0x08,
	MCR_LOOP = 0x10,
	MCR_WRITABLE = 0x1f,
};
/* MSR: the lines above, below what of them changed since it was read. */
enum { MSR_CTS = 0x10, MSR_DSR = 0x20, MSR_RI = 0x40, MSR_DCD = 0x80 };

enum { UART_IN_BYTES = 64, UART_OUT_BYTES = 64 * 1024 };

struct uart {
	struct device device;
	bool is_used; /* the guest was here: it may want input */
	uint8_t ier, lcr, mcr, scr, dll, dlm;
	bool has_fifo;
	bool is_overrun;
	bool is_tx_pending; /* THR ran empty and IIR has not said so yet */
	uint8_t msr;
	uint8_t raised; /* reasons an edge was raised for, as in IER */

	uint8_t in[UART_IN_BYTES]; /* a ring: in_count bytes from in_at on */
	unsigned in_at, in_count;
	uint8_t *out; /* owned ring; free-running positions */
	size_t out_read, out_written;
	uint64_t dropped;

	struct worker out_worker; /* where the sink may wait; else unused */
	struct worker_job out_job;
	struct uart_sink sink; /* whose turn it is to write: uart_out.c */

	/* The loop thread's alone. */
	int in_fd;	 /* borrowed; -1 for none, or at its end */
	bool is_in_file; /* always ready, so there is nothing to watch */
	struct loop_watch out_watch, in_watch;
};

/* For the loop thread. */
static inline void uart_ask_for_work(const struct uart *u)
{
	const struct device_host *host = u->device.host;

	host->signal(host->machine, DEVICE_WORK);
}

/* uart_out.c: its part of a port that is made, and freed. Thread: the loop's.
 */
void uart_out_init(struct uart *u);
void uart_out_end(struct uart *u);

/* Writes what is there, or has it written. Thread: the loop's, unlocked. */
void uart_out_drain(struct uart *u) EXCLUDES(u->device.lock);

/* As device_ops.stop. */
bool uart_out_stop(struct device *d) EXCLUDES(d->lock);

/* The lines of a connected, ready peer, or our own looped back. */
uint8_t uart_modem_lines(const struct uart *u);

/* Registers and input are as after power-on. */
void uart_power_on(struct uart *u);

/* As device_ops.visit. */
void uart_visit(struct device *d, struct visitor *w) EXCLUDES(d->lock);
