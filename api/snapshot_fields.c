/* The bodies of /snapshot. */
#include <stddef.h>

#include "api/snapshot.h"

static const char *const type_words[] = {"Full", "Diff", NULL};
static const char *const backend_words[] = {"File", "Uffd", NULL};
static const char *const pages_words[] = {"Snapshot", "None", "2M",
					  "Transparent", NULL};
static const char *const working_words[] = {"Use", "Record", NULL};

static const struct field create_fields[] = {
	{
		.name = "snapshot_type",
		.type = FIELD_WORD,
		.words = type_words,
		FIELD_AT(struct snapshot_create, type),
	},
	{
		.name = "snapshot_path",
		.type = FIELD_STRING,
		.flags = FIELD_REQUIRED,
		FIELD_AT(struct snapshot_create, snapshot_path),
	},
	{
		.name = "mem_file_path",
		.type = FIELD_STRING,
		.flags = FIELD_REQUIRED,
		FIELD_AT(struct snapshot_create, mem_file_path),
	},
	{
		.name = "overlay_file_path",
		.type = FIELD_STRING,
		FIELD_AT(struct snapshot_create, overlay_file_path),
	},
	{
		.name = "sync",
		.type = FIELD_BOOL,
		.flags = FIELD_GIVEN,
		.given = offsetof(struct snapshot_create, has_sync),
		FIELD_AT(struct snapshot_create, sync),
	},
};

const struct field_table snapshot_create_table =
	FIELD_TABLE("snapshot/create", struct snapshot_create, create_fields);

/* Offsets in a struct without a name are those in the struct around it. */
#define BACKEND_AT(member)                                         \
	.offset = offsetof(struct snapshot_load, backend.member) - \
		  offsetof(struct snapshot_load, backend),         \
	.size = sizeof(((struct snapshot_load *)0)->backend.member)

static const struct field backend_fields[] = {
	{
		.name = "backend_type",
		.type = FIELD_WORD,
		.flags = FIELD_REQUIRED,
		.words = backend_words,
		BACKEND_AT(type),
	},
	{
		.name = "backend_path",
		.type = FIELD_STRING,
		.flags = FIELD_REQUIRED,
		BACKEND_AT(path),
	},
};

static const struct field_table backend_table = {
	.what = "mem_backend",
	.fields = backend_fields,
	.count = sizeof(backend_fields) / sizeof(backend_fields[0]),
	.size = sizeof(((struct snapshot_load *)0)->backend),
};

static const struct field drive_fields[] = {
	{
		.name = "drive_id",
		.type = FIELD_STRING,
		.flags = FIELD_REQUIRED,
		FIELD_AT(struct snapshot_drive, drive_id),
	},
	{
		.name = "path_on_host",
		.type = FIELD_STRING,
		.flags = FIELD_REQUIRED,
		FIELD_AT(struct snapshot_drive, path_on_host),
	},
	{
		.name = "overlay",
		.type = FIELD_OBJECT,
		.flags = FIELD_GIVEN,
		.given = offsetof(struct snapshot_drive, has_overlay),
		.nested = &config_overlay_table,
		FIELD_AT(struct snapshot_drive, overlay),
	},
};

static const struct field_table drive_table =
	FIELD_TABLE("drive_overrides", struct snapshot_drive, drive_fields);

static const struct field drive_element = {
	.name = "drive_overrides",
	.type = FIELD_OBJECT,
	.nested = &drive_table,
	.size = sizeof(struct snapshot_drive),
};

static const struct field net_fields[] = {
	{
		.name = "iface_id",
		.type = FIELD_STRING,
		.flags = FIELD_REQUIRED,
		FIELD_AT(struct snapshot_net, iface_id),
	},
	{
		.name = "host_dev_name",
		.type = FIELD_STRING,
		.flags = FIELD_REQUIRED,
		FIELD_AT(struct snapshot_net, host_dev_name),
	},
};

static const struct field_table net_table =
	FIELD_TABLE("network_overrides", struct snapshot_net, net_fields);

static const struct field net_element = {
	.name = "network_overrides",
	.type = FIELD_OBJECT,
	.nested = &net_table,
	.size = sizeof(struct snapshot_net),
};

static const struct field vsock_fields[] = {
	{
		.name = "uds_path",
		.type = FIELD_STRING,
		.flags = FIELD_REQUIRED,
		.offset = 0,
		.size = sizeof(char *),
	},
};

static const struct field_table vsock_table = {
	.what = "vsock_override",
	.fields = vsock_fields,
	.count = 1,
	.size = sizeof(((struct snapshot_load *)0)->vsock),
};

static const struct field serial_fields[] = {
	{
		.name = "serial_out_path",
		.type = FIELD_STRING,
		.offset = 0,
		.size = sizeof(char *),
	},
};

static const struct field_table serial_table = {
	.what = "serial_override",
	.fields = serial_fields,
	.count = 1,
	.size = sizeof(((struct snapshot_load *)0)->serial),
};

static const struct field working_fields[] = {
	{
		.name = "path",
		.type = FIELD_STRING,
		.flags = FIELD_REQUIRED,
		FIELD_AT(struct snapshot_working_set, path),
	},
	{
		.name = "mode",
		.type = FIELD_WORD,
		.flags = FIELD_REQUIRED,
		.words = working_words,
		FIELD_AT(struct snapshot_working_set, mode),
	},
	{
		.name = "record_ms",
		.type = FIELD_INTEGER,
		.min = 1,
		.max = 600000,
		FIELD_AT(struct snapshot_working_set, record_ms),
	},
};

