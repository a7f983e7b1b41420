#!/usr/bin/env python3
"""What the agent does with its protocol, in TAP.

use: agent.py SOCKET [--vsock CALL] [--pid PID]

SOCKET is the agent's own, or with --vsock mayfly's, where CALL is the path of
the socket at which the agent calls. With --pid, the agent's on this machine, its
memory, descriptors and children are watched."""

import hashlib
import io
import os
import random
import socket
import struct
import sys
import tarfile
import threading
import time
import traceback

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import peer as p
from peer import Session, Refused, Gone

PATH = sys.argv[1]
VSOCK = "--vsock" in sys.argv
PID = int(sys.argv[sys.argv.index("--pid") + 1]) if "--pid" in sys.argv else None
QUICK = VSOCK  # the emulated host is about 30 times slower
IMAGE = "root" if VSOCK else ""
failed = 0


def check(name, fn):
    global failed
    try:
        fn()
        print(f"ok - {name}", flush=True)
    except Exception as e:  # a test's failure is any
        failed = 1
        print(f"not ok - {name}", flush=True)
        where = traceback.extract_tb(e.__traceback__)[-1]
        print(f"#   {type(e).__name__}: {str(e)[:300]} ({where.lineno}: {where.line})", flush=True)


def same(got, want):
    assert got == want, f"{got!r}, not {want!r}"


def open_session(**kw):
    return Session(PATH, vsock=VSOCK, **kw)


def sh(script, name="main", stdin=None, **kw):
    if stdin is not None:
        kw["flags"] = kw.get("flags", 0) | p.INPUT
    with open_session() as s:
        return s.run(p.execute(name, ["/bin/sh", "-c", script], **kw), stdin=stdin)


def refused(fn, status=None, word=""):
    try:
        fn()
    except Refused as e:
        assert status is None or e.status == status, str(e)
        assert word in e.sentence, str(e)
        return
    raise AssertionError("it was not refused")


def descriptors():
    return len(os.listdir(f"/proc/{PID}/fd"))


def memory_kib():
    with open(f"/proc/{PID}/status", encoding="ascii") as f:
        return int(next(line for line in f if line.startswith("VmRSS")).split()[1])


def children():
    with open(f"/proc/{PID}/task/{PID}/children", encoding="ascii") as f:
        return f.read().split()


# ---- the first container ------------------------------------------------------

def t_first():
    """All in one write, as a start in a hurry does it."""
    if VSOCK:
        listener = socket.socket(socket.AF_UNIX)
        call = sys.argv[sys.argv.index("--vsock") + 1]
        os.path.exists(call) and os.unlink(call)
        listener.bind(call)
        listener.listen()
        print("# ready", flush=True)
        listener.settimeout(120)
        sock, _ = listener.accept()
        began = time.time()
        s = Session(None, sock=sock, greet=False)
    else:
        began = time.time()
        s = open_session(greet=False)
    s.send(p.hello() + p.configure(image=IMAGE, dns=["192.0.2.53"], search=["example.org"]) +
           p.run("first", ["/bin/sh", "-c", "echo out; echo err >&2; exit 3"]))
    times = struct.unpack("<IIQQQ", s.expect(p.HELLO))[2:]
    s.expect(p.DONE)
    same(s.run(b""), (3, b"out\n", b"err\n"))
    print(f"# figure: HELLO, CONFIGURE, RUN and EXITED in one write = {(time.time() - began) * 1e3:.1f} ms")
    if VSOCK:
        print(f"# figure: agent runs and listens, since the kernel's start = {times[0] / 1e3:.1f} and {times[1] / 1e3:.1f} ms")
    s.close()


def t_second_configure():
    refused(lambda: open_session().ask(p.configure()), word="already")


def t_remove():
    with open_session() as s:
        same(s.containers()["first"][0], 2)
        s.ask(p.frame(p.REMOVE, struct.pack("<I", 0) + p.text("first")))
        same(s.containers(), {})


def start_main():
    with open_session() as s:
        s.send(p.run("main", ["/bin/sh", "-c", "echo hello; trap 'exit 7' TERM; while :; do sleep 0.1; done"],
                     env=["COLOUR=red"], flags=p.DETACH | p.NO_NEW_PRIVS, hostname="box"))
        s.expect(p.STARTED)
        same(s.containers()["main"][0], 1)


