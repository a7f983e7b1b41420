# shellcheck shell=bash
#
# Sourced after tests/vm/lab.sh by what needs taps. They lie in a network
# namespace that is this test's own, where the host of the guest's network is
# 10.9.0.1, the guest 10.9.0.2; the monitor and the host's ends of a test run
# in it. Both go when the script ends.

lab_ns=lab$$
lab_host=10.9.0.1 lab_guest=10.9.0.2
lab_ends=()

lab_net_setup() {
	ip netns add "$lab_ns" || return
	trap 'lab_net_end; rm -rf "$scratch"' EXIT
	ip -n "$lab_ns" link set lo up
}

lab_net_end() {
	lab_stop_ends
	ip netns del "$lab_ns"
}

# in_ns COMMAND...: carries it out on the host's side of the guest's network.
in_ns() { nsenter --net="/run/netns/$lab_ns" "$@"; }

# lab_end COMMAND...: one that runs there until lab_stop_ends.
lab_end() {
	nsenter --net="/run/netns/$lab_ns" "$@" >>"$scratch/ends" 2>&1 </dev/null &
	lab_ends+=($!)
}

# lab_listener PORT COMMAND...: one that listens there when this returns. A guest asks
# once, and what is started beside load may be slower than a guest's boot.
lab_listener() {
	local port=$1 end=$((SECONDS + 60))
	shift
	lab_end "$@"
	until in_ns ss -Htln "sport = :$port" | grep -q .; do
		[ "$SECONDS" -lt "$end" ] || {
			not_ok "$1 listens on port $port" "$(tail -n 5 "$scratch/ends")"
			return 1
		}
		sleep 0.05
	done
}

lab_stop_ends() {
	[ ${#lab_ends[@]} = 0 ] && return
	kill "${lab_ends[@]}" 2>/dev/null
	wait "${lab_ends[@]}" 2>/dev/null
	lab_ends=()
}

# lab_tap MTU [OPTION...]: a fresh tap0; options are those of `ip tuntap add`.
lab_tap() {
	local mtu=$1
	shift
	in_ns ip link del tap0 2>/dev/null
	in_ns ip tuntap add dev tap0 mode tap "$@"
	in_ns ip addr add "$lab_host/24" dev tap0
	in_ns ip link set tap0 mtu "$mtu" up
}

# A machine with tap0 as its eth0. Words as of lab_net.
lab_net_reset() {
	lab_reset
	lab_within=(nsenter "--net=/run/netns/$lab_ns")
	lab_net eth0 tap0 mac=06:00:00:00:00:01 "$@"
}

# What a guest's job begins with.
# shellcheck disable=SC2034 # for the scripts that source this
lab_up="ip addr add $lab_guest/24 dev eth0; ip link set eth0 up"

# In a job: iperf3, asked again where the server is still about the last client.
# shellcheck disable=SC2034 # likewise
lab_iperf='iperf() { for i in 1 2 3 4 5; do iperf3 "$@" && return; sleep 1; done; }'

# lab_net_ready: until the guest answers, which a busy host may take minutes for; what ping said is in
# $scratch/ready.
lab_net_ready() {
	for _ in {1..400}; do
		in_ns ping -q -c 1 -W 1 "$lab_guest" >"$scratch/ready" 2>&1 && return
		kill -0 "$lab_pid" 2>/dev/null || return 1
	done
	return 1
}

# tap_count NAME: a counter of tap0, from the host's side: rx is from the guest.
tap_count() { in_ns cat "/proc/net/dev" | awk -v name="$1" '
	/^ *tap0:/ {
		sub(/.*:/, "")
		split("rx_bytes rx_packets rx_errors rx_dropped . . . . tx_bytes tx_packets tx_errors tx_dropped", names, " ")
		for (i in names) if (names[i] == name) print $i
	}'; }

# The rate in Mbit/s that iperf3 in $1 says of sender or receiver.
iperf_rate() { awk -v end="$2" '$NF == end {for (i = 1; i < NF; i++) if ($(i + 1) == "Mbits/sec") print $i}' <<<"$1" | tail -n 1; }

at_least() { awk "BEGIN {exit !($1 >= $2)}"; }
ratio() { awk "BEGIN {printf \"%.2f\", $1 / $2}"; }
