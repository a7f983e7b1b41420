/*
 * Where microVMs are kept track of. Everything is small, and whoever reads may
 * find a process gone in the next moment, so nothing here is locked: names are
 * taken by mkdir(), states replaced by rename(), and who is alive is asked of
 * the kernel each time.
 */
#include "api/ctl/vm/vm.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "api/ctl/base/process.h"
#include "api/ctl/base/tree.h"
#include "api/ctl/vm/cell.h"
#include "api/ctl/vm/place.h"
#include "vmm/base/fd.h"

enum {
	STATE_MAX = 1 << 20,
	NAME_TRIES = 16,
	RESERVE_BYTES = 32 << 10, /* the largest state, and more */
	RETRY_NS = 5000000
};

#define RESERVE_FILE "state.reserve"

static const char *const stage_words[] = {"created", "started", "ended", NULL};

static const struct field process_fields[] = {
	{.name = "pid",
	 .type = FIELD_INTEGER,
	 .max = INT32_MAX,
	 FIELD_AT(struct vm_process, pid)},
	{.name = "start",
	 .type = FIELD_INTEGER,
	 FIELD_AT(struct vm_process, start)},
};

static const struct field_table process_table =
	FIELD_TABLE("a process", struct vm_process, process_fields);

static const struct field port_fields[] = {
	{.name = "address",
	 .type = FIELD_STRING,
	 FIELD_AT(struct vm_port, address)},
	{.name = "host", .type = FIELD_INTEGER, FIELD_AT(struct vm_port, host)},
	{.name = "guest",
	 .type = FIELD_INTEGER,
	 FIELD_AT(struct vm_port, guest)},
};

static const struct field_table port_table =
	FIELD_TABLE("a port", struct vm_port, port_fields);

static const struct field port_element = {
	.name = "a port",
	.type = FIELD_OBJECT,
	.nested = &port_table,
	.size = sizeof(struct vm_port),
};

const struct field vm_server_element = {
	.name = "a name server",
	.type = FIELD_STRING,
	.max = VM_ADDRESS_MAX,
	.size = sizeof(char *),
};

#define TEXT(label, member)    \
	{.name = (label),      \
	 .type = FIELD_STRING, \
	 FIELD_AT(struct vm_state, member)}
#define NUMBER(label, member)   \
	{.name = (label),       \
	 .type = FIELD_INTEGER, \
	 FIELD_AT(struct vm_state, member)}
#define FLAG(label, member) \
	{.name = (label), .type = FIELD_BOOL, FIELD_AT(struct vm_state, member)}
#define PROCESS(label, member)     \
	{.name = (label),          \
	 .type = FIELD_OBJECT,     \
	 .nested = &process_table, \
	 FIELD_AT(struct vm_state, member)}

/* As the state has them, whoever reads it. */
const char *const cell_words[] = {"none", "filters", "userns", "uid", NULL};

static const struct field state_fields[] = {
	TEXT("name", name),
	TEXT("id", id),
	TEXT("disk_dir", disk_dir),
	TEXT("image", image),
	TEXT("digest", digest),
	TEXT("command", command),
	TEXT("error", error),
	TEXT("tap", tap),
	TEXT("stop_signal", stop_signal),
	PROCESS("shim", shim),
	PROCESS("monitor", monitor),
	{.name = "stage",
	 .type = FIELD_WORD,
	 .words = stage_words,
	 FIELD_AT(struct vm_state, stage)},
	{.name = "jail",
	 .type = FIELD_WORD,
	 .words = cell_words,
	 FIELD_AT(struct vm_state, jail)},
	NUMBER("uid", uid),
	TEXT("limits", limits),
	NUMBER("created_s", created_s),
	NUMBER("ended_s", ended_s),
	NUMBER("exit_code", exit_code),
	NUMBER("vcpu_count", vcpu_count),
	NUMBER("memory_mib", memory_mib),
	FLAG("is_kept", is_kept),
	FLAG("is_detached", is_detached),
	FLAG("has_console", has_console),
	{.name = "dns",
	 .type = FIELD_ARRAY,
	 .element = &vm_server_element,
	 .max = VM_SERVERS_MAX,
	 FIELD_AT(struct vm_state, dns)},
	{.name = "ports",
	 .type = FIELD_ARRAY,
	 .element = &port_element,
	 .max = VM_PORTS_MAX,
	 FIELD_AT(struct vm_state, ports)},
};

