/* x */
#include "tests/guests/hostile.h"

const struct attack race_attacks[] = {
	{0},
};
