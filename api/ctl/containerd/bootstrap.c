#include "api/ctl/containerd/bootstrap.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <task.pb-c.h>
#include <unistd.h>

#include "vmm/base/fd.h"

enum { PARAMETERS_MAX = 64 << 10, ANSWER_MAX = 1024, TASK_VERSION = 3 };

/* protobuf-c's structs want what they don't change to be changeable. */
static char *text(const char *borrowed)
{
	return (char *)(uintptr_t)borrowed;
}

static size_t read_all(int fd, uint8_t *out, size_t size)
{
	size_t len = 0;
	ssize_t n;

	while (len < size) {
		n = read(fd, out + len, size - len);
		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			break;
		len += (size_t)n;
	}
	return len;
}

/*
 * Versions before that write the options of the runtime, of type Any: what has
 * a type's URL for its first field is no id of ours.
 */
bool bootstrap_is_new(const char *id)
{
	uint8_t *bytes = isatty(STDIN_FILENO) ? NULL : malloc(PARAMETERS_MAX);
	Task__Bootstrap *b;
	bool is_new;

	if (!bytes)
		return false;
	b = task__bootstrap__unpack(
		NULL, read_all(STDIN_FILENO, bytes, PARAMETERS_MAX), bytes);
	is_new = b && !strcmp(b->instance_id, id) && *b->containerd_version;
	if (b)
		task__bootstrap__free_unpacked(b, NULL);
	free(bytes);
	return is_new;
}

static int print(const ProtobufCMessage *m, struct err *e)
{
	uint8_t bytes[ANSWER_MAX];

	if (protobuf_c_message_get_packed_size(m) > sizeof(bytes))
		return err_set(e, -E2BIG, "the answer is too long");
	return fd_write(STDOUT_FILENO, bytes, protobuf_c_message_pack(m, bytes))
		       ? err_errno(e, "can't write the answer")
		       : 0;
}

int bootstrap_answer(const char *address, bool is_new, struct err *e)
{
	Task__Bootstrapped r = TASK__BOOTSTRAPPED__INIT;

	if (!is_new)
		return fd_write(STDOUT_FILENO, address, strlen(address))
			       ? err_errno(e, "can't write the address")
			       : 0;
	r.version = TASK_VERSION;
	r.address = text(address);
	r.protocol = text("ttrpc");
	return print(&r.base, e);
}

int bootstrap_info(struct err *e)
{
	static const char features[] =
		"{\"ociVersionMin\":\"1.0.0\",\"ociVersionMax\":\"1.2.0\","
		"\"mountOptions\":[\"bind\",\"mode\",\"noexec\",\"nosuid\","
		"\"rbind\",\"ro\",\"rro\",\"rw\",\"size\"],\"linux\":{"
		"\"namespaces\":[\"cgroup\",\"ipc\",\"mount\",\"network\","
		"\"pid\",\"uts\"],\"cgroup\":{\"v2\":true}}}";
	Task__RuntimeVersion version = TASK__RUNTIME_VERSION__INIT;
	Task__RuntimeInfo info = TASK__RUNTIME_INFO__INIT;
	Task__Any any = TASK__ANY__INIT;

	version.version = text(MAYFLY_VERSION);
	any.type_url = text("types.containerd.io/opencontainers/runtime-spec/1/"
			    "features/Features");
	any.value.data = (uint8_t *)text(features);
	any.value.len = strlen(features);
	info.name = text("io.containerd.mayfly.v1");
	info.version = &version;
	info.features = &any;
	return print(&info.base, e);
}
