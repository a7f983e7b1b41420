#pragma once

#include <stdint.h>

#include "vmm/base/cursor.h"

/*
 * The few words of ACPI Machine Language (ACPI 6.5, chapter 20) that our DSDT
 * is made of. All write to a cursor, which remembers running out of room.
 *
 * Things that hold others are begun and ended; aml_begin gives what aml_end
 * needs to fill in the length.
 */
size_t aml_begin_scope(struct cursor *c, const char *path);
size_t aml_begin_device(struct cursor *c, const char *name);
size_t aml_begin_method(struct cursor *c, const char *name, uint8_t arguments);
/* A resource template as the value of _CRS. */
size_t aml_begin_crs(struct cursor *c);

void aml_end(struct cursor *c, size_t mark);
void aml_end_crs(struct cursor *c, size_t mark);

/* Name (name, value). Names have four characters. */
void aml_name_int(struct cursor *c, const char *name, uint32_t value);
void aml_name_text(struct cursor *c, const char *name, const char *value);

/* Name (name, Package (count) { values[0], … }). */
void aml_name_package(struct cursor *c, const char *name,
		      const uint32_t *values, uint8_t count);

/* Notify (device, value), in a method. */
void aml_notify(struct cursor *c, const char *device, uint8_t value);

/* Resource descriptors (6.4). Interrupts are edges, active high, our own. */
void aml_memory(struct cursor *c, uint32_t base, uint32_t size);
void aml_ports(struct cursor *c, uint16_t base, uint8_t count);
void aml_interrupt(struct cursor *c, uint32_t gsi);
