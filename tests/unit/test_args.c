/* Command lines by table: three ways to write one, and every way to fail. */
#include "vmm/base/args.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

enum { WORDS_MAX = 16 };

struct taken {
	const char *name;
	const char *net;
	unsigned envs;
	bool all;
	bool timing;
};

static int take_env(const struct args *a, void *into, struct err *e)
{
	struct taken *t = into;

	if (*a->value == '=')
		return err_set(e, -EINVAL, "no name in '%s'", a->value);
	t->envs++;
	return 0;
}

static const struct arg table[] = {
	{"name", "NAME", NULL, offsetof(struct taken, name), "its name",
	 .letter = 'n'},
	{"net", "NET", NULL, offsetof(struct taken, net), NULL},
	{"env", "NAME=VALUE", take_env, 0, "a variable", .letter = 'e',
	 .repeats = true},
	{"all", NULL, NULL, offsetof(struct taken, all), "all of them",
	 .letter = 'a'},
	{"timing", NULL, NULL, offsetof(struct taken, timing), "times",
	 .letter = 't'},
};

static char copy[512];
static char *words[WORDS_MAX + 1];

/* The words of text, divided by blanks; "" in it is an empty one. */
static struct args begin(const char *text, unsigned rules)
{
	char *save = NULL, *word;
	int count = 1;

	strncpy(copy, text, sizeof(copy) - 1);
	words[0] = copy;
	for (word = strtok_r(copy, " ", &save); word && count < WORDS_MAX;
	     word = strtok_r(NULL, " ", &save))
		words[count++] = strcmp(word, "\"\"") ? word : word + 2;
	words[count] = NULL;
	return (struct args)ARGS(table, rules, count, words);
}

/* Reads text up to what is no option; *t holds what was there. */
static enum args_found read_text(const char *text, unsigned rules,
				 struct taken *t, struct args *a)
{
	enum args_found found;

	*a = begin(text, rules);
	*t = (struct taken){0};
	while ((found = args_next(a)) == ARGS_OPTION)
		assert_int_equal(args_set(a, t, NULL), 0);
	return found;
}

static void finds(const char *text, unsigned rules, enum args_found wanted)
{
	struct taken t;
	struct args a;
	enum args_found found = read_text(text, rules, &t, &a);

	if (found != wanted)
		fail_msg("%s: %d, not %d", text, found, wanted);
}

static void the_plain_way_mixes_words_and_options(void **state)
{
	struct args a = begin("one --name=x -a two -n -a --env A=1 ''", 0);
	struct taken t = {0};

	(void)state;
	assert_int_equal(args_next(&a), ARGS_WORD);
	assert_string_equal(a.word, "one");
	assert_int_equal(args_next(&a), ARGS_OPTION);
	assert_int_equal(args_set(&a, &t, NULL), 0);
	assert_string_equal(t.name, "x");
	assert_int_equal(args_next(&a), ARGS_OPTION);
	assert_int_equal(args_set(&a, &t, NULL), 0);
	assert_true(t.all && !t.timing);
	assert_int_equal(args_next(&a), ARGS_WORD);
	assert_string_equal(a.word, "two");
	/* Whatever stands behind it is a value. */
	assert_int_equal(args_next(&a), ARGS_OPTION);
	assert_int_equal(args_set(&a, &t, NULL), 0);
	assert_string_equal(t.name, "-a");
	assert_int_equal(args_next(&a), ARGS_OPTION);
	assert_int_equal(args_set(&a, &t, NULL), 0);
	assert_int_equal(t.envs, 1);
	assert_int_equal(args_next(&a), ARGS_WORD);
	assert_int_equal(args_next(&a), ARGS_END);
	assert_int_equal(args_next(&a), ARGS_END);
}

static void the_plain_way_fails(void **state)
{
	(void)state;
	finds("--nam x", 0, ARGS_UNKNOWN);
	finds("--names x", 0, ARGS_UNKNOWN);
	finds("--", 0, ARGS_UNKNOWN);
	finds("-", 0, ARGS_UNKNOWN);
	finds("-x", 0, ARGS_UNKNOWN);
	finds("-at", 0, ARGS_UNKNOWN);
	finds("-nx", 0, ARGS_UNKNOWN);
	finds("--=", 0, ARGS_UNKNOWN);
	finds("--all=1", 0, ARGS_VALUED);
	finds("--all=", 0, ARGS_VALUED);
	finds("--name", 0, ARGS_VALUELESS);
	finds("--name=", 0, ARGS_VALUELESS);
	finds("--name \"\"", 0, ARGS_VALUELESS);
	finds("-n", 0, ARGS_VALUELESS);
	finds("-n=x -n y --all --all", 0, ARGS_END);
}

