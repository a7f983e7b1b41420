#pragma once

#include <jansson.h>
#include <stdbool.h>

#include "api/ctl/image/image.h"

/*
 * Platforms as OCI's image-spec has them, linux/ARCHITECTURE[/VARIANT]. All
 * that images are made for here is linux, so an architecture is all there is to
 * say; of an architecture's variants the base one is meant.
 */

/* "amd64", "arm64": this machine, as OCI spells it. */
const char *image_platform_host(void);

/* x86_64 to amd64: names that builders give, as OCI spells them. */
const char *image_platform_plain(const char *arch);

/*
 * linux/arm64, arm64, aarch64 and the like to an architecture of a machine that
 * mayfly knows; NULL means this one.
 */
int image_platform_parse(const char *word, char arch[IMAGE_ARCH_SIZE],
			 struct err *e);

/*
 * The descriptor that is for the architecture, of an index's `manifests`;
 * what has no variant, or the base one, comes first. NULL, and a sentence
 * that lists what there is, where none is.
 */
const json_t *image_platform_choose(const json_t *manifests, const char *arch,
				    struct err *e);

/* Adds linux/ARCH to a list for a sentence, as far as there is room. */
struct image_platforms {
	char text[160];
	size_t at;
};
void image_platforms_add(struct image_platforms *p, const char *os,
			 const char *arch);

/* "this machine's linux/amd64", or "linux/arm64" where that is another. */
const char *image_platform_words(const char *arch, char out[64]);
