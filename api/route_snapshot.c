/* /snapshot: saving the microVM, and going on from a saved one. */
#include "api/routes.h"

int route_snapshot_create(struct controller *c, const char *id, void *body,
			  json_t **json, struct err *e)
{
	(void)id;
	(void)json;
	return snapshot_create(c, body, e);
}

int route_snapshot_load(struct controller *c, const char *id, void *body,
			json_t **json, struct err *e)
{
	(void)id;
	(void)json;
	return snapshot_load(c, body, e);
}

int route_snapshot_fork(struct controller *c, const char *id, void *body,
			json_t **json, struct err *e)
{
	(void)id;
	(void)json;
	return snapshot_fork(c, body, e);
}

int route_snapshot_prepare(struct controller *c, const char *id, void *body,
			   json_t **json, struct err *e)
{
	(void)id;
	(void)json;
	return snapshot_prepare(c, body, e);
}

int route_snapshot_finish(struct controller *c, const char *id, void *body,
			  json_t **json, struct err *e)
{
	(void)id;
	(void)json;
	return snapshot_finish(c, body, e);
}

int route_snapshot_mark(struct controller *c, const char *id, void *body,
			json_t **json, struct err *e)
{
	(void)id;
	(void)body;
	(void)json;
	return snapshot_mark(c, e);
}

int route_snapshot_reset(struct controller *c, const char *id, void *body,
			 json_t **json, struct err *e)
{
	(void)id;
	(void)json;
	return snapshot_reset(c, body, e);
}
