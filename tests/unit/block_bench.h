#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "devices/block.h"
#include "tests/unit/fake_driver.h"
#include "vmm/base/err.h"

/*
 * What the tests of virtio-block share: a disk file whose bytes are known, the
 * device on it, and a driver. Everything fails the test where it can't do its
 * work.
 */
enum { SECTOR = 512, SECTORS = 16, RING = 256 };
enum { IN = 0, OUT = 1, FLUSH = 4, GET_ID = 8 };
enum { OK = 0, IOERR = 1, UNSUPP = 2, UNTOUCHED = 0xee };

#define F_RO	       (1ULL << 5)
#define F_FLUSH	       (1ULL << 9)
#define F_DISCARD      (1ULL << 13)
#define F_WRITE_ZEROES (1ULL << 14)

/* Where the driver keeps what it sends and what it gets. */
#define RING_GPA 0x1000ULL
#define SENT_GPA 0x20000ULL
#define GOT_GPA	 0x40000ULL
enum { ROOM = 0x10000 };

extern struct fake_host host;
extern struct fake_ring ring, rings[BLOCK_QUEUES_MAX];
extern uint8_t *sent, *got;	       /* the memory there, from up() on */
extern char bench_path[48];	       /* the disk */
extern enum block_engine bench_engine; /* of devices that are made */
extern unsigned bench_queues;	       /* likewise; 1 */
extern struct block_overlay_config bench_overlay; /* likewise; none */
extern bool bench_on_disk; /* disks are made where none is in memory */

/* A disk; and also a device on it that is up. */
int bench_setup(void **state);
int bench_setup_up(void **state);
int bench_teardown(void **state);

/* Makes the disk anew, SECTORS known sectors cut or extended to bytes. */
void make_disk(off_t bytes);
/* A machine with a device on the disk; returns what block_new() did. */
int open_disk(const char *id, bool is_read_only, bool is_writeback,
	      struct err *e);
/* The driver, from reset to DRIVER_OK. */
void up(uint64_t features);

/* The same with n queues of that size, each on its own of rings. */
void up_queues(unsigned n, uint64_t features, uint16_t size);

/* Writes a request's header to sent. */
void header(uint32_t type, uint64_t sector);
/* Describes [gpa, gpa + len) in pieces; returns the next free descriptor. */
uint16_t describe(uint16_t at, uint64_t gpa, size_t len, size_t piece,
		  uint16_t flags);
/* Offers what describe() built, and has it served. The bytes written, or -1. */
long go(uint16_t end);
/*
 * Sends send bytes and has room for get, status included, each in pieces; got
 * is marked UNTOUCHED before. Returns as go().
 */
long request(size_t send, size_t get, size_t piece);

/* Serves until what was offered is answered, or the device is broken. */
bool answered(uint32_t *id, uint32_t *len);

/* Whether the device needs a reset. */
bool is_broken(void);

/* got holds these sectors of the disk as it was made. */
void expect_sectors(unsigned sector, unsigned count);
/* What the drive has, in its overlay or in the file. Nothing is in flight. */
void read_disk(uint64_t at, uint8_t *have, size_t len);
void expect_on_disk(unsigned at, const uint8_t *want, size_t len);
void expect_disk_unharmed(void);
