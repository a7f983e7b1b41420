/*
 * CONFIGURE, IDENTITY and RENEW: what a host says of the machine as a whole.
 */
#include "guest/agent/configure.h"

#include "guest/agent/container.h"
#include "guest/agent/disk.h"
#include "guest/agent/freezer.h"
#include "guest/agent/machine.h"
#include "guest/agent/network.h"
#include "guest/agent/ready.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/mount.h>
#include <stdio.h>
#include <string.h>
#include <sys/mount.h>
#include <unistd.h>

enum { FAILED = 125, SEED_MAX = 512, SEED_MIN = 32 };

/* Appends to resolv.conf; false if there is no room. */
static bool resolv_put(const char *text, size_t text_len)
{
	const size_t len = strlen(machine.resolv);

	if (text_len >= sizeof(machine.resolv) - len)
		return false;
	memcpy(machine.resolv + len, text, text_len);
	machine.resolv[len + text_len] = '\0';
	return true;
}

/*
 * A list into resolv.conf: a line for each, or one for all, as of two lines of
 * search or options only the last counts. What could add lines of its own is no
 * name.
 */
static void resolv_add(const char *word, bool is_one, struct reader *r)
{
	static const char letters[] =
		"abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
		"0123456789_.:%-";
	const uint32_t n = reader_count(r);

	for (uint32_t i = 0; i < n && !r->is_bad; i++) {
		const struct bytes b = reader_string(r);

		for (size_t k = 0; k < b.len; k++)
			if (!strchr(letters, b.at[k]))
				r->is_bad = true;
		if ((!i || !is_one) && !resolv_put(word, strlen(word)))
			r->is_bad = true;
		if (!resolv_put(" ", 1) || !resolv_put(b.at, b.len))
			r->is_bad = true;
		if ((i + 1 == n || !is_one) && !resolv_put("\n", 1))
			r->is_bad = true;
	}
}

static int upper_mount(const struct bytes *serial)
{
	char name[24] = "";
	int fd, rc;

	if (!serial->len || machine.tree)
		return 0;
	if (serial->len >= sizeof(name))
		return -EINVAL;
	memcpy(name, serial->at, serial->len);
	/* Its root is not on that disk. */
	ready_drop();
	fd = disk_mount(name, MOUNT_ATTR_NODEV);
	if (fd < 0)
		return fd;
	rc = mount_attach(fd, AT_FDCWD, machine.base);
	close(fd);
	return rc;
}

static void configure_network(struct session *s, struct reader *r)
{
	const uint32_t n = reader_count(r);
	char what[80] = "";
	int rc = 0;

	network_loopback();
	if (!machine.is_test)
		network_permit();
	for (uint32_t i = 0; i < n && !rc && !r->is_bad; i++)
		rc = network_interface(r, what);
	if (rc && !r->is_bad)
		session_error(s, -rc, FAILED, "network: %s: %s", what,
			      strerror(-rc));
	if (rc)
		r->is_bad = true;
	resolv_add("nameserver", false, r);
	resolv_add("search", true, r);
	resolv_add("options", true, r);
}

/* Of two in an order: the first that failed. */
static int first(int a, int b)
{
	return a ? a : b;
}

void configure_machine(struct session *s, struct reader *r)
{
	const struct proto_configure *head = reader_take(r, sizeof(*head));
	const struct bytes hostname = reader_string(r);
	const struct bytes image = reader_string(r);
	const struct bytes upper = reader_string(r);
	const struct bytes seed = reader_bytes(r);
	char size[40];
	int rc = 0;

	if (machine.is_configured) {
		session_error(s, EALREADY, FAILED,
			      "the machine is configured already");
		return;
	}
	if (!r->is_bad && image.len < sizeof(machine.image))
		memcpy(machine.image, image.at, image.len);
	else
		r->is_bad = true;
	if (!r->is_bad) {
		if (proto_get64(&head->time_ns))
			rc = machine_clock_set(proto_get64(&head->time_ns));
		rc = first(rc, machine_hostname_set(hostname.at, hostname.len));
		rc = first(rc, machine_entropy(seed.at, seed.len, false));
		rc = first(rc, upper_mount(&upper));
		snprintf(size, sizeof(size), "size=%llu",
			 (unsigned long long)proto_get64(&head->tmp_bytes));
		if (!rc && !machine.tree && proto_get64(&head->tmp_bytes) &&
		    mount(NULL, "/", NULL, MS_REMOUNT, size))
			rc = -errno;
	}
	if (rc) {
		session_error(s, -rc, FAILED, "CONFIGURE failed: %s",
			      strerror(-rc));
		return;
	}
	configure_network(s, r);
	if (s->is_ending)
		return;
	if (!reader_done(r)) {
		session_error(s, EPROTO, FAILED,
			      "this CONFIGURE is not as guest/proto.h has it");
		return;
	}
	machine.is_configured = true;
	session_done(s);
}

