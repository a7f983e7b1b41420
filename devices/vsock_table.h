#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "devices/vsock_conn.h"

/*
 * All connections of a device: found by their ports, in order of who is next to
 * say something to the guest, and in order of their deadlines. Each operation
 * takes the same time however many there are, but for hashes that collide.
 *
 * Each connection costs a descriptor: the limit of descriptors (RLIMIT_NOFILE)
 * wants to be higher than VSOCK_CONNS_MAX for all of them.
 */
enum { VSOCK_CONNS_MAX = 4096, VSOCK_BUCKETS = 1024 };

/* What is waited for; each has a time of its own, so each list is in order. */
enum vsock_wait {
	VSOCK_WAIT_GREETING, /* CONNECT, of a process of the host */
	VSOCK_WAIT_ANSWER,   /* RESPONSE, of the guest */
	VSOCK_WAIT_RETRY,    /* a process of the host that is not listening */
	VSOCK_WAIT_RST,	     /* the guest agrees that it is over */
	VSOCK_WAIT_DRAIN,    /* the guest is gone, a process is slow */
	VSOCK_WAITS,
};

struct vsock_table {
	struct vsock_conn *buckets[VSOCK_BUCKETS];
	struct vsock_link all;	  /* owned conns */
	struct vsock_link doomed; /* owned, too; see vsock_table_doom() */
	struct vsock_link ready;
	struct vsock_link waits[VSOCK_WAITS];
	unsigned count;	   /* in both lists */
	unsigned greeting; /* of these, how many wait for CONNECT */
	uint32_t last_port;
};

void vsock_table_init(struct vsock_table *t);

/* A new connection, nowhere but in `all`; NULL where there are too many. */
struct vsock_conn *vsock_table_add(struct vsock_table *t,
				   enum vsock_state state);

/* Takes c out of everything and frees it; its descriptor is closed before. */
void vsock_table_remove(struct vsock_table *t, struct vsock_conn *c);

/*
 * The driver is gone: all connections leave everything but `doomed`, as
 * VSOCK_DOOMED. Thread: any.
 */
void vsock_table_doom(struct vsock_table *t);

/* By ports: in the hash from hash() until unhash(), at the latest remove(). */
struct vsock_conn *vsock_table_find(const struct vsock_table *t,
				    uint32_t host_port, uint32_t guest_port);
void vsock_table_hash(struct vsock_table *t, struct vsock_conn *c);
void vsock_table_unhash(struct vsock_table *t, struct vsock_conn *c);

/* A port of the host from 2^30 on that no connection to guest_port has. */
uint32_t vsock_table_port(struct vsock_table *t, uint32_t guest_port);

/* Whether last_port can be that: one of these, or the one before the first. */
bool vsock_table_is_port(uint32_t port);

/* Appends c to those that have something for the guest; once. */
void vsock_table_ready(struct vsock_table *t, struct vsock_conn *c);
/* The first of these, taken out; NULL where there is none. */
struct vsock_conn *vsock_table_next(struct vsock_table *t);

/* c waits for this, anew, or, by unwait(), for nothing. */
void vsock_table_wait(struct vsock_table *t, struct vsock_conn *c,
		      enum vsock_wait what);
void vsock_table_unwait(struct vsock_conn *c);
/* The first deadline; UINT64_MAX where there is none. */
uint64_t vsock_table_deadline(const struct vsock_table *t);
/* One whose deadline has passed, taken out; NULL where there is none. */
struct vsock_conn *vsock_table_expired(struct vsock_table *t, uint64_t now_ns);

void vsock_link_init(struct vsock_link *head);
bool vsock_link_is_empty(const struct vsock_link *head);
/* The first connection of `all` or `doomed`, NULL where there is none. */
struct vsock_conn *vsock_link_first(const struct vsock_link *head);
