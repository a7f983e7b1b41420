/*
 * The tables of the devices' bodies: drives, network interfaces, vsock, serial
 * port, and the limiters they share.
 */
#include <stddef.h>

#include "api/config.h"

#define NEVER "is left out of mayfly by design: "

static const struct field bucket_fields[] = {
	{
		.name = "size",
		.type = FIELD_INTEGER,
		.flags = FIELD_REQUIRED,
		FIELD_AT(struct config_bucket, size),
	},
	{
		.name = "one_time_burst",
		.type = FIELD_INTEGER,
		.flags = FIELD_GIVEN,
		.given = offsetof(struct config_bucket, has_one_time_burst),
		FIELD_AT(struct config_bucket, one_time_burst),
	},
	{
		.name = "refill_time",
		.type = FIELD_INTEGER,
		.flags = FIELD_REQUIRED,
		FIELD_AT(struct config_bucket, refill_time_ms),
	},
};

static const struct field_table bucket_table =
	FIELD_TABLE("a token bucket", struct config_bucket, bucket_fields);

static const struct field limiter_fields[] = {
	{
		.name = "bandwidth",
		.type = FIELD_OBJECT,
		.flags = FIELD_GIVEN,
		.given = offsetof(struct config_limiter, has_bandwidth),
		.nested = &bucket_table,
		FIELD_AT(struct config_limiter, bandwidth),
	},
	{
		.name = "ops",
		.type = FIELD_OBJECT,
		.flags = FIELD_GIVEN,
		.given = offsetof(struct config_limiter, has_ops),
		.nested = &bucket_table,
		FIELD_AT(struct config_limiter, ops),
	},
};

static const struct field_table limiter_table =
	FIELD_TABLE("a rate limiter", struct config_limiter, limiter_fields);

static const struct field overlay_fields[] = {
	{
		.name = "dir_on_host",
		.type = FIELD_STRING,
		FIELD_AT(struct config_overlay, dir_on_host),
	},
	{
		.name = "size_mib",
		.type = FIELD_INTEGER,
		.max = 1 << 22, /* twice the largest disk that has one */
		FIELD_AT(struct config_overlay, size_mib),
	},
};

const struct field_table config_overlay_table =
	FIELD_TABLE("an overlay", struct config_overlay, overlay_fields);

static const char *const cache_words[] = {"Unsafe", "Writeback", NULL};
static const char *const engine_words[] = {"Sync", "Async", NULL};

static const struct field drive_fields[] = {
	{
		.name = "drive_id",
		.type = FIELD_STRING,
		.flags = FIELD_REQUIRED,
		FIELD_AT(struct config_drive, drive_id),
	},
	{
		.name = "path_on_host",
		.type = FIELD_STRING,
		FIELD_AT(struct config_drive, path_on_host),
	},
	{
		.name = "is_root_device",
		.type = FIELD_BOOL,
		.flags = FIELD_REQUIRED,
		FIELD_AT(struct config_drive, is_root_device),
	},
	{
		.name = "partuuid",
		.type = FIELD_STRING,
		.max = 64,
		FIELD_AT(struct config_drive, partuuid),
	},
	{
		.name = "is_read_only",
		.type = FIELD_BOOL,
		FIELD_AT(struct config_drive, is_read_only),
	},
	{
		.name = "cache_type",
		.type = FIELD_WORD,
		.flags = FIELD_NO_NULL,
		.words = cache_words,
		FIELD_AT(struct config_drive, cache_type),
	},
	{
		.name = "io_engine",
		.type = FIELD_WORD,
		.words = engine_words,
		FIELD_AT(struct config_drive, io_engine),
	},
	{
		.name = "rate_limiter",
		.type = FIELD_OBJECT,
		.flags = FIELD_GIVEN,
		.given = offsetof(struct config_drive, has_rate_limiter),
		.nested = &limiter_table,
		FIELD_AT(struct config_drive, rate_limiter),
	},
	{
		.name = "overlay",
		.type = FIELD_OBJECT,
		.flags = FIELD_GIVEN,
		.given = offsetof(struct config_drive, has_overlay),
		.nested = &config_overlay_table,
		FIELD_AT(struct config_drive, overlay),
	},
	{
		.name = "socket",
		.type = FIELD_REFUSED,
		.refusal = NEVER "a drive is a file or block device of the "
				 "host; use path_on_host",
	},
};

const struct field_table config_drive_table =
	FIELD_TABLE("a drive", struct config_drive, drive_fields);

