"""Sourced by tests of saved state: monitors that are told over their API, what
their guests say on the serial port, snapshots, and handlers of page faults.

A test is a function; run_all() carries them out, and one that raises has failed
and ends nothing else.
"""

import json
import os
import re
import shutil
import signal
import socket
import struct
import subprocess
import sys
import tempfile
import time
import traceback

MONITOR = os.path.abspath(os.environ.get("MAYFLY", "build/mayfly"))
LONG = bool(os.environ.get("MAYFLY_LONG"))
JUDGES = bool(os.environ.get("MAYFLY_JUDGE"))
PATIENCE_S = 30
failed = False


def check(name, good, why=""):
    global failed
    failed |= not good
    print(("ok - " if good else "not ok - ") + name, flush=True)
    for line in [] if good else str(why).splitlines()[-20:]:
        print(f"#   {line}", flush=True)
    return good


def judge(name, good, why=""):
    """A check about how quick something is; see tests/tap.sh."""
    if JUDGES:
        check(name, good, why)
    else:
        print(("# holds here: " if good else
               "# figure: does not hold on this machine just now: ") + name, flush=True)


def figure(text):
    print(f"# figure: {text}", flush=True)


def skip(name, why):
    print(f"ok - {name} # SKIP {why}", flush=True)


def wait_for(condition, patience_s=PATIENCE_S):
    end = time.monotonic() + patience_s
    while not condition():
        if time.monotonic() > end:
            return bool(condition())
        time.sleep(0.005)
    return True


def read(path):
    try:
        with open(path, encoding="utf-8", errors="replace") as f:
            return f.read().replace("\r", "")
    except FileNotFoundError:
        return ""


def bytes_of(path):
    with open(path, "rb") as f:
        return f.read()


def open_files(pid):
    """Descriptors of a process and what they name; one that is closed meanwhile is none."""
    folder, names = f"/proc/{pid}/fd", {}
    for fd in os.listdir(folder):
        try:
            names[fd] = os.readlink(f"{folder}/{fd}")
        except FileNotFoundError:
            pass
    return names


def blocks(path):
    """Bytes that a file takes on its file system."""
    return os.stat(path).st_blocks * 512


def extents(path):
    """Where a file is no hole."""
    found, at = [], 0
    with open(path, "rb") as f:
        while True:
            try:
                begin = os.lseek(f.fileno(), at, os.SEEK_DATA)
            except OSError:
                return found
            at = os.lseek(f.fileno(), begin, os.SEEK_HOLE)
            found.append((begin, at))


def differing(one, two):
    """Pages of two files that differ, by their offsets; holes cost nothing."""
    found = []
    with open(one, "rb") as a, open(two, "rb") as b:
        for begin, end in extents(one) + extents(two):
            a.seek(begin)
            b.seek(begin)
            for at in range(begin, end, 4096):
                if a.read(min(4096, end - at)) != b.read(min(4096, end - at)):
                    found.append(at)
    return sorted(set(found))


def same_bytes(one, two):
    """Whether two files have the same bytes."""
    return os.path.getsize(one) == os.path.getsize(two) and not differing(one, two)


class Refused(Exception):
    """A request that was answered by 400, with its sentence."""


