/*
 * The routes. A request passes, in this order: is there a body where one
 * belongs; is there such a path; is the id one; does the body fit its table;
 * may it be asked now. Only then its handler runs.
 */
#include "api/routes.h"

#include <assert.h>
#include <errno.h>
#include <stdalign.h>
#include <stdio.h>
#include <string.h>

#include "vmm/base/clock.h"
#include "vmm/base/log.h"

#define LATER "This version of mayfly has no "
#define NEVER "is left out of mayfly by design: "

static const char no_balloon[] = "The balloon device " NEVER
				 "give the guest the memory it needs.";
static const char no_entropy[] = "The entropy device " NEVER
				 "guests seed themselves from the CPU.";
static const char no_pmem[] = "The pmem device " NEVER "use a read-only drive.";
static const char no_hotplug[] = "Memory hotplug " NEVER
				 "give the guest the memory it needs.";
static const char no_cpu_config[] = LATER "CPU templates yet.";
static const char no_mmds[] = LATER "metadata service yet.";

static const struct route table[] = {
	{"", "GET", ANY_TIME, route_info_get},
	{"version", "GET", ANY_TIME, route_version_get},
	{"vm", "PATCH", AFTER_START, route_vm_patch, &vm_body_table},
	{"vm/config", "GET", ANY_TIME, route_vm_config_get},
	/* InstanceStart and the other actions differ in when; see allowed(). */
	{"actions", "PUT", ANY_TIME, route_action_put, &action_body_table},
	{"boot-source", "PUT", BEFORE_START, route_boot_put,
	 &config_boot_table},
	{"machine-config", "GET", ANY_TIME, route_machine_get},
	{"machine-config", "PUT", BEFORE_START, route_machine_put,
	 &config_machine_table},
	{"machine-config", "PATCH", BEFORE_START, route_machine_patch,
	 &config_machine_patch_table},
	{"drives/{id}", "PUT", BEFORE_START, route_drive_put,
	 &config_drive_table},
	{"drives/{id}", "PATCH", AFTER_START, route_drive_patch,
	 &config_drive_patch_table},
	{"network-interfaces/{id}", "PUT", BEFORE_START, route_net_put,
	 &config_net_table},
	{"network-interfaces/{id}", "PATCH", AFTER_START, route_net_patch,
	 &config_net_patch_table},
	{"vsock", "PUT", BEFORE_START, route_vsock_put, &config_vsock_table},
	{"serial", "PUT", BEFORE_START, route_serial_put, &config_serial_table},
	{"logger", "PUT", BEFORE_START, route_logger_put, &config_logger_table},
	{"metrics", "PUT", BEFORE_START, route_metrics_put,
	 &config_metrics_table},
	{"metrics", "GET", ANY_TIME, route_metrics_get},
	{"balloon/*", .refusal = no_balloon},
	{"entropy", .refusal = no_entropy},
	{"pmem/*", .refusal = no_pmem},
	{"hotplug/memory", .refusal = no_hotplug},
	{"cpu-config", "PUT", .refusal = no_cpu_config},
	{"mmds/*", .refusal = no_mmds},
	{"snapshot/create", "PUT", AFTER_START, route_snapshot_create,
	 &snapshot_create_table},
	{"snapshot/load", "PUT", BEFORE_START, route_snapshot_load,
	 &snapshot_load_table},
	{"snapshot/fork", "PUT", AFTER_START, route_snapshot_fork,
	 &snapshot_fork_table},
	{"snapshot/prepare", "PUT", BEFORE_START, route_snapshot_prepare,
	 &snapshot_prepare_table},
	{"snapshot/finish", "PUT", ANY_TIME, route_snapshot_finish,
	 &snapshot_finish_table},
	{"snapshot/mark", "PUT", AFTER_START, route_snapshot_mark,
	 &snapshot_mark_table},
	{"snapshot/reset", "PUT", AFTER_START, route_snapshot_reset,
	 &snapshot_reset_table},
};

static_assert(sizeof(table) / sizeof(table[0]) <= METRICS_CALLS_MAX,
	      "each route has its counters");

