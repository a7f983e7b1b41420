/* docker cp's rules, one line each. */
#include "api/ctl/commands/cp_place.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#define NO    COPY_MISSING
#define FILE_ COPY_FILE
#define DIR_  COPY_DIRECTORY

static const struct {
	const char *from;
	enum copy_kind from_kind;
	const char *to;
	enum copy_kind to_kind;
	const char *dir, *as; /* NULL: refused, with the words of as */
} cases[] = {
	/* A file: to a new name, over a file, into a directory. */
	{"f", FILE_, "/new", NO, "/", "new"},
	{"a/f", FILE_, "/tmp/new", NO, "/tmp", "new"},
	{"f", FILE_, "/new/", NO, NULL, "no directory /new/"},
	{"f", FILE_, "/etc/hosts", FILE_, "/etc", "hosts"},
	{"f", FILE_, "/etc/hosts/", FILE_, NULL, "no directory"},
	{"a/f", FILE_, "/tmp", DIR_, "/tmp", "f"},
	{"a/f", FILE_, "/tmp/", DIR_, "/tmp/", "f"},
	{"/f", FILE_, "/tmp/.", DIR_, "/tmp/.", "f"},
	{"f", FILE_, "/", DIR_, "/", "f"},
	{"f", FILE_, ".", DIR_, ".", "f"},
	{"f", FILE_, "new", NO, ".", "new"},
	{"f/", FILE_, "/tmp", DIR_, NULL, "is no directory"},
	/* A directory: as a new one, into one; its contents with a dot. */
	{"d", DIR_, "/new", NO, "/", "new"},
	{"d", DIR_, "/new/", NO, "/", "new"},
	{"a/d/", DIR_, "/a/b//new//", NO, "/a/b", "new"},
	{"d", DIR_, "/etc/hosts", FILE_, NULL, "no directory"},
	{"a/d", DIR_, "/app", DIR_, "/app", "d"},
	{"a/d/", DIR_, "/app", DIR_, "/app", "d"},
	{"a/d/.", DIR_, "/app", DIR_, "/app", ""},
	{"a/d/.", DIR_, "/new", NO, "/", "new"},
	{"a/d/./", DIR_, "/app", DIR_, "/app", ""},
	{".", DIR_, "/app", DIR_, "/app", ""},
	{"/", DIR_, "out", DIR_, "out", ""},
	{"/", DIR_, "out", NO, ".", "out"},
	{"d", DIR_, "out/..", NO, NULL, "no directory"},
	/* What is not there. */
	{"f", NO, "/tmp", DIR_, NULL, "there is no f"},
	{"f/", NO, "/tmp", DIR_, NULL, "there is no f/"},
};

static void goes_where_docker_has_it(void **state)
{
	unsigned i;

	(void)state;
	for (i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		const struct copy_end from = {cases[i].from,
					      cases[i].from_kind};
		const struct copy_end to = {cases[i].to, cases[i].to_kind};
		struct copy_place place = {0};
		struct err e = {0};
		const int rc = copy_place(&from, &to, &place, &e);
		const bool is_right =
			cases[i].dir
				? !rc && !strcmp(place.dir, cases[i].dir) &&
					  !strcmp(place.as, cases[i].as)
				: rc < 0 && strstr(e.text, cases[i].as);

		if (!is_right)
			fail_msg("%s to %s: %d, '%s', '%s', %s", cases[i].from,
				 cases[i].to, rc, place.dir, place.as, e.text);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(goes_where_docker_has_it),
	};

	return cmocka_run_group_tests_name("cp_place", tests, NULL, NULL);
}
