#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

#include "vmm/base/err.h"
#include "vmm/event/loop.h"

/*
 * The streams of one process, at FIFOs that containerd names, or files. Both
 * ends of each FIFO are held here: so a client may go and come again, and its
 * output waits for it; of stdin that lasts until CloseIO.
 */
struct stdio {
	struct loop *loop; /* borrowed */
	/* The owner's: there is room for output again. */
	void (*room)(struct stdio *s);
	/* The owner's: stdio_end() was asked for, and all is closed. Not
	 * where that was so at once. May free s. */
	void (*over)(struct stdio *s);
	struct loop_watch out[2];	 /* of stdout and stderr */
	bool is_fifo[2], was_written[2]; /* of both */
	int fds[3];			 /* owned; -1 for none */
	int held;			 /* owned: the writer's end of stdin */
	struct loop_timer look;		 /* whether a FIFO was read */
	uint64_t look_ns;		 /* until the next one */
	uint64_t until_ns;  /* CLOCK_MONOTONIC; 0: as long as it takes */
	bool is_input_over; /* CloseIO, which may come before the process */
	bool is_dropping;   /* what can't be written at once is thrown away */
};

/* Paths may be "" or NULL; file:// is taken, and binary:// refused. */
int stdio_open(struct stdio *s, struct loop *loop, const char *out,
	       const char *err, struct err *e);

/*
 * stdin, when the process begins and not before: clients copy theirs as soon as
 * somebody reads, and may come to its end before they can say so by CloseIO.
 */
int stdio_open_input(struct stdio *s, const char *path, struct err *e);

/* stream is 1 or 2. As attach_calls' output. */
ssize_t stdio_write(struct stdio *s, int stream, const void *bytes, size_t len);

/* CloseIO: nobody writes to stdin any more but who has it open. */
void stdio_close_input(struct stdio *s);

/*
 * There is no more to come. Each FIFO is closed when what lies in it was read,
 * so that whoever reads learns that it is over; a pipe that nobody has open
 * loses its bytes. One that was never written to stays until somebody has it
 * open: who opens a FIFO that nobody writes to waits for ever.
 */
void stdio_end(struct stdio *s);

/* Whether one waits to be read, or opened. */
bool stdio_holds(const struct stdio *s);

/* CLOCK_MONOTONIC; then it is closed all the same, what is empty at once. */
void stdio_hold_until(struct stdio *s, uint64_t until_ns);

/* Closes all: whoever reads learns that it is over. Accepts a zeroed struct. */
void stdio_close(struct stdio *s);
