/*
 * mayctl boot: one microVM on this terminal. The configuration goes to the
 * monitor in a memory file and its files as descriptors, the guest's console is
 * our stdin and stdout, and of the monitor's stderr one line is kept: the
 * phases of the boot.
 */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <jansson.h>
#include <limits.h>
#include <signal.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "api/ctl/commands/ctl.h"
#include "api/ctl/vm/cell.h"
#include "api/ctl/vm/disk.h"
#include "api/ctl/vm/handed.h"
#include "api/ctl/vm/monitor.h"
#include "api/ctl/vm/vm.h"
#include "vmm/base/args.h"
#include "vmm/base/clock.h"
#include "vmm/base/err.h"
#include "vmm/base/fd.h"

enum { DRIVES_MAX = 32, TIMING_MAX = 256, MEMORY_MAX_MIB = 1 << 30 };

struct boot {
	const char *kernel;
	const char *initrd;
	const char *args;
	const char *cpus;
	const char *memory;
	const char *monitor;
	const char *drives[DRIVES_MAX];
	unsigned drive_count;
	bool has_no_jail;
	struct vm place; /* of which it needs the directory only */
	struct cell cell;
	char timing[TIMING_MAX]; /* the monitor's line, "" for none */
};

static int take_drive(const struct args *a, void *into, struct err *e)
{
	struct boot *b = into;

	if (b->drive_count == DRIVES_MAX)
		return err_set(e, -E2BIG, "at most %d drives", DRIVES_MAX);
	b->drives[b->drive_count++] = a->value;
	return 0;
}

#define AT(member) offsetof(struct boot, member)

static const struct arg table[] = {
	{"kernel", "FILE", NULL, AT(kernel)},
	{"initrd", "FILE", NULL, AT(initrd)},
	{"args", "TEXT", NULL, AT(args)},
	{"cpus", "N", NULL, AT(cpus)},
	{"memory", "MIB", NULL, AT(memory)},
	{"monitor", "FILE", NULL, AT(monitor)},
	{"drive", "FILE", take_drive},
	{"no-jail", NULL, NULL, AT(has_no_jail)},
};

/* A whole number, or -1. The monitor knows which it takes. */
static json_int_t number(const char *text)
{
	char *end;
	long long v;

	errno = 0;
	v = strtoll(text, &end, 10);
	return *text && !*end && !errno && v >= 0 ? v : -1;
}

static int parse(struct boot *b, int argc, char **argv)
{
	struct args a = ARGS(table, 0, argc, argv);
	enum args_found found;

	*b = (struct boot){
		.args = "console=ttyS0 reboot=k panic=1",
		.cpus = "1",
		.memory = "128",
	};
	while ((found = args_next(&a))) {
		/* An empty command line is one; an empty path is a mistake. */
		if (found == ARGS_VALUELESS && a.arg->offset == AT(args))
			b->args = "";
		else if (found != ARGS_OPTION || args_set(&a, b, NULL)) {
			ctl_complain_of(&a);
			return -1;
		}
	}
	if (!b->kernel)
		ctl_complain("boot needs --kernel FILE");
	else if (number(b->cpus) < 0)
		ctl_complain("boot: --cpus needs a number, not '%s'", b->cpus);
	else if (number(b->memory) < 0)
		ctl_complain("boot: --memory needs a number of MiB, not '%s'",
			     b->memory);
	else
		return 0;
	return -1;
}

/* FILE or FILE:ro, as a drive of the API. */
static json_t *make_drive(const struct boot *b, unsigned i,
			  struct handed *handed, struct err *e)
{
	const char *file = b->drives[i];
	size_t len = strlen(file);
	const bool is_read_only = len > 3 && !strcmp(file + len - 3, ":ro");
	const struct disk_source disk = {"--drive", file, is_read_only};
	char id[16], path[PATH_MAX];
	CLEAN_FD int fd = -1;
	struct handed_name name;

	snprintf(id, sizeof(id), "drive%u", i);
	if (is_read_only)
		len -= 3;
	snprintf(path, sizeof(path), "%.*s", (int)len, file);
	/* The monitor's copy keeps the lock until it ends. */
	fd = disk_take(path, &disk, e);
	if (fd < 0 || handed_copy(handed, fd, path, &name, e) < 0)
		return NULL;
	return json_pack("{s:s, s:s, s:b, s:b}", "drive_id", id, "path_on_host",
			 name.text, "is_root_device", i == 0 && !b->initrd,
			 "is_read_only", is_read_only);
}

