/*
 * Both ends of a test of virtio-vsock, for the guest and for the host: one
 * static program without a library of ours, since it also measures other
 * monitors. usage() has the modes.
 *
 * A client says in a 16-byte request what the server shall do with the
 * connection. All bytes sent are of one fixed sequence that repeats after a
 * prime number of bytes, from a place in it that differs by stream. So every
 * byte is checked, where it stands too, at the cost of a memcmp().
 */
#include <errno.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#include <linux/vm_sockets.h>

#include "tests/vm/vsock-peer.h"

/* PIECE bytes from any place below PERIOD. */
static uint8_t sequence[PERIOD + PIECE];
uint8_t scratch[PIECE];

void die(const char *what)
{
	perror(what);
	exit(1);
}

bool would_block(void)
{
	return errno == EAGAIN || errno == EINTR;
}

static void make_sequence(void)
{
	uint32_t x = 2463534242;
	unsigned i;

	for (i = 0; i < sizeof(sequence); i++) {
		x ^= x << 13;
		x ^= x >> 17;
		x ^= x << 5;
		sequence[i] = i < PERIOD ? (uint8_t)x : sequence[i - PERIOD];
	}
}

const uint8_t *bytes_at(uint64_t offset)
{
	return &sequence[offset % PERIOD];
}

static uint64_t now_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000000000 + (uint64_t)t.tv_nsec;
}

/* ---- addresses ---------------------------------------------------------- */

union address {
	struct sockaddr any;
	struct sockaddr_un un;
	struct sockaddr_vm vm;
};

static void bad_address(const char *text)
{
	fprintf(stderr, "%s: what is that address?\n", text);
	exit(2);
}

/* A socket of the address's family; a is filled in. */
static int open_socket(const char *text, union address *a, socklen_t *len)
{
	const bool is_unix = !strncmp(text, "unix:", 5);
	int fd = socket(is_unix ? AF_UNIX : AF_VSOCK,
			SOCK_STREAM | SOCK_CLOEXEC, 0);
	char *end;

	if (fd < 0)
		die("socket");
	memset(a, 0, sizeof(*a));
	if (is_unix && strlen(text + 5) < sizeof(a->un.sun_path)) {
		a->un.sun_family = AF_UNIX;
		memcpy(a->un.sun_path, text + 5, strlen(text + 5));
		*len = sizeof(a->un);
		return fd;
	}
	if (strncmp(text, "vsock:", 6) != 0)
		bad_address(text);
	a->vm.svm_family = AF_VSOCK;
	a->vm.svm_cid = (unsigned)strtoul(text + 6, &end, 0);
	if (end == text + 6)
		a->vm.svm_cid = VMADDR_CID_ANY;
	if (*end != ':')
		bad_address(text);
	a->vm.svm_port = (unsigned)strtoul(end + 1, NULL, 0);
	*len = sizeof(a->vm);
	return fd;
}

/* The host's end of a monitor's Unix socket: asks for a port of the guest. */
static int uds_ask(int fd, const char *port)
{
	char line[64];
	size_t n = (size_t)snprintf(line, sizeof(line), "CONNECT %s\n", port);

	if (send(fd, line, n, MSG_NOSIGNAL) != (ssize_t)n)
		return -1;
	for (n = 0; n < sizeof(line) - 1; n++) {
		if (read(fd, line + n, 1) != 1)
			return -1;
		if (line[n] == '\n')
			break;
	}
	line[n] = '\0';
	return strncmp(line, "OK ", 3) ? -1 : 0;
}

static int peer_connect(const char *text)
{
	const bool is_uds = !strncmp(text, "uds:", 4);
	const char *port = strrchr(text, ':') + 1;
	union address a;
	socklen_t len;
	char path[128];
	int fd;

	if (is_uds) {
		snprintf(path, sizeof(path), "unix:%.*s",
			 (int)(port - 1 - (text + 4)), text + 4);
		text = path;
	}
	fd = open_socket(text, &a, &len);
	if (!connect(fd, &a.any, len) && (!is_uds || !uds_ask(fd, port)))
		return fd;
	close(fd);
	return -1;
}

/* A guest's server may need a moment to come up: tries for a minute. */
static int patient_connect(const char *text)
{
	const uint64_t end = now_ns() + 60000000000ULL;
	int fd;

	if (!strchr(text, ':'))
		bad_address(text);
	while ((fd = peer_connect(text)) < 0) {
		if (now_ns() > end)
			die(text);
		usleep(20000);
	}
	return fd;
}

int peer_listen(const char *text)
{
	union address a;
	socklen_t len;
	int fd = open_socket(text, &a, &len);

	if (a.any.sa_family == AF_UNIX)
		unlink(a.un.sun_path);
	if (bind(fd, &a.any, len) || listen(fd, 4096))
		die(text);
	return fd;
}

/* ---- clients ------------------------------------------------------------ */

