/* Touches of memory that a file is behind, by threads of this process. */
#include <errno.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cmocka.h>
#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <sys/prctl.h>
#include <sys/wait.h>

#include "vmm/base/fd.h"
#include "vmm/mem/guest_mem.h"
#include "vmm/mem/prefetch.h"
#include "vmm/mem/touches.h"

enum { PAGES = 1024, BEFORE = 3, ROUNDS = 30, TOUCHERS = 3 };

struct bench {
	struct guest_mem mem;
	int fd;
	struct touches *touches;
	struct working_set set;
	uint64_t *seen;
};

static uint64_t *word(const struct bench *b, unsigned page)
{
	return (uint64_t *)(void *)(b->mem.map + (size_t)page * GUEST_PAGE);
}

/* Memory from page BEFORE of a file on, each page with its number. */
static void open_memory(struct bench *b)
{
	const struct guest_range range = {.size = PAGES * GUEST_PAGE};
	struct guest_mem_backing backing = {.kind = GUEST_MEM_FILE,
					    .offset = BEFORE * GUEST_PAGE};
	struct err e = {0};
	uint64_t i;

	memset(b, 0, sizeof(*b));
	b->fd = memfd_create("memory", MFD_CLOEXEC);
	assert_int_equal(ftruncate(b->fd, (PAGES + BEFORE) * GUEST_PAGE), 0);
	for (i = 0; i < PAGES; i++)
		assert_int_equal(fd_pwrite(b->fd, &i, sizeof(i),
					   (i + BEFORE) * GUEST_PAGE),
				 0);
	backing.fd = b->fd;
	assert_int_equal(guest_mem_open(&b->mem, &range, 1, &backing, &e), 0);
}

/*
 * From here on the calling thread's call fails with that error, where its
 * second argument is len, or any for 0.
 */
static int forbid(unsigned call, unsigned len, unsigned error)
{
	struct sock_filter filter[] = {
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS,
			 offsetof(struct seccomp_data, nr)),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, call, 0, 3),
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS,
			 offsetof(struct seccomp_data, args[1])),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, len, 0, len ? 1 : 0),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | error),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
	};
	const struct sock_fprog program = {
		.len = sizeof(filter) / sizeof(filter[0]), .filter = filter};

	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) ||
	    prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program))
		return -errno;
	return 0;
}

static int forbid_one_page(void *context, struct err *e)
{
	(void)context;
	(void)e;
	return forbid(SYS_mmap, GUEST_PAGE, ENOMEM);
}

static int forbid_mmap(void *context, struct err *e)
{
	(void)context;
	(void)e;
	return forbid(SYS_mmap, 0, ENOMEM);
}

static int forbid_madvise(void *context, struct err *e)
{
	(void)context;
	(void)e;
	return forbid(SYS_madvise, 0, EINVAL);
}

static void lost(void *context, const struct err *e)
{
	(void)context;
	fail_msg("a page was lost: %s", e->text);
}

/* False where this user may not. */
static bool begin_with(struct bench *b, const struct touches_config *config)
{
	struct err e = {0};
	int rc;

	open_memory(b);
	rc = touches_begin(&b->touches, &b->mem, config, &e);
	if (rc == -EPERM || rc == -EACCES)
		return false;
	assert_string_equal(e.text, "");
	assert_int_equal(rc, 0);
	return true;
}

static bool begin(struct bench *b, uint32_t pages_max)
{
	const struct touches_config config = {.pages_max = pages_max,
					      .lost = lost};

	return begin_with(b, &config);
}

static void end(struct bench *b)
{
	touches_end(b->touches, &b->set, &b->seen);
}

static void close_memory(struct bench *b)
{
	working_set_fini(&b->set);
	free(b->seen);
	guest_mem_close(&b->mem);
	close(b->fd);
}

