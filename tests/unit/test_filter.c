/*
 * Filters, on a kernel. Whoever puts one on can't take it off, so each test
 * that does is a process of its own. What needs a guest is in tests/vm/seccomp.
 */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdalign.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "devices/uart_sink.h"
#include "tests/unit/pipe_disk.h"
#include "vmm/seccomp/compile.h"
#include "vmm/seccomp/filter.h"

enum { RULES_MAX = 512 };

static void names_of_calls(void **state)
{
	(void)state;
	assert_string_equal(filter_call_name(SYS_openat), "openat");
	assert_string_equal(filter_call_name(SYS_read), "read");
	assert_string_equal(filter_call_name(SYS_io_uring_enter),
			    "io_uring_enter");
	assert_string_equal(filter_call_name(-1), "?");
	assert_string_equal(filter_call_name(511), "?");
	assert_string_equal(filter_call_name(1 << 30), "?");
}

static void every_rule_has_a_reason(void **state)
{
	unsigned i, k;

	(void)state;
	for (i = 0; i < FILTERS; i++) {
		assert_true(rules_tables[i].count > 0);
		for (k = 0; k < rules_tables[i].count; k++)
			assert_true(strlen(rules_tables[i].rules[k].why) > 4);
	}
}

static void a_call_that_is_none_is_a_sentence(void **state)
{
	const struct rule rule = {.name = "no_such_call", .why = "a test"};
	const struct rules table = {"vcpu", &rule, 1}, *tables[] = {&table};
	struct sock_fprog program;
	struct err e = {0};

	(void)state;
	assert_int_equal(compile_rules(tables, 1, &program, &e), -EINVAL);
	assert_string_equal(e.text, "there is no system call 'no_such_call'");
	assert_null(program.filter);
}

#ifndef MAYFLY_NO_FILTERS

/* Runs in a process of its own; how that ended, as of waitpid(). */
static int in_child(void (*run)(void *), void *with)
{
	int status = 0;
	pid_t pid = fork();

	if (pid == 0) {
		alarm(20);
		/* cmocka would take it for its own. */
		signal(SIGSYS, SIG_DFL);
		run(with);
		_exit(0);
	}
	assert_true(pid > 0);
	assert_int_equal(waitpid(pid, &status, 0), pid);
	return status;
}

static bool is_killed(int status)
{
	return WIFSIGNALED(status) && WTERMSIG(status) == SIGSYS;
}

/* One thread's table, or that without the rules of one call. */
struct confined {
	enum filter_kind kind;
	const char *without;
	void (*then)(void);
};

static void confine(const struct confined *c)
{
	static struct rule kept[RULES_MAX]; /* threads have little stack */
	struct rules table = {"kept", kept, 0};
	const struct rules *made_of[FILTERS], *parts[] = {&table};
	const struct rules *all[FILTERS];
	struct sock_fprog program;
	struct err e;
	unsigned i, k, n;

	for (i = 0; i < FILTERS; i++)
		all[i] = &rules_tables[i];
	n = compile_tables(c->kind, all, made_of);
	for (i = 0; i < n; i++)
		for (k = 0; k < made_of[i]->count; k++)
			if (table.count == RULES_MAX)
				_exit(9);
			else if (!c->without ||
				 strcmp(made_of[i]->rules[k].name,
					c->without) != 0)
				kept[table.count++] = made_of[i]->rules[k];
	if (filter_prepare(&e))
		_exit(1);
	if (!c->without) {
		if (filter_load(c->kind, &e))
			_exit(1);
		return;
	}
	if (compile_rules(parts, 1, &program, &e) ||
	    filter_load_program(&program, &e))
		_exit(1);
}

static void *vcpu_resets(void *confined)
{
	confine(confined);
	fake_write32(&host, MMIO_STATUS, 0);
	return NULL;
}

static void *disk_answers(void *unused)
{
	usleep(30000);
	feed(40 * SECTOR, 'F');
	return unused;
}

