/*
 * Signals that we rely on; and names of signals, as `mayctl kill -s` and
 * images' StopSignal have them.
 */
#include "api/ctl/base/signals.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

enum { RT_MIN = 34, RT_MAX = 64 };

void signals_init(void)
{
	signal(SIGCHLD, SIG_DFL);
	signal(SIGXFSZ, SIG_IGN);
}

static int parse_number(const char *text)
{
	char *end;
	long value = strtol(text, &end, 10);

	return *text >= '0' && *text <= '9' && !*end && value >= 1 &&
			       value <= RT_MAX
		       ? (int)value
		       : -1;
}

static int parse_realtime(const char *text)
{
	int offset;

	if (!strcasecmp(text, "RTMIN"))
		return RT_MIN;
	if (!strcasecmp(text, "RTMAX"))
		return RT_MAX;
	if (!strncasecmp(text, "RTMIN+", 6)) {
		offset = parse_number(text + 6);
		return offset > 0 && offset <= RT_MAX - RT_MIN ? RT_MIN + offset
							       : -1;
	}
	if (!strncasecmp(text, "RTMAX-", 6)) {
		offset = parse_number(text + 6);
		return offset > 0 && offset <= RT_MAX - RT_MIN ? RT_MAX - offset
							       : -1;
	}
	return -1;
}

/* Other names of theirs, which signal(7) lists and images have. */
static const struct {
	const char *name;
	int number;
} aliases[] = {
	{"IO", SIGIO},
	{"IOT", SIGIOT},
	{"CLD", SIGCHLD},
	{"UNUSED", SIGSYS},
};

int signals_parse(const char *text)
{
	unsigned k;
	int i;

	if (*text >= '0' && *text <= '9')
		return parse_number(text);
	if (!strncasecmp(text, "SIG", 3))
		text += 3;
	for (i = 1; i < 32; i++) {
		const char *name = sigabbrev_np(i);

		if (name && !strcasecmp(name, text))
			return i;
	}
	for (k = 0; k < sizeof(aliases) / sizeof(aliases[0]); k++)
		if (!strcasecmp(aliases[k].name, text))
			return aliases[k].number;
	return parse_realtime(text);
}

void signals_name(int number, char out[SIGNALS_NAME_SIZE])
{
	const char *name = number < RT_MIN ? sigabbrev_np(number) : NULL;

	if (name)
		snprintf(out, SIGNALS_NAME_SIZE, "SIG%s", name);
	else if (number < RT_MIN)
		snprintf(out, SIGNALS_NAME_SIZE, "%d", number);
	else if (number == RT_MIN)
		snprintf(out, SIGNALS_NAME_SIZE, "SIGRTMIN");
	else
		snprintf(out, SIGNALS_NAME_SIZE, "SIGRTMIN+%d",
			 number - RT_MIN);
}
