# shellcheck shell=bash
#
# Sourced by test scripts: one line a check, in the Test Anything Protocol, so
# that tests/run can count them. A script ends with tap_end, whose status says
# whether all went well. Figures are lines of the form `# figure: what = value`.

tap_failed=0
scratch=$(mktemp -d "${TMPDIR:-/tmp}/mayfly-test.XXXXXX")
trap 'rm -rf "$scratch"' EXIT

ok() { echo "ok - $*"; }

# not_ok NAME WHY: WHY may have several lines. A lab that has more to tell of what runs
# in it, above all whether the emulated host has lost a guest, does so in lab_said.
not_ok() {
	tap_failed=1
	echo "not ok - $1"
	sed 's/^/#   /' <<<"${2-}" | tail -n 30
	declare -F lab_said >/dev/null || return 0
	lab_said 2>&1 | tail -n 60 | sed 's/^/#   > /'
}

skip() { echo "ok - $1 # SKIP $2"; }

figure() { echo "# figure: $*"; }

# expect NAME CONDITION...: CONDITION is a command.
expect() {
	local name=$1
	shift
	if "$@"; then ok "$name"; else not_ok "$name" "failed: $*"; fi
}

# judge NAME CONDITION...: an expect about how quick something is, so only for a
# machine that has nothing else to do: make bench sets MAYFLY_JUDGE. Elsewhere a
# line says how it came out, and nothing fails.
judge() {
	local name=$1
	shift
	if [ -n "${MAYFLY_JUDGE-}" ]; then
		expect "$name" "$@"
	elif "$@"; then
		echo "# holds here: $name"
	else
		echo "# figure: does not hold on this machine just now: $name"
	fi
}

# has TEXT PATTERN: whether an extended regular expression is in a text.
has() { grep -qE -e "$2" <<<"$1"; }

tap_end() { exit "$tap_failed"; }

# await_socket PATH [SECONDS]: until somebody listens at it, 10 s if not said. A
# socket file is there a moment before it takes connections, and on a loaded
# machine that moment is long.
await_socket() {
	local end=$((SECONDS + ${2:-10}))
	# The flag is __SO_ACCEPTCON.
	until grep -qE "^[^ ]+ [0-9A-F]+ [0-9A-F]+ 00010000 .* ${1//./\\.}\$" /proc/net/unix; do
		[ $SECONDS -lt $end ] || return 1
		sleep 0.02
	done
}

# The emulated host's processor keeps its translations of code by page, and a page
# that had code in it, a late guest's kernel say, is slow to write until they are
# gone: mayfly's 150 ms of loading a kernel become a second. Benches call this before
# each measure: what is free is written once. A processor has nothing of the kind.
wash_memory() {
	[ -n "${MAYFLY_KVM_HOST-}" ] || return 0
	dd if=/dev/zero of="$scratch/wash" bs=1M count=400 2>/dev/null
	rm "$scratch/wash"
}