void configure_identity(struct session *s, struct reader *r)
{
	const struct proto_identity *head = reader_take(r, sizeof(*head));
	const struct bytes hostname = reader_string(r);
	const struct bytes seed = reader_bytes(r);
	int rc = 0;

	if (!reader_done(r) || seed.len < 16 || seed.len > SEED_MAX) {
		session_error(s, EPROTO, FAILED,
			      "IDENTITY wants a hostname and 16 to %d bytes of "
			      "entropy",
			      SEED_MAX);
		return;
	}
	if (proto_get64(&head->time_ns))
		rc = machine_clock_set(proto_get64(&head->time_ns));
	rc = first(rc, machine_hostname_set(hostname.at, hostname.len));
	rc = first(rc, machine_entropy(seed.at, seed.len, true));
	if (rc)
		session_error(s, -rc, FAILED, "IDENTITY failed: %s",
			      strerror(-rc));
	else
		session_done(s);
}

/* Interfaces, made anew; false where the answer has been an error. */
static bool renew_network(struct session *s, struct reader *r)
{
	const uint32_t n = reader_count(r);
	char what[80] = "";
	int rc = 0;

	memset(machine.address, 0, sizeof(machine.address));
	for (uint32_t i = 0; i < n && !rc && !r->is_bad; i++)
		rc = network_renew(r, what);
	if (rc && !r->is_bad)
		session_error(s, -rc, FAILED, "network: %s: %s", what,
			      strerror(-rc));
	return !rc || r->is_bad;
}

/* The machine's name, and that of containers which are called as it is. */
static int rename_machine(const struct bytes *hostname)
{
	char from[65] = "", name[65] = "";
	int rc;

	if (!hostname->len)
		return 0;
	if (hostname->len >= sizeof(name))
		return -ENAMETOOLONG;
	memcpy(name, hostname->at, hostname->len);
	if (gethostname(from, sizeof(from) - 1))
		return -errno;
	rc = machine_hostname_set(name, hostname->len);
	return rc ? rc : containers_rename(from, name);
}

/*
 * The order is the point: what was frozen goes on last, and the kernel itself,
 * which needs random numbers for its network, has new ones first.
 */
void configure_renew(struct session *s, struct reader *r)
{
	const struct proto_renew *head = reader_take(r, sizeof(*head));
	const struct bytes hostname = reader_string(r);
	const struct bytes seed = reader_bytes(r);
	int rc = 0;

	if (r->is_bad || seed.len < SEED_MIN || seed.len > SEED_MAX) {
		session_error(s, EPROTO, FAILED,
			      "RENEW wants a hostname and %d to %d bytes of "
			      "entropy",
			      SEED_MIN, SEED_MAX);
		return;
	}
	rc = machine_entropy(seed.at, seed.len, true);
	if (!rc && proto_get64(&head->time_ns))
		rc = machine_clock_set(proto_get64(&head->time_ns));
	rc = first(rc, rename_machine(&hostname));
	if (rc) {
		session_error(s, -rc, FAILED, "RENEW failed: %s",
			      strerror(-rc));
		return;
	}
	if (!renew_network(s, r))
		return;
	if (!reader_done(r)) {
		session_error(s, EPROTO, FAILED,
			      "this RENEW is not as guest/proto.h has it");
		return;
	}
	freezer_release();
	session_done(s);
}
