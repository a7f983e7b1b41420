#pragma once

/*
 * The number of "TERM", "SIGTERM", "15", "RTMIN+3" as Linux has it on x86_64
 * and arm64, -1 for anything else.
 */
int signals_parse(const char *text);
