#pragma once

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "vmm/base/err.h"

/*
 * The log: one line an event, written whole with one write(). A reader that
 * stops reading costs lines (counted), never time: the log never blocks.
 *
 *	2026-11-21T03:46:08.123456789 [ID:THREAD:LEVEL] text
 *
 * Whoever handles an error logs it, nobody else. Thread: any.
 */
enum log_level { LOG_OFF, LOG_ERROR, LOG_WARN, LOG_INFO, LOG_DEBUG, LOG_TRACE };

struct log_config {
	const char *path;   /* NULL keeps the current destination (stderr) */
	const char *module; /* only files whose path starts so; NULL for all */
	enum log_level level;
	bool show_level;
	bool show_origin; /* file and line */
};

/*
 * Names the microVM in every line. id is borrowed for the life of the process.
 * Thread: the loop's.
 */
void log_set_id(const char *id);

/* Names the calling thread in its lines and in /proc: at most 15 bytes. */
void log_set_thread(const char *name);

/*
 * Sends the log to config->path, made where it is missing; a FIFO nobody reads
 * is fine. Strings are copied. On failure nothing changes. Thread: the loop's.
 */
int log_configure(const struct log_config *config, struct err *e);

/* "Error", "warning", "Info" … in any case; -EINVAL for another word. */
int log_level_parse(const char *word, enum log_level *level);

/* Lines that nobody read in time and that were dropped. */
uint64_t log_lost(void);

/* Whether a line of this level would be written; for costly arguments. */
bool log_wants(enum log_level level);

/* The calling thread's name. Async-signal-safe. */
const char *log_thread(void);

/*
 * Writes text as it is to stderr, and to the log's file where it has one: the
 * last words of a process. Async-signal-safe.
 */
void log_raw(const char *text, size_t len);

void log_line(enum log_level level, const char *file, int number,
	      const char *fmt, ...) __attribute__((format(printf, 4, 5)));

#define log_error(...) log_line(LOG_ERROR, __FILE__, __LINE__, __VA_ARGS__)
#define log_warn(...)  log_line(LOG_WARN, __FILE__, __LINE__, __VA_ARGS__)
#define log_info(...)  log_line(LOG_INFO, __FILE__, __LINE__, __VA_ARGS__)
#define log_debug(...) log_line(LOG_DEBUG, __FILE__, __LINE__, __VA_ARGS__)

/*
 * For what a guest can cause at will: at most ten lines in five seconds from
 * one place in the code; the next line that passes says how many did not.
 */
struct log_limit {
	_Atomic uint64_t window_start_ns;
	_Atomic uint32_t in_window;
	_Atomic uint32_t dropped;
};

bool log_limit_pass(struct log_limit *limit, uint32_t *dropped);

#define log_warn_limited(...)                                            \
	do {                                                             \
		static struct log_limit limit_;                          \
		uint32_t dropped_ = 0;                                   \
		if (!log_limit_pass(&limit_, &dropped_))                 \
			break;                                           \
		if (dropped_)                                            \
			log_warn("%u lines like the next were left out", \
				 dropped_);                              \
		log_warn(__VA_ARGS__);                                   \
	} while (0)
