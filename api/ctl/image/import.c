/*
 * One import, in steps: skopeo copies the image into a private OCI layout, the
 * walker judges its layers, umoci unpacks them, mkfs.erofs packs the tree, and
 * one rename puts the result into the store. All of it happens in one folder
 * of the store's tmp/; until the rename, removing that folder undoes
 * everything.
 */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/sysinfo.h>
#include <unistd.h>

#include "api/ctl/base/erofs.h"
#include "api/ctl/base/tree.h"
#include "api/ctl/image/archive.h"
#include "api/ctl/image/config.h"
#include "api/ctl/image/fetch.h"
#include "api/ctl/image/image.h"
#include "api/ctl/image/layout.h"
#include "api/ctl/image/mend.h"
#include "api/ctl/image/model.h"
#include "api/ctl/image/platform.h"
#include "api/ctl/image/progress.h"
#include "api/ctl/image/source.h"
#include "api/ctl/image/store.h"
#include "api/ctl/image/tar.h"
#include "api/ctl/image/tool.h"
#include "api/ctl/image/wall.h"
#include "vmm/base/fd.h"
#include "vmm/base/printable.h"

/*
 * More files than any image we know of. mkfs.erofs 1.5 keeps a path of 4 KiB
 * for each; it may have half of the machine's memory for that.
 */
enum { ENTRIES_MAX = 500000, ENTRY_BYTES = 4700 };

/* Decompressing this takes minutes; no image is as large. */
static const uint64_t bytes_limit = 256ULL << 30;

#define ROOT   "rootfs"
#define RESULT "image"

static const char result_erofs[] = RESULT "/" IMAGE_EROFS;
static const char mended_ref[] = IMAGE_LAYOUT_MENDED_REF;

struct import {
	const struct image_import *how;
	struct image_store store;
	struct image_tools tools;
	struct image_source source;
	struct image_layout layout;
	struct image_tar_totals totals;
	struct image_model *model; /* owned */
	struct image_progress progress;
	char name[IMAGE_NAME_MAX + 1];
	char asked[IMAGE_HEX_SIZE]; /* the registry's manifest, "" for none */
	char temp[IMAGE_TEMP_SIZE]; /* from the store's folder */
	char temp_path[PATH_MAX];
	int folder;
	bool was_there;
};

/* ---- progress ---------------------------------------------------------- */

static void show_read(void *ctx, uint64_t got, uint64_t put)
{
	(void)put;
	image_progress_show(&((struct import *)ctx)->progress, got);
}

static void show_written(void *ctx, uint64_t got, uint64_t put)
{
	(void)got;
	image_progress_show(&((struct import *)ctx)->progress, put);
}

static void begin_phase(struct import *m, const char *phase, uint64_t total,
			void (*tick)(void *, uint64_t, uint64_t))
{
	m->tools.tick = tick;
	image_progress_phase(&m->progress, phase, total);
}

/* ---- judging ----------------------------------------------------------- */

static int on_layer(void *ctx, const void *data, size_t len, struct err *e)
{
	return image_tar_add(ctx, data, len, e);
}

static uint64_t max_entries(void)
{
	struct sysinfo info;
	uint64_t fit;

	if (sysinfo(&info))
		return ENTRIES_MAX;
	fit = (uint64_t)info.totalram * info.mem_unit / 2 / ENTRY_BYTES;
	return fit < ENTRIES_MAX ? fit : ENTRIES_MAX;
}

static int set_limits(struct import *m, struct err *e)
{
	struct statvfs v;
	uint64_t room;

	if (fstatvfs(m->folder, &v))
		return err_errno(e, "can't ask for the room in %s",
				 m->store.path);
	room = (uint64_t)v.f_bavail * v.f_frsize;
	if (room > bytes_limit)
		room = bytes_limit;
	m->totals = (struct image_tar_totals){
		.entries_max = max_entries(),
		.bytes_max = room,
		/* Headers, and padding of small files. */
		.raw_max = room + (ENTRIES_MAX * 2048ULL),
	};
	return 0;
}

static int judge_layer(struct import *m, struct image_layer *layer,
		       struct err *e)
{
	char blob[128];
	char path[PATH_MAX + 256];
	struct image_tar tar;
	const struct image_tool tool = {
		.argv = image_layer_unpacker(layer),
		.input = path,
		.walls = IMAGE_WALL_WRITES,
		.sink = on_layer,
		.sink_ctx = &tar,
	};
	int r;

