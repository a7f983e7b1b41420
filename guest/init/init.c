/*
 * The guest's PID 1 while there is no agent: says that the guest is up, does
 * what the kernel command line asks for, and ends the machine.
 *
 * It is /init of an initrd as well as /sbin/init of a root disk, so it can
 * count on no file beside it. Everything before the first line of output is
 * part of the boot time people look at: what is not needed is not mounted.
 *
 * Kernel command line:
 *
 *   mayfly.boottimer    tell the monitor that user space runs (--boot-timer)
 *   mayfly.do=A+B+...   what to do, in this order, poweroff unless one ends it:
 *
 *     disk      report every virtio disk; write to, sync and read back the end
 *               of the last writable one. What is there is lost.
 *     poweroff  end the machine as the operating system's poweroff does
 *     reboot    end it as reboot does
 *     crash     panic
 *     idle      sleep for ever
 *     sh        become /bin/sh on the console
 */
#define _GNU_SOURCE 1 /* O_DIRECT */
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/reboot.h>
#include <sys/stat.h>
#include <sys/sysinfo.h>
#include <sys/sysmacros.h>
#include <sys/utsname.h>
#include <termios.h>
#include <time.h>
#include <unistd.h>

#include "vmm/arch/host/host.h"

/*
 * The monitor's boot timer: a byte with this value written to this page. RAM
 * may be there under other monitors, so init writes only where it is told to.
 */
#define BOOT_TIMER_VALUE 123

#define DISK_BLOCK 4096

static char cmdline[4096];

static void say(const char *fmt, ...) __attribute__((format(printf, 1, 2)));

/* One write per line: on a serial console each byte is an exit, not each line,
 * but lines of the kernel do not get in between. */
static void say(const char *fmt, ...)
{
	static const char prefix[] = "mayfly-init: ";
	char line[256];
	size_t len = sizeof(prefix) - 1;
	va_list args;
	int n;

	memcpy(line, prefix, len);
	va_start(args, fmt);
	n = vsnprintf(line + len, sizeof(line) - len - 1, fmt, args);
	va_end(args);
	if (n < 0)
		return;
	len = strlen(line);
	line[len++] = '\n';
	/* Without a console there is nobody to tell. */
	if (write(STDOUT_FILENO, line, len) < 0)
		return;
}

/* Something mounted there already is as good. */
static void mount_at(const char *type, const char *path)
{
	mkdir(path, 0755);
	if (mount(type, path, type, 0, NULL) && errno != EBUSY)
		say("cannot mount %s: %s", path, strerror(errno));
}

/*
 * The kernel opens the console for init where it finds /dev/console. It is
 * missing on a root whose /dev is empty, with a kernel that does not mount it.
 */
static void console_open(void)
{
	int fd;

	if (fcntl(STDOUT_FILENO, F_GETFD) >= 0)
		return;
	mount_at("devtmpfs", "/dev");
	fd = open("/dev/console", O_RDWR);
	if (fd < 0)
		return;
	while (fd >= 0 && fd < STDERR_FILENO)
		fd = dup(fd);
}

