#pragma once

#include "api/routes.h"
#include "tests/unit/fake_machine.h"

/*
 * Requests to the routes over a fake machine, without a socket between. Include
 * cmocka's headers before.
 */

/* Any regular file: the fake machine reads none. */
#define KERNEL "/proc/self/status"
#define BEFORE \
	"The requested operation is not supported before starting the microVM."
#define AFTER \
	"The requested operation is not supported after starting the microVM."
#define JSON_ERROR \
	"An error occurred when deserializing the json body of a request: "
#define START "{\"action_type\": \"InstanceStart\"}"
#define DRIVE_A                                             \
	"{\"drive_id\": \"a\", \"is_root_device\": false, " \
	"\"path_on_host\": \"x\"}"
#define NET_A "{\"iface_id\": \"a\", \"host_dev_name\": \"tap0\"}"

extern struct loop loop;
extern struct controller controller;

/* The last answer's body, and what else is known of it. */
extern char answer[32768];
extern bool is_deprecated;
extern bool is_text;

int route_bench_setup(void **state);
int route_bench_teardown(void **state);

/* Serves and returns the status; the body is in `answer`. */
int serve(const char *method, const char *path, const char *body);

/* A request that must be answered by 204, by exactly that body, or by 400. */
void done(const char *method, const char *path, const char *body);
void says(const char *path, const char *body);
/* The whole of the fault_message, or with a star at its end its start. */
void fault(const char *method, const char *path, const char *body,
	   const char *sentence);

/* Starts a machine. */
void start(void);