	image_layer_path(layer, blob);
	snprintf(path, sizeof(path), "%s/%s", m->temp_path, blob);
	image_tar_init(&tar, &m->totals);
	image_model_next(m->model);
	tar.entry = image_model_add;
	tar.ctx = m->model;
	r = image_tool_run(&m->tools, &tool, e);
	if (!r)
		r = image_tar_end(&tar, e);
	layer->has_global = tar.tar.has_global;
	image_tar_fini(&tar);
	m->progress.before += layer->size;
	return r;
}

static int judge_layers(struct import *m, struct err *e)
{
	unsigned i;
	int r = set_limits(m, e);

	m->model = r ? NULL : image_model_new(m->totals.entries_max);
	if (!r && !m->model)
		r = err_set(e, -ENOMEM, "no memory for the image's tree");
	begin_phase(m, "checking", m->layout.size, show_read);
	for (i = 0; !r && i < m->layout.layer_count; i++)
		r = judge_layer(m, &m->layout.layers[i], e);
	return r;
}

/* ---- unpacking and packing --------------------------------------------- */

static int unpack(struct import *m, struct err *e)
{
	const char *argv[] = {"umoci",	  "raw", "unpack", "--image",
			      mended_ref, ROOT,	 NULL,	   NULL};
	const struct image_tool tool = {
		.argv = argv,
		.walls = IMAGE_WALL_WRITES | IMAGE_WALL_USER,
	};
	int r = image_mend(&m->tools, &m->layout, m->model, &m->totals, e);

	if (r)
		return r;
	if (geteuid()) {
		argv[5] = "--rootless";
		argv[6] = ROOT;
	}
	begin_phase(m, "unpacking", m->layout.size, show_read);
	r = image_tool_run(&m->tools, &tool, e);
	if (r)
		return r;
	/* Room for what comes. */
	(void)tree_remove(m->folder, IMAGE_LAYOUT, 0, NULL);
	(void)tree_remove(m->folder, IMAGE_LAYOUT_MENDED, 0, NULL);
	/* The guest's /dev covers it, and as root or not, it shall be equal. */
	r = tree_empty(m->folder, ROOT "/dev");
	if (r && r != -ENOENT && r != -ENOTDIR && r != -ELOOP)
		return err_set(e, r, "can't empty the image's /dev: %s",
			       strerror(-r));
	return 0;
}

static int sync_file(struct import *m, const char *path, struct err *e)
{
	CLEAN_FD int fd = openat(m->folder, path, O_RDONLY | O_CLOEXEC);

	if (fd < 0 || fchmod(fd, 0444) || fsync(fd))
		return err_errno(e, "can't sync %s", path);
	return 0;
}

static int check_signal(void *tools, struct err *e)
{
	return image_tools_check(tools, e);
}

/*
 * Reproducible: the identifier is the digest's, and whatever got no time from
 * the layers (folders without an entry) gets the newest time in them.
 */
static int pack(struct import *m, struct err *e)
{
	const char *hex = m->layout.hex;
	char uuid[40];
	char epoch[48];
	const char *const argv_root[] = {"mkfs.erofs", "--quiet", "-U", uuid,
					 result_erofs, ROOT,	  NULL};
	/* Of rootless unpacking only umoci's own notes are in attributes. */
	const char *const argv_user[] = {"mkfs.erofs", "--quiet", "-x-1",
					 "--all-root", "-U",	  uuid,
					 result_erofs, ROOT,	  NULL};
	const char *const env[] = {epoch, NULL};
	const struct erofs_tree own = {
		.folder = m->folder,
		.root = ROOT,
		.out = result_erofs,
		.hex = hex,
		.newest_s = m->totals.mtime_max_s,
		.is_all_root = geteuid() != 0,
		.check = check_signal,
		.context = &m->tools,
	};
	const struct image_tool tool = {
		.argv = geteuid() ? argv_user : argv_root,
		.env = env,
		.walls = IMAGE_WALL_WRITES | (geteuid() ? IMAGE_WALL_USER : 0U),
	};
	int r;

	snprintf(uuid, sizeof(uuid), "%.8s-%.4s-%.4s-%.4s-%.12s", hex, hex + 8,
		 hex + 12, hex + 16, hex + 20);
	snprintf(epoch, sizeof(epoch), "SOURCE_DATE_EPOCH=%" PRIu64,
		 m->totals.mtime_max_s);
	if (mkdirat(m->folder, RESULT, 0700))
		return err_errno(e, "can't make a folder in %s", m->temp_path);
	begin_phase(m, "packing", m->totals.bytes, show_written);
	if (!m->totals.has_long_names)
		r = image_tool_run(&m->tools, &tool, e);
	else if ((r = erofs_write(&own, e)) == -ENOSPC)
		(void)err_set(e, r,
			      "no space is left in the store's file system; "
			      "make room, or set MAYFLY_STORE to a larger "
			      "one");
	return r ? r : sync_file(m, result_erofs, e);
}

