/*
 * What may be in an image. A path that begins with a slash is meant from the
 * image's root, as other tools take it (ko writes such), and symbolic links are
 * data that nothing on this machine follows; a `..` in a path or in a hard
 * link's target has no honest use.
 */
#include "api/ctl/image/entry.h"

#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#include "api/ctl/image/tar.h"

/* Paths are hostile; this much of one, in ASCII, is for people. */
enum { SHOWN = 80 };

static int refuse(struct err *e, const char *path, const char *why)
{
	char shown[SHOWN + 4];
	size_t i;

	for (i = 0; i < SHOWN && path[i]; i++)
		shown[i] = path[i] >= ' ' && path[i] <= '~' ? path[i] : '?';
	memcpy(shown + i, "...", 4);
	if (!path[i])
		shown[i] = 0;
	return err_set(e, -EINVAL, "the image's entry '%s' is refused: %s",
		       shown, why);
}

struct walk {
	unsigned depth;
	bool has_dots;
	const char *first; /* first and last component that is not "." */
	size_t first_len;
	const char *last;
	size_t last_len;
};

static void walk_path(const char *path, struct walk *w)
{
	*w = (struct walk){.first = "", .last = ""};
	while (*path) {
		const size_t len = strcspn(path, "/");

		if (len == 2 && path[0] == '.' && path[1] == '.')
			w->has_dots = true;
		if (len && !(len == 1 && path[0] == '.')) {
			if (!w->depth) {
				w->first = path;
				w->first_len = len;
			}
			w->last = path;
			w->last_len = len;
			w->depth++;
		}
		path += len;
		path += *path == '/';
	}
}

static int judge_path(const char *path, const struct walk *w, struct err *e)
{
	if (strlen(path) > IMAGE_TAR_PATH_MAX)
		return refuse(e, path, "its path is longer than 4095 bytes");
	if (w->has_dots)
		return refuse(e, path, "its path leads out with '..'");
	if (w->depth > IMAGE_TAR_DEPTH_MAX)
		return refuse(e, path, "it lies more than 128 folders deep");
	if (w->last_len > 255)
		return refuse(e, path, "its name is longer than 255 bytes");
	return 0;
}

/* .wh.NAME removes NAME of lower layers; .wh..wh..opq all its siblings. */
static int judge_whiteout(const char *path, const struct walk *w, struct err *e)
{
	static const char prefix[] = ".wh.";
	const size_t len = sizeof(prefix) - 1;
	const char *rest = w->last + len;
	const size_t rest_len = w->last_len - len;

	if (w->last_len < len || memcmp(w->last, prefix, len) != 0)
		return 0;
	if (!rest_len || (rest_len == 1 && rest[0] == '.') ||
	    (rest_len == 2 && rest[0] == '.' && rest[1] == '.'))
		return refuse(e, path,
			      "it removes a whole folder, or what is above it");
	return 0;
}

static int judge_link(const struct image_entry *entry, struct err *e)
{
	struct walk target;

	if (strlen(entry->link) > IMAGE_TAR_PATH_MAX)
		return refuse(e, entry->path,
			      "its target is longer than 4095 bytes");
	walk_path(entry->link, &target);
	if (entry->type == '1' && (target.has_dots || !target.depth))
		return refuse(e, entry->path,
			      "it is a hard link that leads out of the image");
	return 0;
}

int image_entry_judge(const struct image_entry *entry, struct err *e)
{
	struct walk w;
	int r;

	walk_path(entry->path, &w);
	r = judge_path(entry->path, &w, e);
	if (!r)
		r = judge_whiteout(entry->path, &w, e);
	if (r)
		return r;
	switch (entry->type) {
	case 0:
	case '0':
	case 'S':
		if (!w.depth)
			break;
		return 0;
	case '1':
	case '2':
		if (!w.depth)
			break;
		return judge_link(entry, e);
	case '3':
	case '4':
		/* /dev is the guest's own, whatever the image has there. */
		if (w.depth > 1 && w.first_len == 3 &&
		    !memcmp(w.first, "dev", 3))
			return 0;
		return refuse(e, entry->path,
			      "it is a device node outside /dev");
	case '5':
	case '6':
		if (!w.depth && entry->type != '5')
			break;
		return 0;
	default:
		return refuse(e, entry->path,
			      "its kind is one that images do not have");
	}
	return refuse(e, entry->path, "it would replace the root folder");
}
