#pragma once

/* The Makefile says it; what reads the source alone has none. */
#ifndef MAYFLY_VERSION
#define MAYFLY_VERSION "0"
#endif
