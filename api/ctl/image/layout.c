/* Reading and making the private OCI layout of one import. */
#include "api/ctl/image/layout.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/stat.h>
#include <unistd.h>

#include "api/ctl/image/platform.h"
#include "vmm/base/fd.h"

enum { MANIFEST_MAX = 4 << 20, CONFIG_MAX = 8 << 20 };

static const char *text_of(const json_t *object, const char *key)
{
	const char *text = json_string_value(json_object_get(object, key));

	return text ? text : "";
}

/* "sha256:HEX" to HEX: it becomes a part of a path. */
static int read_digest(const json_t *descriptor, char hex[IMAGE_HEX_SIZE],
		       struct err *e)
{
	const char *digest = text_of(descriptor, "digest");

	if (strncmp(digest, "sha256:", 7) != 0 || !image_is_hex(digest + 7))
		return err_set(e, -EINVAL,
			       "the image is damaged, or of a kind not known: "
			       "'%.80s' is no SHA-256 digest",
			       digest);
	memcpy(hex, digest + 7, IMAGE_HEX_SIZE);
	return 0;
}

static json_t *parse(const char *text, size_t len, const char *what,
		     struct err *e)
{
	json_error_t why;
	json_t *json = json_loadb(text, len, JSON_REJECT_DUPLICATES, &why);

	if (json_is_object(json))
		return json;
	err_set(e, -EINVAL, "the image is damaged: its %s %s", what,
		json ? "is no JSON object" : why.text);
	json_decref(json);
	return NULL;
}

static json_t *read_json(int folder, const char *path, size_t max,
			 const char *what, struct err *e)
{
	size_t len = 0;
	char *text = image_file_read(folder, path, max, &len);
	json_t *json;

	if (!text) {
		err_errno(e, "the image is damaged: its %s can't be read",
			  what);
		return NULL;
	}
	json = parse(text, len, what, e);
	free(text);
	return json;
}

static json_t *read_blob(int folder, const json_t *descriptor, size_t max,
			 const char *what, struct err *e)
{
	char hex[IMAGE_HEX_SIZE];
	char path[128];

	if (read_digest(descriptor, hex, e))
		return NULL;
	snprintf(path, sizeof(path), IMAGE_LAYOUT "/blobs/sha256/%s", hex);
	return read_json(folder, path, max, what, e);
}

void image_layer_path(const struct image_layer *layer, char out[128])
{
	snprintf(out, 128, IMAGE_LAYOUT "/blobs/sha256/%s", layer->hex);
}

static const struct {
	const char *type;
	const char *const argv[3];
} kinds[] = {
	[LAYER_TAR] = {"application/vnd.oci.image.layer.v1.tar", {"cat"}},
	[LAYER_GZIP] = {"application/vnd.oci.image.layer.v1.tar+gzip",
			{"gzip", "-dc"}},
	[LAYER_ZSTD] = {"application/vnd.oci.image.layer.v1.tar+zstd",
			{"zstd", "-dc"}},
};

const char *const *image_layer_unpacker(const struct image_layer *layer)
{
	return kinds[layer->kind].argv;
}

const char *image_layer_type(enum image_layer_kind kind)
{
	return kinds[kind].type;
}

static int read_kind(const char *type, enum image_layer_kind *kind,
		     struct err *e)
{
	unsigned i;

	for (i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++)
		if (!strcmp(type, kinds[i].type)) {
			*kind = i;
			return 0;
		}
	return err_set(e, -EINVAL,
		       "the image has a layer of the kind '%.80s', which can't "
		       "be unpacked",
		       type);
}

static int read_layers(int folder, const json_t *manifest,
		       struct image_layout *l, struct err *e)
{
	const json_t *layers = json_object_get(manifest, "layers");
	const size_t count = json_array_size(layers);
	size_t i;
	int r = 0;

	if (!json_is_array(layers))
		return err_set(e, -EINVAL,
			       "this is no image of a root file system: its "
			       "manifest lists no layers");
	if (count > IMAGE_LAYERS_MAX)
		return err_set(e, -E2BIG,
			       "the image has %zu layers; at most %d can be",
			       count, IMAGE_LAYERS_MAX);
	for (i = 0; !r && i < count; i++) {
		const json_t *item = json_array_get(layers, i);
		struct image_layer *layer = &l->layers[i];
		char path[128];
		struct stat st;

		r = read_digest(item, layer->hex, e);
		if (!r)
			r = read_kind(text_of(item, "mediaType"), &layer->kind,
				      e);
		if (r)
			break;
		image_layer_path(layer, path);
		if (fstatat(folder, path, &st, AT_SYMLINK_NOFOLLOW) ||
		    !S_ISREG(st.st_mode))
			return err_set(e, -ENOENT,
				       "the image is damaged: its layer "
				       "sha256:%s is missing",
				       layer->hex);
		layer->size = (uint64_t)st.st_size;
		l->size += layer->size;
	}
	l->layer_count = (unsigned)count;
	return r;
}

/* Builders leave both out at times; linux and what is asked for are meant. */
static int check_platform(struct image_layout *l, const char *asked,
			  image_warn *warn, struct err *e)
{
	const char *arch =
		image_platform_plain(text_of(l->config, "architecture"));
	const char *os = text_of(l->config, "os");
	char words[64];

	snprintf(l->arch, sizeof(l->arch), "%s", *arch ? arch : asked);
	if (*os && strcasecmp(os, "linux") != 0)
		return err_set(e, -ENOEXEC,
			       "the image is made for %.16s, not for linux",
			       os);
	if (!*arch && warn)
		warn(strcmp(asked, image_platform_host())
			     ? "the image's configuration is odd: it names no "
			       "architecture; that of --platform is taken"
			     : "the image's configuration is odd: it names no "
			       "architecture; this machine's is taken");
	if (*arch && strcmp(arch, asked) != 0)
		return err_set(e, -ENOEXEC,
			       "the image is made for linux/%.16s, not for "
			       "%s; import one made for it",
			       arch, image_platform_words(asked, words));
	return 0;
}

