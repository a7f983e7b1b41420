#pragma once

#include "api/ctl/base/exit.h"
#include "vmm/base/args.h"

/*
 * mayctl: what a person types. Each command is a function of its own that
 * reads its arguments, does its work, and returns an exit code.
 */

/* Where a monitor listens unless it is told otherwise. */
#define CTL_SOCKET "/run/firecracker.socket"

/* argv[0] is the command's own name. */
int ctl_api(int argc, char **argv);
int ctl_status(int argc, char **argv);
int ctl_bench(int argc, char **argv);
int ctl_boot(int argc, char **argv);
int ctl_jail(int argc, char **argv);
int ctl_ps(int argc, char **argv);
int ctl_inspect(int argc, char **argv);
int ctl_logs(int argc, char **argv);
int ctl_image(int argc, char **argv);
int ctl_run(int argc, char **argv);
int ctl_serve(int argc, char **argv);
int ctl_exec(int argc, char **argv);
int ctl_cp(int argc, char **argv);
int ctl_stop(int argc, char **argv);
int ctl_kill(int argc, char **argv);
int ctl_rm(int argc, char **argv);
int ctl_snapshot(int argc, char **argv);
int ctl_mark(int argc, char **argv);
int ctl_reset(int argc, char **argv);
int ctl_restore(int argc, char **argv);
int ctl_clone(int argc, char **argv);
int ctl_fork(int argc, char **argv);

/* complain.c: prints `mayctl: sentence` to stderr. */
void ctl_complain(const char *fmt, ...) __attribute__((format(printf, 1, 2)));

/* Of the argument that args_next() stopped at, which it can't use. */
void ctl_complain_of(const struct args *a);
