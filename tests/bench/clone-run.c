/*
 * Times prepared clones, one after the other has acted:
 *
 *	clone-run COUNT MAYFLY STATE MEMORY [PREPARE [FINISH]]
 *
 * PREPARE and FINISH are more fields of the two bodies, with the clone's number
 * for each #. A line for each clone: microseconds from its message to the
 * answer, and to the guest's first act as its serial port tells it.
 */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum { API_FD = 3, CLONES_MAX = 4096, TEXT = 2048, PATIENCE_MS = 20000 };

struct clone {
	pid_t pid;
	int api; /* the client's end */
	int out; /* what the guest says */
	double sent, answered, acted;
};

static struct clone clones[CLONES_MAX];
static unsigned count;
static const char *mayfly, *state, *memory;
static const char *prepare_more = "", *finish_more = "";

/* Also where something went wrong: who waits for our output waits for theirs.
 */
static void end_all(void)
{
	unsigned i;

	for (i = 0; i < count; i++)
		if (clones[i].pid > 0)
			kill(clones[i].pid, SIGKILL);
	for (i = 0; i < count; i++)
		if (clones[i].pid > 0)
			waitpid(clones[i].pid, NULL, 0);
}

static void die(const char *what)
{
	printf("not ok - clone-run: %s: %s\n", what, strerror(errno));
	exit(1);
}

static double now_us(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec * 1e6 + (double)t.tv_nsec / 1e3;
}

/* Copies text, with number for each #. */
static void fill_in(char *out, const char *text, unsigned number)
{
	for (; *text; text++)
		if (*text == '#')
			out += sprintf(out, "%u", number);
		else
			*out++ = *text;
	*out = '\0';
}

static void send_request(const struct clone *c, const char *path,
			 const char *body)
{
	char text[2 * TEXT];
	int len = snprintf(text, sizeof(text),
			   "PUT /snapshot/%s HTTP/1.1\r\nContent-Length: "
			   "%zu\r\n\r\n%s",
			   path, strlen(body), body);

	if (write(c->api, text, (size_t)len) != len)
		die(path);
}

/* The first half of a load. */
static void send_prepare(const struct clone *c)
{
	char text[TEXT], body[TEXT];

	snprintf(text, sizeof(text),
		 "{\"snapshot_path\": \"%s\", \"mem_backend\": "
		 "{\"backend_type\": \"File\", \"backend_path\": \"%s\"}%s}",
		 state, memory, prepare_more);
	fill_in(body, text, (unsigned)(c - clones));
	send_request(c, "prepare", body);
}

static void take_answer(const struct clone *c)
{
	char answer[TEXT];
	ssize_t n = read(c->api, answer, sizeof(answer) - 1);

	if (n < 0)
		die("an answer");
	answer[n] = '\0';
	if (n > 12 && !memcmp(answer + 9, "204", 3))
		return;
	printf("not ok - each request is answered by 204\n#   %s\n", answer);
	exit(1);
}

/* A listening socket, under an abstract name of the kernel's choice. */
static int make_listener(struct clone *c)
{
	struct sockaddr_un a = {.sun_family = AF_UNIX};
	int s = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	socklen_t len = sizeof(a);

	if (s < 0 || bind(s, (struct sockaddr *)&a, sizeof(a.sun_family)) ||
	    listen(s, 1) || getsockname(s, (struct sockaddr *)&a, &len))
		die("socket");
	c->api = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (c->api < 0 || connect(c->api, (struct sockaddr *)&a, len))
		die("connect");
	return s;
}

static void spawn(struct clone *c, char *const argv[], int in, int out,
		  int listener)
{
	char *none[] = {NULL}; /* as jailed ones have it */
	posix_spawn_file_actions_t files;

	posix_spawn_file_actions_init(&files);
	posix_spawn_file_actions_adddup2(&files, in, 0);
	posix_spawn_file_actions_adddup2(&files, out, 1);
	if (listener >= 0)
		posix_spawn_file_actions_adddup2(&files, listener, API_FD);
	errno = posix_spawn(&c->pid, argv[0], &files, NULL, argv, none);
	if (errno)
		die(argv[0]);
	posix_spawn_file_actions_destroy(&files);
}

static void make_clone(struct clone *c)
{
	char *argv[] = {(char *)mayfly, "--api-fd", "3", NULL};
	int out[2], listener = make_listener(c);

	if (pipe2(out, O_CLOEXEC))
		die("pipe");
	c->out = out[0];
	spawn(c, argv, API_FD + 1, out[1], listener);
	close(listener);
	close(out[1]);
	send_prepare(c);
	take_answer(c);
}

static void let_go(struct clone *c)
{
	char text[TEXT], body[TEXT];

	snprintf(text, sizeof(text), "{\"resume_vm\": true%s}", finish_more);
	fill_in(body, text, (unsigned)(c - clones));
	c->sent = now_us();
	send_request(c, "finish", body);
}

static void watch(int epoll, unsigned i, int fd, bool is_answer)
{
	struct epoll_event event = {
		.events = EPOLLIN | EPOLLET,
		.data.u64 = (uint64_t)i << 1 | is_answer,
	};

	if (epoll_ctl(epoll, EPOLL_CTL_ADD, fd, &event))
		die("epoll_ctl");
}

/* Waits until so many clones have answered and acted. */
static void await(int epoll, unsigned wanted)
{
	static unsigned answered, acted;
	struct epoll_event events[64];
	char some[TEXT];
	int i, n;

	while (answered < wanted || acted < wanted) {
		n = epoll_wait(epoll, events, 64, PATIENCE_MS);
		if (n <= 0)
			die("not all clones have acted");
		for (i = 0; i < n; i++) {
			struct clone *c = &clones[events[i].data.u64 >> 1];

			if (events[i].data.u64 & 1) {
				if (!c->answered++)
					answered++;
				c->answered = now_us();
				take_answer(c);
			} else if (!c->acted) {
				c->acted = now_us();
				acted++;
				if (read(c->out, some, sizeof(some)) <= 0)
					die("a clone has ended");
			}
		}
	}
}

static void watch_both(int epoll, unsigned i)
{
	watch(epoll, i, clones[i].out, false);
	watch(epoll, i, clones[i].api, true);
}

static void run_all(void)
{
	int epoll = epoll_create1(EPOLL_CLOEXEC);
	unsigned i;

	for (i = 0; i < count; i++) {
		make_clone(&clones[i]);
		watch_both(epoll, i);
	}
	usleep(50000); /* until all of them sleep */
	for (i = 0; i < count; i++) {
		let_go(&clones[i]);
		await(epoll, i + 1);
		printf("%.1f %.1f\n", clones[i].answered - clones[i].sent,
		       clones[i].acted - clones[i].sent);
	}
}

static bool parse(int argc, char **argv)
{
	if (argc < 5 || argc > 7)
		return false;
	count = (unsigned)atoi(argv[1]);
	mayfly = argv[2];
	state = argv[3];
	memory = argv[4];
	if (argc > 5)
		prepare_more = argv[5];
	if (argc > 6)
		finish_more = argv[6];
	return count && count <= CLONES_MAX;
}

int main(int argc, char **argv)
{
	struct rlimit files;
	int fd;

	if (!parse(argc, argv))
		return 2;
	getrlimit(RLIMIT_NOFILE, &files);
	files.rlim_cur = files.rlim_max;
	setrlimit(RLIMIT_NOFILE, &files);
	/* So that API_FD is free for the children's, and what follows null. */
	while ((fd = open("/dev/null", O_RDWR | O_CLOEXEC)) >= 0 && fd < 8)
		;
	atexit(end_all);
	run_all();
	return 0;
}
