/*
 * What guests at rest are made of, and where they are. warm_make.c makes them.
 */
#include "api/ctl/vm/warm.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/utsname.h>
#include <unistd.h>

#include "api/ctl/base/copy.h"
#include "api/ctl/base/tree.h"
#include "api/ctl/vm/folder.h"
#include "api/ctl/vm/manifest.h"
#include "vmm/base/fd.h"
#include "vmm/state/hmac.h"

enum { ABOUT_MAX = 16 << 10, CPU_MAX = 16 << 10, STAMP = 160 };

/* ---- what it is made of ---------------------------------------------------
 */

static void digest(const void *bytes, size_t len, char out[WARM_KEY_SIZE])
{
	static const uint8_t key[] = "mayfly warm";
	uint8_t sum[HMAC_LEN];
	unsigned i;

	hmac_sha256(key, sizeof(key), bytes, len, sum);
	for (i = 0; i < HMAC_LEN; i++)
		snprintf(out + 2 * i, 3, "%02x", sum[i]);
}

/* What it is made of, as lines; one that is full is of no use. */
struct about {
	char text[ABOUT_MAX];
	size_t len;
};

static void put(struct about *a, const char *fmt, ...)
	__attribute__((format(printf, 2, 3)));
static void put(struct about *a, const char *fmt, ...)
{
	va_list args;

	va_start(args, fmt);
	if (a->len < sizeof(a->text))
		a->len += (size_t)vsnprintf(
			a->text + a->len, sizeof(a->text) - a->len, fmt, args);
	va_end(args);
}

/* Whoever has changed a file has changed one of these. */
static int stamp(const char *path, char out[STAMP])
{
	struct stat st;

	if (stat(path, &st))
		return -errno;
	snprintf(out, STAMP, "%llx %llu %lld %lld.%09ld %lld.%09ld",
		 (unsigned long long)st.st_dev, (unsigned long long)st.st_ino,
		 (long long)st.st_size, (long long)st.st_mtim.tv_sec,
		 st.st_mtim.tv_nsec, (long long)st.st_ctim.tv_sec,
		 st.st_ctim.tv_nsec);
	return 0;
}

static int put_file(struct about *to, const char *path, struct err *e)
{
	char text[STAMP];
	const int rc = stamp(path, text);

	if (rc)
		return err_set(e, rc, "can't examine %s: %s", path,
			       strerror(-rc));
	if (strchr(path, '\n'))
		return err_set(e, -EINVAL, "a path of two lines");
	put(to, "file %s %s\n", text, path);
	return 0;
}

/* What the processor is and can do; how quick it is just now is left out. */
static void digest_cpu(char out[WARM_KEY_SIZE])
{
	static const char *const left_out[] = {"cpu MHz", "bogomips",
					       "processor", "BogoMIPS"};
	char bytes[CPU_MAX], kept[CPU_MAX];
	CLEAN_FD int fd = open("/proc/cpuinfo", O_RDONLY | O_CLOEXEC);
	const ssize_t n = fd < 0 ? 0 : read(fd, bytes, sizeof(bytes) - 1);
	size_t len = 0, line, i;
	const char *at = bytes;

	bytes[n < 0 ? 0 : n] = '\0';
	/* All are alike, so the first is enough. */
	for (; *at && *at != '\n'; at += line) {
		line = strcspn(at, "\n");
		line += at[line] == '\n';
		for (i = 0; i < sizeof(left_out) / sizeof(left_out[0]); i++)
			if (!strncmp(at, left_out[i], strlen(left_out[i])))
				break;
		if (i < sizeof(left_out) / sizeof(left_out[0]))
			continue;
		memcpy(kept + len, at, line);
		len += line;
	}
	digest(kept, len, out);
}

/* A host that has another kernel may have another KVM. */
static void put_host(struct about *to)
{
	char cpu[WARM_KEY_SIZE];
	struct utsname host;

	uname(&host);
	digest_cpu(cpu);
	put(to, "host " MAYFLY_VERSION " %s %s %.16s\n", host.release,
	    host.machine, cpu);
}

static int put_all(struct about *to, const struct monitor_plan *plan,
		   const char *image, struct err *e)
{
	const char *const files[] = {plan->files->program, plan->files->kernel,
				     plan->files->initrd};
	char id[MONITOR_ID_SIZE];
	unsigned i;
	int rc = 0;

	put_host(to);
	for (i = 0; i < 3 && !rc; i++)
		rc = put_file(to, files[i], e);
	put(to, "image %s\nvcpus %u\nmemory %llu\nnet %d\n", image,
	    plan->vcpu_count, (unsigned long long)plan->memory_mib,
	    plan->tap != NULL);
	for (i = 0; i < plan->drive_count; i++)
		put(to, "drive %s %s\n", monitor_drive_id(plan, i, id),
		    plan->drives[i].is_read_only ? "ro" : "rw");
	return rc;
}

