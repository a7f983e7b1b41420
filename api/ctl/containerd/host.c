#include "api/ctl/containerd/host.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <sha2.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "api/ctl/base/process.h"
#include "api/json/json.h"
#include "vmm/base/fd.h"

enum {
	DIGITS = 24,
	CONFIG_MAX = 64 << 10,
	ANSWER_MS = 1000,
	IMAGES_MIB = 4096,
	IMAGES_MIB_MAX = 1 << 30,
};

static const char *runtime_dir(void)
{
	const char *dir = getenv("XDG_RUNTIME_DIR");

	return dir && *dir == '/' ? dir : "/run";
}

/* Any words, as so many hexadecimal digits. */
static void digest(const struct host *h, char out[DIGITS + 1])
{
	char hex[SHA256_DIGEST_STRING_LENGTH];
	SHA2_CTX sha;

	SHA256Init(&sha);
	/* With the NULs, lest "a","bc" be "ab","c". */
	SHA256Update(&sha, (const uint8_t *)h->address, strlen(h->address) + 1);
	SHA256Update(&sha, (const uint8_t *)h->namespace,
		     strlen(h->namespace) + 1);
	SHA256Update(&sha, (const uint8_t *)h->group, strlen(h->group) + 1);
	SHA256End(&sha, hex);
	snprintf(out, DIGITS + 1, "%.*s", DIGITS, hex);
}

int host_place(struct host *h, struct err *e)
{
	char name[DIGITS + 1];
	int n;

	digest(h, name);
	snprintf(h->vm_name, sizeof(h->vm_name), "containerd-%s", name);
	n = snprintf(h->socket, sizeof(h->socket), "%s/mayfly-shim/%s.sock",
		     runtime_dir(), name);
	if (n >= (int)sizeof(h->socket))
		return err_set(e, -ENAMETOOLONG,
			       "XDG_RUNTIME_DIR is too long for a socket's "
			       "path");
	return 0;
}

/* ---- its configuration -------------------------------------------------- */

static const char *const directory_words[] = {"refuse", "copy", NULL};

static const struct field config_fields[] = {
	{.name = "vcpus",
	 .type = FIELD_INTEGER,
	 FIELD_AT(struct host_config, vcpus),
	 .min = 1,
	 .max = HOST_VCPUS_MAX},
	{.name = "memory_mib",
	 .type = FIELD_INTEGER,
	 FIELD_AT(struct host_config, memory_mib),
	 .min = HOST_MEMORY_MIN},
	{.name = "kernel",
	 .type = FIELD_STRING,
	 FIELD_AT(struct host_config, kernel)},
	{.name = "vcpus_max",
	 .type = FIELD_INTEGER,
	 FIELD_AT(struct host_config, vcpus_max),
	 .min = 1,
	 .max = HOST_VCPUS_MAX},
	{.name = "memory_mib_max",
	 .type = FIELD_INTEGER,
	 FIELD_AT(struct host_config, memory_mib_max),
	 .min = HOST_MEMORY_MIN},
	{.name = "kernels",
	 .type = FIELD_STRING,
	 FIELD_AT(struct host_config, kernels)},
	{.name = "warm",
	 .type = FIELD_BOOL,
	 FIELD_AT(struct host_config, is_warm)},
	{.name = "jail",
	 .type = FIELD_BOOL,
	 FIELD_AT(struct host_config, has_jail)},
	{.name = "images_mib",
	 .type = FIELD_INTEGER,
	 FIELD_AT(struct host_config, images_mib),
	 .max = IMAGES_MIB_MAX},
	{.name = "directories",
	 .type = FIELD_WORD,
	 FIELD_AT(struct host_config, directories),
	 .words = directory_words},
};

static const struct field_table config_table =
	FIELD_TABLE("shim.json", struct host_config, config_fields);

void host_config_fini(struct host_config *c)
{
	json_unbind(&config_table, c);
}

uint64_t host_cpus(void)
{
	return (uint64_t)sysconf(_SC_NPROCESSORS_ONLN);
}

uint64_t host_memory_mib(void)
{
	return (uint64_t)sysconf(_SC_PHYS_PAGES) *
		       (uint64_t)sysconf(_SC_PAGESIZE) >>
	       20;
}

int host_read_config(struct host_config *c, struct err *e)
{
	const char *path = getenv("MAYFLY_SHIM_CONFIG");
	const bool is_named = path && *path;
	json_t *json;
	char *text;
	int rc;

	*c = (struct host_config){
		.vcpus = 1,
		.memory_mib = 256,
		.vcpus_max = HOST_VCPUS_MAX,
		.images_mib = IMAGES_MIB,
		.has_jail = true,
	};
	path = is_named ? path : "/etc/mayfly/shim.json";
	if (!is_named && access(path, F_OK))
		return 0;
	rc = process_read_file(path, CONFIG_MAX, &text, e);
	if (rc)
		return rc;
	json = json_parse(text, strlen(text), e);
	free(text);
	if (!json)
		return err_context(e, "%s", path);
	rc = json_bind(json, &config_table, c, NULL, e);
	json_decref(json);
	return rc ? err_context(e, "%s", path) : 0;
}

/* ---- its socket --------------------------------------------------------- */

bool host_answers(const struct host *h)
{
	/* A request of ttrpc's, the first, for a method that has no name: it is
	 * refused by whoever is there. */
	static const uint8_t request[10] = {0, 0, 0, 0, 0, 0, 0, 1, 1, 0};
	struct sockaddr_un a = {.sun_family = AF_UNIX};
	CLEAN_FD int fd =
		socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	struct pollfd p = {.fd = fd, .events = POLLIN};
	uint8_t byte;

	memcpy(a.sun_path, h->socket, sizeof(a.sun_path));
	if (fd < 0 || (connect(fd, (const struct sockaddr *)&a, sizeof(a)) &&
		       errno != EAGAIN))
		return false;
	/* One that is behind with its work is there: its queue is full. */
	if (send(fd, request, sizeof(request), MSG_NOSIGNAL) < 0)
		return errno == ENOTCONN;
	if (poll(&p, 1, ANSWER_MS) == 0)
		return true;
	return recv(fd, &byte, 1, 0) > 0;
}

/* Two that start at once must not take each other's socket for a dead one's. */
static int lock(const char *dir, struct err *e)
{
	CLEAN_FD int fd = -1;

	if (mkdir(dir, 0700) && errno != EEXIST)
		return err_errno(e, "can't make %s", dir);
	fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
	if (fd < 0 || flock(fd, LOCK_EX))
		return err_errno(e, "can't lock %s", dir);
	return fd_steal(&fd);
}

int host_listen(const struct host *h, int *fd, struct err *e)
{
	struct sockaddr_un a = {.sun_family = AF_UNIX};
	CLEAN_FD int made = -1;
	CLEAN_FD int held = -1;
	char dir[PATH_MAX];

	memcpy(a.sun_path, h->socket, sizeof(a.sun_path));
	snprintf(dir, sizeof(dir), "%.*s",
		 (int)(strrchr(h->socket, '/') - h->socket), h->socket);
	held = lock(dir, e);
	if (held < 0)
		return held;
	if (host_answers(h))
		return 1;
	unlink(h->socket);
	made = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (made < 0 || bind(made, (const struct sockaddr *)&a, sizeof(a)) ||
	    listen(made, 64))
		return err_errno(e, "can't listen at %s", h->socket);
	*fd = fd_steal(&made);
	return 0;
}
