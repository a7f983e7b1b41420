/*
 * Trying what clients name. A name is anything: a FIFO that nobody writes to, a
 * folder, a terminal; so every open is one that does not wait, and what was
 * opened is looked at before it is believed.
 */
#include "api/host_files.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>

#include "api/assembly.h"
#include "devices/block_file.h"
#include "devices/tap.h"
#include "vmm/base/fd.h"

static int check_regular(const char *path, const char *what, struct err *e)
{
	CLEAN_FD int fd = fd_open(path, O_RDONLY, FD_REGULAR, what, e);

	return fd < 0 ? fd : 0;
}

int host_files_check_boot(const struct config_boot *body, struct err *e)
{
	int rc = 0;

	if (*body->kernel_image_path)
		rc = check_regular(body->kernel_image_path, "kernel", e);
	if (!rc && body->initrd_path && *body->initrd_path)
		rc = check_regular(body->initrd_path, "initrd", e);
	return rc;
}

int host_files_check_drive(const struct config_drive *body, struct err *e)
{
	struct block_overlay_config overlay;
	struct block_file file;
	int rc;

	if (!body->path_on_host || !*body->path_on_host)
		return 0;
	rc = block_file_open(&file, body->path_on_host,
			     body->is_read_only || body->has_overlay, e);
	if (rc)
		return rc;
	block_file_close(&file);
	if (!body->has_overlay ||
	    (body->overlay.dir_on_host && !*body->overlay.dir_on_host))
		return 0;
	overlay = assembly_overlay(body);
	return block_overlay_try(&overlay, e);
}

/* The copy shares the tap's settings, and the start makes the same ones. */
static int check_tap_fd(int number, const char *name, struct err *e)
{
	CLEAN_FD int fd = fcntl(number, F_DUPFD_CLOEXEC, 3);
	struct tap tap;
	int rc;

	if (fd < 0 && errno == EBADF)
		return err_set(e, -EBADF,
			       "descriptor %d, for a tap, is not open", number);
	if (fd < 0)
		return err_errno(e, "descriptor %d, for a tap", number);
	rc = tap_adopt(&tap, fd, name, e);
	if (!rc)
		fd_steal(&fd);
	if (!rc)
		tap_close(&tap);
	return rc;
}

int host_files_check_net(const struct config_net *body, struct err *e)
{
	const int number = config_tap_fd(body->host_dev_name);
	struct tap tap;
	int rc;

	if (number >= 0)
		return check_tap_fd(number, body->host_dev_name, e);
	if (!*body->host_dev_name || strchr(body->host_dev_name, ':'))
		return 0;
	rc = tap_open(&tap, body->host_dev_name, false, e);
	if (!rc)
		tap_close(&tap);
	return rc;
}
