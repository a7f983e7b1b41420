/* /drives/{id}: the block devices. */
#include <errno.h>
#include <string.h>

#include "api/host_files.h"
#include "api/routes.h"

static int check_id(const char *body, const char *path, struct err *e)
{
	if (!strcmp(body, path))
		return 0;
	return err_set(e, -EINVAL,
		       "The drive_id '%.64s' differs from the '%s' of the "
		       "path.",
		       body, path);
}

int route_drive_put(struct controller *c, const char *id, void *body,
		    json_t **json, struct err *e)
{
	struct config_drive *drive = body;
	int rc = check_id(drive->drive_id, id, e);

	(void)json;
	rc = rc ? rc : host_files_check_drive(drive, e);
	return rc ? rc : config_set_drive(&c->config, drive, e);
}

int route_drive_patch(struct controller *c, const char *id, void *body,
		      json_t **json, struct err *e)
{
	struct config_drive_patch *patch = body;
	int rc = check_id(patch->drive_id, id, e);

	(void)json;
	return rc ? rc : controller_patch_drive(c, patch, e);
}
