/* /metrics: where counters are written to, and what they are now. */
#include <errno.h>
#include <stdlib.h>

#include "api/routes.h"

int route_metrics_put(struct controller *c, const char *id, void *body,
		      json_t **json, struct err *e)
{
	(void)id;
	(void)json;
	return controller_set_metrics(c, body, e);
}

/* Answered as text: routes.c knows. */
int route_metrics_get(struct controller *c, const char *id, void *body,
		      json_t **json, struct err *e)
{
	char *text = metrics_text(&c->metrics);

	(void)id;
	(void)body;
	(void)e;
	if (text)
		*json = json_string(text);
	free(text);
	return 0;
}
