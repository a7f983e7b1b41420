/* An exception without an interrupt table faults three times: a reset. */
#include "tests/guests/bare.inc"

start:	lidt empty
	ud2

empty:	.word 0
	.long 0
