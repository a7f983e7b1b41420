/* x */
#include "tests/guests/hostile.h"

const struct attack ring_attacks[] = {
	{0},
};
