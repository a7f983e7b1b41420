# shellcheck shell=bash
# Completion of mayctl for bash; held against --help by tests/lint/man.

_mayctl() {
	local word=${COMP_WORDS[COMP_CWORD]} before=${COMP_WORDS[COMP_CWORD - 1]}
	local words=

	if [ "$COMP_CWORD" = 1 ]; then
		words='api status boot jail run exec cp ps inspect logs stop kill rm image --help --version'
	elif [[ $before =~ ^--(kernel|initrd|drive|monitor|socket|volume)$ ]]; then
		mapfile -t COMPREPLY < <(compgen -f -- "$word")
		return
	elif [[ $before = --chroot-base-dir ]]; then
		mapfile -t COMPREPLY < <(compgen -d -- "$word")
		return
	elif [[ $before =~ ^--(cpus|memory|args|name|hostname|env|workdir|user|entrypoint|publish|timeout|start-timeout|time)$ ]]; then
		return
	elif [ "$before" = --net ]; then
		words='none nat tap='
	elif [ "$before" = --signal ]; then
		words='TERM INT HUP KILL QUIT USR1 USR2'
	else
		case ${COMP_WORDS[1]}:$COMP_CWORD in
		api:2) words='GET PUT PATCH' ;;
		api:3) words='/ /version /vm /vm/config /actions /boot-source /machine-config /drives/ /logger /metrics' ;;
		api:* | status:*) words='--socket' ;;
		jail:2) words='ls rm' ;;
		jail:*) words='--all-dead --chroot-base-dir --force' ;;
		boot:*) words='--kernel --initrd --drive --cpus --memory --args --monitor' ;;
		run:*)
			words='--interactive --tty --detach --rm --name --hostname --env --workdir --user --entrypoint --volume --publish --net --cpus --memory --timeout --start-timeout --kernel --console --timing'
			[[ $word == -* ]] || words=$(mayctl image ls 2>/dev/null | awk 'NR > 1 { print $1 }')
			;;
		ps:*) words='--all --json' ;;
		exec:* | cp:* | inspect:* | logs:* | stop:* | kill:* | rm:*)
			case ${COMP_WORDS[1]} in
			logs) words='--follow --timestamps' ;;
			stop) words='--time' ;;
			kill) words='--signal' ;;
			rm) words='--force' ;;
			esac
			words+=" $(mayctl ps -a 2>/dev/null | awk 'NR > 1 { print $1 }')"
			;;
		image:2) words='import ls rm gc inspect' ;;
		image:3)
			case ${COMP_WORDS[2]} in
			import)
				mapfile -t COMPREPLY < <(compgen -f -- "$word")
				return
				;;
			rm | inspect)
				words=$(mayctl image ls 2>/dev/null | awk 'NR > 1 { print $1 }')
				;;
			ls) words='--json' ;;
			esac
			;;
		image:*) words='--name --quiet' ;;
		esac
	fi
	mapfile -t COMPREPLY < <(compgen -W "$words" -- "$word")
}

complete -o filenames -F _mayctl mayctl