static void send_all(int fd, const void *buf, size_t len)
{
	const char *at = buf;
	ssize_t n;

	while (len) {
		n = send(fd, at, len, MSG_NOSIGNAL);
		if (n < 0)
			die("send");
		at += n;
		len -= (size_t)n;
	}
}

static void recv_all(int fd, void *buf, size_t len)
{
	char *at = buf;
	ssize_t n;

	while (len) {
		n = recv(fd, at, len, 0);
		if (n == 0)
			errno = EPIPE;
		if (n <= 0)
			die("recv");
		at += n;
		len -= (size_t)n;
	}
}

static void ask(int fd, uint32_t op, uint64_t bytes)
{
	struct request r = {.op = op, .bytes = bytes};

	memcpy(r.magic, "vpr1", 4);
	send_all(fd, &r, sizeof(r));
}

static void rate(const char *what, uint64_t bytes, uint64_t ns)
{
	printf("%s %.1f MB/s, %.0f Mbit/s (%llu bytes in %.3f s)\n", what,
	       (double)bytes * 1000 / (double)ns,
	       (double)bytes * 8000 / (double)ns, (unsigned long long)bytes,
	       (double)ns / 1e9);
}

static int compare(const void *a, const void *b)
{
	const uint64_t *x = a;
	const uint64_t *y = b;

	return (*x > *y) - (*x < *y);
}

static double us(uint64_t ns)
{
	return (double)ns / 1000;
}

static int run_ping(const char *address, uint64_t count, uint64_t size)
{
	uint64_t *ns = size > PIECE ? NULL : calloc(count, sizeof(*ns));
	int fd = patient_connect(address);
	uint64_t i, begin;

	if (!ns)
		return 2;
	ask(fd, ECHO, 0);
	for (i = 0; i < count; i++) {
		begin = now_ns();
		send_all(fd, bytes_at(i), size);
		recv_all(fd, scratch, size);
		ns[i] = now_ns() - begin;
		if (memcmp(scratch, bytes_at(i), size) != 0) {
			printf("ping %u came back wrong\n", (unsigned)i);
			free(ns);
			return 1;
		}
	}
	qsort(ns, count, sizeof(*ns), compare);
	i = count * 99 / 100;
	begin = count / 2;
	printf("ping %llu bytes: median %.1f us, p99 %.1f us, least %.1f us\n",
	       (unsigned long long)size, us(ns[begin]), us(ns[i]), us(ns[0]));
	free(ns);
	close(fd);
	return 0;
}

static int run_send(const char *address, uint64_t bytes, uint64_t chunk)
{
	int fd = patient_connect(address);
	struct verdict v;
	uint64_t sent, n, begin;

	if (!chunk || chunk > PIECE)
		chunk = PIECE;
	begin = now_ns();
	ask(fd, SINK, bytes);
	for (sent = 0; sent < bytes; sent += n) {
		n = bytes - sent < chunk ? bytes - sent : chunk;
		send_all(fd, bytes_at(sent), n);
	}
	recv_all(fd, &v, sizeof(v));
	rate("send", bytes, now_ns() - begin);
	if (v.bytes == bytes && !v.wrong)
		return 0;
	printf("the server got %llu bytes, %llu pieces of them wrong\n",
	       (unsigned long long)v.bytes, (unsigned long long)v.wrong);
	return 1;
}

static int run_recv(const char *address, uint64_t bytes)
{
	int fd = patient_connect(address);
	const uint64_t begin = now_ns();
	uint64_t got = 0, wrong = 0;
	ssize_t n;

	ask(fd, SOURCE, bytes);
	while ((n = recv(fd, scratch, PIECE, 0)) > 0) {
		wrong += memcmp(scratch, bytes_at(got), (size_t)n) != 0;
		got += (uint64_t)n;
	}
	rate("recv", got, now_ns() - begin);
	if (got == bytes && !wrong && n == 0)
		return 0;
	printf("%llu bytes of %llu, %llu pieces of them wrong\n",
	       (unsigned long long)got, (unsigned long long)bytes,
	       (unsigned long long)wrong);
	return 1;
}

/* One of many streams to an echoing server. */
struct stream {
	int fd;
	uint64_t from; /* its place in the sequence */
	uint64_t sent, got, wrong;
};

/* Returns whether it is over. */
static bool stream_go(struct stream *s, uint64_t bytes)
{
	uint64_t left;
	ssize_t n;

	while ((left = bytes - s->sent)) {
		n = send(s->fd, bytes_at(s->from + s->sent),
			 left < PIECE ? left : PIECE,
			 MSG_DONTWAIT | MSG_NOSIGNAL);
		if (n < 0 && !would_block())
			die("send");
		if (n < 0)
			break;
		s->sent += (uint64_t)n;
	}
	while (s->got < bytes) {
		n = recv(s->fd, scratch, PIECE, MSG_DONTWAIT);
		if (n == 0) {
			fprintf(stderr, "a stream ended early\n");
			exit(1);
		}
		if (n < 0 && !would_block())
			die("recv");
		if (n < 0)
			return false;
		s->wrong += memcmp(scratch, bytes_at(s->from + s->got),
				   (size_t)n) != 0;
		s->got += (uint64_t)n;
	}
	return true;
}