/* ---- the store --------------------------------------------------------- */

static int write_facts(struct import *m, struct err *e)
{
	const json_t *config = m->layout.config;
	struct image_config parsed;
	json_t *facts;
	char *text;
	int r = image_config_parse(json_object_get(config, "config"), &parsed,
				   NULL, e);

	image_config_fini(&parsed);
	if (r)
		return r;
	facts = json_pack("{s:s, s:s, s:s*, s:s*, s:O*}", "arch",
			  m->layout.arch, "source", m->how->ref, "asked",
			  m->asked[0] ? m->asked : NULL, "created",
			  json_string_value(json_object_get(config, "created")),
			  "config", json_object_get(config, "config"));
	text = facts ? json_dumps(facts, JSON_INDENT(2)) : NULL;
	json_decref(facts);
	if (!text)
		return err_set(e, -EINVAL,
			       "the image's facts can't be written; is its "
			       "reference UTF-8?");
	r = image_file_write(m->folder, RESULT "/" IMAGE_FACTS, text,
			     strlen(text));
	free(text);
	return r ? err_set(e, r, "can't write the image's facts: %s",
			   strerror(-r))
		 : 0;
}

/* Into the store, and out again where that is not safe on the disk. */
static int move_in(struct import *m, const char *to, struct err *e)
{
	int r = image_folder_sync(m->folder, RESULT);

	if (r)
		return err_set(e, r, "can't sync the image: %s", strerror(-r));
	if (renameat(m->folder, RESULT, m->store.fd, to))
		return err_errno(e, "can't move the image into %s",
				 m->store.path);
	r = image_folder_sync(m->store.fd, "images");
	return r ? err_set(e, r, "can't sync the store: %s", strerror(-r)) : 0;
}

/*
 * Under the lock: the image, unless it is there, and its name. No signal is
 * looked for any more, so all of it is done or none.
 */
static int commit(struct import *m, const char *hex, bool is_made,
		  struct err *e)
{
	char to[128];
	int r = image_store_lock(&m->store, e);

	if (r)
		return r;
	snprintf(to, sizeof(to), "images/%s", hex);
	if (is_made)
		r = move_in(m, to, e);
	if (!r && !image_store_has(&m->store, hex))
		r = -EAGAIN;
	if (!r)
		r = image_store_name(&m->store, m->name, hex, e);
	if (r && is_made)
		(void)renameat(m->store.fd, to, m->folder, RESULT);
	image_store_unlock(&m->store);
	return r;
}

/* One builds a digest, the others wait and then find it. */
static int claim(struct import *m, const char *hex, struct err *e)
{
	int r;

	while ((r = image_store_claim(&m->store, hex)) == -EAGAIN)
		if ((r = image_tools_pause(&m->tools, e)))
			return r;
	return r ? err_set(e, r, "can't lock the store: %s", strerror(-r)) : 0;
}

static int build(struct import *m, struct err *e)
{
	struct image_config parsed;
	int r;

	/* What is quickly refused comes first. */
	r = image_config_parse(json_object_get(m->layout.config, "config"),
			       &parsed, m->how->warn, e);
	image_config_fini(&parsed);
	if (!r)
		r = judge_layers(m, e);
	if (!r)
		r = unpack(m, e);
	if (!r)
		r = pack(m, e);
	if (!r)
		r = write_facts(m, e);
	if (!r)
		r = image_tools_check(&m->tools, e);
	return r ? r : commit(m, m->layout.hex, true, e);
}

/* ---- getting it -------------------------------------------------------- */

/* Asks the registry which manifest it is. *is_known: the store has it. */
static int ask(struct import *m, bool *is_known, struct err *e)
{
	char hex[IMAGE_HEX_SIZE];
	int r;

	*is_known = false;
	begin_phase(m, "asking", 0, NULL);
	r = image_fetch_ask(&m->tools, &m->source, m->asked, e);
	if (!r)
		r = claim(m, m->asked, e);
	if (r)
		return r;
	if (image_fetch_known(&m->store, m->asked, m->source.arch, hex)) {
		r = commit(m, hex, false, e);
		*is_known = !r;
	}
	/* Removed meanwhile: it is fetched again. */
	return r == -EAGAIN ? 0 : r;
}

static int get(struct import *m, bool *is_known, struct err *e)
{
	int r = image_archive_look(&m->source, &m->tools, e);

	*is_known = false;
	if (!r && m->source.kind == SOURCE_REGISTRY)
		r = ask(m, is_known, e);
	if (r || *is_known)
		return r;
	r = set_limits(m, e);
	if (r)
		return r;
	begin_phase(m, "fetching", 0, show_written);
	r = image_fetch(&m->tools, &m->source, &m->totals, e);
	if (!r)
		r = image_layout_read(m->folder, &m->layout, m->source.arch,
				      m->how->warn, e);
	return r;
}

