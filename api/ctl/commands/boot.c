/*
 * mayctl boot: one microVM on this terminal. The configuration goes to the
 * monitor in a memory file, the guest's console is our stdin and stdout, and
 * of the monitor's stderr one line is kept: the phases of the boot.
 */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <jansson.h>
#include <signal.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "api/ctl/commands/ctl.h"
#include "vmm/base/args.h"
#include "vmm/base/err.h"
#include "vmm/base/fd.h"

enum { DRIVES_MAX = 32, TIMING_MAX = 256 };

struct boot {
	const char *kernel;
	const char *initrd;
	const char *args;
	const char *cpus;
	const char *memory;
	const char *monitor;
	const char *drives[DRIVES_MAX];
	unsigned drive_count;
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
static json_t *make_drive(const struct boot *b, unsigned i)
{
	const char *file = b->drives[i];
	size_t len = strlen(file);
	const int is_read_only = len > 3 && !strcmp(file + len - 3, ":ro");
	char id[16];

	snprintf(id, sizeof(id), "drive%u", i);
	if (is_read_only)
		len -= 3;
	return json_pack("{s:s, s:s%, s:b, s:b}", "drive_id", id,
			 "path_on_host", file, len, "is_root_device",
			 i == 0 && !b->initrd, "is_read_only", is_read_only);
}

/* The config file's text; NULL where an argument can't be put into JSON. */
static char *make_config(const struct boot *b)
{
	json_t *drives = json_array(), *config;
	char *text;
	unsigned i;

	for (i = 0; i < b->drive_count; i++)
		json_array_append_new(drives, make_drive(b, i));
	config = json_pack("{s:{s:s, s:s?, s:s}, s:{s:I, s:I}, s:o}",
			   "boot-source", "kernel_image_path", b->kernel,
			   "initrd_path", b->initrd, "boot_args", b->args,
			   "machine-config", "vcpu_count", number(b->cpus),
			   "mem_size_mib", number(b->memory), "drives", drives);
	text = json_dumps(config, JSON_COMPACT);
	json_decref(config);
	return text;
}

/* A memory file that the monitor inherits. */
static int open_config(const struct boot *b)
{
	CLEAN_FD int fd = memfd_create("config", 0);
	char *text = make_config(b);
	int rc = -1;

	if (text && fd >= 0)
		rc = fd_pwrite(fd, text, strlen(text), 0);
	free(text);
	if (!rc)
		return fd_steal(&fd);
	ctl_complain("boot: can't hand over the configuration");
	return -1;
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

static uint64_t now_us(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (uint64_t)ts.tv_sec * 1000000 + (uint64_t)ts.tv_nsec / 1000;
}

/* In the child: becomes the monitor, or ends with what a shell would say. */
static void become_monitor(const char *path, int config_fd, int stderr_fd)
{
	char config[32], start[32];
	char *const argv[] = {(char[]){"mayfly"},
			      (char[]){"--no-api"},
			      (char[]){"--timing"},
			      (char[]){"--config-file"},
			      config,
			      (char[]){"--start-time-us"},
			      start,
			      NULL};

	/* No microVM outlives the terminal's command. */
	prctl(PR_SET_PDEATHSIG, SIGTERM);
	signal(SIGINT, SIG_DFL);
	dup2(stderr_fd, STDERR_FILENO);
	snprintf(config, sizeof(config), "/proc/self/fd/%d", config_fd);
	snprintf(start, sizeof(start), "%" PRIu64, now_us());
	execv(path, argv);
	ctl_complain("can't run %s: %s", path, strerror(errno));
	_exit(127);
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

static int run(struct boot *b, const char *monitor, int config_fd)
{
	int pipes[2], code;
	pid_t pid;

	if (pipe2(pipes, O_CLOEXEC)) {
		ctl_complain("can't make a pipe: %s", strerror(errno));
		return CTL_REFUSED;
	}
	/* Ctrl-C and Ctrl-] are the monitor's to act on; we wait for it. */
	signal(SIGINT, SIG_IGN);
	pid = fork();
	if (!pid)
		become_monitor(monitor, config_fd, pipes[1]);
	close(pipes[1]);
	if (pid < 0) {
		close(pipes[0]);
		ctl_complain("can't fork: %s", strerror(errno));
		return CTL_REFUSED;
	}
	relay_stderr(b, pipes[0]);
	code = wait_for(pid);
	print_timing(b);
	return code;
}

int ctl_boot(int argc, char **argv)
{
	CLEAN_FD int config_fd = -1;
	char monitor[4096];
	struct boot b;

	if (parse(&b, argc, argv))
		return CTL_USAGE;
	if (b.monitor)
		snprintf(monitor, sizeof(monitor), "%s", b.monitor);
	else if (find_monitor(monitor, sizeof(monitor))) {
		ctl_complain("boot: can't find mayfly; say where it is with "
			     "--monitor");
		return CTL_REFUSED;
	}
	config_fd = open_config(&b);
	if (config_fd < 0)
		return CTL_REFUSED;
	return run(&b, monitor, config_fd);
}