static void cmdline_read(void)
{
	ssize_t n = 0;
	int fd;

	mount_at("proc", "/proc");
	fd = open("/proc/cmdline", O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return;
	n = read(fd, cmdline, sizeof(cmdline) - 1);
	close(fd);
	cmdline[n > 0 ? n : 0] = '\0';
	cmdline[strcspn(cmdline, "\n")] = '\0';
}

/*
 * What follows @name in the command line's last word that starts with it, or
 * NULL. It ends at a space or at the line's end.
 */
static const char *cmdline_find(const char *name)
{
	const size_t len = strlen(name);
	const char *found = NULL;

	for (const char *p = cmdline; *p; p += strcspn(p, " ")) {
		p += strspn(p, " ");
		if (!strncmp(p, name, len))
			found = p + len;
	}
	return found;
}

static void boot_timer_stop(void)
{
	volatile uint8_t *page;
	int fd;

	if (!cmdline_find("mayfly.boottimer"))
		return;
	/* An initrd's /dev is empty, and one node is cheaper than a mount. */
	mknod("/dev/mem", S_IFCHR | 0600, makedev(1, 1));
	fd = open("/dev/mem", O_RDWR | O_SYNC | O_CLOEXEC);
	if (fd < 0) {
		say("no boot timer: cannot open /dev/mem: %s", strerror(errno));
		return;
	}
	page = mmap(NULL, 1, PROT_WRITE, MAP_SHARED, fd, HOST_BOOT_TIMER);
	close(fd);
	if (page == MAP_FAILED) {
		say("no boot timer: cannot map its page: %s", strerror(errno));
		return;
	}
	*page = BOOT_TIMER_VALUE;
}

static void greet(void)
{
	struct timespec up = {0};
	struct sysinfo info = {0};
	struct utsname kernel = {0};

	clock_gettime(CLOCK_BOOTTIME, &up);
	sysinfo(&info);
	uname(&kernel);
	say("Linux %s on %s, %ld cpu, %llu MiB, up %lld ms", kernel.release,
	    kernel.machine, sysconf(_SC_NPROCESSORS_ONLN),
	    (unsigned long long)info.totalram * info.mem_unit >> 20,
	    (long long)up.tv_sec * 1000 + up.tv_nsec / 1000000);
}

/* ---- disk ---------------------------------------------------------------- */

struct disk {
	char name[4]; /* vda */
	uint64_t bytes;
	int read_only;
	bool is_root;
};

/* Returns the open disk, or -1: there is none of that name, or it is broken. */
static int disk_open(struct disk *disk, char letter)
{
	char path[] = "/dev/vda";
	struct stat root, node;
	int fd;

	path[sizeof(path) - 2] = letter;
	snprintf(disk->name, sizeof(disk->name), "vd%c", letter);
	fd = open(path, O_RDWR | O_DIRECT | O_CLOEXEC);
	if (fd < 0)
		fd = open(path, O_RDONLY | O_DIRECT | O_CLOEXEC);
	if (fd < 0)
		return -1;
	if (ioctl(fd, BLKGETSIZE64, &disk->bytes) ||
	    ioctl(fd, BLKROGET, &disk->read_only)) {
		close(fd);
		return -1;
	}
	disk->is_root = !stat("/", &root) && !fstat(fd, &node) &&
			root.st_dev == node.st_rdev;
	return fd;
}

/* Returns the name of the step that failed, with errno, or NULL. */
static const char *disk_check(int fd, const struct disk *disk, bool may_write)
{
	/* O_DIRECT, to ask the disk and not the page cache, wants alignment. */
	static uint8_t wrote[DISK_BLOCK] __attribute__((aligned(DISK_BLOCK)));
	static uint8_t got[DISK_BLOCK] __attribute__((aligned(DISK_BLOCK)));
	static const char text[] = "mayfly-init was here\n";
	const size_t len = disk->bytes < DISK_BLOCK ? (size_t)disk->bytes
						    : DISK_BLOCK;
	const off_t end = (off_t)(disk->bytes - len);

	errno = 0;
	if (!may_write)
		return pread(fd, got, len, 0) == (ssize_t)len ? NULL : "read";
	for (size_t i = 0; i < len; i++)
		wrote[i] = (uint8_t)text[i % (sizeof(text) - 1)];
	if (pwrite(fd, wrote, len, end) != (ssize_t)len)
		return "write";
	if (fsync(fd))
		return "fsync";
	if (pread(fd, got, len, end) != (ssize_t)len)
		return "read";
	return memcmp(wrote, got, len) ? "compare" : NULL;
}

static void disks_report(void)
{
	struct disk disk = {0};
	char last_writable = '\0';
	int fd;

	mount_at("devtmpfs", "/dev");
	for (char letter = 'a'; letter <= 'z'; letter++) {
		fd = disk_open(&disk, letter);
		if (fd < 0)
			continue;
		close(fd);
		/* The file system we run from is no place to scribble. */
		if (!disk.read_only && !disk.is_root && disk.bytes > 0)
			last_writable = letter;
	}
	for (char letter = 'a'; letter <= 'z'; letter++) {
		const char *failed;

		fd = disk_open(&disk, letter);
		if (fd < 0)
			continue;
		failed = disk_check(fd, &disk, letter == last_writable);
		say("disk %s %llu sectors ro=%d %s%s%s%s", disk.name,
		    (unsigned long long)disk.bytes / 512, disk.read_only,
		    failed ? "failed: " : "ok", failed ? failed : "",
		    failed && errno ? ": " : "",
		    failed && errno ? strerror(errno) : "");
		close(fd);
	}
}

/* ---- the end ------------------------------------------------------------- */

/* What was said is still on its way out by interrupts, and would be lost. */
static void end(int how)
{
	tcdrain(STDOUT_FILENO);
	reboot(how);
	say("the kernel cannot end the machine: %s", strerror(errno));
}

static void crash(void)
{
	int fd = open("/proc/sysrq-trigger", O_WRONLY);

	tcdrain(STDOUT_FILENO);
	if (fd >= 0 && write(fd, "c", 1) == 1)
		pause();
	/* Without sysrq: the kernel panics when init ends. */
	_exit(1);
}

static void shell(void)
{
	mount_at("devtmpfs", "/dev");
	mount_at("sysfs", "/sys");
	execl("/bin/sh", "sh", (char *)NULL);
	say("no /bin/sh here: %s", strerror(errno));
}

/* Does what @what says, @len characters; does not return if that is an end. */
static void act(const char *what, size_t len)
{
#define IS(word) (len == sizeof(word) - 1 && !memcmp(what, word, len))
	if (IS("disk")) {
		disks_report();
	} else if (IS("poweroff")) {
		end(RB_POWER_OFF);
	} else if (IS("reboot")) {
		end(RB_AUTOBOOT);
	} else if (IS("crash")) {
		crash();
	} else if (IS("sh")) {
		shell();
	} else if (IS("idle")) {
		for (;;)
			pause();
	} else {
		say("unknown action '%.*s' in mayfly.do=; use disk, poweroff, "
		    "reboot, crash, idle or sh, joined by +",
		    (int)len, what);
	}
#undef IS
}

int main(void)
{
	const char *todo;

	cmdline_read();
	boot_timer_stop();
	console_open();
	greet();

	todo = cmdline_find("mayfly.do=");
	while (todo && *todo && *todo != ' ') {
		const size_t len = strcspn(todo, "+ ");

		act(todo, len);
		todo += len;
		todo += *todo == '+';
	}
	end(RB_POWER_OFF);
	/* An init that returns makes the kernel panic. */
	for (;;)
		pause();
}