/* The config file's text; NULL with a sentence. */
static char *make_config(const struct boot *b, struct handed *handed,
			 struct err *e)
{
	struct handed_name kernel, initrd;
	json_t *drives = json_array(), *config = NULL, *drive;
	char *text;
	unsigned i;
	int rc = handed_open(handed, b->kernel, O_RDONLY, FD_REGULAR, "kernel",
			     &kernel, e);

	if (rc >= 0 && b->initrd)
		rc = handed_open(handed, b->initrd, O_RDONLY, FD_REGULAR,
				 "initrd", &initrd, e);
	for (i = 0; i < b->drive_count && rc >= 0; i++) {
		drive = make_drive(b, i, handed, e);
		rc = drive ? json_array_append_new(drives, drive) : -EINVAL;
	}
	if (rc >= 0)
		config = json_pack("{s:{s:s, s:s?, s:s}, s:{s:I, s:I}, s:O}",
				   "boot-source", "kernel_image_path",
				   kernel.text, "initrd_path",
				   b->initrd ? initrd.text : NULL, "boot_args",
				   b->args, "machine-config", "vcpu_count",
				   number(b->cpus), "mem_size_mib",
				   number(b->memory), "drives", drives);
	json_decref(drives);
	text = config ? json_dumps(config, JSON_COMPACT) : NULL;
	json_decref(config);
	if (!text && rc >= 0)
		err_set(e, -EINVAL, "--args is not UTF-8");
	return text;
}

/* The monitor stands beside us, wherever that is. */
static int find_monitor(char *path, size_t size)
{
	static const char name[] = "mayfly";
	ssize_t n = readlink("/proc/self/exe", path, size - sizeof(name));
	char *slash;

	if (n <= 0)
		return -1;
	path[n] = '\0';
	slash = strrchr(path, '/');
	if (!slash)
		return -1;
	memcpy(slash + 1, name, sizeof(name));
	return 0;
}

/* A place for the monitor's jail, and the monitor's limits. */
static int make_place(struct boot *b, const char *monitor, struct err *e)
{
	const uint64_t memory = (uint64_t)number(b->memory);
	const struct cgroups_limits limits = {
		.vcpu_count = (unsigned)number(b->cpus),
		/* The monitor knows how much is too much. */
		.memory_mib = memory < MEMORY_MAX_MIB ? memory : MEMORY_MAX_MIB,
	};
	int rc = 0;

	if (b->has_no_jail)
		snprintf(b->place.dir, sizeof(b->place.dir), ".");
	else
		rc = vm_make_place(&b->place, e);
	return rc ? rc
		  : cell_make(&b->cell, b->place.dir, monitor, "boot", &limits,
			      e);
}

static void remove_place(struct boot *b)
{
	cell_close(&b->cell);
	if (b->has_no_jail)
		return;
	cell_remove(b->place.dir, b->cell.claim.uid);
	(void)vm_remove(&b->place, NULL);
}

/* Starts the monitor on our stdin and stdout. Returns 0 and its pid. */
static int start_monitor(struct boot *b, const char *monitor,
			 const char *jailer, int stderr_fd, pid_t *pid,
			 struct err *e)
{
	struct handed handed = {0};
	struct handed_name config = {""};
	char kvm[16], files[HANDED_LIST], start[32];
	const char *const args[] = {
		"--no-api", "--timing", "--kvm-fd", kvm, "--file-fds", files,
		"--config-file", config.text,
		/* Of a jail, the jailer says it. */
		b->cell.kind == CELL_NONE || b->cell.kind == CELL_FILTERS
			? "--start-time-us"
			: NULL,
		start, NULL};
	struct cell_monitor m = {
		.program = monitor,
		.jailer = jailer,
		.id = "boot",
		.args = args,
		.standard = {STDIN_FILENO, STDOUT_FILENO, stderr_fd},
		.fds = handed.fds,
		.record_fd = -1,
		/* No microVM outlives the terminal's command. */
		.is_bound = true,
	};
	char *text = make_config(b, &handed, e);
	int rc = text ? handed_write(&handed, text, &config, e) : e->code;

	if (rc >= 0)
		rc = handed_open_kvm(&handed, e);
	if (rc >= 0) {
		snprintf(kvm, sizeof(kvm), "%d", rc);
		snprintf(start, sizeof(start), "%" PRIu64,
			 clock_now_ns() / 1000);
		handed_list(&handed, files);
		m.fd_count = handed.count;
		rc = cell_start(&b->cell, &m, pid, e);
	}
	free(text);
	handed_close(&handed);
	return rc;
}

