/* From any source into the private layout. */
#include "api/ctl/image/fetch.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "api/ctl/base/tree.h"
#include "api/ctl/image/wall.h"
#include "vmm/base/fd.h"

enum { FACTS_MAX = 8 << 20 };

/* As skopeo has them. */
static const char layout_ref[] = "oci:" IMAGE_LAYOUT_REF;

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
	r = image_layout_choose(text, len, s->arch, hex, e);
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
	const char *arch;
	char *hex;
};

static json_t *facts_of(const struct image_store *s, const char *hex)
{
	char path[128];
	char *text;
	json_t *facts;

	snprintf(path, sizeof(path), "images/%s/" IMAGE_FACTS, hex);
	text = image_file_read(s->fd, path, FACTS_MAX, NULL);
	facts = text ? json_loads(text, 0, NULL) : NULL;
	free(text);
	return facts;
}

static bool is_of(const json_t *facts, const char *arch)
{
	const char *text = json_string_value(json_object_get(facts, "arch"));

	return text && !strcmp(text, arch);
}

static int on_image(void *ctx, const char *hex)
{
	const struct known *k = ctx;
	json_t *facts = facts_of(k->store, hex);
	const char *asked = json_string_value(json_object_get(facts, "asked"));
	const bool is_it =
		is_of(facts, k->arch) &&
		(!strcmp(hex, k->asked) || (asked && !strcmp(asked, k->asked)));

	if (is_it)
		memcpy(k->hex, hex, IMAGE_HEX_SIZE);
	json_decref(facts);
	return is_it;
}

bool image_fetch_known(const struct image_store *s, const char *asked,
		       const char *arch, char hex[IMAGE_HEX_SIZE])
{
	struct known k = {s, asked, arch, hex};
	struct err ignored;

	return image_store_images(s, on_image, &k, &ignored) == 1;
}

bool image_fetch_is_for(const struct image_store *s, const char *hex,
			const char *arch)
{
	json_t *facts = facts_of(s, hex);
	const bool is_it = is_of(facts, arch);

	json_decref(facts);
	return is_it;
}

/* ---- copying ----------------------------------------------------------- */

/*
 * Layers without compression needn't get any, but only OCI's media types say
 * so: of Docker's, skopeo 1.9 calls all gzip, and must then make that true.
 */
static int copy(struct image_tools *t, const struct image_source *s,
		const char *ref, struct err *e)
{
	const bool is_oci = !strncmp(ref, "oci", 3);
	const char *const argv[] = {
		"skopeo",
		"--tmpdir",
		t->temp,
		"--override-os",
		"linux",
		"--override-arch",
		s->arch,
		"copy",
		"--quiet",
		"--remove-signatures",
		is_oci ? "--dest-oci-accept-uncompressed-layers"
		       : "--retry-times=0",
		s->is_plain ? "--src-tls-verify=false"
			    : "--src-tls-verify=true",
		ref,
		layout_ref,
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

int image_fetch_file(struct image_tools *t, const struct image_tool *how,
		     const char *file, uint64_t max, struct err *e)
{
	struct intake in = {.max = max};

	return take_file(t, how, file, &in, e);
}

/* A tool's output becomes the one layer of a new image. */
static int take_in(struct image_tools *t, const struct image_source *s,
		   const char *const *argv, const char *input,
		   struct image_tar_totals *limits, struct err *e)
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
	return r ? r : image_layout_make(t, "layer", s->arch, e);
}

#define UNPACKED "unpacked"
#define PICKED	 "picked"

/*
 * skopeo takes the first of an index's manifests that has the tag, and knows
 * architectures by one name only: which one it is, is our own choice.
 */
static int copy_layout(struct image_tools *t, const struct image_source *s,
		       const char *path, struct err *e)
{
	const char *tag = *s->tag ? s->tag + 1 : "";
	char ref[sizeof(s->path) + sizeof(s->tag) + sizeof("oci:")];
	json_t *manifest;
	int r = image_layout_pick(path, tag, s->arch, &manifest, e);

	snprintf(ref, sizeof(ref), "oci:%s%s",
		 path == s->path ? path : UNPACKED, s->tag);
	if (r > 0) {
		snprintf(ref, sizeof(ref), "oci:" PICKED ":" IMAGE_LAYOUT_TAG);
		r = image_layout_borrow(t, PICKED, path, manifest, e);
	}
	return r ? r : copy(t, s, ref, e);
}

/* A folder of it first, as skopeo would make one. */
static int copy_oci_archive(struct image_tools *t, const struct image_source *s,
			    const char *file, struct err *e)
{
	const char *const argv[] = {
		"tar",	       "--extract", "--file", file, "--no-same-owner",
		"--directory", UNPACKED,    NULL};
	const struct image_tool tool = {
		.argv = argv,
		.walls = IMAGE_WALL_WRITES | IMAGE_WALL_USER,
	};
	char path[PATH_MAX];
	int r;

	if (mkdirat(t->folder, UNPACKED, 0700))
		return err_errno(e, "can't make a folder in %s", t->temp);
	r = image_tool_run(t, &tool, e);
	snprintf(path, sizeof(path), "%s/" UNPACKED, t->temp);
	if (!r)
		r = copy_layout(t, s, path, e);
	(void)tree_remove(t->folder, UNPACKED, 0, NULL);
	return r;
}

static int copy_docker_archive(struct image_tools *t,
			       const struct image_source *s, const char *file,
			       struct err *e)
{
	char ref[sizeof(s->path) + sizeof(s->tag) + sizeof(s->transport)];
	/* skopeo would split a path with a colon. */
	const bool is_split = strchr(file, ':');

	if (is_split && symlinkat(file, t->folder, "archive"))
		return err_errno(e, "can't make a link in %s", t->temp);
	snprintf(ref, sizeof(ref), "docker-archive:%s%s",
		 is_split ? "archive" : file, s->tag);
	return copy(t, s, ref, e);
}

/* skopeo 1.9 reads no docker-archive that is compressed as a whole. */
static int copy_archive(struct image_tools *t, const struct image_source *s,
			struct image_tar_totals *limits, struct err *e)
{
	const char *const argv[] = {s->unpacker, "-dc", NULL};
	const struct image_tool tool = {.argv = argv, .input = s->path};
	const char *file = s->unpacker ? "archive" : s->path;
	int r = 0;

	if (!strcmp(s->transport, "oci"))
		return copy_layout(t, s, s->path, e);
	if (s->unpacker)
		r = image_fetch_file(t, &tool, file, limits->raw_max, e);
	if (r)
		return r;
	return strcmp(s->transport, "oci-archive")
		       ? copy_docker_archive(t, s, file, e)
		       : copy_oci_archive(t, s, file, e);
}

static int take_tar(struct image_tools *t, const struct image_source *s,
		    struct image_tar_totals *limits, struct err *e)
{
	const char *const argv[] = {s->unpacker ? s->unpacker : "cat",
				    s->unpacker ? "-dc" : NULL, NULL};

	return take_in(t, s, argv, s->path, limits, e);
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
	return take_in(t, s, argv, NULL, limits, e);
}

int image_fetch(struct image_tools *t, const struct image_source *s,
		struct image_tar_totals *limits, struct err *e)
{
	switch (s->kind) {
	case SOURCE_REGISTRY:
		return copy(t, s, s->ref, e);
	case SOURCE_SKOPEO:
		return copy_archive(t, s, limits, e);
	case SOURCE_TAR:
		return take_tar(t, s, limits, e);
	case SOURCE_FOLDER:
		return take_folder(t, s, limits, e);
	}
	return err_set(e, -EINVAL, "a source of an unknown kind");
}
