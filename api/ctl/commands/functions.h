#pragma once

#include <stdbool.h>

#include "api/ctl/serve/front.h"
#include "api/ctl/serve/function.h"
#include "vmm/base/err.h"

/* What `mayctl serve` is to serve, as command lines say it. */
struct functions {
	struct function_plan list[FRONT_FUNCTIONS_MAX]; /* what they own, too */
	unsigned count;
};

/* The options of a function that says nothing of them. */
struct function_options functions_usual(void);

/*
 * One more: a copy of like, which owns nothing, with that name and image.
 * -EINVAL and the like with a sentence.
 */
int functions_add(struct functions *f, const struct function_plan *like,
		  const char *name, const char *image, struct err *e);

/* "cold", "clone", "reset" */
int functions_mode(const char *text, enum function_mode *mode, struct err *e);

/* "text/plain; charset=utf-8" */
int functions_type(const char *text, char type[FUNCTION_TYPE_MAX + 1],
		   struct err *e);

/* A tap can't be several microVMs'. */
int functions_net(const char *text, char net[8], struct err *e);

/* How many of a function are made before they are needed, unless it says so. */
void functions_settle(struct function_options *o, bool has_spare);

/* Whether limits go together. */
int functions_judge(const struct function_options *o, struct err *e);

/*
 * Looks for the images, and finds out what to run in them and where they
 * listen. imports: those that are to be imported and are not there are, which
 * may take long; else they are missing.
 */
int functions_find_images(struct functions *f, bool imports, struct err *e);

void functions_fini(struct functions *f);
