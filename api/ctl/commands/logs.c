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
#include "api/ctl/vm/output_log.h"
#include "api/ctl/vm/vm.h"
#include "vmm/base/args.h"
#include "vmm/base/fd.h"

struct follower {
	const struct vm *vm;
	int fd; /* owned; of the file we are in */
	uint64_t offset;
	bool has_times;
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

/* RFC 3339 in UTC, before each record, as docker logs -t has it. */
static int print_time(int fd, uint64_t time_ns)
{
	const time_t seconds = (time_t)(time_ns / 1000000000u);
	char date[32], text[64];
	struct tm tm;

	gmtime_r(&seconds, &tm);
	strftime(date, sizeof(date), "%Y-%m-%dT%H:%M:%S", &tm);
	snprintf(text, sizeof(text), "%s.%09uZ ", date,
		 (unsigned)(time_ns % 1000000000u));
	return fd_write(fd, text, strlen(text));
}

/* Every whole record from *offset on. -EPIPE where nobody reads. */
static int print_records(int fd, uint64_t *offset, bool has_times)
{
	char *bytes = malloc(OUTPUT_RECORD_MAX);
	struct output_record r;
	int rc = 0, to;

	if (!bytes)
		return -ENOMEM;
	while (!rc && output_log_next(fd, offset, &r, bytes)) {
		to = r.stream == 2 ? STDERR_FILENO : STDOUT_FILENO;
		if (has_times)
			rc = print_time(to, r.time_ns);
		if (!rc)
			rc = fd_write(to, bytes, r.len);
	}
	free(bytes);
	return rc;
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
		rc = print_records(f->fd, &f->offset, f->has_times);
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
	char events[4096];
	int rc = 0;

	if (watch < 0 ||
	    inotify_add_watch(watch, f->vm->dir, IN_MODIFY | IN_CREATE) < 0)
		return -errno;
	while (!rc && shim >= 0 && !fds[1].revents) {
		rc = print_more(f);
		if (!rc && poll(fds, 2, -1) < 0 && errno != EINTR)
			rc = -errno;
		while (read(watch, events, sizeof(events)) > 0)
			;
	}
	return rc ? rc : print_more(f);
}

static int print_logs(const struct vm *vm, bool is_following, bool has_times)
{
	struct follower f = {.vm = vm, .fd = -1, .has_times = has_times};
	CLEAN_FD int old = -1;
	uint64_t offset = 0;
	int rc = 0;

	f.fd = open_output(vm, OUTPUT_FILE);
	if (f.fd < 0) {
		ctl_complain("%s keeps no output: only microVMs of `run -d` "
			     "do",
			     vm->state.name);
		return CTL_REFUSED;
	}
	old = open_output(vm, OUTPUT_FILE_OLD);
	if (old >= 0)
		rc = print_records(old, &offset, has_times);
	if (!rc)
		rc = is_following ? follow(&f) : print_more(&f);
	fd_close(&f.fd);
	if (rc && rc != -EPIPE)
		ctl_complain("can't print it: %s", strerror(-rc));
	return rc ? CTL_REFUSED : CTL_OK;
}

struct request {
	bool is_following;
	bool has_times;
	const char *name;
};

static int parse(struct request *r, int argc, char **argv)
{
	static const struct arg table[] = {
		{"follow", .offset = offsetof(struct request, is_following),
		 .letter = 'f'},
		{"timestamps", .offset = offsetof(struct request, has_times),
		 .letter = 't'},
	};
	struct args a = ARGS(table, 0, argc, argv);
	enum args_found found;

	while ((found = args_next(&a))) {
		if (found == ARGS_OPTION)
			(void)args_set(&a, r, NULL);
		else if (found == ARGS_WORD && !r->name)
			r->name = a.word;
		else
			return -EINVAL;
	}
	return r->name ? 0 : -EINVAL;
}

int ctl_logs(int argc, char **argv)
{
	struct request r = {0};
	struct err e = {0};
	struct vm vm;
	int code;

	if (parse(&r, argc, argv)) {
		ctl_complain("logs takes [-f] [-t] and the name of a microVM");
		return CTL_USAGE;
	}
	if (vm_load(&vm, r.name, &e)) {
		ctl_complain("%s", e.text);
		code = CTL_REFUSED;
	} else {
		code = print_logs(&vm, r.is_following, r.has_times);
	}
	vm_fini(&vm);
	return code;
}
