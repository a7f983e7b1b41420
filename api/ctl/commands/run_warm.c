/*
 * Guests at rest, as `mayctl run` uses them: it goes on from one where there is
 * one, boots where there is none, and has one made for the next.
 */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "api/ctl/base/interrupt.h"
#include "api/ctl/base/process.h"
#include "api/ctl/commands/ctl.h"
#include "api/ctl/commands/run.h"
#include "api/ctl/vm/monitor_log.h"
#include "vmm/base/fd.h"

/* As long as that the first of an image has the processors to itself. */
enum { PATIENCE_MS = 3000 };

static bool is_said(const char *wanted)
{
	const char *word = getenv("MAYFLY_WARM");

	return word && !strcmp(word, wanted);
}

static bool is_cold(const struct run *r)
{
	/* What its kernel says while it boots is wanted. */
	return r->options.is_cold || r->options.has_console || is_said("no");
}

int run_choose_warm(struct run *r, struct err *e)
{
	struct err why = {0};
	char path[VM_PATH_MAX];
	int rc;

	(void)e;
	if (is_cold(r) || warm_name(&r->warm, &r->monitor, r->image.path,
				    r->image.digest, NULL))
		return 0;
	rc = *r->broken ? -ENOENT : warm_open(&r->warm, &why);
	if (rc && rc != -ENOENT)
		run_give_warm_up(r, why.text);
	r->wants_warm = rc && !is_said("kept");
	if (*r->broken)
		(void)process_write_file(
			vm_path(&r->vm, MONITOR_LOG_FILE, path), r->broken,
			NULL);
	if (rc)
		return 0;
	r->monitor.state_fd = r->warm.state_fd;
	r->monitor.memory_fd = r->warm.memory_fd;
	r->monitor.order_fd = &r->shim.order_fd;
	r->session.is_warm = true;
	r->session.mac = r->network.mac;
	r->shim.is_warm = true;
	return 0;
}

void run_give_warm_up(struct run *r, const char *why)
{
	warm_remove(&r->warm);
	snprintf(r->broken, sizeof(r->broken),
		 "the guest at rest was of no use, is removed, and the microVM "
		 "booted: %.150s\n",
		 why);
}

/* ---- making one -----------------------------------------------------------
 */

static _Noreturn void maker_main(struct run *r, int wait_fd)
{
	struct pollfd p = {.fd = wait_fd, .events = POLLIN};
	struct err e = {0};

	/* The image stays as long as it is looked at. */
	warm_let_go("mayctl-warm", r->image.fd, wait_fd);
	(void)!chdir("/");
	/* What it has begun ends with it, and others remove it. */
	interrupt_release();
	while (poll(&p, 1, PATIENCE_MS) < 0 && errno == EINTR)
		;
	_exit(warm_make(&r->warm, &r->monitor, !r->options.has_no_jail, false,
			&e) != 0);
}

void run_begin_warm(struct run *r)
{
	int ends[2];

	if (!r->wants_warm || pipe2(ends, O_CLOEXEC))
		return;
	r->warm_maker = fork();
	if (!r->warm_maker)
		maker_main(r, ends[0]);
	close(ends[0]);
	r->warm_pipe = ends[1];
}

void run_release_warm(struct run *r)
{
	fd_close(&r->warm_pipe);
}

int run_warm_image(const struct image *image, struct err *e)
{
	const struct run_options usual = run_options_usual();
	struct monitor_files files;
	const struct monitor_plan plan = {
		.files = &files,
		.drives[0] = {.path = image->path,
			      .id = SESSION_IMAGE_SERIAL,
			      .is_read_only = true},
		.drive_count = 1,
		.vcpu_count = usual.vcpu_count,
		.memory_mib = usual.memory_mib,
	};
	struct warm w = {0};
	int rc = monitor_find(&files, NULL, e);

	rc = rc ? rc : warm_name(&w, &plan, image->path, image->digest, e);
	rc = rc ? rc : warm_make(&w, &plan, true, true, e);
	warm_fini(&w);
	return rc;
}
