/* PUT /boot-source: what to boot. */
#include "api/host_files.h"
#include "api/routes.h"

int route_boot_put(struct controller *c, const char *id, void *body,
		   json_t **json, struct err *e)
{
	int rc = host_files_check_boot(body, e);

	(void)id;
	(void)json;
	return rc ? rc : config_set_boot(&c->config, body, e);
}
