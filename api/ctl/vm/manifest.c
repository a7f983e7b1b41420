#include "api/ctl/vm/manifest.h"

#include <arpa/inet.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "api/ctl/agent/session.h"
#include "api/ctl/base/copy.h"
#include "api/ctl/base/process.h"
#include "vmm/base/fd.h"

enum {
	CONFIG_MAX = 1 << 20,
	VCPUS_MAX = 32,
	MEMORY_MAX_MIB = 1 << 20,
	ID_MAX = 16,
	WORD_MAX = 32,
};

static const char *const network_words[] = {"none", "nat", "tap", NULL};

static const struct field drive_fields[] = {
	{.name = "id",
	 .type = FIELD_STRING,
	 .flags = FIELD_REQUIRED,
	 .max = ID_MAX,
	 FIELD_AT(struct manifest_drive, id)},
	{.name = "is_read_only",
	 .type = FIELD_BOOL,
	 .flags = FIELD_REQUIRED,
	 FIELD_AT(struct manifest_drive, is_read_only)},
};

static const struct field_table drive_table =
	FIELD_TABLE("a drive", struct manifest_drive, drive_fields);

static const struct field drive_element = {
	.name = "a drive",
	.type = FIELD_OBJECT,
	.nested = &drive_table,
	.size = sizeof(struct manifest_drive),
};

static const struct field fields[] = {
	{.name = "version",
	 .type = FIELD_INTEGER,
	 .flags = FIELD_REQUIRED,
	 .min = 1,
	 FIELD_AT(struct manifest, version)},
	{.name = "image",
	 .type = FIELD_STRING,
	 .flags = FIELD_REQUIRED,
	 FIELD_AT(struct manifest, image)},
	{.name = "digest",
	 .type = FIELD_STRING,
	 .flags = FIELD_REQUIRED,
	 .max = 71,
	 FIELD_AT(struct manifest, digest)},
	{.name = "command",
	 .type = FIELD_STRING,
	 FIELD_AT(struct manifest, command)},
	{.name = "stop_signal",
	 .type = FIELD_STRING,
	 .max = WORD_MAX,
	 FIELD_AT(struct manifest, stop_signal)},
	{.name = "vcpu_count",
	 .type = FIELD_INTEGER,
	 .flags = FIELD_REQUIRED,
	 .min = 1,
	 .max = VCPUS_MAX,
	 FIELD_AT(struct manifest, vcpu_count)},
	{.name = "memory_mib",
	 .type = FIELD_INTEGER,
	 .flags = FIELD_REQUIRED,
	 .min = 1,
	 .max = MEMORY_MAX_MIB,
	 FIELD_AT(struct manifest, memory_mib)},
	{.name = "network",
	 .type = FIELD_WORD,
	 .flags = FIELD_REQUIRED,
	 .words = network_words,
	 FIELD_AT(struct manifest, network)},
	{.name = "has_console",
	 .type = FIELD_BOOL,
	 FIELD_AT(struct manifest, has_console)},
	{.name = "dns",
	 .type = FIELD_ARRAY,
	 .max = VM_SERVERS_MAX,
	 .element = &vm_server_element,
	 FIELD_AT(struct manifest, dns)},
	{.name = "drives",
	 .type = FIELD_ARRAY,
	 .flags = FIELD_REQUIRED,
	 .max = VM_DEVICES_MAX,
	 .element = &drive_element,
	 FIELD_AT(struct manifest, drives)},
};

static const struct field_table table =
	FIELD_TABLE(MANIFEST_FILE, struct manifest, fields);

void manifest_servers(const struct field_array *dns,
		      const char *list[VM_SERVERS_MAX + 1])
{
	char *const *items = dns->items;
	uint32_t i;

	for (i = 0; i < dns->count && i < VM_SERVERS_MAX; i++)
		list[i] = items[i];
	list[i] = NULL;
}

bool manifest_is_image(const struct manifest_drive *d)
{
	return !strcmp(d->id, SESSION_IMAGE_SERIAL);
}

