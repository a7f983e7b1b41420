# mayfly's one Makefile. `make help` lists the targets.
#
# Every flavour builds into a folder of its own (build/release, build/asan,
# build/clang …), so switching between them rebuilds nothing. So does another
# architecture than this machine's: make ARCH=aarch64 builds into build/aarch64/.

HOST_ARCH := $(shell uname -m)
ARCH     ?= $(HOST_ARCH)
FLAVOUR  ?= release
CROSS    := $(if $(filter $(HOST_ARCH),$(ARCH)),,$(ARCH)-linux-gnu-)
T        := build$(if $(CROSS),/$(ARCH))
B        := $(T)/$(FLAVOUR)
VERSION  := 0.1.0
# Of the API and flags that mayfly speaks, which are Firecracker's.
WIRE_VERSION := 1.17.0
prefix   ?= /usr/local

# ---- tools and flags -------------------------------------------------------

CC       := $(CROSS)gcc
CLANG    := clang-19
Q        := $(if $(V),,@)
say       = $(if $(V),,@printf '  %-7s %s\n' '$(1)' '$(2)';)

WARN := -Wall -Wextra -Wshadow -Wstrict-prototypes -Wmissing-prototypes \
	-Wpointer-arith -Wcast-qual -Wcast-align -Wwrite-strings -Wformat=2 \
	-Wundef -Wvla -Wconversion -Wno-sign-conversion -Wimplicit-fallthrough \
	-Wno-missing-field-initializers
ifeq ($(CI),true)
WARN += -Werror
endif

CPPFLAGS := -I. -Ibuild/proto -D_GNU_SOURCE -DMAYFLY_VERSION='"$(VERSION)"' \
	-DWIRE_VERSION='"$(WIRE_VERSION)"'
CFLAGS   := -std=gnu17 -O2 -g -fPIE $(WARN) -fno-strict-aliasing \
	-fstack-protector-strong -fstack-clash-protection \
	-ffunction-sections -fdata-sections
LDFLAGS  := -static-pie -Wl,-z,relro,-z,now,-z,separate-code,--gc-sections
# Debian's liburing.so does not export all that its header declares.
LDLIBS   := -lm -ljansson -l:liburing.a -lseccomp -l:libz.a -l:libmd.a \
	-l:libprotobuf-c.a
# Device trees are aarch64's. Only one libfdt-dev can be installed.
FDT       = $(if $(CROSS),-L$(shell tests/debian-package libfdt-dev:arm64)/usr/lib/$(CROSS:%-=%)) -l:libfdt.a
# mayctl's alone. Only one libhttp-parser-dev can be installed, too.
HTTP_LIB  = $(if $(CROSS),-L$(shell tests/debian-package libhttp-parser-dev:arm64)/usr/lib/$(CROSS:%-=%)) -l:libhttp_parser.a
ifeq ($(ARCH),aarch64)
LDLIBS   += $(FDT)
endif

ifeq ($(FLAVOUR),release)
CPPFLAGS += -U_FORTIFY_SOURCE -D_FORTIFY_SOURCE=3
endif
ifeq ($(FLAVOUR),clang)
CC       := $(CLANG) $(if $(CROSS),--target=$(CROSS:%-=%))
CPPFLAGS += -U_FORTIFY_SOURCE -D_FORTIFY_SOURCE=3
CFLAGS   += -Wthread-safety
endif
ifeq ($(FLAVOUR),fuzz)
CC       := $(CLANG)
CFLAGS   += -O1 -fno-omit-frame-pointer -fsanitize=address,undefined \
	-fsanitize=fuzzer-no-link -fno-sanitize-recover=all
LDFLAGS  := -pie -fsanitize=address,undefined,fuzzer
endif
ifneq ($(filter asan fuzz,$(FLAVOUR)),)
CPPFLAGS += -DMAYFLY_NO_FILTERS
endif
# Without optimisation, which reads several fields at once where one is asked for.
ifeq ($(FLAVOUR),tsan)
CPPFLAGS += -DMAYFLY_NO_FILTERS
CFLAGS   += -O0 -fno-omit-frame-pointer -fsanitize=thread -Wno-tsan
LDFLAGS  := -pie -fsanitize=thread
endif
ifeq ($(FLAVOUR),asan)
CFLAGS   += -O1 -fno-omit-frame-pointer -fsanitize=address,undefined \
	-fno-sanitize-recover=all
LDFLAGS  := -pie -fsanitize=address,undefined
endif

# ---- sources, floor by floor (docs/floors.txt) -----------------------------

BASE    := args err fd newer passed rights cursor clock log printable relro spare
EVENT   := loop bucket limiter uring
SECCOMP := filter rules compile
MEM     := guest_mem image mark missing frozen working_set touches prefetch
STATE   := visit hmac key state part file
KVM     := kvm vm vcpu bus irq
BOOT    := kernel cmdline initrd
ARCH_x86_64 := x86 state load elf bzimage entry cpuid features template ioapic e820 bootparams pvh acpi aml mptable
ARCH_aarch64 := arm caches gic image load register state tree
MACHINE := cpus machine saved marked forked
VIRTIO  := iov ring patience virtio virtio_state mmio
DEVICES := block block_turn block_file block_request block_overlay block_overlay_fork \
	block_overlay_state block_async net net_rx net_tx \
	net_ctrl net_pair net_offload net_state limiter_state tap vsock vsock_packet vsock_conn \
	vsock_table vsock_device vsock_tx vsock_rx vsock_host uart uart_out uart_state uart_sink \
	i8042 power power_key generation worker
JSON    := json
API     := http connection server listener socket_file text_file options \
	config config_id config_drives config_net config_metrics config_fields \
	config_device_fields snapshot snapshot_fields snapshot_config \
	snapshot_overlays describe \
	restore finish reset fork pager working_set \
	config_file controller controller_metrics assembly samples metrics \
	console confine timeline host_files policy faults routes route_boot route_machine \
	route_drives route_net route_vsock route_serial route_vm route_metrics \
	route_snapshot
JAILER  := main options path root mounts bind userns fds ns cgroup rlimit caps \
	landlock

