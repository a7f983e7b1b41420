#pragma once

#include "api/ctl/serve/front.h"

/*
 * What / answers: a page of HTML for a person, whole in itself and without a
 * script, that a browser asks for again by itself. Owned text, NULL where there
 * is no memory. Thread: the loop's.
 */
char *page_of(const struct front *f);
