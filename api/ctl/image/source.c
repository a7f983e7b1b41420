/* References and paths: which form it is, and what its image is called. */
#include "api/ctl/image/source.h"

#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "api/ctl/image/store.h"

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

/* NAME:TAG@DIGEST is NAME@DIGEST: skopeo 1.9 takes only one of them. */
static void drop_tag(char *ref)
{
	char *digest = strchr(ref, '@');
	char *colon = digest ? memrchr(ref, ':', (size_t)(digest - ref)) : NULL;

	if (colon && !memchr(colon, '/', (size_t)(digest - colon)))
		memmove(colon, digest, strlen(digest) + 1);
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
	drop_tag(out->ref);
	make_name(image_name_plain(out->ref), "", out->name);
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
	/* docker-archive's is a whole name or @NUMBER, the others' a tag. */
	if (*tag == '@')
		name_of_path(given, "", out->name);
	else if (*tag && !strcmp(transport, "docker-archive"))
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