static const struct field_table working_table =
	FIELD_TABLE("working_set", struct snapshot_working_set, working_fields);

/*
 * A load is told all of them; of one in two halves, the prepare the first and
 * the finish the last, which overlap.
 */
enum { LOAD_FIELDS = 14, FINISH_FIELDS = 5, ONLY_FINISH_FIELDS = 2 };

static const struct field load_fields[LOAD_FIELDS] = {
	{
		.name = "snapshot_path",
		.type = FIELD_STRING,
		.flags = FIELD_REQUIRED,
		FIELD_AT(struct snapshot_load, snapshot_path),
	},
	{
		.name = "mem_backend",
		.type = FIELD_OBJECT,
		.flags = FIELD_GIVEN,
		.given = offsetof(struct snapshot_load, has_backend),
		.nested = &backend_table,
		FIELD_AT(struct snapshot_load, backend),
	},
	{
		.name = "mem_file_path",
		.type = FIELD_STRING,
		.flags = FIELD_DEPRECATED,
		FIELD_AT(struct snapshot_load, mem_file_path),
	},
	{
		.name = "overlay_file_path",
		.type = FIELD_STRING,
		FIELD_AT(struct snapshot_load, overlay_file_path),
	},
	{
		.name = "track_dirty_pages",
		.type = FIELD_BOOL,
		FIELD_AT(struct snapshot_load, track_dirty_pages),
	},
	{
		.name = "enable_diff_snapshots",
		.type = FIELD_BOOL,
		.flags = FIELD_DEPRECATED,
		FIELD_AT(struct snapshot_load, enable_diff_snapshots),
	},
	{
		.name = "huge_pages",
		.type = FIELD_WORD,
		.flags = FIELD_NO_NULL,
		.words = pages_words,
		FIELD_AT(struct snapshot_load, huge_pages),
	},
	{
		.name = "serial_override",
		.type = FIELD_OBJECT,
		.flags = FIELD_GIVEN,
		.given = offsetof(struct snapshot_load, has_serial),
		.nested = &serial_table,
		FIELD_AT(struct snapshot_load, serial),
	},
	{
		.name = "working_set",
		.type = FIELD_OBJECT,
		.flags = FIELD_GIVEN,
		.given = offsetof(struct snapshot_load, has_working_set),
		.nested = &working_table,
		FIELD_AT(struct snapshot_load, working_set),
	},
	/* FINISH_FIELDS begin here … */
	{
		.name = "drive_overrides",
		.type = FIELD_ARRAY,
		.max = CONFIG_DRIVES_MAX,
		.element = &drive_element,
		FIELD_AT(struct snapshot_load, drives),
	},
	{
		.name = "network_overrides",
		.type = FIELD_ARRAY,
		.max = CONFIG_NETS_MAX,
		.element = &net_element,
		FIELD_AT(struct snapshot_load, nets),
	},
	{
		.name = "vsock_override",
		.type = FIELD_OBJECT,
		.flags = FIELD_GIVEN,
		.given = offsetof(struct snapshot_load, has_vsock),
		.nested = &vsock_table,
		FIELD_AT(struct snapshot_load, vsock),
	},
	/* … and ONLY_FINISH_FIELDS here. */
	{
		.name = "clock_realtime",
		.type = FIELD_BOOL,
		FIELD_AT(struct snapshot_load, clock_realtime),
	},
	{
		.name = "resume_vm",
		.type = FIELD_BOOL,
		FIELD_AT(struct snapshot_load, resume_vm),
	},
};

const struct field_table snapshot_load_table =
	FIELD_TABLE("snapshot/load", struct snapshot_load, load_fields);

const struct field_table snapshot_prepare_table = {
	.what = "snapshot/prepare",
	.fields = load_fields,
	.count = LOAD_FIELDS - ONLY_FINISH_FIELDS,
	.size = sizeof(struct snapshot_load),
};

const struct field_table snapshot_finish_table = {
	.what = "snapshot/finish",
	.fields = &load_fields[LOAD_FIELDS - FINISH_FIELDS],
	.count = FINISH_FIELDS,
	.size = sizeof(struct snapshot_load),
};

const struct field_table snapshot_mark_table = {
	.what = "snapshot/mark",
	.size = sizeof(struct snapshot_mark),
};

static const struct field fork_fields[] = {
	{
		.name = "socket_path",
		.type = FIELD_STRING,
		FIELD_AT(struct snapshot_fork, socket_path),
	},
	{
		.name = "resume_vm",
		.type = FIELD_BOOL,
		.flags = FIELD_GIVEN,
		.given = offsetof(struct snapshot_fork, has_resume_vm),
		FIELD_AT(struct snapshot_fork, resume_vm),
	},
	{
		.name = "prepare",
		.type = FIELD_BOOL,
		FIELD_AT(struct snapshot_fork, prepare),
	},
};

const struct field_table snapshot_fork_table =
	FIELD_TABLE("snapshot/fork", struct snapshot_fork, fork_fields);

static const struct field reset_fields[] = {
	{
		.name = "resume_vm",
		.type = FIELD_BOOL,
		.flags = FIELD_GIVEN,
		.given = offsetof(struct snapshot_reset, has_resume_vm),
		FIELD_AT(struct snapshot_reset, resume_vm),
	},
	{
		.name = "keep_drives",
		.type = FIELD_BOOL,
		FIELD_AT(struct snapshot_reset, keep_drives),
	},
};

const struct field_table snapshot_reset_table =
	FIELD_TABLE("snapshot/reset", struct snapshot_reset, reset_fields);
