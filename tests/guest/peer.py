"""The host's end of guest/proto.h, for tests: small, blocking, checks what it
is told. Numbers and names are those of the header."""

import os
import select
import socket
import struct
import time

HELLO, DATA, EOF, CREDIT = 0x01, 0x02, 0x03, 0x04
(CONFIGURE, RUN, EXEC, ATTACH, LOGS, WAIT, KILL, REMOVE, LIST, COPY_IN, COPY_OUT,
 FORWARD, SYNC, CLOCK, IDENTITY, SHUTDOWN, FILE, FREEZE, THAW, RENEW, PREPARE) = range(0x10, 0x25)
GROUP, STATS, OOM, SHARED = range(0x25, 0x29)
SIGNAL, RESIZE = 0x30, 0x31
STARTED, EXITED, DONE, ERROR, CONTAINER, PROGRESS, USAGE, KILLS = range(0x40, 0x48)
TTY, INPUT, KEEP, DETACH, NO_NEW_PRIVS, READ_ONLY, UNMASKED, OWN_NETWORK, INIT, IDLE, SECURITY = (
    1 << n for n in range(11))
SETS, UMASK, SCORE, SYS, GROUPS, NODES = (1 << n for n in range(6))
ANY, CHAR, FIFO, BLOCK = range(4)
ALL = 0xffffffff  # numbers of devices
MOUNT_READ_ONLY, MOUNT_FILE, MOUNT_NO_EXEC, MOUNT_NO_SUID, MOUNT_OWNER, MOUNT_SHARED = (1 << n for n in range(6))
MAGIC, VERSION, WINDOW, DATA_MAX = 0x4659414d, 2, 256 << 10, 64 << 10
SESSIONS, RESERVED = 128, 8
DOCKER_CAPS = 0xa80425fb  # what docker gives a container


class Refused(Exception):
    def __init__(self, error, status, sentence):
        super().__init__(f"errno {error}, status {status}: {sentence}")
        self.error, self.status, self.sentence = error, status, sentence


class Gone(Exception):
    pass


def text(s):
    b = s if isinstance(s, bytes) else s.encode()
    return struct.pack("<I", len(b)) + b


def items(strings):
    return struct.pack("<I", len(strings)) + b"".join(map(text, strings))


def frame(kind, payload=b"", stream=0):
    return struct.pack("<IBBH", len(payload), kind, stream, 0) + payload


def hello():
    return frame(HELLO, struct.pack("<IIQQQ", MAGIC, VERSION, 0, 0, 0))


def configure(image="", hostname="vm", interfaces=(), dns=(), search=(), options=(), seed=b"",
              upper="", time_ns=0, tmp=0):
    p = struct.pack("<QQ", time_ns, tmp)
    p += text(hostname) + text(image) + text(upper) + text(seed)
    p += struct.pack("<I", len(interfaces))
    for name, mtu, addresses, gw4, gw6 in interfaces:
        p += struct.pack("<I", mtu) + text(name) + items(addresses) + text(gw4) + text(gw6)
    return frame(CONFIGURE, p + items(dns) + items(search) + items(options))


def renew(hostname="", seed=b"", interfaces=(), time_ns=0):
    """interfaces: as configure()'s, with an address of hardware at the end."""
    p = struct.pack("<Q", time_ns) + text(hostname) + text(seed) + struct.pack("<I", len(interfaces))
    for name, mtu, addresses, gw4, gw6, mac in interfaces:
        p += struct.pack("<I", mtu) + text(mac) + text(name) + items(addresses) + text(gw4) + text(gw6)
    return frame(RENEW, p)


def rights(sets=None, umask=None, score=None, flags=0):
    """What EXEC has with SECURITY; sets: effective, permitted, inheritable."""
    flags |= (SETS if sets else 0) | (UMASK if umask is not None else 0) | (SCORE if score is not None else 0)
    return struct.pack("<IIiQQQ", flags, umask or 0, score or 0, *(sets or (0, 0, 0)))