/* images/HEX/warm, of images/HEX/rootfs.erofs. */
static int warm_folder(const char *image_path, char out[PATH_MAX],
		       struct err *e)
{
	const char *slash = strrchr(image_path, '/');

	if (!slash ||
	    snprintf(out, PATH_MAX, "%.*s/warm", (int)(slash - image_path),
		     image_path) >= PATH_MAX)
		return err_set(e, -ENAMETOOLONG, "%s is too long", image_path);
	return 0;
}

/* w has its folder. */
static int name(struct warm *w, const struct monitor_plan *plan,
		const char *image, struct err *e)
{
	struct about about = {.len = 0};
	int rc = put_all(&about, plan, image, e);

	if (rc)
		return rc;
	if (about.len >= sizeof(about.text))
		return err_set(e, -E2BIG, "there is too much in it");
	w->about = strdup(about.text);
	if (!w->about)
		return err_set(e, -ENOMEM, "no memory for a guest at rest");
	digest(w->about, about.len, w->key);
	return 0;
}

int warm_name(struct warm *w, const struct monitor_plan *plan,
	      const char *image_path, const char *image, struct err *e)
{
	int rc;

	*w = (struct warm){.memory_bytes = plan->memory_mib << 20};
	rc = warm_folder(image_path, w->folder, e);
	return rc ? rc : name(w, plan, image, e);
}

int warm_name_bare(struct warm *w, const struct monitor_plan *plan,
		   const char *folder, struct err *e)
{
	*w = (struct warm){
		.memory_bytes = plan->memory_mib << 20,
		.is_bare = true,
	};
	if (snprintf(w->folder, sizeof(w->folder), "%s", folder) >=
	    (int)sizeof(w->folder))
		return err_set(e, -ENAMETOOLONG, "%s is too long", folder);
	return name(w, plan, "none", e);
}

void warm_fini(struct warm *w)
{
	free(w->about);
	fd_close(&w->state_fd);
	fd_close(&w->memory_fd);
	*w = (struct warm){0};
}

/* ---- finding and removing ------------------------------------------------ */

static int open_sized(int dir, const char *name, uint64_t least, uint64_t most,
		      struct err *e)
{
	uint64_t size = 0;
	CLEAN_FD int fd = copy_open(dir, name, &size, e);

	if (fd < 0)
		return fd;
	if (size < least || size > most)
		return err_set(e, -EINVAL, "its %s has %llu bytes", name,
			       (unsigned long long)size);
	return fd_steal(&fd);
}

int warm_open(struct warm *w, struct err *e)
{
	char path[PATH_MAX + WARM_KEY_SIZE];
	CLEAN_FD int dir = -1;

	snprintf(path, sizeof(path), "%s/%s", w->folder, w->key);
	dir = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (dir < 0) {
		const int rc = -errno;

		return err_set(e, rc, "can't open %s: %s", path, strerror(-rc));
	}
	/* Used just now: others make room first (warm_trim()). */
	(void)futimens(dir, NULL);
	w->state_fd = open_sized(dir, MANIFEST_STATE, 1, MANIFEST_STATE_MAX, e);
	if (w->state_fd < 0)
		return -EINVAL;
	w->memory_fd = open_sized(dir, MANIFEST_MEMORY, w->memory_bytes,
				  w->memory_bytes, e);
	return w->memory_fd < 0 ? -EINVAL : 0;
}

/* By a name that nobody looks for, so that nobody finds half of it. */
static void drop(int folder, const char *key, struct tree_report *tree)
{
	char gone[NAME_MAX + 1];

	snprintf(gone, sizeof(gone), "gone.%.64s.%d", key, getpid());
	if (folder >= 0 && !renameat(folder, key, folder, gone))
		(void)tree_remove(folder, gone, 0, tree);
}

