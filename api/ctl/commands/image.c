/* mayctl image: import, ls, rm, gc, inspect. */
#include <errno.h>
#include <inttypes.h>
#include <jansson.h>
#include <signal.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "api/ctl/commands/ctl.h"
#include "api/ctl/commands/run.h"
#include "api/ctl/commands/show.h"
#include "api/ctl/image/image.h"
#include "api/ctl/image/platform.h"
#include "api/ctl/image/store.h"
#include "api/ctl/vm/warm.h"
#include "vmm/base/args.h"

enum { SHORT_DIGEST = 12, SIZE_TEXT = 24 };

static int usage(const char *why)
{
	ctl_complain("image: %s; --help shows how", why);
	return CTL_USAGE;
}

static int refused(const struct err *e)
{
	ctl_complain("%s", e->text);
	return CTL_REFUSED;
}

static const char *size_text(uint64_t bytes, char out[SIZE_TEXT])
{
	if (bytes < 1048576)
		snprintf(out, SIZE_TEXT, "%.1f KiB", (double)bytes / 1024);
	else
		snprintf(out, SIZE_TEXT, "%.1f MiB", (double)bytes / 1048576);
	return out;
}

/* ---- import ------------------------------------------------------------ */

static void warn(const char *sentence)
{
	ctl_complain("%s", sentence);
}

/*
 * An import that has put its image in place ends with status 0, whatever comes
 * then: the status tells what is in the store.
 */
static void hold_signals(void)
{
	sigset_t set;

	sigemptyset(&set);
	sigaddset(&set, SIGINT);
	sigaddset(&set, SIGTERM);
	sigaddset(&set, SIGHUP);
	sigprocmask(SIG_BLOCK, &set, NULL);
}

/* First, so that its fields are where the table has them. */
struct import {
	struct image_import how;
	bool is_warm;
};

static int import(int argc, char **argv)
{
	static const struct arg table[] = {
		{"name", "NAME", NULL, offsetof(struct image_import, name)},
		{"platform", "PLATFORM", NULL,
		 offsetof(struct image_import, platform)},
		{"quiet", NULL, NULL, offsetof(struct image_import, is_quiet)},
		{"warm", NULL, NULL, offsetof(struct import, is_warm)},
	};
	struct import words = {.how.warn = warn};
	struct image image;
	struct err e;
	bool was_there;
	int status = CTL_OK;
	char size[SIZE_TEXT];
	char arch[IMAGE_ARCH_SIZE];
	struct args a = ARGS(table, 0, argc, argv);
	enum args_found found;

	while ((found = args_next(&a))) {
		if (found == ARGS_VALUELESS)
			return usage(strcmp(a.arg->name, "name")
					     ? "--platform needs one, such as "
					       "linux/arm64"
					     : "--name needs a name");
		if (found == ARGS_OPTION)
			(void)args_set(&a, &words, NULL);
		else if (found == ARGS_WORD && !words.how.ref)
			words.how.ref = a.word;
		else
			return usage("import takes one REF, --name, "
				     "--platform, --warm and --quiet");
	}
	if (!words.how.ref)
		return usage("import needs a REF");
	if (words.is_warm &&
	    !image_platform_parse(words.how.platform, arch, NULL) &&
	    strcmp(arch, image_platform_host()) != 0)
		return usage("--warm is for images of this machine's "
			     "platform; leave it or --platform out");
	hold_signals();
	if (image_import(&words.how, &image, &was_there, &e))
		return refused(&e);
	if (!words.how.is_quiet)
		printf("%s %.*s %s%s\n", image.name, SHORT_DIGEST,
		       image.digest + strlen("sha256:"),
		       size_text(image.size_bytes, size),
		       was_there ? " (was there)" : "");
	if (words.is_warm && run_warm_image(&image, &e)) {
		err_context(&e, "the image is there, but no guest at rest");
		status = refused(&e);
	}
	image_fini(&image);
	return status;
}

/* ---- ls ---------------------------------------------------------------- */

static json_t *describe(const struct image *image)
{
	return json_pack("{s:s, s:s, s:s, s:I, s:I, s:o, s:s, s:s}", "name",
			 image->name, "digest", image->digest, "path",
			 image->path, "size", (json_int_t)image->size_bytes,
			 "warm", (json_int_t)warm_bytes(image->path),
			 "platform", json_sprintf("linux/%s", image->arch),
			 "architecture", image->arch, "created",
			 image->created);
}

static int print_json(json_t *json)
{
	const int r = show_json(json, JSON_INDENT(2), stdout);

	json_decref(json);
	if (!r)
		return CTL_OK;
	ctl_complain("image: no memory for the answer");
	return CTL_REFUSED;
}

