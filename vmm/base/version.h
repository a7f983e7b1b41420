#pragma once

/* The Makefile says it; what reads the source alone has none. */
#ifndef MAYFLY_VERSION
#define MAYFLY_VERSION "0"
#endif

/* The version of the Firecracker API and flags that it speaks. */
#ifndef WIRE_VERSION
#define WIRE_VERSION "0"
#endif