static struct stream *open_streams(const char *address, unsigned count)
{
	struct stream *all = calloc(count, sizeof(*all));
	uint64_t begin = 0;
	unsigned i;

	if (!all)
		die("calloc");
	for (i = 0; i < count; i++) {
		all[i].fd = patient_connect(address);
		if (!i)
			begin = now_ns();
		all[i].from = i * 7919ULL;
		ask(all[i].fd, ECHO, 0);
	}
	printf("opened %u in %.3f s\n", count,
	       (double)(now_ns() - begin) / 1e9);
	fflush(stdout);
	return all;
}

/* Each stream sends so many bytes and gets them back, all at once. */
static int exchange(struct stream *all, unsigned count, uint64_t bytes)
{
	struct epoll_event events[EVENTS];
	struct epoll_event ev;
	int epoll = epoll_create1(EPOLL_CLOEXEC);
	unsigned i, left = count, wrong = 0;
	int k, n;

	for (i = 0; i < count; i++) {
		all[i].sent = all[i].got = 0;
		ev = (struct epoll_event){
			.events = EPOLLIN | EPOLLOUT | EPOLLET,
			.data.ptr = &all[i],
		};
		if (epoll_ctl(epoll, EPOLL_CTL_ADD, all[i].fd, &ev))
			die("epoll_ctl");
	}
	while (left) {
		n = epoll_wait(epoll, events, EVENTS, 60000);
		if (n == 0) {
			printf("stalled for a minute, %u streams left\n", left);
			exit(1);
		}
		for (k = 0; k < n; k++) {
			struct stream *s = events[k].data.ptr;

			if (s->got == bytes || !stream_go(s, bytes))
				continue;
			epoll_ctl(epoll, EPOLL_CTL_DEL, s->fd, NULL);
			wrong += s->wrong != 0;
			left--;
		}
	}
	close(epoll);
	if (wrong)
		printf("%u streams came back wrong\n", wrong);
	return wrong != 0;
}

static int run_streams(const char *address, unsigned count, uint64_t bytes)
{
	struct stream *all = open_streams(address, count);
	const uint64_t begin = now_ns();
	int rc = exchange(all, count, bytes);

	rate("streams", 2 * count * bytes, now_ns() - begin);
	free(all);
	return rc;
}

static int run_hold(const char *address, unsigned count, unsigned seconds)
{
	struct stream *all = open_streams(address, count);
	int rc = exchange(all, count, 64);

	sleep(seconds);
	rc |= exchange(all, count, 64);
	printf("held %u for %u s\n", count, seconds);
	free(all);
	return rc;
}

static int usage(void)
{
	fprintf(stderr,
		"vsock-peer serve ADDRESS\n"
		"vsock-peer ping ADDRESS COUNT [BYTES]      round trips\n"
		"vsock-peer send ADDRESS BYTES [CHUNK]      to the server\n"
		"vsock-peer recv ADDRESS BYTES              from the server\n"
		"vsock-peer streams ADDRESS COUNT BYTES     there and back, each\n"
		"vsock-peer hold ADDRESS COUNT SECONDS      open, all alive\n"
		"ADDRESS   vsock:CID:PORT (CID 2 is the host), vsock::PORT to "
		"serve;\n"
		"          unix:PATH; uds:PATH:PORT, a monitor's socket, by "
		"CONNECT\n"
		"Every byte is checked. A client waits a minute for its "
		"server.\n");
	return 2;
}

int main(int argc, char **argv)
{
	struct rlimit files;
	const char *mode = argc > 2 ? argv[1] : "";
	uint64_t a = argc > 3 ? strtoull(argv[3], NULL, 0) : 0;
	uint64_t b = argc > 4 ? strtoull(argv[4], NULL, 0) : 0;

	signal(SIGPIPE, SIG_IGN);
	getrlimit(RLIMIT_NOFILE, &files);
	files.rlim_cur = files.rlim_max;
	setrlimit(RLIMIT_NOFILE, &files);
	make_sequence();
	if (!strcmp(mode, "serve"))
		run_server(argv[2]);
	if (argc < 4 || !a)
		return usage();
	if (!strcmp(mode, "ping"))
		return run_ping(argv[2], a, b ? b : 1);
	if (!strcmp(mode, "send"))
		return run_send(argv[2], a, b);
	if (!strcmp(mode, "recv"))
		return run_recv(argv[2], a);
	if (argc < 5)
		return usage();
	if (!strcmp(mode, "streams"))
		return run_streams(argv[2], (unsigned)a, b);
	if (!strcmp(mode, "hold"))
		return run_hold(argv[2], (unsigned)a, (unsigned)b);
	return usage();
}
