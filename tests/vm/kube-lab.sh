# shellcheck shell=bash disable=SC2034,SC2154
#
# Sourced behind tests/vm/cri-lab.sh by tests that have all of Kubernetes, as
# tests/clients/setup kubernetes builds it, on a cluster of one node whose runtime is the
# containerd of cri_begin: kube_begin starts it, kube_end ends it. Nobody but the test is in
# the network namespace, so who has the token may do everything. The figures below are for a
# machine that is a thirtieth as quick as the ones that Kubernetes has in mind.

kube=$PWD/build/clients/kubernetes
node_address=10.99.0.1
server=https://$node_address:6443
at_kube=$scratch/kube
kube_pids=()

# kube_run PROGRAM OPTION...: one of Kubernetes' programs, its log in $out.
kube_run() {
	GOGC=400 "$kube/$1" "${@:2}" >>"$out/kubelet-$1.log" 2>&1 </dev/null &
	kube_pids+=($!)
}

# The API server and what it stands on: whether it answers in time.
kube_server() {
	mkdir -p "$at_kube"/{tls,plugins,logs,root}
	# What a kubelet and its plugins leave on a node is this run's.
	mount -t tmpfs kube "$at_kube/root"
	mount -t tmpfs log /var/log
	ip link add lab0 type bridge
	ip address add $node_address/24 dev lab0
	ip link set lab0 up
	# The addresses of Services are on the way to anywhere.
	ip route add default dev lab0
	# What a pod asks of a Service and its neighbour on the bridge answers goes by kube-proxy.
	modprobe br_netfilter
	echo 1 >/proc/sys/net/bridge/bridge-nf-call-iptables

	openssl genrsa -out "$at_kube/accounts.key" 2048 2>/dev/null
	echo 'lab,admin,1,"system:masters"' >"$at_kube/tokens"
	cat >"$at_kube/config" <<-CONFIG
		{"apiVersion": "v1", "kind": "Config", "current-context": "lab",
		"clusters": [{"name": "lab", "cluster": {"server": "$server", "insecure-skip-tls-verify": true}}],
		"users": [{"name": "lab", "user": {"token": "lab"}}],
		"contexts": [{"name": "lab", "context": {"cluster": "lab", "user": "lab"}}]}
	CONFIG
	export KUBECONFIG=$at_kube/config KUBECACHEDIR=$at_kube/cache

	# In memory, and what is in it is not to outlive the machine.
	kube_run etcd --data-dir "$at_kube/root/etcd" --unsafe-no-fsync --log-level warn \
		--heartbeat-interval 1000 --election-timeout 20000 \
		--listen-client-urls http://127.0.0.1:2379 --advertise-client-urls http://127.0.0.1:2379 \
		--listen-peer-urls http://127.0.0.1:2380
	kube_run kube-apiserver --etcd-servers http://127.0.0.1:2379 --cert-dir "$at_kube/tls" \
		--bind-address $node_address --advertise-address $node_address \
		--service-cluster-ip-range 10.96.0.0/16 --service-account-issuer $server \
		--service-account-key-file "$at_kube/accounts.key" \
		--service-account-signing-key-file "$at_kube/accounts.key" \
		--token-auth-file "$at_kube/tokens" --authorization-mode AlwaysAllow \
		--kubelet-preferred-address-types InternalIP \
		--etcd-healthcheck-timeout 60s --etcd-readycheck-timeout 60s --profiling=false
	within 900 eval '[ "$(api readyz)" = ok ] || kube_ended' && ! kube_ended
}

