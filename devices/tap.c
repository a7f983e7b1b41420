/*
 * Tap interfaces. /dev/net/tun is opened, and TUNSETIFF makes the descriptor
 * one queue of the interface it names: of one that is there, if it belongs to
 * our user or we have CAP_NET_ADMIN, else of a new one, for which CAP_NET_ADMIN
 * is needed.
 *
 * Linux refuses to open a tap of many queues as one of a single queue and the
 * other way round, with an EINVAL that it also has for interfaces that are no
 * taps. So both are tried before we believe it.
 *
 * A queue that is not attached gives EPOLLERR for ever; nobody should wait for
 * it.
 */
#include "devices/tap.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/if.h>
#include <linux/if_tun.h>
#include <stddef.h>
#include <string.h>
#include <sys/auxv.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "vmm/base/fd.h"

static const char tun_path[] = "/dev/net/tun";

/* For sentences; without a system call that no filter has. */
static unsigned own_uid(void)
{
	return (unsigned)getauxval(AT_EUID);
}

static int open_tun(struct err *e)
{
	int fd = openat(AT_FDCWD, tun_path, O_RDWR | O_CLOEXEC | O_NONBLOCK);

	if (fd >= 0)
		return fd;
	if (errno == ENOENT || errno == ENODEV || errno == ENXIO)
		return err_set(e, -errno,
			       "there is no %s, which network interfaces need; "
			       "`modprobe tun` makes it",
			       tun_path);
	if (errno == EACCES || errno == EPERM)
		return err_set(e, -errno,
			       "user %u may not open %s; let it, with `setfacl "
			       "-m u:%u:rw %s`",
			       own_uid(), tun_path, own_uid(), tun_path);
	return err_errno(e, "can't open %s", tun_path);
}

/* Makes fd a queue of the interface. 0 or a negative errno. */
static int set_interface(int fd, const char *name, bool is_multi)
{
	struct ifreq req = {0};

	/* name was checked to fit. */
	memcpy(req.ifr_name, name, strnlen(name, TAP_NAME - 1));
	req.ifr_flags = IFF_TAP | IFF_NO_PI | IFF_VNET_HDR;
	if (is_multi)
		req.ifr_flags |= IFF_MULTI_QUEUE;
	return ioctl(fd, TUNSETIFF, &req) ? -errno : 0;
}

static int explain(int rc, const char *name, struct err *e)
{
	switch (rc) {
	case -EBUSY:
		return err_set(e, rc,
			       "the tap %s is in use already; each microVM "
			       "needs one of its own",
			       name);
	case -EPERM:
		return err_set(e, rc,
			       "there is no tap %s that user %u may use; make "
			       "one with `ip tuntap add dev %s mode tap user "
			       "%u`",
			       name, own_uid(), name, own_uid());
	case -EINVAL:
		return err_set(e, rc,
			       "the interface %s is not a tap; name another, "
			       "made with `ip tuntap add dev NAME mode tap`",
			       name);
	default:
		errno = -rc;
		return err_errno(e, "can't open the tap %s", name);
	}
}

/* Linux would take a % for a request to pick a name. */
static int check_name(const char *name, struct err *e)
{
	const size_t len = strlen(name);

	if (len > 0 && len < TAP_NAME && !strpbrk(name, "/:% \t\n"))
		return 0;
	return err_set(e, -EINVAL,
		       "'%.64s' is no name of an interface: 1 to %d characters "
		       "without spaces, /, : and %%",
		       name, TAP_NAME - 1);
}

/* The form of frames and headers, and what the host can leave to the guest. */
static int set_up(struct tap *t, struct err *e)
{
	static const uint32_t sets[] = {
		TAP_ALL,
		TAP_CSUM | TAP_TSO4 | TAP_TSO6 | TAP_ECN | TAP_UFO,
		TAP_CSUM | TAP_TSO4 | TAP_TSO6 | TAP_ECN,
		TAP_CSUM,
	};
	int size = TAP_HEADER;
	unsigned i;

	if (ioctl(t->fd, TUNSETVNETHDRSZ, &size))
		return err_errno(e, "can't set up the tap %s", t->name);
	for (i = 0; i < sizeof(sets) / sizeof(sets[0]) && !t->offloads; i++)
		if (tap_set_offloads(t, sets[i]) == 0)
			t->offloads = sets[i];
	if (tap_set_offloads(t, 0))
		return err_errno(e, "can't set up the tap %s", t->name);
	t->is_attached = true;
	return 0;
}

