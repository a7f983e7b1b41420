/*
 * Serves a restored monitor's page faults from a memory file: a handler as
 * function hosts have one, for tests.
 *
 *	uffd-handler SOCKET MEMORY-FILE [die=N] [slow=US] [ahead=N] [silent]
 *
 * It dies after N pages, takes its time before each, brings N pages with each,
 * or serves none at all. It says "listening" when it does, and what it did in
 * the end, which is when the monitor goes.
 *
 * While the monitor gives memory back (REMOVE), UFFDIO_COPY fails with EAGAIN
 * until that event was read. So faults wait in a list of ours, and events are
 * always read before the first of them is tried again.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/userfaultfd.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "tests/vm/uffd.h"

enum { WAITING_MAX = 1024, EVENTS = 64 };

static struct {
	const char *file; /* mapped */
	uint64_t file_size;
	struct region regions[REGIONS_MAX];
	int region_count;
	bool *removed[REGIONS_MAX]; /* by page */
	int uffd;
	uint64_t waiting[WAITING_MAX];
	unsigned waiting_count;
	unsigned long served, zeroed, again, removes;
	unsigned long die_after, slow_us, ahead;
	bool is_silent;
} h = {.die_after = ~0UL, .ahead = 1};

static void map_file(const char *path)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	struct stat st;

	if (fd < 0 || fstat(fd, &st))
		die(path);
	h.file_size = (uint64_t)st.st_size;
	h.file = mmap(NULL, h.file_size, PROT_READ, MAP_PRIVATE, fd, 0);
	if (h.file == MAP_FAILED)
		die("mmap");
}

static int listen_at(const char *path)
{
	struct sockaddr_un a = {.sun_family = AF_UNIX};
	int s = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	snprintf(a.sun_path, sizeof(a.sun_path), "%s", path);
	unlink(path);
	if (s < 0 || bind(s, (struct sockaddr *)&a, sizeof(a)) || listen(s, 1))
		die(path);
	puts("listening");
	fflush(stdout);
	return s;
}

/* The message and the descriptor with it. */
static void receive(int s)
{
	static char text[MESSAGE_MAX + 1];
	union {
		struct cmsghdr head;
		char room[CMSG_SPACE(sizeof(int) * 4)];
	} control;
	struct iovec iov = {.iov_base = text, .iov_len = MESSAGE_MAX};
	struct msghdr m = {.msg_iov = &iov,
			   .msg_iovlen = 1,
			   .msg_control = &control,
			   .msg_controllen = sizeof(control)};
	struct cmsghdr *c;
	int i;

	if (recvmsg(s, &m, MSG_CMSG_CLOEXEC) <= 0)
		die("recvmsg");
	c = CMSG_FIRSTHDR(&m);
	if (!c || c->cmsg_type != SCM_RIGHTS ||
	    c->cmsg_len != CMSG_LEN(sizeof(int)) || CMSG_NXTHDR(&m, c)) {
		printf("bad message: not one descriptor came with it: %s\n",
		       text);
		exit(1);
	}
	memcpy(&h.uffd, CMSG_DATA(c), sizeof(int));
	h.region_count = regions_parse(text, h.regions);
	printf("message %s\n", text);
	if (h.region_count < 1) {
		puts("bad message: no regions");
		exit(1);
	}
	if (!(fcntl(h.uffd, F_GETFL) & O_NONBLOCK)) {
		puts("bad descriptor: it blocks");
		exit(1);
	}
	for (i = 0; i < h.region_count; i++) {
		const struct region *r = &h.regions[i];

		if (r->offset + r->size > h.file_size) {
			puts("bad message: a region beyond the file");
			exit(1);
		}
		h.removed[i] = calloc(r->size / r->page_size, 1);
	}
	fflush(stdout);
}

static int region_of(uint64_t address)
{
	int i;

	for (i = 0; i < h.region_count; i++)
		if (address - h.regions[i].base < h.regions[i].size)
			return i;
	printf("bad fault: 0x%llx is in no region\n",
	       (unsigned long long)address);
	exit(1);
}

static void finish(int status)
{
	printf("served %lu zeroed %lu again %lu removes %lu\n", h.served,
	       h.zeroed, h.again, h.removes);
	exit(status);
}

