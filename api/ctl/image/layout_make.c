/* Making OCI layouts in an import's folder. */
#include "api/ctl/image/layout.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

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

int image_layout_blob(struct image_tools *t, const char *layout,
		      const char *path, char hex[IMAGE_HEX_SIZE], struct err *e)
{
	char to[128];
	int r = image_layout_hash(t, path, hex, e);

	if (r)
		return r;
	snprintf(to, sizeof(to), "%s/blobs/sha256/%s", layout, hex);
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

json_t *image_layout_descriptor(const char *type, const char *hex,
				uint64_t size)
{
	return json_pack("{s:s, s:o, s:I}", "mediaType", type, "digest",
			 json_sprintf("sha256:%s", hex), "size",
			 (json_int_t)size);
}

int image_layout_begin(struct image_tools *t, const char *layout, struct err *e)
{
	static const char *const folders[] = {"", "/blobs", "/blobs/sha256"};
	char path[128];
	unsigned i;

	for (i = 0; i < sizeof(folders) / sizeof(folders[0]); i++) {
		snprintf(path, sizeof(path), "%s%s", layout, folders[i]);
		if (mkdirat(t->folder, path, 0700))
			return err_errno(e, "can't make the import's folders");
	}
	return 0;
}

/* Takes the reference to json, and gives its descriptor. */
static json_t *add_json(struct image_tools *t, const char *layout,
			const char *type, json_t *json, struct err *e)
{
	char hex[IMAGE_HEX_SIZE];
	size_t len = 0;
	json_t *descriptor;

	if (write_json(t, "json", json, &len, e) ||
	    image_layout_blob(t, layout, "json", hex, e))
		return NULL;
	descriptor = image_layout_descriptor(type, hex, len);
	if (!descriptor)
		err_set(e, -ENOMEM, "no memory for a manifest");
	return descriptor;
}

static int add_index(struct image_tools *t, const char *layout,
		     json_t *manifest, struct err *e)
{
	char path[128];
	size_t len;
	int r;

	json_object_set_new(manifest, "annotations",
			    json_pack("{s:s}",
				      "org.opencontainers.image.ref.name",
				      IMAGE_LAYOUT_TAG));
	snprintf(path, sizeof(path), "%s/index.json", layout);
	r = write_json(t, path,
		       json_pack("{s:i, s:[o]}", "schemaVersion", 2,
				 "manifests", manifest),
		       &len, e);
	snprintf(path, sizeof(path), "%s/oci-layout", layout);
	return r ? r
		 : write_json(t, path,
			      json_pack("{s:s}", "imageLayoutVersion", "1.0.0"),
			      &len, e);
}

int image_layout_end(struct image_tools *t, const char *layout, json_t *config,
		     json_t *layers, struct err *e)
{
	json_t *manifest = NULL;
	json_t *conf =
		config ? add_json(t, layout,
				  "application/vnd.oci.image.config.v1+json",
				  config, e)
		       : NULL;

	if (!config || !layers)
		err_set(e, -ENOMEM, "no memory for a manifest");
	if (!conf || !layers) {
		json_decref(conf);
		json_decref(layers);
		return -EIO;
	}
	manifest = add_json(
		t, layout, "application/vnd.oci.image.manifest.v1+json",
		json_pack("{s:i, s:s, s:o, s:o}", "schemaVersion", 2,
			  "mediaType",
			  "application/vnd.oci.image.manifest.v1+json",
			  "config", conf, "layers", layers),
		e);
	return manifest ? add_index(t, layout, manifest, e) : -EIO;
}

int image_layout_borrow(struct image_tools *t, const char *layout,
			const char *path, json_t *manifest, struct err *e)
{
	char from[PATH_MAX + 8];
	char to[128];
	int r;

	snprintf(from, sizeof(from), "%s/blobs", path);
	snprintf(to, sizeof(to), "%s/blobs", layout);
	if (!mkdirat(t->folder, layout, 0700) &&
	    !symlinkat(from, t->folder, to))
		return add_index(t, layout, manifest, e);
	r = err_errno(e, "can't make the import's folders");
	json_decref(manifest);
	return r;
}

int image_layout_make(struct image_tools *t, const char *path, const char *arch,
		      struct err *e)
{
	char hex[IMAGE_HEX_SIZE];
	struct stat st;
	int r = image_layout_begin(t, IMAGE_LAYOUT, e);

	if (!r && fstatat(t->folder, path, &st, 0))
		r = err_errno(e, "can't find %s", path);
	if (!r)
		r = image_layout_blob(t, IMAGE_LAYOUT, path, hex, e);
	if (r)
		return r;
	return image_layout_end(
		t, IMAGE_LAYOUT,
		json_pack("{s:s, s:s, s:{}, s:{s:s, s:[o]}}", "architecture",
			  arch, "os", "linux", "config", "rootfs", "type",
			  "layers", "diff_ids", json_sprintf("sha256:%s", hex)),
		json_pack("[o]",
			  image_layout_descriptor(
				  "application/vnd.oci.image.layer.v1.tar", hex,
				  (uint64_t)st.st_size)),
		e);
}
