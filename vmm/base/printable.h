#pragma once

#include <stddef.h>
#include <stdint.h>

/*
 * The length of the character of UTF-8 that begins here (RFC 3629: no longer
 * forms than need be, no surrogates, nothing over U+10FFFF), or 0; left is at
 * least 1.
 */
size_t utf8_take(const uint8_t *b, size_t left, uint32_t *code);

/*
 * Copies text of somebody else's for a terminal. What could move a cursor, end
 * a line, or turn the direction of writing is written \xNN for each of its
 * bytes, and so is what is no UTF-8: control characters of both sets (ISO/IEC
 * 6429, C0 and C1, these also as single bytes), DEL, and Unicode's separators
 * and marks of direction. Ends with a NUL, between two characters; returns the
 * length.
 */
size_t printable_copy(const void *from, size_t len, char *to, size_t size);

/*
 * The same in place, for a line of a log: each byte of what could do something
 * becomes a blank. Bytes that are no UTF-8 stay, but for C1's.
 */
void printable_blank(char *text, size_t len);
