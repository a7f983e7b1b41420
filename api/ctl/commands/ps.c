/* mayctl ps and inspect: what there is, by asking the kernel who is alive. */
#include <jansson.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "api/ctl/commands/ctl.h"
#include "api/ctl/commands/docker.h"
#include "api/ctl/commands/show.h"
#include "api/ctl/vm/cell.h"
#include "api/ctl/vm/orphan.h"
#include "api/ctl/vm/vm.h"
#include "vmm/base/args.h"

struct listing {
	bool has_all;
	bool is_json;
	bool is_quiet; /* names alone */
	bool is_whole; /* nothing is cut */
	json_t *json;  /* NULL: a table */
};

static void format_age(uint64_t since_s, char out[32])
{
	static const struct {
		uint64_t seconds;
		const char *unit;
	} units[] = {{86400, "d"}, {3600, "h"}, {60, "min"}, {1, "s"}};
	const uint64_t now = (uint64_t)time(NULL);
	const uint64_t age = now > since_s ? now - since_s : 0;
	unsigned i = 0;

	while (i < 3 && age < 2 * units[i].seconds)
		i++;
	snprintf(out, 32, "%llu %s",
		 (unsigned long long)(age / units[i].seconds), units[i].unit);
}

static void format_status(const struct vm *vm, enum vm_status status,
			  char out[32])
{
	if (status == VM_EXITED)
		snprintf(out, 32, "exited (%u)", vm->state.exit_code);
	else
		snprintf(out, 32, "%s", vm_status_word(status));
}

static void format_ports(const struct vm_state *s, char *out, size_t size)
{
	const struct vm_port *ports = s->ports.items;
	size_t len = 0;
	uint32_t i;

	*out = '\0';
	for (i = 0; i < s->ports.count && len < size; i++)
		len += (size_t)snprintf(out + len, size - len,
					strchr(ports[i].address, ':')
						? "%s[%s]:%u->%u"
						: "%s%s:%u->%u",
					i ? ", " : "", ports[i].address,
					ports[i].host, ports[i].guest);
}

static void format_jail(const struct vm_state *s, char out[16])
{
	if (s->jail == CELL_UID)
		snprintf(out, 16, "%u", s->uid);
	else
		snprintf(out, 16, "%s", cell_words[s->jail]);
}

/* Text of a file that might hold anything, for a terminal. */
static void print_text(const char *text, int width, bool is_whole)
{
	int n = 0;

	for (; text && *text && (is_whole || n < width); text++, n++)
		putchar(*text >= ' ' && *text < 127 ? *text : '?');
	printf("%*s  ", n < width ? width - n : 0, "");
}

static int list_one(struct vm *vm, void *context)
{
	struct listing *l = context;
	const enum vm_status status = vm_status(vm);
	char age[32], word[32], jail[16], ports[200];

	if (!l->has_all && status == VM_EXITED)
		return 0;
	if (l->json)
		return json_array_append_new(l->json, vm_dump(vm));
	if (l->is_quiet) {
		puts(vm->state.name);
		return 0;
	}
	format_age(vm->state.created_s, age);
	format_status(vm, status, word);
	format_ports(&vm->state, ports, sizeof(ports));
	print_text(vm->state.name, 20, l->is_whole);
	print_text(vm->state.image, 24, l->is_whole);
	print_text(vm->state.command, 24, l->is_whole);
	format_jail(&vm->state, jail);
	printf("%-9s %-13s %-10s %s\n", age, word, jail, ports);
	return 0;
}

int ctl_ps(int argc, char **argv)
{
	static const struct arg table[] = {
		{"all", .offset = offsetof(struct listing, has_all),
		 .letter = 'a'},
		{"json", .offset = offsetof(struct listing, is_json)},
		{"quiet", .offset = offsetof(struct listing, is_quiet),
		 .letter = 'q'},
		{"no-trunc", .offset = offsetof(struct listing, is_whole)},
	};
	struct args a = ARGS(table, 0, argc, argv);
	struct listing l = {0};
	struct err e = {0};
	enum args_found found;

	while ((found = args_next(&a))) {
		if (found != ARGS_OPTION || args_set(&a, &l, &e)) {
			docker_complain("ps", a.word);
			return CTL_USAGE;
		}
	}
	orphan_sweep();
	if (l.is_json)
		l.json = json_array();
	if (!l.json && !l.is_quiet)
		printf("%-20s  %-24s  %-24s  %-9s %-13s %-10s %s\n", "NAME",
		       "IMAGE", "COMMAND", "CREATED", "STATUS", "JAIL",
		       "PORTS");
	if (vm_each(list_one, &l, &e)) {
		ctl_complain("%s", e.text);
		json_decref(l.json);
		return CTL_REFUSED;
	}
	if (l.json)
		(void)show_json(l.json, JSON_INDENT(2), stdout);
	json_decref(l.json);
	return CTL_OK;
}

static int inspect_one(const char *name, json_t *all)
{
	char path[VM_PATH_MAX];
	struct err e = {0};
	struct vm vm;
	json_t *json, *config;

	if (vm_load(&vm, name, &e)) {
		ctl_complain("%s", e.text);
		vm_fini(&vm);
		return CTL_REFUSED;
	}
	json = vm_dump(&vm);
	config = json_load_file(vm_path(&vm, "config.json", path), 0, NULL);
	json_object_set_new(json, "directory", json_string(vm.dir));
	json_object_set_new(json, "api_socket",
			    json_string(vm_path(&vm, "api.sock", path)));
	json_object_set_new(json, "config", config ? config : json_null());
	json_array_append_new(all, json);
	vm_fini(&vm);
	return CTL_OK;
}

int ctl_inspect(int argc, char **argv)
{
	int i, code = CTL_OK;
	json_t *all;

	if (argc > 1 && argv[1][0] == '-') {
		docker_complain("inspect", argv[1]);
		return CTL_USAGE;
	}
	if (argc < 2) {
		ctl_complain("inspect needs the name of a microVM; `mayctl ps "
			     "-a` lists them");
		return CTL_USAGE;
	}
	orphan_sweep();
	all = json_array();
	for (i = 1; i < argc; i++)
		if (inspect_one(argv[i], all))
			code = CTL_REFUSED;
	(void)show_json(all, JSON_INDENT(2), stdout);
	json_decref(all);
	return code;
}