static void print_table(const struct image *list, size_t count)
{
	char size[SIZE_TEXT];
	int width = (int)strlen("NAME");
	size_t i;

	for (i = 0; i < count; i++)
		if ((int)strlen(list[i].name) > width)
			width = (int)strlen(list[i].name);
	printf("%-*s  %-*s  %-11s  %10s  %s\n", width, "NAME", SHORT_DIGEST,
	       "DIGEST", "PLATFORM", "SIZE", "CREATED");
	for (i = 0; i < count; i++)
		printf("%-*s  %.*s  linux/%-5s  %10s  %.19s\n", width,
		       list[i].name[0] ? list[i].name : "-", SHORT_DIGEST,
		       list[i].digest + strlen("sha256:"), list[i].arch,
		       size_text(list[i].size_bytes, size),
		       list[i].created[0] ? list[i].created : "-");
}

static void left_out(const char *name, const struct err *why)
{
	ctl_complain("image %s is left out: %s", name, why->text);
}

static int ls(int argc, char **argv)
{
	const bool is_json = argc == 2 && !strcmp(argv[1], "--json");
	struct image *list;
	size_t count;
	size_t i;
	struct err e;
	json_t *json;
	int r = CTL_OK;

	if (argc > 1 && !is_json)
		return usage("ls takes --json only");
	if (image_list(&list, &count, left_out, &e))
		return refused(&e);
	if (is_json) {
		json = json_array();
		for (i = 0; i < count; i++)
			json_array_append_new(json, describe(&list[i]));
		r = print_json(json);
	} else {
		print_table(list, count);
	}
	image_list_free(list, count);
	return r;
}

/* ---- rm, gc, inspect --------------------------------------------------- */

static int rm(int argc, char **argv)
{
	struct err e;
	int status = CTL_OK;
	int i;

	if (argc < 2)
		return usage("rm needs the NAME or digest of an image");
	for (i = 1; i < argc; i++)
		if (image_remove(argv[i], &e))
			status = refused(&e);
	return status;
}

/* Those of images that stay. */
static void gc_warm(struct warm_report *report)
{
	struct image *list = NULL;
	size_t count = 0, i;

	if (image_list(&list, &count, left_out, NULL))
		return;
	for (i = 0; i < count; i++)
		warm_sweep(list[i].path, report);
	image_list_free(list, count);
}

/* Those of containerd's pods are no image's: who wants one makes it again. */
static void gc_bare(struct warm_report *report)
{
	struct image_store store;
	char folder[PATH_MAX];

	if (!image_store_open(&store, false, NULL)) {
		snprintf(folder, sizeof(folder), "%s/warm", store.path);
		warm_sweep_folder(folder, report);
		warm_trim(folder, 0, report);
	}
	image_store_close(&store);
}

static int gc(int argc, char **argv)
{
	struct image_gc_report report;
	struct warm_report warm = {0};
	struct err e;
	char size[SIZE_TEXT];

	(void)argv;
	if (argc > 1)
		return usage("gc takes nothing more");
	if (image_gc(&report, &e))
		return refused(&e);
	gc_warm(&warm);
	gc_bare(&warm);
	printf("%u images, %u guests at rest and %u leftovers removed, %s "
	       "freed\n",
	       report.images + report.kept, warm.count, report.imports,
	       size_text(report.bytes + warm.bytes, size));
	return CTL_OK;
}

static json_t *list_of(char *const *strings)
{
	json_t *list = json_array();

	for (; *strings; strings++)
		json_array_append_new(list, json_string(*strings));
	return list;
}

static int inspect(int argc, char **argv)
{
	struct image image;
	const struct image_config *c = &image.config;
	struct err e;
	json_t *json;

	if (argc != 2)
		return usage("inspect needs one NAME or digest");
	if (image_find(argv[1], &image, &e))
		return refused(&e);
	json = describe(&image);
	if (json)
		json_object_set_new(
			json, "config",
			json_pack("{s:o, s:o, s:o, s:o, s:s, s:s, s:s}",
				  "Entrypoint", list_of(c->entrypoint), "Cmd",
				  list_of(c->cmd), "Env", list_of(c->env),
				  "ExposedPorts", list_of(c->exposed_ports),
				  "WorkingDir", c->working_dir, "User", c->user,
				  "StopSignal", c->stop_signal));
	image_fini(&image);
	return print_json(json);
}

int ctl_image(int argc, char **argv)
{
	static const struct {
		const char *name;
		int (*run)(int argc, char **argv);
	} verbs[] = {
		{"import", import}, {"ls", ls},		  {"rm", rm},
		{"gc", gc},	    {"inspect", inspect},
	};
	unsigned i;

	for (i = 0; argc > 1 && i < sizeof(verbs) / sizeof(verbs[0]); i++)
		if (!strcmp(argv[1], verbs[i].name))
			return verbs[i].run(argc - 1, argv + 1);
	return usage("it is one of import, ls, rm, gc, inspect");
}