const char *manifest_file(const struct manifest_drive *d,
			  char out[MANIFEST_NAME_MAX])
{
	snprintf(out, MANIFEST_NAME_MAX, "%.*s.disk", ID_MAX, d->id);
	return out;
}

/* ---- of a microVM ---------------------------------------------------------
 */

static int take_drives(struct manifest *m, const json_t *drives, char **paths,
		       struct err *e)
{
	const size_t count = json_array_size(drives);
	struct manifest_drive *list = calloc(count + 1, sizeof(*list));
	size_t i;

	m->drives = (struct field_array){.items = list};
	if (!list || count > VM_DEVICES_MAX)
		return err_set(e, -EINVAL, "there are %zu drives in it", count);
	for (i = 0; i < count; i++) {
		const json_t *d = json_array_get(drives, i);
		const char *id = json_string_value(json_object_get(d, "drive_"
								      "id"));
		const char *path =
			json_string_value(json_object_get(d, "path_on_host"));

		list[i].id = strdup(id ? id : "");
		paths[i] = strdup(path ? path : "");
		m->drives.count++;
		if (!list[i].id || !paths[i] || !id || !path)
			return err_set(e, -EINVAL, "drive %zu has no name", i);
		list[i].is_read_only =
			json_is_true(json_object_get(d, "is_read_only"));
	}
	return 0;
}

/* What mayctl has written for people is of use to itself. */
static int take_config(struct manifest *m, const struct vm *vm, char **paths,
		       struct err *e)
{
	char path[VM_PATH_MAX], *text = NULL;
	json_t *config = NULL;
	int rc = process_read_file(vm_path(vm, "config.json", path), CONFIG_MAX,
				   &text, e);

	if (rc)
		return rc;
	config = json_parse(text, strlen(text), e);
	free(text);
	if (!config)
		return err_context(e, "%s", path);
	rc = take_drives(m, json_object_get(config, "drives"), paths, e);
	if (rc)
		err_context(e, "%s", path);
	if (json_array_size(json_object_get(config, "network-interfaces")))
		m->network = vm->state.tap ? MANIFEST_NET_NAT
					   : MANIFEST_NET_TAP;
	json_decref(config);
	return rc;
}

static int take_servers(struct manifest *m, const struct field_array *dns,
			struct err *e)
{
	const char *list[VM_SERVERS_MAX + 1];

	manifest_servers(dns, list);
	return vm_set_servers(&m->dns, list, e);
}

int manifest_of(struct manifest *m, const struct vm *vm, char **paths,
		struct err *e)
{
	const struct vm_state *s = &vm->state;
	int rc;

	*m = (struct manifest){
		.version = MANIFEST_VERSION,
		.image = strdup(s->image ? s->image : ""),
		.digest = strdup(s->digest ? s->digest : ""),
		.command = s->command ? strdup(s->command) : NULL,
		.stop_signal = s->stop_signal ? strdup(s->stop_signal) : NULL,
		.vcpu_count = s->vcpu_count,
		.memory_mib = s->memory_mib,
		.has_console = s->has_console,
	};
	rc = take_servers(m, &s->dns, e);
	if (!rc && (!m->image || !m->digest))
		rc = err_set(e, -ENOMEM, "no memory for a microVM");
	return rc ? rc : take_config(m, vm, paths, e);
}

int manifest_write(const struct manifest *m, int dir, bool is_synced,
		   struct err *e)
{
	CLEAN_FD int fd = copy_make(dir, MANIFEST_FILE, e);
	json_t *json = json_dump(&table, m);
	char *text = json ? json_dumps(json, JSON_INDENT(2)) : NULL;
	int rc = fd < 0 ? fd : 0;

	json_decref(json);
	if (!rc && !text)
		rc = err_set(e, -ENOMEM, "no memory for " MANIFEST_FILE);
	if (!rc &&
	    (fd_write(fd, text, strlen(text)) || (is_synced && fsync(fd))))
		rc = err_errno(e, "can't write " MANIFEST_FILE);
	free(text);
	return rc;
}

/* ---- of strangers ---------------------------------------------------------
 */

