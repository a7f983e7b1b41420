# shellcheck shell=bash
# Completion of mayctl for bash; held against --help by tests/lint/man.

_mayctl() {
	local word=${COMP_WORDS[COMP_CWORD]} before=${COMP_WORDS[COMP_CWORD - 1]}
	local words=

	if [ "$COMP_CWORD" = 1 ]; then
		words='api status boot jail --help --version'
	elif [[ $before =~ ^--(kernel|initrd|drive|monitor|socket)$ ]]; then
		mapfile -t COMPREPLY < <(compgen -f -- "$word")
		return
	elif [[ $before = --chroot-base-dir ]]; then
		mapfile -t COMPREPLY < <(compgen -d -- "$word")
		return
	elif [[ $before =~ ^--(cpus|memory|args)$ ]]; then
		return
	else
		case ${COMP_WORDS[1]}:$COMP_CWORD in
		api:2) words='GET PUT PATCH' ;;
		api:3) words='/ /version /vm /vm/config /actions /boot-source /machine-config /drives/ /logger /metrics' ;;
		api:* | status:*) words='--socket' ;;
		jail:2) words='ls rm' ;;
		jail:*) words='--all-dead --chroot-base-dir --force' ;;
		boot:*) words='--kernel --initrd --drive --cpus --memory --args --monitor' ;;
		esac
	fi
	mapfile -t COMPREPLY < <(compgen -W "$words" -- "$word")
}

complete -o filenames -F _mayctl mayctl
