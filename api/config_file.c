/*
 * The config file: read whole, bound by one table, then carried through the
 * same setters as the bodies of the API.
 */
#include "api/config_fields.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "vmm/base/fd.h"
#include "vmm/base/passed.h"

enum { FILE_BYTES_MAX = 1 << 20 };

static int apply_drives(struct vm_config *c, struct config_file *file,
			struct err *e)
{
	struct config_drive *drives = file->drives.items;
	uint32_t i, before;

	for (i = 0; i < file->drives.count; i++) {
		before = c->drive_count;
		if (config_set_drive(c, &drives[i], e))
			return err_context(e, "drives[%u]", i);
		if (c->drive_count == before)
			return err_set(
				e, -EEXIST,
				"drives[%u]: this drive_id is used twice", i);
	}
	return 0;
}

static int apply_nets(struct vm_config *c, struct config_file *file,
		      struct err *e)
{
	struct config_net *nets = file->nets.items;
	uint32_t i, before;

	for (i = 0; i < file->nets.count; i++) {
		before = c->net_count;
		if (config_set_net(c, &nets[i], e))
			return err_context(e, "network-interfaces[%u]", i);
		if (c->net_count == before)
			return err_set(e, -EEXIST,
				       "network-interfaces[%u]: this iface_id "
				       "is used twice",
				       i);
	}
	return 0;
}

static int apply(struct vm_config *c, struct config_file *file, struct err *e)
{
	int rc;

	if (config_set_boot(c, &file->boot, e))
		return err_context(e, "boot-source");
	if (file->has_machine && config_set_machine(c, &file->machine, e))
		return err_context(e, "machine-config");
	if (file->has_logger && config_set_logger(c, &file->logger, e))
		return err_context(e, "logger");
	if (file->has_metrics) {
		if (config_check_metrics(&file->metrics, e))
			return err_context(e, "metrics");
		config_set_metrics(c, &file->metrics);
	}
	if (file->has_vsock && config_set_vsock(c, &file->vsock, e))
		return err_context(e, "vsock");
	if (file->has_serial && config_set_serial(c, &file->serial, e))
		return err_context(e, "serial");
	rc = apply_drives(c, file, e);
	return rc ? rc : apply_nets(c, file, e);
}

int config_parse(struct vm_config *c, const char *text, size_t len,
		 struct err *e)
{
	struct config_file file = {0};
	json_t *json = json_parse(text, len, e);
	int rc;

	if (!json)
		return -EINVAL;
	rc = json_bind(json, &config_file_table, &file, NULL, e);
	json_decref(json);
	if (rc)
		return rc;
	rc = apply(c, &file, e);
	json_unbind(&config_file_table, &file);
	return rc;
}

/*
 * A regular file comes with one read; what has no size beforehand (a pipe, a
 * file of /proc) is read to its end.
 */
static int read_whole(int fd, char **out, size_t *len, struct err *e)
{
	struct stat st;
	size_t room = FILE_BYTES_MAX;
	bool is_sized;
	char *text;
	ssize_t n;
	int rc = 0;

	*len = 0;
	if (fstat(fd, &st))
		return err_errno(e, "can't stat it");
	is_sized = S_ISREG(st.st_mode) && st.st_size > 0;
	if (is_sized)
		room = (size_t)st.st_size;
	if (room > FILE_BYTES_MAX)
		return err_set(e, -EFBIG, "it is larger than %d bytes",
			       FILE_BYTES_MAX);
	text = malloc(room + 1);
	if (!text)
		return err_set(e, -ENOMEM, "no memory to read it");
	for (;;) {
		n = read(fd, text + *len, room + 1 - *len);
		if (n < 0 && errno == EINTR)
			continue;
		if (n > 0)
			*len += (size_t)n;
		/* The size said where a regular file ends. */
		if (n <= 0 || *len >= room + !is_sized)
			break;
	}
	if (n < 0)
		rc = err_errno(e, "can't read it");
	else if (*len > room)
		rc = err_set(e, -EFBIG, "it is larger than %zu bytes", room);
	if (rc)
		free(text);
	else
		*out = text;
	return rc;
}

int config_load(struct vm_config *c, const char *path, struct err *e)
{
	CLEAN_FD int fd = passed_open(path, O_RDONLY | O_NOCTTY);
	char *text = NULL;
	size_t len;
	int rc;

	if (fd < 0)
		return err_errno(e, "can't open the config file %s", path);
	rc = read_whole(fd, &text, &len, e);
	if (!rc)
		rc = config_parse(c, text, len, e);
	free(text);
	if (rc)
		err_context(e, "config file %s", path);
	return rc;
}

json_t *config_dump(const struct vm_config *c)
{
	struct config_file file = {
		.boot = c->boot,
		.machine = c->machine,
		.logger = c->logger,
		.metrics = c->metrics,
		.drives = {.items = (void *)(uintptr_t)c->drives,
			   .count = c->drive_count},
		.nets = {.items = (void *)(uintptr_t)c->nets,
			 .count = c->net_count},
		.vsock = c->vsock,
		.serial = c->serial,
		.has_boot = c->boot.kernel_image_path,
		.has_machine = true,
		.has_logger = c->has_logger,
		.has_metrics = c->metrics.metrics_path,
		.has_vsock = c->vsock.uds_path,
		.has_serial = c->serial.serial_out_path,
	};

	return json_dump(&config_file_table, &file);
}
