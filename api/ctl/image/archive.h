#pragma once

#include "api/ctl/image/source.h"
#include "api/ctl/image/tool.h"

/*
 * Looks into the file of a source, if it is one: settles what a bare path is,
 * and what takes its compression off. Refuses an archive of several images
 * of which none is chosen, and names them.
 */
int image_archive_look(struct image_source *s, struct image_tools *t,
		       struct err *e);
