#pragma once

#include <stdint.h>

#include "api/ctl/base/tar.h"
#include "vmm/base/err.h"

/*
 * What each path of an image is, layer by layer, as an overlay of the layers
 * would have it. umoci, which applies one layer over the other, follows links
 * of lower layers and knows no folder where there was a file; an overlay has a
 * folder in their place. The model finds those places before umoci comes to
 * them.
 */
struct image_model;

/* entries_max: of files and folders, those that no layer names counted too. */
struct image_model *image_model_new(uint64_t entries_max);
void image_model_free(struct image_model *m); /* NULL is fine */

/* What comes belongs to the next layer. */
void image_model_next(struct image_model *m);

/* The next entry, judged good. For struct image_tar; ctx is the model. */
int image_model_add(void *ctx, const struct tar_entry *entry, struct err *e);

/*
 * The path of the next place in a layer, counted from 0, where something else
 * has to make room for a folder before the layer is applied; what is above
 * comes first. *cursor is 0 at first. Returns the path's length, 0 where there
 * are no more. Paths are relative, without "." or "..".
 */
size_t image_model_place(const struct image_model *m, unsigned layer,
			 size_t *cursor, char out[static 4097]);
