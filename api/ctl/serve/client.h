#pragma once

#include <netinet/in.h>
#include <stdbool.h>
#include <stdint.h>

#include "api/ctl/agent/dial.h"
#include "api/ctl/serve/front.h"
#include "api/ctl/serve/lane.h"
#include "api/ctl/serve/message.h"
#include "api/ctl/serve/stdio.h"
#include "vmm/event/loop.h"

/* A client's connection, one request of it at a time, and who answers it. */
enum client_stage {
	CLIENT_HEAD,	/* a request has not come whole */
	CLIENT_WAITING, /* for a microVM */
	CLIENT_CALLING, /* it has one */
	CLIENT_TUNNEL,	/* it has, and bytes are bytes: WebSocket */
	CLIENT_CLOSING, /* what it is to get is sent, then no more */
	CLIENT_DEAD,
};

struct client {
	struct front *front; /* borrowed */
	struct client *next;
	struct loop_watch watch;
	struct loop_timer timer;
	int fd; /* owned */
	char peer[INET6_ADDRSTRLEN];
	enum client_stage stage;
	bool is_inside; /* client_go_on() */
	bool is_eof;	/* nothing more comes from it */
	bool is_shut;	/* nothing more goes to it */
	struct lane in, out;
	char *rest; /* owned: of an answer of ours, for out; NULL for none */
	size_t rest_at, rest_len;
	struct message request;

	/* Of the request: */
	struct function *function; /* NULL where we answer */
	const char *path;	   /* borrowed: of the request's target */
	struct waiter waiter;
	struct instance *instance; /* borrowed, while it has one */
	uint64_t begun_ns;
	int status;	 /* 0 until there is an answer's head */
	bool is_kept;	 /* another request may follow */
	unsigned dialed; /* how often */
	const struct client_calls *calls; /* how its microVM is spoken to */

	/* The connection to the server in the microVM: */
	struct loop_watch guest;
	int guest_fd; /* owned */
	struct dial dial;
	bool is_open;	   /* bytes are bytes */
	bool is_guest_eof; /* nothing more comes from it */
	bool is_guest_shut;
	struct lane to_guest, from_guest;
	struct message answer;
	struct stdio stdio; /* of a function that is no server */
};

/* What answers a request of a function's (call.h, stdio.h). */
struct client_calls {
	/* A microVM is there: a connection to the server in it is made. */
	void (*begin)(struct client *c);
	/*
	 * Brings bytes from one lane to the next. Returns whether it did
	 * anything, for then there may be more to do.
	 */
	bool (*move)(struct client *c);
	/* Waits for what can come now. */
	void (*watch)(struct client *c);
	/*
	 * Ends it. why: the microVM is not to be trusted with another request.
	 */
	void (*end)(struct client *c, const char *why);
	/* The same, and says so to the client, or breaks where it has a part.
	 */
	void (*fail)(struct client *c, int status, const char *why);
};

/* Takes a connection, owned from now on. */
void client_new(struct front *f, int fd, const char *peer);

/* Does what can be done; the client may be freed by it. */
void client_go_on(struct client *c);

/*
 * Brings what has come of the request's body to the guest's lane; whether it
 * did anything. Fails the call where the body is not HTTP, or ends early.
 */
bool client_take_body(struct client *c);

/* Answers by ourselves, and ends what is left of a call. */
void client_answer(struct client *c, int status, unsigned retry_s,
		   const char *type, const char *text);

/* The request has been answered, with c->status. */
void client_answered(struct client *c);

/* No more goes to it or comes from it. */
void client_break(struct client *c);

/*
 * Waits for events of a connection, or for none: a hang-up would be told even
 * then, again and again.
 */
void client_watch(struct client *c, struct loop_watch *w, int fd,
		  uint32_t events);

/* Whether a request of one is of that function. */
bool client_has(const struct front *f, const struct function *function);

/* Ends connections that wait for nothing: when we drain. */
void client_drain(struct front *f);

/* Ends all. */
void client_free_all(struct front *f);
