/*
 * Describing a state file. Whose it is nobody knows: names and paths in it are
 * shown without what moves a cursor.
 */
#include "api/describe.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "api/config.h"
#include "api/snapshot_config.h"
#include "vmm/base/printable.h"
#include "vmm/state/file.h"
#include "vmm/state/state.h"

enum { SHOWN_MAX = 4096 };

void describe_version(FILE *to)
{
	fprintf(to, "v%d.0.0\n", STATE_FORMAT);
}

/* Behind name and a colon, text of the file's. */
static void show(FILE *to, const char *name, const char *text)
{
	char shown[SHOWN_MAX];

	printable_copy(text, strlen(text), shown, sizeof(shown));
	fprintf(to, "%s: %s\n", name, shown);
}

static void show_device(FILE *to, const char *kind, const char *id,
			const char *text)
{
	char shown[SHOWN_MAX];

	printable_copy(id, strlen(id), shown, sizeof(shown));
	fprintf(to, "%s %s", kind, shown);
	show(to, "", text);
}

static void show_config(FILE *to, const struct vm_config *c)
{
	char cid[32];
	uint32_t i;

	fprintf(to, "vCPUs: %" PRIu32 "\nmemory: %" PRIu64 " MiB%s\n",
		c->machine.vcpu_count, c->machine.mem_size_mib,
		c->machine.track_dirty_pages ? ", with a log of what is written"
					     : "");
	if (c->boot.kernel_image_path)
		show(to, "kernel", c->boot.kernel_image_path);
	for (i = 0; i < c->drive_count; i++)
		show_device(to,
			    c->drives[i].is_read_only ? "read-only drive"
						      : "drive",
			    c->drives[i].drive_id, c->drives[i].path_on_host);
	for (i = 0; i < c->net_count; i++)
		show_device(to, "network interface", c->nets[i].iface_id,
			    c->nets[i].host_dev_name);
	if (!c->vsock.uds_path)
		return;
	snprintf(cid, sizeof(cid), "%" PRIu32, c->vsock.guest_cid);
	show_device(to, "vsock", cid, c->vsock.uds_path);
}

static void show_sections(FILE *to, const struct state *s)
{
	struct state_entry entry;
	unsigned i;

	fputs("sections:\n", to);
	for (i = 0; state_entry(s, i, &entry); i++)
		fprintf(to, "  %-24s version %" PRIu32 ", %zu bytes\n",
			entry.name, entry.version, entry.len);
}

static int describe(struct state *s, size_t len, FILE *to, struct err *e)
{
	struct vm_config config;
	bool has_boot_timer, is_fork;
	unsigned i;
	int rc;

	config_init(&config);
	rc = snapshot_config_read(s, &config, &has_boot_timer, &is_fork, e);
	if (!rc) {
		describe_version(to);
		fprintf(to, "format: %d, of %s\nbytes: %zu\nmemory's id: ",
			STATE_FORMAT, state_arch(), len);
		for (i = 0; i < STATE_ID_LEN; i++)
			fprintf(to, "%02x", state_id(s)[i]);
		fputs("\n", to);
		show_config(to, &config);
		show_sections(to, s);
	}
	config_fini(&config);
	return rc;
}

int describe_snapshot(const char *path, const char *key_path, FILE *to,
		      struct err *e)
{
	struct state_key key = {0};
	struct state *s = NULL;
	uint8_t *bytes = NULL;
	size_t len = 0;
	int rc = key_path ? state_key_read(key_path, &key, e) : 0;

	rc = rc ? rc : state_file_read(path, &bytes, &len, NULL, e);
	if (rc)
		return rc;
	rc = state_decode(&s, bytes, len, &key, e);
	rc = rc ? rc : describe(s, len, to, e);
	state_free(s);
	free(bytes);
	if (rc)
		return err_context(e, "the state file %.256s", path);
	return fflush(to) ? err_errno(e, "can't write what it has") : 0;
}
