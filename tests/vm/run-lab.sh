# shellcheck shell=bash
#
# Sourced by tests of `mayctl run`, with tests/tap.sh sourced before: a store
# and a place for microVMs of the test's own, an image made of busybox, and all
# that the host's slow share would put into the measure copied into memory.
# RUN_STORE is a store that has the image already. With run_setup warm it has a
# guest at rest, for a microVM without options: a boot takes seconds here.

run_setup() {
	# How those at rest are made has tests of its own.
	local warm=${1-} top=$scratch/top tool
	export MAYFLY_WARM=no
	[ -z "$warm" ] || MAYFLY_WARM=kept
	mkdir -p "$top/guest/$(uname -m)" "$scratch/run" "$scratch/store" "$scratch/state/mayfly"
	cp build/mayfly build/mayctl build/mayfly-jailer "$top/"
	cp "build/guest/$(uname -m)"/{vmlinux,agent.initrd} "$top/guest/$(uname -m)/"
	mayctl=$top/mayctl
	export XDG_RUNTIME_DIR=$scratch/run XDG_STATE_HOME=$scratch/state MAYFLY_STORE=$scratch/store
	[ -z "${RUN_STORE-}" ] || { cp -r "$RUN_STORE/." "$MAYFLY_STORE"; return; }
	run_rootfs "$scratch/rootfs"
	"$mayctl" image import ${warm:+--warm} "$scratch/rootfs" --name busybox >"$scratch/import" 2>&1 || {
		not_ok "a directory becomes an image" "$(cat "$scratch/import")"
		tap_end
	}
	for tool in curl script; do
		command -v "$tool" >/dev/null || not_ok "$tool is installed" "run make setup"
	done
}

# run_lost WORDS...: whether the emulated host has lost the guest of mayctl WORDS
# (tests/run says how), where $err is what mayctl said. It may be run again then.
run_lost() {
	[ -n "${MAYFLY_KVM_HOST-}" ] && [ "$1" = run ] &&
		has "$err" 'the guest ended before its command did' &&
		echo "# the emulated host lost a guest: the guest ended before its command did: $*"
}

# What microVMs and their monitors have said last.
lab_said() {
	find "$XDG_RUNTIME_DIR" "$XDG_STATE_HOME" -type f \( -name monitor.log -o -name 'console*' \) \
		-exec tail -v -n 6 {} \;
	"${run_within[@]}" timeout 30 "$mayctl" ps -a </dev/null
}

# try STATUS NAME WORDS...: mayctl's words end with STATUS; $out and $err are what
# they printed. They have run_limit seconds; the words of run_within come first.
run_within=() run_limit=120
try() {
	local want=$1 name=$2 status
	shift 2
	for _ in 1 2 3; do
		out=$("${run_within[@]}" timeout "$run_limit" "$mayctl" "$@" 2>"$scratch/err" </dev/null)
		status=$?
		err=$(cat "$scratch/err")
		run_lost "$@" || break
	done
	if [ "$status" = "$want" ]; then
		ok "$name"
	else
		not_ok "$name" "status $status, not $want; out: $out; err: $err"
	fi
}

# A rootfs of one static program under many names.
run_rootfs() {
	mkdir -p "$1"/{bin,etc,root,tmp,proc,sys,dev}
	cp "$(command -v busybox)" "$1/bin/busybox"
	"$1/bin/busybox" --list | grep -vx busybox | while read -r name; do
		ln -sf busybox "$1/bin/$name"
	done
	echo 'root:x:0:0:root:/root:/bin/sh
nobody:x:65534:65534:nobody:/:/bin/false' >"$1/etc/passwd"
	echo 'root:x:0:
nogroup:x:65534:' >"$1/etc/group"
	chmod 1777 "$1/tmp"
}

# run_bundle DIR ROOTFS READONLY WORD...: a bundle as its tool makes it, without a
# terminal; READONLY is true or false.
run_bundle() {
	mkdir -p "$1"
	(cd "$1" && crun spec) || runc spec -b "$1"
	/usr/bin/python3 - "$1/config.json" "${@:2}" <<-'END'
		import json, sys
		path, rootfs, readonly, *words = sys.argv[1:]
		with open(path) as f:
		    spec = json.load(f)
		spec["process"]["terminal"] = False
		spec["process"]["args"] = words
		spec["root"] = {"path": rootfs, "readonly": readonly == "true"}
		with open(path, "w") as f:
		    json.dump(spec, f)
	END
}

# What must be the same before and after: processes, mounts, sockets, loop
# devices and taps, and what lies where microVMs are kept.
run_leftovers() {
	pgrep -a 'mayfly|mayctl' || true
	wc -l </proc/mounts
	find /dev/shm /run -xdev \( -name '*mayfly*' -o -type s \) 2>/dev/null | sort
	find "$XDG_RUNTIME_DIR" "$XDG_STATE_HOME" "$MAYFLY_STORE" | sort
	losetup -a
	ls /sys/class/net
}
