#!/usr/bin/env python3
"""tap-guest.py TAP NETNS: a network namespace of the host's in place of a guest.
What TAP, of this namespace, is sent comes out of eth0 there, and the other way."""
import ctypes, fcntl, os, select, struct, sys


def tap(name):
    fd = os.open('/dev/net/tun', os.O_RDWR)
    # TUNSETIFF with IFF_TAP, IFF_NO_PI, IFF_VNET_HDR
    fcntl.ioctl(fd, 0x400454ca, struct.pack('16sH22x', name.encode(), 0x2 | 0x1000 | 0x4000))
    return fd


here = tap(sys.argv[1])
with open(f'/run/netns/{sys.argv[2]}') as space:
    if ctypes.CDLL(None, use_errno=True).setns(space.fileno(), 0x40000000):
        raise OSError(ctypes.get_errno(), 'setns')
there = tap('eth0')
print('ready', flush=True)
while True:
    for fd in select.select([here, there], [], [])[0]:
        try:
            os.write(there if fd == here else here, os.read(fd, 70000))
        except OSError:
            # Not yet up; or gone, as the guest would be.
            if not os.path.exists(f'/proc/{os.getppid()}'):
                sys.exit(1)
