#pragma once

#include <stdbool.h>

#include "api/ctl/image/layout.h"
#include "api/ctl/image/source.h"
#include "api/ctl/image/store.h"
#include "api/ctl/image/tar.h"
#include "api/ctl/image/tool.h"

/*
 * Asks the registry for the manifest of this machine's image and pins the
 * source to it: from then on its tag may move. hex is its digest there.
 */
int image_fetch_ask(struct image_tools *t, struct image_source *s,
		    char hex[IMAGE_HEX_SIZE], struct err *e);

/* Whether an image of the store came from that manifest, and which. */
bool image_fetch_known(const struct image_store *s, const char *asked,
		       char hex[IMAGE_HEX_SIZE]);

/*
 * Makes the private layout in the import's folder out of any source. A root
 * file system is judged on its way, within limits.
 */
int image_fetch(struct image_tools *t, const struct image_source *s,
		struct image_tar_totals *limits, struct err *e);

/*
 * For umoci, which knows no zstd: another layout, IMAGE_LAYOUT_GZIP, of the
 * same image.
 */
int image_fetch_convert(struct image_tools *t, struct err *e);
