#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "api/server.h"

/*
 * The API's server over a fake machine, in a thread of its own, for tests that
 * are its clients. Include cmocka's headers before.
 */
enum { LIMIT = 1000 }; /* bytes of a body */

extern char path[64]; /* of the socket */
extern struct loop loop;
extern struct controller controller;
extern struct server server;

/* The server's patience for a test, 0 for what it has by itself. */
extern uint64_t patience_ms;

/* A request, and the whole of its answer. */
extern const char get[];
extern const char got[];

int server_bench_make_folder(void **state);
int server_bench_remove_folder(void **state);
int server_bench_setup(void **state);
int server_bench_teardown(void **state);

/* A connection; reads give up after a minute. */
int dial(void);

void put(int fd, const char *text);

/* Reads exactly the given bytes. */
void expect(int fd, const char *text);

bool has_ended(int fd);

/* Checks that it has, and closes. */
void expect_end(int fd);

/* A well-behaved client is served, whatever else is going on. */
void others_are_served(void);
