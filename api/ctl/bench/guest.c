/* The same guest for mayfly, Firecracker and QEMU. */
#include "api/ctl/bench/guest.h"

#include <errno.h>
#include <jansson.h>
#include <stdio.h>

#include "api/ctl/vm/monitor.h"
#include "vmm/arch/host/host.h"

#define MAC	    "06:00:0a:09:00:02"
#define QEMU_MODERN "virtio-mmio.force-legacy=false"

static const char qemu_tap[] = "virtio-net-device,netdev=net,mac=" MAC;

static const char least[] =
	"microvm,x-option-roms=off,pit=off,pic=off,rtc=off,acpi=off,"
	"isa-serial=on";

int guest_check(const struct bench *b, const char *name, struct err *e)
{
	const char *no_kernels = host_no_kernels(b->host);

	if (!no_kernels)
		return 0;
	return err_set(e, -EOPNOTSUPP,
		       "it needs a guest with Linux, and %s; take a machine "
		       "that can, or switch nested virtualisation on for this "
		       "one (from the source, `tests/kvm-host -- build/mayctl "
		       "bench %s` emulates one)",
		       no_kernels, name);
}

struct pace guest_pace(const struct bench *b)
{
	struct pace pace = b->pace;

	pace.warm_ups = 1;
	return pace;
}

int guest_find(struct guest *g, const char *initrd, struct err *e)
{
	int rc = monitor_find_file(g->kernel, HOST_KERNEL, e);

	return rc ? rc : monitor_find_file(g->initrd, initrd, e);
}

static json_t *drives_json(const struct guest *g, const struct guest_how *how)
{
	if (!g->disk)
		return json_array();
	return json_pack("[{s:s,s:s,s:b,s:b,s:s,s:s}]", "drive_id", "disk",
			 "path_on_host", g->disk, "is_root_device", 0,
			 "is_read_only", 1, "cache_type", "Unsafe", "io_engine",
			 how->engine);
}

int guest_mayfly(struct guest_words *w, const struct guest *g,
		 const struct guest_how *how, const char *path, struct err *e)
{
	json_t *o = json_pack("{s:{s:s,s:s,s:s},s:{s:i,s:i,s:s},s:o}",
			      "boot-source", "kernel_image_path", g->kernel,
			      "initrd_path", g->initrd, "boot_args", g->args,
			      "machine-config", "vcpu_count", 1, "mem_size_mib",
			      g->mib, "huge_pages", how->huge_pages, "drives",
			      drives_json(g, how));
	int rc;

	if (g->tap)
		json_object_set_new(o, "network-interfaces",
				    json_pack("[{s:s,s:s,s:s}]", "iface_id",
					      "eth0", "host_dev_name", g->tap,
					      "guest_mac", MAC));
	if (g->cid)
		json_object_set_new(o, "vsock",
				    json_pack("{s:i,s:s}", "guest_cid",
					      (int)g->cid, "uds_path",
					      g->socket));
	rc = o ? json_dump_file(o, path, 0) : -1;
	json_decref(o);
	if (rc)
		return err_errno(e, "can't write %s", path);
	*w = (struct guest_words){
		.argv = {how->program, "--no-api", "--config-file", w->text[0]},
	};
	snprintf(w->text[0], sizeof(w->text[0]), "%s", path);
	return 0;
}

/* Behind those that are there already; both lists end with NULL. */
static void add(struct guest_words *w, const char *const *words)
{
	unsigned n = 0;

	while (w->argv[n])
		n++;
	while (*words && n < SPAWN_WORDS_MAX - 1)
		w->argv[n++] = *words++;
	w->argv[n] = NULL;
}

#define ADD(w, ...) add(w, (const char *const[]){__VA_ARGS__, NULL})

void guest_qemu(struct guest_words *w, const struct guest *g,
		const struct guest_how *how)
{
	*w = (struct guest_words){.argv = {how->program}};
	snprintf(w->mib, sizeof(w->mib), "%d", g->mib);
	ADD(w, "-accel", "kvm", "-cpu", "host", "-m", w->mib, "-smp", "1",
	    "-nodefaults", "-no-user-config", "-global", QEMU_MODERN, "-M",
	    how->machine ? how->machine : least, "-kernel", g->kernel,
	    "-initrd", g->initrd, "-append", g->args, "-display", "none",
	    "-serial", "stdio", "-no-reboot");
	if (g->disk) {
		snprintf(w->text[0], GUEST_TEXT_MAX,
			 "id=disk,file=%s,format=raw,if=none,aio=io_uring,"
			 "cache=unsafe,readonly=on",
			 g->disk);
		ADD(w, "-drive", w->text[0], "-device",
		    "virtio-blk-device,drive=disk");
	}
	if (g->tap) {
		snprintf(w->text[1], GUEST_TEXT_MAX,
			 "tap,id=net,ifname=%s,script=no,downscript=no,"
			 "vhost=%s",
			 g->tap, how->has_vhost ? "on" : "off");
		ADD(w, "-netdev", w->text[1], "-device", qemu_tap);
	}
	if (g->cid) {
		snprintf(w->text[2], GUEST_TEXT_MAX,
			 "vhost-vsock-device,guest-cid=%u", g->cid);
		ADD(w, "-device", w->text[2]);
	}
}
