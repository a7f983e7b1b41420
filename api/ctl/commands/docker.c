/*
 * Options and commands of docker's that mayctl refuses, and what to use
 * instead. An option that would change nothing in a microVM is taken, in
 * run_options.c; here are those that promise something we would not keep.
 */
#include "api/ctl/commands/docker.h"

#include <stddef.h>
#include <string.h>

#include "api/ctl/commands/ctl.h"

struct refusal {
	const char *command;
	const char *words; /* with blanks around each */
	const char *why;
};

static const struct refusal options[] = {
	{"run", " --privileged ",
	 "in a microVM root can have the whole machine without the host being "
	 "any the worse: --cap-add ALL gives all capabilities"},
	{"run", " --restart ",
	 "nothing of mayctl's stays to start it again: let systemd or a loop "
	 "of your shell run `mayctl run` without -d"},
	{"run", " --pid --ipc --uts --userns --cgroupns --cgroup-parent ",
	 "each microVM has a kernel and so all namespaces of its own, and none "
	 "of the host's or of another's can be lent to it; leave the option "
	 "out"},
	{"run",
	 " --device --gpus --device-cgroup-rule --device-read-bps "
	 "--device-write-bps --device-read-iops --device-write-iops "
	 "--blkio-weight --blkio-weight-device ",
	 "a microVM has no devices of the host's; a block device can be given "
	 "as a disk by -v /dev/NAME:TARGET"},
	{"run", " --link --network-alias --link-local-ip ",
	 "microVMs do not know one another by name; publish a port by -p and "
	 "give its address by --add-host NAME:ADDRESS"},
	{"run", " --ip --ip6 --mac-address ",
	 "addresses are said with the network: --net "
	 "tap=NAME,ip=ADDRESS/PREFIX,gw=ADDRESS"},
	{"run", " --volumes-from --volume-driver ",
	 "a microVM's files are its own; say -v SOURCE:TARGET for each, or "
	 "fetch them by `mayctl cp`"},
	{"run", " --storage-opt ", "--disk SIZE says how much can be written"},
	{"run",
	 " -c --cpu-shares --cpu-period --cpu-quota --cpuset-cpus "
	 "--cpuset-mems --cpu-rt-period --cpu-rt-runtime ",
	 "--cpus says how many vCPUs there are; where they run is for taskset "
	 "or a systemd scope around mayctl"},
	{"run",
	 " --memory-swap --memory-swappiness --memory-reservation "
	 "--kernel-memory --oom-kill-disable --oom-score-adj ",
	 "a microVM has the memory that -m says, all its own, and no swap"},
	{"run", " --pids-limit ",
	 "a microVM can't take pids from anybody else; --ulimit nproc=N limits "
	 "those of a user in it"},
	{"run",
	 " --health-cmd --health-interval --health-retries "
	 "--health-timeout --health-start-period "
	 "--health-start-interval ",
	 "nobody would look at it; ask by `mayctl exec NAME COMMAND`"},
	{"run", " --log-driver --log-opt ",
	 "`mayctl logs` has the last 8 to 16 MiB; without -d it all comes to "
	 "stdout and stderr, for a pipe to whatever you like"},
	{"run", " -a --attach --sig-proxy --detach-keys ",
	 "without -d the command has stdout, stderr and signals, with -i also "
	 "stdin; with -d `mayctl logs -f` shows what it writes"},
	{"run", " --group-add ",
	 "name the groups with the user: -u USER:GROUP,GROUP"},
	{"run", " --sysctl ",
	 "with --cap-add SYS_ADMIN a command can do it: `mount -o remount,rw "
	 "/proc/sys`, and write there; the kernel is the microVM's own"},
	{"run", " --cidfile ",
	 "`run -d` prints the name, and --name chooses it"},
	{"run", " --runtime --isolation ",
	 "every container of mayctl's is a microVM; leave it out"},
	{"run", " --expose ", "-p publishes a port, whatever the image says"},
	{"run", " -l --label --label-file ",
	 "nothing of mayctl's asks for --label; --name tells microVMs apart"},
	{"run", " --stop-timeout ", "`mayctl stop -t TIME` says it"},
	{"run",
	 " --disable-content-trust --domainname --annotation "
	 "--use-api-socket ",
	 "it has no meaning here; leave it out (a domain goes into --hostname)"},
	{"exec", " --privileged ",
	 "a command has the rights of its container; give them by `mayctl run "
	 "--cap-add`"},
	{"exec", " --detach-keys ",
	 "leave the shell by exit or Ctrl-D; the container goes on"},
	{"ps", " --filter -f --format -n --last -l --latest -s --size ",
	 "`mayctl ps --json` has all of it, for jq to choose from"},
	{"inspect", " --format -f --size -s --type ",
	 "it prints JSON, for jq to choose from"},
	{"logs", " --details ", "there are none; leave it out"},
	{"rm", " --link -l ", "microVMs are not linked; leave it out"},
};

static const struct refusal commands[] = {
	{NULL, " images ", "`mayctl image ls`"},
	{NULL, " rmi ", "`mayctl image rm`"},
	{NULL, " pull ", "`mayctl image import docker://HOST/NAME:TAG`"},
	{NULL, " load import ", "`mayctl image import FILE --name NAME`"},
	{NULL, " build buildx push save commit tag ",
	 "images are made by docker, podman or buildah; `mayctl image import "
	 "FILE` takes what they save"},
	{NULL, " create start restart ",
	 "a microVM is used once: `mayctl run` makes and starts it"},
	{NULL, " attach ",
	 "`mayctl logs -f NAME`, or `mayctl exec -it NAME sh`"},
	{NULL, " port top stats events wait diff ",
	 "`mayctl ps`, `mayctl inspect NAME` and `mayctl exec NAME ps` say "
	 "what is known"},
	{NULL, " container ",
	 "leave the word out: `mayctl ps`, `mayctl rm NAME`"},
	{NULL, " prune system ", "`mayctl rm NAME` and `mayctl image gc`"},
	{NULL, " volume ",
	 "a file with a file system in it, by truncate and mkfs.ext4, given by "
	 "-v FILE:TARGET"},
	{NULL, " network ", "`mayctl run --net nat`, and -p for ports"},
	{NULL, " compose ", "a `mayctl run` for each service"},
};

static const char *find(const struct refusal *table, size_t count,
			const char *command, const char *word, size_t len)
{
	size_t i;

	for (i = 0; i < count; i++) {
		const char *at = table[i].words;

		if (command && strcmp(table[i].command, command) != 0)
			continue;
		for (; *++at; at += strcspn(at, " "))
			if (strcspn(at, " ") == len && !strncmp(at, word, len))
				return table[i].why;
	}
	return NULL;
}

const char *docker_option(const char *command, const char *word)
{
	/* A letter's value may stand behind it, a name's behind =. */
	const size_t len = word[0] == '-' && word[1] && word[1] != '-'
				   ? 2
				   : strcspn(word, "=");

	return find(options, sizeof(options) / sizeof(options[0]), command,
		    word, len);
}

const char *docker_command(const char *name)
{
	return find(commands, sizeof(commands) / sizeof(commands[0]), NULL,
		    name, strlen(name));
}

void docker_complain(const char *command, const char *word)
{
	const char *why = docker_option(command, word);

	if (why)
		ctl_complain("%s: there is no %.*s: %s", command,
			     (int)strcspn(word, "="), word, why);
	else
		ctl_complain("%s: can't use the argument '%s'; --help shows "
			     "how",
			     command, word);
}
