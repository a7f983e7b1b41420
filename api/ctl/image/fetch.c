/* From any source into the private layout. */
#include "api/ctl/image/fetch.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "api/ctl/image/wall.h"
#include "vmm/base/fd.h"

enum { FACTS_MAX = 8 << 20 };

/* As skopeo has them. */
static const char layout_ref[] = "oci:" IMAGE_LAYOUT_REF;
static const char gzip_ref[] = "oci:" IMAGE_LAYOUT_GZIP_REF;

/* ---- registries -------------------------------------------------------- */

int image_fetch_ask(struct image_tools *t, struct image_source *s,
		    char hex[IMAGE_HEX_SIZE], struct err *e)
{
	const char *const argv[] = {
		"skopeo",
		"inspect",
		"--raw",
		s->is_plain ? "--tls-verify=false" : "--tls-verify=true",
		s->ref,
		NULL};
	char *text = NULL;
	size_t len = 0;
	const struct image_tool tool = {
		.argv = argv,
		.walls = IMAGE_WALL_WRITES,
		.out = &text,
		.out_len = &len,
	};
	int r = image_tool_run(t, &tool, e);

	if (r)
		return r;
	r = image_layout_choose(text, len, hex, e);
	if (!r) {
		r = image_file_write(t->folder, "asked", text, len);
		r = r ? err_set(e, r, "can't write a manifest: %s",
				strerror(-r))
		      : image_layout_hash(t, "asked", hex, e);
	}
	free(text);
	if (r < 0)
		return r;
	image_source_pin(s, hex);
	return 0;
}

struct known {
	const struct image_store *store;
	const char *asked;
	char *hex;
};

static int on_image(void *ctx, const char *hex)
{
	const struct known *k = ctx;
	char path[128];
	char *text;
	json_t *facts;
	const char *asked;
	int is_it;

	snprintf(path, sizeof(path), "images/%s/" IMAGE_FACTS, hex);
	text = image_file_read(k->store->fd, path, FACTS_MAX, NULL);
	facts = text ? json_loads(text, 0, NULL) : NULL;
	asked = json_string_value(json_object_get(facts, "asked"));
	is_it = !strcmp(hex, k->asked) || (asked && !strcmp(asked, k->asked));
	if (facts && is_it)
		memcpy(k->hex, hex, IMAGE_HEX_SIZE);
	else
		is_it = 0;
	json_decref(facts);
	free(text);
	return is_it;
}

bool image_fetch_known(const struct image_store *s, const char *asked,
		       char hex[IMAGE_HEX_SIZE])
{
	struct known k = {s, asked, hex};
	struct err ignored;

	return image_store_images(s, on_image, &k, &ignored) == 1;
}

/* ---- copying ----------------------------------------------------------- */

/*
 * Layers without compression needn't get any, but only OCI's media types say
 * so: of Docker's, skopeo 1.9 calls all gzip, and must then make that true.
 */
static int copy(struct image_tools *t, const char *ref, bool is_plain,
		struct err *e)
{
	const bool is_oci = !strncmp(ref, "oci", 3);
	const char *const argv[] = {
		"skopeo",
		"--tmpdir",
		t->temp,
		"--override-os",
		"linux",
		"--override-arch",
		image_layout_arch(),
		"copy",
		"--quiet",
		"--remove-signatures",
		is_oci ? "--dest-oci-accept-uncompressed-layers"
		       : "--retry-times=0",
		is_plain ? "--src-tls-verify=false" : "--src-tls-verify=true",
		ref,
		layout_ref,
		NULL};
	const struct image_tool tool = {
		.argv = argv,
		.walls = IMAGE_WALL_WRITES,
	};

	return image_tool_run(t, &tool, e);
}

int image_fetch_convert(struct image_tools *t, struct err *e)
{
	const char *const argv[] = {"skopeo",
				    "--tmpdir",
				    t->temp,
				    "copy",
				    "--quiet",
				    "--dest-compress-format=gzip",
				    "--dest-compress-level=1",
				    layout_ref,
				    gzip_ref,
				    NULL};
	const struct image_tool tool = {
		.argv = argv,
		.walls = IMAGE_WALL_WRITES,
	};

	return image_tool_run(t, &tool, e);
}

/* ---- root file systems ------------------------------------------------- */

struct intake {
	struct image_tar tar;
	bool is_judged;
	uint64_t max;
	int fd;
	uint64_t at;
};

