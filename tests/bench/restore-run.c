/*
 * Times restores from exec to the process's end, in turns with the floor:
 *
 *	restore-run ROUNDS MAYFLY STATE MEMORY MIB ADDRESS
 *
 * The guest is tests/guests/waiter.S, whose first act after a restore ends it;
 * ADDRESS is where restore-floor enters it. The API's socket is made here, and
 * the request lies in it before mayfly is executed, so that nobody waits for a
 * client. A line for each round: microseconds of the floor, and of mayfly.
 */
#include <errno.h>
#include <fcntl.h>
#include <spawn.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum { API_FD = 3 };

static char request[2048];
static char answer[2048];

static void die(const char *what)
{
	printf("not ok - restore-run: %s: %s\n", what, strerror(errno));
	exit(1);
}

static double now_us(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec * 1e6 + (double)t.tv_nsec / 1e3;
}

/* From the spawn to the end; listener becomes API_FD where there is one. */
static double run_us(char *const argv[], int listener)
{
	const double begin = now_us();
	posix_spawn_file_actions_t files;
	int status;
	pid_t pid;

	posix_spawn_file_actions_init(&files);
	if (listener >= 0)
		posix_spawn_file_actions_adddup2(&files, listener, API_FD);
	errno = posix_spawn(&pid, argv[0], &files, NULL, argv, environ);
	if (errno)
		die("posix_spawn");
	posix_spawn_file_actions_destroy(&files);
	if (waitpid(pid, &status, 0) != pid)
		die("waitpid");
	if (status) {
		printf("not ok - %s ends with 0\n#   status 0x%x, and: %s\n",
		       argv[0], status, answer);
		exit(1);
	}
	return now_us() - begin;
}

static void make_request(const char *state, const char *memory)
{
	char body[1024];
	int len = snprintf(
		body, sizeof(body),
		"{\"snapshot_path\": \"%s\", \"resume_vm\": true, "
		"\"mem_backend\": {\"backend_type\": \"File\", \"backend_path\": "
		"\"%s\"}}",
		state, memory);

	snprintf(request, sizeof(request),
		 "PUT /snapshot/load HTTP/1.1\r\nContent-Length: %d\r\n\r\n%s",
		 len, body);
}

static double restore_us(char *mayfly, int *client)
{
	static char fd[] = "3";
	char *const argv[] = {mayfly, "--api-fd", fd, NULL};
	struct sockaddr_un a = {.sun_family = AF_UNIX};
	int s = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	socklen_t len = sizeof(a);
	double took;

	/* An abstract name of the kernel's choice. */
	if (s < 0 || bind(s, (struct sockaddr *)&a, sizeof(a.sun_family)) ||
	    listen(s, 1) || getsockname(s, (struct sockaddr *)&a, &len))
		die("socket");
	*client = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (*client < 0 || connect(*client, (struct sockaddr *)&a, len) ||
	    write(*client, request, strlen(request)) !=
		    (ssize_t)strlen(request))
		die("request");
	took = run_us(argv, s);
	close(s);
	return took;
}

/* What it said, for a status that is not 0; and whether it was a refusal. */
static void hear(int client)
{
	ssize_t n = recv(client, answer, sizeof(answer) - 1, MSG_DONTWAIT);

	close(client);
	answer[n > 0 ? n : 0] = 0;
	if (n > 12 && memcmp(answer + 9, "204", 3)) {
		printf("not ok - a restore\n#   %s\n", answer);
		exit(1);
	}
}

int main(int argc, char **argv)
{
	char *floor[] = {"build/bench/restore-floor", NULL, NULL, NULL, NULL};
	double floor_us, mayfly_us;
	int rounds, i, client;

	if (argc != 7)
		return 2;
	/* So that API_FD is free for the children's. */
	while ((i = open("/dev/null", O_RDWR | O_CLOEXEC)) >= 0 && i < 8)
		;
	make_request(argv[3], argv[4]);
	memcpy(&floor[1], &argv[4], 3 * sizeof(floor[0]));
	rounds = atoi(argv[1]);
	for (i = 0; i <= rounds; i++) {
		floor_us = run_us(floor, -1);
		mayfly_us = restore_us(argv[2], &client);
		hear(client);
		if (i) /* the first one warms the caches */
			printf("%.1f %.1f\n", floor_us, mayfly_us);
	}
	return 0;
}
