/* Reading and making the private OCI layout of one import. */
#include "api/ctl/image/layout.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
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

/* Names that builders give, as OCI spells them. */
static const char *plain_arch(const char *arch)
{
	static const char *const same[][2] = {
		{"x86_64", "amd64"}, {"x86-64", "amd64"},  {"x64", "amd64"},
		{"amd64", "amd64"},  {"aarch64", "arm64"}, {"arm64", "arm64"},
	};
	unsigned i;

	for (i = 0; i < sizeof(same) / sizeof(same[0]); i++)
		if (!strcasecmp(arch, same[i][0]))
			return same[i][1];
	return arch;
}

/* Builders leave both out at times; linux and this machine are meant. */
static int check_platform(const json_t *config, image_warn *warn, struct err *e)
{
	const char *arch = plain_arch(text_of(config, "architecture"));
	const char *os = text_of(config, "os");

	if (*os && strcasecmp(os, "linux") != 0)
		return err_set(e, -ENOEXEC,
			       "the image is made for %.16s, not for linux",
			       os);
	if (!*arch && warn)
		warn("the image's configuration is odd: it names no "
		     "architecture; this machine's is taken");
	if (*arch && strcmp(arch, image_layout_arch()) != 0)
		return err_set(e, -ENOEXEC,
			       "the image is made for %.16s, not for this "
			       "machine's %s; import one made for it",
			       arch, image_layout_arch());
	return 0;
}

int image_layout_read(int folder, struct image_layout *l, image_warn *warn,
		      struct err *e)
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
		r = l->config ? check_platform(l->config, warn, e) : -EINVAL;
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

/* The variant every machine of an architecture runs. */
static bool is_base(const char *variant)
{
	return !*variant || !strcasecmp(variant, "v1") ||
	       !strcasecmp(variant, "v8") || !strcmp(variant, "8");
}

static bool is_for_us(const json_t *item, bool is_any_variant)
{
	const json_t *platform = json_object_get(item, "platform");

	return !strcasecmp(text_of(platform, "os"), "linux") &&
	       !strcmp(plain_arch(text_of(platform, "architecture")),
		       image_layout_arch()) &&
	       (is_any_variant || is_base(text_of(platform, "variant")));
}

static int choose(const json_t *manifests, char hex[IMAGE_HEX_SIZE],
		  struct err *e)
{
	const size_t count = json_array_size(manifests);
	char others[160] = "";
	size_t i;
	size_t at = 0;

	/* First without variants, which this machine might not be. */
	for (i = 0; i < 2 * count; i++) {
		const json_t *item = json_array_get(manifests, i % count);

		if (is_for_us(item, i >= count))
			return read_digest(item, hex, e) ?: 1;
	}
	for (i = 0; i < count; i++) {
		const json_t *platform = json_object_get(
			json_array_get(manifests, i), "platform");
		const char *arch = text_of(platform, "architecture");

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
