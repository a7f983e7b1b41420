/*
 * The configuration of a microVM: the rules that no table can say.
 */
#include "api/config.h"

#include <errno.h>
#include <inttypes.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "vmm/arch/arch.h"
#include "vmm/base/log.h"
#include "vmm/boot/cmdline.h"

/* 16 TiB: more than any host has, and far from overflow in bytes. */
#define MEM_MIB_MAX (16ULL << 20)

void config_init(struct vm_config *c)
{
	memset(c, 0, sizeof(*c));
	config_default(c);
}

void config_default(struct vm_config *c)
{
	c->machine.vcpu_count = 1;
	c->machine.mem_size_mib = 128;
}

void config_move(struct vm_config *to, struct vm_config *from)
{
	memcpy(to, from, offsetof(struct vm_config, drives));
	memcpy(to->drives, from->drives,
	       from->drive_count * sizeof(from->drives[0]));
	memcpy(to->nets, from->nets, from->net_count * sizeof(from->nets[0]));
	memset(from, 0, offsetof(struct vm_config, drives));
}

void config_fini(struct vm_config *c)
{
	uint32_t i;

	json_unbind(&config_boot_table, &c->boot);
	json_unbind(&config_logger_table, &c->logger);
	json_unbind(&config_metrics_table, &c->metrics);
	json_unbind(&config_vsock_table, &c->vsock);
	json_unbind(&config_serial_table, &c->serial);
	for (i = 0; i < c->drive_count; i++)
		json_unbind(&config_drive_table, &c->drives[i]);
	for (i = 0; i < c->net_count; i++)
		json_unbind(&config_net_table, &c->nets[i]);
	c->drive_count = 0;
	c->net_count = 0;
}

int config_set_boot(struct vm_config *c, struct config_boot *body,
		    struct err *e)
{
	char text[ARCH_CMDLINE_SIZE];
	struct cmdline line;

	if (!*body->kernel_image_path)
		return err_set(e, -EINVAL, "The kernel_image_path is empty.");
	if (body->initrd_path && !*body->initrd_path)
		return err_set(e, -EINVAL,
			       "The initrd_path is empty: leave it out where "
			       "there is no initrd.");
	/* What the start appends may still be too much, and is refused there.
	 */
	if (body->boot_args &&
	    cmdline_init(&line, text, sizeof(text), body->boot_args, e))
		return err_context(e, "boot_args");
	json_unbind(&config_boot_table, &c->boot);
	c->boot = *body;
	memset(body, 0, sizeof(*body));
	return 0;
}

int config_set_machine(struct vm_config *c, const struct config_machine *body,
		       struct err *e)
{
	if (body->vcpu_count < 1 || body->vcpu_count > ARCH_VCPUS_MAX)
		return err_set(e, -ERANGE,
			       "The vcpu_count must be between 1 and %d, not "
			       "%" PRIu32 ".",
			       ARCH_VCPUS_MAX, body->vcpu_count);
	if (body->smt && body->vcpu_count > 1 && body->vcpu_count % 2)
		return err_set(e, -EINVAL,
			       "With smt the vcpu_count must be 1 or even, not "
			       "%" PRIu32 ".",
			       body->vcpu_count);
	if (body->mem_size_mib < 1 || body->mem_size_mib > MEM_MIB_MAX)
		return err_set(e, -ERANGE,
			       "The mem_size_mib must be between 1 and %llu, "
			       "not %" PRIu64 ".",
			       MEM_MIB_MAX, body->mem_size_mib);
	if (body->huge_pages == CONFIG_HUGE_2M && body->mem_size_mib % 2)
		return err_set(e, -EINVAL,
			       "With huge_pages 2M the mem_size_mib must be "
			       "even, not %" PRIu64 ".",
			       body->mem_size_mib);
	if (body->cpu_template != CONFIG_TEMPLATE_NONE &&
	    body->cpu_template != CONFIG_TEMPLATE_T2)
		return err_set(e, -EOPNOTSUPP,
			       "This CPU template is not supported by this "
			       "version of mayfly: a cpu_template is None or "
			       "T2.");
	c->machine = *body;
	return 0;
}

int config_patch_machine(struct vm_config *c,
			 const struct config_machine_patch *body, struct err *e)
{
	struct config_machine merged = c->machine;
	const struct config_machine *v = &body->value;

	if (!body->has_vcpu_count && !body->has_mem_size_mib &&
	    !body->has_smt && !body->has_track_dirty_pages &&
	    !body->has_huge_pages && !body->has_cpu_template)
		return err_set(e, -EINVAL, "Empty PATCH request.");
	if (body->has_vcpu_count)
		merged.vcpu_count = v->vcpu_count;
	if (body->has_mem_size_mib)
		merged.mem_size_mib = v->mem_size_mib;
	if (body->has_smt)
		merged.smt = v->smt;
	if (body->has_track_dirty_pages)
		merged.track_dirty_pages = v->track_dirty_pages;
	if (body->has_huge_pages)
		merged.huge_pages = v->huge_pages;
	if (body->has_cpu_template)
		merged.cpu_template = v->cpu_template;
	return config_set_machine(c, &merged, e);
}

/* Moves a string that was given over one that is there. */
static void string_take(char **to, char **from)
{
	if (!*from)
		return;
	free(*to);
	*to = *from;
	*from = NULL;
}

int config_check_logger(const struct config_logger *body, struct err *e)
{
	enum log_level level;

	if (body->level && log_level_parse(body->level, &level))
		return err_set(e, -EINVAL,
			       "The level must be one of Off, Error, Warning, "
			       "Info, Debug, Trace, not '%s'.",
			       body->level);
	if (body->log_path && !*body->log_path)
		return err_set(e, -EINVAL, "The log_path is empty.");
	return 0;
}

int config_set_logger(struct vm_config *c, struct config_logger *body,
		      struct err *e)
{
	struct config_logger *l = &c->logger;
	int rc = config_check_logger(body, e);

	if (rc)
		return rc;
	string_take(&l->log_path, &body->log_path);
	string_take(&l->level, &body->level);
	string_take(&l->module, &body->module);
	if (body->has_show_level)
		l->show_level = body->show_level;
	if (body->has_show_log_origin)
		l->show_log_origin = body->show_log_origin;
	l->has_show_level |= body->has_show_level;
	l->has_show_log_origin |= body->has_show_log_origin;
	c->has_logger = true;
	return 0;
}

int config_cmdline(const struct vm_config *c, char *out, size_t size,
		   struct err *e)
{
	const char *args = c->boot.boot_args ? c->boot.boot_args
					     : arch_boot_args;
	const struct config_drive *root = config_root(c);
	struct cmdline line;
	int rc = cmdline_init(&line, out, size, args, e);

	if (rc || !root)
		return rc;
	return cmdline_add(&line, e, "root=%s%s %s",
			   root->partuuid ? "PARTUUID=" : "/dev/vda",
			   root->partuuid ? root->partuuid : "",
			   root->is_read_only ? "ro" : "rw");
}
