/* Files that are archives: of an image, or of a root file system? */
#include "api/ctl/image/archive.h"

#include <errno.h>
#include <fcntl.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "api/ctl/base/tar.h"
#include "api/ctl/image/platform.h"
#include "api/ctl/image/store.h"
#include "api/ctl/image/wall.h"
#include "vmm/base/fd.h"

static const char *find_unpacker(const unsigned char *head)
{
	static const struct {
		const char *magic;
		size_t len;
		const char *tool;
	} kinds[] = {
		{"\x1f\x8b", 2, "gzip"},
		{"\xfd\x37zXZ", 5, "xz"},
		{"\x28\xb5\x2f\xfd", 4, "zstd"},
		{"BZh", 3, "bzip2"},
	};
	unsigned i;

	for (i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++)
		if (!memcmp(head, kinds[i].magic, kinds[i].len))
			return kinds[i].tool;
	return NULL;
}

struct text {
	char *bytes; /* owned */
	size_t len;
};

/*
 * What an archive is, by what is in it: an image in Docker's format where a
 * manifest.json lists Config and Layers, whatever these are called; an OCI
 * layout where there is the file that says so; else a root file system.
 */
struct look {
	bool is_oci;
	bool is_any;
	struct text *now; /* the one whose data comes */
	struct text manifest, index;
};

enum { MANIFEST_MAX = 8 << 20, NAMES_SHOWN = 400 };

static int on_entry(void *ctx, const struct tar_entry *entry, struct err *e)
{
	struct look *l = ctx;
	const char *name = entry->names[0];

	if (!strncmp(name, "./", 2))
		name += 2;
	l->is_any = true;
	l->is_oci |= !strcmp(name, "oci-layout");
	l->now = NULL;
	if (!tar_has_data(entry->type) || entry->data_size > MANIFEST_MAX)
		return 0;
	if (!strcmp(name, "manifest.json"))
		l->now = &l->manifest;
	else if (!strcmp(name, "index.json"))
		l->now = &l->index;
	else
		return 0;
	/* The last of several counts, as for who unpacks them. */
	free(l->now->bytes);
	l->now->len = 0;
	l->now->bytes = malloc(entry->data_size + 1);
	return l->now->bytes ? 0
			     : err_set(e, -ENOMEM, "no memory for a manifest");
}

static int on_data(void *ctx, const void *data, size_t len, struct err *e)
{
	struct text *t = ((struct look *)ctx)->now;

	(void)e;
	if (t) {
		memcpy(t->bytes + t->len, data, len);
		t->len += len;
	}
	return 0;
}

static int on_archive(void *ctx, const void *data, size_t len, struct err *e)
{
	return tar_add(ctx, data, len, e);
}

static int read_archive(const struct image_source *s, struct image_tools *t,
			const struct tar_hooks *hooks, void *ctx, struct err *e)
{
	const char *const argv[] = {s->unpacker ? s->unpacker : "cat",
				    s->unpacker ? "-dc" : NULL, NULL};
	struct tar tar;
	const struct image_tool tool = {
		.argv = argv,
		.input = s->path,
		.walls = IMAGE_WALL_WRITES,
		.sink = on_archive,
		.sink_ctx = &tar,
	};
	int r;

	tar_init(&tar, "it", hooks, ctx);
	r = image_tool_run(t, &tool, e);
	if (!r)
		r = tar_end(&tar, e);
	tar_fini(&tar);
	return r;
}

static bool is_image(const json_t *item)
{
	const json_t *layers = json_object_get(item, "Layers");

	return json_is_string(json_object_get(item, "Config")) &&
	       (json_is_array(layers) || json_is_null(layers));
}

/* The images of a docker-archive, or NULL where it is none. */
static json_t *read_manifest(const struct look *l)
{
	const struct text *t = &l->manifest;
	json_t *json = t->bytes ? json_loadb(t->bytes, t->len, 0, NULL) : NULL;

	if (is_image(json_array_get(json, 0)))
		return json;
	json_decref(json);
	return NULL;
}

/* The names to choose from, as far as there is room in a sentence. */
struct choice {
	char names[NAMES_SHOWN];
	size_t at;
};

static void add_name(struct choice *c, const char *name)
{
	if (c->at + strlen(name) + 3 < sizeof(c->names))
		c->at += (size_t)snprintf(c->names + c->at,
					  sizeof(c->names) - c->at, "%s%s",
					  c->at ? ", " : "", name);
}

