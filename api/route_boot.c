/* PUT /boot-source: what to boot. */
#include "api/routes.h"

int route_boot_put(struct controller *c, const char *id, void *body,
		   json_t **json, struct err *e)
{
	(void)id;
	(void)json;
	return config_set_boot(&c->config, body, e);
}
