/*
 * The tables of the configuration's bodies. Devices that are left out by design
 * and those that come with a later version are refused by name; to accept a
 * setting and not act on it would be a lie.
 */
#include "api/config_fields.h"

#include <stddef.h>

#define LATER "is not supported by this version of mayfly"
#define NEVER "is left out of mayfly by design: "

static const struct field boot_fields[] = {
	{
		.name = "kernel_image_path",
		.type = FIELD_STRING,
		.flags = FIELD_REQUIRED,
		FIELD_AT(struct config_boot, kernel_image_path),
	},
	{
		.name = "initrd_path",
		.type = FIELD_STRING,
		FIELD_AT(struct config_boot, initrd_path),
	},
	{
		.name = "boot_args",
		.type = FIELD_STRING,
		FIELD_AT(struct config_boot, boot_args),
	},
};

const struct field_table config_boot_table =
	FIELD_TABLE("boot-source", struct config_boot, boot_fields);

static const char *const huge_words[] = {"None", "2M", "Transparent", NULL};
static const char *const template_words[] = {"None", "C3",  "T2",  "T2S",
					     "T2CL", "T2A", "V1N", NULL};

/*
 * Rules of its own answer a wrong vCPU count or memory size, so the table
 * takes any integer that fits. What the wire gives a default but no null is
 * FIELD_NO_NULL; a PATCH takes null for absent throughout.
 */
static const struct field machine_fields[] = {
	{
		.name = "vcpu_count",
		.type = FIELD_INTEGER,
		.flags = FIELD_REQUIRED,
		FIELD_AT(struct config_machine, vcpu_count),
	},
	{
		.name = "mem_size_mib",
		.type = FIELD_INTEGER,
		.flags = FIELD_REQUIRED,
		FIELD_AT(struct config_machine, mem_size_mib),
	},
	{
		.name = "smt",
		.type = FIELD_BOOL,
		.flags = FIELD_NO_NULL,
		FIELD_AT(struct config_machine, smt),
	},
	{
		.name = "track_dirty_pages",
		.type = FIELD_BOOL,
		.flags = FIELD_NO_NULL,
		FIELD_AT(struct config_machine, track_dirty_pages),
	},
	{
		.name = "huge_pages",
		.type = FIELD_WORD,
		.flags = FIELD_NO_NULL,
		.words = huge_words,
		FIELD_AT(struct config_machine, huge_pages),
	},
	{
		.name = "cpu_template",
		.type = FIELD_WORD,
		.flags = FIELD_DEPRECATED | FIELD_HIDDEN,
		.words = template_words,
		FIELD_AT(struct config_machine, cpu_template),
	},
};

const struct field_table config_machine_table =
	FIELD_TABLE("machine-config", struct config_machine, machine_fields);

