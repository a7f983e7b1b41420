/* The metrics' part of the configuration. */
#include "api/config.h"

#include <errno.h>

static const struct field metrics_fields[] = {
	{
		.name = "metrics_path",
		.type = FIELD_STRING,
		.flags = FIELD_REQUIRED,
		FIELD_AT(struct config_metrics, metrics_path),
	},
};

const struct field_table config_metrics_table =
	FIELD_TABLE("metrics", struct config_metrics, metrics_fields);

int config_check_metrics(const struct config_metrics *body, struct err *e)
{
	if (!body->metrics_path[0])
		return err_set(e, -EINVAL, "metrics_path must not be empty");
	return 0;
}

void config_set_metrics(struct vm_config *c, struct config_metrics *body)
{
	json_unbind(&config_metrics_table, &c->metrics);
	c->metrics = *body;
	*body = (struct config_metrics){0};
}
