/*
 * A state file: as it comes, and with its sums and its tag made right, whatever
 * it says it is taken or refused with a sentence. What is taken is walked, and
 * written again to the byte.
 */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "tests/unit/state_bytes.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* Asks for more, and less, than there may be: a walk's end is judged, too. */
static void walk(const struct state *s, const char *name)
{
	struct err e = {0};
	struct visitor v;
	uint8_t bytes[24];
	uint64_t number;
	bool yes;

	if (state_section(s, name, 7, &v, &e)) {
		if (!e.text[0])
			abort();
		return;
	}
	visit_u64(&v, &number);
	visit_bool(&v, &yes);
	if (visit_check(&v, number <= sizeof(bytes), "a number of %zu at most",
			sizeof(bytes)))
		visit_bytes(&v, bytes, number);
	if (visitor_end(&v) && !e.text[0])
		abort();
	visitor_fini(&v);
}

static void take(const uint8_t *data, size_t size, const struct state_key *key)
{
	struct err e = {0};
	struct state *s;
	uint8_t *again;
	size_t len;
	unsigned i;

	if (state_decode(&s, data, size, key, &e)) {
		if (!e.text[0] || s)
			abort();
		return;
	}
	for (i = 0; state_name(s, i); i++)
		walk(s, state_name(s, i));
	if (!i || state_encode(s, key, &again, &len, &e) || len != size ||
	    memcmp(again, data, len))
		abort();
	free(again);
	state_free(s);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const struct state_key key = {.bytes = "a key", .len = 5};
	uint8_t *copy = malloc(size + 1);

	if (!copy)
		return 0;
	memcpy(copy, data, size);
	take(copy, size, NULL);
	take(copy, size, &key);
	/* That of a fixed place is no hurdle either. */
	if (size >= STATE_HEAD_LEN && size % 2) {
		memcpy(copy, "mayflyst", 8);
		state_bytes_put(copy + HEAD_LEN, size, 8);
	}
	state_bytes_mend(copy, size, NULL);
	take(copy, size, NULL);
	state_bytes_mend(copy, size, &key);
	take(copy, size, &key);
	free(copy);
	return 0;
}
