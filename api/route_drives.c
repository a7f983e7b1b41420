/* /drives/{id}: the block devices. */
#include <errno.h>
#include <string.h>

#include "api/routes.h"

int route_drive_put(struct controller *c, const char *id, void *body,
		    json_t **json, struct err *e)
{
	struct config_drive *drive = body;

	(void)json;
	if (strcmp(drive->drive_id, id) != 0)
		return err_set(e, -EINVAL,
			       "The drive_id '%.64s' differs from the '%s' of "
			       "the path.",
			       drive->drive_id, id);
	return config_set_drive(&c->config, drive, e);
}