static const struct field_table state_table =
	FIELD_TABLE("state.json", struct vm_state, state_fields);

/* ---- where -------------------------------------------------------------- */

const char *vm_path(const struct vm *vm, const char *file,
		    char out[VM_PATH_MAX])
{
	/* place_runtime() has seen to it that it fits. */
	int n = snprintf(out, VM_PATH_MAX, "%s/%s", vm->dir, file);

	if (n >= VM_PATH_MAX)
		out[0] = '\0';
	return out;
}

const char *vm_disk_path(const struct vm *vm, const char *file,
			 char out[PATH_MAX])
{
	if (!vm->state.disk_dir ||
	    snprintf(out, PATH_MAX, "%s/%s", vm->state.disk_dir, file) >=
		    PATH_MAX)
		out[0] = '\0';
	return out;
}

#define LETTERS                      \
	"abcdefghijklmnopqrstuvwxyz" \
	"ABCDEFGHIJKLMNOPQRSTUVWXYZ" \
	"0123456789"

int vm_check_name(const char *name, struct err *e)
{
	const size_t len = strlen(name);

	/* Nor a path that leads elsewhere, nor a file that ls hides. */
	if (len && len <= VM_NAME_MAX && strspn(name, LETTERS "_.-") == len &&
	    !strchr("_.-", *name))
		return 0;
	return err_set(e, -EINVAL,
		       "'%.60s' is no name of a microVM: 1 to %d letters, "
		       "digits, hyphens, underscores and dots, the first of "
		       "them a letter or a digit",
		       name, VM_NAME_MAX);
}

const char *vm_monitor_id(const char *name, char out[VM_ID_SIZE])
{
	uint32_t hash = 2166136261;
	size_t i, n;

	n = (size_t)snprintf(out, VM_ID_SIZE, "%.*s", VM_NAME_MAX, name);
	for (i = 0; i < n; i++) {
		/* FNV-1a; nobody but ourselves could want two to be one. */
		hash = (hash ^ (unsigned char)name[i]) * 16777619;
		if (strchr("_.", out[i]))
			out[i] = '-';
	}
	if (strcspn(name, "_.") < n)
		snprintf(out + n, VM_ID_SIZE - n, "-%08x", hash);
	return out;
}

static int set_dir(struct vm *vm, const char *name, struct err *e)
{
	char root[VM_PATH_MAX];
	int rc = vm_check_name(name, e);

	if (!rc)
		rc = place_runtime(root, sizeof(root), e);
	if (rc)
		return rc;
	if (snprintf(vm->dir, sizeof(vm->dir), "%s/%s", root, name) >=
	    (int)sizeof(vm->dir))
		return err_set(e, -ENAMETOOLONG, "%s/%s is too long", root,
			       name);
	return 0;
}

/* ---- making and reading ------------------------------------------------- */

static int create_named(struct vm *vm, struct err *e)
{
	int rc = set_dir(vm, vm->state.name, e);

	if (rc)
		return rc;
	if (!mkdir(vm->dir, 0700))
		return 0;
	if (errno != EEXIST)
		return err_errno(e, "can't make %s", vm->dir);
	return err_set(e, -EEXIST,
		       "there is a microVM named %s already; remove it with "
		       "`mayctl rm %s` or choose another --name",
		       vm->state.name, vm->state.name);
}

