/* The drives of a configuration, and their limiters. */
#include <ctype.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "api/config.h"

/*
 * A PARTUUID ends up on the kernel's command line, where a space would start
 * another argument.
 */
static int check_partuuid(const char *partuuid, struct err *e)
{
	const char *c;

	for (c = partuuid; *c; c++)
		if (!isxdigit((unsigned char)*c) && *c != '-')
			break;
	if (*c || c == partuuid)
		return err_set(e, -EINVAL,
			       "The partuuid must be hexadecimal digits and "
			       "hyphens, as in 0eaa91a0-01.");
	return 0;
}

static int check_drive(const struct config_drive *body, struct err *e)
{
	int rc = config_check_id(body->drive_id, e);

	if (rc)
		return rc;
	if (!body->path_on_host || !*body->path_on_host)
		return err_set(e, -EINVAL, "The drive %s needs a path_on_host.",
			       body->drive_id);
	rc = config_check_overlay(body, e);
	return !rc && body->partuuid ? check_partuuid(body->partuuid, e) : rc;
}

int config_check_overlay(const struct config_drive *drive, struct err *e)
{
	if (!drive->has_overlay)
		return 0;
	if (drive->is_read_only)
		return err_set(e, -EINVAL,
			       "The drive %s is read-only, so there is nothing "
			       "for its overlay; leave one of the two out.",
			       drive->drive_id);
	if (drive->overlay.dir_on_host && !*drive->overlay.dir_on_host)
		return err_set(e, -EINVAL,
			       "The dir_on_host of the drive %s is empty; "
			       "leave it out for an overlay in memory.",
			       drive->drive_id);
	return 0;
}

int config_find_drive(const struct vm_config *c, const char *id, struct err *e)
{
	uint32_t i;

	for (i = 0; i < c->drive_count; i++)
		if (!strcmp(c->drives[i].drive_id, id))
			return (int)i;
	return err_set(e, -ENOENT, "There is no drive of the id '%.64s'.", id);
}

int config_set_drive(struct vm_config *c, struct config_drive *body,
		     struct err *e)
{
	const struct config_drive *root = config_root(c);
	uint32_t i;
	int rc = check_drive(body, e);

	if (rc)
		return rc;
	for (i = 0; i < c->drive_count; i++)
		if (!strcmp(c->drives[i].drive_id, body->drive_id))
			break;
	if (body->is_root_device && root && root != &c->drives[i])
		return err_set(e, -EEXIST,
			       "The drive %s is the root device already: only "
			       "one drive can be.",
			       root->drive_id);
	if (i == CONFIG_DRIVES_MAX)
		return err_set(e, -ENOSPC,
			       "A microVM can have at most %d drives.",
			       CONFIG_DRIVES_MAX);
	if (i == c->drive_count)
		c->drive_count++;
	else
		json_unbind(&config_drive_table, &c->drives[i]);
	c->drives[i] = *body;
	memset(body, 0, sizeof(*body));
	return 0;
}

const struct config_drive *config_root(const struct vm_config *c)
{
	uint32_t i;

	for (i = 0; i < c->drive_count; i++)
		if (c->drives[i].is_root_device)
			return &c->drives[i];
	return NULL;
}

void config_merge_limiter(struct config_limiter *to,
			  const struct config_limiter *from)
{
	if (from->has_bandwidth)
		to->bandwidth = from->bandwidth;
	if (from->has_ops)
		to->ops = from->ops;
	to->has_bandwidth |= from->has_bandwidth;
	to->has_ops |= from->has_ops;
}

void config_patch_drive(struct config_drive *drive,
			struct config_drive_patch *body)
{
	if (body->path_on_host) {
		free(drive->path_on_host);
		drive->path_on_host = body->path_on_host;
		body->path_on_host = NULL;
	}
	if (body->has_rate_limiter) {
		config_merge_limiter(&drive->rate_limiter, &body->rate_limiter);
		drive->has_rate_limiter = true;
	}
}
