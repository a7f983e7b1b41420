#include "api/ctl/vm/handed.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/if_tun.h>
#include <net/if.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <unistd.h>

#include "vmm/base/fd.h"

int handed_add(struct handed *h, int fd, bool is_file, struct err *e)
{
	unsigned i;

	if (h->count == HANDED_MAX) {
		fd_close(&fd);
		return err_set(e, -E2BIG, "more than %d files for a monitor",
			       HANDED_MAX);
	}
	for (i = h->count++; i && h->fds[i - 1] > fd; i--) {
		h->fds[i] = h->fds[i - 1];
		h->is_file[i] = h->is_file[i - 1];
	}
	h->fds[i] = fd;
	h->is_file[i] = is_file;
	return 0;
}

static int add_named(struct handed *h, int fd, struct handed_name *name,
		     bool is_file, struct err *e)
{
	int rc = handed_add(h, fd, is_file, e);

	if (rc)
		return rc;
	if (name)
		snprintf(name->text, sizeof(name->text), "fd:%d", fd);
	return fd;
}

/* The last part of its path, as far as JSON and a terminal can have it. */
static void add_label(struct handed_name *name, const char *path)
{
	const char *slash = strrchr(path, '/');
	size_t len = strlen(name->text);

	name->text[len++] = ':';
	for (path = slash ? slash + 1 : path;
	     *path && len + 1 < sizeof(name->text); path++)
		name->text[len++] = *path > ' ' && *path < 127 ? *path : '?';
	name->text[len] = '\0';
}

int handed_open(struct handed *h, const char *path, int flags,
		enum fd_kind kind, const char *what, struct handed_name *name,
		struct err *e)
{
	int fd = fd_open(path, flags, kind, what, e);

	if (fd < 0)
		return fd;
	fd = add_named(h, fd, name, true, e);
	if (fd >= 0 && name)
		add_label(name, path);
	return fd;
}

int handed_copy(struct handed *h, int fd, const char *label,
		struct handed_name *name, struct err *e)
{
	int copy = fcntl(fd, F_DUPFD_CLOEXEC, 3);

	if (copy < 0)
		return err_errno(e, "can't hand the %s over", label);
	copy = add_named(h, copy, name, true, e);
	if (copy >= 0)
		add_label(name, label);
	return copy;
}

int handed_open_kvm(struct handed *h, struct err *e)
{
	int fd = open("/dev/kvm", O_RDWR | O_CLOEXEC);

	if (fd >= 0)
		return add_named(h, fd, NULL, false, e);
	if (errno == EACCES || errno == EPERM)
		return err_errno(e,
				 "user %u may not open /dev/kvm; let it, with "
				 "`setfacl -m u:%u:rw /dev/kvm`",
				 geteuid(), geteuid());
	return err_errno(e, "can't open /dev/kvm: is virtualisation on, and "
			    "the kvm module loaded?");
}

/* Linux opens one of many queues only as that, and tells with EINVAL. */
static int set_tap(int fd, const char *tap)
{
	static const short flags[] = {IFF_TAP | IFF_NO_PI | IFF_VNET_HDR,
				      IFF_TAP | IFF_NO_PI | IFF_VNET_HDR |
					      IFF_MULTI_QUEUE};
	struct ifreq request;
	unsigned i;

	for (i = 0; i < 2; i++) {
		request = (struct ifreq){.ifr_flags = flags[i]};
		snprintf(request.ifr_name, sizeof(request.ifr_name), "%s", tap);
		if (!ioctl(fd, TUNSETIFF, &request))
			return 0;
		if (errno != EINVAL)
			break;
	}
	return -errno;
}

int handed_open_tap(struct handed *h, const char *tap, struct handed_name *name,
		    struct err *e)
{
	CLEAN_FD int fd = open("/dev/net/tun", O_RDWR | O_CLOEXEC | O_NONBLOCK);
	int rc;

	if (fd < 0)
		return err_errno(e, "can't open /dev/net/tun for the tap %s",
				 tap);
	rc = set_tap(fd, tap);
	if (rc == -EBUSY)
		return err_set(e, rc,
			       "the tap %s is in use already; each microVM "
			       "needs one of its own",
			       tap);
	if (rc == -EPERM)
		return err_set(e, rc,
			       "user %u may not use the tap %s; make one with "
			       "`ip tuntap add dev %s mode tap user %u`",
			       geteuid(), tap, tap, geteuid());
	if (rc)
		return err_set(e, rc, "can't open the tap %s: %s", tap,
			       strerror(-rc));
	return handed_take_tap(h, fd_steal(&fd), name, e);
}

/* The interface's, which is no file. */
int handed_take_tap(struct handed *h, int fd, struct handed_name *name,
		    struct err *e)
{
	return add_named(h, fd, name, false, e);
}

int handed_write(struct handed *h, const char *text, struct handed_name *name,
		 struct err *e)
{
	CLEAN_FD int fd = memfd_create("config", MFD_CLOEXEC);
	char path[32];

	if (fd < 0 || fd_pwrite(fd, text, strlen(text), 0))
		return err_errno(e, "can't make a memory file");
	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	return handed_open(h, path, O_RDONLY, FD_REGULAR, "configuration", name,
			   e);
}

void handed_list(const struct handed *h, char out[HANDED_LIST])
{
	size_t len = 0;
	unsigned i;

	*out = '\0';
	for (i = 0; i < h->count && len < HANDED_LIST; i++)
		if (h->is_file[i])
			len += (size_t)snprintf(out + len, HANDED_LIST - len,
						"%s%d", len ? "," : "",
						h->fds[i]);
}

void handed_close(struct handed *h)
{
	while (h->count)
		fd_close(&h->fds[--h->count]);
}
