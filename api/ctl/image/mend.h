#pragma once

#include "api/ctl/image/layout.h"
#include "api/ctl/image/model.h"
#include "api/ctl/image/tar.h"

/*
 * umoci 0.4.7 unpacks no zstd, fails at pax's global headers, and looks through
 * links and stumbles over files of lower layers where an overlay would have
 * folders. Layers with any of that are written anew for it.
 */
bool image_mend_needed(const struct image_layout *l,
		       const struct image_model *m);

/* Makes the layout IMAGE_LAYOUT_MENDED of l, which was judged. */
int image_mend(struct image_tools *t, const struct image_layout *l,
	       const struct image_model *m,
	       const struct image_tar_totals *totals, struct err *e);