int tap_open(struct tap *t, const char *name, bool want_multi, struct err *e)
{
	struct tap opened = {.fd = -1, .is_multi = want_multi};
	CLEAN_FD int fd = -1;
	int rc = check_name(name, e);

	t->fd = -1;
	if (rc)
		return rc;
	fd = open_tun(e);
	if (fd < 0)
		return fd;
	rc = set_interface(fd, name, opened.is_multi);
	if (rc == -EINVAL) {
		opened.is_multi = !opened.is_multi;
		rc = set_interface(fd, name, opened.is_multi);
	}
	if (rc)
		return explain(rc, name, e);
	strncpy(opened.name, name, TAP_NAME - 1);
	opened.fd = fd;
	rc = set_up(&opened, e);
	if (rc)
		return rc;
	*t = opened;
	t->fd = fd_steal(&fd);
	return 0;
}

int tap_adopt(struct tap *t, int fd, const char *name, struct err *e)
{
	static const int must = IFF_TAP | IFF_NO_PI | IFF_VNET_HDR;
	struct tap adopted = {.fd = fd};
	struct ifreq req = {0};
	int flags = fcntl(fd, F_GETFL);
	int rc;

	t->fd = -1;
	if (ioctl(fd, TUNGETIFF, &req))
		return err_set(e, -EINVAL,
			       "descriptor %d%s%s%s is not a tap that is open",
			       fd, name ? ", for " : "", name ? name : "",
			       name ? "," : "");
	memcpy(adopted.name, req.ifr_name, TAP_NAME - 1);
	if ((req.ifr_flags & must) != must)
		return err_set(e, -EINVAL,
			       "the tap %s was not opened with IFF_TAP, "
			       "IFF_NO_PI and IFF_VNET_HDR",
			       adopted.name);
	if (flags < 0 || fcntl(fd, F_SETFL, flags | O_NONBLOCK) ||
	    fcntl(fd, F_SETFD, FD_CLOEXEC))
		return err_errno(e, "can't set up the tap %s", adopted.name);
	adopted.is_multi = req.ifr_flags & IFF_MULTI_QUEUE;
	rc = set_up(&adopted, e);
	if (!rc)
		*t = adopted;
	return rc;
}

int tap_reserve(struct tap *t, const struct tap *first, struct err *e)
{
	int rc;

	*t = *first;
	t->fd = open_tun(e);
	if (t->fd < 0)
		return t->fd;
	/*
	 * Made a queue now, while the process may still reach other taps, and
	 * let go of until the driver wants it.
	 */
	t->is_attached = true;
	rc = set_interface(t->fd, t->name, true);
	if (!rc)
		rc = tap_attach(t, false);
	if (!rc)
		return 0;
	fd_close(&t->fd);
	return err_set(e, rc, "can't make another queue of %s: %s", t->name,
		       strerror(-rc));
}

int tap_attach(struct tap *t, bool is_attached)
{
	struct ifreq req = {
		.ifr_flags = is_attached ? IFF_ATTACH_QUEUE : IFF_DETACH_QUEUE,
	};

	if (t->is_attached == is_attached)
		return 0;
	if (ioctl(t->fd, TUNSETQUEUE, &req))
		return -errno;
	t->is_attached = is_attached;
	return 0;
}

int tap_set_offloads(const struct tap *t, uint32_t offloads)
{
	return ioctl(t->fd, TUNSETOFFLOAD, (unsigned long)offloads) ? -errno
								    : 0;
}

void tap_close(struct tap *t)
{
	fd_close(&t->fd);
}