int image_layout_read(int folder, struct image_layout *l, const char *arch,
		      image_warn *warn, struct err *e)
{
	json_t *index;
	json_t *manifest = NULL;
	const json_t *first;
	int r = -EINVAL;

	*l = (struct image_layout){0};
	index = read_json(folder, IMAGE_LAYOUT "/index.json", MANIFEST_MAX,
			  "index", e);
	first = json_array_get(json_object_get(index, "manifests"), 0);
	if (index && !first)
		err_set(e, r, "the image is damaged: its index is empty");
	if (first && !read_digest(first, l->hex, e))
		manifest =
			read_blob(folder, first, MANIFEST_MAX, "manifest", e);
	if (manifest)
		r = read_layers(folder, manifest, l, e);
	if (!r) {
		l->config = read_blob(folder,
				      json_object_get(manifest, "config"),
				      CONFIG_MAX, "configuration", e);
		r = l->config ? check_platform(l, arch, warn, e) : -EINVAL;
	}
	json_decref(manifest);
	json_decref(index);
	return r;
}

void image_layout_fini(struct image_layout *l)
{
	json_decref(l->config);
	l->config = NULL;
}

/* ---- choosing ---------------------------------------------------------- */

int image_layout_choose(const char *manifest, size_t len, const char *arch,
			char hex[IMAGE_HEX_SIZE], struct err *e)
{
	json_t *json = parse(manifest, len, "manifest", e);
	const json_t *manifests = json_object_get(json, "manifests");
	const json_t *item;
	int r = 0;

	if (!json)
		return -EINVAL;
	if (json_is_array(manifests)) {
		item = image_platform_choose(manifests, arch, e);
		r = item ? read_digest(item, hex, e) ?: 1 : -ENOEXEC;
	}
	json_decref(json);
	return r;
}

/* The descriptors that a tag means, all of them without one; owned. */
static json_t *tagged(const json_t *list, const char *tag)
{
	json_t *out = json_array();
	size_t i;

	for (i = 0; i < json_array_size(list); i++) {
		json_t *item = json_array_get(list, i);
		const json_t *notes = json_object_get(item, "annotations");

		if (!*tag ||
		    !strcmp(tag, text_of(notes,
					 "org.opencontainers.image.ref.name")))
			json_array_append(out, item);
	}
	return out;
}

/* An index may hold indexes, which are trees as long as digests are. */
enum { DEPTH_MAX = 4 };

/* Whether there is a platform to choose by. */
static bool has_platform(const json_t *list)
{
	size_t i;

	for (i = 0; i < json_array_size(list); i++)
		if (json_object_get(json_array_get(list, i), "platform"))
			return true;
	return false;
}

/*
 * Goes down from the candidates to the manifest of that architecture, which is
 * in *list then: 1. 0 where there is nothing to choose.
 */
static int descend(const char *path, json_t **list, const char *arch,
		   struct err *e)
{
	char hex[IMAGE_HEX_SIZE];
	char blob[PATH_MAX + 128];
	bool is_chosen = false;
	unsigned depth;

	for (depth = 0; depth < DEPTH_MAX; depth++) {
		const json_t *item = json_array_get(*list, 0);
		json_t *index;

		if (json_array_size(*list) > 1) {
			item = image_platform_choose(*list, arch, e);
			if (!item)
				return -ENOEXEC;
			is_chosen = true;
		}
		if (!strstr(text_of(item, "mediaType"), "index") &&
		    !strstr(text_of(item, "mediaType"), "manifest.list")) {
			json_t *one = json_pack("[O]", item);

			json_decref(*list);
			*list = one;
			return one ? is_chosen
				   : err_set(e, -ENOMEM,
					     "no memory for an "
					     "index");
		}
		if (read_digest(item, hex, e))
			return -EINVAL;
		snprintf(blob, sizeof(blob), "%s/blobs/sha256/%s", path, hex);
		index = read_json(AT_FDCWD, blob, MANIFEST_MAX, "index", e);
		if (!index)
			return -EINVAL;
		is_chosen = true;
		json_decref(*list);
		*list = json_incref(json_object_get(index, "manifests"));
		json_decref(index);
		if (!json_array_size(*list))
			return err_set(e, -EINVAL,
				       "the image is damaged: its index is "
				       "empty");
	}
	return err_set(e, -EINVAL,
		       "the image is damaged: its index holds an index %d "
		       "times over",
		       DEPTH_MAX);
}

int image_layout_pick(const char *path, const char *tag, const char *arch,
		      json_t **out, struct err *e)
{
	char name[PATH_MAX + 16];
	json_t *index;
	json_t *list;
	size_t len = 0;
	char *text;
	int r;

	*out = NULL;
	snprintf(name, sizeof(name), "%s/index.json", path);
	text = image_file_read(AT_FDCWD, name, MANIFEST_MAX, &len);
	index = text ? json_loadb(text, len, 0, NULL) : NULL;
	free(text);
	list = tagged(json_object_get(index, "manifests"), tag);
	json_decref(index);
	/* What is wrong with it is for the tool to say. */
	r = json_array_size(list) == 1 || has_platform(list)
		    ? descend(path, &list, arch, e)
		    : 0;
	if (r == 1)
		*out = json_incref(json_array_get(list, 0));
	json_decref(list);
	return r;
}
