# shellcheck shell=bash
#
# Sourced by tests that need a registry: Debian's, on loopback, with its blobs
# in $scratch. $at is its address, $registry_log what it was asked for.

registry_start() {
	local port=$((20000 + $$ % 20000))
	at=127.0.0.1:$port registry_log=$scratch/registry.log
	printf 'version: 0.1\nlog: {accesslog: {disabled: false}}\nstorage: {filesystem: {rootdirectory: %s}}\nhttp: {addr: "127.0.0.1:%s"}\n' \
		"$scratch/registry" $port >"$scratch/registry.yml"
	docker-registry serve "$scratch/registry.yml" >"$registry_log" 2>&1 &
	registry=$!
	for _ in $(seq 300); do
		curl -s "http://$at/v2/" >/dev/null && return
		sleep 0.1
	done
	return 1
}

registry_stop() {
	[ -z "${registry-}" ] || kill "$registry" 2>/dev/null
	registry=
}

# registry_push SOURCE NAME [SKOPEO OPTION...]
registry_push() { skopeo copy -q "${@:3}" --dest-tls-verify=false "$1" "docker://$at/$2"; }
