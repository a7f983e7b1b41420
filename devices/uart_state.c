/*
 * The serial port as saved state: its registers and what was typed and not yet
 * read. Output is not part of it (uart_hold()), and what interrupts were raised
 * for is found out anew.
 */
#include "devices/uart_device.h"

uint8_t uart_modem_lines(const struct uart *u)
{
	if (!(u->mcr & MCR_LOOP))
		return MSR_CTS | MSR_DSR | MSR_DCD;
	return (u->mcr & MCR_RTS ? MSR_CTS : 0) |
	       (u->mcr & MCR_DTR ? MSR_DSR : 0) |
	       (u->mcr & MCR_OUT1 ? MSR_RI : 0) |
	       (u->mcr & MCR_OUT2 ? MSR_DCD : 0);
}

void uart_power_on(struct uart *u)
{
	u->ier = u->lcr = u->mcr = u->scr = u->dll = u->dlm = 0;
	u->has_fifo = false;
	u->is_overrun = false;
	u->is_tx_pending = false;
	u->raised = 0;
	u->in_at = u->in_count = 0;
	u->msr = uart_modem_lines(u);
}

static void visit_registers(struct uart *u, struct visitor *w)
{
	visit_u8(w, &u->ier);
	visit_u8(w, &u->lcr);
	visit_u8(w, &u->mcr);
	visit_u8(w, &u->msr);
	visit_u8(w, &u->scr);
	visit_u8(w, &u->dll);
	visit_u8(w, &u->dlm);
	visit_bool(w, &u->has_fifo);
	visit_bool(w, &u->is_overrun);
	visit_bool(w, &u->is_tx_pending);
	visit_check(w, !(u->ier & ~IER_WRITABLE) && !(u->mcr & ~MCR_WRITABLE),
		    "IER %#x and MCR %#x have bits that can't be set", u->ier,
		    u->mcr);
	visit_check(w, (u->msr & 0xf0) == uart_modem_lines(u),
		    "MSR %#x is not what MCR %#x makes of it", u->msr, u->mcr);
}

/* The oldest byte first. */
static void visit_input(struct uart *u, struct visitor *w)
{
	uint8_t in[UART_IN_BYTES] = {0};
	uint8_t count = (uint8_t)u->in_count;
	unsigned i;

	for (i = 0; i < count; i++)
		in[i] = u->in[(u->in_at + i) % UART_IN_BYTES];
	visit_u8(w, &count);
	if (!visit_check(w, count <= UART_IN_BYTES,
			 "%u bytes of input, and there is room for %d", count,
			 UART_IN_BYTES))
		return;
	visit_bytes(w, in, count);
	if (!w->is_loading)
		return;
	for (i = 0; i < count; i++)
		u->in[i] = in[i];
	u->in_at = 0;
	u->in_count = count;
}

void uart_visit(struct device *d, struct visitor *w)
{
	struct uart *u = (struct uart *)d;

	mutex_lock(&d->lock);
	visit_registers(u, w);
	visit_input(u, w);
	/* Its driver may wait for input, and do nothing until there is some. */
	if (w->is_loading)
		u->is_used = true;
	if (w->is_loading && w->rc)
		uart_power_on(u);
	mutex_unlock(&d->lock);
}
