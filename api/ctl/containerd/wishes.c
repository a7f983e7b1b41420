#include "api/ctl/containerd/wishes.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "vmm/base/printable.h"

#define PREFIX "io.mayfly."

enum { SHOWN = 64 };

/* As much of an annotation as a sentence has room for, for any terminal. */
static const char *show(const char *text, char out[SHOWN])
{
	printable_copy(text, strlen(text), out, SHOWN);
	return out;
}

/* Decimal digits and nothing else, from least to most. */
static int take_number(const struct spec *s, const char *name, uint64_t least,
		       uint64_t most, uint64_t *out, struct err *e)
{
	const char *text = spec_annotation(s, name);
	char shown[SHOWN];
	uint64_t n = 0;

	if (!text)
		return 0;
	/* So few have no room for a number that is too large to be one. */
	if (*text && strlen(text) <= 12 &&
	    strspn(text, "0123456789") == strlen(text))
		n = strtoull(text, NULL, 10);
	if (n < least || n > most)
		return err_set(e, -EINVAL,
			       "the annotation %s is \"%s\"; it has to be a "
			       "number from %llu to %llu, which is what this "
			       "host and its shim.json let a pod have",
			       name, show(text, shown),
			       (unsigned long long)least,
			       (unsigned long long)most);
	*out = n;
	return 0;
}

static uint64_t least(uint64_t a, uint64_t b)
{
	return a < b ? a : b;
}

static int take_size(struct wishes *w, const struct host_config *c,
		     const struct spec *s, struct err *e)
{
	const uint64_t host_mib = host_memory_mib();
	uint64_t cpus = c->vcpus, mib = c->memory_mib;
	int rc = take_number(s, PREFIX "vcpus", 1,
			     least(host_cpus(), c->vcpus_max), &cpus, e);

	if (!rc)
		rc = take_number(s, PREFIX "memory_mib", HOST_MEMORY_MIN,
				 c->memory_mib_max
					 ? least(host_mib, c->memory_mib_max)
					 : host_mib,
				 &mib, e);
	w->vcpus = (uint32_t)cpus;
	w->memory_mib = mib;
	return rc;
}

/* A name is no path: which files there are to choose from the host says. */
static bool is_name(const char *text)
{
	return *text && *text != '.' && strlen(text) <= NAME_MAX &&
	       strspn(text, "abcdefghijklmnopqrstuvwxyz"
			    "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
			    "0123456789._-") == strlen(text);
}

static int take_kernel(struct wishes *w, const struct host_config *c,
		       const struct spec *s, struct err *e)
{
	const char *text = spec_annotation(s, PREFIX "kernel");
	char shown[SHOWN];
	int n;

	if (!text) {
		n = snprintf(w->kernel, sizeof(w->kernel), "%s",
			     c->kernel ? c->kernel : "");
	} else if (!c->kernels || !is_name(text)) {
		return err_set(e, -EINVAL,
			       "the annotation " PREFIX "kernel is \"%s\"; "
			       "%s",
			       show(text, shown),
			       c->kernels ? "it has to be the name of a file "
					    "in shim.json's \"kernels\""
					  : "shim.json has to name a folder "
					    "of \"kernels\" for that");
	} else {
		n = snprintf(w->kernel, sizeof(w->kernel), "%s/%s", c->kernels,
			     text);
	}
	return n < (int)sizeof(w->kernel) ? 0
					  : err_set(e, -ENAMETOOLONG,
						    "the kernel's path is too "
						    "long");
}

static int take_warm(struct wishes *w, const struct host_config *c,
		     const struct spec *s, struct err *e)
{
	const char *text = spec_annotation(s, PREFIX "warm");
	char shown[SHOWN];

	w->is_warm = text ? !strcmp(text, "true") : c->is_warm;
	if (text && !w->is_warm && strcmp(text, "false") != 0)
		return err_set(e, -EINVAL,
			       "the annotation " PREFIX "warm is \"%s\"; it "
			       "has to be \"true\" or \"false\"",
			       show(text, shown));
	return 0;
}

int wishes_read(struct wishes *w, const struct host_config *c,
		const struct spec *s, struct err *e)
{
	int rc = take_size(w, c, s, e);

	if (!rc)
		rc = take_kernel(w, c, s, e);
	return rc ? rc : take_warm(w, c, s, e);
}
