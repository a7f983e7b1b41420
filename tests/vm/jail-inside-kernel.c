/* Attempts at what the kernel gives: namespaces, networks, privileges. */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/capability.h>
#include <linux/if.h>
#include <linux/if_tun.h>
#include <sched.h>
#include <stddef.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/swap.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <sys/utsname.h>
#include <time.h>
#include <unistd.h>

#include "tests/vm/jail-inside.h"

static int opens(const char *path)
{
	return done(open(path, O_RDONLY));
}

/* ---- namespaces -------------------------------------------------------------
 */

static int ns_user(void)
{
	return done(unshare(CLONE_NEWUSER));
}
static int ns_user_all(void)
{
	return done(unshare(CLONE_NEWUSER | CLONE_NEWNS | CLONE_NEWNET));
}
static int ns_mount(void)
{
	return done(unshare(CLONE_NEWNS));
}
static int ns_net(void)
{
	return done(unshare(CLONE_NEWNET));
}
static int ns_pid(void)
{
	return done(unshare(CLONE_NEWPID));
}
static int ns_ipc(void)
{
	return done(unshare(CLONE_NEWIPC));
}
static int ns_join(void)
{
	int fd = (int)syscall(SYS_pidfd_open, outside.process, 0);

	return fd < 0 ? errno : done(setns(fd, CLONE_NEWNS));
}

/* ---- network ----------------------------------------------------------------
 */