/* A vCPU resets the device; 40 reads are in flight, and the disk is slow. */
static void reset_in_flight(void *confined)
{
	/* The C library gives a stack of its own back, which they may not. */
	static alignas(4096) uint8_t stack[128 * 1024];
	pthread_t vcpu, disk;
	pthread_attr_t attr;

	begin_reads(40);
	pthread_attr_init(&attr);
	pthread_attr_setstack(&attr, stack, sizeof(stack));
	if (pthread_create(&disk, NULL, disk_answers, NULL) ||
	    pthread_create(&vcpu, &attr, vcpu_resets, confined))
		_exit(1);
	pthread_attr_destroy(&attr);
	/* The loop has what ends; the vCPU waits for that. */
	while (pthread_tryjoin_np(vcpu, NULL))
		fake_host_turn(&host, 8);
	pthread_join(disk, NULL);
	if (got[0] != 'F')
		_exit(2);
}

static void a_vcpu_may_wait_for_requests_in_flight(void **state)
{
	struct confined c = {.kind = FILTER_VCPU};

	(void)state;
	assert_int_equal(in_child(reset_in_flight, &c), 0);
	c.without = "ppoll";
	assert_true(is_killed(in_child(reset_in_flight, &c)));
}

static int confine_worker(void *confined, struct err *e)
{
	(void)e;
	confine(confined);
	return 0;
}

/* A read of more than is looked for in the page cache. */
static void read_much(void)
{
	header(IN, 0);
	describe(0, SENT_GPA, 16, 16, 0);
	describe(1, FAKE_HIGH, FAKE_HIGH_SIZE, FAKE_HIGH_SIZE, FAKE_WRITE);
	describe(2, FAKE_HIGH, FAKE_HIGH_SIZE, FAKE_HIGH_SIZE, FAKE_WRITE);
	go(describe(3, GOT_GPA, 1, 1, FAKE_WRITE));
}

/* All that a drive's thread does, until it ends. */
static void worker_at_work(void *confined)
{
	static const uint32_t types[] = {OUT, FLUSH, 11, 13};
	static const size_t bytes[] = {16 + SECTOR, 16, 32, 32};
	const uint32_t range[4] = {0, 0, 8, 0};
	struct err e;
	unsigned i;

	bench_engine = BLOCK_SYNC;
	make_disk(4 << 20);
	if (open_disk("rootfs", false, true, &e))
		_exit(1);
	host.host.confine = confine_worker;
	host.host.machine = confined;
	up(F_FLUSH | F_DISCARD | F_WRITE_ZEROES);
	for (i = 0; i < 4; i++) {
		header(types[i], 0);
		memcpy(sent + 16, range, sizeof(range));
		request(bytes[i], 1, ROOM);
		if (got[0] != OK)
			_exit(2);
	}
	read_much();
	if (got[0] != OK)
		_exit(3);
	/* It has become shorter, and that is worth a line. */
	if (truncate(bench_path, 0))
		_exit(4);
	read_much();
	if (got[0] != IOERR)
		_exit(5);
	host.device->ops->free(host.device);
}

static void a_drive_has_a_thread_that_can_do_little(void **state)
{
	static const char *const needed[] = {
		"preadv", "pwritev", "fdatasync", "fallocate", "futex",
		"write",  "poll",    "madvise",	  "exit",
	};
	struct confined c = {.kind = FILTER_WORKER};
	unsigned i;

	(void)state;
	assert_int_equal(in_child(worker_at_work, &c), 0);
	for (i = 0; i < sizeof(needed) / sizeof(needed[0]); i++) {
		c.without = needed[i];
		if (!is_killed(in_child(worker_at_work, &c)))
			fail_msg("nobody needs %s", needed[i]);
	}
}

static void confined_then(void *confined)
{
	const struct confined *c = confined;

	confine(c);
	c->then();
}

static struct uart_sink sink;

/* Until the file is full, and once more. */
static void print_much(void)
{
	static const char text[4096] = "so much to say";
	const uint64_t before = sink.base;
	struct stat st;
	int i;

	for (i = 0; i <= UART_SINK_FILE_MAX / (int)sizeof(text); i++)
		if (uart_sink_write(&sink, text, sizeof(text)) != sizeof(text))
			_exit(1);
	if (fstat(sink.fd, &st))
		_exit(2);
	_exit((uint64_t)st.st_size == before + sizeof(text) ? 0 : 3);
}