def walls(bpf=b"", ipc="", uts="", pid="", hidden=(), fixed=(), sysctls=(), devices=(), rules=(),
          bpf_flags=0, propagation=0, **kw):
    """What RUN has: devices are (kind, major, minor, mode, uid, gid, is_optional, path), rules
    (kind, major, minor, access, is_allowed), sysctls pairs."""
    p = rights(**kw) + struct.pack("<II", bpf_flags, propagation) + text(bpf)
    p += text(ipc) + text(uts) + text(pid) + items(hidden) + items(fixed)
    p += items([word for pair in sysctls for word in pair]) + struct.pack("<I", len(devices))
    for *numbers, path in devices:
        p += struct.pack("<7I", *numbers) + text(path)
    p += struct.pack("<I", len(rules))
    for rule in rules:
        p += struct.pack("<5I", *rule)
    return p


def process(argv, env=(), cwd="", user="", flags=0, rows=0, columns=0, caps=DOCKER_CAPS, ambient=0):
    return (struct.pack("<IHHQQ", flags, rows, columns, caps, ambient) + text(user) + text(cwd) +
            items(argv) + items(env))


def run(name, argv, image="", hostname="", mounts=(), limits=(), hosts=(), stop=0, log=0, shm=0, security=b"", **kw):
    """security: of walls(), or none. mounts: (serial or file, path, flags, bytes[, mode[, uid, gid]])."""
    kw["flags"] = kw.get("flags", 0) | (SECURITY if security else 0)
    p = process(argv, **kw) + struct.pack("<IIQ", stop, log, shm) + text(name) + text(image) + text(hostname)
    p += struct.pack("<I", len(mounts))
    for serial, path, flags, size, *mode in mounts:
        p += struct.pack("<IIQ", flags, mode[0] if mode else 0, size)
        p += struct.pack("<II", *mode[1:]) if flags & MOUNT_OWNER else b""
        p += text(serial) + text(path)
    p += struct.pack("<I", len(limits))
    for limit in limits:
        p += struct.pack("<IQQ", *limit)
    return frame(RUN, p + items(hosts) + security)


def file(name, data, mode=0o644, uid=0, gid=0):
    return frame(FILE, struct.pack("<III", mode, uid, gid) + text(name) + text(data))


def group(name, limits=()):
    """limits: pairs of a file and what is written to it."""
    return frame(GROUP, text(name) + items([word for pair in limits for word in pair]))


def execute(name, argv, security=b"", **kw):
    kw["flags"] = kw.get("flags", 0) | (SECURITY if security else 0)
    return frame(EXEC, process(argv, **kw) + text(name) + security)


