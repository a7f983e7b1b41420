/* mayctl: finds the command and its words of help. */
#include <stdio.h>
#include <string.h>

#include "api/ctl/base/descriptors.h"
#include "api/ctl/base/signals.h"
#include "api/ctl/commands/ctl.h"
#include "api/ctl/commands/docker.h"
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
	 "       [--memory MIB] [--args TEXT] [--monitor FILE] [--no-jail]\n"
	 "      boots a microVM on this terminal and says how long it took;\n"
	 "      without an initrd the first drive is the root; Ctrl-] ends it. It\n"
	 "      can't be saved: one of run can, and one that mayfly has, by api"},
	{"bench", ctl_bench,
	 "bench [OPTIONS] BENCH...|all\n"
	 "  bench compare A.json B.json\n"
	 "      measures mayfly beside its peers, in turns, and prints medians with\n"
	 "      95 % intervals and ratios; compare says whether two runs tell the same\n"
	 "      BENCH is boot, start, restore, clone, fork, reset, run, api, block,\n"
	 "      net, vsock, density or jail; 4: too noisy to tell, 5: it can't run here\n"
	 "      --rounds N               of each (30)\n"
	 "      --seconds N              begin no round after so many\n"
	 "      --count N                microVMs at once, of density and clone (1000)\n"
	 "      --load MS                each load of block, net and vsock (500)\n"
	 "      --drive PATH             a file, directory or block device that block\n"
	 "                               reads; can be repeated\n"
	 "      --prepare COMMAND        a shell's, before each measure\n"
	 "      --json, --csv            to stdout, instead of words\n"
	 "      --html FILE              a page with plots, and earlier runs\n"
	 "      --no-history             don't remember this run\n"
	 "      --qemu PATH, --firecracker PATH, --cloud-hypervisor PATH,\n"
	 "      --kvmtool PATH, --crun PATH, --runc PATH\n"
	 "                               peers, else looked for in PATH\n"
	 "      --qemu-kernel PATH, --firecracker-kernel PATH\n"
	 "                               those they recommend, for boot"},
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
	 "      -h, --hostname NAME      else it is the name; may have a domain\n"
	 "      -e, --env NAME[=VALUE]   a variable; can be repeated\n"
	 "      --env-file FILE          variables, one a line; -e comes after them\n"
	 "      -w, --workdir PATH       where the command starts\n"
	 "      -u, --user USER[:GROUP]  names of the image, or numbers\n"
	 "      --entrypoint PROGRAM     instead of the image's; '' for none\n"
	 "      --init                   a small init before the command\n"
	 "      --idle                   that alone: start no command; exec does\n"
	 "      --stop-signal SIGNAL     instead of the image's\n"
	 "      -v, --volume SOURCE:TARGET[:ro]\n"
	 "                               a host directory, as a read-only copy made\n"
	 "                               now (EROFS), never live; a file, the same;\n"
	 "                               or a block device or a file with a file\n"
	 "                               system, as a disk; 17 directories and disks\n"
	 "                               at most, one less each with --net and --disk\n"
	 "      --mount type=bind|tmpfs,source=SOURCE,target=TARGET[,readonly]\n"
	 "                               the same, in words\n"
	 "      --tmpfs PATH[:size=SIZE,mode=MODE,uid=N,gid=N,exec,suid,ro]\n"
	 "                               memory as a directory\n"
	 "      --disk SIZE              what the container writes goes to a disk of\n"
	 "                               that size, kept while it runs; else to half\n"
	 "                               of its memory\n"
	 "      --shm-size SIZE          of /dev/shm; else half of the memory\n"
	 "      --read-only              the root can't be written to\n"
	 "      -p, --publish [ADDRESS:]HOST:GUEST\n"
	 "                               a TCP port of the host, or a range of them;\n"
	 "                               needs no network in the guest, and no root\n"
	 "      -P, --publish-all        what the image exposes, at free ports\n"
	 "      --net, --network none|nat|tap=NAME[,ip=ADDRESS/PREFIX[,gw=ADDRESS]]\n"
	 "                               the guest's network (none); nat needs root\n"
	 "      --dns ADDRESS, --dns-search DOMAIN, --dns-option OPTION\n"
	 "                               in /etc/resolv.conf\n"
	 "      --add-host NAME:ADDRESS  in /etc/hosts\n"
	 "      --cpus N                 vCPUs (1); a fraction is rounded up\n"
	 "      -m, --memory SIZE        MiB, bytes, or with k, m, g behind it (256)\n"
	 "      --ulimit NAME=SOFT[:HARD]\n"
	 "                               such as nofile=1024:4096\n"
	 "      --cap-add CAPABILITY, --cap-drop CAPABILITY\n"
	 "                               such as NET_ADMIN, or ALL\n"
	 "      --security-opt no-new-privileges\n"
	 "                               no more rights by set-id programs\n"
	 "      --pull missing|always|never\n"
	 "                               when docker://… is fetched (missing)\n"
	 "      -q, --quiet              no progress of that\n"
	 "      --timeout TIME           seconds, or with ms, s, m, h behind it\n"
	 "      --start-timeout TIME     until the guest has to have called (120)\n"
	 "      --kernel FILE            another kernel for the guest\n"
	 "      --console                keep the kernel's messages (console.log)\n"
	 "      --no-jail                the monitor runs as you, with a warning\n"
	 "      --timing                 say at the end where the time went\n"
	 "      --cold                   boot, and neither go on from a guest at\n"
	 "                               rest nor have one made\n"
	 "      three Ctrl-C kill a command that does not heed them; --platform,\n"
	 "      --restart no and --no-healthcheck are taken as docker has them"},
	{"exec", ctl_exec,
	 "exec [-d] [-i] [-t] [-e NAME[=VALUE]]... [--env-file FILE] [-w PATH]\n"
	 "       [-u USER] NAME COMMAND...\n"
	 "      runs another command in a container, as run does"},
	{"cp", ctl_cp,
	 "cp [-L, --follow-link] [-a, --archive] SOURCE|- NAME:TARGET\n"
	 "  cp [-L] NAME:SOURCE TARGET|-\n"
	 "      copies a file or a directory into a container, or out of it, by\n"
	 "      the rules of cp -R; SOURCE/. are the contents of a directory, - is\n"
	 "      a tar archive; -L follows a link SOURCE, -a keeps owners"},
	{"ps", ctl_ps,
	 "ps [-a, --all] [-q, --quiet] [--no-trunc] [--json]\n"
	 "      lists microVMs and what each is jailed by, with -a also those that\n"
	 "      have ended, with -q names alone"},
	{"inspect", ctl_inspect,
	 "inspect NAME...\n"
	 "      prints all that is known of a microVM, as JSON"},
	{"logs", ctl_logs,
	 "logs [-f, --follow] [-t, --timestamps] [-n, --tail N] [--since TIME]\n"
	 "       [--until TIME] NAME\n"
	 "      prints what a container of `run -d` wrote; -f goes on"},
	{"stop", ctl_stop,
	 "stop [-s, --signal SIGNAL] [-t, --time TIME] NAME...\n"
	 "      sends the image's stop signal, or SIGNAL, and ends the microVM after\n"
	 "      TIME (10); -1 is never"},
	{"kill", ctl_kill,
	 "kill [-s, --signal SIGNAL] NAME...\n"
	 "      sends a signal (KILL) to the container's command"},
	{"rm", ctl_rm,
	 "rm [-f, --force] [-v, --volumes] NAME...\n"
	 "      removes microVMs that have ended, with -f also others, and one that\n"
	 "      is not there is no failure; what they wrote goes with them, as -v\n"
	 "      says"},
	{"snapshot", ctl_snapshot,
	 "snapshot [--stop] [--no-sync] [--snapshot-key FILE] -o, --output DIR NAME\n"
	 "      saves a microVM that runs into a new folder: state, memory, disks;\n"
	 "      it goes on then, or ends with --stop; a key makes a tag, which\n"
	 "      restore and clone want with that key"},
	{"restore", ctl_restore,
	 "restore [OPTIONS] DIR\n"
	 "      makes a microVM of a folder that snapshot has made, as often as is\n"
	 "      wanted, each with disks, random numbers and addresses of its own,\n"
	 "      and prints its name\n"
	 "      --name NAME              else one is made up\n"
	 "      -n, --count N            so many (1), called NAME-1, NAME-2 and so on\n"
	 "      -h, --hostname NAME      else it is the name\n"
	 "      --rm                     keep nothing once it has ended\n"
	 "      -p, --publish [ADDRESS:]HOST:GUEST\n"
	 "                               a TCP port of the host\n"
	 "      --net, --network nat|tap=NAME[,ip=ADDRESS/PREFIX[,gw=ADDRESS]]\n"
	 "                               for its interface; what had nat has it again\n"
	 "      --timeout TIME           seconds, or with ms, s, m, h behind it\n"
	 "      --snapshot-key FILE      16 to 64 secret bytes; only what was saved\n"
	 "                               with them is taken; else the file that\n"
	 "                               MAYFLY_SNAPSHOT_KEY names\n"
	 "      --no-jail                the monitor runs as you, with a warning\n"
	 "      --timing                 say where the time went"},
	{"clone", ctl_clone,
	 "clone [OPTIONS] NAME|DIR\n"
	 "      the same of a microVM that runs, and goes on; its disks are copied.\n"
	 "      A folder has a / in it; the options are restore's"},
	{"fork", ctl_fork,
	 "fork [OPTIONS] NAME\n"
	 "      clones a microVM while it goes on: memory is copied beside its\n"
	 "      programs, which stand still for a moment only; the options are\n"
	 "      restore's"},
	{"mark", ctl_mark,
	 "mark NAME\n"
	 "      remembers a microVM of `run -d` as it is now"},
	{"reset", ctl_reset,
	 "reset [--keep-drives] NAME\n"
	 "      takes it back to its mark, or one that was restored to that, in\n"
	 "      place: memory and all; disks that it can write to can't be, and are\n"
	 "      kept where that is said"},
	{"serve", ctl_serve,
	 "serve [OPTIONS] NAME=IMAGE... | --config FILE\n"
	 "      answers HTTP requests to /NAME/... by a server in a microVM of IMAGE,\n"
	 "      each by one that has seen no other request\n"
	 "      --config FILE            functions, each with limits of its own, as JSON\n"
	 "      --check                  read that and find all images, and no more\n"
	 "      --listen ADDRESS         127.0.0.1:8080, [::1]:8080 or unix:PATH\n"
	 "      --mode MODE              clone of a snapshot of the server (the default),\n"
	 "                               reset to it after each request, or cold\n"
	 "      --port PORT              of the server; else the first that IMAGE exposes\n"
	 "      --stdio                  IMAGE has no server: its command is run for\n"
	 "                               each request, whose body is its stdin, and\n"
	 "                               its stdout the answer\n"
	 "      --type TYPE              of such an answer (application/octet-stream)\n"
	 "      --max N                  microVMs of a function (8)\n"
	 "      --spare N                ready before they are needed (1; cold: 0)\n"
	 "      --queue N                requests that may wait for one (64); more: 429\n"
	 "      --wait TIME              how long they may (30s); longer: 503\n"
	 "      --timeout TIME           for an answer (60s); longer: 504, and the\n"
	 "                               microVM ends\n"
	 "      --start-timeout TIME     for the server to be there (120s)\n"
	 "      --drain TIME             for answers under way at SIGTERM (30s)\n"
	 "      -m, --memory SIZE        256m, 1g (256m)\n"
	 "      --cpus N                 virtual CPUs (1)\n"
	 "      --net none|nat           whether functions reach the world (none)\n"
	 "      --no-log                 no access log on stdout\n"
	 "      --no-jail                the monitors run as you, with a warning"},
	{"image", ctl_image,
	 "image import REF [--name NAME] [--platform linux/ARCH] [--warm] [--quiet]\n"
	 "  image ls [--json] | rm NAME... | gc | inspect NAME\n"
	 "      makes images to run out of container images, and keeps them;\n"
	 "      REF is docker://HOST/NAME:TAG, oci:PATH[:TAG], oci-archive:FILE,\n"
	 "      docker-archive:FILE, or a path: one of these, or a root file\n"
	 "      system as a folder or tar; of several platforms this machine's\n"
	 "      is taken, or that of --platform; --warm makes a guest at rest as\n"
	 "      well, from which run goes on"},
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
	const char *instead;
	unsigned i;

	descriptors_init();
	signals_init();
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
	instead = docker_command(argv[1]);
	if (instead)
		ctl_complain("there is no command '%s': %s", argv[1], instead);
	else
		ctl_complain("there is no command '%s'; --help lists them",
			     argv[1]);
	return CTL_USAGE;
}