static int refuse(const struct image_source *s, const char *transport,
		  const struct choice *c, size_t count, struct err *e)
{
	return err_set(e, -EINVAL,
		       "%s holds %zu images: %s; choose one with %s:%s:NAME",
		       s->path, count, c->at ? c->names : "none has a name",
		       transport, s->path);
}

/* Of several images one has to be chosen; a nameless one by its number. */
static int check_docker(const struct image_source *s, const json_t *images,
			struct err *e)
{
	const size_t count = json_array_size(images);
	struct choice c = {.at = 0};
	char number[24];
	size_t i, k;

	if (count < 2 || *s->tag)
		return 0;
	for (i = 0; i < count; i++) {
		const json_t *list =
			json_object_get(json_array_get(images, i), "RepoTags");

		for (k = 0; k < json_array_size(list); k++)
			add_name(&c, json_string_value(json_array_get(list, k))
					     ?: "?");
		snprintf(number, sizeof(number), "@%zu", i);
		if (!k)
			add_name(&c, number);
	}
	return refuse(s, "docker-archive", &c, count, e);
}

/* ---- one image for several platforms ----------------------------------- */

struct configs {
	const json_t *images;
	struct image_platforms known;
	const char *arch;
	size_t found; /* of those that are for it, which and how many */
	unsigned count;
	size_t at; /* the image whose configuration comes; bytes of it */
	size_t left;
	struct text text;
};

static bool is_one_image(const json_t *images)
{
	const json_t *names =
		json_object_get(json_array_get(images, 0), "RepoTags");
	size_t i;

	for (i = 1; i < json_array_size(images); i++)
		if (!names ||
		    !json_equal(names,
				json_object_get(json_array_get(images, i),
						"RepoTags")))
			return false;
	return json_array_size(images) > 1;
}

static int on_config_entry(void *ctx, const struct tar_entry *entry,
			   struct err *e)
{
	struct configs *c = ctx;
	const char *name = entry->names[0];

	if (!strncmp(name, "./", 2))
		name += 2;
	c->left = 0;
	if (!tar_has_data(entry->type) || entry->data_size > MANIFEST_MAX)
		return 0;
	for (c->at = 0; c->at < json_array_size(c->images); c->at++) {
		const json_t *path = json_object_get(
			json_array_get(c->images, c->at), "Config");

		if (json_is_string(path) &&
		    !strcmp(json_string_value(path), name))
			break;
	}
	if (c->at == json_array_size(c->images))
		return 0;
	free(c->text.bytes);
	c->text = (struct text){.bytes = malloc(entry->data_size + 1)};
	c->left = entry->data_size;
	return c->text.bytes
		       ? 0
		       : err_set(e, -ENOMEM, "no memory for a configuration");
}

static void judge_config(struct configs *c)
{
	json_t *config = json_loadb(c->text.bytes, c->text.len, 0, NULL);
	const char *os = json_string_value(json_object_get(config, "os"));
	const char *arch = image_platform_plain(
		json_string_value(json_object_get(config, "architecture"))
			?: "");

	image_platforms_add(&c->known, os ?: "linux", arch);
	if (!strcmp(arch, c->arch)) {
		c->found = c->at;
		c->count++;
	}
	json_decref(config);
}

static int on_config_data(void *ctx, const void *data, size_t len,
			  struct err *e)
{
	struct configs *c = ctx;

	(void)e;
	if (!c->left || len > c->left)
		return 0;
	memcpy(c->text.bytes + c->text.len, data, len);
	c->text.len += len;
	c->left -= len;
	if (!c->left)
		judge_config(c);
	return 0;
}

/*
 * Images of the same names: one for several platforms, of which the
 * configurations say the architecture. skopeo knows them by their numbers.
 */
static int choose_docker(struct image_source *s, struct image_tools *t,
			 const json_t *images, struct err *e)
{
	static const struct tar_hooks hooks = {.entry = on_config_entry,
					       .data = on_config_data};
	struct configs c = {.images = images, .arch = s->arch};
	char words[64];
	int r = read_archive(s, t, &hooks, &c, e);

	free(c.text.bytes);
	if (r)
		return r;
	if (!c.count)
		return err_set(e, -ENOEXEC,
			       "the image is not made for %s, but for %s",
			       image_platform_words(s->arch, words),
			       c.known.at ? c.known.text : "nothing");
	if (c.count > 1)
		return check_docker(s, images, e);
	snprintf(s->tag, sizeof(s->tag), ":@%zu", c.found);
	return 0;
}

