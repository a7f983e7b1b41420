"""Sourced by tests of saved state: the vsocker's (tests/guests/vsocker.c) disk, its
network and its answers over vsock.
"""

import atexit
import os
import subprocess

from saved import Caller, skip, wait_for

MIB = 1 << 20


def disk(path):
    """As the hostile guest's drive 0 must be."""
    with open(path, "wb") as f:
        for sector in range(64):
            f.write((b"mayfly drive 0 sector %02d" % sector).ljust(512, b"."))
        f.truncate(MIB)
    return path


def tap(end):
    """A tap whose host's end answers the guest; None where none can be made."""
    name = f"tap{os.getpid()}{end}"
    atexit.register(subprocess.run, ["ip", "link", "del", name], check=False,
                    capture_output=True)
    commands = (["ip", "tuntap", "add", "dev", name, "mode", "tap"],
                ["ip", "addr", "add", "10.9.9.1/24", "dev", name],
                ["ip", "link", "set", name, "up"])
    for command in commands:
        if subprocess.run(command, check=False, capture_output=True).returncode:
            return None
    return name


def await_carrier(name):
    """Up to a second after a tap was opened its host's end drops what it sends."""
    def is_up():
        told = subprocess.run(["ip", "-br", "link", "show", name], check=False,
                              capture_output=True, text=True).stdout.split()
        return len(told) > 1 and told[1] == "UP"
    return not name or wait_for(is_up)


def answers(path):
    """All devices' proof, asked for over vsock: whether it came, and the bytes too."""
    try:
        with Caller(path) as caller:
            return [caller.greeting[:2], caller.says(b"hello"), caller.says(b"p")] == \
                [b"OK", b"hello", b"y"]
    except OSError:
        return False


def with_devices(scratch):
    """The vsocker with all there is."""
    machine = {"drives": [{"drive_id": "d0", "path_on_host": disk(os.path.join(scratch, "disk")),
                           "is_root_device": False, "is_read_only": False, "io_engine": "Async",
                           "cache_type": "Writeback",
                           "rate_limiter": {"ops": {"size": 1000, "refill_time": 100}}}],
               "vsock": {"guest_cid": 42, "uds_path": os.path.join(scratch, "vsock")}}
    name = tap("a")
    if name:
        machine["nets"] = [{"iface_id": "eth0", "host_dev_name": name,
                            "guest_mac": "06:00:00:00:00:01"}]
    else:
        skip("saved state of a network device", "no tap could be made here")
    return machine, name