static int create_nameless(struct vm *vm, struct err *e)
{
	unsigned char random[6];
	int i, rc = -EEXIST;

	for (i = 0; rc == -EEXIST && i < NAME_TRIES; i++) {
		free(vm->state.name);
		vm->state.name = NULL;
		if (getrandom(random, sizeof(random), 0) != sizeof(random) ||
		    asprintf(&vm->state.name, "vm-%02x%02x%02x%02x%02x%02x",
			     random[0], random[1], random[2], random[3],
			     random[4], random[5]) < 0)
			return err_set(e, -ENOMEM, "can't make up a name");
		rc = create_named(vm, e);
	}
	return rc;
}

/* Whether fd is of the directory that has the name now. */
static bool is_dir(int fd, const char *path)
{
	struct stat ours, now;

	return !fstat(fd, &ours) && !lstat(path, &now) &&
	       ours.st_ino == now.st_ino && ours.st_dev == now.st_dev;
}

/*
 * Takes the lock that says a microVM is looked after; flags may be LOCK_NB:
 * -EBUSY where it is. Programs that we run have it, too: one that outlives us
 * may still be making what another would already be looking for.
 */
static int own(struct vm *vm, int flags)
{
	CLEAN_FD int fd = open(vm->dir, O_RDONLY | O_DIRECTORY | O_NOFOLLOW);

	if (fd < 0)
		return -errno;
	if (flock(fd, LOCK_EX | flags))
		return errno == EWOULDBLOCK ? -EBUSY : -errno;
	if (!is_dir(fd, vm->dir))
		return -ENOENT;
	vm->owner_fd = fd_steal(&fd);
	return 0;
}

/*
 * How it ended is what people want to know of a microVM when its host's memory
 * is full, too: room for that is set aside while there is some.
 */
static int reserve(const struct vm *vm, struct err *e)
{
	char path[VM_PATH_MAX];
	CLEAN_FD int fd = open(vm_path(vm, RESERVE_FILE, path),
			       O_WRONLY | O_CREAT | O_CLOEXEC, 0600);

	if (fd < 0)
		return err_errno(e, "can't write %s", path);
	if (fallocate(fd, FALLOC_FL_KEEP_SIZE, 0, RESERVE_BYTES) &&
	    errno != EOPNOTSUPP)
		return err_errno(e, "no room for a microVM's state in %s",
				 vm->dir);
	return 0;
}

static int make_disk_dir(struct vm *vm, struct err *e)
{
	char root[PATH_MAX];
	uint64_t random;
	int rc = place_disk(root, sizeof(root), e);

	if (rc)
		return rc;
	if (getrandom(&random, sizeof(random), 0) != sizeof(random) ||
	    asprintf(&vm->state.id, "%016llx", (unsigned long long)random) <
		    0 ||
	    asprintf(&vm->state.disk_dir, "%s/%s", root, vm->state.id) < 0)
		return err_set(e, -ENOMEM, "no memory for a microVM");
	/* Told before it is made, so that it can't be forgotten. */
	rc = vm_save(vm, e);
	if (!rc && mkdir(vm->state.disk_dir, 0700))
		rc = err_errno(e, "can't make %s", vm->state.disk_dir);
	return rc;
}

/*
 * The directory, and the lock on it. Who looks for what the dead have left may
 * take it for that in the moment between, and take it away.
 */
static int create_owned(struct vm *vm, struct err *e)
{
	int i, rc = -ENOENT;

	for (i = 0; rc == -ENOENT && i < NAME_TRIES; i++) {
		rc = vm->state.name ? create_named(vm, e)
				    : create_nameless(vm, e);
		if (rc)
			return rc;
		/* Somebody may be looking whether it has an owner. */
		rc = own(vm, 0);
	}
	return rc ? err_set(e, rc, "can't lock %s: %s", vm->dir, strerror(-rc))
		  : 0;
}

