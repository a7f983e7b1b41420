/*
 * The configuration as GET /vm/config has it: JSON that the code for config
 * files judges. So a release that adds a field reads what stands in older
 * snapshots, and refuses what it does not know.
 *
 * Version 2 tells of a fork, whose drives another microVM writes to. What is no
 * fork is written as version 1, for older releases.
 */
#include "api/snapshot_config.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

enum { CONFIG_VERSION = 2, CONFIG_BYTES_MAX = 1 << 20 };

static char *dump(const struct vm_config *config)
{
	json_t *json = config_dump(config);
	char *text = NULL;

	if (json) {
		/* The monitor's own, not the microVM's. */
		json_object_del(json, "logger");
		json_object_del(json, "metrics");
		text = json_dumps(json, JSON_COMPACT);
	}
	json_decref(json);
	return text;
}

static void visit_text(struct visitor *v, bool *has_boot_timer, char **text,
		       uint32_t *len)
{
	visit_bool(v, has_boot_timer);
	visit_u32(v, len);
	if (!visit_check(v, *len <= CONFIG_BYTES_MAX,
			 "a configuration of %u bytes", *len))
		return;
	if (v->is_loading)
		*text = malloc(*len + 1);
	if (*text)
		visit_bytes(v, *text, *len);
	else
		visit_fail(v, -ENOMEM, "no memory for the configuration");
}

int snapshot_config_save(const struct controller *c, bool is_fork,
			 struct state *s, struct err *e)
{
	bool has_boot_timer = c->has_boot_timer;
	char *text = dump(&c->config);
	uint32_t len = text ? (uint32_t)strlen(text) : 0;
	struct visitor v;

	visitor_save(&v, is_fork ? CONFIG_VERSION : 1, e);
	visit_text(&v, &has_boot_timer, &text, &len);
	if (is_fork)
		visit_bool(&v, &is_fork);
	free(text);
	return state_add(s, "config", &v, e);
}

/* What is not of the snapshot stays as it was. */
static void adopt(struct controller *c, struct vm_config *config)
{
	config->logger = c->config.logger;
	config->has_logger = c->config.has_logger;
	config->metrics = c->config.metrics;
	config->kvm_fd = c->config.kvm_fd;
	config->vsock_fd = c->config.vsock_fd;
	memset(&c->config.logger, 0, sizeof(c->config.logger));
	memset(&c->config.metrics, 0, sizeof(c->config.metrics));
	config_fini(&c->config);
	config_move(&c->config, config);
}

int snapshot_config_read(const struct state *s, struct vm_config *config,
			 bool *has_boot_timer, bool *is_fork, struct err *e)
{
	struct visitor v;
	char *text = NULL;
	uint32_t len = 0;
	int rc = state_section(s, "config", CONFIG_VERSION, &v, e);

	if (rc)
		return rc;
	visit_text(&v, has_boot_timer, &text, &len);
	*is_fork = false;
	if (v.version >= 2)
		visit_bool(&v, is_fork);
	rc = visitor_end(&v);
	if (!rc)
		rc = config_parse(config, text, len, e);
	free(text);
	if (rc)
		return err_context(e, "the state's section 'config'");
	if (config->has_logger || config->metrics.metrics_path)
		return err_set(e, -EINVAL,
			       "the state's section 'config' has a log or "
			       "metrics, which are the monitor's");
	return 0;
}

int snapshot_config_load(struct controller *c, const struct state *s,
			 struct err *e)
{
	struct vm_config config;
	bool has_boot_timer, is_fork;
	int rc;

	config_init(&config);
	rc = snapshot_config_read(s, &config, &has_boot_timer, &is_fork, e);
	if (rc) {
		config_fini(&config);
		return rc;
	}
	c->has_boot_timer = has_boot_timer;
	c->is_fork = is_fork;
	adopt(c, &config);
	return 0;
}