# ---- processes ----------------------------------------------------------------

def t_statuses():
    same(sh("exit 0")[0], 0)
    same(sh("exit 1")[0], 1)
    same(sh("kill -9 $$")[0], 137)
    same(sh("kill -TERM $$")[0], 143)
    same(sh("exit 255")[0], 255)


def t_not_found():
    with open_session() as s:
        refused(lambda: s.run(p.execute("main", ["nosuch"])), 127, "not found in PATH")
    with open_session() as s:
        refused(lambda: s.run(p.execute("main", ["/nosuch"])), 127)
    with open_session() as s:
        refused(lambda: s.run(p.execute("main", ["/etc/passwd"])), 126)
    with open_session() as s:
        refused(lambda: s.run(p.run("bad", ["nosuch"])), 127, "not found in PATH")
    with open_session() as s:
        assert "bad" not in s.containers()


def t_streams():
    same(sh("cat; echo e >&2", stdin=b"abc"), (0, b"abc", b"e\n"))
    same(sh("cat"), (0, b"", b""))  # without INPUT: /dev/null
    status, out, err = sh("head -c 300000 /dev/zero; head -c 300000 /dev/zero >&2")
    same((status, len(out), len(err)), (0, 300000, 300000))


def t_big():
    size = (10 if QUICK else 100) << 20
    block = random.Random(1).randbytes(1 << 20)
    data = block * (size >> 20)
    got = hashlib.sha256()
    n = [0]

    def sink(_, b):
        got.update(b)
        n[0] += len(b)
    began = time.time()
    with open_session() as s:
        status, _, _ = s.run(p.execute("main", ["cat"], flags=p.INPUT), stdin=data, sink=sink)
    took = time.time() - began
    same((status, n[0]), (0, size))
    same(got.hexdigest(), hashlib.sha256(data).hexdigest())
    print(f"# figure: stdin to stdout = {(size >> 20) / took:.0f} MiB/s each way")


def t_early_close():
    """A process that does not read must not hold up the rest."""
    same(sh("exec <&-; echo done", stdin=b"x" * (1 << 20)), (0, b"done\n", b""))


def t_unread_stream():
    """Nobody gives stdout credit; stderr and the exit pass it by."""
    with open_session() as s:
        s.send(p.execute("main", ["/bin/sh", "-c", "(head -c 5000000 /dev/zero) & sleep 0.3; echo past >&2; wait"]))
        err, total = b"", 0
        end = time.time() + 30
        while b"past" not in err and time.time() < end:
            kind, stream, payload = s.recv()
            if kind == p.DATA and stream == 1:
                total += len(payload)
            if kind == p.DATA and stream == 2:
                err += payload
        same(err, b"past\n")
        same(total, p.WINDOW)
        # Now it may go on.
        s.send(p.frame(p.CREDIT, struct.pack("<I", 1 << 29), 1))
        while True:
            kind, stream, payload = s.recv()
            if kind == p.DATA:
                total += len(payload)
            if kind == p.EXITED:
                break
        same(total, 5000000)


def t_stalled_session():
    """A connection that is not read at all stalls only itself."""
    s = open_session()
    s.send(p.execute("main", ["/bin/sh", "-c", "while :; do head -c 65536 /dev/zero; done"]))
    s.send(p.frame(p.CREDIT, struct.pack("<I", 1 << 29), 1))
    time.sleep(0.5)
    same(sh("echo alive"), (0, b"alive\n", b""))
    if PID:
        assert memory_kib() < 16 << 10, f"{memory_kib()} KiB"
    s.close()


def t_signal():
    with open_session() as s:
        s.send(p.execute("main", ["/bin/sh", "-c", "trap 'echo usr1; exit 9' USR1; echo up; while :; do sleep 0.05; done"]))
        s.expect(p.STARTED)
        same(s.recv()[2], b"up\n")
        s.send(p.frame(p.SIGNAL, struct.pack("<I", 10)))
        same(s.run(b""), (9, b"usr1\n", b""))


