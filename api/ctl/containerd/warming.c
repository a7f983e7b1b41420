#include "api/ctl/containerd/warming.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "api/ctl/image/store.h"
#include "vmm/base/fd.h"

static int name(struct warm *w, const struct monitor_plan *plan, struct err *e)
{
	struct image_store store;
	char folder[PATH_MAX];
	int rc = image_store_open(&store, true, e);

	snprintf(folder, sizeof(folder), "%s/warm", store.path);
	image_store_close(&store);
	return rc ? rc : warm_name_bare(w, plan, folder, e);
}

/* ---- going on from one ----------------------------------------------------
 */

static void say(const char *id, const char *why)
{
	fprintf(stderr,
		"containerd-shim-mayfly-v1: %s: the guest at rest was of no "
		"use, is removed, and the microVM boots: %.200s\n",
		id, why);
}

bool warming_choose(struct warming *w, struct monitor_plan *plan,
		    const char *id)
{
	struct err e = {0};
	int rc = name(&w->warm, plan, &e);

	/* Without a store there is none, nor a place for one. */
	if (rc) {
		warm_fini(&w->warm);
		return false;
	}
	rc = warm_open(&w->warm, &e);
	w->is_lacking = rc != 0;
	if (rc && rc != -ENOENT)
		warming_give_up(w, plan, id, e.text);
	if (rc)
		return false;
	plan->state_fd = w->warm.state_fd;
	plan->memory_fd = w->warm.memory_fd;
	plan->order_fd = &w->order_fd;
	return true;
}

void warming_give_up(struct warming *w, struct monitor_plan *plan,
		     const char *id, const char *why)
{
	say(id, why);
	warm_remove(&w->warm);
	w->is_lacking = true;
	plan->state_fd = plan->memory_fd = 0;
	plan->order_fd = NULL;
	fd_close(&w->order_fd);
}

void warming_fini(struct warming *w)
{
	warm_fini(&w->warm);
	fd_close(&w->order_fd);
	w->is_lacking = false;
}

/* ---- making one ------------------------------------------------------------
 */

static int make(const struct warm *w, const struct monitor_plan *plan,
		bool has_jail, bool is_waiting, struct err *e)
{
	struct warm_report report = {0};
	int rc = warm_make(w, plan, has_jail, is_waiting, e);

	if (!rc)
		warm_trim(w->folder, WARMING_MOST, &report);
	return rc;
}

static _Noreturn void maker_main(const struct warming *w,
				 const struct monitor_plan *plan, bool has_jail)
{
	struct err e = {0};
	sigset_t none;

	/* Nothing of the microVM, which may end before we do. */
	warm_let_go("mayfly-warm", -1, -1);
	sigemptyset(&none);
	sigprocmask(SIG_SETMASK, &none, NULL);
	signal(SIGHUP, SIG_DFL);
	signal(SIGINT, SIG_DFL);
	_exit(make(&w->warm, plan, has_jail, false, &e) != 0);
}

void warming_settle(struct warming *w, const struct monitor_plan *plan,
		    bool has_jail)
{
	pid_t pid;

	fd_close(&w->warm.state_fd);
	fd_close(&w->warm.memory_fd);
	fd_close(&w->order_fd);
	if (!w->is_lacking)
		return;
	w->is_lacking = false;
	/* Twice, so that nobody here has to wait for its end. */
	pid = fork();
	if (!pid) {
		if (!fork())
			maker_main(w, plan, has_jail);
		_exit(0);
	}
	while (pid > 0 && waitpid(pid, NULL, 0) < 0 && errno == EINTR)
		;
}

int warming_make(const struct monitor_plan *plan, bool has_jail, struct err *e)
{
	struct warm w = {0};
	int rc = name(&w, plan, e);

	if (!rc)
		rc = make(&w, plan, has_jail, true, e);
	warm_fini(&w);
	return rc;
}
