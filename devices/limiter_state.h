#pragma once

#include "vmm/event/limiter.h"
#include "vmm/state/visit.h"

/*
 * Walks what is left in a limiter's buckets; their sizes are configuration.
 * Loaded, they go on from this moment: the time between is nobody's. Thread:
 * the loop's.
 */
void limiter_visit(struct visitor *w, struct limiter *l);