def t_tty():
    with open_session() as s:
        s.send(p.execute("main", ["/bin/sh", "-c", "stty size; tty; trap 'stty size; exit 5' WINCH; read x; echo got $x; while :; do sleep 0.05; done"],
                         flags=p.TTY | p.INPUT, rows=33, columns=77))
        s.expect(p.STARTED)
        out = b""

        def until(word):
            nonlocal out
            while word not in out:
                kind, _, payload = s.recv()
                assert kind == p.DATA, f"{kind:#x} after {out!r}"
                out += payload
        until(b"33 77")
        until(b"/dev/pts/")
        s.send(p.frame(p.DATA, b"word\r"))
        until(b"got word")
        s.send(p.frame(p.RESIZE, struct.pack("<HH", 50, 120)))
        until(b"50 120")
        same(s.run(b"")[0], 5)
    with open_session() as s:  # Ctrl-C, Ctrl-D
        s.send(p.execute("main", ["/bin/sh", "-c", "sleep 100"], flags=p.TTY | p.INPUT))
        s.expect(p.STARTED)
        time.sleep(0.3)
        s.send(p.frame(p.DATA, b"\x03"))
        same(s.run(b"")[0], 130)
    with open_session() as s:
        same(s.run(p.execute("main", ["cat"], flags=p.TTY | p.INPUT), stdin=b"")[0], 0)


def t_tty_run():
    with open_session() as s:
        status, out, _ = s.run(p.run("tty", ["/bin/sh", "-c", "tty; ls -l /dev/console; id -u"], flags=p.TTY))
        same(status, 0)
        assert b"/dev/pts/0" in out and b"console" in out, out
        s.ask(p.frame(p.REMOVE, struct.pack("<I", 0) + p.text("tty")))


def t_environment():
    _, out, _ = sh("echo $COLOUR $SIZE $HOME $HOSTNAME; echo $PATH; pwd", env=["SIZE=big"], cwd="/made/here")
    lines = out.decode().split("\n")
    same(lines[0], "red big /root box")
    assert lines[1].endswith("/usr/bin:/sbin:/bin"), lines[1]
    same(lines[2], "/made/here")
    _, out, _ = sh("cat /etc/hostname /etc/resolv.conf; hostname")
    same(out, b"box\nnameserver 192.0.2.53\nsearch example.org\nbox\n")


def t_users():
    same(sh("id -u; id -g", user="1234")[1], b"1234\n0\n")
    same(sh("id -u; id -g", user="1234:77")[1], b"1234\n77\n")
    same(sh("id -un; id -gn; id -G; echo $HOME", user="alice")[1], b"alice\nalice\n1000 1500\n/home/alice\n")
    same(sh("id -G", user="alice:1000:7,staff")[1], b"1000 7 1500\n")
    refused(lambda: sh("true", user="nobody-known"), 125, "nobody-known")
    same(sh("grep -E 'CapEff|CapBnd|NoNewPrivs' /proc/self/status", flags=p.NO_NEW_PRIVS)[1].split(),
         b"CapEff: 00000000a80425fb CapBnd: 00000000a80425fb NoNewPrivs: 1".split())
    same(sh("grep CapEff /proc/self/status", user="alice")[1].split()[1], b"0" * 16)
    same(sh("grep CapEff /proc/self/status", user="alice", ambient=1 << 10)[1].split()[1], b"0000000000000400")


def t_isolation():
    _, out, _ = sh("ls /proc | grep -c '^[0-9]'")
    assert int(out) < 8, out
    same(sh("cat /proc/1/comm")[1], b"sh\n")
    assert sh("echo x >/proc/sys/kernel/hostname")[0] != 0
    assert sh("mount -t tmpfs x /tmp")[0] != 0
    same(sh("head -c 1 /proc/kcore | wc -c")[1], b"0\n")
    same(sh("ls /dev")[1].split(), b"fd full mqueue null ptmx pts random shm stderr stdin stdout tty urandom zero".split())
    same(sh("ls -d /proc/1/root/lower /upper 2>/dev/null")[1], b"")


def t_two():
    with open_session() as s:
        s.send(p.run("other", ["sleep", "1000"], flags=p.DETACH))
        s.expect(p.STARTED)
    sh("echo mine >/tmp/mark")
    same(sh("cat /tmp/mark")[1], b"mine\n")
    assert sh("cat /tmp/mark", name="other")[0] != 0
    with open_session() as s:
        s.ask(p.frame(p.REMOVE, struct.pack("<I", 1) + p.text("other")))
        same(list(s.containers()), ["main"])