const struct route *routes_all(size_t *count)
{
	*count = sizeof(table) / sizeof(table[0]);
	return table;
}

void reply_fault(struct reply *reply, const char *sentence)
{
	json_t *text = json_text(sentence);

	reply_fini(reply);
	reply->status = 400;
	reply->json = json_object();
	if (json_object_set_new(reply->json, "fault_message", text)) {
		/* No memory for the words; the status still says it. */
		json_decref(reply->json);
		reply->json = NULL;
	}
}

void reply_fini(struct reply *reply)
{
	json_decref(reply->json);
	*reply = (struct reply){0};
}

/* Cuts slashes off both ends of a path, as the wire's paths are read. */
static void trim(const char **path, size_t *len)
{
	while (*len && (*path)[0] == '/') {
		(*path)++;
		(*len)--;
	}
	while (*len && (*path)[*len - 1] == '/')
		(*len)--;
}

/* The length of the segment at the start of text. */
static size_t segment(const char *text, size_t len)
{
	const char *slash = memchr(text, '/', len);

	return slash ? (size_t)(slash - text) : len;
}

/* Whether path fits pattern; *id is what stood for {id}, cut to its room. */
static bool path_fits(const char *pattern, const char *path, size_t len,
		      char id[CONFIG_ID_MAX + 2])
{
	size_t left = strlen(pattern);

	id[0] = '\0';
	while (left) {
		size_t want = segment(pattern, left);
		size_t have = segment(path, len);

		if (want == 1 && *pattern == '*')
			return true;
		if (want == 4 && !memcmp(pattern, "{id}", 4))
			snprintf(id, CONFIG_ID_MAX + 2, "%.*s", (int)have,
				 path);
		else if (want != have || memcmp(pattern, path, want) != 0)
			return false;
		pattern += want + (want < left);
		left -= want + (want < left);
		path += have + (have < len);
		len -= have + (have < len);
	}
	return !len;
}

static const struct route *route_find(const struct http_request *request,
				      char id[CONFIG_ID_MAX + 2])
{
	const char *path = request->path;
	size_t len = strlen(path), i;

	trim(&path, &len);
	for (i = 0; i < sizeof(table) / sizeof(table[0]); i++)
		if ((!table[i].method ||
		     !strcmp(table[i].method, request->method)) &&
		    path_fits(table[i].pattern, path, len, id))
			return &table[i];
	return NULL;
}

/* The wire's rule for methods and bodies comes before that for paths. */
static int check_body(const struct http_request *r, struct err *e)
{
	if (!strcmp(r->method, "GET") && r->body_len)
		return err_set(e, -EINVAL, "GET request cannot have a body.");
	if ((!strcmp(r->method, "PUT") || !strcmp(r->method, "PATCH")) &&
	    !r->body_len)
		return err_set(e, -EINVAL, "Empty %s request.", r->method);
	return 0;
}

static int no_route(const struct http_request *r, struct err *e)
{
	const char *path = r->path;
	size_t len = strlen(path);

	trim(&path, &len);
	return err_set(e, -ENOENT,
		       "Invalid request method and/or path: %.16s %.*s.",
		       r->method, len < 128 ? (int)len : 128, path);
}

static int allowed(const struct controller *c, const struct route *route,
		   const void *body, struct err *e)
{
	const bool is_started = c->state >= CONTROLLER_RUNNING;
	enum route_when when = route->when;

	if (route->handler == route_action_put) {
		const struct action_body *action = body;

		when = action->action_type == ACTION_START ? BEFORE_START
							   : AFTER_START;
	}
	if (c->fork && strcmp(route->method, "GET") != 0 &&
	    !snapshot_fork_is_prepared(c))
		return err_set(e, -EBUSY,
			       "A fork is being made; ask again when it has "
			       "answered.");
	if (when == BEFORE_START && is_started)
		return err_set(e, -EPERM,
			       "The requested operation is not supported "
			       "after starting the microVM.");
	if (when == BEFORE_START && c->state == CONTROLLER_PREPARED &&
	    route->handler != route_logger_put &&
	    route->handler != route_metrics_put)
		return err_set(e, -EPERM,
			       "This microVM was prepared from a snapshot: "
			       "PUT /snapshot/finish has it go on.");
	if (when == AFTER_START && !is_started)
		return err_set(e, -EPERM,
			       "The requested operation is not supported "
			       "before starting the microVM.");
	return 0;
}

