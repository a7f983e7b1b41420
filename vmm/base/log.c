/*
 * The log. A line is built on the stack and written with one call, so lines of
 * different threads don't mix and no lock is needed. The destination is a
 * descriptor of our own, opened non-blocking, or stderr, which others share:
 * there poll() is asked before each line.
 */
#include "vmm/base/log.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>
#include <time.h>
#include <unistd.h>

#include "vmm/base/clock.h"
#include "vmm/base/fd.h"
#include "vmm/base/printable.h"

enum { LINE_MAX_BYTES = 1024 };

static struct {
	_Atomic int fd;
	_Atomic int level;
	_Atomic bool show_level;
	_Atomic bool show_origin;
	_Atomic uint64_t lost;
	const char *id; /* borrowed */
	/*
	 * May change while others log; a line that meets a change halfway may
	 * be judged by neither of both.
	 */
	_Atomic char module[128];
} log_state = {
	.fd = STDERR_FILENO,
	.level = LOG_WARN,
	.show_level = true,
	.id = "anonymous-instance",
};

static const char *const level_words[] = {"OFF",  "ERROR", "WARN",
					  "INFO", "DEBUG", "TRACE"};

/* Whether file is below the module that is asked for. */
static bool is_in_module(const char *file)
{
	size_t i;

	for (i = 0; i < sizeof(log_state.module); i++) {
		const char c = atomic_load_explicit(&log_state.module[i],
						    memory_order_relaxed);

		if (!c || c != file[i])
			return !c;
	}
	return true;
}

static void set_module(const char *module)
{
	size_t i = 0;

	for (; module[i] && i + 1 < sizeof(log_state.module); i++)
		log_state.module[i] = module[i];
	log_state.module[i] = '\0';
}

/*
 * Others may be about to write to the old descriptor, whose number must not
 * become that of another file, a disk say: the new one takes its place.
 */
static int take_fd(int fd)
{
	const int old = log_state.fd;
	int rc = 0;

	if (old == STDERR_FILENO) {
		log_state.fd = fd;
		return 0;
	}
	if (dup3(fd, old, O_CLOEXEC) < 0)
		rc = -errno;
	close(fd);
	return rc;
}

static __thread char thread_name[16] = "main";

void log_set_id(const char *id)
{
	log_state.id = id;
}

void log_set_thread(const char *name)
{
	snprintf(thread_name, sizeof(thread_name), "%s", name);
	(void)pthread_setname_np(pthread_self(), thread_name);
}

const char *log_thread(void)
{
	return thread_name;
}

void log_raw(const char *text, size_t len)
{
	int fd = log_state.fd;

	/* Nobody could be told of a failure. */
	if (write(STDERR_FILENO, text, len) < 0 || fd == STDERR_FILENO)
		return;
	if (write(fd, text, len) < 0)
		return;
}

int log_configure(const struct log_config *config, struct err *e)
{
	int fd;

	if (config->path) {
		/* Read too, so that a FIFO without a reader opens at once. */
		fd = openat(AT_FDCWD, config->path,
			    O_RDWR | O_CREAT | O_APPEND | O_NONBLOCK |
				    O_CLOEXEC | O_NOCTTY,
			    0600);
		if (fd < 0)
			return err_errno(e, "can't open the log file %s",
					 config->path);
		if (take_fd(fd))
			return err_errno(e, "can't change the log file");
	}
	set_module(config->module ? config->module : "");
	log_state.level = config->level;
	log_state.show_level = config->show_level;
	log_state.show_origin = config->show_origin;
	return 0;
}

int log_level_parse(const char *word, enum log_level *level)
{
	unsigned i;

	if (!strcasecmp(word, "warning")) {
		*level = LOG_WARN;
		return 0;
	}
	for (i = 0; i < sizeof(level_words) / sizeof(level_words[0]); i++) {
		if (strcasecmp(word, level_words[i]))
			continue;
		*level = (enum log_level)i;
		return 0;
	}
	return -EINVAL;
}

