#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "api/json/json.h"
#include "vmm/base/err.h"

/*
 * What a microVM is to be: all that clients may say before it starts. The
 * config file and the API go through the same tables and the same setters, so
 * both refuse the same things with the same words. Thread: the loop's.
 */
enum { CONFIG_DRIVES_MAX = 32, CONFIG_NETS_MAX = 16, CONFIG_ID_MAX = 64 };

struct config_boot {
	char *kernel_image_path; /* owned */
	char *initrd_path;	 /* owned; NULL for none */
	char *boot_args;	 /* owned; NULL for the default */
};

/* Indices of the words of cpu_template; the others are refused. */
enum { CONFIG_TEMPLATE_NONE = 0, CONFIG_TEMPLATE_T2 = 2 };

/* Indices of the words of huge_pages. */
enum config_huge { CONFIG_HUGE_NONE, CONFIG_HUGE_2M, CONFIG_HUGE_TRANSPARENT };

struct config_machine {
	uint32_t vcpu_count;
	uint64_t mem_size_mib;
	bool smt;
	bool track_dirty_pages;
	int huge_pages;	  /* enum config_huge */
	int cpu_template; /* CONFIG_TEMPLATE_* */
};

/* PATCH /machine-config: only what was given counts. */
struct config_machine_patch {
	struct config_machine value;
	bool has_vcpu_count;
	bool has_mem_size_mib;
	bool has_smt;
	bool has_track_dirty_pages;
	bool has_huge_pages;
	bool has_cpu_template;
};

/* A token bucket: size tokens, refilled within refill_time milliseconds. */
struct config_bucket {
	uint64_t size;
	uint64_t one_time_burst;
	uint64_t refill_time_ms;
	bool has_one_time_burst;
};

struct config_limiter {
	struct config_bucket bandwidth; /* bytes */
	struct config_bucket ops;
	bool has_bandwidth;
	bool has_ops;
};

enum config_cache { CONFIG_CACHE_UNSAFE, CONFIG_CACHE_WRITEBACK };
enum config_engine { CONFIG_ENGINE_SYNC, CONFIG_ENGINE_ASYNC };

/* Where what the guest writes goes, in the place of the drive's file. */
struct config_overlay {
	char *dir_on_host; /* owned; NULL for memory */
	uint64_t size_mib; /* 0: as much as it takes */
};

struct config_drive {
	char *drive_id;	    /* owned */
	char *path_on_host; /* owned */
	char *partuuid;	    /* owned; NULL for none */
	bool is_root_device;
	bool is_read_only;
	int cache_type; /* enum config_cache */
	int io_engine;	/* enum config_engine */
	struct config_limiter rate_limiter;
	bool has_rate_limiter;
	struct config_overlay overlay;
	bool has_overlay;
};

/* PATCH /drives/{id}: without a path, the file is looked at again. */
struct config_drive_patch {
	char *drive_id;	    /* owned */
	char *path_on_host; /* owned; NULL: the same */
	struct config_limiter rate_limiter;
	bool has_rate_limiter;
};

struct config_net {
	char *iface_id;	     /* owned */
	char *host_dev_name; /* owned; a tap */
	char *guest_mac;     /* owned; NULL: the guest chooses */
	uint16_t mtu;
	bool has_mtu;
	struct config_limiter rx_rate_limiter;
	struct config_limiter tx_rate_limiter;
	bool has_rx_rate_limiter;
	bool has_tx_rate_limiter;
};

/* PATCH /network-interfaces/{id}. */
struct config_net_patch {
	char *iface_id; /* owned */
	struct config_limiter rx_rate_limiter;
	struct config_limiter tx_rate_limiter;
	bool has_rx_rate_limiter;
	bool has_tx_rate_limiter;
};

struct config_vsock {
	uint32_t guest_cid;
	char *uds_path; /* owned */
	char *vsock_id; /* owned; deprecated, NULL for none */
};

struct config_serial {
	char *serial_out_path; /* owned; NULL for stdout */
};

struct config_logger {
	char *log_path; /* owned; NULL for stderr */
	char *level;	/* owned; a word of log_level_parse(), NULL: default */
	char *module;	/* owned; NULL for all */
	bool show_level;
	bool show_log_origin;
	bool has_show_level;
	bool has_show_log_origin;
};

struct config_metrics {
	char *metrics_path; /* owned; NULL for none */
};

struct vm_config {
	struct config_boot boot; /* kernel_image_path NULL: not set yet */
	struct config_machine machine;
	struct config_vsock vsock; /* uds_path NULL: there is none */
	struct config_serial serial;
	struct config_logger logger;
	bool has_logger;
	struct config_metrics metrics;
	int kvm_fd;   /* borrowed from the command line; 0 for none */
	int vsock_fd; /* as well; it listens for those who want the guest */
	uint32_t drive_count;
	uint32_t net_count;
	/* In order of PUTs. Room that nobody uses is nobody's to touch. */
	struct config_drive drives[CONFIG_DRIVES_MAX];
	struct config_net nets[CONFIG_NETS_MAX];
};

