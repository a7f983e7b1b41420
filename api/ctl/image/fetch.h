#pragma once

#include <stdbool.h>

#include "api/ctl/image/layout.h"
#include "api/ctl/image/source.h"
#include "api/ctl/image/store.h"
#include "api/ctl/image/tar.h"
#include "api/ctl/image/tool.h"

/*
 * Asks the registry for the manifest of the source's architecture and pins the
 * source to it: from then on its tag may move. hex is its digest there.
 */
int image_fetch_ask(struct image_tools *t, struct image_source *s,
		    char hex[IMAGE_HEX_SIZE], struct err *e);

/*
 * Whether an image of the store, of that architecture, came from that manifest,
 * and which.
 */
bool image_fetch_known(const struct image_store *s, const char *asked,
		       const char *arch, char hex[IMAGE_HEX_SIZE]);

/* Whether an image of the store is of that architecture. */
bool image_fetch_is_for(const struct image_store *s, const char *hex,
			const char *arch);

/*
 * Makes the private layout in the import's folder out of any source. A root
 * file system is judged on its way, within limits.
 */
int image_fetch(struct image_tools *t, const struct image_source *s,
		struct image_tar_totals *limits, struct err *e);

/*
 * A tool's output becomes a new file of the import's folder; at most max bytes,
 * else -ENOSPC.
 */
int image_fetch_file(struct image_tools *t, const struct image_tool *how,
		     const char *file, uint64_t max, struct err *e);
