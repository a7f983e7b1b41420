"""The server in a function's container, as tests/vm/fake-monitor has it: what it does
is said by the path, and it does it well or as badly as one can."""
import hashlib, os, socket, threading, time


def read_head(wire):
    text = b''
    while b'\r\n\r\n' not in text:
        more = wire.recv(65536)
        if not more:
            return None, b''
        text += more
    return text.split(b'\r\n\r\n', 1)


def read_body(wire, head, rest):
    """All of it; chunks are undone."""
    lines = head.lower().split(b'\r\n')
    for line in lines:
        if line.startswith(b'content-length:'):
            size = int(line.split(b':')[1])
            while len(rest) < size:
                rest += wire.recv(65536) or exit()
            return rest
    if b'transfer-encoding: chunked' not in lines:
        return b''
    body = b''
    while True:
        while b'\r\n' not in rest:
            rest += wire.recv(65536) or exit()
        size, rest = rest.split(b'\r\n', 1)
        size = int(size, 16)
        while len(rest) < size + 2:
            rest += wire.recv(65536) or exit()
        if not size:
            return body
        body, rest = body + rest[:size], rest[size + 2:]


def plain(text, more=b''):
    return b'HTTP/1.1 200 OK\r\nContent-Length: %d\r\n%s\r\n' % (len(text), more) + text


def tunnel(wire):
    wire.sendall(b'HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n')
    while True:
        data = wire.recv(65536)
        if not data:
            return
        wire.sendall(data.upper())


def serve(wire, memory, name):
    head, rest = read_head(wire)
    if head is None:
        return
    memory['count'] = memory.get('count', 0) + 1
    method, path, _ = head.split(b'\r\n')[0].decode().split(' ')
    what, _, word = path[1:].partition('?')
    if what == 'early':
        wire.sendall(plain(b'early\n'))
        return
    if what == 'ws':
        tunnel(wire)
        return
    body = read_body(wire, head, rest)
    if what == 'count':
        wire.sendall(plain(b'%d\n' % memory['count']))
    elif what == 'name':
        wire.sendall(plain(name.encode() + b'\n'))
    elif what == 'head':
        wire.sendall(plain(head + b'\n', b'X-One: 1\r\nConnection: X-Two\r\nX-Two: 2\r\n'))
    elif what == 'sum':
        wire.sendall(plain(hashlib.sha256(body).hexdigest().encode() + b'\n'))
    elif what == 'echo':
        wire.sendall(b'HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n')
        for at in range(0, len(body), 1000):
            part = body[at:at + 1000]
            wire.sendall(b'%x\r\n' % len(part) + part + b'\r\n')
        wire.sendall(b'0\r\nX-Trailer: 1\r\n\r\n')
    elif what == 'big':
        wire.sendall(b'HTTP/1.1 200 OK\r\n\r\n')
        for _ in range(int(word)):
            wire.sendall(b'x' * 65536)
    elif what == 'kib':
        wire.sendall(plain(b'x' * (int(word) << 10)))
    elif what == 'slow':
        time.sleep(float(word))
        wire.sendall(plain(b'slow\n'))
    elif what == 'drip':
        memory['drip'] = True
        wire.sendall(plain(b'drip\n'))
    elif what == 'none':
        wire.sendall(b'HTTP/1.1 204 No Content\r\n\r\n')
    elif what == 'smuggle':
        more = plain(b'smuggled\n')
        wire.sendall(b'HTTP/1.1 %s X\r\nContent-Length: %d\r\n\r\n' % (word.encode(), len(more)) + more)
    elif what == 'hints':
        wire.sendall(b'HTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\n' + plain(b'after hints\n'))
    elif what == 'half':
        wire.sendall(b'HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhalf')
    elif what == 'garbage':
        wire.sendall(b'\x00\x01SSH-2.0-nothing\r\n\r\n')
    elif what == 'two-lengths':
        wire.sendall(b'HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nab')
    elif what == 'split':
        wire.sendall(b'HTTP/1.1 200 OK\r\nX-A: b\x01c\r\nContent-Length: 0\r\n\r\n')
    elif what == 'long-head':
        wire.sendall(b'HTTP/1.1 200 OK\r\n')
        try:
            while True:
                wire.sendall(b'X-Long: ' + b'x' * 1000 + b'\r\n')
        except OSError:
            pass
    elif what == 'two-answers':
        wire.sendall(plain(b'first\n') + plain(b'second\n'))
    elif what == 'switch':
        wire.sendall(b'HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n')
    elif what == 'hang-up':
        pass
    elif what == 'never':
        time.sleep(1000)
    elif what == 'die':
        os._exit(1)
    wire.shutdown(socket.SHUT_RDWR)
