#pragma once

/*
 * The upper bound of what a test may take. Machines are shared and busy, so no
 * test judges how quick something is: only that it came, and not too early.
 */
#define LATE_MS 60000ULL
#define LATE_NS (LATE_MS * 1000000)