/* The ids that `mayctl run` gives, each once. */
static int judge_drive(const struct manifest *m, uint32_t at, struct err *e)
{
	const struct manifest_drive *list = m->drives.items;
	char *end = NULL, id[ID_MAX + 1];
	const bool is_image = manifest_is_image(&list[at]);
	unsigned long n = 0;
	uint32_t i;

	if (!is_image && strcmp(list[at].id, SESSION_UPPER_SERIAL) != 0) {
		if (!strncmp(list[at].id, "volume", 6))
			n = strtoul(list[at].id + 6, &end, 10);
		snprintf(id, sizeof(id), SESSION_VOLUME_SERIAL,
			 (unsigned)(n & 0xff));
		if (!end || strcmp(id, list[at].id) != 0)
			return err_set(e, -EINVAL,
				       "drives[%u] has an id that no drive of "
				       "mayctl's has",
				       at);
	}
	for (i = 0; i < at; i++)
		if (!strcmp(list[i].id, list[at].id))
			return err_set(e, -EINVAL, "two drives are called %s",
				       list[at].id);
	return is_image && !list[at].is_read_only
		       ? err_set(e, -EINVAL, "its image can be written to")
		       : 0;
}

static bool is_digest(const char *text)
{
	return !strncmp(text, "sha256:", 7) && strlen(text) == 71 &&
	       strspn(text + 7, "0123456789abcdef") == 64;
}

static bool is_address(const char *text)
{
	uint8_t address[sizeof(struct in6_addr)];

	return text && (inet_pton(AF_INET, text, address) == 1 ||
			inet_pton(AF_INET6, text, address) == 1);
}

static bool is_printable(const char *text)
{
	for (; text && *text; text++)
		if (*text < ' ' || *text > '~')
			return false;
	return true;
}

/* For people, and so of any bytes: those that a terminal heeds become '?'. */
static void clean(char *text)
{
	for (; text && *text; text++)
		if ((*text < ' ' && *text != '\n') || *text > '~')
			*text = '?';
}

static int judge(const struct manifest *m, struct err *e)
{
	uint32_t i;
	int rc = 0;

	if (m->version != MANIFEST_VERSION)
		return err_set(e, -EINVAL,
			       "it has version %u, and this mayctl knows "
			       "version %d",
			       m->version, MANIFEST_VERSION);
	if (!is_digest(m->digest))
		return err_set(e, -EINVAL, "digest is no digest of an image");
	clean(m->command);
	if (!is_printable(m->image) || !is_printable(m->stop_signal))
		return err_set(e, -EINVAL,
			       "it has text that no terminal should see");
	for (i = 0; i < m->dns.count; i++)
		if (!is_address(((char *const *)m->dns.items)[i]))
			return err_set(e, -EINVAL,
				       "dns[%u] is no address of a name "
				       "server in numbers",
				       i);
	for (i = 0; i < m->drives.count && !rc; i++)
		rc = judge_drive(m, i, e);
	return rc;
}

int manifest_read(struct manifest *m, int fd, struct err *e)
{
	char text[MANIFEST_TEXT_MAX];
	json_t *json = NULL;
	struct stat st;
	size_t size;
	int rc;

	*m = (struct manifest){0};
	if (fstat(fd, &st))
		return err_errno(e, "can't examine " MANIFEST_FILE);
	if (st.st_size < 1 || st.st_size > MANIFEST_TEXT_MAX)
		return err_set(e, -EINVAL, MANIFEST_FILE " has %lld bytes",
			       (long long)st.st_size);
	size = (size_t)st.st_size;
	rc = fd_pread(fd, text, size, 0);
	if (rc)
		return err_set(e, rc, "can't read " MANIFEST_FILE ": %s",
			       strerror(-rc));
	json = json_parse(text, size, e);
	rc = json ? json_bind(json, &table, m, NULL, e) : -EINVAL;
	json_decref(json);
	rc = rc ? rc : judge(m, e);
	return rc ? err_context(e, MANIFEST_FILE) : 0;
}

void manifest_fini(struct manifest *m)
{
	json_unbind(&table, m);
}
