/* /network-interfaces/{id}: the guest's network. */
#include <errno.h>
#include <string.h>

#include "api/host_files.h"
#include "api/routes.h"

static int check_id(const char *body, const char *path, struct err *e)
{
	if (!strcmp(body, path))
		return 0;
	return err_set(e, -EINVAL,
		       "The iface_id '%.64s' differs from the '%s' of the "
		       "path.",
		       body, path);
}

int route_net_put(struct controller *c, const char *id, void *body,
		  json_t **json, struct err *e)
{
	struct config_net *net = body;
	int rc = check_id(net->iface_id, id, e);

	(void)json;
	rc = rc ? rc : host_files_check_net(net, e);
	return rc ? rc : config_set_net(&c->config, net, e);
}

int route_net_patch(struct controller *c, const char *id, void *body,
		    json_t **json, struct err *e)
{
	const struct config_net_patch *patch = body;
	int rc = check_id(patch->iface_id, id, e);

	(void)json;
	return rc ? rc : controller_patch_net(c, patch, e);
}
