# shellcheck shell=bash
#
# Sourced by tests of the shim, after tests/tap.sh and with $top, where mayctl and the
# others are: a containerd of the test's own, with its own root, state and socket.

command -v containerd ctr >/dev/null || {
	not_ok "containerd is installed" "run make setup"
	tap_end
}
cp build/containerd-shim-mayfly-v1 "$top/"
cat >"$scratch/shim.json" <<<'{"jail": false, "memory_mib": 64}'
cat >"$scratch/config.toml" <<E2
version = 2
root = "$scratch/c/root"
state = "$scratch/c/state"
disabled_plugins = ["io.containerd.grpc.v1.cri", "io.containerd.snapshotter.v1.devmapper",
	"io.containerd.snapshotter.v1.btrfs", "io.containerd.snapshotter.v1.zfs",
	"io.containerd.snapshotter.v1.aufs", "io.containerd.internal.v1.opt"]
[grpc]
address = "$scratch/c/sock"
[ttrpc]
address = "$scratch/c/ttrpc"
E2
mkdir "$scratch/c"
# What the scratch directory lies on may be an overlay itself, on which none can lie.
mount -t tmpfs -o size=256m containerd "$scratch/c"
export MAYFLY_SHIM_CONFIG=$scratch/shim.json
unset NOTIFY_SOCKET
# Of a containerd newer than Debian's, first in PATH: words about hosts, beside answers.
export CONTAINERD_SUPPRESS_DEPRECATION_WARNINGS=1

begin_containerd() {
	PATH=$top:$PATH containerd -c "$scratch/config.toml" >>"$scratch/containerd.log" 2>&1 </dev/null &
	containerd=$!
	await_socket "$scratch/c/sock" 60 &&
		within ctr -a "$scratch/c/sock" version >/dev/null 2>&1
}
# shellcheck disable=SC2317 # the trap calls it
end_all() {
	kill "$containerd" 2>/dev/null
	wait "$containerd" 2>/dev/null
	umount -l "$scratch/c"
	rm -rf "$scratch"
}
trap end_all EXIT

client_limit=60
# client STATUS NAME WORDS...: as try is for mayctl.
client() {
	local want=$1 name=$2 status
	shift 2
	out=$(timeout "$client_limit" ctr -a "$scratch/c/sock" "$@" 2>"$scratch/err" <"${input:-/dev/null}")
	status=$?
	err=$(cat "$scratch/err")
	if [ "$status" = "$want" ]; then
		ok "$name"
	else
		not_ok "$name" "status $status, not $want; out: $out; err: $err"
	fi
}
# What shims, and with them monitors, have said last, and then containerd.
lab_said() {
	grep -v '^time=' "$scratch/containerd.log" | tail -n 20
	tail -n 5 "$scratch/containerd.log"
}
runtime=(--runtime io.containerd.mayfly.v1)
go() {
	local want=$1 name=$2
	shift 2
	client "$want" "$name" run "${runtime[@]}" --snapshotter overlayfs "$@"
}
# What shims are made of; mayctl's own leftovers are life-lab's.
shims() {
	pgrep -a -f "$top/containerd-shim" | grep -v pgrep
	find "$XDG_RUNTIME_DIR/mayfly-shim" -type s 2>/dev/null
	grep " $scratch/c/state/" /proc/mounts
	leftovers
}
none() { [ -z "$(shims)" ]; }
all_gone() {
	within none && ok "$1" && return
	not_ok "$1" "$(shims)"
}

