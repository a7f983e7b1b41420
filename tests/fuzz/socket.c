/*
 * socket SOCK COUNT SEED: sends COUNT requests to a live monitor, made by a
 * grammar and then in part mangled byte by byte, and reads the answers. Every
 * request that is whole HTTP has to be answered with 200, 204 or 400 in five
 * seconds; every mangled one has to end with the connection closed or answered
 * once the client sends no more. Ends with 1 and the request where that fails.
 */
#include <errno.h>
#include <inttypes.h>
#include <poll.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

enum {
	REQUEST_MAX = 160 * 1024,
	ANSWER_MAX = 256 * 1024,
	PATIENCE_MS = 5000,
	LEFT_OPEN = 24, /* connections that are begun and forgotten */
};

static uint64_t state;
static const char *sock;
static char request[REQUEST_MAX], answer[ANSWER_MAX + 1];
static size_t len;
static uint64_t statuses[600];

static uint32_t random_below(uint32_t n)
{
	state ^= state << 13;
	state ^= state >> 7;
	state ^= state << 17;
	return (uint32_t)((state >> 11) % n);
}

static bool one_in(uint32_t n)
{
	return random_below(n) == 0;
}

#define PICK(list) (list)[random_below(sizeof(list) / sizeof((list)[0]))]

static void add(const char *text)
{
	size_t n = strlen(text);

	if (len + n > REQUEST_MAX / 2)
		return;
	memcpy(request + len, text, n);
	len += n;
}

static const char *const keys[] = {
	"action_type",
	"kernel_image_path",
	"initrd_path",
	"boot_args",
	"vcpu_count",
	"mem_size_mib",
	"smt",
	"track_dirty_pages",
	"huge_pages",
	"cpu_template",
	"drive_id",
	"path_on_host",
	"is_root_device",
	"is_read_only",
	"partuuid",
	"cache_type",
	"io_engine",
	"rate_limiter",
	"bandwidth",
	"ops",
	"size",
	"one_time_burst",
	"refill_time",
	"iface_id",
	"host_dev_name",
	"guest_mac",
	"mtu",
	"guest_cid",
	"uds_path",
	"serial_out_path",
	"log_path",
	"level",
	"module",
	"show_level",
	"show_log_origin",
	"metrics_path",
	"state",
	"x",
	"",
};

static const char *const values[] = {
	"null",
	"true",
	"false",
	"0",
	"-1",
	"1",
	"2",
	"32",
	"33",
	"128",
	"65536",
	"4294967296",
	"9007199254740993",
	"9223372036854775807",
	"9223372036854775808",
	"-9223372036854775809",
	"1.5",
	"1e400",
	"1e-3",
	"\"\"",
	"\"a\"",
	"\"Info\"",
	"\"Off\"",
	"\"Paused\"",
	"\"Resumed\"",
	"\"None\"",
	"\"2M\"",
	"\"Unsafe\"",
	"\"Writeback\"",
	"\"Sync\"",
	"\"FlushMetrics\"",
	"\"SendCtrlAltDel\"",
	"\"f1\"",
	"\"f2\"",
	"\"tick\"",
	"\"06:00:ac:10:00:02\"",
	"\"\\u0000\"",
	"\"\\ud800\"",
	"\"\xff\xfe\"",
	"\"\xc3\xa4\"",
	"\"\\n\\t\\\\\"",
	"\"",
	"nul",
	"",
	"01",
	"+1",
	"0x10",
	"\"f1",
	"[",
	"{",
	"]",
	"}",
};

static void add_value(unsigned depth);

static void add_object(unsigned depth)
{
	uint32_t n = random_below(5), i;

	add("{");
	for (i = 0; i < n; i++) {
		add(i ? ", \"" : "\"");
		add(PICK(keys));
		add("\": ");
		add_value(depth + 1);
	}
	add("}");
}

static void add_value(unsigned depth)
{
	uint32_t i, n;

	if (depth < 4 && one_in(6)) {
		add_object(depth);
	} else if (depth < 4 && one_in(12)) {
		add("[");
		add_value(depth + 1);
		add(", ");
		add_value(depth + 1);
		add("]");
	} else if (one_in(200)) {
		n = 1 + random_below(3000);
		for (i = 0; i < n; i++)
			add("[");
	} else if (one_in(200)) {
		add("\"");
		n = random_below(5000);
		for (i = 0; i < n; i++)
			add("y");
		add("\"");
	} else {
		add(PICK(values));
	}
}

