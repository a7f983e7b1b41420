#pragma once

#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "vmm/base/err.h"

/*
 * Walks the fields of an object in one order, to save or to load them: one
 * function a type does both, so that the two can't disagree. Values stand in
 * little-endian order, without gaps.
 *
 *	static void visit_thing(struct visitor *v, struct thing *t)
 *	{
 *		visit_u32(v, &t->size);
 *		visit_check(v, t->size <= THING_MAX, "a thing of %u bytes",
 *			    t->size);
 *		if (v->version >= 2)
 *			visit_u64(v, &t->added_in_2);
 *	}
 *
 * What is loaded may be anybody's, and is as hostile as a guest: past the end
 * come zeroes, and the first failure sticks, so a walk may go on without asking
 * and is looked at once, at its end. But a walk that loads must not let a
 *loaded number index or size anything before visit_check() has returned true of
 *it.
 */
struct visitor {
	bool is_loading;
	uint32_t version; /* of the section that is walked */
	int rc;		  /* 0, or the first failure */
	struct err *e;	  /* borrowed; says which; may be NULL */
	uint8_t *data;	  /* loading: borrowed; saving: owned */
	size_t len;	  /* of data: what there is, or was written */
	size_t room;	  /* saving: bytes allocated */
	size_t at;	  /* loading: bytes read so far */
};

/* To save into memory that grows; visitor_fini() frees it. */
void visitor_save(struct visitor *v, uint32_t version, struct err *e);

/* To load from len bytes at data, which stay the caller's. */
void visitor_load(struct visitor *v, const void *data, size_t len,
		  uint32_t version, struct err *e);

/* Frees what was saved. Accepts a zeroed struct, and one that loads. */
void visitor_fini(struct visitor *v);

/*
 * The end of a walk: 0, or the first failure. For one that loads, bytes that
 * nobody asked for are a failure too.
 */
int visitor_end(struct visitor *v);

void visit_u8(struct visitor *v, uint8_t *x);
void visit_u16(struct visitor *v, uint16_t *x);
void visit_u32(struct visitor *v, uint32_t *x);
void visit_u64(struct visitor *v, uint64_t *x);

/* One byte, which is 0 or 1. */
void visit_bool(struct visitor *v, bool *x);

/* len bytes as they are: of a struct of KVM's, a ring buffer, an address. */
void visit_bytes(struct visitor *v, void *x, size_t len);

/*
 * What must hold of a loaded value. Where it does not, the walk has failed,
 * with a sentence. Returns good, and in a walk that saves true.
 */
bool visit_check(struct visitor *v, bool good, const char *fmt, ...)
	__attribute__((format(printf, 3, 4)));

/* The walk has failed, with code and its sentence. */
void visit_fail(struct visitor *v, int code, const char *fmt, ...)
	__attribute__((format(printf, 3, 4)));
