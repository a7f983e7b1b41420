#pragma once

#include <protobuf-c/protobuf-c.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/un.h>

#include "api/ctl/ttrpc/wire.h"
#include "vmm/base/err.h"
#include "vmm/event/loop.h"

/*
 * Messages for a server that may be away for a while: they are delivered in
 * their order, each when the one before has been answered, so that a server
 * that is started anew misses none. It may get one twice. What it answers is of
 * no interest.
 */
struct ttrpc_letter;

enum { TTRPC_LETTERS = 4096 }; /* that wait; the oldest are dropped */

struct ttrpc_client {
	struct loop *loop; /* borrowed */
	struct sockaddr_un address;
	struct wire wire;
	struct loop_watch watch;
	struct loop_timer again;
	struct ttrpc_letter *first, **last; /* owned */
	unsigned count;
	uint32_t stream; /* of the first, where it was sent; else 0 */
	uint32_t next_stream;
};

/* Connects when there is something to send. -ENAMETOOLONG. */
int ttrpc_client_init(struct ttrpc_client *c, struct loop *loop,
		      const char *path, struct err *e);

/* Puts one into the queue. -ENOMEM. */
int ttrpc_client_send(struct ttrpc_client *c, const char *service,
		      const char *method, const ProtobufCMessage *message);

/* Whether all is delivered. */
bool ttrpc_client_is_idle(const struct ttrpc_client *c);

/* What is not delivered is dropped. Accepts a zeroed client. */
void ttrpc_client_fini(struct ttrpc_client *c);