static const struct field drive_patch_fields[] = {
	{
		.name = "drive_id",
		.type = FIELD_STRING,
		.flags = FIELD_REQUIRED,
		FIELD_AT(struct config_drive_patch, drive_id),
	},
	{
		.name = "path_on_host",
		.type = FIELD_STRING,
		FIELD_AT(struct config_drive_patch, path_on_host),
	},
	{
		.name = "rate_limiter",
		.type = FIELD_OBJECT,
		.flags = FIELD_GIVEN,
		.given = offsetof(struct config_drive_patch, has_rate_limiter),
		.nested = &limiter_table,
		FIELD_AT(struct config_drive_patch, rate_limiter),
	},
};

const struct field_table config_drive_patch_table =
	FIELD_TABLE("a drive", struct config_drive_patch, drive_patch_fields);

static const struct field net_fields[] = {
	{
		.name = "iface_id",
		.type = FIELD_STRING,
		.flags = FIELD_REQUIRED,
		FIELD_AT(struct config_net, iface_id),
	},
	{
		.name = "host_dev_name",
		.type = FIELD_STRING,
		.flags = FIELD_REQUIRED,
		FIELD_AT(struct config_net, host_dev_name),
	},
	{
		.name = "guest_mac",
		.type = FIELD_STRING,
		FIELD_AT(struct config_net, guest_mac),
	},
	{
		.name = "mtu",
		.type = FIELD_INTEGER,
		.flags = FIELD_GIVEN,
		.given = offsetof(struct config_net, has_mtu),
		.min = 68, /* virtio 1.2, 5.1.4.1 */
		FIELD_AT(struct config_net, mtu),
	},
	{
		.name = "rx_rate_limiter",
		.type = FIELD_OBJECT,
		.flags = FIELD_GIVEN,
		.given = offsetof(struct config_net, has_rx_rate_limiter),
		.nested = &limiter_table,
		FIELD_AT(struct config_net, rx_rate_limiter),
	},
	{
		.name = "tx_rate_limiter",
		.type = FIELD_OBJECT,
		.flags = FIELD_GIVEN,
		.given = offsetof(struct config_net, has_tx_rate_limiter),
		.nested = &limiter_table,
		FIELD_AT(struct config_net, tx_rate_limiter),
	},
};

const struct field_table config_net_table =
	FIELD_TABLE("a network interface", struct config_net, net_fields);

static const struct field net_patch_fields[] = {
	{
		.name = "iface_id",
		.type = FIELD_STRING,
		.flags = FIELD_REQUIRED,
		FIELD_AT(struct config_net_patch, iface_id),
	},
	{
		.name = "rx_rate_limiter",
		.type = FIELD_OBJECT,
		.flags = FIELD_GIVEN,
		.given = offsetof(struct config_net_patch, has_rx_rate_limiter),
		.nested = &limiter_table,
		FIELD_AT(struct config_net_patch, rx_rate_limiter),
	},
	{
		.name = "tx_rate_limiter",
		.type = FIELD_OBJECT,
		.flags = FIELD_GIVEN,
		.given = offsetof(struct config_net_patch, has_tx_rate_limiter),
		.nested = &limiter_table,
		FIELD_AT(struct config_net_patch, tx_rate_limiter),
	},
};

const struct field_table config_net_patch_table = FIELD_TABLE(
	"a network interface", struct config_net_patch, net_patch_fields);

static const struct field vsock_fields[] = {
	{
		.name = "guest_cid",
		.type = FIELD_INTEGER,
		.flags = FIELD_REQUIRED,
		/* virtio 1.2, 5.10.4: below and -1 have a meaning. */
		.min = 3,
		.max = UINT32_MAX - 1,
		FIELD_AT(struct config_vsock, guest_cid),
	},
	{
		.name = "uds_path",
		.type = FIELD_STRING,
		.flags = FIELD_REQUIRED,
		FIELD_AT(struct config_vsock, uds_path),
	},
	{
		.name = "vsock_id",
		.type = FIELD_STRING,
		.flags = FIELD_DEPRECATED,
		FIELD_AT(struct config_vsock, vsock_id),
	},
};

const struct field_table config_vsock_table =
	FIELD_TABLE("vsock", struct config_vsock, vsock_fields);

static const struct field serial_fields[] = {
	{
		.name = "serial_out_path",
		.type = FIELD_STRING,
		FIELD_AT(struct config_serial, serial_out_path),
	},
};

const struct field_table config_serial_table =
	FIELD_TABLE("serial", struct config_serial, serial_fields);
