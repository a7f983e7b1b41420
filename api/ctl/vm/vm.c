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
#include <sys/random.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "api/ctl/base/process.h"
#include "api/ctl/base/tree.h"
#include "api/ctl/vm/cell.h"
#include "vmm/base/fd.h"

enum { STATE_MAX = 1 << 20, NAME_TRIES = 16 };

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

static const struct field state_fields[] = {
	TEXT("name", name),
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
	{.name = "ports",
	 .type = FIELD_ARRAY,
	 .element = &port_element,
	 .max = VM_PORTS_MAX,
	 FIELD_AT(struct vm_state, ports)},
};

static const struct field_table state_table =
	FIELD_TABLE("state.json", struct vm_state, state_fields);

/* ---- where -------------------------------------------------------------- */

/* Makes the folder of all microVMs where it is missing. */
static int root_dir(char *out, size_t size, struct err *e)
{
	const char *runtime = getenv("XDG_RUNTIME_DIR");
	struct stat st;
	int n;

	if (runtime && *runtime == '/')
		n = snprintf(out, size, "%s/mayfly", runtime);
	else if (geteuid() == 0)
		n = snprintf(out, size, "/run/mayfly");
	else
		return err_set(e, -ENOENT,
			       "there is no place for microVMs: set "
			       "XDG_RUNTIME_DIR to a directory of yours");
	/* Room for a name and for the longest socket below it. */
	if (n < 0 || (size_t)n + VM_NAME_MAX + 20 > size)
		return err_set(e, -ENAMETOOLONG,
			       "%s is too long a path for the sockets of "
			       "microVMs; set XDG_RUNTIME_DIR to a shorter one",
			       runtime);
	if (mkdir(out, 0700) && errno != EEXIST)
		return err_errno(e, "can't make %s", out);
	/* Others must not be able to put directories there. */
	if (lstat(out, &st))
		return err_errno(e, "can't look at %s", out);
	if (!S_ISDIR(st.st_mode) || st.st_uid != geteuid() || st.st_mode & 0022)
		return err_set(e, -EPERM,
			       "%s is not a directory that only you can write "
			       "to; remove it or set XDG_RUNTIME_DIR",
			       out);
	return 0;
}

const char *vm_path(const struct vm *vm, const char *file,
		    char out[VM_PATH_MAX])
{
	/* root_dir() has seen to it that it fits. */
	int n = snprintf(out, VM_PATH_MAX, "%s/%s", vm->dir, file);

	if (n >= VM_PATH_MAX)
		out[0] = '\0';
	return out;
}

int vm_check_name(const char *name, struct err *e)
{
	static const char allowed[] = "abcdefghijklmnopqrstuvwxyz"
				      "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
				      "0123456789-";
	const size_t len = strlen(name);

	if (len && len <= VM_NAME_MAX && *name != '-' &&
	    strspn(name, allowed) == len)
		return 0;
	return err_set(e, -EINVAL,
		       "'%.60s' is no name of a microVM: 1 to %d letters, "
		       "digits and hyphens, no hyphen first",
		       name, VM_NAME_MAX);
}