def t_read_only():
    with open_session() as s:
        status, out, err = s.run(p.run("ro", ["/bin/sh", "-c", "echo x >/x; echo x >/data/x && cat /data/x"],
                                       flags=p.READ_ONLY, mounts=[("", "/data", 0, 1 << 20)]))
        same((status, out), (0, b"x\n"))
        assert b"Read-only" in err, err
        s.ask(p.frame(p.REMOVE, struct.pack("<I", 0) + p.text("ro")))


def t_own_network():
    with open_session() as s:
        _, out, _ = s.run(p.run("net", ["/bin/sh", "-c", "ls /sys/class/net"], flags=p.OWN_NETWORK))
        same(out.split(), [b"lo"])
        s.ask(p.frame(p.REMOVE, struct.pack("<I", 0) + p.text("net")))


def t_attach_logs():
    with open_session() as s:
        s.send(p.run("talk", ["/bin/sh", "-c", "echo one; echo two >&2; read x; echo $x; exit 4"],
                     flags=p.DETACH | p.INPUT))
        s.expect(p.STARTED)
    time.sleep(0.3)
    with open_session() as s:
        logs = p.frame(p.LOGS, struct.pack("<II", 0, 0xffffffff) + p.text("talk"))
        same(s.stream(logs)[2:], (b"one\n", b"two\n"))
        tail = p.frame(p.LOGS, struct.pack("<II", 0, 1) + p.text("talk"))
        same(s.stream(tail)[2:], (b"", b"two\n"))
    waiter, follower, got = open_session(), open_session(), []
    waiter.send(p.frame(p.WAIT, p.text("talk")))
    thread = threading.Thread(target=lambda: got.append(follower.stream(
        p.frame(p.LOGS, struct.pack("<II", 1, 0) + p.text("talk")))))
    thread.start()
    time.sleep(0.1)
    with open_session() as s:
        same(s.run(p.frame(p.ATTACH, p.text("talk")), stdin=b"three\n"), (4, b"three\n", b""))
    same(struct.unpack("<II", waiter.expect(p.EXITED)), (4, 0))
    thread.join(30)
    same(got[0][2], b"three\n")
    waiter.close()
    follower.close()
    with open_session() as s:
        s.ask(p.frame(p.REMOVE, struct.pack("<I", 0) + p.text("talk")))


def t_log_ring():
    with open_session() as s:
        s.send(p.run("noisy", ["/bin/sh", "-c", "i=0; while [ $i -lt 3000 ]; do echo line $i; i=$((i+1)); done"],
                     flags=p.DETACH, log=4096))
        s.expect(p.STARTED)
        s.ask(p.frame(p.WAIT, p.text("noisy")), p.EXITED)
        out = s.stream(p.frame(p.LOGS, struct.pack("<II", 0, 0xffffffff) + p.text("noisy")))[2]
        assert out.endswith(b"line 2999\n") and len(out) <= 4096, len(out)
        out = s.stream(p.frame(p.LOGS, struct.pack("<II", 0, 3) + p.text("noisy")))[2]
        same(out, b"line 2997\nline 2998\nline 2999\n")
        s.ask(p.frame(p.REMOVE, struct.pack("<I", 0) + p.text("noisy")))


def t_lost_session():
    """Without KEEP, a connection's end is its process's."""
    s = open_session()
    s.send(p.execute("main", ["sleep", "4321"]))
    s.expect(p.STARTED)
    s.close()
    time.sleep(0.3)
    same(sh("pgrep -fx 'sleep 4321' | wc -l")[1], b"0\n")
    s = open_session()
    s.send(p.execute("main", ["sleep", "4322"], flags=p.KEEP))
    s.expect(p.STARTED)
    s.close()
    time.sleep(0.3)
    same(sh("pgrep -fx 'sleep 4322' | wc -l; pkill -fx 'sleep 4322'")[1], b"1\n")


# ---- files --------------------------------------------------------------------

def copy_in(archive, path="/srv", flags=4, name="main"):
    with open_session() as s:
        s.stream(p.frame(p.COPY_IN, struct.pack("<I", flags) + p.text(name) + p.text(path)), stdin=archive)


