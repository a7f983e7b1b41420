/*
 * slow-disk DIRECTORY MILLISECONDS COUNTS: a file system on DIRECTORY with one
 * file, disk, of which each read, write, sync and allocation takes so long.
 * COUNTS is a file of 32-bit numbers: how many of them are under way just now,
 * then how many there were, by kind. Speaks the kernel's FUSE protocol itself.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/fuse.h>
#include <pthread.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>

enum { THREADS = 16, FILE_ID = 2, ROOM = (1 << 20) + 4096 };
enum { UNDER_WAY, READS, WRITES, SYNCS, ALLOCATIONS, COUNTS };
#define DISK_BYTES (64ULL << 20)

static int fuse = -1;
static useconds_t delay_us;
static _Atomic uint32_t *counts;

struct call {
	struct fuse_in_header head;
	uint8_t body[ROOM];
};

static void answer(const struct call *c, int error, const void *data,
		   size_t len)
{
	struct fuse_out_header head = {
		.len = (uint32_t)(sizeof(head) + len),
		.error = error,
		.unique = c->head.unique,
	};
	struct iovec parts[2] = {{&head, sizeof(head)},
				 {(void *)(uintptr_t)data, len}};

	/* One that was interrupted is nobody's any more. */
	if (writev(fuse, parts, 2) < 0 && errno != ENOENT)
		perror("slow-disk: an answer");
}

static struct fuse_attr attributes(uint64_t id)
{
	return (struct fuse_attr){
		.ino = id,
		.size = id == FILE_ID ? DISK_BYTES : 0,
		.blocks = DISK_BYTES / 512,
		.mode = id == FILE_ID ? S_IFREG | 0666 : S_IFDIR | 0755,
		.nlink = 1,
		.blksize = 4096,
	};
}

static void take_time(unsigned what)
{
	counts[what]++;
	counts[UNDER_WAY]++;
	usleep(delay_us);
	counts[UNDER_WAY]--;
}

static void begin(const struct call *c)
{
	const struct fuse_init_in *in = (const void *)c->body;
	struct fuse_init_out out = {
		.major = FUSE_KERNEL_VERSION,
		.minor = in->minor < FUSE_KERNEL_MINOR_VERSION
				 ? in->minor
				 : FUSE_KERNEL_MINOR_VERSION,
		.max_write = 1 << 20,
		.max_background = THREADS,
		.congestion_threshold = THREADS,
	};

	answer(c, 0, &out, sizeof(out));
}

static void look_up(const struct call *c)
{
	struct fuse_entry_out out = {.nodeid = FILE_ID,
				     .attr = attributes(FILE_ID)};

	if (strcmp((const char *)c->body, "disk") != 0)
		answer(c, -ENOENT, NULL, 0);
	else
		answer(c, 0, &out, sizeof(out));
}

static void tell_attributes(const struct call *c)
{
	struct fuse_attr_out out = {.attr = attributes(c->head.nodeid)};

	answer(c, 0, &out, sizeof(out));
}

static void move(const struct call *c)
{
	static const uint8_t zeroes[ROOM];
	const struct fuse_read_in *in = (const void *)c->body;
	const struct fuse_write_in *out = (const void *)c->body;
	struct fuse_write_out wrote = {0};

	if (c->head.opcode == FUSE_READ) {
		take_time(READS);
		answer(c, 0, zeroes, in->size < ROOM ? in->size : ROOM);
		return;
	}
	take_time(WRITES);
	wrote.size = out->size;
	answer(c, 0, &wrote, sizeof(wrote));
}

static void serve(const struct call *c)
{
	/* Past the page cache, so that each access is ours to delay. */
	const struct fuse_open_out opened = {.open_flags = FOPEN_DIRECT_IO};

	switch (c->head.opcode) {
	case FUSE_INIT:
		begin(c);
		break;
	case FUSE_LOOKUP:
		look_up(c);
		break;
	case FUSE_GETATTR:
	case FUSE_SETATTR:
		tell_attributes(c);
		break;
	case FUSE_OPEN:
	case FUSE_OPENDIR:
		answer(c, 0, &opened, sizeof(opened));
		break;
	case FUSE_READ:
	case FUSE_WRITE:
		move(c);
		break;
	case FUSE_FSYNC:
		take_time(SYNCS);
		answer(c, 0, NULL, 0);
		break;
	case FUSE_FALLOCATE:
		take_time(ALLOCATIONS);
		answer(c, 0, NULL, 0);
		break;
	case FUSE_FLUSH:
	case FUSE_RELEASE:
	case FUSE_RELEASEDIR:
		answer(c, 0, NULL, 0);
		break;
	case FUSE_FORGET:
	case FUSE_BATCH_FORGET:
	case FUSE_INTERRUPT:
		break; /* no answer is wanted */
	default:
		answer(c, -ENOSYS, NULL, 0);
	}
}

static void *work(void *unused)
{
	struct call *c = malloc(sizeof(*c));

	while (c && (read(fuse, c, sizeof(*c)) > 0 || errno == EINTR ||
		     errno == ENOENT))
		serve(c);
	free(c);
	return unused;
}

int main(int argc, char **argv)
{
	char options[128];
	pthread_t threads[THREADS];
	unsigned i;
	int fd;

	if (argc != 4) {
		fprintf(stderr, "use: slow-disk DIRECTORY MS COUNTS\n");
		return 2;
	}
	delay_us = (useconds_t)atoi(argv[2]) * 1000;
	fd = open(argv[3], O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
	if (fd < 0 || ftruncate(fd, COUNTS * sizeof(*counts)))
		goto failed;
	counts = mmap(NULL, COUNTS * sizeof(*counts), PROT_READ | PROT_WRITE,
		      MAP_SHARED, fd, 0);
	fuse = open("/dev/fuse", O_RDWR | O_CLOEXEC);
	if (counts == MAP_FAILED || fuse < 0)
		goto failed;
	snprintf(options, sizeof(options),
		 "fd=%d,rootmode=40000,user_id=%u,group_id=%u,allow_other",
		 fuse, getuid(), getgid());
	if (mount("slow-disk", argv[1], "fuse", MS_NOSUID | MS_NODEV, options))
		goto failed;
	printf("mounted\n");
	fflush(stdout);
	for (i = 0; i < THREADS; i++)
		if (pthread_create(&threads[i], NULL, work, NULL))
			goto failed;
	for (i = 0; i < THREADS; i++)
		pthread_join(threads[i], NULL);
	return 0;
failed:
	perror("slow-disk");
	return 1;
}
