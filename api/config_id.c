/* What may be an id. */
#include <ctype.h>
#include <errno.h>
#include <string.h>

#include "api/config.h"

int config_check_id(const char *id, struct err *e)
{
	const char *c;

	if (!*id)
		return err_set(e, -EINVAL, "The ID cannot be empty.");
	for (c = id; *c; c++)
		if (!isalnum((unsigned char)*c) && *c != '_')
			return err_set(e, -EINVAL,
				       "API Resource IDs can only contain "
				       "alphanumeric characters and "
				       "underscores.");
	if (strlen(id) > CONFIG_ID_MAX)
		return err_set(e, -EINVAL,
			       "An ID can have at most %d characters.",
			       CONFIG_ID_MAX);
	return 0;
}