def copy_out(path, flags=0, name="main"):
    with open_session() as s:
        out = s.stream(p.frame(p.COPY_OUT, struct.pack("<I", flags) + p.text(name) + p.text(path)))[2]
    return tarfile.open(fileobj=io.BytesIO(out))


def archive_of(entries, kind=tarfile.PAX_FORMAT):
    buf = io.BytesIO()
    with tarfile.open(fileobj=buf, mode="w", format=kind) as tar:
        for name, kw, data in entries:
            info = tarfile.TarInfo(name)
            info.size = len(data)
            for k, v in kw.items():
                setattr(info, k, v)
            tar.addfile(info, io.BytesIO(data))
    return buf.getvalue()


def t_copy():
    big = random.Random(2).randbytes(3_000_001)
    long = "d/" * 60 + "n" * 120
    for kind in (tarfile.PAX_FORMAT, tarfile.GNU_FORMAT):
        copy_in(archive_of([
            ("tree", {"type": tarfile.DIRTYPE, "mode": 0o750, "uid": 5, "gid": 6}, b""),
            ("tree/big", {"mode": 0o640, "mtime": 1234567890, "uid": 5}, big),
            ("tree/link", {"type": tarfile.SYMTYPE, "linkname": "/etc/passwd"}, b""),
            ("tree/hard", {"type": tarfile.LNKTYPE, "linkname": "tree/big"}, b""),
            ("tree/" + long, {}, b"deep"),
        ], kind))
    tar = copy_out("/srv/tree")
    names = {m.name: m for m in tar.getmembers()}
    same(tar.extractfile("tree/big").read(), big)
    same((names["tree"].mode, names["tree"].uid, names["tree"].gid), (0o750, 5, 6))
    same((names["tree/big"].mode, names["tree/big"].mtime), (0o640, 1234567890))
    same(names["tree/link"].linkname, "/etc/passwd")
    same(tar.extractfile("tree/" + long).read(), b"deep")
    same(sh("stat -c %i /srv/tree/big /srv/tree/hard | uniq | wc -l")[1], b"1\n")
    assert copy_out("/srv/tree/link").getmembers()[0].issym()
    assert copy_out("/srv/tree/link", 1).extractfile("link").read().startswith(b"root:")


def t_copy_bad():
    refused(lambda: copy_in(archive_of([("../up", {}, b"x")])), word="..")
    refused(lambda: copy_in(archive_of([("dev", {"type": tarfile.CHRTYPE, "devmajor": 1, "devminor": 3}, b"")])), word="device")
    refused(lambda: copy_in(archive_of([("hard", {"type": tarfile.LNKTYPE, "linkname": "../../etc/passwd"}, b"")])))
    refused(lambda: copy_in(b"no archive" * 100), word="tar header")
    refused(lambda: copy_in(archive_of([("short", {}, b"x" * 5000)])[:3000]), word="breaks off")
    refused(lambda: copy_in(archive_of([("f", {}, b"")]), "/nosuch/dir", 0), word="No such")
    refused(lambda: copy_out("/nosuch"), word="No such")
    # A link in the container leads to places in the container.
    sh("rm -rf /srv/esc; ln -s /tmp /srv/esc")
    copy_in(archive_of([("esc/owned", {}, b"x")]), "/srv")
    same(sh("cat /tmp/owned")[1], b"x")
    assert not os.path.exists("/tmp/owned") or VSOCK
    same(sh("echo alive")[1], b"alive\n")


# ---- ports --------------------------------------------------------------------

def forward(port):
    s = open_session()
    s.send(p.frame(p.FORWARD, struct.pack("<H", port) + p.text("")))
    s.expect(p.STARTED)
    return s


def t_forward():
    with open_session() as s:
        s.send(p.execute("main", ["/bin/sh", "-c", "nc -ll -p 7777 -e cat"], flags=p.DETACH))
        s.expect(p.STARTED)
    for _ in range(50):
        try:
            s = forward(7777)
            break
        except Refused:
            time.sleep(0.1)
    data = random.Random(3).randbytes(2_000_000)
    threading.Thread(target=lambda: (s.sock.sendall(data), s.sock.shutdown(socket.SHUT_WR))).start()
    got = bytes(s.buf)
    while True:
        b = s.sock.recv(1 << 18)
        if not b:
            break
        got += b
    same(hashlib.sha256(got).digest(), hashlib.sha256(data).digest())
    s.close()
    refused(lambda: forward(1), word="refused")
    sh("pkill nc")


