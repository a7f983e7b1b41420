/*
 * mayctl logs: what a detached container has written. With -f it waits in
 * inotify for more, and ends when the shim, who writes it, has.
 */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/inotify.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "api/ctl/commands/ctl.h"
#include "api/ctl/commands/docker.h"
#include "api/ctl/commands/values.h"
#include "api/ctl/vm/output_log.h"
#include "api/ctl/vm/vm.h"
#include "vmm/base/args.h"
#include "vmm/base/fd.h"

/* Which of it is asked for. */
struct choice {
	uint64_t since_ns, until_ns;
	uint64_t skip; /* lines still to be left out */
	bool has_times;
	bool is_inside[STDERR_FILENO + 1]; /* of a stream: within a line */
};

struct follower {
	const struct vm *vm;
	int fd; /* owned; of the file we are in */
	uint64_t offset;
	struct choice *choice;
};

static int open_output(const struct vm *vm, const char *name)
{
	char path[PATH_MAX];

	return open(vm_disk_path(vm, name, path), O_RDONLY | O_CLOEXEC);
}

/* Whether `output` is another file by now: ours is `output.1`, or gone. */
static bool is_rotated(const struct follower *f)
{
	char path[PATH_MAX];
	struct stat ours, now;

	return !fstat(f->fd, &ours) &&
	       !stat(vm_disk_path(f->vm, OUTPUT_FILE, path), &now) &&
	       ours.st_ino != now.st_ino;
}

/* RFC 3339 in UTC, before each line, as docker logs -t has it. */
static void put_time(FILE *to, uint64_t time_ns)
{
	const time_t seconds = (time_t)(time_ns / 1000000000u);
	char date[32];
	struct tm tm;

	gmtime_r(&seconds, &tm);
	strftime(date, sizeof(date), "%Y-%m-%dT%H:%M:%S", &tm);
	fprintf(to, "%s.%09uZ ", date, (unsigned)(time_ns % 1000000000u));
}

/* A record is what was read at once, not a line: it may begin within one. */
static int print_stamped(int fd, const struct output_record *r, const char *at,
			 bool *is_inside)
{
	const char *stop = at + r->len, *end;
	char *text = NULL;
	size_t len = 0;
	FILE *lines = open_memstream(&text, &len);
	int rc = -ENOMEM;

	if (!lines)
		return rc;
	for (; at < stop; at = end) {
		end = memchr(at, '\n', (size_t)(stop - at));
		end = end ? end + 1 : stop;
		if (!*is_inside)
			put_time(lines, r->time_ns);
		fwrite(at, 1, (size_t)(end - at), lines);
		*is_inside = end[-1] != '\n';
	}
	if (!fclose(lines))
		rc = fd_write(fd, text, len);
	free(text);
	return rc;
}

/* Leaves out what lines are still to be; what is left of a record. */
static const char *skip_lines(struct choice *c, const char *at, uint32_t *len)
{
	while (c->skip && *len) {
		const char *end = memchr(at, '\n', *len);
		const uint32_t n = end ? (uint32_t)(end - at) + 1 : *len;

		at += n;
		*len -= n;
		c->skip -= end != NULL;
	}
	return at;
}

static bool is_chosen(const struct choice *c, const struct output_record *r)
{
	return r->time_ns >= c->since_ns && r->time_ns <= c->until_ns;
}

/* Every whole record from *offset on. -EPIPE where nobody reads. */
static int print_records(int fd, uint64_t *offset, struct choice *c)
{
	char *bytes = malloc(OUTPUT_RECORD_MAX);
	struct output_record r;
	int rc = 0, to;

	if (!bytes)
		return -ENOMEM;
	while (!rc && output_log_next(fd, offset, &r, bytes)) {
		const char *at = bytes;

		if (!is_chosen(c, &r))
			continue;
		at = skip_lines(c, at, &r.len);
		if (!r.len)
			continue;
		to = r.stream == 2 ? STDERR_FILENO : STDOUT_FILENO;
		rc = c->has_times ? print_stamped(to, &r, at, &c->is_inside[to])
				  : fd_write(to, at, r.len);
	}
	free(bytes);
	return rc;
}

/* How many lines of a file are chosen; the last may be without an end. */
static uint64_t count_lines(int fd, const struct choice *c)
{
	char *bytes = malloc(OUTPUT_RECORD_MAX);
	uint64_t offset = 0, lines = 0;
	struct output_record r;
	char last = '\n';
	uint32_t i;

	while (bytes && fd >= 0 && output_log_next(fd, &offset, &r, bytes)) {
		if (!is_chosen(c, &r) || !r.len)
			continue;
		for (i = 0; i < r.len; i++)
			lines += bytes[i] == '\n';
		last = bytes[r.len - 1];
	}
	free(bytes);
	return lines + (last != '\n');
}

/* All there is by now, over a change of files. */
static int print_more(struct follower *f)
{
	int rc;

	for (;;) {
		bool rotated;

		if (f->fd < 0) {
			f->fd = open_output(f->vm, OUTPUT_FILE);
			f->offset = 0;
		}
		if (f->fd < 0)
			return 0;
		/* Asked first: what is written before the change is read. */
		rotated = is_rotated(f);
		rc = print_records(f->fd, &f->offset, f->choice);
		if (rc || !rotated)
			return rc;
		fd_close(&f->fd);
	}
}