static int set_dir(struct vm *vm, const char *name, struct err *e)
{
	char root[VM_PATH_MAX];
	int rc = vm_check_name(name, e);

	if (!rc)
		rc = root_dir(root, sizeof(root), e);
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

int vm_create(struct vm *vm, struct err *e)
{
	struct timespec now;
	int rc = vm->state.name ? create_named(vm, e) : create_nameless(vm, e);

	if (rc)
		return rc;
	clock_gettime(CLOCK_REALTIME, &now);
	vm->state.created_s = (uint64_t)now.tv_sec;
	/* Until there is a shim, this process answers for it. */
	vm->state.shim = vm_process_of(getpid());
	vm->state.stage = VM_CREATED;
	rc = vm_save(vm, e);
	if (rc)
		vm_remove(vm, NULL);
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
	rc = process_read_file(vm_path(vm, "state.json", path), STATE_MAX,
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
	rc = process_write_file(vm_path(vm, "state.json", path), text, e);
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

void vm_fini(struct vm *vm)
{
	json_unbind(&state_table, &vm->state);
}

/* ---- who is alive ------------------------------------------------------- */

struct vm_process vm_process_of(pid_t pid)
{
	struct vm_process p = {.pid = (uint32_t)pid};

	p.start = process_start_time(pid);
	return p.start ? p : (struct vm_process){0};
}

bool vm_process_is_alive(const struct vm_process *p)
{
	return p->pid && p->start &&
	       process_start_time((pid_t)p->pid) == p->start;
}

int vm_process_open(const struct vm_process *p)
{
	CLEAN_FD int fd = -1;

	if (!p->pid)
		return -ESRCH;
	fd = process_open((pid_t)p->pid);
	/* Asked after the pidfd is there: so it is one of the same process. */
	if (fd < 0 || !vm_process_is_alive(p))
		return -ESRCH;
	return fd_steal(&fd);
}

enum vm_status vm_status(const struct vm *vm)
{
	if (vm->state.stage == VM_ENDED)
		return VM_EXITED;
	if (vm_process_is_alive(&vm->state.monitor))
		return VM_RUNNING;
	if (vm->state.stage == VM_CREATED &&
	    vm_process_is_alive(&vm->state.shim))
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

	rc = root_dir(root, sizeof(root), e);
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

/* Removes the files of the directory, all or those without a later use. */
static int remove_files(const struct vm *vm, bool is_all, struct err *e)
{
	static const char *const kept[] = {"state.json",  "config.json",
					   "monitor.log", "console.log",
					   "output",	  "output.1"};
	DIR *dir = opendir(vm->dir);
	struct dirent *entry;
	unsigned i;

	if (!dir)
		return err_errno(e, "can't open %s", vm->dir);
	while ((entry = readdir(dir))) {
		const char *name = entry->d_name;

		for (i = 0; !is_all && i < sizeof(kept) / sizeof(kept[0]); i++)
			if (!strcmp(name, kept[i]))
				name = ".";
		if (strcmp(name, ".") != 0 && strcmp(name, "..") != 0)
			(void)tree_remove(dirfd(dir), name, 0, NULL);
	}
	closedir(dir);
	return 0;
}

/* ---- places without a name ---------------------------------------------- */

#define PLACE ".place-"

int vm_make_place(struct vm *vm, struct err *e)
{
	char root[VM_PATH_MAX];
	int rc = root_dir(root, sizeof(root), e);

	if (rc)
		return rc;
	/* A pid has no two processes; what one before it left is in the way. */
	if (snprintf(vm->dir, sizeof(vm->dir), "%s/" PLACE "%d", root,
		     getpid()) >= (int)sizeof(vm->dir))
		return err_set(e, -ENAMETOOLONG, "%s is too long", root);
	(void)vm_remove(vm, NULL);
	if (mkdir(vm->dir, 0700))
		return err_errno(e, "can't make %s", vm->dir);
	return 0;
}

static int is_place(const struct dirent *entry)
{
	return !strncmp(entry->d_name, PLACE, sizeof(PLACE) - 1);
}

void vm_sweep(void)
{
	struct dirent **entries = NULL;
	char root[VM_PATH_MAX];
	struct vm vm = {0};
	int i, count;

	cell_sweep();
	if (root_dir(root, sizeof(root), NULL))
		return;
	count = scandir(root, &entries, is_place, NULL);
	for (i = 0; i < count; i++) {
		const int pid = atoi(entries[i]->d_name + sizeof(PLACE) - 1);

		if (pid > 0 && !process_start_time(pid) &&
		    snprintf(vm.dir, sizeof(vm.dir), "%s/%.32s", root,
			     entries[i]->d_name) < (int)sizeof(vm.dir))
			(void)vm_remove(&vm, NULL);
		free(entries[i]);
	}
	free(entries);
}

void vm_forget(const struct vm *vm)
{
	(void)remove_files(vm, false, NULL);
}

int vm_remove(const struct vm *vm, struct err *e)
{
	int rc = remove_files(vm, true, e);

	if (!rc && !rmdir(vm->dir))
		return 0;
	/* Somebody was quicker. */
	if (access(vm->dir, F_OK) && errno == ENOENT)
		return 0;
	return rc ? rc : err_errno(e, "can't remove %s", vm->dir);
}