# mayctl, room by room.
CTL_BASE     := capability copy descriptors erofs erofs_pack interrupt pack process signals tar terminal tree untar
CTL_AGENT    := ask attach dial frame security session session_ask session_request
CTL_IMAGE    := archive config entry fetch image import layout layout_make mend model platform \
	kept name progress source store tar tool wall words
CTL_VM       := cell cell_clone cgroups client disk end folder forward handed link manifest moment \
	monitor monitor_log nat network orphan output_log place resolver saving seal shim still sweep uids vm \
	vm_process vm_remove volume warm warm_make
CTL_SERVE    := call cgi client front function head histogram instance lane leftover listener \
	maker message page reload roster serve stdio text
CTL_BENCH    := axis bench block boot calls clone compare container density disk fork guest host jailed machine \
	net page parts past peer phases plot program report reset restore result rival rounds spawn start stats \
	vsock wire work
CTL_COMMANDS := main bench complain api boot cp cp_place docker env exec foreground functions functions_file \
	image jail logs ps run run_disks run_mounts run_options run_plan \
	run_steps run_warm restore restored serve show snapshot stop values
CTL_CONTAINERD := main bootstrap disk event host key loopback machine method metrics netns packer process \
	resources rootfs service share spec spec_device spec_mount spec_seccomp spec_walls stdio task usage \
	warming wishes
CTL_TTRPC    := arena client server wire
MESSAGES     := ttrpc task metrics
JAILS        := jail_find jail_remove

VMM_SRC := $(BASE:%=vmm/base/%.c) $(EVENT:%=vmm/event/%.c) \
	$(SECCOMP:%=vmm/seccomp/%.c) $(MEM:%=vmm/mem/%.c) $(STATE:%=vmm/state/%.c) \
	$(KVM:%=vmm/kvm/%.c) $(BOOT:%=vmm/boot/%.c) \
	$(ARCH_$(ARCH):%=vmm/arch/$(ARCH)/%.c) $(MACHINE:%=vmm/machine/%.c) \
	$(VIRTIO:%=devices/virtio/%.c) $(DEVICES:%=devices/%.c) \
	$(JSON:%=api/json/%.c) $(API:%=api/%.c)
CTL_SRC := $(CTL_BASE:%=api/ctl/base/%.c) $(CTL_AGENT:%=api/ctl/agent/%.c) \
	$(CTL_IMAGE:%=api/ctl/image/%.c) $(CTL_VM:%=api/ctl/vm/%.c) \
	$(CTL_SERVE:%=api/ctl/serve/%.c) \
	$(CTL_BENCH:%=api/ctl/bench/%.c) $(CTL_COMMANDS:%=api/ctl/commands/%.c) \
	$(JAILS:%=jailer/jails/%.c) jailer/landlock.c $(JSON:%=api/json/%.c) \
	$(BASE:%=vmm/base/%.c) vmm/event/loop.c vmm/state/hmac.c vmm/state/key.c
SHIM_SRC := $(CTL_CONTAINERD:%=api/ctl/containerd/%.c) $(CTL_TTRPC:%=api/ctl/ttrpc/%.c) \
	$(CTL_BASE:%=api/ctl/base/%.c) $(CTL_AGENT:%=api/ctl/agent/%.c) \
	$(addprefix api/ctl/image/,kept.c name.c store.c) \
	$(CTL_VM:%=api/ctl/vm/%.c) jailer/landlock.c $(JSON:%=api/json/%.c) \
	$(BASE:%=vmm/base/%.c) vmm/event/loop.c vmm/state/hmac.c vmm/state/key.c
JAILER_SRC := $(JAILER:%=jailer/%.c) $(BASE:%=vmm/base/%.c)

obj = $(patsubst %.c,$(B)/%.o,$(1))

# ---- programs --------------------------------------------------------------

UAPI     := $(T)/uapi
PROGRAMS := $(B)/mayfly $(B)/mayctl $(B)/mayfly-jailer \
	$(B)/containerd-shim-mayfly-v1
GUEST    := build/guest/$(ARCH)
# What `mayctl bench` runs beside mayfly's own programs.
BENCH_PARTS := $(if $(filter x86_64,$(ARCH)),$(addprefix $(GUEST)/,bench-guest \
	bench-floor))

.PHONY: all programs
all: programs guest $(if $(filter x86_64,$(ARCH)),bare-guests) ## build everything: programs and guest (the default)

programs: $(PROGRAMS) $(T)/seccomp/policy.json $(T)/seccomp/glibc/policy.json $(BENCH_PARTS) $(UAPI)/asm ## build mayfly, mayctl, mayfly-jailer and the shim
ifeq ($(FLAVOUR),release)
	$(Q)for p in $(notdir $(PROGRAMS)); do ln -sf release/$$p $(T)/$$p; done
endif

$(B)/mayctl: $(call obj,$(CTL_SRC))
$(B)/containerd-shim-mayfly-v1: $(call obj,$(SHIM_SRC)) \
	$(MESSAGES:%=$(B)/proto/%.pb-c.o)
$(B)/mayctl: LDLIBS += $(HTTP_LIB)
# glibc asks CPUID dozens of times before main(), 0.25 ms where that is virtualised;
# musl never does. What starts again and again is linked with it, Debian's static
# libraries too, which were compiled for glibc and use nothing that differs but the
# checked functions of fortify.c.
MUSL := $(wildcard /usr/lib/$(ARCH)-linux-musl/rcrt1.o)
ifeq ($(FLAVOUR)$(if $(MUSL),-musl),release-musl)
quick_obj = $(patsubst %.c,$(B)/musl/%.o,$(1) vmm/base/fortify.c)
# musl-gcc knows no -static-pie, so the C runtime's files are named.
$(B)/mayfly $(B)/mayfly-jailer: LDFLAGS += -nostdlib $(addprefix $(dir $(MUSL)),rcrt1.o crti.o)
$(B)/mayfly-jailer: LDLIBS := $(dir $(MUSL))libc.a -lgcc $(dir $(MUSL))crtn.o
$(B)/mayfly: LDLIBS += $(dir $(MUSL))libc.a -lgcc $(dir $(MUSL))crtn.o
else
quick_obj = $(obj)
endif