/* What a good client says, so that the rest has something to break. */
static const struct {
	const char *method;
	const char *path;
	const char *body;
} good[] = {
	{"GET", "/", NULL},
	{"GET", "/version", NULL},
	{"GET", "/vm/config", NULL},
	{"GET", "/machine-config", NULL},
	{"GET", "/metrics", NULL},
	{"PUT", "/boot-source", "{\"kernel_image_path\": \"none\"}"},
	{"PUT", "/machine-config",
	 "{\"vcpu_count\": 2, \"mem_size_mib\": 16, \"smt\": false}"},
	{"PATCH", "/machine-config", "{\"mem_size_mib\": 32}"},
	{"PUT", "/drives/a",
	 "{\"drive_id\": \"a\", \"path_on_host\": \"f1\", "
	 "\"is_root_device\": false}"},
	{"PATCH", "/drives/a", "{\"drive_id\": \"a\"}"},
	{"PUT", "/network-interfaces/e",
	 "{\"iface_id\": \"e\", \"host_dev_name\": \"nope0\", "
	 "\"rx_rate_limiter\": {\"ops\": {\"size\": 1, \"refill_time\": 1}}}"},
	{"PATCH", "/network-interfaces/e", "{\"iface_id\": \"e\"}"},
	{"PUT", "/vsock", "{\"guest_cid\": 3, \"uds_path\": \"f2\"}"},
	{"PUT", "/logger", "{\"level\": \"Error\"}"},
	{"PUT", "/logger", "{\"log_path\": \"/dev/null\"}"},
	{"PUT", "/metrics", "{\"metrics_path\": \"/dev/null\"}"},
	{"PATCH", "/vm", "{\"state\": \"Paused\"}"},
	{"PATCH", "/vm", "{\"state\": \"Resumed\"}"},
	{"PUT", "/actions", "{\"action_type\": \"FlushMetrics\"}"},
	{"PUT", "/actions", "{\"action_type\": \"SendCtrlAltDel\"}"},
	{"PUT", "/actions", "{\"action_type\": \"InstanceStart\"}"},
	{"PUT", "/mmds", "{\"a\": 1}"},
	{"PUT", "/balloon", "{\"amount_mib\": 1}"},
	{"PUT", "/snapshot/load", "{\"snapshot_path\": \"f1\"}"},
};

static const char *const methods[] = {"GET",	"PUT",	"PATCH", "POST",
				      "DELETE", "HEAD", "get",	 "X!"};
static const char *const paths[] = {"/",
				    "/vm/",
				    "//drives//",
				    "/drives/",
				    "/drives/a/b",
				    "/drives/%41",
				    "/nope",
				    "/vm/config/",
				    "/metrics/x",
				    "/mmds/config",
				    "http://h/version",
				    "/?a=b"};
static const char *const headers[] = {"Host: localhost\r\n",
				      "Accept: */*\r\n",
				      "Content-Type: application/json\r\n",
				      "Connection: keep-alive\r\n",
				      "Expect: 100-continue\r\n",
				      "X: y\r\n"};

static void make_chunked(const char *body, size_t n)
{
	char size[32];
	size_t at = 0;

	add("Transfer-Encoding: chunked\r\n\r\n");
	while (at < n) {
		size_t piece = 1 + random_below(40);

		if (piece > n - at)
			piece = n - at;
		snprintf(size, sizeof(size), "%zx\r\n", piece);
		add(size);
		memcpy(request + len, body + at, piece);
		len += piece;
		at += piece;
		add("\r\n");
	}
	add("0\r\n\r\n");
}

/* One request of whole HTTP, whatever its body says. */
static void make_request(void)
{
	static char body[REQUEST_MAX / 2];
	size_t which = random_below(sizeof(good) / sizeof(good[0]));
	const char *method, *path;
	size_t body_len;
	char text[64];

	/* A start makes half a machine before it finds that there is no kernel.
	 */
	if (good[which].body && strstr(good[which].body, "Start") && !one_in(8))
		which = 0;
	method = good[which].method;
	path = good[which].path;
	len = 0;
	if (one_in(3))
		add_object(0);
	else if (good[which].body)
		add(good[which].body);
	if (one_in(20))
		method = PICK(methods);
	if (one_in(20))
		path = PICK(paths);
	body_len = len;
	memcpy(body, request, body_len);
	len = 0;
	add(method);
	add(" ");
	add(path);
	add(" HTTP/1.1\r\n");
	while (one_in(2))
		add(PICK(headers));
	if (body_len && one_in(8)) {
		make_chunked(body, body_len);
		return;
	}
	snprintf(text, sizeof(text), "Content-Length: %zu\r\n\r\n", body_len);
	add(body_len ? text : "\r\n");
	memcpy(request + len, body, body_len);
	len += body_len;
}

static void mangle(void)
{
	uint32_t n = 1 + random_below(4);

	while (n-- && len > 1) {
		size_t at = random_below((uint32_t)len), room, piece;

		switch (random_below(5)) {
		case 0:
			request[at] ^= (char)(1 << random_below(8));
			break;
		case 1:
			request[at] = (char)random_below(256);
			break;
		case 2:
			memmove(request + at, request + at + 1, len - at - 1);
			len--;
			break;
		case 3:
			piece = 1 + random_below(64);
			room = len - at;
			piece = piece < room ? piece : room;
			if (len + piece > REQUEST_MAX)
				break;
			memmove(request + at + piece, request + at, len - at);
			len += piece;
			break;
		default:
			len = at + 1;
			break;
		}
	}
}