class Session:
    """One connection. `vsock`: the path is mayfly's, with a CONNECT first."""

    def __init__(self, path, vsock=False, sock=None, greet=True, timeout=60):
        self.sock = sock or socket.socket(socket.AF_UNIX)
        self.buf = bytearray()
        self.progress = []  # what was told of it
        # Before the timeout, with which who finds the queue full does not wait.
        if sock is None:
            self.sock.connect(path)
        self.sock.settimeout(timeout)
        if vsock and sock is None:
            self.sock.sendall(b"CONNECT 1024\n")
            line = b""
            while not line.endswith(b"\n"):
                c = self.sock.recv(1)
                if not c:
                    raise Gone("no guest listens")
                line += c
        if greet:
            self.sock.sendall(hello())
            self.times = struct.unpack("<IIQQQ", self.expect(HELLO))[2:]

    def close(self):
        self.sock.close()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def send(self, data):
        self.sock.sendall(data)

    def recv(self):
        while True:
            if len(self.buf) >= 8:
                n, kind, stream, _ = struct.unpack("<IBBH", self.buf[:8])
                if len(self.buf) >= 8 + n:
                    payload = bytes(self.buf[8:8 + n])
                    del self.buf[:8 + n]
                    if kind == PROGRESS:
                        self.progress.append(struct.unpack("<QQ", payload))
                        continue
                    return kind, stream, payload
            got = self.sock.recv(1 << 18)
            if not got:
                raise Gone("the guest closed the connection")
            self.buf += got

    @staticmethod
    def refuse(payload):
        error, status, n = struct.unpack("<III", payload[:12])
        assert len(payload) == 12 + n
        raise Refused(error, status, payload[12:].decode())

    def expect(self, kind):
        got, _, payload = self.recv()
        if got == ERROR and kind != ERROR:
            self.refuse(payload)
        assert got == kind, f"frame {got:#x}, not {kind:#x}"
        return payload

    def ask(self, data, answer=DONE):
        self.send(data)
        return self.expect(answer)

    def stream(self, request, stdin=None, ends=(EXITED, DONE), on_start=None, sink=None):
        """Serves a request with streams to its end: (end, its payload, stdout,
        stderr). stdin is bytes, or None for no DATA and no EOF."""
        out = {1: bytearray(), 2: bytearray()}
        owed = {1: 0, 2: 0}
        window, at = WINDOW, 0
        queue = bytearray(request)
        eof = stdin is None
        while True:
            while not eof and len(queue) < 1 << 20:
                n = min(DATA_MAX, window, len(stdin) - at)
                if at == len(stdin):
                    queue += frame(EOF)
                    eof = True
                elif n == 0:
                    break
                else:
                    queue += frame(DATA, bytes(stdin[at:at + n]))
                    at, window = at + n, window - n
            if len(self.buf) < 8 or len(self.buf) < 8 + struct.unpack("<I", self.buf[:4])[0]:
                r, w, _ = select.select([self.sock], [self.sock] if queue else [], [], 60)
                assert r or w, "nothing moves"
                if w:
                    try:
                        n = self.sock.send(queue[:1 << 17], socket.MSG_DONTWAIT)
                        del queue[:n]
                    except (BrokenPipeError, ConnectionResetError):
                        queue.clear()  # what it said before can still be read
                        eof = True
                if not r:
                    continue
            kind, stream, payload = self.recv()
            if kind == DATA:
                if sink:
                    sink(stream, payload)
                else:
                    out[stream] += payload
                owed[stream] += len(payload)
                if owed[stream] >= WINDOW // 2:
                    queue += frame(CREDIT, struct.pack("<I", owed[stream]), stream)
                    owed[stream] = 0
            elif kind == CREDIT:
                window += struct.unpack("<I", payload)[0]
            elif kind == STARTED:
                if on_start:
                    on_start(self)
            elif kind == ERROR:
                self.refuse(payload)
            elif kind in ends:
                return kind, payload, bytes(out[1]), bytes(out[2])
            else:
                assert kind == EOF, f"frame {kind:#x} in the middle"

    def run(self, request, **kw):
        """(status, stdout, stderr) of a RUN, EXEC or ATTACH."""
        _, payload, out, err = self.stream(request, **kw)
        return struct.unpack("<II", payload)[0], out, err

    def stats(self, name):
        """{file: content}"""
        payload, words = self.ask(frame(STATS, text(name)), USAGE), []
        count, at = struct.unpack_from("<I", payload)[0], 4
        for _ in range(count):
            n = struct.unpack_from("<I", payload, at)[0]
            words.append(payload[at + 4:at + 4 + n].decode())
            at += 4 + n
        assert at == len(payload)
        return dict(zip(words[::2], words[1::2]))

    def containers(self):
        self.send(frame(LIST))
        found = {}
        while True:
            kind, _, p = self.recv()
            if kind == DONE:
                return found
            state, pid, status, signal, _, _ = struct.unpack("<IIIIQQ", p[:32])
            n = struct.unpack("<I", p[32:36])[0]
            found[p[36:36 + n].decode()] = (state, pid, status, signal)


def wait_for(path, seconds=10):
    end = time.time() + seconds
    while not os.path.exists(path):
        assert time.time() < end, f"{path} did not appear"
        time.sleep(0.01)
