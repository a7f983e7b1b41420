# shellcheck shell=bash
#
# Sourced by tests and benches that need a real Linux guest with tools in it,
# under mayfly or, for comparison, under QEMU's microvm machine: the same
# kernel, the same root image (tests/guest-root), the same job. Runs where KVM
# runs kernels, with tests/tap.sh sourced before.
#
#	lab_reset
#	lab_drive data /tmp/data engine=Async cache=Writeback
#	lab_net eth0 tap0 06:00:00:00:00:01
#	lab_run mayfly 'dd if=$disk_data of=/dev/null bs=1M'
#	echo "$status: $out"
#
# In a job, $disk_ID is the device of a drive. lab_start and lab_wait are the
# two halves of lab_run, for what the host does meanwhile. $lab_pid is the
# monitor, $lab_api its control socket (mayfly only). The words of lab_within
# come before the monitor's command: nsenter and its like, which exec.
# $lab_pages are its huge_pages; QEMU always asks for transparent ones.
# $lab_kernel and $lab_initrd may be another kernel's and its way to the root,
# which then has ACPI ($lab_acpi).
# $lab_console is where its stdout goes, $lab_serial its serial_out_path.

lab_image=build/guest/lab.ext4
lab_monitor=${MAYFLY:-build/mayfly}
lab_bytes=$((256 << 10)) # room for a job's output
lab_pages=None

# Once: into memory, for the share that it lies on is slow.
lab_setup() {
	lab_root=$scratch/lab-root
	cp "$lab_image" "$lab_root"
	lab_reset
}

# A machine of one vCPU and 256 MiB without devices of its own.
lab_reset() {
	lab_kernel=build/guest/x86_64/vmlinux lab_initrd='' lab_acpi=acpi=off
	lab_cpus=1 lab_mem=256 lab_timeout=400 lab_args=
	lab_within=()
	lab_drives=() lab_nets=() lab_vsock=
	lab_console=$scratch/lab-console lab_serial=
}

# lab_drive ID PATH [engine=Async] [cache=Writeback] [readonly=true] [limit=JSON]
lab_drive() { lab_drives+=("$*"); }

# lab_net ID TAP [mac=MAC] [mtu=N] [rx=JSON] [tx=JSON] [queues=N]
lab_net() { lab_nets+=("$*"); }

# lab_vsock CID SOCKET: under QEMU the socket is the host kernel's.
lab_vsock() { lab_vsock="$1 $2"; }

