# shellcheck shell=bash
# Completion of mayctl for bash; held against --help by tests/lint/man.

_mayctl() {
	local word=${COMP_WORDS[COMP_CWORD]} before=${COMP_WORDS[COMP_CWORD - 1]}
	local words=

	if [ "$COMP_CWORD" = 1 ]; then
		words='api status boot bench jail run exec cp ps inspect logs stop kill rm snapshot restore clone fork mark reset serve image --help --version'
	elif [[ $before =~ ^--(kernel|initrd|drive|monitor|socket|volume|env-file|config|snapshot-key|html|qemu|firecracker|cloud-hypervisor|kvmtool|crun|runc|qemu-kernel|firecracker-kernel)$ ]]; then
		mapfile -t COMPREPLY < <(compgen -f -- "$word")
		return
	elif [[ $before =~ ^--(chroot-base-dir|output)$ ]]; then
		mapfile -t COMPREPLY < <(compgen -d -- "$word")
		return
	elif [[ $before =~ ^--(cpus|memory|args|name|hostname|env|workdir|user|entrypoint|publish|timeout|start-timeout|time|tail|since|until|mount|tmpfs|disk|shm-size|dns|dns-search|dns-option|add-host|ulimit|count|rounds|seconds|load|prepare)$ ]]; then
		return
	elif [[ $before =~ ^--net(work)?$ ]]; then
		words='none nat tap='
	elif [[ $before =~ ^--(stop-)?signal$ ]]; then
		words='TERM INT HUP KILL QUIT USR1 USR2'
	elif [[ $before =~ ^--cap-(add|drop)$ ]]; then
		words='ALL NET_ADMIN NET_RAW SYS_ADMIN SYS_PTRACE SYS_TIME CHOWN MKNOD'
	elif [ "$before" = --mode ]; then
		words='cold clone reset'
	elif [ "$before" = --pull ]; then
		words='missing always never'
	elif [ "$before" = --security-opt ]; then
		words='no-new-privileges'
	else
		case ${COMP_WORDS[1]}:$COMP_CWORD in
		api:2) words='GET PUT PATCH' ;;
		api:3) words='/ /version /vm /vm/config /actions /boot-source /machine-config /drives/ /logger /metrics' ;;
		api:* | status:*) words='--socket' ;;
		jail:2) words='ls rm' ;;
		jail:*) words='--all-dead --chroot-base-dir --force' ;;
		boot:*) words='--kernel --initrd --drive --cpus --memory --args --monitor --no-jail' ;;
		bench:*) words='all compare boot start restore clone fork reset run api block net vsock density jail --rounds --seconds --count --load --drive --prepare --json --csv --html --no-history --quiet --qemu --firecracker --cloud-hypervisor --kvmtool --crun --runc --qemu-kernel --firecracker-kernel' ;;
		run:*)
			words='--interactive --tty --detach --rm --name --hostname --env --env-file --workdir --user --entrypoint --init --idle --stop-signal --volume --mount --tmpfs --disk --shm-size --read-only --publish --publish-all --net --network --dns --dns-search --dns-option --add-host --cpus --memory --ulimit --cap-add --cap-drop --security-opt --pull --quiet --platform --restart --no-healthcheck --timeout --start-timeout --kernel --console --no-jail --timing --cold'
			[[ $word == -* ]] || words=$(mayctl image ls 2>/dev/null | awk 'NR > 1 { print $1 }')
			;;
		ps:*) words='--all --quiet --no-trunc --json' ;;
		serve:*)
			words='--config --check --listen --mode --port --stdio --type --max --spare --queue --wait --timeout --start-timeout --drain --memory --cpus --net --no-log --no-jail'
			;;
		restore:*)
			words='--name --count --hostname --rm --publish --net --network --timeout --snapshot-key --no-jail --timing'
			[[ $word == -* ]] || {
				mapfile -t COMPREPLY < <(compgen -d -- "$word")
				return
			}
			;;
		exec:* | cp:* | inspect:* | logs:* | stop:* | kill:* | rm:* | snapshot:* | clone:* | fork:* | mark:* | reset:*)
			case ${COMP_WORDS[1]} in
			logs) words='--follow --timestamps --tail --since --until' ;;
			exec) words='--detach --interactive --tty --env --env-file --workdir --user' ;;
			cp) words='--follow-link --archive' ;;
			stop) words='--time' ;;
			kill) words='--signal' ;;
			rm) words='--force --volumes' ;;
			snapshot) words='--output --stop --no-sync --snapshot-key' ;;
			clone | fork) words='--name --count --hostname --rm --publish --net --network --timeout --snapshot-key --no-jail --timing' ;;
			reset) words='--keep-drives' ;;
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
		image:*) words='--name --platform --warm --quiet' ;;
		esac
	fi
	mapfile -t COMPREPLY < <(compgen -W "$words" -- "$word")
}

complete -o filenames -F _mayctl mayctl