static int bind_body(const struct http_request *r,
		     const struct field_table *fields, void *body,
		     bool *is_deprecated, struct err *e)
{
	char text[sizeof(e->text)];
	json_t *json;
	int rc = -EINVAL;

	json = json_parse(r->body, r->body_len, e);
	if (json)
		rc = json_bind(json, fields, body, is_deprecated, e);
	json_decref(json);
	if (!rc)
		return 0;
	memcpy(text, e->text, sizeof(text));
	return err_set(e, rc,
		       "An error occurred when deserializing the json body of "
		       "a request: %s.",
		       text);
}

/* Binds the body, runs the handler, and fills *reply where that went well. */
static int route_run(struct controller *c, const struct route *route,
		     const char *id, const struct http_request *request,
		     struct reply *reply, struct err *e)
{
	/* Room for any body; zero bytes are every table's defaults. */
	alignas(max_align_t) char body[1024] = {0};
	bool is_deprecated = false;
	int rc = 0;

	if (route->table) {
		assert(route->table->size <= sizeof(body));
		rc = bind_body(request, route->table, body, &is_deprecated, e);
		if (rc)
			return rc;
	}
	rc = allowed(c, route, body, e);
	/* Who prepared a fork, and asks for something else, wants none. */
	if (!rc && strcmp(route->method, "GET") != 0 &&
	    route->handler != route_snapshot_fork &&
	    snapshot_fork_is_prepared(c))
		snapshot_fork_cancel(c);
	if (!rc)
		rc = route->handler(c, id, body, &reply->json, e);
	if (!rc && !route->table && !reply->json)
		rc = err_set(e, -ENOMEM, "No memory for the answer.");
	if (route->table)
		json_unbind(route->table, body);
	if (rc)
		return rc;
	c->is_configured |= route->when == BEFORE_START &&
			    route->handler != route_logger_put &&
			    route->handler != route_metrics_put;
	reply->status = reply->json ? 200 : 204;
	reply->is_text = route->handler == route_metrics_get;
	reply->is_deprecated = is_deprecated;
	if (is_deprecated)
		log_warn("%s /%s: a field of this request is deprecated",
			 route->method, route->pattern);
	return 0;
}

static int serve(struct controller *c, const struct route *route,
		 const char *id, const struct http_request *request,
		 struct reply *reply, struct err *e)
{
	int rc;

	rc = check_body(request, e);
	if (rc)
		return rc;
	if (!route)
		return no_route(request, e);
	if (route->refusal)
		return err_set(e, -EOPNOTSUPP, "%s", route->refusal);
	if (strstr(route->pattern, "{id}")) {
		rc = config_check_id(id, e);
		if (rc)
			return rc;
	}
	return route_run(c, route, id, request, reply, e);
}

void routes_serve(struct controller *c, const struct http_request *request,
		  struct reply *reply)
{
	const uint64_t begin_ns = clock_now_ns();
	struct metrics_call *call = &c->metrics.unknown;
	char id[CONFIG_ID_MAX + 2];
	const struct route *route = route_find(request, id);
	struct err e = {0};
	int rc;

	*reply = (struct reply){0};
	rc = serve(c, route, id, request, reply, &e);
	if (rc == -EINPROGRESS) {
		reply->is_later = true;
		rc = 0;
	} else if (rc) {
		reply_fault(reply, e.text);
		log_info("%s %s: 400: %s", request->method, request->path,
			 e.text);
	} else {
		log_info("%s %s: %d", request->method, request->path,
			 reply->status);
	}
	if (route && route->handler)
		call = &c->metrics.calls[route - table];
	metrics_count_call(call, begin_ns, rc);
}
