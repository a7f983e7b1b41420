#pragma once

/*
 * Capabilities without their CAP_, each at its number (linux/capability.h).
 * Those of kernels that come later are not among them.
 */
enum { CAPABILITY_COUNT = 41 };

extern const char *const capability_names[CAPABILITY_COUNT];
