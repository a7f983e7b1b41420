#pragma once

#include "api/ctl/containerd/service.h"

/* One call of containerd.task.v2.Task: answered now, or when it can be. */
void method_serve(struct service *s, struct ttrpc_call *c);
