/* Reading and making the private OCI layout of one import. */
#include "api/ctl/image/layout.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/utsname.h>
#include <unistd.h>

#include "vmm/base/fd.h"

enum { MANIFEST_MAX = 4 << 20, CONFIG_MAX = 8 << 20 };

static const char *text_of(const json_t *object, const char *key)
{
	const char *text = json_string_value(json_object_get(object, key));

	return text ? text : "";
}

const char *image_layout_arch(void)
{
	struct utsname u;

	if (!uname(&u) && !strcmp(u.machine, "aarch64"))
		return "arm64";
	return "amd64";
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

static int read_kind(const char *type, enum image_layer_kind *kind,
		     struct err *e)
{
	static const struct {
		const char *type;
		enum image_layer_kind kind;
	} kinds[] = {
		{"application/vnd.oci.image.layer.v1.tar", LAYER_TAR},
		{"application/vnd.oci.image.layer.v1.tar+gzip", LAYER_GZIP},
		{"application/vnd.oci.image.layer.v1.tar+zstd", LAYER_ZSTD},
	};
	unsigned i;

	for (i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++)
		if (!strcmp(type, kinds[i].type)) {
			*kind = kinds[i].kind;
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

/* Docker writes no os for some; linux is what is meant. */
static int check_platform(const json_t *config, struct err *e)
{
	const char *arch = text_of(config, "architecture");
	const char *os = text_of(config, "os");

	if (*os && strcmp(os, "linux") != 0)
		return err_set(e, -ENOEXEC,
			       "the image is made for %.16s, not for linux",
			       os);
	if (strcmp(arch, image_layout_arch()) != 0)
		return err_set(e, -ENOEXEC,
			       "the image is made for %.16s, not for this "
			       "machine's %s; import one made for it",
			       *arch ? arch : "no architecture",
			       image_layout_arch());
	return 0;
}

int image_layout_read(int folder, struct image_layout *l, struct err *e)
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
		r = l->config ? check_platform(l->config, e) : -EINVAL;
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

static int choose(const json_t *manifests, char hex[IMAGE_HEX_SIZE],
		  struct err *e)
{
	const size_t count = json_array_size(manifests);
	char others[160] = "";
	size_t i;
	size_t at = 0;

	for (i = 0; i < count; i++) {
		const json_t *item = json_array_get(manifests, i);
		const json_t *platform = json_object_get(item, "platform");
		const char *arch = text_of(platform, "architecture");

		if (!strcmp(text_of(platform, "os"), "linux") &&
		    !strcmp(arch, image_layout_arch()))
			return read_digest(item, hex, e) ?: 1;
		/* Attestations are for an architecture "unknown". */
		if (strcmp(arch, "unknown") != 0 && at + 32 < sizeof(others))
			at += (size_t)snprintf(others + at, sizeof(others) - at,
					       "%s%.12s/%.12s", at ? ", " : "",
					       text_of(platform, "os"), arch);
	}
	return err_set(e, -ENOEXEC,
		       "the image is not made for this machine's linux/%s, "
		       "but for %s",
		       image_layout_arch(), at ? others : "nothing");
}

int image_layout_choose(const char *manifest, size_t len,
			char hex[IMAGE_HEX_SIZE], struct err *e)
{
	json_t *json = parse(manifest, len, "manifest", e);
	const json_t *manifests = json_object_get(json, "manifests");
	int r = 0;

	if (!json)
		return -EINVAL;
	if (json_is_array(manifests))
		r = choose(manifests, hex, e);
	json_decref(json);
	return r;
}

/* ---- making ------------------------------------------------------------ */

int image_layout_hash(struct image_tools *t, const char *path,
		      char hex[IMAGE_HEX_SIZE], struct err *e)
{
	const char *const argv[] = {"sha256sum", "--", path, NULL};
	char *out = NULL;
	const struct image_tool tool = {
		.argv = argv,
		.walls = 0,
		.out = &out,
	};
	int r = image_tool_run(t, &tool, e);

	if (r)
		return r;
	if (strlen(out) >= IMAGE_HEX_SIZE)
		out[IMAGE_HEX_SIZE - 1] = 0;
	if (image_is_hex(out))
		memcpy(hex, out, IMAGE_HEX_SIZE);
	else
		r = err_set(e, -EIO, "sha256sum says what is no digest");
	free(out);
	return r;
}

/* Moves a file of the import's folder into the layout, under its digest. */
static int add_blob(struct image_tools *t, const char *path,
		    char hex[IMAGE_HEX_SIZE], struct err *e)
{
	char to[128];
	int r = image_layout_hash(t, path, hex, e);

	if (r)
		return r;
	snprintf(to, sizeof(to), IMAGE_LAYOUT "/blobs/sha256/%s", hex);
	if (renameat(t->folder, path, t->folder, to))
		return err_errno(e, "can't move %s to %s", path, to);
	return 0;
}

/* Takes the reference to json. */
static int write_json(struct image_tools *t, const char *path, json_t *json,
		      size_t *len, struct err *e)
{
	char *text = json ? json_dumps(json, JSON_COMPACT) : NULL;
	int r;

	json_decref(json);
	if (!text)
		return err_set(e, -ENOMEM, "no memory for %s", path);
	*len = strlen(text);
	r = image_file_write(t->folder, path, text, *len);
	free(text);
	return r ? err_set(e, r, "can't write %s: %s", path, strerror(-r)) : 0;
}

static json_t *descriptor(const char *type, const char *hex, uint64_t size)
{
	return json_pack("{s:s, s:o, s:I}", "mediaType", type, "digest",
			 json_sprintf("sha256:%s", hex), "size",
			 (json_int_t)size);
}

static int make_folders(struct image_tools *t, struct err *e)
{
	if (mkdirat(t->folder, IMAGE_LAYOUT, 0700) ||
	    mkdirat(t->folder, IMAGE_LAYOUT "/blobs", 0700) ||
	    mkdirat(t->folder, IMAGE_LAYOUT "/blobs/sha256", 0700))
		return err_errno(e, "can't make the import's folders");
	return 0;
}

static int make_config(struct image_tools *t, const char *layer, char *hex,
		       size_t *len, struct err *e)
{
	json_t *json = json_pack("{s:s, s:s, s:{}, s:{s:s, s:[o]}}",
				 "architecture", image_layout_arch(), "os",
				 "linux", "config", "rootfs", "type", "layers",
				 "diff_ids", json_sprintf("sha256:%s", layer));
	int r = write_json(t, "config", json, len, e);

	return r ? r : add_blob(t, "config", hex, e);
}

int image_layout_make(struct image_tools *t, const char *path, struct err *e)
{
	char layer[IMAGE_HEX_SIZE];
	char config[IMAGE_HEX_SIZE];
	char manifest[IMAGE_HEX_SIZE];
	size_t len = 0;
	struct stat st;
	json_t *json;
	int r = make_folders(t, e);

	if (!r && fstatat(t->folder, path, &st, 0))
		r = err_errno(e, "can't find %s", path);
	if (!r)
		r = add_blob(t, path, layer, e);
	if (!r)
		r = make_config(t, layer, config, &len, e);
	if (r)
		return r;
	json = json_pack("{s:i, s:s, s:o, s:[o]}", "schemaVersion", 2,
			 "mediaType",
			 "application/vnd.oci.image.manifest.v1+json", "config",
			 descriptor("application/vnd.oci.image.config.v1+json",
				    config, len),
			 "layers",
			 descriptor("application/vnd.oci.image.layer.v1.tar",
				    layer, (uint64_t)st.st_size));
	r = write_json(t, "manifest", json, &len, e);
	if (!r)
		r = add_blob(t, "manifest", manifest, e);
	if (r)
		return r;
	json = descriptor("application/vnd.oci.image.manifest.v1+json",
			  manifest, len);
	if (json)
		json_object_set_new(
			json, "annotations",
			json_pack("{s:s}", "org.opencontainers.image.ref.name",
				  IMAGE_LAYOUT_TAG));
	r = write_json(t, IMAGE_LAYOUT "/index.json",
		       json_pack("{s:i, s:[o]}", "schemaVersion", 2,
				 "manifests", json),
		       &len, e);
	if (!r)
		r = write_json(
			t, IMAGE_LAYOUT "/oci-layout",
			json_pack("{s:s}", "imageLayoutVersion", "1.0.0"), &len,
			e);
	return r;
}