static int check_oci(const struct image_source *s, const char *text, size_t len,
		     struct err *e)
{
	json_t *json = text ? json_loadb(text, len, 0, NULL) : NULL;
	const json_t *list = json_object_get(json, "manifests");
	const size_t count = json_array_size(list);
	struct choice c = {.at = 0};
	const char *first = NULL;
	bool is_several = false;
	size_t i;
	int r = 0;

	for (i = 0; i < count; i++) {
		const json_t *notes =
			json_object_get(json_array_get(list, i), "annotations");
		const char *name = json_string_value(json_object_get(
			notes, "org.opencontainers.image.ref.name"));

		/* One name for several platforms is one image. */
		if (name && (!first || strcmp(name, first) != 0))
			add_name(&c, name);
		first = first ? first : name;
		is_several |= i && strcmp(name ? name : "", first ? first : "");
	}
	if (is_several && c.at && !*s->tag)
		r = refuse(s,
			   strstr(s->transport, "archive") ||
					   s->kind == SOURCE_TAR
				   ? "oci-archive"
				   : "oci",
			   &c, count, e);
	json_decref(json);
	return r;
}

static int settle(struct image_source *s, struct image_tools *t,
		  const struct look *l, struct err *e)
{
	json_t *images = read_manifest(l);
	const bool is_docker = images != NULL;
	int r = 0;

	if (is_docker && strcmp(s->transport, "oci-archive") != 0)
		r = is_one_image(images) && !*s->tag
			    ? choose_docker(s, t, images, e)
			    : check_docker(s, images, e);
	else if (l->is_oci)
		r = check_oci(s, l->index.bytes, l->index.len, e);
	json_decref(images);
	if (r || s->kind != SOURCE_TAR)
		return r;
	if (!l->is_any)
		return err_set(e, -EINVAL,
			       "%s holds neither an image nor a root file "
			       "system",
			       s->path);
	if (!is_docker && !(l->is_oci && l->index.bytes))
		return 0;
	s->kind = SOURCE_SKOPEO;
	snprintf(s->transport, sizeof(s->transport), "%s",
		 is_docker ? "docker-archive" : "oci-archive");
	return 0;
}

static int look_into_layout(const struct image_source *s, struct err *e)
{
	char path[sizeof(s->path) + 16];
	size_t len = 0;
	char *text;
	int r;

	snprintf(path, sizeof(path), "%s/index.json", s->path);
	text = image_file_read(AT_FDCWD, path, MANIFEST_MAX, &len);
	/* Where there is none, the tool that is to read it says so. */
	if (!text && errno == EFBIG)
		return err_set(e, -EINVAL,
			       "%s is no regular file of at most %d MiB", path,
			       MANIFEST_MAX >> 20);
	r = check_oci(s, text, len, e);
	free(text);
	return r;
}

int image_archive_look(struct image_source *s, struct image_tools *t,
		       struct err *e)
{
	static const struct tar_hooks hooks = {.entry = on_entry,
					       .data = on_data};
	struct look look = {0};
	unsigned char head[8] = {0};
	CLEAN_FD int fd = -1;
	int r;

	if (s->kind == SOURCE_SKOPEO && !strstr(s->transport, "archive"))
		return look_into_layout(s, e);
	if (s->kind != SOURCE_TAR && s->kind != SOURCE_SKOPEO)
		return 0;
	fd = fd_open(s->path, O_RDONLY | O_CLOEXEC, FD_REGULAR, "archive", e);
	if (fd < 0)
		return fd;
	if (pread(fd, head, sizeof(head), 0) < 0)
		return err_errno(e, "can't read %s", s->path);
	s->unpacker = find_unpacker(head);
	if (s->kind != SOURCE_TAR && *s->tag)
		return 0;
	r = read_archive(s, t, &hooks, &look, e);
	if (r == -EIO || r == -EINVAL)
		err_context(e,
			    "%s is not an image, nor an intact tar of a "
			    "root file system",
			    s->path);
	if (!r)
		r = settle(s, t, &look, e);
	free(look.manifest.bytes);
	free(look.index.bytes);
	return r;
}
