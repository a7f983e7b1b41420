/* /machine-config: vCPUs and memory. */
#include "api/routes.h"

int route_machine_get(struct controller *c, const char *id, void *body,
		      json_t **json, struct err *e)
{
	(void)id;
	(void)body;
	(void)e;
	*json = json_dump(&config_machine_table, &c->config.machine);
	return 0;
}

int route_machine_put(struct controller *c, const char *id, void *body,
		      json_t **json, struct err *e)
{
	(void)id;
	(void)json;
	return config_set_machine(&c->config, body, e);
}

int route_machine_patch(struct controller *c, const char *id, void *body,
			json_t **json, struct err *e)
{
	(void)id;
	(void)json;
	return config_patch_machine(&c->config, body, e);
}
