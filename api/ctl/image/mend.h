#pragma once

#include "api/ctl/image/layout.h"
#include "api/ctl/image/model.h"
#include "api/ctl/image/tar.h"

/*
 * Makes the layout IMAGE_LAYOUT_MENDED, which umoci unpacks, of l, which was
 * judged. umoci 0.4.7 unpacks no zstd, fails at pax's global headers, and looks
 * through links and stumbles over files of lower layers where an overlay would
 * have folders: layers with any of that are written anew.
 */
int image_mend(struct image_tools *t, const struct image_layout *l,
	       const struct image_model *m,
	       const struct image_tar_totals *totals, struct err *e);
