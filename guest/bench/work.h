#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/socket.h>

/* What the parts of the benches' program have in common. */

enum { WORK_PIECE = 64 << 10, WORK_DATAGRAM = 18, WORK_BATCH = 32 };

uint64_t now_ns(void);

/* end.c: whether this is a guest's first process, which ends its machine. */
extern bool end_is_init;

void end_work(int status) __attribute__((noreturn));

/* Says what went wrong, with errno, and ends the job and all after it. */
void end_badly(const char *what) __attribute__((noreturn));

/* What a job has done, and how long that took. */
struct done {
	uint64_t count;
	uint64_t ns;
};

/* disk.c: reads of a file or a disk, until ms are over. */
struct reads {
	const char *path;
	uint64_t bytes; /* of each */
	unsigned depth; /* so many under way */
	bool is_random; /* else one after the other */
	bool is_direct; /* past this kernel's page cache */
};

struct done disk_read(const struct reads *r, unsigned ms);

/*
 * streams.c: the client's half of a stream. Addresses are tcp:IP:PORT,
 * unix:PATH and vsock:CID:PORT.
 */
struct done stream_send(const char *address, unsigned ms);    /* bytes */
struct done stream_receive(const char *address, unsigned ms); /* bytes */
struct done stream_trip(const char *address, unsigned ms);    /* there, back */
struct done stream_packets(const char *address, unsigned ms);
struct done stream_packets_back(const char *address, unsigned ms);

union address {
	struct sockaddr any;
	char room[128]; /* sockaddr_un is the largest */
};

/* A socket of the address's family; a and len become what it says. */
int address_socket(const char *text, union address *a, socklen_t *len);

/* Exactly so many bytes; fails where the other end has gone. */
void all_out(int fd, const void *buf, size_t len);
void all_in(int fd, void *buf, size_t len);

/* A client's request to the server. */
enum stream_op { OP_SINK = 1, OP_SOURCE, OP_ECHO, OP_COUNT, OP_BLAST };

struct request {
	uint32_t op;
	uint32_t ms;   /* OP_SOURCE, OP_BLAST: for so long */
	uint32_t port; /* OP_BLAST: where datagrams go */
};

/* Sends datagrams to where fd is connected to. How many. */
uint64_t datagrams_out(int fd, unsigned ms);

/* Takes all that have come. How many. */
uint64_t datagrams_in(int fd);

/* server.c: serves clients, one after the other, for good. */
void serve(const char *address) __attribute__((noreturn));
