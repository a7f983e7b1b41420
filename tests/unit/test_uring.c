/* The io_uring wrapper: one file, a few operations, and nothing else. */
#include <errno.h>
#include <fcntl.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "vmm/event/uring.h"

static const uint8_t reads[] = {IORING_OP_READV};

static struct uring u;
static int file = -1;

static int setup(void **state)
{
	char path[] = "/tmp/test_uring.XXXXXX";

	(void)state;
	file = mkstemp(path);
	unlink(path);
	return file < 0 || write(file, "0123456789", 10) != 10;
}

static int teardown(void **state)
{
	(void)state;
	uring_close(&u);
	close(file);
	file = -1;
	return 0;
}

static void open_ring(void)
{
	struct err e;

	if (uring_open(&u, 4, file, reads, sizeof(reads), &e))
		fail_msg("%s", e.text);
}

/* What the one operation that was prepared comes to. */
static int result(void)
{
	struct io_uring_cqe *cqe;
	int res;

	assert_int_equal(io_uring_submit_and_wait(&u.ring, 1), 1);
	assert_int_equal(io_uring_peek_cqe(&u.ring, &cqe), 0);
	res = cqe->res;
	io_uring_cqe_seen(&u.ring, cqe);
	return res;
}

static int read_at(uint64_t offset, void *buf, size_t len)
{
	struct iovec iov = {.iov_base = buf, .iov_len = len};
	struct io_uring_sqe *sqe = io_uring_get_sqe(&u.ring);

	io_uring_prep_readv(sqe, 0, &iov, 1, offset);
	io_uring_sqe_set_flags(sqe, IOSQE_FIXED_FILE);
	return result();
}

static void the_file_is_read_though_its_descriptor_is_closed(void **state)
{
	char buf[8];

	(void)state;
	open_ring();
	assert_true(u.is_open);
	close(file);
	file = -1;
	assert_int_equal(read_at(3, buf, 4), 4);
	assert_memory_equal(buf, "3456", 4);
	assert_int_equal(read_at(8, buf, 4), 2);
	assert_int_equal(read_at(10, buf, 4), 0);
}

static void other_operations_are_forbidden(void **state)
{
	struct iovec iov = {.iov_base = (char[]){'x'}, .iov_len = 1};
	struct io_uring_sqe *sqe;
	char byte;

	(void)state;
	open_ring();
	sqe = io_uring_get_sqe(&u.ring);
	io_uring_prep_writev(sqe, 0, &iov, 1, 0);
	io_uring_sqe_set_flags(sqe, IOSQE_FIXED_FILE);
	assert_int_equal(result(), -EACCES);
	sqe = io_uring_get_sqe(&u.ring);
	io_uring_prep_openat(sqe, AT_FDCWD, "/dev/null", O_RDONLY, 0);
	assert_int_equal(result(), -EACCES);
	sqe = io_uring_get_sqe(&u.ring);
	io_uring_prep_nop(sqe);
	assert_int_equal(result(), -EACCES);
	assert_int_equal(pread(file, &byte, 1, 0), 1);
	assert_int_equal(byte, '0');
}

static void other_files_are_out_of_reach(void **state)
{
	char buf[4] = "none";
	struct iovec iov = {.iov_base = buf, .iov_len = 4};
	struct io_uring_sqe *sqe;

	(void)state;
	open_ring();
	/* By an ordinary descriptor, and by a file that was never told. */
	sqe = io_uring_get_sqe(&u.ring);
	io_uring_prep_readv(sqe, file, &iov, 1, 0);
	assert_int_equal(result(), -EACCES);
	sqe = io_uring_get_sqe(&u.ring);
	io_uring_prep_readv(sqe, 1, &iov, 1, 0);
	io_uring_sqe_set_flags(sqe, IOSQE_FIXED_FILE);
	assert_int_equal(result(), -EBADF);
	/* Other flags neither, such as links. */
	sqe = io_uring_get_sqe(&u.ring);
	io_uring_prep_readv(sqe, 0, &iov, 1, 0);
	io_uring_sqe_set_flags(sqe, IOSQE_FIXED_FILE | IOSQE_IO_DRAIN);
	assert_int_equal(result(), -EACCES);
	assert_memory_equal(buf, "none", 4);
}

static void what_it_may_do_is_settled(void **state)
{
	struct io_uring_restriction rule = {
		.opcode = IORING_RESTRICTION_SQE_OP,
		.sqe_op = IORING_OP_OPENAT,
	};

	(void)state;
	open_ring();
	assert_true(io_uring_register_restrictions(&u.ring, &rule, 1) < 0);
	assert_int_equal(io_uring_unregister_files(&u.ring), -EACCES);
	assert_int_equal(io_uring_register_files_update(&u.ring, 0, &file, 1),
			 -EACCES);
}

