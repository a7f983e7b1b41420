#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "api/ctl/ttrpc/arena.h"
#include "vmm/base/err.h"
#include "vmm/event/loop.h"

/*
 * A server of ttrpc in a loop: unary calls, each answered when its answer is
 * known, in whatever order. Nothing waits. A client that breaks the protocol
 * loses its connection and nothing more.
 */
enum {
	TTRPC_CONNECTIONS = 64, /* more are closed */
	TTRPC_CALLS = 256,	/* of one connection, that wait; then refused */
	TTRPC_MEMORY = 32 << 20, /* of one call's messages */
};

/* As gRPC numbers them. */
enum ttrpc_code {
	TTRPC_OK = 0,
	TTRPC_UNKNOWN = 2,
	TTRPC_INVALID_ARGUMENT = 3,
	TTRPC_NOT_FOUND = 5,
	TTRPC_ALREADY_EXISTS = 6,
	TTRPC_RESOURCE_EXHAUSTED = 8,
	TTRPC_FAILED_PRECONDITION = 9,
	TTRPC_UNIMPLEMENTED = 12,
	TTRPC_UNAVAILABLE = 14,
};

struct ttrpc_connection;

/* One call, from its request to its answer; then it is freed. */
struct ttrpc_call {
	const char *service;
	const char *method;
	const uint8_t *payload;
	size_t len;
	uint64_t timeout_ns; /* that the client waits; 0: for ever */
	struct arena arena;  /* for what is unpacked, until the answer */
	/* Set by who keeps a call: the client has gone, let go of it. It is
	 * freed behind this; NULL: it stays until it is answered. */
	void (*gone)(struct ttrpc_call *c);
	void *keeper;			     /* theirs */
	struct ttrpc_call *kept;	     /* theirs: a list */
	struct ttrpc_call *next;	     /* the connection's */
	struct ttrpc_connection *connection; /* NULL where it has gone */
	uint32_t stream;
};

struct ttrpc_server {
	struct loop *loop; /* borrowed */
	/* Each call; it is answered here or later, once. */
	void (*serve)(struct ttrpc_server *s, struct ttrpc_call *c);
	struct loop_watch listen;
	struct ttrpc_connection *connections; /* owned */
	unsigned count;
};

/* Serves who connects at listen_fd (borrowed). s->serve is set before. */
int ttrpc_server_start(struct ttrpc_server *s, struct loop *loop, int listen_fd,
		       struct err *e);

/* Serves a connection that is there; takes fd. */
int ttrpc_server_adopt(struct ttrpc_server *s, int fd, struct err *e);

/*
 * Closes all, but for a last try to send what waits. Calls that are kept get
 * their gone(). Accepts a zeroed server.
 */
void ttrpc_server_stop(struct ttrpc_server *s);

/* The answer, a message of protobuf-c's; c is freed. */
void ttrpc_answer(struct ttrpc_call *c, const ProtobufCMessage *message);
void ttrpc_refuse(struct ttrpc_call *c, enum ttrpc_code code, const char *fmt,
		  ...) __attribute__((format(printf, 3, 4)));

/* The same with e's text, and the code that its errno means. */
void ttrpc_refuse_err(struct ttrpc_call *c, const struct err *e);
