/* Error sentences: filled, cut, put in context, and never overrun. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "vmm/base/err.h"

static char long_word[2000];

/* Bytes behind the error, so that an overrun shows without a sanitizer too. */
struct fenced {
	struct err e;
	char fence[64];
};

static void fence_make(struct fenced *f)
{
	memset(f, 0, sizeof(*f));
	memset(f->fence, 0x5a, sizeof(f->fence));
}

static void fence_check(const struct fenced *f)
{
	size_t i;

	assert_non_null(memchr(f->e.text, 0, sizeof(f->e.text)));
	for (i = 0; i < sizeof(f->fence); i++)
		assert_int_equal(f->fence[i], 0x5a);
}

static void a_sentence_is_filled_and_its_code_returned(void **state)
{
	struct err e = {0};

	(void)state;
	assert_int_equal(err_set(&e, -EINVAL, "%u of %s", 3, "them"), -EINVAL);
	assert_int_equal(e.code, -EINVAL);
	assert_string_equal(e.text, "3 of them");
	assert_int_equal(err_set(&e, -ENOMEM, "again"), -ENOMEM);
	assert_int_equal(e.code, -ENOMEM);
	assert_string_equal(e.text, "again");
}

static void nowhere_to_write_is_fine(void **state)
{
	(void)state;
	assert_int_equal(err_set(NULL, -ENOSPC, "lost"), -ENOSPC);
	errno = EACCES;
	assert_int_equal(err_errno(NULL, "lost"), -EACCES);
	assert_true(err_context(NULL, "lost") < 0);
}

static void the_system_s_words_follow_ours(void **state)
{
	struct err e = {0};

	(void)state;
	errno = ENOENT;
	assert_int_equal(err_errno(&e, "can't open %s", "/x"), -ENOENT);
	assert_int_equal(e.code, -ENOENT);
	assert_string_equal(e.text, "can't open /x: No such file or directory");
}

static void a_forgotten_errno_is_still_an_error(void **state)
{
	struct err e = {0};

	(void)state;
	errno = 0;
	assert_int_equal(err_errno(&e, "odd"), -EIO);
	assert_int_equal(e.code, -EIO);
}

static void context_goes_before_and_keeps_the_code(void **state)
{
	struct err e = {0};

	(void)state;
	err_set(&e, -ENOEXEC, "truncated");
	assert_int_equal(err_context(&e, "kernel %s", "/x"), -ENOEXEC);
	assert_int_equal(e.code, -ENOEXEC);
	assert_string_equal(e.text, "kernel /x: truncated");
	assert_int_equal(err_context(&e, "boot"), -ENOEXEC);
	assert_string_equal(e.text, "boot: kernel /x: truncated");
}

static void a_long_sentence_is_cut(void **state)
{
	struct fenced f;

	(void)state;
	fence_make(&f);
	err_set(&f.e, -EINVAL, "%s", long_word);
	fence_check(&f);
	assert_int_equal(strlen(f.e.text), sizeof(f.e.text) - 1);
}

static void a_long_sentence_leaves_no_room_for_the_system_s(void **state)
{
	struct fenced f;

	(void)state;
	fence_make(&f);
	errno = ENOENT;
	assert_int_equal(err_errno(&f.e, "%s", long_word), -ENOENT);
	fence_check(&f);
	errno = ENOENT;
	err_errno(&f.e, "%.*s", (int)sizeof(f.e.text) - 4, long_word);
	fence_check(&f);
	assert_string_equal(f.e.text + sizeof(f.e.text) - 4, ": N");
}

static void a_long_context_cuts_what_it_precedes(void **state)
{
	struct fenced f;
	size_t len;

	(void)state;
	for (len = 500; len < 520; len++) {
		fence_make(&f);
		err_set(&f.e, -EINVAL, "%s", long_word);
		err_context(&f.e, "%.*s", (int)len, long_word);
		fence_check(&f);
		assert_int_equal(f.e.code, -EINVAL);
		assert_int_equal(strlen(f.e.text), sizeof(f.e.text) - 1);
	}
}

static void a_percent_sign_in_a_path_is_only_text(void **state)
{
	struct err e = {0};

	(void)state;
	err_set(&e, -EINVAL, "%s", "/tmp/%n%s");
	err_context(&e, "%s", "100%d");
	assert_string_equal(e.text, "100%d: /tmp/%n%s");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_sentence_is_filled_and_its_code_returned),
		cmocka_unit_test(nowhere_to_write_is_fine),
		cmocka_unit_test(the_system_s_words_follow_ours),
		cmocka_unit_test(a_forgotten_errno_is_still_an_error),
		cmocka_unit_test(context_goes_before_and_keeps_the_code),
		cmocka_unit_test(a_long_sentence_is_cut),
		cmocka_unit_test(
			a_long_sentence_leaves_no_room_for_the_system_s),
		cmocka_unit_test(a_long_context_cuts_what_it_precedes),
		cmocka_unit_test(a_percent_sign_in_a_path_is_only_text),
	};

	memset(long_word, 'x', sizeof(long_word) - 1);
	return cmocka_run_group_tests_name("err", tests, NULL, NULL);
}