# ---- the machine --------------------------------------------------------------

def t_machine():
    with open_session() as s:
        s.ask(p.frame(p.SYNC))
        s.ask(p.frame(p.CLOCK, struct.pack("<Q", time.time_ns())))
        s.ask(p.frame(p.IDENTITY, struct.pack("<Q", 0) + p.text("vm2") + p.text(os.urandom(32))))
        refused(lambda: s.ask(p.frame(p.IDENTITY, struct.pack("<Q", 0) + p.text("vm2") + p.text(b"short"))))


# ---- hostile peers ------------------------------------------------------------

def raw(data, wait=0.02):
    s = open_session(greet=False)
    s.sock.settimeout(wait)
    try:
        s.sock.sendall(data)
        while s.sock.recv(1 << 16):
            pass
    except (TimeoutError, OSError):
        pass
    s.close()


def t_rules():
    for data, word in ((p.frame(p.LIST), "HELLO comes first"),
                       (p.frame(p.HELLO, b"x" * 32), "no HELLO"),
                       (p.frame(p.HELLO, struct.pack("<IIQQQ", p.MAGIC, 99, 0, 0, 0)), "version"),
                       (struct.pack("<IBBH", 1 << 30, p.RUN, 0, 0), "too long"),
                       (p.hello() + p.frame(0x77), "no request")):
        s = open_session(greet=False)
        s.send(data)
        if data.startswith(p.hello()):
            s.expect(p.HELLO)
        refused(lambda: s.expect(p.DONE), word=word)
        s.close()
    s = open_session()
    s.send(p.execute("main", ["sleep", "100"], flags=p.INPUT) + p.frame(p.DATA, b"x" * 65536) * 5)
    refused(lambda: s.stream(b""), word="more DATA")


def t_fuzz():
    rng = random.Random(4)
    good = [p.hello(), p.configure(), p.run("fuzz", ["true"]), p.execute("main", ["true"]),
            p.frame(p.LIST), p.frame(p.WAIT, p.text("main")), p.frame(p.KILL, struct.pack("<I", 0) + p.text("main")),
            p.frame(p.LOGS, struct.pack("<II", 0, 5) + p.text("main")), p.frame(p.DATA, b"abc"), p.frame(p.EOF),
            p.frame(p.CREDIT, struct.pack("<I", 1000), 1), p.frame(p.RESIZE, struct.pack("<HH", 1, 1)),
            p.frame(p.COPY_OUT, struct.pack("<I", 0) + p.text("main") + p.text("/etc")),
            p.frame(p.COPY_IN, struct.pack("<I", 0) + p.text("main") + p.text("/tmp")),
            p.frame(p.FORWARD, struct.pack("<H", 9) + p.text("")), p.frame(p.ATTACH, p.text("nosuch"))]
    before = descriptors() if PID else 0
    frames = 0
    for _ in range(60 if QUICK else 1200):
        data = bytearray(p.hello() if rng.random() < 0.9 else b"")
        for _ in range(rng.randint(1, 6)):
            f = bytearray(rng.choice(good))
            for _ in range(rng.randint(0, 4)):
                f[rng.randrange(len(f))] = rng.choice((0, 1, 0xff, 0x7f, rng.randrange(256)))
            if f[4] in (p.SHUTDOWN, p.KILL, p.REMOVE):
                f[4] = p.LIST
            if rng.random() < 0.1:
                del f[rng.randrange(len(f)):]
            data += f
            frames += 1
        raw(bytes(data), 0.002)
    time.sleep(0.5)
    same(sh("echo alive")[1], b"alive\n")
    print(f"# figure: mutated frames survived = {frames}")
    if PID:
        assert memory_kib() < 16 << 10, f"{memory_kib()} KiB"
        print(f"# figure: agent's memory after them = {memory_kib()} KiB")
        time.sleep(0.5)
        same(descriptors(), before)


def t_flood():
    """More connections than there are sessions: the rest are closed, and go on
    working when there is room."""
    held = []
    for _ in range(200):
        s = socket.socket(socket.AF_UNIX)
        try:
            s.connect(PATH)
            held.append(s)
        except OSError:
            s.close()
    time.sleep(0.2)
    for s in held:
        s.close()
    time.sleep(0.3)
    same(sh("echo alive")[1], b"alive\n")