static int work(struct import *m, struct err *e)
{
	bool is_known;
	int r = get(m, &is_known, e);

	if (r || is_known) {
		m->was_there = is_known;
		return r;
	}
	if (strcmp(m->layout.hex, m->asked) != 0)
		r = claim(m, m->layout.hex, e);
	if (r)
		return r;
	if (image_store_has(&m->store, m->layout.hex)) {
		/* Only one that names none itself can be of two. */
		if (!image_fetch_is_for(&m->store, m->layout.hex,
					m->layout.arch))
			return err_set(e, -EEXIST,
				       "the store has this image for another "
				       "architecture, since it names none "
				       "itself; `mayctl image rm sha256:%.12s` "
				       "makes room for it",
				       m->layout.hex);
		r = commit(m, m->layout.hex, false, e);
		m->was_there = !r;
		if (r != -EAGAIN)
			return r;
	}
	return build(m, e);
}

static int choose_name(struct import *m, struct err *e)
{
	if (m->how->name)
		return image_name_check(m->how->name, m->name, e);
	if (!m->source.name[0])
		return err_set(e, -EINVAL,
			       "'%s' makes no name for an image; give one with "
			       "--name",
			       m->how->ref);
	memcpy(m->name, m->source.name, sizeof(m->name));
	return 0;
}

static int begin(struct import *m, struct err *e)
{
	int r = image_source_parse(m->how->ref, &m->source, e);

	if (!r)
		r = image_platform_parse(m->how->platform, m->source.arch, e);
	if (!r)
		r = choose_name(m, e);
	if (!r)
		r = image_store_open(&m->store, true, e);
	if (r)
		return r;
	r = image_store_temp(&m->store, m->temp, e);
	if (r < 0)
		return r;
	m->folder = r;
	snprintf(m->temp_path, sizeof(m->temp_path), "%s/%s", m->store.path,
		 m->temp);
	m->tools.folder = m->folder;
	m->tools.temp = m->temp_path;
	return 0;
}

/* Sentences quote images, and terminals obey control characters. */
static void make_printable(struct err *e)
{
	char said[sizeof(e->text)];

	if (!e)
		return;
	memcpy(said, e->text, sizeof(said));
	printable_copy(said, strnlen(said, sizeof(said)), e->text,
		       sizeof(e->text));
}

int image_import(const struct image_import *how, struct image *out,
		 bool *was_there, struct err *e)
{
	struct import *m = calloc(1, sizeof(*m));
	int r;

	*out = (struct image){.fd = -1};
	if (!m)
		return err_set(e, -ENOMEM, "no memory for an import");
	m->how = how;
	m->folder = m->store.fd = m->store.lock = -1;
	m->tools.ctx = m;
	image_progress_begin(&m->progress, how->is_quiet);
	r = image_tools_begin(&m->tools, e);
	if (!r)
		r = begin(m, e);
	if (!r)
		r = work(m, e);
	if (m->temp[0])
		(void)tree_remove(m->store.fd, m->temp, 0, NULL);
	fd_close(&m->folder);
	image_store_close(&m->store);
	image_layout_fini(&m->layout);
	image_model_free(m->model);
	image_progress_end(&m->progress);
	image_tools_end(&m->tools, r == -EINTR);
	if (!r)
		r = image_find(m->name, out, e);
	if (was_there)
		*was_there = m->was_there;
	if (r)
		make_printable(e);
	free(m);
	return r;
}

/* No microVM runs another machine's programs. */
static int find_own(const char *name, struct image *out, struct err *e)
{
	int r = image_find(name, out, e);

	if (r || !strcmp(out->arch, image_platform_host()))
		return r;
	r = err_set(e, -ENOEXEC,
		    "the image %s is for linux/%s, and a microVM runs on the "
		    "processor that is there, linux/%s; import it for that: "
		    "mayctl image import REF --platform linux/%s",
		    name, out->arch, image_platform_host(),
		    image_platform_host());
	image_fini(out);
	return r;
}

int image_find_or_import(const struct image_import *how, struct image *out,
			 struct err *e)
{
	const char *name = how->ref;
	struct image_source source;
	int r;

	if (strncmp(name, "docker://", strlen("docker://")) != 0)
		return find_own(name, out, e);
	r = image_source_parse(name, &source, e);
	if (!r && source.name[0])
		r = find_own(source.name, out, e);
	else if (!r)
		r = err_set(e, -ENOENT, "%s has no name to find it by", name);
	return r == -ENOENT && !how->is_local ? image_import(how, out, NULL, e)
					      : r;
}
