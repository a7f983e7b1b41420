/* The smallest guest: its first instructions pull the reset line. */
#include "tests/guests/bare.inc"

start:	reset