static int follow(struct follower *f)
{
	CLEAN_FD int watch = inotify_init1(IN_CLOEXEC | IN_NONBLOCK);
	CLEAN_FD int shim = vm_process_open(&f->vm->state.shim);
	struct pollfd fds[2] = {{.fd = watch, .events = POLLIN},
				{.fd = shim, .events = POLLIN}};
	char events[4096], path[PATH_MAX];
	int rc = 0;

	/* Disks lie there, too, and a guest may write to them all the time. */
	if (watch < 0 ||
	    inotify_add_watch(watch, f->vm->state.disk_dir, IN_CREATE) < 0)
		return -errno;
	vm_disk_path(f->vm, OUTPUT_FILE, path);
	while (!rc && shim >= 0 && !fds[1].revents) {
		/* Of the one that has the name by now. */
		(void)inotify_add_watch(watch, path, IN_MODIFY);
		rc = print_more(f);
		if (!rc && poll(fds, 2, -1) < 0 && errno != EINTR)
			rc = -errno;
		while (read(watch, events, sizeof(events)) > 0)
			;
	}
	return rc ? rc : print_more(f);
}

struct request {
	bool is_following;
	struct choice choice;
	uint64_t tail; /* UINT64_MAX: all */
	const char *name;
};

static int print_logs(const struct vm *vm, struct request *q)
{
	struct follower f = {.vm = vm, .fd = -1, .choice = &q->choice};
	CLEAN_FD int old = -1;
	uint64_t offset = 0, lines;
	int rc = 0;

	f.fd = open_output(vm, OUTPUT_FILE);
	if (f.fd < 0) {
		ctl_complain("%s keeps no output: only microVMs of `run -d` "
			     "do",
			     vm->state.name);
		return CTL_REFUSED;
	}
	old = open_output(vm, OUTPUT_FILE_OLD);
	if (q->tail != UINT64_MAX) {
		lines = count_lines(old, &q->choice) +
			count_lines(f.fd, &q->choice);
		q->choice.skip = lines > q->tail ? lines - q->tail : 0;
	}
	if (old >= 0)
		rc = print_records(old, &offset, &q->choice);
	if (!rc)
		rc = q->is_following ? follow(&f) : print_more(&f);
	fd_close(&f.fd);
	if (rc && rc != -EPIPE)
		ctl_complain("can't print it: %s", strerror(-rc));
	return rc ? CTL_REFUSED : CTL_OK;
}

/* ---- what was typed ------------------------------------------------------ */

static int take_tail(const struct args *a, void *into, struct err *e)
{
	struct request *q = into;

	if (!strcmp(a->value, "all") || !strcmp(a->value, "-1"))
		q->tail = UINT64_MAX;
	else if (!args_number(a->value, &q->tail))
		return err_set(e, -EINVAL,
			       "--tail takes a number of lines, or all, not "
			       "'%s'",
			       a->value);
	return 0;
}

static int take_time(const struct args *a, void *into, struct err *e)
{
	const bool is_until = !strcmp(a->arg->name, "until");
	struct timespec now;
	uint64_t ns;
	int rc;

	clock_gettime(CLOCK_REALTIME, &now);
	rc = value_moment(a->value,
			  (uint64_t)now.tv_sec * 1000000000u +
				  (uint64_t)now.tv_nsec,
			  &ns, e);
	if (rc) {
		err_context(e, "--%s", a->arg->name);
		return rc;
	}
	/* docker's word for no bound at all, both ways. */
	if (is_until && !ns)
		ns = UINT64_MAX;
	memcpy((char *)into + a->arg->offset, &ns, sizeof(ns));
	return 0;
}

static int parse(struct request *q, int argc, char **argv)
{
	static const struct arg table[] = {
		{"follow", .offset = offsetof(struct request, is_following),
		 .letter = 'f'},
		{"timestamps",
		 .offset = offsetof(struct request, choice.has_times),
		 .letter = 't'},
		{"tail", "N", take_tail, .letter = 'n'},
		{"since", "TIME", take_time,
		 offsetof(struct request, choice.since_ns)},
		{"until", "TIME", take_time,
		 offsetof(struct request, choice.until_ns)},
	};
	struct args a = ARGS(table, 0, argc, argv);
	enum args_found found;
	struct err e = {0};

	while ((found = args_next(&a))) {
		if (found == ARGS_OPTION && args_set(&a, q, &e)) {
			ctl_complain("logs: %s", e.text);
			return -EINVAL;
		}
		if (found == ARGS_WORD && !q->name)
			q->name = a.word;
		else if (found != ARGS_OPTION) {
			docker_complain("logs", a.word);
			return -EINVAL;
		}
	}
	if (q->name)
		return 0;
	ctl_complain("logs takes the name of a microVM; `mayctl ps -a` lists "
		     "them");
	return -EINVAL;
}

int ctl_logs(int argc, char **argv)
{
	struct request q = {.tail = UINT64_MAX, .choice.until_ns = UINT64_MAX};
	struct err e = {0};
	struct vm vm;
	int code;

	if (parse(&q, argc, argv))
		return CTL_USAGE;
	if (vm_load(&vm, q.name, &e)) {
		ctl_complain("%s", e.text);
		code = CTL_REFUSED;
	} else {
		code = print_logs(&vm, &q);
	}
	vm_fini(&vm);
	return code;
}
