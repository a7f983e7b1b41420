/* Reads /proc and /sys. */
#include "api/ctl/bench/host.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/utsname.h>
#include <time.h>
#include <unistd.h>

#include "vmm/base/fd.h"
#include "vmm/base/printable.h"

/* The first line of a file. */
static void first_line(const char *path, char *out, size_t size)
{
	char line[256] = "";
	FILE *f = fopen(path, "re");

	if (f && fgets(line, sizeof(line), f))
		printable_copy(line, strcspn(line, "\n"), out, size);
	if (f)
		fclose(f);
	if (!*out)
		snprintf(out, size, "unknown");
}

/* What stands behind `name :` in a file. */
static void value_of(const char *path, const char *name, char *out, size_t size)
{
	char line[1024];
	FILE *f = fopen(path, "re");

	while (f && !*out && fgets(line, sizeof(line), f)) {
		const char *colon = strchr(line, ':');

		if (!colon || strncmp(line, name, strlen(name)) != 0)
			continue;
		colon += 1 + strspn(colon + 1, " \t");
		printable_copy(colon, strcspn(colon, "\n"), out, size);
	}
	if (f)
		fclose(f);
	if (!*out)
		snprintf(out, size, "unknown");
}

static void read_kvm(struct host *h)
{
	static const char *const modules[] = {"kvm_intel", "kvm_amd", "kvm_pvm",
					      "kvm"};
	char path[64];
	unsigned i;

	for (i = 0; i < sizeof(modules) / sizeof(modules[0]); i++) {
		snprintf(path, sizeof(path), "/sys/module/%s", modules[i]);
		if (access(path, F_OK))
			continue;
		snprintf(h->kvm, sizeof(h->kvm), "%s", modules[i]);
		return;
	}
	snprintf(h->kvm, sizeof(h->kvm), "%s",
		 access("/dev/kvm", R_OK | W_OK) ? "none" : "unknown");
}

void host_read(struct host *h)
{
	const time_t now = time(NULL);
	struct utsname u;
	struct tm tm;

	*h = (struct host){.cpus = sysconf(_SC_NPROCESSORS_ONLN)};
	uname(&u);
	printable_copy(u.nodename, strlen(u.nodename), h->name,
		       sizeof(h->name));
	snprintf(h->kernel, sizeof(h->kernel), "%.60s %.60s %.120s", u.sysname,
		 u.release, u.version);
	strftime(h->time, sizeof(h->time), "%Y-%m-%dT%H:%M:%SZ",
		 gmtime_r(&now, &tm));
	value_of("/proc/cpuinfo", "model name", h->cpu, sizeof(h->cpu));
	value_of("/proc/meminfo", "MemTotal", h->memory, sizeof(h->memory));
	first_line("/sys/devices/system/cpu/cpu0/cpufreq/scaling_governor",
		   h->governor, sizeof(h->governor));
	first_line("/sys/class/dmi/id/product_name", h->virtual,
		   sizeof(h->virtual));
	first_line("/sys/kernel/mm/transparent_hugepage/enabled", h->huge_pages,
		   sizeof(h->huge_pages));
	read_kvm(h);
}

int host_check_kvm(struct err *e)
{
	CLEAN_FD int fd = open("/dev/kvm", O_RDWR | O_CLOEXEC);

	if (fd >= 0)
		return 0;
	if (errno == EACCES || errno == EPERM)
		return err_set(e, -EOPNOTSUPP,
			       "there is no permission for /dev/kvm; join its "
			       "group (often 'kvm') or run it with sudo");
	return err_set(e, -EOPNOTSUPP,
		       "can't open /dev/kvm: %s; is virtualisation on, and the "
		       "kvm module loaded?",
		       strerror(errno));
}

/* As tests/kvm-host has it: the processor's own virtualisation. */
static int virtualises(void)
{
	char line[8192];
	int found = 0;
	FILE *f = fopen("/proc/cpuinfo", "re");

	while (f && !found && fgets(line, sizeof(line), f))
		found = !strncmp(line, "flags", 5) &&
			(strstr(line, " vmx ") || strstr(line, " svm "));
	if (f)
		fclose(f);
	return found;
}

const char *host_no_kernels(const struct host *h)
{
	if (!strcmp(h->kvm, "none"))
		return "there is no /dev/kvm here that can be used";
	if (!virtualises())
		return "KVM here runs bare guests only: the processor has no "
		       "virtualisation of its own (vmx or svm)";
	return NULL;
}