uint64_t log_lost(void)
{
	return log_state.lost;
}

bool log_wants(enum log_level level)
{
	return (int)level <= log_state.level;
}

/* snprintf that appends at *at and never passes the end. */
static void append(char *line, size_t *at, const char *fmt, va_list ap)
	__attribute__((format(printf, 3, 0)));

static void append(char *line, size_t *at, const char *fmt, va_list ap)
{
	int n = vsnprintf(line + *at, LINE_MAX_BYTES - *at, fmt, ap);

	if (n < 0)
		return;
	*at += (size_t)n;
	if (*at > LINE_MAX_BYTES - 2)
		*at = LINE_MAX_BYTES - 2;
}

static void appendf(char *line, size_t *at, const char *fmt, ...)
	__attribute__((format(printf, 3, 4)));

static void appendf(char *line, size_t *at, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	append(line, at, fmt, ap);
	va_end(ap);
}

/*
 * A date of the Gregorian calendar from days since 1970. gmtime_r() would read
 * the time zone's file first, which a vCPU's thread may not.
 */
static void append_date(char *line, size_t *at, int64_t days)
{
	/* Years begin in March here, so that a leap day ends one. */
	const int64_t since = days + 719468; /* 1 March of year 0 */
	const int64_t era = since / 146097, day = since % 146097;
	const int64_t year =
		(day - day / 1460 + day / 36524 - day / 146096) / 365;
	const int64_t of_year = day - (365 * year + year / 4 - year / 100);
	const int64_t month = (5 * of_year + 2) / 153;

	appendf(line, at, "%04d-%02d-%02dT",
		(int)(year + era * 400 + (month >= 10)),
		(int)(month < 10 ? month + 3 : month - 9),
		(int)(of_year - (153 * month + 2) / 5 + 1));
}

static void append_head(char *line, size_t *at, enum log_level level,
			const char *file, int number)
{
	struct timespec now;
	int second;

	clock_gettime(CLOCK_REALTIME, &now);
	second = (int)(now.tv_sec % 86400);
	append_date(line, at, now.tv_sec / 86400);
	appendf(line, at, "%02d:%02d:%02d.%09ld [%s:%s", second / 3600,
		second / 60 % 60, second % 60, now.tv_nsec, log_state.id,
		thread_name);
	if (log_state.show_level)
		appendf(line, at, ":%s", level_words[level]);
	if (log_state.show_origin)
		appendf(line, at, ":%s:%d", file, number);
	appendf(line, at, "] ");
}

void log_line(enum log_level level, const char *file, int number,
	      const char *fmt, ...)
{
	int saved = errno, fd = log_state.fd;
	char line[LINE_MAX_BYTES];
	size_t at = 0, start;
	ssize_t n;
	va_list ap;

	if (!log_wants(level) || !is_in_module(file))
		return;
	append_head(line, &at, level, file, number);
	start = at;
	va_start(ap, fmt);
	append(line, &at, fmt, ap);
	va_end(ap);
	/* One event, one line: what a guest or client said can't forge more. */
	printable_blank(line + start, at - start);
	line[at++] = '\n';
	n = fd == STDERR_FILENO ? fd_write_ready(fd, line, at)
				: write(fd, line, at);
	if (n != (ssize_t)at)
		log_state.lost++;
	errno = saved;
}

bool log_limit_pass(struct log_limit *limit, uint32_t *dropped)
{
	enum { LINES = 10 };
	const uint64_t window_ns = 5000000000ULL;
	const uint64_t now = clock_now_ns();
	uint64_t start;

	start = limit->window_start_ns;
	if ((!start || now - start > window_ns) &&
	    atomic_compare_exchange_strong(&limit->window_start_ns, &start,
					   now))
		limit->in_window = 0;
	if (limit->in_window++ >= LINES) {
		limit->dropped++;
		return false;
	}
	*dropped = atomic_exchange(&limit->dropped, 0);
	return true;
}