/* Passes the monitor's words on and keeps the line of its phases. */
static void relay_stderr(struct boot *b, int fd)
{
	static const char key[] = "timing: ";
	FILE *from = fdopen(fd, "r");
	char *line = NULL;
	size_t size = 0;

	if (!from) {
		close(fd);
		return;
	}
	while (getline(&line, &size, from) > 0) {
		if (strncmp(line, key, sizeof(key) - 1) != 0)
			fputs(line, stderr);
		else
			snprintf(b->timing, sizeof(b->timing), "%s",
				 line + sizeof(key) - 1);
	}
	free(line);
	fclose(from);
}

static uint64_t timing_of(const struct boot *b, const char *name)
{
	const char *at = b->timing;
	const size_t len = strlen(name);

	while ((at = strstr(at, name))) {
		if ((at == b->timing || at[-1] == ' ') && at[len] == '=')
			return strtoull(at + len + 1, NULL, 10);
		at += len;
	}
	return 0;
}

static void print_timing(const struct boot *b)
{
	static const struct {
		const char *name;
		const char *what;
	} phases[] = {
		{"exec_us", "exec of the monitor"},
		{"start_us", "command line and configuration"},
		{"load_us", "machine, devices, kernel into memory"},
		{"run_us", "first entry into the guest"},
		{"kernel_us", "kernel to init"},
	};
	const bool is_booted = timing_of(b, "kernel_us");
	uint64_t sum = 0;
	unsigned i;

	/* Where no guest ran, the monitor has said why. */
	if (!timing_of(b, "run_us"))
		return;
	fprintf(stderr, "\nboot\n");
	for (i = 0; i < sizeof(phases) / sizeof(phases[0]); i++) {
		const uint64_t us = timing_of(b, phases[i].name);

		if (i + 1 < sizeof(phases) / sizeof(phases[0]) || is_booted)
			fprintf(stderr, "  %-38s%12.3f ms\n", phases[i].what,
				(double)us / 1000);
		sum += us;
	}
	fprintf(stderr, "  %-38s%12.3f ms\n",
		is_booted ? "all of it"
			  : "all of it (the guest told no boot time)",
		(double)sum / 1000);
	fprintf(stderr, "  %-38s%12.3f ms, %" PRIu64 " exits in all\n",
		"then it ran for", (double)timing_of(b, "guest_us") / 1000,
		timing_of(b, "exits"));
}

static int wait_for(pid_t pid)
{
	int status;

	while (waitpid(pid, &status, 0) < 0)
		if (errno != EINTR)
			return CTL_REFUSED;
	if (WIFEXITED(status))
		return WEXITSTATUS(status);
	/* Asked for, and by us as well. */
	if (WTERMSIG(status) == SIGTERM || WTERMSIG(status) == SIGINT)
		return 128 + WTERMSIG(status);
	ctl_complain("the monitor was killed by signal %d", WTERMSIG(status));
	return CTL_REFUSED;
}

static int run(struct boot *b, const char *monitor, const char *jailer)
{
	struct err e = {0};
	int pipes[2], code = CTL_REFUSED;
	pid_t pid;

	if (pipe2(pipes, O_CLOEXEC)) {
		ctl_complain("can't make a pipe: %s", strerror(errno));
		return CTL_REFUSED;
	}
	/* Ctrl-C and Ctrl-] are the monitor's to act on; we wait for it. */
	signal(SIGINT, SIG_IGN);
	/* Who reads no more of what we say has still to be cleaned up after. */
	signal(SIGPIPE, SIG_IGN);
	if (make_place(b, monitor, &e) ||
	    start_monitor(b, monitor, jailer, pipes[1], &pid, &e)) {
		ctl_complain("boot: %s", e.text);
		close(pipes[0]);
		close(pipes[1]);
	} else {
		close(pipes[1]);
		relay_stderr(b, pipes[0]);
		code = wait_for(pid);
		print_timing(b);
	}
	return code;
}

int ctl_boot(int argc, char **argv)
{
	char monitor[PATH_MAX], jailer[PATH_MAX];
	struct err e = {0};
	struct boot b;
	int code;

	if (parse(&b, argc, argv))
		return CTL_USAGE;
	if (b.monitor ? !realpath(b.monitor, monitor)
		      : find_monitor(monitor, sizeof(monitor))) {
		ctl_complain("boot: can't find mayfly; say where it is with "
			     "--monitor");
		return CTL_REFUSED;
	}
	monitor_find_jailer(jailer, monitor);
	if (cell_choose(&b.cell, !b.has_no_jail, jailer, &e)) {
		ctl_complain("boot: %s", e.text);
		return CTL_REFUSED;
	}
	if (cell_warning(b.cell.kind))
		ctl_complain("warning: %s", cell_warning(b.cell.kind));
	code = run(&b, monitor, jailer);
	remove_place(&b);
	return code;
}
