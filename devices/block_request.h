#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "devices/block_file.h"
#include "devices/virtio/iov.h"
#include "devices/virtio/ring.h"
#include "devices/worker.h"

/*
 * One request of the driver (virtio 1.2, 5.2.6): a 16-byte header, data, one
 * status byte, split over descriptors as the driver likes. Parsing copies and
 * judges all of it, so that what carries it out, now or later, needs to look
 * at nothing of the guest's but the data itself.
 */
enum {
	/* What drivers are told and keep to, so that no request is larger. */
	BLOCK_SEGMENTS_MAX = VQ_SIZE_MAX - 2, /* header and status take one */
	BLOCK_SEGMENT_BYTES_MAX = 64 << 10,
	BLOCK_REQUEST_BYTES_MAX = BLOCK_SEGMENTS_MAX * BLOCK_SEGMENT_BYTES_MAX,
	/* The most one discard or write of zeroes covers. */
	BLOCK_DISCARD_SECTORS_MAX = 1 << 22,
	BLOCK_ZERO_SECTORS_MAX = 1 << 17,
};

enum block_status { BLOCK_OK = 0, BLOCK_IOERR = 1, BLOCK_UNSUPP = 2 };

enum block_op {
	BLOCK_NOTHING, /* answered by the parser: status says what */
	BLOCK_READ,
	BLOCK_WRITE,
	BLOCK_FLUSH,
	BLOCK_DISCARD,
	BLOCK_ZERO,	  /* reads as zeroes, and stays allocated */
	BLOCK_ZERO_UNMAP, /* reads as zeroes */
	BLOCK_OPS
};

struct block_request {
	struct worker_job job; /* where a thread is to wait for it */
	struct vq *vq;	       /* borrowed: the device */
	struct vq_chain chain;
	enum block_op op;
	enum block_status status;
	uint64_t offset;	    /* bytes into the file */
	uint64_t length;	    /* bytes, of a discard or zeroes; else 0 */
	bool syncs;		    /* a write that is to be safe at its end */
	struct iov data;	    /* what is still to be moved */
	size_t bytes;		    /* of data at first */
	size_t room;		    /* bytes for the driver to read, at first */
	uint8_t *status_at;	    /* guest-shared */
	struct block_request *next; /* among those that are free */
};

/* What a request is judged by. */
struct block_disk {
	const char *id;
	uint64_t size; /* bytes */
	bool is_read_only;
	/* What the driver accepted; for others such requests don't exist. */
	bool has_discard, has_zeroes;
};

/*
 * Parses the chain that was just popped into r->chain, and answers at once what
 * needs no file. 0, or -EPROTO after a fault of the queue.
 */
int block_request_parse(struct block_request *r, const struct block_disk *disk);

/*
 * Carries out r->op now; may take as long as the file does. Takes off r->data
 * what was moved. 0 or a negative errno.
 */
int block_request_perform(struct block_request *r, struct block_file *f);

/*
 * Says how r ended (0 or a negative errno, for BLOCK_NOTHING its own status
 * counts), and puts its chain back; the caller publishes.
 */
void block_request_finish(struct block_request *r, int rc);