# The others: whether the node is ready in time.
kube_begin() {
	kube_server || return
	# Of the controllers those that what the test applies has to do with.
	local controllers
	printf -v controllers ',%s-controller' deployment replicaset endpointslice serviceaccount \
		root-ca-certificate-publisher namespace garbage-collector pod-garbage-collector node-lifecycle
	kube_run kube-controller-manager --kubeconfig "$KUBECONFIG" --leader-elect=false \
		--secure-port 0 --service-account-private-key-file "$at_kube/accounts.key" \
		--root-ca-file "$at_kube/tls/apiserver.crt" --node-monitor-grace-period 20m \
		--use-service-account-credentials=false --controllers "${controllers#,}"
	kube_run kube-scheduler --kubeconfig "$KUBECONFIG" --leader-elect=false --secure-port 0
	kube_run kube-proxy --kubeconfig "$KUBECONFIG" --hostname-override lab \
		--proxy-mode iptables --cluster-cidr 10.88.0.0/16 \
		--conntrack-max-per-core 0 --conntrack-tcp-timeout-established 0 \
		--conntrack-tcp-timeout-close-wait 0
	cat >"$at_kube/kubelet.json" <<-CONFIG
		{"apiVersion": "kubelet.config.k8s.io/v1beta1", "kind": "KubeletConfiguration",
		"authentication": {"anonymous": {"enabled": true}, "webhook": {"enabled": false}},
		"authorization": {"mode": "AlwaysAllow"},
		"cgroupDriver": "cgroupfs", "failSwapOn": false, "makeIPTablesUtilChains": false,
		"containerRuntimeEndpoint": "unix://$scratch/c/sock", "resolvConf": "",
		"evictionHard": {"memory.available": "0%", "nodefs.available": "0%", "imagefs.available": "0%"},
		"imageGCHighThresholdPercent": 100, "localStorageCapacityIsolation": false,
		"runtimeRequestTimeout": "15m", "syncFrequency": "20s", "nodeStatusUpdateFrequency": "1m",
		"nodeLeaseDurationSeconds": 1200, "podLogsDir": "$at_kube/logs",
		"volumePluginDir": "$at_kube/plugins"}
	CONFIG
	kube_run kubelet --kubeconfig "$KUBECONFIG" --config "$at_kube/kubelet.json" \
		--root-dir "$at_kube/root/kubelet" --cert-dir "$at_kube/tls" \
		--hostname-override lab --node-ip $node_address
	within 900 eval 'kube_node_is_ready || kube_ended' && ! kube_ended
}

# Whether any has.
kube_ended() {
	local pid
	for pid in "${kube_pids[@]}"; do
		kill -0 "$pid" 2>/dev/null || return 0
	done
	return 1
}

# within SECONDS COMMAND...: whether it comes true.
within() {
	local end=$((SECONDS + $1)) told=$SECONDS
	shift
	until "$@"; do
		[ $SECONDS -lt $end ] || return 1
		sleep 2
		# Who says nothing for minutes is taken for one that hangs.
		[ $((SECONDS - told)) -lt 120 ] || { told=$SECONDS; echo "# still waiting: $*"; }
	done
}

# api PATH [CURL OPTION...]: what the API server has there.
api() { curl -sk -m 60 -H 'Authorization: Bearer lab' "$server/$1" "${@:2}"; }
# kube_path KIND[/NAME[?QUERY]]: its path, in the namespace default where it has one.
kube_path() {
	case $1 in
	nodes* | namespaces*) echo "api/v1/$1" ;;
	deployments* | replicasets*) echo "apis/apps/v1/namespaces/default/$1" ;;
	endpointslices*) echo "apis/discovery.k8s.io/v1/namespaces/default/$1" ;;
	*) echo "api/v1/namespaces/default/$1" ;;
	esac
}
# kube_has KIND[/NAME] FILTER: what jq makes of it.
kube_has() { api "$(kube_path "$1")" | jq -r "$2" 2>/dev/null; }
# kube_is KIND[/NAME] FILTER: whether jq says true of it.
kube_is() { [ "$(kube_has "$@")" = true ]; }
kube_node_is_ready() { kube_is nodes/lab '.status.conditions[] | select(.type == "Ready").status == "True"'; }
kubectl() { timeout 300 "$kube/kubectl" "$@"; }

# In the order in which what is left can be done without.
kube_end() {
	local pid
	for pid in $(printf '%s\n' "${kube_pids[@]}" | tac); do
		kill "$pid" 2>/dev/null
		wait "$pid" 2>/dev/null
	done
	kube_pids=()
	mount | sed -n "s|.* on \($at_kube/root/kubelet/[^ ]*\) .*|\1|p" | xargs -r umount -l
	umount -l "$at_kube/root" /var/log 2>/dev/null
}
