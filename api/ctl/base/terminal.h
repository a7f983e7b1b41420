#pragma once

#include <stdbool.h>
#include <stdint.h>

/* The terminal that mayctl was typed at. */
struct terminal_size {
	uint16_t rows;
	uint16_t columns;
};

/* Whether stdin and stdout are terminals. */
bool terminal_is_there(void);

/*
 * Raw mode on stdin: keys go to the container as they are. What exit(),
 * terminal_restore() and fatal signals undo.
 */
void terminal_make_raw(void);
void terminal_restore(void);

/* Of stdout; 24 by 80 where it can't be told. */
struct terminal_size terminal_size_now(void);
