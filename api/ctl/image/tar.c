/* Counting and judging the entries of a layer; base/tar.c reads them. */
#include "api/ctl/image/tar.h"

#include <errno.h>
#include <inttypes.h>

#include "api/ctl/image/entry.h"

/* Years have four digits. */
static const uint64_t mtime_max_s = 253402300799;

static int count(struct image_tar_totals *n, const struct tar_entry *entry,
		 struct err *e)
{
	if (++n->entries > n->entries_max)
		return err_set(e, -E2BIG,
			       "the image has more than %" PRIu64
			       " files, the most that can be here",
			       n->entries_max);
	if (entry->size > n->bytes_max - n->bytes)
		return err_set(e, -ENOSPC,
			       "the image unpacks to more than the %" PRIu64
			       " MiB that are free in the store's file "
			       "system; make room, or set MAYFLY_STORE to a "
			       "larger one",
			       n->bytes_max >> 20);
	n->bytes += entry->size;
	if (entry->mtime_s > n->mtime_max_s && entry->mtime_s <= mtime_max_s)
		n->mtime_max_s = entry->mtime_s;
	return 0;
}

static int on_entry(void *ctx, const struct tar_entry *entry, struct err *e)
{
	struct image_tar *t = ctx;
	unsigned i;
	int r = 0;

	for (i = 0; !r && i < TAR_NAMES; i++) {
		const struct image_entry one = {
			.path = entry->names[i],
			.link = entry->links[i],
			.type = entry->type,
		};

		r = image_entry_judge(&one, e);
	}
	if (!r)
		r = count(t->totals, entry, e);
	return r || !t->entry ? r : t->entry(t->ctx, entry, e);
}

void image_tar_init(struct image_tar *t, struct image_tar_totals *totals)
{
	static const struct tar_hooks hooks = {.entry = on_entry};

	*t = (struct image_tar){.totals = totals};
	tar_init(&t->tar, "a layer", &hooks, t);
}

void image_tar_fini(struct image_tar *t)
{
	tar_fini(&t->tar);
}

int image_tar_add(struct image_tar *t, const void *data, size_t len,
		  struct err *e)
{
	if (len > t->totals->raw_max - t->totals->raw)
		return err_set(e, -E2BIG,
			       "the image's layers unpack to more than %" PRIu64
			       " MiB",
			       t->totals->raw_max >> 20);
	t->totals->raw += len;
	return tar_add(&t->tar, data, len, e);
}

int image_tar_end(struct image_tar *t, struct err *e)
{
	return tar_end(&t->tar, e);
}
