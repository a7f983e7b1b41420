/* mayctl: finds the command and its words of help. */
#include <stdio.h>
#include <string.h>

#include "api/ctl/base/descriptors.h"
#include "api/ctl/commands/ctl.h"
#include "vmm/base/version.h"

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
	{"jail", ctl_jail,
	 "jail ls [--chroot-base-dir DIR]\n"
	 "  jail rm ID|--all-dead [--force] [--chroot-base-dir DIR]\n"
	 "      lists jails below /srv/jailer or DIR, or removes them with "
	 "their\n"
	 "      cgroups: one, which has to be dead unless there is --force, or "
	 "all\n"
	 "      dead ones"},
	{"run", ctl_run,
	 "run [OPTIONS] IMAGE [COMMAND...]\n"
	 "      runs a container image in a microVM of its own and ends as its\n"
	 "      command does; 124: --timeout, 125: mayctl or the microVM failed,\n"
	 "      126, 127: no program, no such command, 128+N: signal N\n"
	 "      -i, --interactive        stdin goes to the command\n"
	 "      -t, --tty                the command has a terminal\n"
	 "      -d, --detach             go on without mayctl, which prints the name\n"
	 "      --rm                     keep nothing once it has ended\n"
	 "      --name NAME              else one is made up\n"
	 "      --hostname NAME          else it is the name\n"
	 "      -e, --env NAME[=VALUE]   a variable; can be repeated\n"
	 "      -w, --workdir PATH       where the command starts\n"
	 "      -u, --user USER[:GROUP]  names of the image, or numbers\n"
	 "      --entrypoint PROGRAM     instead of the image's\n"
	 "      -v, --volume SOURCE:TARGET[:ro]\n"
	 "                               a host directory, as a read-only copy made\n"
	 "                               now (EROFS), never live; or a block device\n"
	 "                               or a file with a file system, as a disk\n"
	 "      -p, --publish [ADDRESS:]HOST:GUEST\n"
	 "                               a TCP port of the host; needs no network\n"
	 "                               in the guest, and no root\n"
	 "      --net none|nat|tap=NAME[,ip=ADDRESS/PREFIX[,gw=ADDRESS]]\n"
	 "                               the guest's network (none); nat needs root\n"
	 "      --cpus N                 vCPUs (1)\n"
	 "      -m, --memory SIZE        MiB, or with m or g behind it (256)\n"
	 "      --timeout TIME           seconds, or with ms, s, m, h behind it\n"
	 "      --start-timeout TIME     until the guest has to have called (120)\n"
	 "      --kernel FILE            another kernel for the guest\n"
	 "      --console                keep the kernel's messages (console.log)\n"
	 "      --timing                 say at the end where the time went\n"
	 "      three Ctrl-C kill a command that does not heed them"},
	{"exec", ctl_exec,
	 "exec [-i] [-t] [-e NAME=VALUE]... [-w PATH] [-u USER] NAME COMMAND...\n"
	 "      runs another command in a container, as run does"},
	{"cp", ctl_cp,
	 "cp SOURCE NAME:TARGET\n"
	 "  cp NAME:SOURCE TARGET\n"
	 "      copies a file into a container, or out of it"},
	{"ps", ctl_ps,
	 "ps [-a, --all] [--json]\n"
	 "      lists microVMs, with -a also those that have ended"},
	{"inspect", ctl_inspect,
	 "inspect NAME...\n"
	 "      prints all that is known of a microVM, as JSON"},
	{"logs", ctl_logs,
	 "logs [-f, --follow] [-t, --timestamps] NAME\n"
	 "      prints what a container of `run -d` wrote; -f goes on"},
	{"stop", ctl_stop,
	 "stop [-t, --time TIME] NAME...\n"
	 "      sends the image's stop signal, and ends the microVM after TIME (10)"},
	{"kill", ctl_kill,
	 "kill [-s, --signal SIGNAL] NAME...\n"
	 "      sends a signal (KILL) to the container's command"},
	{"rm", ctl_rm,
	 "rm [-f, --force] NAME...\n"
	 "      removes microVMs that have ended, with -f also others"},
	{"image", ctl_image,
	 "image import REF [--name NAME] [--quiet]\n"
	 "  image ls [--json] | rm NAME... | gc | inspect NAME\n"
	 "      makes images to run out of container images, and keeps them;\n"
	 "      REF is docker://HOST/NAME:TAG, oci:PATH[:TAG], oci-archive:FILE,\n"
	 "      docker-archive:FILE, or a path: one of these, or a root file\n"
	 "      system as a folder or tar"},
};

enum { COMMANDS = sizeof(commands) / sizeof(commands[0]) };

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
		"as its monitor does, run and exec\nas their command.\n",
		CTL_SOCKET);
}

int main(int argc, char **argv)
{
	unsigned i;

	descriptors_init();
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
	for (i = 0; i < COMMANDS; i++) {
		if (strcmp(argv[1], commands[i].name) != 0)
			continue;
		if (argc == 3 && !strcmp(argv[2], "--help")) {
			printf("usage: mayctl %s\n", commands[i].help);
			return CTL_OK;
		}
		return commands[i].run(argc - 1, argv + 1);
	}
	ctl_complain("there is no command '%s'; --help lists them", argv[1]);
	return CTL_USAGE;
}
