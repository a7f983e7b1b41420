#pragma once

#include "guest/agent/session.h"

/* Any request, by its type. */
session_serve request_serve;