void warm_remove(const struct warm *w)
{
	CLEAN_FD int fd = open(w->folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	if (fd >= 0)
		drop(fd, w->key, NULL);
}

/* "file STAMP PATH", whose file is as it was then. */
static bool is_same_file(const char *line)
{
	char now[STAMP], path[PATH_MAX];
	const size_t len = strcspn(line, "/");

	snprintf(path, sizeof(path), "%s", line + len);
	return !stamp(path, now) && len == strlen(now) + 1 &&
	       !strncmp(line, now, len - 1);
}

static char *warm_read(int dir, const char *path)
{
	uint64_t size = 0;
	CLEAN_FD int fd = copy_open(dir, path, &size, NULL);
	char *text = fd < 0 || size > ABOUT_MAX ? NULL : malloc(size + 1);

	if (!text)
		return NULL;
	if (fd_pread(fd, text, (size_t)size, 0)) {
		free(text);
		return NULL;
	}
	text[size] = '\0';
	return text;
}

/* Whether what it says of files and host is so. */
static bool is_fitting(int folder, const char *key)
{
	struct about host = {.len = 0};
	char path[NAME_MAX + 8], *text, *rest, *line;
	bool fits;

	snprintf(path, sizeof(path), "%s/about", key);
	text = rest = warm_read(folder, path);
	put_host(&host);
	fits = text && host.len;
	while (fits && (line = strsep(&rest, "\n"))) {
		if (!strncmp(line, "host ", 5))
			fits = !strncmp(line, host.text, host.len - 1) &&
			       !line[host.len - 1];
		else if (!strncmp(line, "file ", 5))
			fits = is_same_file(line + 5);
	}
	free(text);
	return fits;
}

static bool is_key(const char *name)
{
	return strlen(name) == WARM_KEY_SIZE - 1 &&
	       strspn(name, "0123456789abcdef") == WARM_KEY_SIZE - 1;
}

void warm_sweep_folder(const char *folder, struct warm_report *report)
{
	struct tree_report tree = {0};
	const struct dirent *entry;
	DIR *dir = opendir(folder);

	if (!dir)
		return;
	while ((entry = readdir(dir))) {
		const char *name = entry->d_name;

		if (is_key(name) && !is_fitting(dirfd(dir), name)) {
			drop(dirfd(dir), name, &tree);
			report->count++;
		}
		/* Of somebody who died while removing it. */
		if (!strncmp(name, "gone.", 5))
			(void)tree_remove(dirfd(dir), name, 0, &tree);
	}
	closedir(dir);
	folder_sweep(folder);
	report->bytes += tree.bytes;
}

void warm_sweep(const char *image_path, struct warm_report *report)
{
	char folder[PATH_MAX];

	if (!warm_folder(image_path, folder, NULL))
		warm_sweep_folder(folder, report);
}

/* How many there are; out is the one that was used longest ago. */
static unsigned find_oldest(DIR *dir, char out[WARM_KEY_SIZE])
{
	const int fd = dirfd(dir);
	const struct dirent *entry;
	struct timespec oldest = {0};
	unsigned count = 0;
	struct stat st;

	rewinddir(dir);
	while (fd >= 0 && (entry = readdir(dir))) {
		if (!is_key(entry->d_name) ||
		    fstatat(fd, entry->d_name, &st, AT_SYMLINK_NOFOLLOW))
			continue;
		if (!count++ || st.st_mtim.tv_sec < oldest.tv_sec ||
		    (st.st_mtim.tv_sec == oldest.tv_sec &&
		     st.st_mtim.tv_nsec < oldest.tv_nsec)) {
			oldest = st.st_mtim;
			snprintf(out, WARM_KEY_SIZE, "%.64s", entry->d_name);
		}
	}
	return count;
}

void warm_trim(const char *folder, unsigned most, struct warm_report *report)
{
	struct tree_report tree = {0};
	char key[WARM_KEY_SIZE] = "";
	unsigned count, last = ~0u;
	DIR *dir = opendir(folder);

	/* What can't be removed is not tried for ever. */
	while (dir && (count = find_oldest(dir, key)) > most && count < last) {
		drop(dirfd(dir), key, &tree);
		report->count++;
		last = count;
	}
	if (dir)
		closedir(dir);
	/* One in which somebody is at work has something in it. */
	if (!most)
		(void)rmdir(folder);
	report->bytes += tree.bytes;
}

uint64_t warm_bytes(const char *image_path)
{
	static const char *const files[] = {MANIFEST_STATE, MANIFEST_MEMORY};
	char folder[PATH_MAX], path[NAME_MAX + 16];
	const struct dirent *entry;
	uint64_t bytes = 0;
	struct stat st;
	unsigned i;
	DIR *dir;
	int fd;

	if (warm_folder(image_path, folder, NULL))
		return 0;
	dir = opendir(folder);
	fd = dir ? dirfd(dir) : -1;
	while (fd >= 0 && (entry = readdir(dir)))
		for (i = 0; i < 2 && is_key(entry->d_name); i++) {
			snprintf(path, sizeof(path), "%s/%s", entry->d_name,
				 files[i]);
			if (!fstatat(fd, path, &st, 0))
				bytes += (uint64_t)st.st_blocks * 512;
		}
	if (dir)
		closedir(dir);
	return bytes;
}