/* False where an event has to be read first. */
static bool give_page(int region, uint64_t address)
{
	const struct region *r = &h.regions[region];
	const uint64_t page = (address - r->base) / r->page_size;
	const uint64_t at = r->base + page * r->page_size;
	struct uffdio_copy copy = {.dst = at,
				   .src = (uintptr_t)h.file + r->offset +
					  page * r->page_size,
				   .len = r->page_size};
	struct uffdio_zeropage zero = {.range = {at, r->page_size}};
	struct uffdio_range wake = {at, r->page_size};
	int rc;

	if (h.slow_us)
		usleep((useconds_t)h.slow_us);
	rc = h.removed[region][page] ? ioctl(h.uffd, UFFDIO_ZEROPAGE, &zero)
				     : ioctl(h.uffd, UFFDIO_COPY, &copy);
	if (rc && errno == EAGAIN) {
		h.again++;
		return false;
	}
	if (rc && errno == EEXIST) /* another fault brought it */
		rc = ioctl(h.uffd, UFFDIO_WAKE, &wake);
	else if (!rc)
		(*(h.removed[region][page] ? &h.zeroed : &h.served))++;
	if (rc && errno == ESRCH)
		finish(0); /* the monitor has gone */
	if (rc)
		die("UFFDIO_COPY");
	if (h.served + h.zeroed >= h.die_after) {
		fflush(stdout);
		_exit(9);
	}
	return true;
}

static bool serve(uint64_t address)
{
	const int region = region_of(address);
	const struct region *r = &h.regions[region];
	unsigned long i;

	for (i = 0; i < h.ahead; i++) {
		const uint64_t next = address + i * r->page_size;

		if (next - r->base < r->size && !give_page(region, next))
			return false;
	}
	return true;
}

static void take_remove(uint64_t start, uint64_t end)
{
	const int region = region_of(start);
	const struct region *r = &h.regions[region];
	uint64_t at;

	h.removes++;
	for (at = start; at < end && at - r->base < r->size; at += r->page_size)
		h.removed[region][(at - r->base) / r->page_size] = true;
}

/* Reads all there is. */
static void read_events(void)
{
	struct uffd_msg events[EVENTS];
	ssize_t n;
	unsigned i;

	while ((n = read(h.uffd, events, sizeof(events))) > 0) {
		for (i = 0; i < (size_t)n / sizeof(events[0]); i++) {
			const struct uffd_msg *m = &events[i];

			if (m->event == UFFD_EVENT_REMOVE)
				take_remove(m->arg.remove.start,
					    m->arg.remove.end);
			else if (m->event == UFFD_EVENT_PAGEFAULT &&
				 h.waiting_count < WAITING_MAX)
				h.waiting[h.waiting_count++] =
					m->arg.pagefault.address;
		}
	}
	if (n < 0 && errno != EAGAIN)
		die("read");
}

static void serve_waiting(void)
{
	unsigned done = 0;

	while (done < h.waiting_count && serve(h.waiting[done]))
		done++;
	h.waiting_count -= done;
	memmove(h.waiting, h.waiting + done,
		h.waiting_count * sizeof(h.waiting[0]));
}

static void read_words(int argc, char **argv)
{
	int i;

	for (i = 3; i < argc; i++) {
		if (sscanf(argv[i], "die=%lu", &h.die_after) == 1 ||
		    sscanf(argv[i], "slow=%lu", &h.slow_us) == 1 ||
		    sscanf(argv[i], "ahead=%lu", &h.ahead) == 1)
			continue;
		h.is_silent |= !strcmp(argv[i], "silent");
	}
}

int main(int argc, char **argv)
{
	struct pollfd fds[2];
	int s;

	if (argc < 3) {
		fputs("uffd-handler SOCKET MEMORY-FILE [die=N] [slow=US]"
		      " [ahead=N] [silent]\n",
		      stderr);
		return 2;
	}
	read_words(argc, argv);
	map_file(argv[2]);
	s = accept4(listen_at(argv[1]), NULL, NULL, SOCK_CLOEXEC);
	if (s < 0)
		die("accept");
	receive(s);
	fds[0] = (struct pollfd){.fd = s, .events = POLLIN};
	fds[1] = (struct pollfd){.fd = h.is_silent ? -1 : h.uffd,
				 .events = POLLIN};
	for (;;) {
		if (poll(fds, 2, h.waiting_count ? 0 : -1) < 0)
			die("poll");
		if (fds[0].revents)
			finish(0);
		read_events();
		serve_waiting();
	}
}