static void test_order(void **state)
{
	static const unsigned order[] = {7, 8, 1000, 3, 1023, 0};
	uint64_t in_file;
	struct bench b;
	unsigned i;

	(void)state;
	if (!begin(&b, PAGES))
		skip();
	for (i = 0; i < 5; i++)
		assert_int_equal(*word(&b, order[i]), order[i]);
	*word(&b, 0) = 77;
	assert_int_equal(*word(&b, 7), 7);
	end(&b);
	assert_int_equal(b.set.pages, 6);
	assert_int_equal(b.set.count, 5);
	assert_int_equal(b.set.ranges[0].page, 7);
	assert_int_equal(b.set.ranges[0].count, 2);
	for (i = 1; i < 5; i++) {
		assert_int_equal(b.set.ranges[i].page, order[i + 1]);
		assert_int_equal(b.set.ranges[i].count, 1);
		assert_int_equal(b.set.ranges[i].is_written, i == 4);
	}
	assert_int_equal(working_set_common(&b.set, b.seen), 6);
	/* What was written stays, all else is the file's. */
	assert_int_equal(*word(&b, 0), 77);
	for (i = 1; i < PAGES; i++)
		assert_int_equal(*word(&b, i), i);
	/* And none of it is in the file. */
	assert_int_equal(
		fd_pread(b.fd, &in_file, sizeof(in_file), BEFORE * GUEST_PAGE),
		0);
	assert_int_equal(in_file, 0);
	close_memory(&b);
}

static void test_limit(void **state)
{
	struct bench b;
	unsigned i;

	(void)state;
	if (!begin(&b, 10))
		skip();
	for (i = 0; i < PAGES; i++)
		assert_int_equal(*word(&b, i), i);
	/* It says so itself, and was not told to. */
	while (!fd_event_take(touches_ended_fd(b.touches)))
		usleep(100);
	end(&b);
	assert_int_equal(b.set.pages, 10);
	assert_int_equal(b.set.ranges[0].count, 10);
	close_memory(&b);
}

/* With no room for mappings apart the end comes, and all is there. */
static void test_no_room(void **state)
{
	const struct touches_config config = {
		.pages_max = PAGES, .confine = forbid_one_page, .lost = lost};
	struct bench b;
	unsigned i;

	(void)state;
	if (!begin_with(&b, &config))
		skip();
	for (i = PAGES; i-- > 0;)
		assert_int_equal(*word(&b, i), i);
	end(&b);
	assert_true(b.set.pages <= 1);
	close_memory(&b);
}

enum { STATUS_LOST = 7 };

static void end_lost(void *context, const struct err *e)
{
	(void)context;
	_exit(strstr(e->text, "memory file") ? STATUS_LOST : 1);
}

/* Where no page can be given at all, who hears of it is told. */
static void test_lost(void **state)
{
	const struct touches_config config = {
		.pages_max = PAGES, .confine = forbid_mmap, .lost = end_lost};
	struct bench b;
	int status;
	pid_t child;

	(void)state;
	/* Whether this user may, before there is a child to ask. */
	if (!begin(&b, PAGES))
		skip();
	end(&b);
	close_memory(&b);
	child = fork();
	if (!child) {
		if (!begin_with(&b, &config))
			_exit(1);
		_exit((int)*word(&b, 5));
	}
	assert_int_equal(waitpid(child, &status, 0), child);
	assert_true(WIFEXITED(status));
	assert_int_equal(WEXITSTATUS(status), STATUS_LOST);
}

struct toucher {
	pthread_t thread;
	struct bench *bench;
	unsigned seed;
	atomic_bool *has_begun;
	unsigned bad;
};

/* All pages, in an order of its own: adds to the word that is its. */
static void *toucher_main(void *arg)
{
	struct toucher *t = arg;
	unsigned i;

	for (i = 0; i < PAGES; i++) {
		const unsigned page = (i * 617 + t->seed * 331) % PAGES;
		uint64_t *at = word(t->bench, page);

		t->bad += at[0] != page || at[1 + t->seed] != 0;
		at[1 + t->seed] = page + 1;
		if (i == PAGES / 8)
			*t->has_begun = true;
	}
	return NULL;
}