int vm_create(struct vm *vm, struct err *e)
{
	struct timespec now;
	int rc = create_owned(vm, e);

	if (rc)
		return rc;
	clock_gettime(CLOCK_REALTIME, &now);
	vm->state.created_s = (uint64_t)now.tv_sec;
	/* Until there is a shim, this process answers for it. */
	vm->state.shim = vm_process_of(getpid());
	vm->state.stage = VM_CREATED;
	rc = reserve(vm, e);
	if (!rc)
		rc = make_disk_dir(vm, e);
	if (rc)
		vm_remove(vm, NULL);
	return rc;
}

void vm_disown(struct vm *vm)
{
	fd_close(&vm->owner_fd);
}

bool vm_is_owned(const struct vm *vm)
{
	struct vm look = *vm;

	look.owner_fd = -1;
	if (own(&look, LOCK_NB) == -EBUSY)
		return true;
	fd_close(&look.owner_fd);
	return false;
}

int vm_adopt(struct vm *vm, const char *name, unsigned wait_ms, struct err *e)
{
	const struct timespec pause = {.tv_nsec = RETRY_NS};
	const unsigned tries = 1 + wait_ms / (RETRY_NS / 1000000);
	int rc = -EBUSY, owner;
	unsigned i;

	*vm = (struct vm){0};
	if (set_dir(vm, name, e))
		return -EINVAL;
	for (i = 0; i < tries && rc == -EBUSY; i++) {
		if (i)
			nanosleep(&pause, NULL);
		rc = own(vm, LOCK_NB);
	}
	if (rc)
		return err_set(e, rc,
			       rc == -EBUSY ? "%s is looked after by its shim, "
					      "which does not end"
					    : "there is no microVM named %s",
			       name);
	/* As it is now that nobody else can change it. */
	owner = fd_steal(&vm->owner_fd);
	rc = vm_load(vm, name, e);
	vm->owner_fd = owner;
	return rc;
}

/*
 * A shim that was killed in the moment between the monitor's start and the
 * state that tells of it: the monitor has written down who it is.
 */
static void find_monitor(struct vm *vm)
{
	struct vm_process process = {0};
	char path[VM_PATH_MAX], *text = NULL;

	if (vm->state.stage != VM_CREATED ||
	    vm_process_is_alive(&vm->state.shim) ||
	    process_read_file(vm_path(vm, "monitor.pid", path), 64, &text,
			      NULL))
		return;
	if (sscanf(text, "%" SCNu32 " %" SCNu64, &process.pid,
		   &process.start) == 2) {
		vm->state.monitor = process;
		vm->state.stage = VM_STARTED;
	}
	free(text);
}

int vm_load(struct vm *vm, const char *name, struct err *e)
{
	char path[VM_PATH_MAX], *text = NULL;
	json_t *json = NULL;
	struct stat st;
	int rc;

	*vm = (struct vm){0};
	rc = set_dir(vm, name, e);
	if (rc)
		return rc;
	if (lstat(vm->dir, &st) || !S_ISDIR(st.st_mode))
		return err_set(e, -ENOENT,
			       "there is no microVM named %s; `mayctl ps -a` "
			       "lists them",
			       name);
	rc = process_read_file(vm_path(vm, VM_STATE_FILE, path), STATE_MAX,
			       &text, e);
	if (!rc)
		json = json_parse(text, strlen(text), e);
	rc = json ? json_bind(json, &state_table, &vm->state, NULL, e)
		  : -EBADMSG;
	json_decref(json);
	free(text);
	/* The directory's name is the name, whatever is in it. */
	free(vm->state.name);
	vm->state.name = strdup(name);
	if (!vm->state.name)
		return err_set(e, -ENOMEM, "no memory for a name");
	if (rc)
		err_context(e, "%s/state.json", vm->dir);
	find_monitor(vm);
	return rc;
}

/* The room that reserve() has set aside becomes the state. */
static int save_in_reserve(const struct vm *vm, const char *text, int why,
			   struct err *e)
{
	char reserved[VM_PATH_MAX], path[VM_PATH_MAX];
	CLEAN_FD int fd =
		open(vm_path(vm, RESERVE_FILE, reserved), O_WRONLY | O_CLOEXEC);

