#pragma once

#include <stdint.h>

#include "tests/unit/fake_driver.h"

/*
 * What the tests of the serial port share: the port, pipes on its host's side,
 * and a driver's accesses. They fail the test where they can't do their work.
 */
enum { DATA, IER, IIR, LCR, MCR, LSR, MSR, SCR, FCR = IIR };
enum { RX = 1, TX = 2, LINE = 4, MODEM = 8 }; /* IER */
enum { SAYS_MODEM = 0, SAYS_NONE = 1, SAYS_TX = 2, SAYS_RX = 4, SAYS_LINE = 6 };
enum { DTR = 1, RTS = 2, OUT1 = 4, OUT2 = 8, LOOP = 16 }; /* MCR */
enum { CTS = 0x10, DSR = 0x20, RI = 0x40, DCD = 0x80 };	  /* MSR */
enum { FIFO = 64, RING = 64 * 1024, PIPE = 4096 };

extern struct fake_host host;
/* Both ends of the pipes: out_write and in_read are the port's. */
extern int out_read, out_write, in_read, in_write;

int uart_setup(void **state);
/* The pipes alone; uart_begin() makes the port on these or others. */
int uart_setup_pipes(void **state);
int uart_teardown(void **state);
void uart_begin(int out_fd, int in_fd);

#define TEST(f) cmocka_unit_test_setup_teardown(f, uart_setup, uart_teardown)
#define TEST_OWN(f) \
	cmocka_unit_test_setup_teardown(f, uart_setup_pipes, uart_teardown)

/* The driver's accesses, and what the loop has to do then. */
uint8_t get(unsigned reg);
void put(unsigned reg, uint8_t value);
void settle(void);
void send_text(const char *text);
/* What the host gets, no more than 63 bytes of it. */
void expect_output(const char *text);
/* On the host's side, and on to the port. */
void type(const char *text);
/* Interrupts since the last time. */
unsigned edges(void);
