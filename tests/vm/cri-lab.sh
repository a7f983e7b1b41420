# shellcheck shell=bash disable=SC2034,SC2154
#
# Sourced behind tests/tap.sh and tests/registry.sh by tests that ask containerd for pods
# as a kubelet does. cri_lab VERSION makes what it needs: mayfly beside its guest, CNI's
# networks, a registry on loopback with the images of tests/clients/cri under the names
# they have elsewhere; cri_begin starts containerd. The caller is in network and mount
# namespaces of its own: no other network is there.

made=$PWD/build/clients/cri

# cri_lab 1.6|2.4: Debian's containerd, or that of tests/clients/setup containerd.
cri_lab() {
	version=$1
	out=${MAYFLY_OUT:-$scratch}
	top=$scratch/top
	trap cri_end EXIT
	mkdir -p "$top/guest/$(uname -m)" "$scratch"/{run,state,c,cni,hosts,tmp}
	cp build/mayfly build/mayctl build/mayfly-jailer build/containerd-shim-mayfly-v1 "$top/"
	cp "build/guest/$(uname -m)"/{vmlinux,agent.initrd} "$top/guest/$(uname -m)/"
	case $version in
	1.6) containerd=$(command -v containerd) ;;
	*)
		containerd=$PWD/build/clients/containerd/containerd
		cp "${containerd%/*}/containerd-shim-runc-v2" "$top/"
		;;
	esac
	export XDG_STATE_HOME=$scratch/state TMPDIR=$scratch/tmp
	export MAYFLY_SHIM_CONFIG=$scratch/shim.json MAYFLY_WARM=no
	echo '{"memory_mib": 128, "directories": "copy"}' >"$scratch/shim.json"

	mount -t tmpfs -o size=1g containerd "$scratch/c"
	# Network namespaces, and what runc and the shim have there, are this run's.
	mount -t tmpfs run /run
	mkdir -p /run/netns /run/lock
	mount -t tmpfs var /var/lib/cni 2>/dev/null || { mkdir -p /var/lib/cni && mount -t tmpfs var /var/lib/cni; }
	ip link set lo up
	echo 1 >/proc/sys/net/ipv4/ip_forward

	# In a group of its own, as a service is: containerd asks that what the kernel can bound.
	if echo '+cpu +memory +pids' >/sys/fs/cgroup/cgroup.subtree_control 2>/dev/null; then
		mkdir -p /sys/fs/cgroup/cri-lab
		echo $$ >/sys/fs/cgroup/cri-lab/cgroup.procs
	fi

	# Networks.
	cat >"$scratch/cni/10-lab.conflist" <<'END'
{"cniVersion": "0.4.0", "name": "lab", "plugins": [
	{"type": "bridge", "bridge": "cni0", "isGateway": true, "ipMasq": false, "hairpinMode": true,
	 "ipam": {"type": "host-local", "ranges": [[{"subnet": "10.88.0.0/16"}]],
		"routes": [{"dst": "0.0.0.0/0"}]}},
	{"type": "portmap", "capabilities": {"portMappings": true}, "snat": true}]}
END
	echo '{"cniVersion": "0.4.0", "name": "lo", "type": "loopback"}' >"$scratch/cni/99-lo.conf"

	# Images.
	mkdir "$scratch/store"
	mount -t tmpfs registry "$scratch/store"
	cp -r "$made/registry" "$scratch/store/"
	scratch=$scratch/store registry_start || not_ok "a registry on loopback starts" "$(cat "$scratch/store/registry.log")"
	for host in gcr.io registry.k8s.io k8s.gcr.io docker.io registry.example; do
		mkdir "$scratch/hosts/$host"
		printf 'server = "http://%s"\n[host."http://%s"]\n  capabilities = ["pull", "resolve"]\n' \
			"$at" "$at" >"$scratch/hosts/$host/hosts.toml"
	done
}

# Whether it answers in time; $scratch/err says why not.
cri_begin() {
	{
		[ "$version" = 1.6 ] && echo 'version = 2' || echo 'version = 3'
		cat <<END
root = "$scratch/c/root"
state = "$scratch/c/state"
disabled_plugins = ["io.containerd.snapshotter.v1.devmapper", "io.containerd.snapshotter.v1.btrfs",
	"io.containerd.snapshotter.v1.zfs", "io.containerd.snapshotter.v1.aufs",
	"io.containerd.internal.v1.opt", "io.containerd.nri.v1.nri", "io.containerd.tracing.processor.v1.otlp"]
[grpc]
address = "$scratch/c/sock"
[ttrpc]
address = "$scratch/c/ttrpc"
END
		if [ "$version" = 1.6 ]; then
			cri='plugins."io.containerd.grpc.v1.cri"' images='plugins."io.containerd.grpc.v1.cri"'
			echo "[$cri]
sandbox_image = \"registry.k8s.io/pause:sandbox\"
[$cri.cni]
bin_dir = \"/usr/lib/cni\""
		else
			cri='plugins."io.containerd.cri.v1.runtime"' images='plugins."io.containerd.cri.v1.images"'
			echo "[$images.pinned_images]
sandbox = \"registry.k8s.io/pause:sandbox\"
[$cri.cni]
bin_dirs = [\"/usr/lib/cni\"]"
		fi
		cat <<END
conf_dir = "$scratch/cni"
[$images.registry]
config_path = "$scratch/hosts"
[$cri.containerd.runtimes.runc]
runtime_type = "io.containerd.runc.v2"
[$cri.containerd.runtimes.mayfly]
runtime_type = "io.containerd.mayfly.v1"
privileged_without_host_devices = true
END
	} >"$scratch/config.toml"
	PATH=$top:$PATH "$containerd" -c "$scratch/config.toml" >>"$out/critest-$version.containerd" 2>&1 </dev/null &
	containerd_pid=$!
	await_socket "$scratch/c/sock" 120 || return
	for _ in {1..120}; do
		ask_crictl info >"$scratch/info" 2>"$scratch/err" && return
		sleep 0.5
	done
	return 1
}
ask_crictl() { "$made/crictl" -t 60s -r "unix://$scratch/c/sock" -i "unix://$scratch/c/sock" "$@"; }
# cri_name_images: what docs/kubernetes asks for is in the registry under those names.
cri_name_images() {
	local name
	for name in library/busybox:1.37=e2e-test-images/busybox:1.29-2 hello:1=e2e-test-images/nginx:1.14-2; do
		scratch=$scratch/store registry_push "docker://$at/${name#*=}" "${name%=*}" --src-tls-verify=false
	done
}
# Processes that have a VM of KVM's.
monitors() { find /proc/[0-9]*/fd -lname anon_inode:kvm-vm 2>/dev/null | cut -d / -f 3 | sort -u; }
# shellcheck disable=SC2317 # the trap calls it
cri_end() {
	kill "${containerd_pid-}" 2>/dev/null
	wait "${containerd_pid-}" 2>/dev/null
	registry_stop
	umount -l "$scratch/store" "$scratch/c"
	rm -rf "$scratch"
}