/* The bodies of the API; the config file is made of the same. */
extern const struct field_table config_boot_table;
extern const struct field_table config_overlay_table;
extern const struct field_table config_machine_table;
extern const struct field_table config_machine_patch_table;
extern const struct field_table config_drive_table;
extern const struct field_table config_drive_patch_table;
extern const struct field_table config_net_table;
extern const struct field_table config_net_patch_table;
extern const struct field_table config_vsock_table;
extern const struct field_table config_serial_table;
extern const struct field_table config_logger_table;
extern const struct field_table config_metrics_table;

/* Defaults: one vCPU, 128 MiB, nothing else. config_fini() frees. */
void config_init(struct vm_config *c);
void config_fini(struct vm_config *c);

/* As config_init(), of a struct that is zeroed. */
void config_default(struct vm_config *c);

/* Makes to, which had a config_fini(), what from was; that has nothing then. */
void config_move(struct vm_config *to, struct vm_config *from);

/*
 * The setters check the whole of a body against the rest of the configuration
 * and then take it: its strings move and the body is zeroed. On failure the
 * configuration and the body are as before.
 */
int config_set_boot(struct vm_config *c, struct config_boot *body,
		    struct err *e);
int config_set_machine(struct vm_config *c, const struct config_machine *body,
		       struct err *e);
int config_patch_machine(struct vm_config *c,
			 const struct config_machine_patch *body,
			 struct err *e);

/* A drive or interface of the same id is replaced and keeps its place. */
int config_set_drive(struct vm_config *c, struct config_drive *body,
		     struct err *e);
int config_set_net(struct vm_config *c, struct config_net *body, struct err *e);

/*
 * The one vsock device; another body replaces it. config_set_vsock() takes what
 * config_check_vsock() found good.
 */
int config_check_vsock(const struct config_vsock *body, struct err *e);
void config_set_vsock(struct vm_config *c, struct config_vsock *body);
int config_set_serial(struct vm_config *c, struct config_serial *body,
		      struct err *e);

/* Whether the drive can have the overlay that it says. */
int config_check_overlay(const struct config_drive *drive, struct err *e);

/*
 * The index of the drive or interface of that id; -ENOENT with a sentence
 * where there is none.
 */
int config_find_drive(const struct vm_config *c, const char *id, struct err *e);
int config_find_net(const struct vm_config *c, const char *id, struct err *e);

/* Make the configuration say what a PATCH at run time has done. */
void config_patch_drive(struct config_drive *drive,
			struct config_drive_patch *body);
void config_patch_net(struct config_net *net,
		      const struct config_net_patch *body);

/* Merges: a bucket that is not given stays as it is. */
void config_merge_limiter(struct config_limiter *to,
			  const struct config_limiter *from);

/*
 * N of a host_dev_name `fd:N`, a tap that whoever started us has opened; -1 of
 * any other.
 */
int config_tap_fd(const char *name);

/* "06:00:ac:10:00:02" as six bytes. -EINVAL with a sentence. */
int config_parse_mac(const char *text, uint8_t mac[6], struct err *e);

/*
 * config_set_logger() merges what is given into what is there and opens no
 * file; it fails only where config_check_logger() does.
 */
int config_check_logger(const struct config_logger *body, struct err *e);
int config_set_logger(struct vm_config *c, struct config_logger *body,
		      struct err *e);

/* config_set_metrics() takes what config_check_metrics() found good. */
int config_check_metrics(const struct config_metrics *body, struct err *e);
void config_set_metrics(struct vm_config *c, struct config_metrics *body);

/* config_id.c: an id as it may stand in a path: the wire's two sentences
 * otherwise. */
int config_check_id(const char *id, struct err *e);

/*
 * Reads a config file, at most 1 MiB, into a configuration fresh from
 * config_init(). The sentence names the file, and line and column or the field.
 */
int config_load(struct vm_config *c, const char *path, struct err *e);

/* As config_load(), for a text. */
int config_parse(struct vm_config *c, const char *text, size_t len,
		 struct err *e);

/* The whole configuration as a config file would say it. New reference. */
json_t *config_dump(const struct vm_config *c);

/* The drive the guest boots from, NULL for none. */
const struct config_drive *config_root(const struct vm_config *c);

/*
 * Writes the kernel's command line: boot_args or the default, and root=.
 * Errors as cmdline_init().
 */
int config_cmdline(const struct vm_config *c, char *out, size_t size,
		   struct err *e);
