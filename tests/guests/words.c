/* What a bare guest is told by its command line. */
#include "tests/guests/words.h"

#include "tests/guests/hostile.h"

enum { INFO_CMDLINE = 24 /* in struct hvm_start_info */ };

static const char *cmdline(void)
{
	return *(const char *const *)(const void *)(start_info + INFO_CMDLINE);
}

const char *word(const char *name)
{
	const char *at = cmdline();
	unsigned i;

	for (; *at; at++) {
		for (i = 0; name[i] && at[i] == name[i]; i++)
			;
		if (!name[i] && (at == cmdline() || at[-1] == ' '))
			return at + i;
	}
	return NULL;
}

uint32_t number(const char *name, uint32_t absent)
{
	const char *at = word(name);
	uint32_t n = 0;

	if (!at)
		return absent;
	for (; *at >= '0' && *at <= '9'; at++)
		n = n * 10 + (uint32_t)(*at - '0');
	return n;
}
