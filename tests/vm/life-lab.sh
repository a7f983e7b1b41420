# shellcheck shell=bash
#
# Sourced by tests of mayctl's life of a microVM, with tests/tap.sh and
# tests/vm/run-lab.sh sourced before. No kernel boots there: tests/vm/fake-monitor
# stands in for mayfly and the agent. As root, in a network namespace of its own.

top=$scratch/top
mkdir -p "$top/guest/$(uname -m)" "$scratch/run" "$scratch/rootfs"
cp build/mayctl "$top/"
echo none >"$top/guest/$(uname -m)/vmlinux"
echo none >"$top/guest/$(uname -m)/agent.initrd"
echo x >"$scratch/rootfs/file"
mayctl=$top/mayctl
export XDG_RUNTIME_DIR=$scratch/run XDG_STATE_HOME=$scratch/state MAYFLY_STORE=$scratch/store
MAYFLY=$(realpath tests/vm/fake-monitor)
export MAYFLY
vms=$XDG_RUNTIME_DIR/mayfly
run_limit=60
# What is at rest is tests/vm/life-warm's.
export MAYFLY_WARM=no
"$mayctl" image import "$scratch/rootfs" --name bb >"$scratch/import" 2>&1 </dev/null || {
	not_ok "a directory becomes an image" "$(cat "$scratch/import")"
	tap_end
}
ip link set lo up
# The monitor is no mayfly, so it can't be jailed.
jail=()
! "$mayctl" run --help | grep -q -e --no-jail || jail=(--no-jail)
run() {
	local want=$1 name=$2
	shift 2
	try "$want" "$name" run "${jail[@]}" "$@"
}

# field NAME KEY[.KEY]: of a microVM's state
field() {
	python3 -c 'import json, sys
at = json.load(open(sys.argv[1]))
for key in sys.argv[2].split("."): at = at[key]
print(at)' "$vms/$1/state.json" "$2"
}

# within COMMAND...: waits until COMMAND is true, two minutes at most.
within() {
	local end=$((SECONDS + 120))
	until "$@"; do
		[ $SECONDS -lt $end ] || return 1
		sleep 0.05
	done
}
has_ended() { has "$("$mayctl" ps -a)" "^$1 .*exited"; }
runs() { "$mayctl" exec "$1" true 2>/dev/null; }

# leftovers: all that microVMs are made of, but for their images.
leftovers() {
	pgrep -a -f "mayfly-test\\.${scratch##*.}/(top|run)/" | grep -v pgrep
	find "$vms" "$XDG_STATE_HOME" -mindepth 1 2>/dev/null | grep -vx "$XDG_STATE_HOME/mayfly"
	ip -o link | grep mayfly
	nft list ruleset
	iptables-save 2>/dev/null | grep mayfly
	find /sys/fs/cgroup -maxdepth 3 -name "*mayfly*" 2>/dev/null
}
nothing() { [ -z "$(leftovers)" ]; }
gone() {
	within nothing && ok "$1" && return
	not_ok "$1" "$(leftovers)"
}
# swept: the same once a mayctl has looked; a program that outlives a killed one
# holds what it works at until it has ended.
swept() { "$mayctl" ps >/dev/null; nothing; }
"$mayctl" ps >/dev/null
