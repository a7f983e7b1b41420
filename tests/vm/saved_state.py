"""Sourced by tests of saved state that compare what two state files have: their
sections, and of each vCPU's what KVM keeps of it, register by register. Clocks are
left out, for they go on from one save to the next (docs/snapshot.md).
"""

import struct

from saved import differing

# Of <linux/kvm.h>, in the order of vmm/arch/x86_64/state.c; XSAVE has its size before it.
MP, REGS, SREGS2, XCRS, DEBUGREGS, LAPIC, EVENTS = 4, 144, 320, 392, 128, 1024, 64
MSR_TSC, MSR_TSC_DEADLINE = 0x10, 0x6e0
HYPERV_RUNTIME, HYPERV_COUNT = 0x40000010, 0x40000020
CLOCKS = (MSR_TSC, MSR_TSC_DEADLINE, HYPERV_RUNTIME, HYPERV_COUNT)
LAPIC_COUNT = 0x390  # of its timer, counts down
LAPIC_PPR = 0xa0  # follows from others, by what KVM knew of these when it was loaded
# Of devices: what a driver has not acknowledged is raised once more by whoever held
# them and lets go (virtio_release()), as after a mark. Those from 0xe0 on are Linux's
# own, for its timer and its processors.
LAPIC_IRR = range(0x200, 0x270, 16)
WALL_CLOCK, WALL_CLOCK_BYTES = (0x11, 0x4b564d00), 12  # Documentation/virt/kvm/x86/msr.rst


def sections(path):
    """All of a state file, by name."""
    with open(path, "rb") as f:
        data = f.read()
    found, at = {}, 48
    for _ in range(struct.unpack_from("<I", data, 40)[0]):
        _, name, _, _, length = struct.unpack_from("<IHHII", data, at)
        begin = at + 16 + name
        found[data[at + 16:begin].decode()] = data[begin:begin + length]
        at = begin + length
    return found


def vcpu_parts(data):
    """What a vCPU's section has, by name; MSRs each by its own."""
    at, parts = 0, {}

    def take(size):
        nonlocal at
        at += size
        assert at <= len(data), "the section is too short"
        return data[at - size:at]

    parts["run state"], parts["registers"], parts["system registers"] = take(MP), take(REGS), take(SREGS2)
    parts["XSAVE"] = take(struct.unpack("<I", take(4))[0])
    parts["XCRs"], parts["debug registers"] = take(XCRS), take(DEBUGREGS)
    lapic = take(LAPIC)
    for register in range(0, LAPIC, 16):
        if register not in (LAPIC_COUNT, LAPIC_PPR, *LAPIC_IRR):
            parts[f"local APIC 0x{register:x}"] = lapic[register:register + 16]
    parts["TSC kHz"] = take(4)
    take(1 + 8)  # its offset to the host's
    count = struct.unpack("<I", take(4))[0]
    for _ in range(count):
        index, value = struct.unpack("<IQ", take(12))
        if index not in CLOCKS:
            parts[f"MSR 0x{index:x}"] = value
    parts["events"] = take(EVENTS)
    assert at == len(data), f"{len(data) - at} bytes of the section are left"
    return parts


def clocks_in_memory(path):
    """Where KVM writes a clock as soon as a vCPU is loaded: places and lengths."""
    parts = vcpu_parts(sections(path)["vcpu 0"])
    return [(parts[name], WALL_CLOCK_BYTES) for msr in WALL_CLOCK
            if parts.get(name := f"MSR 0x{msr:x}")]


def differing_memory(one, two):
    """Pages that differ between the memory of two saves, but for clocks; of one and
    two without the ends .state and .mem."""
    found, clocks = [], clocks_in_memory(one + ".state")
    for page in differing(one + ".mem", two + ".mem"):
        both = []
        for path in (one, two):
            with open(path + ".mem", "rb") as f:
                f.seek(page)
                both.append(bytearray(f.read(4096)))
        for at, length in clocks:
            if page <= at < page + 4096:
                for data in both:
                    data[at - page:at - page + length] = bytes(length)
        found += [] if both[0] == both[1] else [page]
    return found


def without_clocks(name, data):
    """A section as parts that have to be the same."""
    if name.startswith("vcpu "):
        return vcpu_parts(data)
    if name == "platform":
        return {"I/O APIC": data[:-16]}
    if name == "model":
        return {"CPUID": data[8:]}  # the host's TSC is before it
    return {"": data}


def differing_state(one, two):
    """Names of what differs between two state files; how many parts were compared."""
    a, b = sections(one), sections(two)
    found, count = [name for name in a.keys() ^ b.keys()], 0
    for name in a.keys() & b.keys():
        x, y = without_clocks(name, a[name]), without_clocks(name, b[name])
        count += len(x)
        found += [f"{name}: {part}" for part in sorted(x.keys() | y.keys()) if x.get(part) != y.get(part)]
    return sorted(found), count
