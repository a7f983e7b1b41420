#!/usr/bin/env python3
"""shim-client.py SHIM DIRECTORY TYPE SOURCE OPTIONS [POD]

Asks a shim, as containerd would, for a container whose root file system is one
mount, which no snapshotter here makes. Prints SOURCE if the monitor has it open,
or the sentence with which Create was refused, and deletes all of it. With POD a
first container, of a directory, is in the pod already, and what is printed is
the length of the slot's file that the second has got."""
import json, os, socket, struct, subprocess, sys

shim, directory, kind, source, options = sys.argv[1:6]
name, pod = f'hand{os.getpid()}', None
if len(sys.argv) > 6:
    pod = name


def field(number, data):
    data = data if isinstance(data, bytes) else data.encode()
    size, length = len(data), b''
    while size > 127:
        length += bytes([size & 127 | 128])
        size >>= 7
    return bytes([number << 3 | 2]) + length + bytes([size]) + data


def start(ident):
    bundle = f'{directory}/{ident}'
    os.makedirs(f'{bundle}/rootfs', exist_ok=True)
    notes = {'io.kubernetes.cri.sandbox-id': pod} if pod else {}
    with open(f'{bundle}/config.json', 'w') as f:
        json.dump({'process': {'args': ['sleep', '100']}, 'root': {'path': 'rootfs'}, 'annotations': notes}, f)
    said = subprocess.run([shim, '-namespace', 'hand', '-address', 'made', '-id', ident, 'start'], cwd=bundle,
                          capture_output=True, text=True, timeout=30, check=True)
    wire = socket.socket(socket.AF_UNIX)
    wire.connect(said.stdout.removeprefix('unix://'))
    return wire, bundle


def call(wire, method, payload):
    request = field(1, 'containerd.task.v2.Task') + field(2, method) + field(3, payload)
    wire.sendall(struct.pack('>IIBB', len(request), 1, 1, 0) + request)
    size, = struct.unpack('>I', wire.recv(10, socket.MSG_WAITALL)[:4])
    return wire.recv(size, socket.MSG_WAITALL) if size else b''


def create(wire, ident, bundle, *mount):
    rootfs = field(1, mount[0]) + field(2, mount[1]) + b''.join(field(4, o) for o in mount[2].split(','))
    return call(wire, 'Create', field(1, ident) + field(2, bundle) + field(3, rootfs))


def monitor_of(answer):
    """The process of PidResponse in an answer of ttrpc's; None where it is a refusal."""
    at = answer.find(b'\x12')
    if not answer or answer[0] != 0x12:
        return None
    pid, shift = 0, 0
    for byte in answer[at + 3:]:
        pid |= (byte & 127) << shift
        shift += 7
    return pid


def files(pid):
    for fd in os.listdir(f'/proc/{pid}/fd'):
        try:
            yield os.readlink(f'/proc/{pid}/fd/{fd}'), os.stat(f'/proc/{pid}/fd/{fd}')
        except OSError:
            pass


wire, bundle = start(name)
others = []
if pod:
    others = [name]
    os.makedirs(f'{directory}/tree', exist_ok=True)
    create(wire, name, bundle, 'bind', f'{directory}/tree', 'rbind,ro')
    call(wire, 'Start', field(1, name))
    name += '-2'
    wire, bundle = start(name)
answer = create(wire, name, bundle, kind, source, options)
pid = monitor_of(answer)
if pid is None:
    print(''.join(chr(c) if 32 <= c < 127 else ' ' for c in answer))
elif pod:
    print(*[s.st_size for path, s in files(pid) if path.endswith('/slot1.erofs')])
else:
    # Once, if it has not come to exec() yet and has what its shim has open, too.
    print(*{source for _, s in files(pid) if os.path.samestat(s, os.stat(source))})
for ident in [name] + others:
    call(wire, 'Kill', field(1, ident) + b'\x18\x09')
    call(wire, 'Wait', field(1, ident))
    call(wire, 'Delete', field(1, ident))
call(wire, 'Shutdown', b'')
