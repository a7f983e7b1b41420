#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "api/controller.h"
#include "api/listener.h"
#include "vmm/base/err.h"
#include "vmm/event/loop.h"

/*
 * The API's Unix socket. Clients keep their connections and may send requests
 * ahead; each is answered in order. All of it belongs to the loop thread, and
 * no client can make it wait for another: reads and writes never block, a
 * client that doesn't read its answers isn't read from, who doesn't end a
 * request or take an answer in ten seconds is sent away, and where all
 * connections are taken the one that was silent longest gives way.
 */
enum { SERVER_CONNECTIONS_MAX = 64 };

struct connection;

struct server {
	struct loop *loop;	       /* borrowed: main */
	struct controller *controller; /* borrowed: main */
	struct listener listener;
	struct loop_timer timer; /* of the connection whose time ends first */
	uint64_t patience_ns;	 /* for a request, an answer, a drain */
	bool is_open;
	bool is_closing; /* requests are answered no more */
	/* Set afterwards or NULL: before each request, to find out that. */
	void (*before)(void *context);
	void *context;		    /* borrowed: main */
	size_t payload_max;	    /* bytes */
	struct connection *waiting; /* one that a later answer is for */
	uint64_t turn; /* counts reads, to find the silent longest */
	struct connection *connections[SERVER_CONNECTIONS_MAX]; /* owned */
};

/* Listens at path, as listener_open() does. Accepts a zeroed struct. */
int server_open(struct server *s, struct loop *loop,
		struct controller *controller, const char *path,
		uint64_t payload_max, struct err *e);

/* The same at a socket that somebody else made: listener_adopt(). */
int server_adopt(struct server *s, struct loop *loop,
		 struct controller *controller, int fd, uint64_t payload_max,
		 struct err *e);

/*
 * Sends what can be sent at once, closes all connections and removes the
 * socket's file. Accepts a zeroed struct.
 */
void server_close(struct server *s);