$(B)/mayfly: $(call quick_obj,$(VMM_SRC) api/main.c vmm/seccomp/programs.c)
$(B)/mayfly-jailer: $(call quick_obj,$(JAILER_SRC))
# What debuggers read lies beside a program: the jailer copies it for each jail.
$(PROGRAMS):
	$(call say,LINK,$@)$(CC) $(CFLAGS) $(LDFLAGS) -o $@ $^ $(LDLIBS)
ifeq ($(FLAVOUR),release)
	$(Q)$(CROSS)objcopy --only-keep-debug $@ $@.debug
	$(Q)$(CROSS)objcopy --strip-debug --add-gnu-debuglink=$@.debug $@
endif

$(B)/%.o: %.c
	$(Q)mkdir -p $(@D)
	$(call say,CC,$<)$(CC) $(CPPFLAGS) $(CFLAGS) -MMD -MP -c -o $@ $<

# Messages of containerd's, packed and unpacked by what protoc-c makes of them.
build/proto/%.pb-c.c build/proto/%.pb-c.h: api/ctl/messages/%.proto
	$(Q)mkdir -p $(@D)
	$(call say,GEN,$@)protoc-c --c_out=build/proto -Iapi/ctl/messages $<

$(B)/proto/%.pb-c.o: build/proto/%.pb-c.c
	$(Q)mkdir -p $(@D)
	$(call say,CC,$<)$(CC) $(CPPFLAGS) $(CFLAGS) -w -c -o $@ $<

# Whoever includes them: not before they are there. Their initializers cast
# qualifiers away.
MESSAGE_USERS := $(call obj,$(CTL_TTRPC:%=api/ctl/ttrpc/%.c) \
	$(CTL_CONTAINERD:%=api/ctl/containerd/%.c)) \
	$(B)/tests/unit/test_ttrpc.o $(B)/tests/unit/test_process.o $(B)/tests/unit/test_metrics.o \
	$(B)/tests/fuzz/fuzz_ttrpc.o
$(MESSAGE_USERS): | $(MESSAGES:%=build/proto/%.pb-c.h)
$(MESSAGE_USERS): CFLAGS += -Wno-cast-qual

# The kernel's headers and the libraries', without the other libc's beside them.
$(B)/musl/headers:
	$(Q)mkdir -p $@
	$(Q)for name in linux asm asm-generic video liburing liburing.h jansson.h jansson_config.h \
		seccomp.h seccomp-syscalls.h zlib.h zconf.h sha2.h; do \
		for at in /usr/include/$(ARCH)-linux-gnu /usr/include; do \
			! [ -e $$at/$$name ] || { ln -sfn $$at/$$name $@; break; }; done; done

# Some types are others there; what is told to be converted is so by the other
# compilations of the same files.
$(B)/musl/%.o: %.c | $(B)/musl/headers
	$(Q)mkdir -p $(@D)
	$(call say,MUSL,$<)musl-gcc $(filter-out -D_FORTIFY_SOURCE=3,$(CPPFLAGS)) \
		-idirafter $(B)/musl/headers -include vmm/base/fortify.h -DLINKED_WITH_MUSL $(CFLAGS) -Wno-conversion -MMD -MP -c -o $@ $<

-include $(shell find build -name '*.d' 2>/dev/null)

# Filters are compiled when mayfly is built, so that loading one is one call; for
# each C library, since what that asks the kernel is in them.
SECCOMP_GEN := $(T)/seccomp/glibc/generate $(T)/seccomp/musl/generate

# The kernel's headers of aarch64, wherever that is not what compiles.
$(UAPI)/asm:
	$(Q)mkdir -p $(@D)
	$(Q)ln -sfn /usr/aarch64-linux-gnu/include/asm $@
ifneq ($(CROSS),)
SECCOMP_FOR := -isystem $(UAPI) -DRULES_FOR_AARCH64 -DFILTER_ARCH=SCMP_ARCH_AARCH64
endif

$(T)/seccomp/musl/generate: SECCOMP_FOR += -DLINKED_WITH_MUSL
$(SECCOMP_GEN): $(addprefix vmm/seccomp/,generate.c rules.c compile.c \
		rules.h libc_rules.h compile.h) vmm/arch/host/rules.h \
		$(addprefix vmm/base/,err.c fd.c passed.c) | $(if $(CROSS),$(UAPI)/asm)
	$(Q)mkdir -p $(@D)
	$(call say,GEN,$@)gcc -O1 $(WARN) -I. -D_GNU_SOURCE $(SECCOMP_FOR) -o $@ \
		$(filter %.c,$^) -lseccomp

$(T)/seccomp/%/programs.c: $(T)/seccomp/%/generate
	$(Q)$< c >$@

$(T)/seccomp/%/policy.json: $(T)/seccomp/%/generate
	$(Q)$< json >$@

# That of the monitor which is installed.
$(T)/seccomp/policy.json: $(T)/seccomp/$(if $(MUSL),musl,glibc)/policy.json
	$(Q)cp $< $@

$(B)/vmm/seccomp/programs.o: $(T)/seccomp/glibc/programs.c
	$(Q)mkdir -p $(@D)
	$(call say,CC,$<)$(CC) $(CPPFLAGS) $(CFLAGS) -c -o $@ $<

$(B)/musl/vmm/seccomp/programs.o: $(T)/seccomp/musl/programs.c
	$(Q)mkdir -p $(@D)
	$(call say,CC,$<)$(CC) $(CPPFLAGS) $(CFLAGS) -c -o $@ $<

.DELETE_ON_ERROR:
ifeq ($(MAKELEVEL),0)
MAKEFLAGS += -j$(shell nproc)
endif

.PHONY: setup
setup: ## install the packages that building and testing need (root or sudo)
	$(Q)tests/setup $(if $(filter x86_64,$(HOST_ARCH)),aarch64)

