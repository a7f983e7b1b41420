/* Starts microVMs for benches, and saves them. */
#include "api/ctl/bench/machine.h"

#include <errno.h>
#include <fcntl.h>
#include <jansson.h>
#include <limits.h>
#include <stdio.h>
#include <unistd.h>

#include "api/ctl/bench/wire.h"
#include "vmm/base/fd.h"

int machine_write_config(const char *path, const char *guest,
			 const char *letter, unsigned mib, struct err *e)
{
	json_t *config = json_pack("{s:{s:s,s:s},s:{s:i,s:i},s:[]}",
				   "boot-source", "kernel_image_path", guest,
				   "boot_args", letter, "machine-config",
				   "vcpu_count", 1, "mem_size_mib", (int)mib,
				   "drives");
	int rc = config ? json_dump_file(config, path, 0) : -1;

	json_decref(config);
	return rc ? err_errno(e, "can't write %s", path) : 0;
}

int machine_begin(struct bench_machine *m, const struct bench *b,
		  const char *letter, unsigned mib, struct err *e)
{
	char config[PATH_MAX + 16], byte;
	const char *argv[] = {b->parts->mayfly, "--api-fd", "3",
			      "--config-file",	config,	    NULL};
	struct spawn_how how = {.argv = argv, .has_out = true};
	int rc;

	*m = (struct bench_machine){0};
	snprintf(config, sizeof(config), "%s/vm.json", b->parts->scratch);
	rc = machine_write_config(config, b->parts->guest, letter, mib, e);
	if (!rc)
		rc = wire_pair(&how.listener, &m->api, e);
	if (rc)
		return rc;
	rc = spawn_begin(&m->process, &how, e);
	fd_close(&how.listener);
	if (!rc)
		rc = spawn_hear(&m->process, &byte, e);
	if (rc)
		machine_end(m);
	return rc;
}

void machine_end(struct bench_machine *m)
{
	spawn_kill(&m->process);
	fd_close(&m->api);
}

static int save(const struct bench_machine *m, const char *place, struct err *e)
{
	char body[WIRE_TEXT_MAX / 2];
	int rc, len = snprintf(body, sizeof(body),
			       "{\"snapshot_path\": \"%s.state\", "
			       "\"mem_file_path\": \"%s.mem\"}",
			       place, place);

	if (len >= (int)sizeof(body))
		return err_set(e, -ENAMETOOLONG, "%s is too long a path",
			       place);
	rc = wire_ask(m->api, "PATCH", "/vm", "{\"state\": \"Paused\"}", NULL,
		      0, e);
	return rc ? rc
		  : wire_ask(m->api, "PUT", "/snapshot/create", body, NULL, 0,
			     e);
}

int machine_saved(const struct bench *b, const char *place, unsigned mib,
		  char act, struct err *e)
{
	char memory[PATH_MAX + 16];
	struct bench_machine m;
	CLEAN_FD int fd = -1;
	int rc = machine_begin(&m, b, "W", mib, e);

	if (rc)
		return rc;
	rc = save(&m, place, e);
	machine_end(&m);
	if (rc)
		return rc;
	snprintf(memory, sizeof(memory), "%s.mem", place);
	fd = open(memory, O_WRONLY | O_CLOEXEC);
	if (fd < 0 || fd_pwrite(fd, &act, 1, MACHINE_FLAG))
		return err_errno(e, "can't write %s", memory);
	return 0;
}
