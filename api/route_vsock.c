/* PUT /vsock: the socket between guest and host. */
#include "api/routes.h"

int route_vsock_put(struct controller *c, const char *id, void *body,
		    json_t **json, struct err *e)
{
	(void)id;
	(void)json;
	return controller_set_vsock(c, body, e);
}