#define PATCH_FIELD(member)                                           \
	.flags = FIELD_GIVEN,                                         \
	.given = offsetof(struct config_machine_patch, has_##member), \
	FIELD_AT(struct config_machine_patch, value.member)

static const struct field machine_patch_fields[] = {
	{
		.name = "vcpu_count",
		.type = FIELD_INTEGER,
		PATCH_FIELD(vcpu_count),
	},
	{
		.name = "mem_size_mib",
		.type = FIELD_INTEGER,
		PATCH_FIELD(mem_size_mib),
	},
	{
		.name = "smt",
		.type = FIELD_BOOL,
		PATCH_FIELD(smt),
	},
	{
		.name = "track_dirty_pages",
		.type = FIELD_BOOL,
		PATCH_FIELD(track_dirty_pages),
	},
	{
		.name = "huge_pages",
		.type = FIELD_WORD,
		.words = huge_words,
		PATCH_FIELD(huge_pages),
	},
	{
		.name = "cpu_template",
		.type = FIELD_WORD,
		.words = template_words,
		.flags = FIELD_GIVEN | FIELD_DEPRECATED,
		.given =
			offsetof(struct config_machine_patch, has_cpu_template),
		FIELD_AT(struct config_machine_patch, value.cpu_template),
	},
};

const struct field_table config_machine_patch_table = FIELD_TABLE(
	"machine-config", struct config_machine_patch, machine_patch_fields);

static const struct field logger_fields[] = {
	{
		.name = "log_path",
		.type = FIELD_STRING,
		FIELD_AT(struct config_logger, log_path),
	},
	{
		.name = "level",
		.type = FIELD_STRING,
		.max = 16,
		FIELD_AT(struct config_logger, level),
	},
	{
		.name = "show_level",
		.type = FIELD_BOOL,
		.flags = FIELD_GIVEN,
		.given = offsetof(struct config_logger, has_show_level),
		FIELD_AT(struct config_logger, show_level),
	},
	{
		.name = "show_log_origin",
		.type = FIELD_BOOL,
		.flags = FIELD_GIVEN,
		.given = offsetof(struct config_logger, has_show_log_origin),
		FIELD_AT(struct config_logger, show_log_origin),
	},
	{
		.name = "module",
		.type = FIELD_STRING,
		.max = 127,
		FIELD_AT(struct config_logger, module),
	},
};

const struct field_table config_logger_table =
	FIELD_TABLE("logger", struct config_logger, logger_fields);

static const struct field drive_element = {
	.name = "drives",
	.type = FIELD_OBJECT,
	.nested = &config_drive_table,
	.size = sizeof(struct config_drive),
};

static const struct field net_element = {
	.name = "network-interfaces",
	.type = FIELD_OBJECT,
	.nested = &config_net_table,
	.size = sizeof(struct config_net),
};

static const struct field file_fields[] = {
	{
		.name = "boot-source",
		.type = FIELD_OBJECT,
		.flags = FIELD_REQUIRED | FIELD_GIVEN,
		.given = offsetof(struct config_file, has_boot),
		.nested = &config_boot_table,
		FIELD_AT(struct config_file, boot),
	},
	{
		.name = "drives",
		.type = FIELD_ARRAY,
		.flags = FIELD_REQUIRED,
		.max = CONFIG_DRIVES_MAX,
		.element = &drive_element,
		FIELD_AT(struct config_file, drives),
	},
	{
		.name = "machine-config",
		.type = FIELD_OBJECT,
		.flags = FIELD_GIVEN,
		.given = offsetof(struct config_file, has_machine),
		.nested = &config_machine_table,
		FIELD_AT(struct config_file, machine),
	},
	{
		.name = "logger",
		.type = FIELD_OBJECT,
		.flags = FIELD_GIVEN,
		.given = offsetof(struct config_file, has_logger),
		.nested = &config_logger_table,
		FIELD_AT(struct config_file, logger),
	},
	{
		.name = "cpu-config",
		.type = FIELD_REFUSED,
		.refusal = LATER,
	},
	{
		.name = "network-interfaces",
		.type = FIELD_ARRAY,
		.max = CONFIG_NETS_MAX,
		.element = &net_element,
		FIELD_AT(struct config_file, nets),
	},
	{
		.name = "vsock",
		.type = FIELD_OBJECT,
		.flags = FIELD_GIVEN,
		.given = offsetof(struct config_file, has_vsock),
		.nested = &config_vsock_table,
		FIELD_AT(struct config_file, vsock),
	},
	{
		.name = "mmds-config",
		.type = FIELD_REFUSED,
		.refusal = LATER,
	},
	{
		.name = "metrics",
		.type = FIELD_OBJECT,
		.flags = FIELD_GIVEN,
		.given = offsetof(struct config_file, has_metrics),
		.nested = &config_metrics_table,
		FIELD_AT(struct config_file, metrics),
	},
	{
		.name = "serial",
		.type = FIELD_OBJECT,
		.flags = FIELD_GIVEN,
		.given = offsetof(struct config_file, has_serial),
		.nested = &config_serial_table,
		FIELD_AT(struct config_file, serial),
	},
	{
		.name = "balloon",
		.type = FIELD_REFUSED,
		.refusal = NEVER "give the guest the memory it needs",
	},
	{
		.name = "entropy",
		.type = FIELD_REFUSED,
		.refusal = NEVER "guests seed themselves from the CPU",
	},
	{
		.name = "pmem",
		.type = FIELD_REFUSED,
		.flags = FIELD_LIST,
		.refusal = NEVER "use a read-only drive",
	},
	{
		.name = "memory-hotplug",
		.type = FIELD_REFUSED,
		.refusal = NEVER "give the guest the memory it needs",
	},
};

const struct field_table config_file_table =
	FIELD_TABLE("the config file", struct config_file, file_fields);