$(GUEST)/bench-floor: api/ctl/floor/floor.c
	$(Q)mkdir -p $(@D)
	$(call say,CC,$@)gcc -O2 $(WARN) -D_GNU_SOURCE -static -s -o $@ $<

$(GUEST)/bench-guest: guest/bench/guest.S tests/guests/bare.ld
	$(Q)mkdir -p $(@D)
	$(call say,GUEST,$@)gcc -I. -nostdlib -static -no-pie -o $@ $< \
		-Wl,-T,tests/guests/bare.ld,--build-id=none \
		-Wl,-z,noexecstack,--no-warn-rwx-segments

# ---- the guest -------------------------------------------------------------

BARE := reset poweroff triple_fault hello spin tick halt nowhere lost keys \
	interrupt generation
# Of parts of the hostile guest, and what it is linked of.
MADE := echoer hostile net_storm pair reader slow_disk ticker dirtier vsocker errands scribbler toucher

.PHONY: guest kernel bare-guests
guest: kernel $(GUEST)/initrd $(GUEST)/bench-initrd $(GUEST)/bench-work.initrd \
		$(GUEST)/agent.initrd ## build what runs inside: kernel, init and agent

kernel:
	$(Q)guest/kernel/build $(ARCH)

# What runs inside is small and static by musl. For another architecture
# Debian's musl of that one is unpacked, and the cross compiler told of it; it
# has no getauxval() of the name by which libgcc asks for atomics.
ifeq ($(CROSS),)
GUEST_CC  := musl-gcc -static
GUEST_INC := -idirafter /usr/include -idirafter /usr/include/$(ARCH)-linux-gnu
else
GUEST_MUSL = $(shell tests/debian-package musl-dev:arm64)/usr
GUEST_LIB  = $(GUEST_MUSL)/lib/$(ARCH)-linux-musl
GUEST_CC   = $(CC) -static -nostdinc -nostdlib -mno-outline-atomics \
	-isystem $(GUEST_MUSL)/include/$(ARCH)-linux-musl
GUEST_INC := -idirafter /usr/$(CROSS:%-=%)/include
GUEST_END  = $(addprefix $(GUEST_LIB)/,crt1.o crti.o libc.a) -lgcc $(GUEST_LIB)/crtn.o
endif

$(GUEST)/init: guest/init/init.c vmm/arch/host/host.h
	$(Q)mkdir -p $(@D)
	$(call say,GUEST,$@)$(GUEST_CC) -I. -Os -s -Wall -Wextra $(GUEST_INC) \
		-o $@ $< $(GUEST_END)

$(GUEST)/initrd: $(GUEST)/init guest/initrd
	$(call say,GUEST,$@)guest/initrd $@ $<

# As it is called where `mayctl bench boot` finds it.
$(GUEST)/bench-initrd: $(GUEST)/initrd
	$(Q)cp $< $@

# What is measured in a guest with Linux, and its other end in the host.
WORK := work disk streams server end

$(GUEST)/bench-work: $(WORK:%=guest/bench/%.c) guest/bench/work.h
	$(Q)mkdir -p $(@D)
	$(call say,GUEST,$@)$(GUEST_CC) -I. -std=gnu17 -O2 -s -Wall -Wextra \
		$(if $(filter true,$(CI)),-Werror) $(GUEST_INC) \
		-o $@ $(filter %.c,$^) $(GUEST_END)

$(GUEST)/bench-work.initrd: $(GUEST)/bench-work guest/initrd
	$(call say,GUEST,$@)guest/initrd $@ $<

# musl brings no kernel headers of its own; the C library's come last.
AGENT := agent loop wire log file rights spawn user disk init volume device walls join root \
	tree tar sparse untar \
	machine network session progress input process child plan container \
	configure forward cgroup freezer group share shutdown request ready

