#pragma once

#include <stdint.h>

/*
 * Interrupts for a bare guest (idle_tables.S): taken nowhere but in idle(), so
 * that no handler has to return, which KVM's interpreter, under kvm_pvm, can't
 * do in protected mode.
 */
enum { VECTOR_TIMER = 0x40, VECTOR_DEVICE = 0x41, VECTORS = 2 };

/* The local APIC is on, descriptor tables are ours. Once, before idle(). */
void idle_setup(void);

/* The timer of the local APIC, again and again. 0 stops it. */
void idle_timer(uint32_t period_us);

/* The pin's edges wake idle() from now on. */
void idle_pin(unsigned pin);

/*
 * Sleeps until an interrupt, whose vector it returns. One that came since the
 * last call is taken at once, so whoever looks at his rings first and idles
 * then misses nothing.
 */
unsigned idle(void);
