#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "vmm/base/err.h"

/*
 * Images: read-only EROFS files made from container images, in a
 * content-addressed store (docs/images.md). This header is what the other
 * commands see of it; they never look into the store's folders.
 *
 * The store is $MAYFLY_STORE, else /var/lib/mayfly/images for root, else
 * $XDG_DATA_HOME/mayfly/images, else ~/.local/share/mayfly/images.
 *
 * A name is NAME[:TAG]; without a tag it means NAME:latest. Wherever a name is
 * asked for, sha256:DIGEST or at least six hexadecimal digits of its beginning
 * do as well. All functions are for one thread, return 0 or a negative errno,
 * and put a sentence into e.
 */

enum {
	IMAGE_DIGEST_SIZE = 72, /* "sha256:" and 64 digits, NUL, padding */
	IMAGE_NAME_MAX = 200,
	IMAGE_ARCH_SIZE = 16,
	IMAGE_TIME_SIZE = 40,
};

/*
 * What the image's author says about running it, as OCI's image-spec defines
 * it. Strings are what the author wrote, free of NULs and nothing else: they
 * are hostile input to whoever uses them. No pointer is NULL; lists end with
 * one.
 */
struct image_config {
	char **entrypoint;    /* owned; empty list for none */
	char **cmd;	      /* owned; empty list for none */
	char **env;	      /* owned; "NAME=value" */
	char **exposed_ports; /* owned; "80/tcp" */
	char *working_dir;    /* owned; absolute, "/" for none */
	/* owned; "" for none, else USER[:GROUP], names or numbers: names are
	 * those of the image's own /etc/passwd */
	char *user;
	char *stop_signal; /* owned; "SIGTERM" for none, else as that one */
};

struct image {
	char *name; /* owned; with its tag; "" where found by a nameless digest
		     */
	char digest[IMAGE_DIGEST_SIZE]; /* the OCI manifest's, "sha256:…" */
	char *path;	     /* owned; the read-only EROFS file, absolute */
	uint64_t size_bytes; /* of that file */
	char arch[IMAGE_ARCH_SIZE];    /* as OCI spells it: "amd64" */
	char created[IMAGE_TIME_SIZE]; /* RFC 3339, by its author; or "" */
	struct image_config config;
	/*
	 * The EROFS file, open for reading and close-on-exec, under a shared
	 * flock(): rm and gc leave the file alone while anybody holds it. -1
	 * in what image_list() fills in. image_fini() closes it; to keep it
	 * for a microVM's life take it out with fd_steal().
	 */
	int fd;
};

/*
 * Fills *out, which image_fini() frees. -ENOENT where there is no such image,
 * -EEXIST where a digest's beginning fits several.
 */
int image_find(const char *name, struct image *out, struct err *e);

/* Frees what *i holds. *i may be zeroed, or have been freed already. */
void image_fini(struct image *i);

/*
 * Every name in the store, and every image without one, in order of names. An
 * entry that can't be read is left out, and left_out() told why. *out is freed
 * by image_list_free().
 */
typedef void image_left_out(const char *name, const struct err *why);
int image_list(struct image **out, size_t *count, image_left_out *left_out,
	       struct err *e);
void image_list_free(struct image *list, size_t count);

/*
 * Takes the name away, and the file with it where that was its last name and
 * nobody holds it (else a later gc does). By digest: all its names.
 */
int image_remove(const char *name, struct err *e);

struct image_gc_report {
	unsigned images;  /* files removed that no name led to */
	unsigned kept;	  /* packed for containerd's, and in no use */
	unsigned imports; /* leftovers of imports that died */
	uint64_t bytes;	  /* freed, as du counts */
};

/* Removes what no name leads to and nobody holds, and what dead imports left.
 */
int image_gc(struct image_gc_report *out, struct err *e);

/* A sentence about what is odd in an image and was got along with. */
typedef void image_warn(const char *sentence);

struct image_import {
	const char *ref;      /* oci:…, docker://…, …-archive:…, or a path */
	const char *name;     /* NULL for one made from ref */
	const char *platform; /* "linux/arm64", "arm64"; NULL: the host's */
	bool is_quiet;	      /* no progress, even on a terminal */
	bool is_local;	      /* image_find_or_import() finds, and no more */
	image_warn *warn;     /* may be NULL */
};

/*
 * Makes the image if the store lacks it, and gives it its name; *was_there
 * (may be NULL) says whether there was nothing to make. On failure, and on
 * SIGINT, SIGTERM or SIGHUP (-EINTR), the store is as it was; one that comes
 * when the image is in its place is pending when this returns, where the
 * caller had blocked it, or else takes its course. Starts skopeo,
 * umoci and mkfs.erofs. *out as of image_find().
 */
int image_import(const struct image_import *how, struct image *out,
		 bool *was_there, struct err *e);

/*
 * For who runs it: -ENOEXEC where it is another architecture's.
 * image_find() of how->ref; and where that is docker://… and no image has the
 * name that an import would give it, image_import().
 */
int image_find_or_import(const struct image_import *how, struct image *out,
			 struct err *e);