static void joined_is_as_getopt_has_it(void **state)
{
	struct taken t;
	struct args a;

	(void)state;
	assert_int_equal(read_text("-atnx --ne= -eA=1 -e B=2 --tim sh -a",
				   ARGS_JOINED, &t, &a),
			 ARGS_END);
	assert_true(t.all && t.timing && t.envs == 2);
	assert_string_equal(t.name, "x");
	assert_string_equal(t.net, "");
	assert_string_equal(words[a.at], "sh");
	assert_int_equal(read_text("-a -- -t", ARGS_JOINED, &t, &a), ARGS_END);
	assert_false(t.timing);
	assert_string_equal(words[a.at], "-t");
	assert_int_equal(read_text("-a - -t", ARGS_JOINED, &t, &a), ARGS_END);
	assert_string_equal(words[a.at], "-");
	assert_int_equal(read_text("-an -- x", ARGS_JOINED, &t, &a), ARGS_END);
	assert_string_equal(t.name, "--");
	assert_string_equal(words[a.at], "x");
	assert_int_equal(read_text("-a", ARGS_JOINED, &t, &a), ARGS_END);
	assert_int_equal(a.at, a.argc);
}

static void joined_fails(void **state)
{
	struct taken t;
	struct args a;

	(void)state;
	assert_int_equal(read_text("-a -tx b", ARGS_JOINED, &t, &a),
			 ARGS_UNKNOWN);
	assert_string_equal(a.word, "-tx");
	finds("--n x", ARGS_JOINED, ARGS_UNKNOWN); /* name or net */
	finds("--=x", ARGS_JOINED, ARGS_UNKNOWN);
	finds("--timings", ARGS_JOINED, ARGS_UNKNOWN);
	finds("--timing=1", ARGS_JOINED, ARGS_VALUED);
	finds("-an", ARGS_JOINED, ARGS_VALUELESS);
	finds("--name", ARGS_JOINED, ARGS_VALUELESS);
}

static void the_wire_takes_each_once(void **state)
{
	struct taken t;
	struct args a;

	(void)state;
	finds("--name x --name y", ARGS_WIRE, ARGS_TWICE);
	finds("--all --all", ARGS_WIRE, ARGS_TWICE);
	finds("--env A=1 --env B=2", ARGS_WIRE, ARGS_END);
	finds("--name --all", ARGS_WIRE, ARGS_VALUELESS);
	finds("--name -x", ARGS_WIRE, ARGS_END);
	finds("--", ARGS_WIRE, ARGS_UNKNOWN);
	assert_int_equal(
		read_text("--all -- --name", ARGS_WIRE | ARGS_REST, &t, &a),
		ARGS_END);
	assert_string_equal(words[a.at], "--name");
	assert_true(args_has(&a, 3));
	assert_false(args_has(&a, 0));
}

static void reading_all_of_it_gives_sentences(void **state)
{
	static const struct {
		const char *text;
		const char *says;
	} cases[] = {
		{"--bogus", "unknown argument '--bogus'; ask somebody"},
		{"word", "unknown argument 'word'; ask somebody"},
		{"--all --all", "--all is given twice"},
		{"--all=1", "--all takes no value"},
		{"--name", "--name needs a value: NAME"},
		{"--env =", "no name in '='"},
	};
	struct taken t = {0};
	struct args a;
	unsigned i;

	(void)state;
	for (i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct err e = {0};

		a = begin(cases[i].text, ARGS_WIRE);
		a.hint = "ask somebody";
		assert_int_equal(args_read(&a, &t, &e), -EINVAL);
		assert_string_equal(e.text, cases[i].says);
	}
	a = begin("--name x --timing", ARGS_WIRE);
	assert_int_equal(args_read(&a, &t, NULL), 0);
	assert_true(t.timing);
	assert_string_equal(t.name, "x");
}

static void numbers_are_digits(void **state)
{
	uint64_t n = 0;

	(void)state;
	assert_true(args_number("18446744073709551615", &n));
	assert_true(n == UINT64_MAX);
	assert_true(args_number("007", &n) && n == 7);
	assert_false(args_number("18446744073709551616", &n));
	assert_false(args_number("", &n));
	assert_false(args_number("-1", &n));
	assert_false(args_number("+1", &n));
	assert_false(args_number(" 1", &n));
	assert_false(args_number("1 ", &n));
	assert_false(args_number("0x1", &n));
}

static void help_lists_the_rows(void **state)
{
	char text[512] = "";
	FILE *to = fmemopen(text, sizeof(text), "w");

	(void)state;
	args_help(table, sizeof(table) / sizeof(table[0]), 12, to);
	fclose(to);
	assert_string_equal(text, "  --name NAME its name\n"
				  "  --env NAME=VALUEa variable; can be "
				  "repeated\n"
				  "  --all       all of them\n"
				  "  --timing    times\n");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_plain_way_mixes_words_and_options),
		cmocka_unit_test(the_plain_way_fails),
		cmocka_unit_test(joined_is_as_getopt_has_it),
		cmocka_unit_test(joined_fails),
		cmocka_unit_test(the_wire_takes_each_once),
		cmocka_unit_test(reading_all_of_it_gives_sentences),
		cmocka_unit_test(numbers_are_digits),
		cmocka_unit_test(help_lists_the_rows),
	};

	return cmocka_run_group_tests_name("args", tests, NULL, NULL);
}
