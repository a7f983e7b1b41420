#pragma once

#include "tests/guests/hostile.h"

/*
 * Finds the first device of d->kind, of mayfly's or of QEMU's microvm machine
 * without ACPI, and has its pin wake idle(). False where there is none.
 */
bool find_anywhere(struct device *d);

/* From reset to DRIVER_OK, with size entries in each of its queues. */
bool bring_up(struct device *d, uint64_t wanted, uint16_t size);

/* Offers a chain, and kicks where EVENT_IDX asks for it. Whether it did. */
bool offer_politely(struct device *d, unsigned queue, uint16_t head);

/* The next used buffer interrupts; whether there is one by now. */
bool ask_for_interrupt(struct queue *q);

/* The next used chain, or -1. */
int take_used(struct queue *q);

/* Whether an interrupt waits; and what a driver does in its handler. */
bool is_interrupted(void);
void take_interrupt(const struct device *d);
