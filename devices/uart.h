#pragma once

#include "vmm/base/err.h"
#include "vmm/machine/device.h"

/*
 * A 16550A serial port between the guest and two descriptors of the host,
 * which stay the caller's: out_fd takes what the guest sends, in_fd is what it
 * receives; -1 for none. Neither is ever waited for: what nobody reads in time
 * is kept up to 64 KiB and then dropped. SIGPIPE must be ignored. Returns 0 or
 * a negative errno. in_fd stays open as long as the device lives.
 */
int uart_new(struct device **out, int out_fd, int in_fd, struct err *e);

/*
 * Has out_fd, opened for appending, hold a bounded part of the output where it
 * is a regular file (uart_sink.h). Before the machine starts.
 */
void uart_bound_output(struct device *d);