def t_many():
    n = 30 if QUICK else 1000
    sh("true")
    time.sleep(0.2)
    before = (descriptors(), len(children())) if PID else None
    began = time.time()
    for i in range(n):
        with open_session() as s:
            status, out, _ = s.run(p.execute("main", ["/bin/echo", str(i)]))
            assert (status, out) == (0, b"%d\n" % i), (i, status, out)
    print(f"# figure: one exec of {n}, connection and all = {(time.time() - began) * 1e3 / n:.2f} ms")
    time.sleep(0.2)
    if PID:
        same((descriptors(), len(children())), before)


def t_churn():
    n = 5 if QUICK else 100
    before = descriptors() if PID else 0
    began = time.time()
    for _ in range(n):
        with open_session() as s:
            same(s.run(p.run("again", ["true"]))[0], 0)
            s.ask(p.frame(p.REMOVE, struct.pack("<I", 0) + p.text("again")))
    print(f"# figure: RUN of true, and REMOVE, of {n} = {(time.time() - began) * 1e3 / n:.2f} ms")
    if PID:
        time.sleep(0.2)
        same(descriptors(), before)
        same(len(children()), 1)


def t_kill():
    with open_session() as s:
        s.send(p.frame(p.KILL, struct.pack("<I", 15) + p.text("main")))
        s.expect(p.DONE)
        same(struct.unpack("<II", s.ask(p.frame(p.WAIT, p.text("main")), p.EXITED)), (7, 0))
        refused(lambda: s.ask(p.frame(p.KILL, struct.pack("<I", 15) + p.text("main"))), word="ended")
    # Files of an ended container can still be had.
    assert copy_out("/etc/passwd").getnames() == ["passwd"]


def t_shutdown():
    with open_session() as s:
        s.send(p.run("last", ["/bin/sh", "-c", "trap 'exit 0' TERM; while :; do sleep 0.05; done"], flags=p.DETACH))
        s.expect(p.STARTED)
        try:
            s.ask(p.frame(p.SHUTDOWN, struct.pack("<I", 5000)))
        except Gone:
            assert VSOCK


TESTS = [
    ("HELLO, CONFIGURE and RUN in one write", t_first),
    ("a machine is configured once", t_second_configure),
    ("an ended container is listed and removed", t_remove),
    ("a container runs detached", start_main),
    ("exit statuses 0, 1, 137, 143, 255", t_statuses),
    ("127 for what is not there, 126 for what cannot run", t_not_found),
    ("three pipes, and the end of stdin", t_streams),
    ("a large stdin comes back from stdout unchanged", t_big),
    ("a process that does not read its stdin ends all the same", t_early_close),
    ("an unread stdout stops at its window and nothing else does", t_unread_stream),
    ("an unread connection stops only itself, in bounded memory", t_stalled_session),
    ("a signal arrives", t_signal),
    ("a terminal: size, resize, Ctrl-C, Ctrl-D", t_tty),
    ("a container with a terminal has a console", t_tty_run),
    ("environment, working directory, files in /etc", t_environment),
    ("users, groups, capabilities, no_new_privs", t_users),
    ("a container sees only itself", t_isolation),
    ("two containers do not see each other's files", t_two),
    ("a read-only root with a tmpfs in it", t_read_only),
    ("a network of its own", t_own_network),
    ("attach, wait, logs, followed logs", t_attach_logs),
    ("a log keeps the last of it", t_log_ring),
    ("a lost connection ends its process, unless told to keep it", t_lost_session),
    ("files both ways", t_copy),
    ("bad archives and links that lead out", t_copy_bad),
    ("a forwarded port, with half-close", t_forward),
    ("sync, clock and identity", t_machine),
    ("rules of the protocol are kept", t_rules),
    ("mutated frames", t_fuzz),
    ("more connections than sessions", t_flood),
    ("many execs leave nothing behind", t_many),
    ("many containers leave nothing behind", t_churn),
    ("kill, the container's own status, files afterwards", t_kill),
    ("shutdown", t_shutdown),
]

for title, test in TESTS:
    check(title, test)
    if failed and test is t_first:
        break
sys.exit(failed)