/* By the loop, and by a thread of the port's where it is slow. */
static void the_serial_port_s_file_may_begin_anew(void **state)
{
	struct confined c = {.kind = FILTER_LOOP, .then = print_much};
	struct confined w = {.kind = FILTER_WORKER, .then = print_much};
	char path[] = "/tmp/test_filter.XXXXXX";
	int fd = mkostemp(path, O_APPEND);
	struct err e;

	(void)state;
	assert_true(fd >= 0);
	unlink(path);
	assert_int_equal(write(fd, "old\n", 4), 4);
	assert_int_equal(uart_sink_open(&sink, fd, &e), 0);
	uart_sink_bound(&sink);
	assert_int_equal(in_child(confined_then, &c), 0);
	c.without = "ftruncate";
	assert_true(is_killed(in_child(confined_then, &c)));
	assert_int_equal(in_child(confined_then, &w), 0);
	w.without = "ftruncate";
	assert_true(is_killed(in_child(confined_then, &w)));
	w.without = "newfstatat";
	assert_true(is_killed(in_child(confined_then, &w)));
	uart_sink_close(&sink);
	close(fd);
}

static int quiet_pipe[2];

/* As for the last words of the serial port: a poll with a time. */
static void wait_for_reader(void)
{
	struct pollfd p = {.fd = quiet_pipe[0], .events = POLLIN};

	if (poll(&p, 1, 20000) != 1)
		_exit(1);
}

/* As for a guest that wants a page. */
static void wait_for_ever(void)
{
	struct pollfd p = {.fd = quiet_pipe[0], .events = POLLIN};

	if (poll(&p, 1, -1) != 1)
		_exit(1);
}

static bool is_in_call(pid_t pid, long number)
{
	char path[64], text[64];
	ssize_t n;
	int fd;

	snprintf(path, sizeof(path), "/proc/%d/syscall", pid);
	fd = open(path, O_RDONLY);
	n = fd < 0 ? -1 : read(fd, text, sizeof(text) - 1);
	close(fd);
	if (n <= 0)
		return false;
	text[n] = '\0';
	return text[0] != 'r' && strtol(text, NULL, 10) == number;
}

/* How a process ended that was stopped in its poll, and went on. */
static int stopped_in_poll(struct confined *c)
{
	int status = 0, tries = 20000;
	pid_t pid = fork();

	if (pid == 0) {
		signal(SIGSYS, SIG_DFL);
		confined_then(c);
		_exit(0);
	}
	while (!is_in_call(pid, SYS_poll) && --tries)
		usleep(1000);
	assert_true(tries);
	kill(pid, SIGSTOP);
	assert_int_equal(waitpid(pid, &status, WUNTRACED), pid);
	assert_true(WIFSTOPPED(status));
	kill(pid, SIGCONT);
	assert_int_equal(write(quiet_pipe[1], "x", 1), 1);
	assert_int_equal(waitpid(pid, &status, 0), pid);
	return status;
}

static void a_stop_may_cut_a_poll_in_two(void **state)
{
	static const enum filter_kind who_waits[] = {FILTER_LOOP, FILTER_WORKER,
						     FILTER_PAGES};
	static void (*const how[])(void) = {wait_for_reader, wait_for_ever};

	(void)state;
	for (unsigned i = 0; i < 6; i++) {
		struct confined c = {.kind = who_waits[i / 2],
				     .then = how[i % 2]};

		assert_int_equal(pipe(quiet_pipe), 0);
		assert_int_equal(stopped_in_poll(&c), 0);
		assert_int_equal(read(quiet_pipe[0], &(char){0}, 1), 1);
		c.without = "restart_syscall";
		assert_true(is_killed(stopped_in_poll(&c)));
		close(quiet_pipe[0]);
		close(quiet_pipe[1]);
	}
}

static void make_code(void)
{
	const int all = PROT_READ | PROT_WRITE | PROT_EXEC;

	if (mmap(NULL, 4096, all, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0) ==
	    MAP_FAILED)
		_exit(1);
}

