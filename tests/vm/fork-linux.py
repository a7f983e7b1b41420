#!/usr/bin/env python3
"""tests/vm/fork-linux.py API-SOCKET FOLDER DEPTH: forks a Linux guest that works
(tests/vm/snapshot-linux) so many deep: a child of a child of a child. Each child
has a tap, drives and a vsock socket of its own; in the end all are told to end,
and have to find what they wrote. The guest at API-SOCKET goes on. Run it in a
network namespace of its own.
"""

import os
import re
import socket
import subprocess
import sys
import time

sys.dont_write_bytecode = True
from saved import Monitor, figure, read

API, FOLDER, DEPTH = sys.argv[1], sys.argv[2], int(sys.argv[3])
PATIENCE_S = 120


class Given(Monitor):
    """A monitor that somebody else started."""

    def __init__(self, sock):  # pylint: disable=super-init-not-called
        self.sock, self.err, self.process = sock, "/dev/null", subprocess.Popen(["sleep", "600"])


def overrides(config, name):
    """Drives as they are now, a tap, a socket."""
    drives = []
    for drive in config["drives"]:
        if not drive["is_read_only"]:
            copy = f"{FOLDER}/{name}.{drive['drive_id']}"
            subprocess.run(["cp", "--sparse=always", drive["path_on_host"], copy], check=True)
            drives.append({"drive_id": drive["drive_id"], "path_on_host": copy})
    subprocess.run(["ip", "tuntap", "add", "dev", name, "mode", "tap"], check=True)
    return {"drive_overrides": drives,
            "network_overrides": [{"iface_id": net["iface_id"], "host_dev_name": name}
                                  for net in config["network-interfaces"]],
            "vsock_override": {"uds_path": f"{FOLDER}/{name}.vsock"}}


def fork(parent, name):
    with parent.fork(resume_vm=False) as forked:
        more = overrides(parent.do("GET", "/vm/config"), name)
        parent.resume()
        child = forked.child(FOLDER, **more)
    figure(f"a Linux guest under load is held for {forked.answer['pause_us']} us by a fork ({name})")
    return child


def end(child, name):
    """By the way of its vsock; returns why that was not well."""
    with socket.socket(socket.AF_UNIX) as s:
        s.settimeout(PATIENCE_S)
        s.connect(f"{FOLDER}/{name}.vsock")
        s.sendall(b"CONNECT 5009\n")
        if not s.recv(64).startswith(b"OK"):
            return "it does not answer"
        s.sendall(b"bye")
    status = child.ended(PATIENCE_S)
    said = read(f"{FOLDER}/{name}.result").replace("\0", "")
    if status != 0 or not re.search(r"^fio [1-9]", said, re.M):
        return f"status {status}: {said[-600:]}\n{child.serial()[-600:]}"
    return "\n".join(re.findall(r"^(?:dmesg:|wrong|vsock: .*(?:wrong|differ)).*", said, re.M))


def main():
    monitor, children, why = Given(API), [], ""
    try:
        for depth in range(1, DEPTH + 1):
            name = f"fork{depth}"
            monitor = fork(monitor, name)
            children.append((monitor, name))
            time.sleep(1)
        for child, name in children:
            why = why or end(child, name)
    finally:
        for child, _ in children:
            child.kill()
    print(why)
    sys.exit(bool(why))


main()