/* The end comes while others touch: no write is lost, nobody waits for ever. */
static void test_end_amidst(void **state)
{
	struct toucher touchers[TOUCHERS];
	struct bench b;
	unsigned round, i, k;

	(void)state;
	for (round = 0; round < ROUNDS; round++) {
		atomic_bool has_begun = false;

		if (!begin(&b, PAGES))
			skip();
		for (i = 0; i < TOUCHERS; i++) {
			touchers[i] = (struct toucher){.bench = &b,
						       .seed = i,
						       .has_begun = &has_begun};
			assert_int_equal(pthread_create(&touchers[i].thread,
							NULL, toucher_main,
							&touchers[i]),
					 0);
		}
		while (!has_begun)
			usleep(10);
		end(&b);
		for (i = 0; i < TOUCHERS; i++) {
			pthread_join(touchers[i].thread, NULL);
			assert_int_equal(touchers[i].bad, 0);
		}
		assert_true(b.set.pages > 0);
		for (i = 0; i < PAGES; i++)
			for (k = 0; k < TOUCHERS; k++)
				assert_int_equal(word(&b, i)[1 + k], i + 1);
		close_memory(&b);
	}
}

static bool is_mapped(const struct bench *b, unsigned page)
{
	int node = -1;
	void *at = word(b, page);

	/* Tells of this process's own page table, unlike mincore(). */
	return syscall(SYS_move_pages, 0, 1UL, &at, NULL, &node, 0) == 0 &&
	       node >= 0;
}

static void prefetch_by(const struct prefetch_config *config)
{
	struct prefetch_figures figures;
	struct prefetch *p;
	struct bench b;
	struct err e = {0};
	unsigned i;

	open_memory(&b);
	assert_int_equal(working_set_reserve(&b.set, PAGES), 0);
	/* Far apart, so that the kernel maps no page around for us. */
	for (i = 0; i < 32; i++)
		working_set_add(&b.set, 31 * 32 - i * 32, i % 2);
	assert_int_equal(prefetch_begin(&p, &b.mem, &b.set, config, &e), 0);
	do {
		prefetch_count(p, &figures);
		usleep(100);
	} while (!figures.us);
	assert_int_equal(figures.pages, 32);
	for (i = 0; i < 32; i++)
		assert_true(is_mapped(&b, i * 32));
	assert_false(is_mapped(&b, 16));
	prefetch_end(p);
	for (i = 0; i < PAGES; i++)
		assert_int_equal(*word(&b, i), i);
	close_memory(&b);
}

static void test_prefetch(void **state)
{
	const struct prefetch_config config = {0};

	(void)state;
	prefetch_by(&config);
}

/* Linux before 5.14 */
static void test_prefetch_by_touching(void **state)
{
	const struct prefetch_config config = {.confine = forbid_madvise};

	(void)state;
	prefetch_by(&config);
}

/* What the file has no page for is not counted, and harms nobody. */
static void test_prefetch_of_nothing(void **state)
{
	const struct prefetch_config config = {0};
	struct prefetch_figures figures;
	struct prefetch *p;
	struct err e = {0};
	struct bench b;

	(void)state;
	open_memory(&b);
	assert_int_equal(ftruncate(b.fd, (BEFORE + 100) * GUEST_PAGE), 0);
	assert_int_equal(working_set_reserve(&b.set, 2), 0);
	working_set_add(&b.set, 200, false);
	working_set_add(&b.set, 50, false);
	assert_int_equal(prefetch_begin(&p, &b.mem, &b.set, &config, &e), 0);
	do {
		prefetch_count(p, &figures);
		usleep(100);
	} while (!figures.us);
	assert_int_equal(figures.pages, 1);
	prefetch_end(p);
	close_memory(&b);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_order),
		cmocka_unit_test(test_limit),
		cmocka_unit_test(test_no_room),
		cmocka_unit_test(test_lost),
		cmocka_unit_test(test_end_amidst),
		cmocka_unit_test(test_prefetch),
		cmocka_unit_test(test_prefetch_by_touching),
		cmocka_unit_test(test_prefetch_of_nothing),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