static struct sockaddr_in loopback(int number)
{
	return (struct sockaddr_in){.sin_family = AF_INET,
				    .sin_port = htons((uint16_t)number),
				    .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
}

static int tcp_connect(void)
{
	struct sockaddr_in a = loopback(outside.port);

	return done(connect(socket(AF_INET, SOCK_STREAM, 0),
			    (struct sockaddr *)&a, sizeof(a)));
}

static int tcp_bind(void)
{
	struct sockaddr_in a = loopback(0);

	a.sin_port = htons(47813);
	return done(bind(socket(AF_INET, SOCK_STREAM, 0), (struct sockaddr *)&a,
			 sizeof(a)));
}

static int udp_send(void)
{
	struct sockaddr_in a = loopback(outside.port);

	return done(sendto(socket(AF_INET, SOCK_DGRAM, 0), "", 1, 0,
			   (struct sockaddr *)&a, sizeof(a)));
}

static int raw_socket(void)
{
	return done(socket(AF_INET, SOCK_RAW, IPPROTO_ICMP));
}
static int packet_socket(void)
{
	return done(socket(AF_PACKET, SOCK_RAW, 0));
}

static int abstract_socket(void)
{
	struct sockaddr_un a = {.sun_family = AF_UNIX};
	const size_t len = strlen(outside.abstract_name);

	memcpy(a.sun_path + 1, outside.abstract_name, len);
	return done(connect(
		socket(AF_UNIX, SOCK_STREAM, 0), (struct sockaddr *)&a,
		(socklen_t)(offsetof(struct sockaddr_un, sun_path) + 1 + len)));
}

static int new_tap(void)
{
	struct ifreq req = {.ifr_flags = IFF_TAP};
	int fd = open("/dev/net/tun", O_RDWR);

	return fd < 0 ? errno : done(ioctl(fd, TUNSETIFF, &req));
}

/* ---- privileges
 * -------------------------------------------------------------- */

static int become_root(void)
{
	return done(setresuid(0, 0, 0));
}
static int become_group(void)
{
	return done(setresgid(0, 0, 0));
}
static int take_caps(void)
{
	struct __user_cap_header_struct h = {
		.version = _LINUX_CAPABILITY_VERSION_3};
	struct __user_cap_data_struct d[2] = {
		{.effective = 1 << CAP_SYS_ADMIN,
		 .permitted = 1 << CAP_SYS_ADMIN}};

	return done(syscall(SYS_capset, &h, d));
}
static int raise_limit(void)
{
	struct rlimit l = {1 << 19, 1 << 19};

	return done(setrlimit(RLIMIT_NOFILE, &l));
}
static int be_first(void)
{
	return done(setpriority(PRIO_PROCESS, 0, -20));
}
static int real_time(void)
{
	struct sched_param p = {.sched_priority = 1};

	return done(sched_setscheduler(0, SCHED_FIFO, &p));
}

/* ---- the kernel
 * --------------------------------------------------------------- */

static int add_key(void)
{
	return done(syscall(SYS_add_key, "user", "mayfly", "x", 1, -3));
}
static int bpf_map(void)
{
	struct {
		unsigned type, key, value, entries, rest[28];
	} a = {2, 4, 4, 1, {0}};

	return done(syscall(SYS_bpf, 0, &a, sizeof(a)));
}
static int bpf_program(void)
{
	unsigned attr[32] = {5 /* kprobe */};

	return unless_einval(syscall(SYS_bpf, 5, attr, sizeof(attr)));
}
static int fault_kernel(void)
{
	return done(syscall(SYS_userfaultfd, 0));
}
static int fault_user(void)
{
	return done(syscall(SYS_userfaultfd, 1));
}
static int fault_device(void)
{
	return opens("/dev/userfaultfd");
}
static int load_module(void)
{
	return unless_einval(syscall(SYS_init_module, "", 0, ""));
}
static int load_module_fd(void)
{
	return unless_einval(syscall(SYS_finit_module, 0, "", ~0));
}
static int kexec(void)
{
	return unless_einval(syscall(SYS_kexec_load, 0, 99, 0, 0));
}
static int perf_kernel(void)
{
	unsigned long attr[16] = {1 | 128UL << 32};

	return done(syscall(SYS_perf_event_open, attr, -1, 0, -1, 0));
}
static int uring(void)
{
	char params[120] = {0};

	return done(syscall(SYS_io_uring_setup, 1, params));
}
static int restart(void)
{
	return unless_einval(syscall(SYS_reboot, 1, 2, 3, 0));
}
static int host_name(void)
{
	struct utsname name;

	uname(&name);
	return done(sethostname(name.nodename, strlen(name.nodename)));
}
static int kernel_log(void)
{
	static char text[64];

	return done(syscall(SYS_syslog, 3, text, sizeof(text)));
}
static int swap_on(void)
{
	return unless_einval(swapon("/nowhere", 0));
}
static int account(void)
{
	return unless_einval(acct("/nowhere"));
}
static int set_clock(void)
{
	const struct {
		int minutes_west, summer;
	} utc = {0, 0};

	return done(syscall(SYS_settimeofday, NULL, &utc));
}
static int watch_files(void)
{
	return done(syscall(SYS_fanotify_init, 0, 0));
}
#ifdef __x86_64__
static int port_io(void)
{
	return done(syscall(SYS_iopl, 3));
}
#endif

const struct probe kernel_probes[] = {
	{"ns:user", ns_user},
	{"ns:user-mount-net", ns_user_all},
	{"ns:mount", ns_mount},
	{"ns:net", ns_net},
	{"ns:pid", ns_pid},
	{"ns:ipc", ns_ipc},
	{"ns:join", ns_join},
	{"net:tcp-connect", tcp_connect},
	{"net:tcp-bind", tcp_bind},
	{"net:udp", udp_send},
	{"net:raw", raw_socket},
	{"net:packet", packet_socket},
	{"net:abstract-socket", abstract_socket},
	{"net:new-tap", new_tap},
	{"root:setuid", become_root},
	{"root:setgid", become_group},
	{"root:capset", take_caps},
	{"root:rlimit", raise_limit},
	{"root:nice", be_first},
	{"root:realtime", real_time},
	{"kernel:add_key", add_key},
	{"kernel:bpf-map", bpf_map},
	{"kernel:bpf-program", bpf_program},
	{"kernel:userfaultfd", fault_kernel},
	{"kernel:userfaultfd-user", fault_user},
	{"kernel:/dev/userfaultfd", fault_device},
	{"kernel:init_module", load_module},
	{"kernel:finit_module", load_module_fd},
	{"kernel:kexec", kexec},
	{"kernel:perf", perf_kernel},
	{"kernel:io_uring", uring},
	{"kernel:reboot", restart},
	{"kernel:sethostname", host_name},
	{"kernel:syslog", kernel_log},
	{"kernel:swapon", swap_on},
	{"kernel:acct", account},
	{"kernel:clock", set_clock},
	{"kernel:fanotify", watch_files},
#ifdef __x86_64__
	{"kernel:iopl", port_io},
#endif
	{NULL, NULL},
};
