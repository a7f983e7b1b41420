/*
 * What is measured in a guest with Linux, and the other end of it: one static
 * program. As a guest's init it does the jobs of the kernel command line, each
 * a word `work=JOB`, and reboots. As a program of the host it does those of its
 * arguments: the same load without a guest, or the server of a guest's streams.
 *
 *	read,NAME,PATH,BYTES,DEPTH,random|next,MS
 *	send,NAME,ADDRESS,MS	and receive, trip, packets, packets-back
 *	serve,ADDRESS		says "serving" and serves for good
 *	address,IP		of the guest's eth0, a /24
 *
 * Before each it says "work begin NAME", after it "work end NAME COUNT NS
 * INTERRUPTS", the last those of all virtio devices; "work failed" where
 * something did not go. Called `true` it ends at once: a container's command.
 */
#define _GNU_SOURCE 1
#include "guest/bench/work.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <net/if.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

enum { WORDS = 8, PAUSE_US = 20000 };

/* Of lines like ` 25:  1203  17  mayfly-ioapic 5 edge virtio0`. */
static uint64_t interrupts(void)
{
	static char line[4096];
	FILE *f = fopen("/proc/interrupts", "re");
	uint64_t sum = 0;
	char *at, *next;

	while (f && fgets(line, sizeof(line), f)) {
		at = strchr(line, ':');
		if (!at || !strstr(at, "virtio"))
			continue;
		for (at++;; at = next) {
			const uint64_t n = strtoull(at, &next, 10);

			if (next == at)
				break;
			sum += n;
		}
	}
	if (f)
		fclose(f);
	return sum;
}

static void set_address(const char *ip)
{
	struct ifreq r = {.ifr_name = "eth0"};
	struct sockaddr_in *a = (struct sockaddr_in *)&r.ifr_addr;
	const int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);

	a->sin_family = AF_INET;
	if (fd < 0 || inet_pton(AF_INET, ip, &a->sin_addr) != 1 ||
	    ioctl(fd, SIOCSIFADDR, &r))
		end_badly("eth0's address");
	a->sin_addr.s_addr = htonl(0xffffff00);
	if (ioctl(fd, SIOCSIFNETMASK, &r) || ioctl(fd, SIOCGIFFLAGS, &r))
		end_badly("eth0");
	r.ifr_flags |= IFF_UP;
	if (ioctl(fd, SIOCSIFFLAGS, &r))
		end_badly("eth0 up");
	close(fd);
}

static struct done do_read(char *const *words)
{
	const struct reads r = {
		.path = words[2],
		.bytes = strtoull(words[3], NULL, 10),
		.depth = (unsigned)strtoul(words[4], NULL, 10),
		.is_random = !strcmp(words[5], "random"),
		.is_direct = end_is_init,
	};

	return disk_read(&r, (unsigned)strtoul(words[6], NULL, 10));
}

static const struct {
	const char *word;
	struct done (*run)(const char *address, unsigned ms);
} streams[] = {
	{"send", stream_send},
	{"receive", stream_receive},
	{"trip", stream_trip},
	{"packets", stream_packets},
	{"packets-back", stream_packets_back},
};

static struct done do_stream(char *const *words)
{
	unsigned i;

	for (i = 0; i < sizeof(streams) / sizeof(streams[0]); i++)
		if (!strcmp(words[0], streams[i].word))
			return streams[i].run(
				words[2],
				(unsigned)strtoul(words[3], NULL, 10));
	errno = EINVAL;
	end_badly(words[0]);
}

/* Whoever listens may count what it sees from the begin to the end. */
static void measure(char *const *words, struct done (*run)(char *const *))
{
	struct done d;
	uint64_t before;

	printf("work begin %s\n", words[1]);
	fflush(stdout);
	if (end_is_init)
		usleep(PAUSE_US);
	before = interrupts();
	d = run(words);
	before = interrupts() - before;
	printf("work end %s %llu %llu %llu\n", words[1],
	       (unsigned long long)d.count, (unsigned long long)d.ns,
	       (unsigned long long)before);
	fflush(stdout);
	if (end_is_init)
		usleep(PAUSE_US);
}

static void do_job(char *job)
{
	char *words[WORDS] = {NULL}, *word;
	unsigned n = 0;

	while (n < WORDS && (word = strsep(&job, ",")))
		words[n++] = word;
	if (n == 2 && !strcmp(words[0], "serve"))
		serve(words[1]);
	if (n == 2 && !strcmp(words[0], "address"))
		set_address(words[1]);
	else if (n == 7 && !strcmp(words[0], "read"))
		measure(words, do_read);
	else if (n == 4)
		measure(words, do_stream);
	else {
		errno = EINVAL;
		end_badly(words[0]);
	}
}

static void init(void)
{
	static char cmdline[4096];
	char *at = cmdline, *word;
	ssize_t n = 0;
	int fd;

	end_is_init = true;
	mkdir("/proc", 0755);
	mount("proc", "/proc", "proc", 0, NULL);
	mount("dev", "/dev", "devtmpfs", 0, NULL);
	fd = open("/proc/cmdline", O_RDONLY | O_CLOEXEC);
	if (fd >= 0)
		n = read(fd, cmdline, sizeof(cmdline) - 1);
	cmdline[n > 0 ? n : 0] = '\0';
	while ((word = strsep(&at, " \n")))
		if (!strncmp(word, "work=", 5))
			do_job(word + 5);
}

int main(int argc, char **argv)
{
	const char *name = strrchr(argv[0], '/');
	int i;

	if (!strcmp(name ? name + 1 : argv[0], "true"))
		return 0;
	signal(SIGPIPE, SIG_IGN);
	if (getpid() == 1)
		init();
	for (i = 1; i < argc && !end_is_init; i++)
		do_job(argv[i]);
	end_work(0);
	return 0;
}