static void turn_into_code(void)
{
	mprotect((void *)((uintptr_t)make_code & ~4095UL), 4096,
		 PROT_READ | PROT_EXEC);
}

static void start_program(void)
{
	execl("/bin/true", "true", NULL);
}

static void make_process(void)
{
	_exit(fork() < 0);
}

static void connect_out(void)
{
	socket(AF_INET, SOCK_STREAM, 0);
}

static void make_vm(void)
{
	syscall(SYS_ioctl, 3, 0xae01, 0);
}

static void make_kvm_device(void)
{
	syscall(SYS_ioctl, 3, 0xc00caee0, 0);
}

static void speak_with_32_bits(void)
{
#ifdef __x86_64__
	int nr = 20; /* getpid() there, which is sendfile()'s neighbour here */

	__asm__ volatile("int $0x80" : "+a"(nr) : : "memory");
#else
	syscall(SYS_ptrace, 0, 0, 0, 0);
#endif
}

/* What nobody may do, in any stage; the loop may not make VMs any more. */
static void what_matters_is_forbidden(void **state)
{
	static void (*const deeds[])(void) = {
		make_code,   turn_into_code,  start_program,	  make_process,
		connect_out, make_kvm_device, speak_with_32_bits,
	};
	struct confined c;
	unsigned i, kind;

	(void)state;
	for (kind = 0; kind < FILTERS; kind++)
		for (i = 0; i < sizeof(deeds) / sizeof(deeds[0]); i++) {
			c = (struct confined){.kind = kind, .then = deeds[i]};
			assert_true(is_killed(in_child(confined_then, &c)));
		}
	c = (struct confined){.kind = FILTER_LOOP, .then = make_vm};
	assert_true(is_killed(in_child(confined_then, &c)));
	c.kind = FILTER_VCPU;
	assert_true(is_killed(in_child(confined_then, &c)));
	c.kind = FILTER_START;
	assert_int_equal(in_child(confined_then, &c), 0);
}

/* Loading is one call; how long it takes is shown. */
static void time_loading(void *confined)
{
	const struct confined *c = confined;
	struct timespec a, b;
	struct err e;
	char line[96];
	int n;

	if (filter_prepare(&e))
		_exit(1);
	clock_gettime(CLOCK_MONOTONIC, &a);
	if (filter_load(c->kind, &e))
		_exit(1);
	clock_gettime(CLOCK_MONOTONIC, &b);
	n = snprintf(
		line, sizeof(line),
		"# figure: loading the %s filter = %ld us (at most 1000)\n",
		rules_tables[c->kind].thread,
		(b.tv_sec - a.tv_sec) * 1000000 +
			(b.tv_nsec - a.tv_nsec) / 1000);
	if (write(STDERR_FILENO, line, (size_t)n) < 0)
		_exit(1);
}

static void loading_takes_no_time(void **state)
{
	struct confined c;
	unsigned kind;

	(void)state;
	for (kind = 0; kind < FILTERS; kind++) {
		c = (struct confined){.kind = kind};
		assert_int_equal(in_child(time_loading, &c), 0);
	}
}

static int setup(void **state)
{
	bench_engine = BLOCK_ASYNC;
	return pipe_disk_setup(state);
}
#endif

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(names_of_calls),
		cmocka_unit_test(every_rule_has_a_reason),
		cmocka_unit_test(a_call_that_is_none_is_a_sentence),
#ifndef MAYFLY_NO_FILTERS
		cmocka_unit_test_setup_teardown(
			a_vcpu_may_wait_for_requests_in_flight, setup,
			pipe_disk_teardown),
		cmocka_unit_test(the_serial_port_s_file_may_begin_anew),
		cmocka_unit_test(a_stop_may_cut_a_poll_in_two),
		cmocka_unit_test_setup_teardown(
			a_drive_has_a_thread_that_can_do_little, setup,
			pipe_disk_teardown),
		cmocka_unit_test(what_matters_is_forbidden),
		cmocka_unit_test(loading_takes_no_time),
#endif
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