$(GUEST)/agent: $(AGENT:%=guest/agent/%.c) $(wildcard guest/*.h guest/agent/*.h)
	$(Q)mkdir -p $(@D)
	$(call say,GUEST,$@)$(GUEST_CC) -I. -D_GNU_SOURCE -std=gnu17 -Os -s \
		-Wall -Wextra $(if $(filter true,$(CI)),-Werror) \
		-fno-strict-aliasing -ffunction-sections -Wl,--gc-sections \
		$(GUEST_INC) -o $@ $(filter %.c,$^) $(GUEST_END)

$(GUEST)/agent.initrd: $(GUEST)/agent guest/initrd
	$(call say,GUEST,$@)guest/initrd $@ $<

# The root of the tests' guests: this machine's programs, so it is made here.
LAB_PROGRAMS := build/bench/vsock-peer build/bench/clock-watch
build/guest/lab.ext4: tests/guest-root $(LAB_PROGRAMS)
	$(Q)mkdir -p $(@D)
	$(call say,GUEST,$@)tests/guest-root $@ $(LAB_PROGRAMS) >/dev/null

# The guest of tests/vm/aarch64, and what that test runs.
ifneq ($(CROSS),)
$(T)/bench/vsock-peer: tests/vm/vsock-peer.c tests/vm/vsock-peer-server.c tests/vm/vsock-peer.h
	$(Q)mkdir -p $(@D)
	$(call say,CC,$@)$(CC) -I. -O2 -Wall -D_GNU_SOURCE -static -o $@ $(filter %.c,$^)

$(GUEST)/lab.initrd: $(T)/bench/vsock-peer tests/guest-aarch64
	$(call say,GUEST,$@)tests/guest-aarch64 $@ $<
endif

HOSTILE := start machine device transport queue ring race block net vsock

bare-guests: $(BARE:%=build/guests/%) build/guests/hello32 $(MADE:%=build/guests/%)

$(BARE:%=build/guests/%): build/guests/%: tests/guests/%.S tests/guests/bare.inc tests/guests/bare.ld
	$(Q)mkdir -p $(@D)
	$(call say,GUEST,$@)gcc -I. -nostdlib -static -no-pie -o $@ $< \
		-Wl,-T,tests/guests/bare.ld,--build-id=none \
		-Wl,-z,noexecstack,--no-warn-rwx-segments

# The same as an ELF file of 32 bits, as other people's kernels may be.
build/guests/hello32: build/guests/hello
	$(call say,GUEST,$@)objcopy -O elf32-i386 $< $@

# 32 bits and no library: the guest has no operating system to lean on.
BARE_CFLAGS := -m32 -march=i686 -mmmx -std=gnu17 -O2 -ffreestanding -fno-pic \
	-fno-stack-protector -fno-asynchronous-unwind-tables \
	-fno-strict-aliasing -fno-tree-loop-distribute-patterns \
	-mgeneral-regs-only $(WARN)

PARTS_hostile := hostile $(HOSTILE:%=hostile_%)
PARTS_net_storm := net_storm hostile_start hostile_machine hostile_device
PARTS_slow_disk := slow_disk hostile_start hostile_machine hostile_device
PARTS_scribbler := scribbler hostile_start hostile_machine hostile_device \
	hostile_block
PARTS_toucher := toucher words hostile_start hostile_machine
PARTS_echoer := echoer anywhere words idle idle_tables hostile_start \
	hostile_machine hostile_device
PARTS_reader := reader anywhere words idle idle_tables hostile_start \
	hostile_machine hostile_device
PARTS_ticker := ticker ticker_registers hostile_start hostile_machine
PARTS_pair := pair pair_tables words hostile_start hostile_machine
PARTS_dirtier := dirtier words idle idle_tables hostile_start hostile_machine
PARTS_vsocker := vsocker idle idle_tables hostile_start hostile_machine \
	hostile_device hostile_block hostile_net
PARTS_errands := errands hostile_start hostile_machine hostile_device \
	hostile_block hostile_net

$(foreach g,$(MADE),$(eval build/guests/$(g): $(PARTS_$(g):%=build/guests/obj/%.o)))
$(MADE:%=build/guests/%): tests/guests/bare.ld
	$(call say,GUEST,$@)gcc -m32 -nostdlib -static -no-pie -o $@ \
		$(filter %.o,$^) -Wl,-T,tests/guests/bare.ld,--build-id=none \
		-Wl,-z,noexecstack,--no-warn-rwx-segments

build/guests/obj/%.o: tests/guests/%.c
	$(Q)mkdir -p $(@D)
	$(call say,GUEST,$@)gcc -I. $(BARE_CFLAGS) -MMD -MP -c -o $@ $<

build/guests/obj/%.o: tests/guests/%.S
	$(Q)mkdir -p $(@D)
	$(call say,GUEST,$@)gcc -I. -m32 -MMD -MP -c -o $@ $<

# ---- tests -----------------------------------------------------------------

UNIT := $(patsubst tests/unit/test_%.c,%,$(wildcard tests/unit/test_*.c))

# What a test links beside the library: stand-ins come first and so win.
KVM_FAKES := tests/unit/fake_kvm tests/unit/fake_driver
EXTRA_ring := $(KVM_FAKES) tests/unit/ring_bench
EXTRA_ring_threads := $(EXTRA_ring)
EXTRA_chain := $(EXTRA_ring)
EXTRA_virtio := $(KVM_FAKES) tests/unit/toy
EXTRA_mmio := $(EXTRA_virtio)
EXTRA_virtio_state := $(EXTRA_virtio) tests/unit/state_bench
EXTRA_block := $(KVM_FAKES) tests/unit/block_bench
EXTRA_vsock := $(KVM_FAKES) tests/unit/vsock_bench
EXTRA_vsock_flow := $(EXTRA_vsock) tests/unit/vsock_stream
EXTRA_vsock_end := $(EXTRA_vsock_flow)
EXTRA_vsock_hostile := $(EXTRA_vsock)
EXTRA_vsock_state := $(EXTRA_vsock) tests/unit/state_bench
EXTRA_disk := $(EXTRA_block)
EXTRA_block_engine := $(EXTRA_block)
EXTRA_block_flight := $(EXTRA_block) tests/unit/pipe_disk
EXTRA_block_end := $(EXTRA_block_flight)
EXTRA_filter := $(EXTRA_block_flight)
EXTRA_patience := $(EXTRA_block)
EXTRA_block_queues := $(EXTRA_block)
EXTRA_block_random := $(EXTRA_block)
EXTRA_block_overlay := $(EXTRA_block)
EXTRA_overlay_fork := $(KVM_FAKES)
EXTRA_block_state := $(EXTRA_block_flight) tests/unit/state_bench
NET_BENCH := $(KVM_FAKES) tests/unit/fake_tap tests/unit/net_bench
EXTRA_tap := $(KVM_FAKES)
EXTRA_net := $(NET_BENCH)
EXTRA_net_rx := $(NET_BENCH)
EXTRA_net_tx := $(NET_BENCH)
EXTRA_net_change := $(NET_BENCH)
EXTRA_net_haste := $(NET_BENCH)
EXTRA_net_turns := $(NET_BENCH)
EXTRA_net_state := $(NET_BENCH) tests/unit/state_bench
EXTRA_uart := $(KVM_FAKES) tests/unit/uart_bench
EXTRA_uart_input := $(EXTRA_uart)
EXTRA_uart_out := $(EXTRA_uart)
EXTRA_uart_state := $(EXTRA_uart) tests/unit/state_bench
EXTRA_i8042_state := $(KVM_FAKES) tests/unit/state_bench
EXTRA_power_key := $(KVM_FAKES) tests/unit/state_bench
EXTRA_terminal := $(KVM_FAKES)
EXTRA_power := $(KVM_FAKES)
EXTRA_generation := $(KVM_FAKES)
EXTRA_acpi := tests/unit/acpi_bench
EXTRA_iasl := $(EXTRA_acpi)
EXTRA_ioapic := $(KVM_FAKES)
# Of aarch64, what needs neither its processor nor its KVM.
EXTRA_device_tree := vmm/arch/aarch64/tree
EXTRA_arm_state := $(addprefix vmm/arch/aarch64/,state gic register)
EXTRA_arm_image := vmm/arch/aarch64/image
FAKES := tests/unit/fake_machine tests/unit/fake_overlay
EXTRA_routes := $(FAKES) tests/unit/route_bench
EXTRA_told := $(EXTRA_routes)
EXTRA_snapshot := $(EXTRA_routes)
EXTRA_reset := $(EXTRA_routes)
EXTRA_snapshot_overlays := $(EXTRA_routes)
EXTRA_fork := $(EXTRA_routes)
EXTRA_server := $(FAKES) tests/unit/server_bench
EXTRA_server_time := $(EXTRA_server)
EXTRA_bad_requests := $(FAKES)
EXTRA_metrics := $(FAKES)
EXTRA_controller := $(FAKES)
EXTRA_elf := tests/unit/kernel_file tests/unit/elf_bench
EXTRA_elf_note := $(EXTRA_elf)
EXTRA_elf32 := $(EXTRA_elf)
EXTRA_bzimage := tests/unit/kernel_file
EXTRA_kernel := tests/unit/kernel_file
EXTRA_bootpage := tests/unit/kernel_file
EXTRA_jailer_options := jailer/options
EXTRA_state := tests/unit/state_bytes
EXTRA_state_hostile := $(EXTRA_state)
EXTRA_state_corpus := $(EXTRA_state)
EXTRA_state_file := tests/unit/pair_bench
EXTRA_state_kill := $(EXTRA_state_file)
EXTRA_tree := api/ctl/base/tree
EXTRA_bench_stats := api/ctl/bench/stats
EXTRA_bench_disk := api/ctl/bench/disk
EXTRA_bench_past := $(addprefix api/ctl/,bench/past bench/compare base/process \
	base/interrupt base/tree)
EXTRA_bench_report := $(addprefix api/ctl/,bench/report bench/result bench/stats \
	bench/page bench/plot bench/axis bench/past bench/peer base/process \
	base/interrupt base/tree)
EXTRA_pack := api/ctl/base/pack api/ctl/base/untar api/ctl/base/tar \
	api/ctl/base/tree
EXTRA_cp_place := api/ctl/commands/cp_place
EXTRA_show := api/ctl/commands/show
EXTRA_vm := $(addprefix api/ctl/,vm/vm vm/vm_remove vm/place vm/vm_process base/process base/interrupt base/tree)
EXTRA_volume := tests/unit/own_dir $(addprefix api/ctl/,vm/volume vm/disk base/erofs base/erofs_pack) $(EXTRA_vm)
EXTRA_rootfs := tests/unit/own_dir $(addprefix api/ctl/,containerd/rootfs containerd/key containerd/disk \
	image/kept image/name image/store base/copy base/descriptors base/erofs base/erofs_pack base/process \
	base/interrupt base/tree)
EXTRA_kept := tests/unit/own_dir $(addprefix api/ctl/,containerd/key containerd/disk image/kept image/name \
	image/store base/process base/interrupt base/tree)
EXTRA_run_options := api/ctl/commands/run_options api/ctl/commands/run_mounts \
	api/ctl/commands/values api/ctl/commands/env api/ctl/commands/docker \
	api/ctl/commands/complain api/ctl/base/capability api/ctl/base/signals api/ctl/image/platform \
	$(EXTRA_vm)
EXTRA_values := $(EXTRA_run_options)
EXTRA_untar := api/ctl/base/untar api/ctl/base/tar api/ctl/base/tree
EXTRA_resolver := api/ctl/vm/resolver
EXTRA_monitor_log := api/ctl/vm/monitor_log api/ctl/base/process api/ctl/base/interrupt
EXTRA_copy := tests/unit/own_dir api/ctl/base/copy
EXTRA_seal := api/ctl/vm/seal api/ctl/base/copy
EXTRA_folder := tests/unit/own_dir api/ctl/vm/folder api/ctl/base/tree
EXTRA_uids := api/ctl/vm/uids api/ctl/base/process api/ctl/base/interrupt
EXTRA_session := $(addprefix api/ctl/agent/,frame security session session_ask session_request)
TTRPC_PARTS := $(CTL_TTRPC:%=api/ctl/ttrpc/%) $(MESSAGES:%=proto/%.pb-c)
EXTRA_ttrpc := $(TTRPC_PARTS)
EXTRA_spec := tests/unit/spec_bench $(addprefix api/ctl/,containerd/spec containerd/spec_device containerd/spec_mount \
	containerd/spec_seccomp containerd/spec_walls containerd/resources \
	base/capability base/pack base/process base/interrupt)
EXTRA_spec_walls := $(EXTRA_spec)
EXTRA_wishes := $(addprefix api/ctl/containerd/,host wishes) $(EXTRA_spec)
EXTRA_warm := tests/unit/own_dir $(addprefix api/ctl/,vm/warm vm/folder base/copy base/process base/interrupt base/tree)
EXTRA_security := $(EXTRA_session)
EXTRA_resources := api/ctl/containerd/resources
EXTRA_metrics := api/ctl/containerd/metrics proto/metrics.pb-c api/ctl/agent/ask $(EXTRA_session)
EXTRA_forward := api/ctl/vm/forward api/ctl/agent/dial $(EXTRA_session)
EXTRA_process := tests/unit/own_dir $(addprefix api/ctl/,containerd/process containerd/stdio agent/attach) \
	$(EXTRA_spec) $(EXTRA_session) $(TTRPC_PARTS)
SERVE_HTTP := $(addprefix api/ctl/serve/,head lane message)
EXTRA_message := $(SERVE_HTTP)
EXTRA_cgi := $(SERVE_HTTP) api/ctl/serve/cgi
# Before the library, which has functions of the same names for the API.
LINK_message = -Wl,-u,http_parser_execute $(HTTP_LIB)
LINK_cgi = $(LINK_message)
FUZZ_LINK_message = $(LINK_message)
FUZZ_EXTRA_message := $(SERVE_HTTP)
EXTRA_image_tar := api/ctl/image/tar api/ctl/image/entry api/ctl/base/tar
EXTRA_image_model := api/ctl/image/model
EXTRA_image_wall := api/ctl/image/wall
EXTRA_platform := api/ctl/image/platform
EXTRA_image_config := api/ctl/image/config api/ctl/base/signals

ifeq ($(ARCH),x86_64)
ARM_OBJ := $(ARCH_aarch64:%=$(B)/vmm/arch/aarch64/%.o) $(B)/tests/unit/test_arm_state.o
$(ARM_OBJ): CPPFLAGS += -isystem $(UAPI)
$(ARM_OBJ): | $(UAPI)/asm
endif

.PHONY: unit-tests
unit-tests: $(UNIT:%=$(B)/tests/%)

$(B)/libmayfly.a: $(call obj,$(VMM_SRC)) $(B)/vmm/seccomp/programs.o
	$(call say,AR,$@)rm -f $@ && ar rcs $@ $^

.SECONDEXPANSION:
$(UNIT:%=$(B)/tests/%): $(B)/tests/%: $(B)/tests/unit/test_%.o \
		$$(addsuffix .o,$$(addprefix $(B)/,$$(EXTRA_$$*))) $(B)/libmayfly.a
	$(call say,LINK,$@)$(CC) $(CFLAGS) $(filter-out -static-pie,$(LDFLAGS)) \
		-pie -o $@ $(LINK_$*) $^ -lcmocka $(LDLIBS) $(if $(filter device_tree,$*),$(FDT))

# Fuzzers are built with FLAVOUR=fuzz; tests/fuzz/run builds and runs them.
FUZZ := $(patsubst tests/fuzz/fuzz_%.c,%,$(wildcard tests/fuzz/fuzz_*.c))
FUZZ_EXTRA_routes := $(FAKES)
FUZZ_EXTRA_state := $(EXTRA_state)
FUZZ_EXTRA_image_tar := $(EXTRA_image_tar) api/ctl/image/model
FUZZ_EXTRA_ttrpc := $(TTRPC_PARTS)
FUZZ_LINK_routes := -Wl,--wrap=open,--wrap=fd_open

.PHONY: fuzzers fuzz
fuzzers: $(FUZZ:%=$(B)/fuzz/%)

fuzz: setup ## fuzz the parsers, then a live monitor, in the long form
	$(Q)tests/fuzz/run --long

$(FUZZ:%=$(B)/fuzz/%): $(B)/fuzz/%: $(B)/tests/fuzz/fuzz_%.o \
		$$(addsuffix .o,$$(addprefix $(B)/,$$(FUZZ_EXTRA_$$*))) $(B)/libmayfly.a
	$(Q)mkdir -p $(@D)
	$(call say,LINK,$@)$(CC) $(CFLAGS) $(LDFLAGS) $(FUZZ_LINK_$*) -o $@ $^ $(LDLIBS)

# Prints routes and fields, to be held against api/openapi.yaml.
$(B)/tools/describe: $(B)/tests/openapi/describe.o $(B)/libmayfly.a
	$(Q)mkdir -p $(@D)
	$(call say,LINK,$@)$(CC) $(CFLAGS) $(filter-out -static-pie,$(LDFLAGS)) \
		-pie -o $@ $^ $(LDLIBS)

# A client that misbehaves, for tests/fuzz/run.
build/fuzz/socket: tests/fuzz/socket.c
	$(Q)mkdir -p $(@D)
	$(call say,CC,$@)gcc -O2 -Wall -Wextra -D_GNU_SOURCE -static -o $@ $<

BENCHES := $(addprefix build/bench/,irqchip clone-run)

# The other end of vsock in guest and host; in the tests' guests as well.
PEER := tests/vm/vsock-peer.c tests/vm/vsock-peer-server.c
build/bench/vsock-peer: $(PEER) tests/vm/vsock-peer.h
	$(Q)mkdir -p $(@D)
	$(call say,CC,$@)gcc -I. -O2 -Wall -D_GNU_SOURCE -static -o $@ $(PEER)

# Looks whether a guest's clocks go back; runs in tests' guests.
build/bench/clock-watch: tests/vm/clock-watch.c
	$(Q)mkdir -p $(@D)
	$(call say,CC,$@)gcc -O2 -Wall -Wextra -D_GNU_SOURCE -static -o $@ $<

# Becomes a program that has no vDSO; tests/vm/libc runs others under it.
build/bench/no-vdso: tests/vm/no-vdso.c
	$(Q)mkdir -p $(@D)
	$(call say,CC,$@)gcc -O2 -Wall -Wextra -D_GNU_SOURCE -static -o $@ $<

# Compiled as the monitor is: whether a copy over an end is noticed.
build/bench/fortified: build/release/$(if $(MUSL),musl/)tests/vm/fortified.o \
		$(if $(MUSL),build/release/musl/vmm/base/fortify.o)
	$(Q)mkdir -p $(@D)
	$(call say,LINK,$@)$(if $(MUSL),musl-gcc,gcc) -static -o $@ $^

# A file system that takes its time.
build/bench/slow-disk: tests/vm/slow-disk.c
	$(Q)mkdir -p $(@D)
	$(call say,CC,$@)gcc -O2 -Wall -Wextra -D_GNU_SOURCE -static -o $@ $<

# Functions, for images of tests/functions.
FUNCTIONS := $(addprefix build/functions/,visit misbehave)
$(FUNCTIONS): build/functions/%: tests/functions/%.c tests/functions/listen.h
	$(Q)mkdir -p $(@D)
	$(call say,CC,$@)gcc -I. -O2 -Wall -Wextra -D_GNU_SOURCE -static -o $@ $<

# Serves a restored monitor's page faults; and who tests that in its place.
UFFD := tests/vm/uffd-regions.c tests/vm/uffd.h
build/bench/uffd-handler: tests/vm/uffd-handler.c $(UFFD)
build/bench/uffd-monitor: tests/vm/uffd-monitor.c $(UFFD)
build/bench/uffd-handler build/bench/uffd-monitor:
	$(Q)mkdir -p $(@D)
	$(call say,CC,$@)gcc -I. -O2 -Wall -Wextra -D_GNU_SOURCE -static -o $@ \
		$(filter %.c,$^)

# Tries to get out of a jail, from the monitor's place in it.
INSIDE := $(addprefix tests/vm/jail-inside,.c -files.c -kernel.c)
INSIDE += vmm/seccomp/filter.c build/seccomp/glibc/programs.c vmm/base/err.c
build/bench/jail-inside: $(INSIDE) tests/vm/jail-inside.h
	$(Q)mkdir -p $(@D)
	$(call say,CC,$@)gcc -I. -O2 -Wall -D_GNU_SOURCE -static -o $@ $(INSIDE)

$(BENCHES): build/bench/%: tests/bench/%.c
	$(Q)mkdir -p $(@D)
	$(call say,CC,$@)gcc -O2 -Wall -D_GNU_SOURCE -static -o $@ $<

# glibc's objects of the monitor, at which lint looks where it is linked with musl.
LINTED := $(call obj,$(VMM_SRC) api/main.c)

# What the tests run beside mayfly's own programs.
.PHONY: test-programs
test-programs: bare-guests $(LINTED) $(BENCHES) $(addprefix build/bench/,vsock-peer \
	clock-watch fortified no-vdso slow-disk uffd-handler uffd-monitor jail-inside) \
	$(FUNCTIONS) $(GUEST)/initrd $(GUEST)/bench-initrd \
	$(GUEST)/bench-work.initrd $(GUEST)/agent.initrd build/release/tools/describe

.PHONY: test run lint bench soak critest kubelet
soak: setup ## the tests that have a long form, in it
	$(Q)$(MAKE) --no-print-directory all
	$(Q)MAYFLY_LONG=1 tests/run lint races jailer snapshot linux block net floods vsock restores run functions

test: setup ## run every test; the last line counts them
	$(Q)tests/run

critest: setup ## Kubernetes' tests of a runtime, by two versions of containerd (hours)
	$(Q)$(MAKE) --no-print-directory all
	$(Q)MAYFLY_LONG=1 tests/run cri

kubelet: setup ## a cluster of one node whose pods are microVMs, by Kubernetes itself (an hour)
	$(Q)$(MAKE) --no-print-directory all
	$(Q)tests/run kubelet

run: setup ## run a container in a microVM and show where the time went
	$(Q)$(MAKE) --no-print-directory all
	$(Q)tests/demo

# Here times are judged; make test only tells them.
bench: export MAYFLY_JUDGE := 1
bench: setup ## measure start-up against peers, in the long form
	$(Q)$(MAKE) --no-print-directory all $(BENCHES)
	$(Q)unshare --net tests/vm/bench
	$(Q)tests/bench/ledger
	$(Q)tests/bench/save --long
	$(Q)tests/bench/reads --long
	$(Q)unshare --net tests/bench/frames --long
	$(Q)tests/bench/fork --long
	$(Q)unshare --net tests/bench/clone
	$(Q)tests/bench/jail --long
	$(Q)build/bench/irqchip
	$(Q)tests/kvm-host --native-ok -- build/bench/irqchip
	$(Q)MAYFLY_ROUNDS=15 tests/kvm-host --native-ok -- tests/bench/boot
	$(Q)tests/kvm-host --native-ok -- tests/vm/bench linux
	$(Q)$(MAKE) --no-print-directory build/guest/lab.ext4
	$(Q)tests/kvm-host --native-ok -- tests/bench/block
	$(Q)tests/kvm-host --native-ok -- tests/bench/net
	$(Q)tests/kvm-host --native-ok -- tests/bench/vsock
	$(Q)tests/kvm-host --native-ok -- tests/bench/run
	$(Q)tests/kvm-host --native-ok -- unshare --net --mount tests/bench/pod
	$(Q)tests/functions/images $(CURDIR)/build/test/functions
	$(Q)tests/kvm-host --native-ok -- unshare --net tests/bench/functions $(CURDIR)/build/test/functions

lint: programs $(LINTED) ## check floors, circles, architectures, sizes, headers, format, and what the linters say
	$(Q)tests/lint/floors
	$(Q)tests/lint/circles
	$(Q)tests/lint/size
	$(Q)tests/lint/headers
	$(Q)tests/lint/format
	$(Q)tests/lint/libc
	$(Q)tests/lint/arch
	$(Q)tests/lint/shell
	$(Q)tests/lint/tidy
	$(Q)tests/lint/man

# ---- the rest --------------------------------------------------------------

.PHONY: install clean help
install: programs guest ## install into DESTDIR/prefix (/usr/local)
	install -d $(DESTDIR)$(prefix)/bin
	install -m 755 $(PROGRAMS) $(DESTDIR)$(prefix)/bin
	install -d $(DESTDIR)$(prefix)/share/mayfly
	install -m 644 $(T)/seccomp/policy.json \
		$(DESTDIR)$(prefix)/share/mayfly/seccomp.json
	install -m 644 $(GUEST)/$(if $(filter aarch64,$(ARCH)),Image,vmlinux) \
		$(GUEST)/agent.initrd $(GUEST)/bench-initrd $(GUEST)/bench-work.initrd \
		$(DESTDIR)$(prefix)/share/mayfly
	install -m 755 $(GUEST)/bench-work $(BENCH_PARTS) \
		$(DESTDIR)$(prefix)/share/mayfly
	install -d $(DESTDIR)$(prefix)/share/man/man1
	install -m 644 docs/man/*.1 $(DESTDIR)$(prefix)/share/man/man1
	install -d $(DESTDIR)$(prefix)/share/bash-completion/completions
	install -m 644 api/ctl/completion.bash \
		$(DESTDIR)$(prefix)/share/bash-completion/completions/mayctl

clean: ## remove build/ (the kernel stays in the cache)
	rm -rf build

help: ## list the targets
	@printf 'make TARGET [ARCH=x86_64|aarch64] [FLAVOUR=release|clang|asan|tsan] [V=1]\n\n'
	@sed -n 's/^\([a-z][a-z-]*\):.*## /\1\t/p' Makefile | \
		while IFS="$$(printf '\t')" read -r t d; do \
			printf '  %-10s %s\n' "$$t" "$$d"; done
