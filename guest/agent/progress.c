/*
 * PROGRESS: how far the disks are, for a host that waits for them. The kernel
 * tells what has been written; a guest that is stuck tells the same each time.
 */
#include "guest/agent/progress.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { EVERY_MS = 250, DISKS = 26, SECTOR = 512 };

static struct timer timer;

static bool text_read(const char *path, char *text, size_t size)
{
	const int fd = open(path, O_RDONLY | O_CLOEXEC);
	const ssize_t n = fd < 0 ? -1 : read(fd, text, size - 1);

	if (fd >= 0)
		close(fd);
	text[n > 0 ? n : 0] = '\0';
	return n > 0;
}

/* Linux, Documentation/block/stat.rst: the seventh number is of sectors. */
static uint64_t written(void)
{
	uint64_t sectors = 0;

	for (int i = 0; i < DISKS; i++) {
		char path[32], text[512], *at = text;
		unsigned long long n = 0;

		snprintf(path, sizeof(path), "/sys/block/vd%c/stat", 'a' + i);
		if (!text_read(path, text, sizeof(text)))
			continue;
		for (int field = 0; field < 7; field++)
			n = strtoull(at, &at, 10);
		sectors += n;
	}
	return sectors * SECTOR;
}

static uint64_t kib_of(const char *text, const char *word)
{
	const char *at = strstr(text, word);

	return at ? strtoull(at + strlen(word), NULL, 10) : 0;
}

static uint64_t left(void)
{
	char text[4096];

	if (!text_read("/proc/meminfo", text, sizeof(text)))
		return 0;
	return (kib_of(text, "\nDirty:") + kib_of(text, "\nWriteback:")) << 10;
}

static bool is_anybody;

static void tell(struct session *s, void *arg)
{
	const struct proto_progress *progress = arg;

	if (!s->wants_progress || s->is_ending)
		return;
	is_anybody = true;
	/* Who does not read need not be told twice. */
	if (!writer_len(&s->tx))
		session_answer(s, PROTO_PROGRESS, progress, sizeof(*progress));
}

static void expired(struct timer *t)
{
	struct proto_progress progress;

	proto_put64(&progress.written, written());
	proto_put64(&progress.left, left());
	is_anybody = false;
	sessions_each(tell, &progress);
	if (is_anybody)
		timer_set(t, EVERY_MS, expired);
}

void progress_watch(struct session *s)
{
	s->wants_progress = true;
	if (!timer.at_ns)
		timer_set(&timer, EVERY_MS, expired);
}
