/*
 * api MAYFLY SOCK: how quick the API is, as TAP and figures.
 *
 * From exec to the answer of GET /, over fresh processes; then PUT calls on one
 * connection, and on fifty that all have a call under way all the time, so that
 * each of those waits for the forty-nine before it.
 */
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum { STARTS = 30, CALLS = 10000, MANY = 50 };

static const char get[] = "GET / HTTP/1.1\r\nHost: localhost\r\n\r\n";
static const char body[] = "{\"vcpu_count\": 2, \"mem_size_mib\": 128}";

static char put[256];
static const char *monitor, *sock;
static double times[CALLS];
static bool has_failed;

static double now_us(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec * 1e6 + (double)t.tv_nsec / 1e3;
}

static void die(const char *what)
{
	printf("not ok - %s: %s\n", what, strerror(errno));
	exit(1);
}

static int compare(const void *a, const void *b)
{
	const double x = *(const double *)a, y = *(const double *)b;

	return (x > y) - (x < y);
}

static double quantile(unsigned n, double q)
{
	qsort(times, n, sizeof(times[0]), compare);
	return times[(unsigned)((double)(n - 1) * q)];
}

static void judge(const char *what, double value, double limit,
		  const char *unit)
{
	const bool is_good = value <= limit;

	printf("# figure: %s = %.3f %s (at most %.0f)\n", what, value, unit,
	       limit);
	/* Times are judged where nothing else runs: by make bench. */
	if (!getenv("MAYFLY_JUDGE")) {
		printf("ok - %s: measured\n", what);
		return;
	}
	printf("%sok - %s\n", is_good ? "" : "not ", what);
	has_failed |= !is_good;
}

/* -1 while nobody listens. */
static int dial(void)
{
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	snprintf(address.sun_path, sizeof(address.sun_path), "%s", sock);
	if (fd < 0)
		die("socket");
	if (!connect(fd, (struct sockaddr *)&address, sizeof(address)))
		return fd;
	close(fd);
	return -1;
}

static void expect(int fd, const char *status)
{
	char answer[1024];
	ssize_t n = recv(fd, answer, sizeof(answer), 0);

	if (n < 13 || memcmp(answer, "HTTP/1.1 ", 9) != 0 ||
	    memcmp(answer + 9, status, 3) != 0) {
		printf("# %.*s\n", n > 0 ? (int)n : 0, answer);
		die("an answer");
	}
}

static pid_t start(void)
{
	pid_t pid;

	unlink(sock);
	pid = fork();
	if (pid)
		return pid;
	execl(monitor, monitor, "--api-sock", sock, (char *)NULL);
	_exit(127);
}

static void stop(pid_t pid)
{
	int status;

	kill(pid, SIGTERM);
	if (waitpid(pid, &status, 0) != pid || !WIFSIGNALED(status) ||
	    WTERMSIG(status) != SIGTERM)
		die("the monitor's end");
}

static void time_starts(void)
{
	unsigned i;

	for (i = 0; i < STARTS; i++) {
		const double begin = now_us();
		pid_t pid = start();
		int fd;

		while ((fd = dial()) < 0) {
			if (now_us() - begin > 5e6)
				die("the monitor's socket");
			usleep(50);
		}
		if (send(fd, get, strlen(get), 0) < 0)
			die("send");
		expect(fd, "200");
		times[i] = (now_us() - begin) / 1000;
		close(fd);
		stop(pid);
	}
	judge("from exec to the answer of GET /, median of 30",
	      quantile(STARTS, 0.5), 10, "ms");
}

static double time_one(void)
{
	int fd = dial();
	unsigned i;

	for (i = 0; i < CALLS; i++) {
		const double begin = now_us();

		if (send(fd, put, strlen(put), 0) < 0)
			die("send");
		expect(fd, "204");
		times[i] = (now_us() - begin) / 1000;
	}
	close(fd);
	return quantile(CALLS, 0.99);
}

static double time_many(void)
{
	struct epoll_event events[MANY];
	double begins[MANY];
	int fds[MANY], loop = epoll_create1(EPOLL_CLOEXEC), i, n;
	unsigned begun = 0, done = 0;

	for (i = 0; i < MANY; i++) {
		struct epoll_event e = {.events = EPOLLIN,
					.data.u32 = (uint32_t)i};

		fds[i] = dial();
		if (fds[i] < 0 || epoll_ctl(loop, EPOLL_CTL_ADD, fds[i], &e))
			die("connect");
		begins[i] = now_us();
		if (send(fds[i], put, strlen(put), 0) < 0)
			die("send");
		begun++;
	}
	while (done < CALLS) {
		n = epoll_wait(loop, events, MANY, 5000);
		if (n <= 0)
			die("epoll");
		for (i = 0; i < n; i++) {
			const uint32_t who = events[i].data.u32;

			expect(fds[who], "204");
			times[done++] = (now_us() - begins[who]) / 1000;
			if (begun == CALLS)
				continue;
			begun++;
			begins[who] = now_us();
			if (send(fds[who], put, strlen(put), 0) < 0)
				die("send");
		}
	}
	for (i = 0; i < MANY; i++)
		close(fds[i]);
	close(loop);
	return quantile(CALLS, 0.99);
}

/*
 * The best of five rounds: other processes on the machine only ever add, and a
 * single time slice of theirs is longer than what is measured here.
 */
static void time_calls(unsigned connections, double (*round)(void))
{
	double best = 0, median = 0;
	char what[80];
	unsigned i;

	for (i = 0; i < 5; i++) {
		const double p99 = round();

		if (i && p99 >= best)
			continue;
		best = p99;
		median = quantile(CALLS, 0.5);
	}
	printf("# figure: a PUT with %u at once, median = %.3f ms\n",
	       connections, median);
	snprintf(what, sizeof(what), "a PUT with %u at once, 99 in 100",
		 connections);
	judge(what, best, 1, "ms");
}

int main(int argc, char **argv)
{
	pid_t pid;
	int fd;

	if (argc != 3)
		return 2;
	monitor = argv[1];
	sock = argv[2];
	snprintf(put, sizeof(put),
		 "PUT /machine-config HTTP/1.1\r\nHost: localhost\r\n"
		 "Content-Type: application/json\r\n"
		 "Content-Length: %zu\r\n\r\n%s",
		 strlen(body), body);
	signal(SIGPIPE, SIG_IGN);
	setvbuf(stdout, NULL, _IONBF, 0);
	time_starts();
	pid = start();
	while ((fd = dial()) < 0)
		usleep(1000);
	close(fd);
	time_calls(1, time_one);
	time_calls(MANY, time_many);
	stop(pid);
	return has_failed;
}