	if (fd < 0 || fd_pwrite(fd, text, strlen(text), 0) ||
	    rename(reserved, vm_path(vm, VM_STATE_FILE, path)))
		return why;
	if (e)
		*e = (struct err){0};
	/* Of what the old state has given back, where nobody was quicker. */
	(void)reserve(vm, NULL);
	return 0;
}

int vm_write_json(const struct vm *vm, const char *file, json_t *json,
		  struct err *e)
{
	char *text = json ? json_dumps(json, JSON_COMPACT) : NULL;
	char path[VM_PATH_MAX];
	int rc;

	json_decref(json);
	if (!text)
		return err_set(e, -ENOMEM, "no memory for %s", file);
	rc = process_write_file(vm_path(vm, file, path), text, e);
	free(text);
	return rc;
}

int vm_save(const struct vm *vm, struct err *e)
{
	json_t *json = json_dump(&state_table, &vm->state);
	char *text = json ? json_dumps(json, JSON_INDENT(2)) : NULL;
	char path[VM_PATH_MAX];
	int rc;

	json_decref(json);
	if (!text)
		return err_set(e, -ENOMEM, "no memory for the state of %s",
			       vm->state.name);
	rc = process_write_file(vm_path(vm, VM_STATE_FILE, path), text, e);
	if (rc == -ENOSPC || rc == -EDQUOT)
		rc = save_in_reserve(vm, text, rc, e);
	free(text);
	return rc;
}

json_t *vm_dump(const struct vm *vm)
{
	json_t *json = json_dump(&state_table, &vm->state);

	if (json)
		json_object_set_new(json, "status",
				    json_string(vm_status_word(vm_status(vm))));
	return json;
}

int vm_set_servers(struct field_array *dns, const char *const *list,
		   struct err *e)
{
	char **items = calloc(VM_SERVERS_MAX, sizeof(*items));

	*dns = (struct field_array){.items = items};
	for (; items && list && *list && dns->count < VM_SERVERS_MAX; list++) {
		items[dns->count] = strdup(*list);
		if (!items[dns->count++])
			items = NULL;
	}
	return items ? 0 : err_set(e, -ENOMEM, "no memory for name servers");
}

void vm_fini(struct vm *vm)
{
	vm_disown(vm);
	json_unbind(&state_table, &vm->state);
}

/* ---- who is alive ------------------------------------------------------- */

enum vm_status vm_status(const struct vm *vm)
{
	if (vm->state.stage == VM_ENDED)
		return VM_EXITED;
	if (vm_process_is_alive(&vm->state.monitor))
		return VM_RUNNING;
	if (vm->state.stage == VM_CREATED && vm_is_owned(vm))
		return VM_STARTING;
	return VM_DEAD;
}

const char *vm_status_word(enum vm_status status)
{
	static const char *const words[] = {"starting", "running", "exited",
					    "dead"};

	return words[status];
}

/* ---- all of them -------------------------------------------------------- */

static int is_vm(const struct dirent *entry)
{
	return entry->d_name[0] != '.' && !vm_check_name(entry->d_name, NULL);
}

int vm_each(int (*each)(struct vm *vm, void *context), void *context,
	    struct err *e)
{
	struct dirent **entries = NULL;
	char root[VM_PATH_MAX];
	int i, count, rc;

	rc = place_runtime(root, sizeof(root), e);
	if (rc)
		return rc;
	count = scandir(root, &entries, is_vm, alphasort);
	if (count < 0)
		return err_errno(e, "can't read %s", root);
	for (i = 0; i < count; i++) {
		struct vm vm;
		int loaded = vm_load(&vm, entries[i]->d_name, NULL);

		/* It may have gone meanwhile. */
		if (!rc && (!loaded || (loaded != -ENOENT && vm.state.name)))
			rc = each(&vm, context);
		vm_fini(&vm);
		free(entries[i]);
	}
	free(entries);
	return rc;
}
