/*
 * The machine as a whole: what CONFIGURE and IDENTITY say of it, and its end.
 */
#include "guest/agent/agent.h"

#include "guest/agent/disk.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/random.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/reboot.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

enum { FAILED = 125, SEED_MAX = 512, BYE_MS = 5 };

struct machine machine;

uint64_t machine_uptime_us(void)
{
	struct timespec t;

	clock_gettime(CLOCK_BOOTTIME, &t);
	return (uint64_t)t.tv_sec * 1000000U + (uint64_t)t.tv_nsec / 1000U;
}

uint64_t machine_realtime_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_REALTIME, &t);
	return (uint64_t)t.tv_sec * 1000000000U + (uint64_t)t.tv_nsec;
}

int machine_clock_set(uint64_t ns)
{
	const struct timespec t = {.tv_sec = (time_t)(ns / 1000000000U),
				   .tv_nsec = (long)(ns % 1000000000U)};

	if (machine.is_test)
		return 0;
	return clock_settime(CLOCK_REALTIME, &t) ? -errno : 0;
}

int machine_entropy(const void *data, size_t len, bool reseed)
{
	struct {
		struct rand_pool_info info;
		uint8_t bytes[SEED_MAX];
	} pool;
	int fd, rc = 0;

	if (len > SEED_MAX)
		return -EINVAL;
	if (machine.is_test || !len)
		return 0;
	fd = open("/dev/urandom", O_RDWR | O_CLOEXEC);
	if (fd < 0)
		return -errno;
	pool.info.entropy_count = (int)len * 8;
	pool.info.buf_size = (int)len;
	memcpy(pool.bytes, data, len);
	if (ioctl(fd, RNDADDENTROPY, &pool))
		rc = -errno;
	/* Entropy alone would wait for the kernel's next reseeding. */
	if (!rc && reseed && ioctl(fd, RNDRESEEDCRNG))
		rc = -errno;
	close(fd);
	return rc;
}

int machine_hostname_set(const char *name, size_t len)
{
	if (len > 64)
		return -ENAMETOOLONG;
	return len && sethostname(name, len) ? -errno : 0;
}

/* ---- CONFIGURE ------------------------------------------------------------
 */

/* Appends a line to resolv.conf; what could add lines of its own is no name. */
static void resolv_add(const char *word, struct reader *r)
{
	static const char letters[] =
		"abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
		"0123456789_.:%-";
	const uint32_t n = reader_count(r);
	size_t len = strlen(machine.resolv);

	for (uint32_t i = 0; i < n && !r->is_bad; i++) {
		const struct bytes b = reader_string(r);

		for (size_t k = 0; k < b.len; k++)
			if (!strchr(letters, b.at[k]))
				r->is_bad = true;
		if (len + b.len + 16 > sizeof(machine.resolv))
			r->is_bad = true;
		if (r->is_bad)
			return;
		len += (size_t)snprintf(machine.resolv + len,
					sizeof(machine.resolv) - len,
					"%s %.*s\n", word, (int)b.len, b.at);
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
	fd = disk_mount(name, false);
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
	for (uint32_t i = 0; i < n && !rc && !r->is_bad; i++)
		rc = network_interface(r, what);
	if (rc && !r->is_bad)
		session_error(s, -rc, FAILED, "network: %s: %s", what,
			      strerror(-rc));
	if (rc)
		r->is_bad = true;
	resolv_add("nameserver", r);
	resolv_add("search", r);
}

/* Of two in an order: the first that failed. */
static int first(int a, int b)
{
	return a ? a : b;
}

void machine_configure(struct session *s, struct reader *r)
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

void machine_identity(struct session *s, struct reader *r)
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

/* ---- SHUTDOWN -------------------------------------------------------------
 */

static struct timer grace;
static bool is_ending, is_synced;
static struct session *shutdown_by;

static void power_off(struct timer *t)
{
	(void)t;
	if (machine.is_test)
		_exit(0);
	reboot(RB_AUTOBOOT);
	_exit(1); /* the kernel panics, which ends the machine as well */
}

static int sync_disks(void *arg, int in, int out, char *sentence, size_t len)
{
	(void)arg;
	(void)in;
	(void)out;
	(void)len;
	sentence[0] = '\0';
	sync();
	return 0;
}

static void answer_shutdown(struct session *s, void *arg)
{
	(void)arg;
	if (s == shutdown_by)
		session_done(s);
}

/* The answer needs a moment to leave: vsock sends in a worker of the kernel. */
static void synced(struct process *p, int status)
{
	(void)p;
	(void)status;
	sessions_each(answer_shutdown, NULL);
	timer_set(&grace, BYE_MS, power_off);
}

static void kill_all(struct timer *t)
{
	(void)t;
	for (struct container *c = containers_first(); c; c = c->next)
		if (c->init)
			process_signal(c->init, SIGKILL);
}

void machine_container_ended(void)
{
	if (!is_ending || is_synced)
		return;
	for (const struct container *c = containers_first(); c; c = c->next)
		if (c->init)
			return;
	is_synced = true;
	process_help(NULL, PROCESS_HELPER, sync_disks, NULL, synced);
}

void machine_shutdown(struct session *s, struct reader *r)
{
	const struct proto_shutdown *head = reader_take(r, sizeof(*head));
	const uint32_t ms = head ? proto_get32(&head->grace_ms) : 0;

	if (!reader_done(r) || is_ending) {
		session_error(s, is_ending ? EALREADY : EPROTO, FAILED,
			      is_ending ? "the machine is ending already"
					: "SHUTDOWN is not as it should be");
		return;
	}
	is_ending = true;
	shutdown_by = s;
	s->mode = SESSION_WAIT;
	for (struct container *c = containers_first(); c && ms; c = c->next)
		if (c->init)
			process_signal(c->init, c->stop_signal
							? (int)c->stop_signal
							: SIGTERM);
	if (ms)
		timer_set(&grace, ms, kill_all);
	else
		kill_all(NULL);
	machine_container_ended();
}