class Monitor:
    """
    A monitor with an API, before or after its start. words are options beside
    the socket's; within stands before its command. sock is where the socket is,
    as seen from here; its own name for it may be another.
    """

    count = 0

    def __init__(self, scratch, words=(), command=None, sock=None, stdin=subprocess.DEVNULL,
                 files=()):
        Monitor.count += 1
        base = os.path.join(scratch, f"vm{Monitor.count}")
        self.sock = sock or base + ".sock"
        self.out, self.err = base + ".serial", base + ".log"
        command = command or [MONITOR, "--api-sock", self.sock]
        with open(self.out, "wb") as out, open(self.err, "wb") as err:
            self.process = subprocess.Popen(
                [*command, *words], stdin=stdin, stdout=out, stderr=err, pass_fds=files)
        wait_for(lambda: os.path.exists(self.sock) or self.process.poll() is not None)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.kill()

    def ask(self, method, target, body=None, patience_s=PATIENCE_S, files=None):
        """
        Returns the status and the body, parsed where there is one; files gets
        the descriptors that come along. Where none comes, the monitor's log
        says what the matter was.
        """
        try:
            return self.exchange(method, target, body, patience_s, files)
        except OSError as error:
            raise ConnectionError(f"{method} {target}: {error}; the monitor's status is "
                                  f"{self.ended(1)}\n{self.log()[-600:]}") from error

    def exchange(self, method, target, body, patience_s, files):
        data = b"" if body is None else json.dumps(body).encode()
        head = f"{method} {target} HTTP/1.1\r\nContent-Length: {len(data)}\r\n\r\n"
        answer = b""
        with socket.socket(socket.AF_UNIX) as s:
            s.settimeout(patience_s)
            # It stands before it listens.
            wait_for(lambda: not s.connect_ex(self.sock) or self.process.poll() is not None)
            s.sendall(head.encode() + data)
            while b"\r\n\r\n" not in answer:
                answer += self.more(s, files)
            head, _, rest = answer.partition(b"\r\n\r\n")
            length = re.search(rb"Content-Length: *(\d+)", head, re.I)
            length = int(length.group(1)) if length else 0
            while len(rest) < length:
                rest += self.more(s)
        return int(head.split()[1]), json.loads(rest) if rest else None

    @staticmethod
    def more(s, files=None):
        if files is None:
            some = s.recv(65536)
        else:
            some, came, _, _ = socket.recv_fds(s, 65536, 4)
            files += came
        if not some:
            raise ConnectionError("the monitor closed the connection without an answer")
        return some

    def do(self, method, target, body=None, patience_s=PATIENCE_S):
        status, answer = self.ask(method, target, body, patience_s)
        if status >= 300:
            raise Refused(f"{method} {target}: {answer}\n{self.log()[-600:]}")
        return answer

    def refusal(self, method, target, body=None):
        """The sentence of a 400; anything else is a failure of the test's."""
        status, answer = self.ask(method, target, body)
        if status != 400:
            raise AssertionError(f"{method} {target} {body} was answered by {status}, not 400")
        return answer["fault_message"]

    def start(self, guest, args="quiet", vcpus=1, mem=128, drives=(), nets=(), vsock=None, **machine):
        self.do("PUT", "/boot-source", {"kernel_image_path": os.path.abspath(f"build/guests/{guest}"),
                                        "boot_args": args})
        self.do("PUT", "/machine-config", {"vcpu_count": vcpus, "mem_size_mib": mem, **machine})
        for drive in drives:
            self.do("PUT", f"/drives/{drive['drive_id']}", drive)
        for net in nets:
            self.do("PUT", f"/network-interfaces/{net['iface_id']}", net)
        if vsock:
            self.do("PUT", "/vsock", vsock)
        self.do("PUT", "/actions", {"action_type": "InstanceStart"})

    def state(self):
        return self.do("GET", "/")["state"]

    def pause(self):
        self.do("PATCH", "/vm", {"state": "Paused"})

    def resume(self):
        self.do("PATCH", "/vm", {"state": "Resumed"})

    def save(self, place, kind="Full", **more):
        """Of a VM that is paused; place.state and place.mem."""
        self.do("PUT", "/snapshot/create",
                {"snapshot_type": kind, "snapshot_path": place + ".state",
                 "mem_file_path": place + ".mem", **more}, patience_s=120)

    def load(self, place, backend="File", handler=None, resume_vm=True, **more):
        self.do("PUT", "/snapshot/load", load_body(place, backend, handler, resume_vm, **more))

    def fork(self, **body):
        """What it answers, with the descriptors of state, memory and overlays."""
        files = []
        status, answer = self.ask("PUT", "/snapshot/fork", body, 120, files)
        want = 2 + ("has_overlays" in (answer or {}))
        if status != 200 or len(files) != (0 if "socket_path" in body else want):
            raise Refused(f"fork {body}: {status} {answer} {files}\n{self.log()[-600:]}")
        return Forked(answer, files)

    def metrics(self, path):
        """What it counts, where --metrics-path is path."""
        self.do("PUT", "/actions", {"action_type": "FlushMetrics"})
        return json.loads(read(path).splitlines()[-1])

    def serial(self):
        return read(self.out)

    def log(self):
        return read(self.err)

    def says(self, pattern, patience_s=PATIENCE_S):
        """Waits until the serial port has said it."""
        return wait_for(lambda: re.search(pattern, self.serial(), re.M), patience_s)

    def ticks(self):
        return [int(n) for n in re.findall(r"^tick (\d+)\n", self.serial(), re.M)]

    def bad(self):
        return re.findall(r"^bad .*$", self.serial(), re.M)

    def goes_on(self, count=8):
        """So many ticks more, or a reason why not."""
        before = len(self.ticks())
        wait_for(lambda: len(self.ticks()) >= before + count or self.process.poll() is not None)
        ticks = self.ticks()
        if len(ticks) < before + count:
            return f"only {ticks[before:]} came\n{self.serial()[-300:]}\n{self.log()[-600:]}"
        if self.bad():
            return "\n".join(self.bad())
        if any(b != a + 1 for a, b in zip(ticks, ticks[1:])):
            return f"ticks are missing: {ticks}"
        return ""

    def term(self):
        self.process.send_signal(signal.SIGTERM)
        return self.ended()

    def ended(self, patience_s=PATIENCE_S):
        """Its exit status; None while it lives."""
        try:
            return self.process.wait(patience_s)
        except subprocess.TimeoutExpired:
            return None

    def kill(self):
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()


