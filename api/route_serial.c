/* PUT /serial: where the guest's serial output goes. */
#include "api/routes.h"

int route_serial_put(struct controller *c, const char *id, void *body,
		     json_t **json, struct err *e)
{
	(void)id;
	(void)json;
	return config_set_serial(&c->config, body, e);
}