static void fail(const char *why)
{
	fprintf(stderr, "%s: %s\nthe request was, without its quotes:\n'", why,
		strerror(errno));
	fwrite(request, 1, len, stderr);
	fprintf(stderr, "'\nthe answer: '%.300s'\n", answer);
	exit(1);
}

static int dial(void)
{
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	snprintf(address.sun_path, sizeof(address.sun_path), "%s", sock);
	if (fd < 0 || connect(fd, (struct sockaddr *)&address, sizeof(address)))
		fail("can't connect");
	return fd;
}

/* False where the server closed, which it may do early. */
static bool send_some(int fd, const char *bytes, size_t n)
{
	while (n) {
		ssize_t sent = send(fd, bytes, n, MSG_NOSIGNAL);

		if (sent <= 0)
			return false;
		bytes += sent;
		n -= (size_t)sent;
	}
	return true;
}

/* More of the answer. 0 at its end. */
static size_t receive(int fd, size_t at)
{
	struct pollfd p = {.fd = fd, .events = POLLIN};
	ssize_t n;

	if (at == ANSWER_MAX)
		fail("the answer does not end");
	if (poll(&p, 1, PATIENCE_MS) != 1)
		fail("no answer in five seconds");
	n = recv(fd, answer + at, ANSWER_MAX - at, 0);
	if (n < 0 && errno != ECONNRESET)
		fail("recv");
	if (n <= 0)
		return 0;
	answer[at + (size_t)n] = '\0';
	return (size_t)n;
}

/* Bytes of the first answer in `answer`, 0 where it is not whole yet. */
static size_t whole_answer(const char *from, unsigned *status)
{
	const char *end = strstr(from, "\r\n\r\n"), *length;
	size_t body = 0;

	if (!end)
		return 0;
	if (sscanf(from, "HTTP/1.1 %3u \r\n", status) != 1 ||
	    (*status != 100 && *status != 200 && *status != 204 &&
	     *status != 400))
		fail("not an answer of the API");
	length = strstr(from, "Content-Length: ");
	if (length && length < end)
		body = strtoul(length + 16, NULL, 10);
	if (strlen(end + 4) < body)
		return 0;
	return (size_t)(end + 4 - from) + body;
}

/* On a connection that stays. */
static void talk(int *fd)
{
	size_t at = 0, n, used = 0;
	unsigned status = 100;

	answer[0] = '\0';
	if (!send_some(*fd, request, len))
		fail("the connection was closed before the request was sent");
	while (status == 100) {
		n = whole_answer(answer + used, &status);
		used += n;
		if (n)
			continue;
		status = 100;
		n = receive(*fd, at);
		if (!n)
			fail("closed without an answer");
		at += n;
	}
	statuses[status]++;
	if (strstr(answer, "Connection: close") || one_in(50) ||
	    !strncmp(answer + used, "HTTP", 4) || strstr(answer, "\"error\"")) {
		close(*fd);
		*fd = dial();
	}
}

/* Mangled: it may be anything, so say that this was all. */
static void shout(void)
{
	int fd = dial();
	size_t at = 0, n, used = 0;
	unsigned status = 0;

	answer[0] = '\0';
	if (send_some(fd, request, len))
		shutdown(fd, SHUT_WR);
	while ((n = receive(fd, at)))
		at += n;
	while (used < at && (n = whole_answer(answer + used, &status))) {
		used += n;
		statuses[status]++;
	}
	if (used < at)
		fail("half an answer");
	close(fd);
}

/* Begins a request and never ends it. */
static void leave(void)
{
	static int open_fds[LEFT_OPEN];
	int *fd = &open_fds[random_below(LEFT_OPEN)];

	if (*fd)
		close(*fd);
	*fd = dial();
	(void)send_some(*fd, request, random_below((uint32_t)len));
}

int main(int argc, char **argv)
{
	uint64_t count, i;
	int fd;

	if (argc != 4)
		return 2;
	sock = argv[1];
	count = strtoull(argv[2], NULL, 10);
	state = strtoull(argv[3], NULL, 10) * 0x9e3779b97f4a7c15ULL + 1;
	fd = dial();
	for (i = 0; i < count; i++) {
		uint32_t kind = random_below(100);

		make_request();
		if (kind < 60) {
			talk(&fd);
		} else if (kind < 97) {
			mangle();
			shout();
		} else {
			leave();
		}
	}
	printf("%" PRIu64 " requests: %" PRIu64 " of 200, %" PRIu64
	       " of 204, %" PRIu64 " of 400\n",
	       count, statuses[200], statuses[204], statuses[400]);
	return 0;
}
