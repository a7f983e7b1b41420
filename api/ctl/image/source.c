/* References and paths: which form it is, and what its image is called. */
#include "api/ctl/image/source.h"

#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "api/ctl/image/store.h"
#include "api/ctl/image/wall.h"
#include "vmm/base/fd.h"

static bool starts(const char *text, const char *with)
{
	return !strncmp(text, with, strlen(with));
}

/* ---- names ------------------------------------------------------------- */

/* A name that can be one out of text: what can't becomes '-'. */
static void make_name(const char *text, const char *tag,
		      char out[IMAGE_NAME_MAX + 1])
{
	char name[IMAGE_NAME_MAX + 1];
	struct err ignored;
	size_t at = 0;

	for (; *text && at < IMAGE_NAME_MAX - 64; text++) {
		const bool is_fine = isalnum((unsigned char)*text) ||
				     (at && strchr("._-/:@+", *text));

		if (is_fine || at)
			name[at++] = is_fine ? *text : '-';
	}
	name[at] = 0;
	if (*tag)
		snprintf(name + at, sizeof(name) - at, ":%.63s", tag);
	if (image_name_check(name, out, &ignored))
		out[0] = 0;
}

/* The last part of a path, without what tells its format. */
static void name_of_path(const char *path, const char *tag,
			 char out[IMAGE_NAME_MAX + 1])
{
	static const char *const endings[] = {".gz",  ".xz",  ".zst", ".bz2",
					      ".tgz", ".txz", ".tar", ".oci"};
	char base[NAME_MAX + 1];
	const char *end = path + strlen(path);
	const char *begin;
	unsigned i;
	bool is_cut = true;

	while (end > path && end[-1] == '/')
		end--;
	begin = end;
	while (begin > path && begin[-1] != '/')
		begin--;
	snprintf(base, sizeof(base), "%.*s", (int)(end - begin), begin);
	while (is_cut) {
		is_cut = false;
		for (i = 0; i < sizeof(endings) / sizeof(endings[0]); i++) {
			const size_t len = strlen(base);
			const size_t cut = strlen(endings[i]);

			if (len <= cut || strcmp(base + len - cut, endings[i]))
				continue;
			base[len - cut] = 0;
			is_cut = true;
		}
	}
	/* A colon in a file's name would read as a tag. */
	for (i = 0; base[i]; i++)
		if (base[i] == ':' || base[i] == '@')
			base[i] = '-';
	make_name(base, tag, out);
}

/* ---- forms ------------------------------------------------------------- */

static bool is_loopback(const char *host)
{
	static const char *const names[] = {"localhost", "127.0.0.1", "[::1]"};
	unsigned i;

	for (i = 0; i < sizeof(names) / sizeof(names[0]); i++)
		if (starts(host, names[i]) &&
		    strchr("/:", host[strlen(names[i])]) &&
		    host[strlen(names[i])])
			return true;
	return false;
}

static int parse_registry(const char *ref, struct image_source *out,
			  struct err *e)
{
	const char *rest = ref + strlen("docker://");

	if (!*rest || *rest == '-' || strpbrk(rest, " \t\n"))
		return err_set(e, -EINVAL,
			       "'%s' names no image of a registry; it looks "
			       "like docker://HOST/NAME:TAG",
			       ref);
	out->kind = SOURCE_REGISTRY;
	out->is_plain = is_loopback(rest);
	snprintf(out->ref, sizeof(out->ref), "%s", ref);
	if (starts(rest, "docker.io/"))
		rest += strlen("docker.io/");
	if (starts(rest, "library/"))
		rest += strlen("library/");
	make_name(rest, "", out->name);
	return 0;
}

/* TRANSPORT:PATH[:REFERENCE] with the path made absolute. */
static int parse_transport(const char *transport, const char *rest,
			   struct image_source *out, struct err *e)
{
	const char *colon = strchr(rest, ':');
	const char *tag = colon ? colon + 1 : "";
	char given[PATH_MAX];
	char *real;

	snprintf(given, sizeof(given), "%.*s",
		 (int)(colon ? colon - rest : (ptrdiff_t)strlen(rest)), rest);
	real = *given ? realpath(given, NULL) : NULL;
	if (!real)
		return err_set(e, -ENOENT, "can't find %s: %s", given,
			       strerror(*given ? errno : ENOENT));
	if (strlen(tag) >= sizeof(out->tag) - 1) {
		free(real);
		return err_set(e, -EINVAL, "a tag of %zu bytes is none",
			       strlen(tag));
	}
	out->kind = SOURCE_SKOPEO;
	snprintf(out->transport, sizeof(out->transport), "%s", transport);
	snprintf(out->path, sizeof(out->path), "%s", real);
	snprintf(out->tag, sizeof(out->tag), "%s", colon ? colon : "");
	/* docker-archive's is a whole name, the others' a tag. */
	if (*tag && !strcmp(transport, "docker-archive"))
		make_name(tag, "", out->name);
	else
		name_of_path(given, tag, out->name);
	free(real);
	return 0;
}

static bool is_layout(const char *folder)
{
	char path[PATH_MAX + 16];

	snprintf(path, sizeof(path), "%s/oci-layout", folder);
	return !access(path, F_OK);
}

