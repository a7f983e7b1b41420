/* AML that does not fit: what test_acpi's walk over whole tables can't see. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "vmm/arch/x86_64/aml.h"

static void a_template_beyond_its_size_byte_fails(void **state)
{
	uint8_t room[1024];
	struct cursor c = cursor_over(room, sizeof(room));
	size_t mark = aml_begin_crs(&c);
	unsigned i;

	(void)state;
	for (i = 0; i < 21; i++) /* 252 bytes, then the end tag */
		aml_memory(&c, 0, 0);
	aml_end_crs(&c, mark);
	assert_false(c.failed);
	c = cursor_over(room, sizeof(room));
	mark = aml_begin_crs(&c);
	for (i = 0; i < 22; i++)
		aml_memory(&c, 0, 0);
	aml_end_crs(&c, mark);
	assert_true(c.failed);
}

static void aml_without_room_fails_and_stays_inside(void **state)
{
	uint8_t room[128];
	size_t len, i, device, crs;

	(void)state;
	for (len = 0; len < 80; len++) {
		struct cursor c = cursor_over(room, len);

		memset(room, 0x5a, sizeof(room));
		device = aml_begin_device(&c, "V000");
		aml_name_text(&c, "_HID", "LNRO0005");
		aml_name_int(&c, "_UID", 0x12345);
		crs = aml_begin_crs(&c);
		aml_memory(&c, 0, 0);
		aml_interrupt(&c, 5);
		aml_end_crs(&c, crs);
		aml_end(&c, device);
		assert_int_equal(c.failed, len < 68);
		for (i = len; i < sizeof(room); i++)
			assert_int_equal(room[i], 0x5a);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_template_beyond_its_size_byte_fails),
		cmocka_unit_test(aml_without_room_fails_and_stays_inside),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
