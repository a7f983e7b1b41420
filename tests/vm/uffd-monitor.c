/*
 * In the place of a monitor that is restored by page faults, to test the
 * handler itself: memory in two regions, whose pages threads touch in an order
 * of their own and compare with the file, while another gives some of it back
 * and finds it empty.
 *
 *	uffd-monitor SOCKET MEMORY-FILE
 *
 * Ends with 0 where every byte was right, 3 where the handler went away, 4 for
 * a byte that was wrong.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/userfaultfd.h>
#include <poll.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <unistd.h>

#include "tests/vm/uffd.h"

enum { PAGE = 4096, TOUCHERS = 3, STEP = 7919, GIVEN_BACK = 16 };

static char *memory;
static const char *file;
static uint64_t pages;

static void wrong(const char *what, uint64_t page)
{
	printf("wrong: %s, page %llu\n", what, (unsigned long long)page);
	fflush(stdout);
	_exit(4);
}

/* The last pages belong to give_back(). */
static void *touch(void *seed)
{
	const uint64_t all = pages - GIVEN_BACK;
	uint64_t page = (uintptr_t)seed % all, i;

	for (i = 0; i < all; i++) {
		if (memcmp(memory + page * PAGE, file + page * PAGE, PAGE))
			wrong("not the file's", page);
		page = (page + STEP) % all;
	}
	return NULL;
}

static void *give_back(void *arg)
{
	static const char zeroes[PAGE];
	char *const from = memory + (pages - GIVEN_BACK) * PAGE;
	unsigned i, round;

	(void)arg;
	for (round = 0; round < 100; round++) {
		if (madvise(from, GIVEN_BACK * PAGE, MADV_DONTNEED))
			die("madvise");
		for (i = 0; i < GIVEN_BACK; i++) {
			if (memcmp(from + i * PAGE, zeroes, PAGE))
				wrong("given back, and not empty", i);
			from[i * PAGE] = 1;
		}
	}
	return NULL;
}

static int open_uffd(void)
{
	int fd = (int)syscall(SYS_userfaultfd, O_CLOEXEC | O_NONBLOCK);
	struct uffdio_api api = {.api = UFFD_API,
				 .features = UFFD_FEATURE_EVENT_REMOVE};
	struct uffdio_register r = {.range = {(uintptr_t)memory, pages * PAGE},
				    .mode = UFFDIO_REGISTER_MODE_MISSING};

	if (fd < 0 || ioctl(fd, UFFDIO_API, &api) ||
	    ioctl(fd, UFFDIO_REGISTER, &r))
		die("userfaultfd");
	return fd;
}

static int connect_to(const char *path)
{
	struct sockaddr_un a = {.sun_family = AF_UNIX};
	int s = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	snprintf(a.sun_path, sizeof(a.sun_path), "%s", path);
	if (s < 0 || connect(s, (struct sockaddr *)&a, sizeof(a)))
		die(path);
	return s;
}

static void send_regions(int s, int uffd)
{
	const uint64_t half = pages / 2 * PAGE;
	char text[MESSAGE_MAX];
	struct iovec iov = {.iov_base = text};
	union {
		struct cmsghdr head;
		char room[CMSG_SPACE(sizeof(int))];
	} control = {.head = {.cmsg_len = CMSG_LEN(sizeof(int)),
			      .cmsg_level = SOL_SOCKET,
			      .cmsg_type = SCM_RIGHTS}};
	struct msghdr m = {.msg_iov = &iov,
			   .msg_iovlen = 1,
			   .msg_control = &control,
			   .msg_controllen = sizeof(control)};

	iov.iov_len = (size_t)snprintf(
		text, sizeof(text),
		"[{\"base_host_virt_addr\": %llu, \"size\": %llu, \"offset\": 0,"
		" \"page_size\": 4096, \"page_size_kib\": 4096},"
		"{\"base_host_virt_addr\": %llu, \"size\": %llu, \"offset\": "
		"%llu, \"page_size\": 4096, \"page_size_kib\": 4096}]",
		(unsigned long long)(uintptr_t)memory, (unsigned long long)half,
		(unsigned long long)(uintptr_t)memory + half,
		(unsigned long long)(pages * PAGE - half),
		(unsigned long long)half);
	memcpy(CMSG_DATA(&control.head), &uffd, sizeof(int));
	if (sendmsg(s, &m, 0) < 0)
		die("sendmsg");
}

static void *watch(void *arg)
{
	struct pollfd p = {.fd = *(int *)arg, .events = POLLIN};

	while (poll(&p, 1, -1) < 0)
		;
	puts("the handler went away");
	fflush(stdout);
	_exit(3);
}

static void map_both(const char *path)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	struct stat st;

	if (fd < 0 || fstat(fd, &st))
		die(path);
	pages = (uint64_t)st.st_size / PAGE;
	file = mmap(NULL, pages * PAGE, PROT_READ, MAP_PRIVATE, fd, 0);
	memory = mmap(NULL, pages * PAGE, PROT_READ | PROT_WRITE,
		      MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	if (file == MAP_FAILED || memory == MAP_FAILED)
		die("mmap");
}

int main(int argc, char **argv)
{
	pthread_t threads[TOUCHERS + 1], watcher;
	int s, i;

	if (argc != 3)
		return 2;
	map_both(argv[2]);
	if (pages <= GIVEN_BACK)
		return 2;
	s = connect_to(argv[1]);
	send_regions(s, open_uffd());
	if (pthread_create(&watcher, NULL, watch, &s))
		return 2;
	for (i = 0; i <= TOUCHERS; i++)
		if (pthread_create(&threads[i], NULL,
				   i < TOUCHERS ? touch : give_back,
				   (void *)(uintptr_t)(i * 100)))
			return 2;
	for (i = 0; i <= TOUCHERS; i++)
		pthread_join(threads[i], NULL);
	puts("every byte is right");
	return 0;
}