# lab_word NAME DEFAULT WORDS...: the value of NAME=value among the words.
lab_word() {
	local name=$1 value=$2 word
	shift 2
	for word; do
		[[ $word == "$name="* ]] && value=${word#*=}
	done
	printf %s "$value"
}

lab_job() {
	local id drive
	{
		for drive in "${lab_drives[@]}"; do
			id=${drive%% *}
			echo "disk_$id=/run/disk/$id"
		done
		printf '%s\n' "$1"
	} >"$scratch/lab-job"
	truncate -s %4096 "$scratch/lab-job"
	rm -f "$scratch/lab-result"
	truncate -s "$lab_bytes" "$scratch/lab-result"
}

lab_json_drive() { # ID PATH WORDS...
	local limit
	limit=$(lab_word limit '' "${@:3}")
	printf '{"drive_id": "%s", "path_on_host": "%s", "is_root_device": %s, "is_read_only": %s, "cache_type": "%s", "io_engine": "%s"%s}' \
		"$1" "$2" "$(lab_word root false "${@:3}")" "$(lab_word readonly false "${@:3}")" \
		"$(lab_word cache Unsafe "${@:3}")" "$(lab_word engine Sync "${@:3}")" \
		"${limit:+, \"rate_limiter\": $limit}"
}

lab_json_net() { # ID TAP WORDS...
	local mac mtu rx tx
	mac=$(lab_word mac '' "${@:3}") mtu=$(lab_word mtu '' "${@:3}")
	rx=$(lab_word rx '' "${@:3}") tx=$(lab_word tx '' "${@:3}")
	printf '{"iface_id": "%s", "host_dev_name": "%s"%s%s%s%s}' "$1" "$2" \
		"${mac:+, \"guest_mac\": \"$mac\"}" "${mtu:+, \"mtu\": $mtu}" \
		"${rx:+, \"rx_rate_limiter\": $rx}" "${tx:+, \"tx_rate_limiter\": $tx}"
}

# Under mayfly no guest should end by a triple fault; QEMU's machine has no other.
lab_cmdline() { printf %s "console=ttyS0 quiet reboot=$1 panic=1 $lab_acpi root=/dev/vda ro $lab_args"; }

lab_start_mayfly() {
	local drives nets='' item words
	drives="$(lab_json_drive root "$lab_root" root=true readonly=true),
	  $(lab_json_drive job "$scratch/lab-job" readonly=true),
	  $(lab_json_drive result "$scratch/lab-result")"
	for item in "${lab_drives[@]}"; do
		read -ra words <<<"$item"
		drives+=", $(lab_json_drive "${words[@]}")"
	done
	for item in "${lab_nets[@]}"; do
		read -ra words <<<"$item"
		nets+="${nets:+, }$(lab_json_net "${words[@]}")"
	done
	cat >"$scratch/lab.json" <<-END
	{"boot-source": {"kernel_image_path": "$lab_kernel",
	  "initrd_path": $([ -n "$lab_initrd" ] && printf '"%s"' "$lab_initrd" || echo null),
	  "boot_args": "$(lab_cmdline k | sed 's| root=/dev/vda ro||')"},
	 "machine-config": {"vcpu_count": $lab_cpus, "mem_size_mib": $lab_mem, "huge_pages": "$lab_pages"},
	 "drives": [$drives], "network-interfaces": [$nets],
	 "vsock": $([ -n "$lab_vsock" ] && printf '{"guest_cid": %s, "uds_path": "%s"}' "${lab_vsock% *}" "${lab_vsock#* }" || echo null),
	 "serial": $([ -n "$lab_serial" ] && printf '{"serial_out_path": "%s"}' "$lab_serial" || echo null)}
	END
	lab_api=$scratch/lab-api
	rm -f "$lab_api"
	"${lab_within[@]}" "$lab_monitor" --level Info --api-sock "$lab_api" --config-file "$scratch/lab.json" \
		>"$lab_console" 2>&1 </dev/null &
	lab_pid=$!
}

lab_qemu_net() { # WORDS...
	local mac mtu
	mac=$(lab_word mac '' "$@") mtu=$(lab_word mtu '' "$@")
	printf %s "${mac:+,mac=$mac}${mtu:+,host_mtu=$mtu}"
}

lab_start_qemu() {
	local drives=() item words cache
	add() { # ID PATH WORDS...
		cache=$(lab_word cache Unsafe "${@:3}")
		# Unsafe has no flush; none means O_DIRECT, which mayfly never uses.
		[ "$cache" = Unsafe ] && cache=unsafe || cache=writeback
		drives+=(-drive "id=$1,file=$2,format=raw,if=none,aio=io_uring,cache=$cache,readonly=$([ "$(lab_word readonly false "${@:3}")" = true ] && echo on || echo off),discard=unmap"
			-device "virtio-blk-device,drive=$1,serial=$1,num-queues=$lab_cpus")
	}
	add root "$lab_root" readonly=true
	add job "$scratch/lab-job" readonly=true
	add result "$scratch/lab-result"
	for item in "${lab_drives[@]}"; do
		read -ra words <<<"$item"
		add "${words[@]}"
	done
	for item in "${lab_nets[@]}"; do
		read -ra words <<<"$item"
		drives+=(-netdev "tap,id=${words[0]},ifname=${words[1]},script=no,downscript=no,vhost=off"
			-device "virtio-net-device,netdev=${words[0]}$(lab_qemu_net "${words[@]:2}")")
	done
	[ -n "$lab_vsock" ] && drives+=(-device "vhost-vsock-device,guest-cid=${lab_vsock% *}")
	"${lab_within[@]}" qemu-system-x86_64 -accel kvm -cpu host -m "$lab_mem" -smp "$lab_cpus" \
		-nodefaults -no-user-config -global virtio-mmio.force-legacy=false \
		-M microvm,x-option-roms=off,pit=off,pic=off,rtc=off,acpi=off,isa-serial=on \
		-kernel "$lab_kernel" -append "$(lab_cmdline t)" \
		-display none -serial stdio -no-reboot "${drives[@]}" \
		>"$scratch/lab-console" 2>&1 </dev/null &
	lab_pid=$!
}

# lab_start PEER JOB: PEER is mayfly or qemu.
lab_start() {
	lab_job "$2"
	"lab_start_$1"
}

# What the monitor's threads are at, twice a second apart: who spins, who waits.
# Then where the guest is, for a vCPU that spins: the last exits from it, whose
# rip is a line of the kernel's System.map.
lab_autopsy() {
	local thread trace=/sys/kernel/tracing
	for _ in 1 2; do
		for thread in "/proc/$lab_pid/task/"*; do
			echo "lab: ${thread##*/} $(cat "$thread/comm"):" \
				"state, user, system: $(sed 's/.*) //' "$thread/stat" | cut -d ' ' -f 1,12,13);" \
				"$(cat "$thread/wchan") $(cat "$thread/syscall")"
		done
		sleep 1
	done 2>/dev/null
	[ -d $trace/events ] || mount -t tracefs tracefs $trace
	# All is stopped before events are taken away one by one, else the last ones are of
	# those that go last alone.
	echo 1 >$trace/events/kvm/enable
	sleep 0.5
	echo 0 >$trace/tracing_on
	echo 0 >$trace/events/kvm/enable
	[ -z "${MAYFLY_OUT-}" ] || cat $trace/trace >"$MAYFLY_OUT/trace.$lab_pid"
	grep -v '^#' $trace/trace | awk '{ for (i = 1; i <= NF; i++) if ($i ~ /^kvm_.*:$/) ++n[$i] }
		END { for (event in n) print "lab:", event, n[event], "times in half a second" }'
	grep -v '^#' $trace/trace | tail -n 40 | cut -c 1-150
	echo 1 >$trace/tracing_on
}

# Waits for the guest's end: its output in $out, its job's status in $status.
lab_wait() {
	local end=$((SECONDS + lab_timeout))
	while kill -0 "$lab_pid" 2>/dev/null; do
		if [ "$SECONDS" -ge "$end" ]; then
			{
				echo "lab: no end after $lab_timeout s"
				lab_autopsy
			} >>"$scratch/lab-console"
			kill -KILL "$lab_pid"
		fi
		sleep 0.1
	done
	wait "$lab_pid"
	lab_status=$?
	out=$(tr -d '\000' <"$scratch/lab-result")
	status=${out%%$'\n'*}
	out=${out#*$'\n'}
	if [ -z "$status" ]; then
		status=125
		out="the guest gave no result, the monitor ended with $lab_status: $(tail -n 60 "$scratch/lab-console" 2>/dev/null)"
	fi
}

# lab_lost: whether the emulated host has lost the guest (tests/run says how).
lab_lost() {
	[ -n "${MAYFLY_KVM_HOST-}" ] && [ "$status" = 125 ] &&
		grep 'a triple fault at' "$lab_console" | sed 's/^/# the emulated host lost a guest: /' | grep .
}

# A guest that was lost gets two more chances.
lab_run() {
	for _ in 1 2 3; do
		lab_start "$@"
		lab_wait
		lab_lost || return 0
	done
}
