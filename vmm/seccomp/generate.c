/*
 * generate c|json: runs when mayfly is built. Writes programs.c, or the tables
 * as the JSON policy that --seccomp-filter takes (docs/security.md).
 */
#include <inttypes.h>
#include <seccomp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "vmm/seccomp/compile.h"

enum { NUMBERS = 512 };

static int write_program(enum filter_kind kind)
{
	const struct rules *all[FILTERS], *parts[FILTERS];
	struct sock_fprog program;
	struct err e = {0};
	unsigned i;

	for (i = 0; i < FILTERS; i++)
		all[i] = &rules_tables[i];
	if (compile_rules(parts, compile_tables(kind, all, parts), &program,
			  &e)) {
		fprintf(stderr, "generate: %s\n", e.text);
		return 1;
	}
	printf("static const struct sock_filter program_%u[] = {\n",
	       (unsigned)kind);
	for (i = 0; i < program.len; i++)
		printf("\t{0x%04x, %u, %u, 0x%08x},\n",
		       (unsigned)program.filter[i].code,
		       (unsigned)program.filter[i].jt,
		       (unsigned)program.filter[i].jf, program.filter[i].k);
	printf("};\n\n");
	free(program.filter);
	return 0;
}

static void write_programs(void)
{
	unsigned i;

	printf("const struct sock_filter *const programs[FILTERS] = {\n");
	for (i = 0; i < FILTERS; i++)
		printf("\tprogram_%u,\n", i);
	printf("};\n\nconst uint16_t program_lengths[FILTERS] = {\n");
	for (i = 0; i < FILTERS; i++)
		printf("\tsizeof(program_%u) / sizeof(program_%u[0]),\n", i, i);
	printf("};\n\n");
}

static void write_names(void)
{
	unsigned at[NUMBERS] = {0}, end = 1, i;

	printf("const char call_name_text[] = \"\\0\"\n");
	for (i = 0; i < NUMBERS; i++) {
		char *name =
			seccomp_syscall_resolve_num_arch(FILTER_ARCH, (int)i);

		if (!name)
			continue;
		at[i] = end;
		end += (unsigned)strlen(name) + 1;
		printf("\t\"%s\\0\"\n", name);
		free(name);
	}
	printf(";\n\nconst uint16_t call_names[] = {\n");
	for (i = 0; i < NUMBERS; i++)
		printf("\t%u,\n", at[i]);
	printf("};\n\nconst unsigned call_name_count = %d;\n", NUMBERS);
}

static int write_c(void)
{
	unsigned i;

	printf("/* Made by vmm/seccomp/generate.c from rules.c. */\n"
	       "#include \"vmm/seccomp/programs.h\"\n\n");
	for (i = 0; i < FILTERS; i++)
		if (write_program(i))
			return 1;
	write_programs();
	write_names();
	return 0;
}

static void write_rule(const struct rule *r, const char *before)
{
	unsigned i;

	printf("%s\n    {\"syscall\": \"%s\"", before, r->name);
	for (i = 0; i < r->arg_count; i++)
		printf("%s{\"index\": %u, \"mask\": %" PRIu64
		       ", \"value\": %" PRIu64 "}%s",
		       i ? ", " : ", \"args\": [", r->args[i].index,
		       r->args[i].mask, r->args[i].value,
		       i + 1 == r->arg_count ? "]" : "");
	if (r->error)
		printf(", \"errno\": %d", r->error);
	printf(", \"comment\": \"%s\"}", r->why);
}

static void write_json(void)
{
	unsigned i, k;

	printf("{");
	for (i = 0; i < FILTERS; i++) {
		printf("%s\n  \"%s\": [", i ? "," : "", rules_tables[i].thread);
		for (k = 0; k < rules_tables[i].count; k++)
			write_rule(&rules_tables[i].rules[k], k ? "," : "");
		printf("\n  ]");
	}
	printf("\n}\n");
}

int main(int argc, char **argv)
{
	if (argc == 2 && !strcmp(argv[1], "c"))
		return write_c();
	if (argc == 2 && !strcmp(argv[1], "json")) {
		write_json();
		return 0;
	}
	fprintf(stderr, "use: generate c|json\n");
	return 2;
}
