/* Which machine an image is for. */
#include "api/ctl/image/platform.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>
#include <sys/utsname.h>

static const char *text_of(const json_t *object, const char *key)
{
	const char *text = json_string_value(json_object_get(object, key));

	return text ? text : "";
}

const char *image_platform_host(void)
{
	struct utsname u;

	if (!uname(&u) && !strcmp(u.machine, "aarch64"))
		return "arm64";
	return "amd64";
}

static const char *const same[][2] = {
	{"x86_64", "amd64"}, {"x86-64", "amd64"},  {"x64", "amd64"},
	{"amd64", "amd64"},  {"aarch64", "arm64"}, {"arm64", "arm64"},
};

const char *image_platform_plain(const char *arch)
{
	unsigned i;

	for (i = 0; i < sizeof(same) / sizeof(same[0]); i++)
		if (!strcasecmp(arch, same[i][0]))
			return same[i][1];
	return arch;
}

/* The variant every machine of an architecture runs. */
static bool is_base(const char *variant)
{
	return !*variant || !strcasecmp(variant, "v1") ||
	       !strcasecmp(variant, "v8") || !strcmp(variant, "8");
}

int image_platform_parse(const char *word, char arch[IMAGE_ARCH_SIZE],
			 struct err *e)
{
	const char *rest = word;
	const char *variant;
	const char *plain;
	char name[IMAGE_ARCH_SIZE];

	snprintf(arch, IMAGE_ARCH_SIZE, "%s", image_platform_host());
	if (!word || !strcasecmp(word, "linux"))
		return 0;
	if (!strncasecmp(rest, "linux/", strlen("linux/")))
		rest += strlen("linux/");
	variant = strchrnul(rest, '/');
	snprintf(name, sizeof(name), "%.*s", (int)(variant - rest), rest);
	plain = image_platform_plain(name);
	if ((strcmp(plain, "amd64") != 0 && strcmp(plain, "arm64") != 0) ||
	    (*variant && (!variant[1] || !is_base(variant + 1))))
		return err_set(e, -EINVAL,
			       "--platform is linux/amd64 or linux/arm64, not "
			       "'%s'",
			       word);
	snprintf(arch, IMAGE_ARCH_SIZE, "%s", plain);
	return 0;
}

static bool is_for(const json_t *item, const char *arch, bool is_any_variant)
{
	const json_t *platform = json_object_get(item, "platform");

	return !strcasecmp(text_of(platform, "os"), "linux") &&
	       !strcmp(image_platform_plain(text_of(platform, "architecture")),
		       arch) &&
	       (is_any_variant || is_base(text_of(platform, "variant")));
}

void image_platforms_add(struct image_platforms *p, const char *os,
			 const char *arch)
{
	char one[32];

	snprintf(one, sizeof(one), "%.12s/%.12s", os, arch);
	/* Of several variants, and of attestations, once. */
	if (!*arch || !strcmp(arch, "unknown") || strstr(p->text, one) ||
	    p->at + sizeof(one) >= sizeof(p->text))
		return;
	p->at += (size_t)snprintf(p->text + p->at, sizeof(p->text) - p->at,
				  "%s%s", p->at ? ", " : "", one);
}

const char *image_platform_words(const char *arch, char out[64])
{
	snprintf(out, 64, "%slinux/%.15s",
		 strcmp(arch, image_platform_host()) ? "" : "this machine's ",
		 arch);
	return out;
}

const json_t *image_platform_choose(const json_t *manifests, const char *arch,
				    struct err *e)
{
	const size_t count = json_array_size(manifests);
	struct image_platforms others = {.at = 0};
	char words[64];
	size_t i;

	/* First without variants, which a machine might not be. */
	for (i = 0; i < 2 * count; i++) {
		const json_t *item = json_array_get(manifests, i % count);

		if (is_for(item, arch, i >= count))
			return item;
	}
	for (i = 0; i < count; i++) {
		const json_t *platform = json_object_get(
			json_array_get(manifests, i), "platform");

		image_platforms_add(&others, text_of(platform, "os"),
				    text_of(platform, "architecture"));
	}
	err_set(e, -ENOEXEC, "the image is not made for %s, but for %s",
		image_platform_words(arch, words),
		others.at ? others.text : "nothing");
	return NULL;
}
