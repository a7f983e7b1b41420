#pragma once

#include <stdbool.h>
#include <stdint.h>

/*
 * devices/tap.h without /dev/net/tun: the queues of a tap are socket pairs that
 * keep messages apart, and the test holds their other ends. Linked before the
 * library, so these functions are the ones that count.
 */
enum { FAKE_TAP_QUEUES = 8 };

struct fake_tap {
	/* What the next tap_open() finds. */
	bool fail_open;
	bool is_single;	 /* made without multi_queue */
	uint32_t can;	 /* of enum tap_offload */
	int send_buffer; /* bytes; 0: the default */
	/* Attaching this queue fails; 0: none does. */
	unsigned fail_attach;

	unsigned queues;	   /* made, attached or not */
	int wire[FAKE_TAP_QUEUES]; /* the other ends, non-blocking */
	int fd[FAKE_TAP_QUEUES];   /* the device's */
	bool attached[FAKE_TAP_QUEUES];
	uint32_t offloads; /* on now */
	unsigned sets;	   /* how often they were set */

	/*
	 * The host's lock of interfaces, where somebody else has it: attaching,
	 * detaching and offloads wait until it is given back, or five seconds.
	 */
	_Atomic bool is_locked;
	_Atomic unsigned waiting;   /* who waits for it now */
	_Atomic unsigned steps;	    /* that were done */
	_Atomic bool was_impatient; /* five seconds were not enough */
};

extern struct fake_tap fake_tap;

/* Closes what is open; all abilities, nothing fails. */
void fake_tap_reset(void);
