/* mayctl: finds the command and its words of help. */
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "api/ctl/ctl.h"
#include "api/options.h"

static const struct {
	const char *name;
	int (*run)(int argc, char **argv);
	const char *help;
} commands[] = {
	{"api", ctl_api,
	 "api METHOD PATH [JSON] [--socket PATH]\n"
	 "      sends one request to a monitor and prints the answer"},
	{"status", ctl_status,
	 "status [--socket PATH]\n"
	 "      says what a monitor's microVM is and does"},
	{"boot", ctl_boot,
	 "boot --kernel FILE [--initrd FILE] [--drive FILE[:ro]]... [--cpus N]\n"
	 "       [--memory MIB] [--args TEXT] [--monitor FILE]\n"
	 "      boots a microVM on this terminal and says how long it took;\n"
	 "      without an initrd the first drive is the root; Ctrl-] ends it"},
	{"ps", ctl_ps,
	 "ps [-a] [--json]\n"
	 "      lists microVMs, with -a also those that have ended"},
	{"inspect", ctl_inspect,
	 "inspect NAME...\n"
	 "      prints all that is known of a microVM, as JSON"},
	{"logs", ctl_logs,
	 "logs [-f] [-t] NAME\n"
	 "      prints what a container of `run -d` wrote; -f goes on, -t tells\n"
	 "      the time"},
	{"image", ctl_image,
	 "image import REF [--name NAME] [--quiet]\n"
	 "  image ls [--json] | rm NAME... | gc | inspect NAME\n"
	 "      makes images to run out of container images, and keeps them;\n"
	 "      REF is docker://HOST/NAME:TAG, oci:PATH[:TAG], oci-archive:FILE,\n"
	 "      docker-archive:FILE, or a path: one of these, or a root file\n"
	 "      system as a folder or tar"},
};

enum { COMMANDS = sizeof(commands) / sizeof(commands[0]) };

void ctl_complain(const char *fmt, ...)
{
	va_list ap;

	fputs("mayctl: ", stderr);
	va_start(ap, fmt);
	vfprintf(stderr, fmt, ap);
	va_end(ap);
	fputc('\n', stderr);
}

const char *ctl_option(int argc, char **argv, int *at, const char *name)
{
	const char *arg = argv[*at];
	const size_t len = strlen(name);

	if (strncmp(arg, name, len) != 0)
		return NULL;
	if (arg[len] == '=')
		return arg + len + 1;
	if (arg[len])
		return NULL;
	return *at + 1 < argc ? argv[++*at] : "";
}

static void help(FILE *to)
{
	unsigned i;

	fprintf(to, "usage: mayctl COMMAND [ARGUMENTS]\n\n");
	for (i = 0; i < COMMANDS; i++)
		fprintf(to, "  %s\n", commands[i].help);
	fprintf(to,
		"  --help, --version\n\n"
		"The socket is %s unless --socket says otherwise.\n"
		"Ends with 0, 1 where the monitor refused, 2 for wrong "
		"arguments, 3 where\nnobody listens at the socket; boot ends "
		"as its monitor does.\n",
		CTL_SOCKET);
}

int main(int argc, char **argv)
{
	unsigned i;

	if (argc < 2) {
		help(stderr);
		return CTL_USAGE;
	}
	if (!strcmp(argv[1], "--help")) {
		help(stdout);
		return CTL_OK;
	}
	if (!strcmp(argv[1], "--version")) {
		printf("mayctl v%s\n", MAYFLY_VERSION);
		return CTL_OK;
	}
	for (i = 0; i < COMMANDS; i++)
		if (!strcmp(argv[1], commands[i].name))
			return commands[i].run(argc - 1, argv + 1);
	ctl_complain("there is no command '%s'; --help lists them", argv[1]);
	return CTL_USAGE;
}
