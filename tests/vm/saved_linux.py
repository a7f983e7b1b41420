"""Sourced by tests of saved state with Linux: microVMs whose guest is the agent
(guest/agent), with a container called main, a disk that it writes to, a network
and vsock. All in a network namespace of the test's own, where KVM runs kernels.

Interface number n is the host's 10.9.n.1, the guest's 10.9.n.2.
"""

import glob
import os
import re
import shutil
import subprocess
import sys
import time

from saved import Monitor, read

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "guest"))
import peer as p  # noqa: E402

KERNEL, INITRD = "build/guest/x86_64/vmlinux", "build/guest/x86_64/agent.initrd"
PATIENCE_S = 120
# Of what the kernel says, as tests/vm/snapshot-linux has it. That it did not get to look
# at its clocks for seconds, which agree all the same, is the emulated host's doing.
COMPLAINTS = (r".*(?:lockup|stall|clocksource(?!: Long readout interval)|tsc.*unstable|hung|BUG|"
              r"Call Trace|I/O error|timed out).*")
# The host's end of a tap, the same everywhere: who comes to another finds it.
HOST_MAC = "06:00:00:00:00:fe"


def command(*words):
    subprocess.run(words, check=True, stdout=subprocess.DEVNULL)


def tap(n, up=True):
    """A tap with the host's address; what a guest sends while it is down is lost."""
    name = f"linux{n}"
    command("ip", "tuntap", "add", "dev", name, "mode", "tap")
    command("ip", "link", "set", name, "address", HOST_MAC)
    command("ip", "addr", "add", f"10.9.{n}.1/24", "dev", name)
    if up:
        command("ip", "link", "set", name, "up")
    return name


def untap(n):
    command("ip", "link", "del", f"linux{n}")


def mac(n):
    return f"06:00:00:00:01:{n:02x}"


def interface(n):
    """As renew() has it."""
    return ("", 0, [f"10.9.{n}.2/24"], f"10.9.{n}.1", "", mac(n))


def drives_of(scratch):
    """The container's root, and a disk that is written to: into an overlay."""
    tree, root, data = (os.path.join(scratch, name) for name in ("tree", "root", "data"))
    command("tests/guest/tree", tree)
    subprocess.run(["mkfs.erofs", root, tree], check=True, capture_output=True)
    shutil.rmtree(tree)
    with open(data, "wb") as f:
        f.truncate(16 << 20)
    command("mkfs.ext4", "-q", data)
    return [{"drive_id": "root", "path_on_host": root, "is_root_device": False, "is_read_only": True},
            {"drive_id": "data", "path_on_host": data, "is_root_device": False}]


class Guest:
    """Linux in a monitor, and the path of its vsock."""

    def __init__(self, monitor, vsock):
        self.m, self.vsock = monitor, vsock

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.m.kill()

    def session(self):
        """A guest that has not answered after five seconds counts as gone; in an
        emulated host on a busy machine it may be on its way."""
        end = time.monotonic() + PATIENCE_S
        while True:
            try:
                return p.Session(self.vsock, vsock=True, timeout=PATIENCE_S)
            except (OSError, p.Gone):
                if time.monotonic() > end or self.m.process.poll() is not None:
                    raise
                time.sleep(0.1)

    def ask(self, request):
        with self.session() as s:
            s.ask(request)

    def sh(self, script):
        """What a shell in the container says."""
        with self.session() as s:
            status, out, err = s.run(p.execute("main", ["/bin/sh", "-c", script]))
        if status:
            raise AssertionError(f"{script}: {status} {out!r} {err!r}")
        return out.decode()

    def renew(self, n, name):
        """Makes it another machine, on interface n."""
        self.ask(p.renew(name, os.urandom(64), [interface(n)], time.time_ns()))

    def tell(self):
        """Of one that does not go on: whether it has ended, and what its threads are at."""
        status = self.m.ended(1)
        threads = [] if status is not None else [
            f"{read(task + 'comm').strip()}: {read(task + 'stat').rpartition(') ')[2][:1]} "
            f"{read(task + 'wchan')} {read(task + 'syscall').strip()}"
            for task in glob.glob(f"/proc/{self.m.process.pid}/task/*/")]
        for line in (*self.m.serial()[-3000:].splitlines(), *self.m.log()[-600:].splitlines(),
                     *threads, f"the monitor's status is {status}"):
            print(f"#   {line}", flush=True)

    def complaints(self):
        return re.findall(COMPLAINTS, self.m.serial() + self.m.log())


def boot(scratch, script, vcpus=1, mem=192, n=1, overlay=True):
    """A guest on interface n whose container carries out a script."""
    path = os.path.join(scratch, f"vsock{n}")
    m = Monitor(scratch)
    m.do("PUT", "/boot-source", {
        "kernel_image_path": os.path.abspath(KERNEL), "initrd_path": os.path.abspath(INITRD),
        "boot_args": "console=ttyS0 loglevel=5 reboot=k panic=1"})
    m.do("PUT", "/machine-config", {"vcpu_count": vcpus, "mem_size_mib": mem})
    for drive in drives_of(scratch):
        if overlay and drive["drive_id"] == "data":
            drive["overlay"] = {}
        m.do("PUT", f"/drives/{drive['drive_id']}", drive)
    m.do("PUT", "/network-interfaces/eth0", {"iface_id": "eth0", "host_dev_name": tap(n), "guest_mac": mac(n)})
    m.do("PUT", "/vsock", {"guest_cid": 3, "uds_path": path})
    m.do("PUT", "/actions", {"action_type": "InstanceStart"})
    guest = Guest(m, path)
    try:
        s = guest.session()
    except (OSError, p.Gone) as error:
        raise AssertionError(f"Linux does not answer: {m.serial()[-600:]}\n{m.log()[-600:]}") from error
    with s:
        s.ask(p.configure(image="root", interfaces=[interface(n)[:5]], seed=os.urandom(64)))
        # Called as the machine is, and so renamed with it.
        s.send(p.run("main", ["/bin/sh", "-c", script], flags=p.DETACH | p.KEEP, hostname="vm",
                     mounts=[("data", "/data", 0, 0)]))
        s.expect(p.STARTED)
    return guest
