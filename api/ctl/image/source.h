#pragma once

#include <limits.h>
#include <stdbool.h>

#include "api/ctl/image/image.h"

/* Where an image comes from: what a person wrote, made plain. */
enum image_source_kind {
	SOURCE_REGISTRY, /* ref is docker://… */
	SOURCE_SKOPEO,	 /* transport, path and tag are skopeo's */
	SOURCE_TAR,	 /* path is a tar of a root file system */
	SOURCE_FOLDER,	 /* path is one */
};

struct image_source {
	enum image_source_kind kind;
	char ref[PATH_MAX];
	char transport[16];	    /* "oci", "oci-archive", "docker-archive" */
	char path[PATH_MAX];	    /* absolute */
	char tag[256];		    /* with its colon; "" for none */
	char arch[IMAGE_ARCH_SIZE]; /* that is asked for; set by who imports */
	/* What takes the file's compression off, NULL for none. */
	const char *unpacker;
	bool is_plain; /* a registry on loopback, where TLS isn't asked for */
	char name[IMAGE_NAME_MAX + 1]; /* for who names none */
};

/* Sets what can be said without looking into files. */
int image_source_parse(const char *ref, struct image_source *out,
		       struct err *e);

/* docker://HOST/REPO:TAG to docker://HOST/REPO@sha256:HEX. */
void image_source_pin(struct image_source *s, const char *hex);
