#pragma once

#include "api/ctl/serve/client.h"

/* The half of a client's request that a microVM answers. */
extern const struct client_calls call_calls;
