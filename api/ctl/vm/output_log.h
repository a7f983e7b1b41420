#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "vmm/base/err.h"

/*
 * What a container with -d wrote, kept in two files of bounded size: when
 * `output` is full it becomes `output.1`, whose old contents are gone. A record
 * is a struct output_record and then its bytes; a reader takes whole records
 * only, so what a crash left half-written does no harm.
 */
enum { OUTPUT_FILE_MAX = 8 << 20, OUTPUT_RECORD_MAX = 64 << 10 };

#define OUTPUT_FILE	"output"
#define OUTPUT_FILE_OLD "output.1"

struct output_record {
	uint32_t magic;
	uint8_t stream; /* 1 stdout, 2 stderr */
	uint8_t zero[3];
	uint32_t len;
	uint32_t reserved;
	uint64_t time_ns; /* CLOCK_REALTIME */
};

#define OUTPUT_MAGIC 0x746f7546u

struct output_log {
	int fd;	      /* owned; -1 while closed */
	int dir_fd;   /* owned */
	uint64_t len; /* of the file */
};

/* Opens the log in a microVM's directory, for the one who writes it. */
int output_log_open(struct output_log *log, const char *dir, struct err *e);

/* Writes bytes of a stream; those that no longer fit on the disk are lost. */
void output_log_write(struct output_log *log, uint8_t stream, const void *bytes,
		      size_t len);
void output_log_close(struct output_log *log);

/*
 * Reads the record at *offset of a log's file, and moves *offset behind it.
 * False where there is none that is whole. bytes is OUTPUT_RECORD_MAX long.
 */
bool output_log_next(int fd, uint64_t *offset, struct output_record *r,
		     void *bytes);