static int on_data(void *ctx, const void *data, size_t len, struct err *e)
{
	struct intake *in = ctx;
	int r = in->is_judged ? image_tar_add(&in->tar, data, len, e) : 0;

	if (r)
		return r;
	if (len > in->max - in->at)
		return err_set(e, -ENOSPC,
			       "the archive unpacks to more than is free in "
			       "the store's file system");
	r = fd_pwrite(in->fd, data, len, in->at);
	in->at += len;
	if (r == -ENOSPC)
		return err_set(e, r,
			       "no space is left in the store's file system; "
			       "make room, or set MAYFLY_STORE to a larger "
			       "one");
	return r ? err_set(e, r, "can't write the layer: %s", strerror(-r)) : 0;
}

/* A tool's output becomes a file of the import's folder. */
static int take_file(struct image_tools *t, const struct image_tool *how,
		     const char *file, struct intake *in, struct err *e)
{
	struct image_tool tool = *how;
	int r;

	tool.walls = IMAGE_WALL_WRITES;
	tool.sink = on_data;
	tool.sink_ctx = in;
	in->fd = openat(t->folder, file,
			O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
	if (in->fd < 0)
		return err_errno(e, "can't make a file in %s", t->temp);
	r = image_tool_run(t, &tool, e);
	fd_close(&in->fd);
	return r;
}

/* A tool's output becomes the one layer of a new image. */
static int take_in(struct image_tools *t, const char *const *argv,
		   const char *input, struct image_tar_totals *limits,
		   struct err *e)
{
	struct intake in = {.is_judged = true, .max = limits->raw_max};
	const struct image_tool tool = {.argv = argv, .input = input};
	int r;

	image_tar_init(&in.tar, limits);
	r = take_file(t, &tool, "layer", &in, e);
	if (!r)
		r = image_tar_end(&in.tar, e);
	if (!r && !limits->entries)
		r = err_set(e, -EINVAL, "the archive is empty");
	image_tar_fini(&in.tar);
	return r ? r : image_layout_make(t, "layer", e);
}

/* skopeo 1.9 reads no docker-archive that is compressed as a whole. */
static int copy_archive(struct image_tools *t, const struct image_source *s,
			struct image_tar_totals *limits, struct err *e)
{
	char ref[sizeof(s->path) + sizeof(s->tag) + sizeof(s->transport)];
	const char *const argv[] = {s->unpacker, "-dc", NULL};
	const struct image_tool tool = {.argv = argv, .input = s->path};
	struct intake in = {.max = limits->raw_max};
	int r = s->unpacker ? take_file(t, &tool, "archive", &in, e) : 0;

	if (r)
		return r;
	snprintf(ref, sizeof(ref), "%s:%s%s", s->transport,
		 s->unpacker ? "archive" : s->path, s->tag);
	return copy(t, ref, false, e);
}

static int take_tar(struct image_tools *t, const struct image_source *s,
		    struct image_tar_totals *limits, struct err *e)
{
	const char *const argv[] = {s->unpacker ? s->unpacker : "cat",
				    s->unpacker ? "-dc" : NULL, NULL};

	return take_in(t, argv, s->path, limits, e);
}

static const char pax_option[] =
	"--pax-option=exthdr.name=%d/PaxHeaders/%f,delete=atime,delete=ctime";

/*
 * The same folder makes the same archive: names in order, no times but the
 * last change. Nobody but root can own files as an image's users do, so theirs
 * become root's. What is mounted in the folder isn't a part of it.
 */
static int take_folder(struct image_tools *t, const struct image_source *s,
		       struct image_tar_totals *limits, struct err *e)
{
	const char *argv[] = {"tar", "--create", "--file=-", "--format=posix",
			      pax_option, "--sort=name", "--numeric-owner",
			      "--one-file-system", "--xattrs",
			      "--xattrs-include=security.capability",
			      "--xattrs-include=user.*", "--directory", s->path,
			      /* Places for what follows. */
			      NULL, NULL, NULL, NULL};
	unsigned n = sizeof(argv) / sizeof(argv[0]) - 4;

	if (geteuid()) {
		argv[n++] = "--owner=0";
		argv[n++] = "--group=0";
	}
	argv[n] = ".";
	return take_in(t, argv, NULL, limits, e);
}

int image_fetch(struct image_tools *t, const struct image_source *s,
		struct image_tar_totals *limits, struct err *e)
{
	switch (s->kind) {
	case SOURCE_REGISTRY:
		return copy(t, s->ref, s->is_plain, e);
	case SOURCE_SKOPEO:
		return copy_archive(t, s, limits, e);
	case SOURCE_TAR:
		return take_tar(t, s, limits, e);
	case SOURCE_FOLDER:
		return take_folder(t, s, limits, e);
	}
	return err_set(e, -EINVAL, "a source of an unknown kind");
}