static void too_many_operations_and_bad_files_are_refused(void **state)
{
	const uint8_t many[9] = {0};
	struct err e = {0};

	(void)state;
	assert_int_equal(uring_open(&u, 4, file, many, sizeof(many), &e),
			 -E2BIG);
	assert_false(u.is_open);
	assert_int_equal(uring_open(&u, 4, -7, reads, sizeof(reads), &e),
			 -EBADF);
	assert_false(u.is_open);
	assert_true(strlen(e.text) > 10);
	assert_true(uring_open(&u, 0, file, reads, sizeof(reads), &e) < 0);
	assert_false(u.is_open);
	uring_close(&u);
	uring_close(&u);
	open_ring();
}

static unsigned calls;

static void called(struct loop_watch *w, uint32_t events)
{
	struct io_uring_cqe *cqe;

	assert_ptr_equal(w, &u.watch);
	assert_true(events & EPOLLIN);
	assert_int_equal(io_uring_peek_cqe(&u.ring, &cqe), 0);
	assert_int_equal(cqe->res, 2);
	io_uring_cqe_seen(&u.ring, cqe);
	calls++;
}

static unsigned take_events(struct loop *l)
{
	struct epoll_event event;
	struct loop_watch *w;

	if (epoll_wait(l->fd, &event, 1, calls ? 0 : 10000) <= 0)
		return 0;
	w = event.data.ptr;
	w->ready(w, event.events);
	return 1;
}

static void the_loop_hears_of_completions(void **state)
{
	char buf[2];
	struct iovec iov = {.iov_base = buf, .iov_len = 2};
	struct io_uring_sqe *sqe;
	struct loop loop;
	struct err e;

	(void)state;
	open_ring();
	assert_int_equal(loop_open(&loop, &e), 0);
	u.watch.ready = called;
	assert_int_equal(loop_add(&loop, &u.watch, u.ring.ring_fd, EPOLLIN, &e),
			 0);
	sqe = io_uring_get_sqe(&u.ring);
	io_uring_prep_readv(sqe, 0, &iov, 1, 5);
	io_uring_sqe_set_flags(sqe, IOSQE_FIXED_FILE);
	calls = 0;
	assert_int_equal(io_uring_submit(&u.ring), 1);
	assert_int_equal(take_events(&loop), 1);
	assert_int_equal(calls, 1);
	assert_memory_equal(buf, "56", 2);
	/* Seen is seen. */
	assert_int_equal(take_events(&loop), 0);
	loop_delete(&loop, &u.watch);
	loop_close(&loop);
}

static void without_descriptors_left_it_fails_and_leaks_none(void **state)
{
	struct rlimit old, none;
	struct err e = {0};
	int fd = dup(file);

	(void)state;
	close(fd);
	assert_int_equal(getrlimit(RLIMIT_NOFILE, &old), 0);
	none = old;
	none.rlim_cur = (rlim_t)fd;
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &none), 0);
	assert_int_equal(uring_open(&u, 4, file, reads, sizeof(reads), &e),
			 -EMFILE);
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &old), 0);
	assert_false(u.is_open);
	assert_non_null(strstr(e.text, "io_uring"));
	assert_int_equal(uring_open(&u, 4, file, (uint8_t[9]){0}, 9, &e),
			 -E2BIG);
	assert_int_equal(dup(file), fd);
	close(fd);
}

/* As on hosts that forbid io_uring to containers; for good, so in a child. */
static void forbid(unsigned nr, unsigned error)
{
	struct sock_filter code[] = {
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS,
			 offsetof(struct seccomp_data, nr)),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, nr, 0, 1),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | error),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
	};
	const struct sock_fprog program = {
		.len = sizeof(code) / sizeof(code[0]),
		.filter = code,
	};

	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) ||
	    prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program))
		_exit(99);
}

static int open_where_forbidden(unsigned nr, unsigned error)
{
	struct err e = {0};
	int status, rc;
	pid_t child = fork();

	if (!child) {
		forbid(nr, error);
		rc = uring_open(&u, 4, file, reads, sizeof(reads), &e);
		_exit(rc < 0 && !u.is_open && strstr(e.text, "io_uring") ? -rc
									 : 98);
	}
	assert_int_equal(waitpid(child, &status, 0), child);
	assert_true(WIFEXITED(status));
	return WEXITSTATUS(status);
}

static void a_host_without_io_uring_says_so(void **state)
{
	(void)state;
	assert_int_equal(open_where_forbidden(SYS_io_uring_setup, ENOSYS),
			 ENOSYS);
	assert_int_equal(open_where_forbidden(SYS_io_uring_setup, EPERM),
			 EPERM);
	/* A ring that can't be restricted is none. */
	assert_int_equal(open_where_forbidden(SYS_io_uring_register, EINVAL),
			 EINVAL);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(the_file_is_read_though_its_descriptor_is_closed),
		TEST(other_operations_are_forbidden),
		TEST(other_files_are_out_of_reach),
		TEST(what_it_may_do_is_settled),
		TEST(too_many_operations_and_bad_files_are_refused),
		TEST(the_loop_hears_of_completions),
		TEST(without_descriptors_left_it_fails_and_leaks_none),
		TEST(a_host_without_io_uring_says_so),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
