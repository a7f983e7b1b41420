#pragma once

/*
 * Signals that whoever started us may have set: that children end is told, or
 * there were no statuses of theirs; a limit of the size of files fails the
 * write.
 */
void signals_init(void);

/*
 * The number of "TERM", "SIGTERM", "15", "RTMIN+3" as Linux has it on x86_64
 * and arm64, -1 for anything else.
 */
int signals_parse(const char *text);

enum { SIGNALS_NAME_SIZE = 24 };

/* The reverse, of a number that signals_parse() gave: "SIGTERM". */
void signals_name(int number, char out[SIGNALS_NAME_SIZE]);