static int parse_path(const char *ref, struct image_source *out, struct err *e)
{
	const char *colon = strrchr(ref, ':');
	char folder[PATH_MAX];
	struct stat st;

	if (stat(ref, &st) && colon) {
		snprintf(folder, sizeof(folder), "%.*s", (int)(colon - ref),
			 ref);
		if (is_layout(folder))
			return parse_transport("oci", ref, out, e);
	}
	if (stat(ref, &st) || !realpath(ref, out->path))
		return err_set(e, -ENOENT,
			       "'%s' is no file or folder here (%s); an image "
			       "of a registry is docker://HOST/NAME:TAG",
			       ref, strerror(errno));
	name_of_path(out->path, "", out->name);
	if (S_ISDIR(st.st_mode)) {
		if (is_layout(out->path))
			return parse_transport("oci", ref, out, e);
		out->kind = SOURCE_FOLDER;
		return 0;
	}
	if (!S_ISREG(st.st_mode))
		return err_set(e, -EINVAL, "%s is neither file nor folder",
			       ref);
	out->kind = SOURCE_TAR;
	return 0;
}

int image_source_parse(const char *ref, struct image_source *out, struct err *e)
{
	static const char *const transports[] = {"oci-archive",
						 "docker-archive", "oci"};
	unsigned i;

	*out = (struct image_source){0};
	if (!*ref || strlen(ref) >= PATH_MAX)
		return err_set(e, -EINVAL,
			       "an image's reference can't be empty or longer "
			       "than a path");
	if (starts(ref, "docker://"))
		return parse_registry(ref, out, e);
	for (i = 0; i < sizeof(transports) / sizeof(transports[0]); i++) {
		const size_t len = strlen(transports[i]);

		if (starts(ref, transports[i]) && ref[len] == ':')
			return parse_transport(transports[i], ref + len + 1,
					       out, e);
	}
	return parse_path(ref, out, e);
}

void image_source_pin(struct image_source *s, const char *hex)
{
	char *slash = strrchr(s->ref, '/');
	char *end = strchr(slash, '@');

	if (!end)
		end = strchr(slash, ':');
	if (!end)
		end = s->ref + strlen(s->ref);
	snprintf(end, sizeof(s->ref) - (size_t)(end - s->ref), "@sha256:%s",
		 hex);
}

/* ---- files ------------------------------------------------------------- */

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

/*
 * tar's list of names, as far as it is needed. An archive of an image holds
 * only what is_of_image() knows, so the first other name settles it.
 */
struct look {
	char line[512];
	size_t len;
	bool is_docker;
	bool is_oci;
	bool is_rootfs;
};

enum { LOOK_SETTLED = 1 };

static bool is_of_image(const char *name)
{
	const size_t hex = strspn(name, "0123456789abcdef");

	if (hex == 64 && (!name[hex] || name[hex] == '/' || name[hex] == '.'))
		return true;
	return starts(name, "blobs/") || !strcmp(name, "index.json") ||
	       !strcmp(name, "oci-layout") || !strcmp(name, "repositories") ||
	       !strcmp(name, "manifest.json") || !*name;
}

static void on_line(struct look *l)
{
	const char *name = l->line;

	if (starts(name, "./"))
		name += 2;
	l->is_docker |= !strcmp(name, "manifest.json");
	l->is_oci |= !strcmp(name, "oci-layout");
	l->is_rootfs |= !is_of_image(name);
}

static int on_names(void *ctx, const void *data, size_t len, struct err *e)
{
	struct look *l = ctx;
	const char *at = data;
	size_t i;

	for (i = 0; i < len && !l->is_rootfs; i++) {
		if (at[i] != '\n') {
			if (l->len + 1 < sizeof(l->line))
				l->line[l->len++] = at[i];
			continue;
		}
		l->line[l->len] = 0;
		l->len = 0;
		on_line(l);
	}
	return l->is_rootfs ? err_set(e, LOOK_SETTLED, "settled") : 0;
}

int image_source_look(struct image_source *s, struct image_tools *t,
		      struct err *e)
{
	const char *const argv[] = {"tar", "--force-local", "-tf", s->path,
				    NULL};
	struct look look = {.len = 0};
	const struct image_tool tool = {
		.argv = argv,
		.walls = IMAGE_WALL_WRITES,
		.sink = on_names,
		.sink_ctx = &look,
	};
	unsigned char head[8] = {0};
	CLEAN_FD int fd = -1;
	int r;

	if (s->kind != SOURCE_TAR && !strstr(s->transport, "archive"))
		return 0;
	fd = open(s->path, O_RDONLY | O_CLOEXEC);
	if (fd < 0 || pread(fd, head, sizeof(head), 0) < 0)
		return err_errno(e, "can't read %s", s->path);
	s->unpacker = find_unpacker(head);
	if (s->kind != SOURCE_TAR)
		return 0;
	r = image_tool_run(t, &tool, e);
	if (r == -EIO)
		return err_context(e,
				   "%s is not an image, nor an intact tar "
				   "of a root file system",
				   s->path);
	if (r < 0 || look.is_rootfs)
		return r < 0 ? r : 0;
	if (!look.is_docker && !look.is_oci)
		return err_set(e, -EINVAL,
			       "%s holds neither an image nor a root file "
			       "system",
			       s->path);
	/* tar has got along with a path that skopeo would split. */
	if (strchr(s->path, ':'))
		return err_set(e, -EINVAL,
			       "%s has a colon in its path, which skopeo "
			       "can't take; rename it",
			       s->path);
	s->kind = SOURCE_SKOPEO;
	snprintf(s->transport, sizeof(s->transport), "%s",
		 look.is_docker ? "docker-archive" : "oci-archive");
	return 0;
}