class Forked:
    """A fork: what was answered, and its descriptors."""

    def __init__(self, answer, files):
        self.answer, self.files = answer, files

    def __enter__(self):
        return self

    def __exit__(self, *_):
        for fd in self.files:
            os.close(fd)

    def words(self):
        """The option that lets a monitor have them."""
        return ("--file-fds", ",".join(str(fd) for fd in sorted(self.files)))

    def body(self, **more):
        state, memory, *overlays = self.files
        more = {**{"overlay_file_path": f"fd:{fd}:overlays" for fd in overlays}, **more}
        return {"snapshot_path": f"fd:{state}:state", "resume_vm": True,
                "mem_backend": {"backend_type": "File", "backend_path": f"fd:{memory}:memory"},
                **more}

    def child(self, scratch, **more):
        m = Monitor(scratch, words=self.words(), files=self.files)
        m.do("PUT", "/snapshot/load", self.body(**more))
        return m


class Caller:
    """A connection to the guest over vsock."""

    def __init__(self, path):
        self.s = socket.socket(socket.AF_UNIX)
        self.s.settimeout(15)
        self.s.connect(path)
        self.s.sendall(b"CONNECT 5000\n")
        self.greeting = self.s.recv(100)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.s.close()

    def says(self, what):
        """What comes back; empty where the connection ended."""
        answer = b""
        try:
            self.s.sendall(what)
            while len(answer) < len(what):
                more = self.s.recv(len(what) - len(answer))
                if not more:
                    return b""
                answer += more
        except OSError as error:
            return repr(error).encode()
        return answer


def load_body(place, backend="File", handler=None, resume_vm=True, **more):
    return {"snapshot_path": place + ".state", "resume_vm": resume_vm,
            "mem_backend": {"backend_type": backend,
                            "backend_path": handler or place + ".mem"}, **more}


# tests/guests/scribbler.c; no multiple of an overlay's cluster.
EXTENTS, EXTENT, FIRST = 240, 5 * 512, 0xba5e0000
SCRIBBLED_BYTES = EXTENTS * EXTENT + 1536


def scribbled(path):
    """A disk as that guest expects it to come."""
    with open(path, "wb") as f:
        for i in range(EXTENTS):
            f.write(struct.pack("<I", FIRST + i) * (EXTENT // 4))
        f.truncate(SCRIBBLED_BYTES)
    return path


def rounds(m, seen=0):
    return len(re.findall(r"^round", m.serial()[seen:], re.M))


def scribbles(m, count=6):
    """So many rounds more it writes, and reads what it wrote; or why not."""
    seen = len(m.serial())
    wait_for(lambda: rounds(m, seen) >= count or m.process.poll() is not None)
    if rounds(m, seen) < count:
        return f"it does not go on\n{m.serial()[-300:]}\n{m.log()[-600:]}"
    return "\n".join(m.bad())


class Handler:
    """A handler of page faults for place.mem; words as uffd-handler has them."""

    def __init__(self, place, *words):
        self.path, self.out = place + ".uffd", place + ".uffd.said"
        with open(self.out, "wb") as out:
            self.process = subprocess.Popen(
                ["build/bench/uffd-handler", self.path, place + ".mem", *words],
                stdout=out, stderr=out)
        wait_for(lambda: "listening" in self.said())

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.process.kill()
        self.process.wait()

    def said(self):
        return read(self.out)


def saved(scratch, name, guest="ticker", ready=r"^tick 3$", **machine):
    """Starts a guest, saves it when it has said that it is ready, and ends it."""
    place = os.path.join(scratch, name)
    with Monitor(scratch) as m:
        m.start(guest, **machine)
        if not m.says(ready):
            raise AssertionError(f"{guest} did not get ready: {m.serial()}\n{m.log()}")
        m.pause()
        m.save(place)
    return place


def copied(place, name):
    """The same snapshot under another name, holes and all."""
    new = os.path.join(os.path.dirname(place), name)
    for end in (".state", ".mem"):
        subprocess.run(["cp", "--sparse=always", place + end, new + end], check=True)
    return new


def run_all(tests, words):
    """Those tests that words name, or all; a folder of its own for each."""
    for test in tests:
        if words and test.__name__ not in words:
            continue
        scratch = tempfile.mkdtemp(prefix="mayfly-saved.")
        try:
            test(scratch)
        except Exception:  # pylint: disable=broad-except
            check(test.__name__, False, traceback.format_exc())
        finally:
            shutil.rmtree(scratch, ignore_errors=True)
    sys.exit(failed)
