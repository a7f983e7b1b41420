"""tests/vm/number-streams.py ADDRESS PORT COUNTS [RATE]: the host's ends of two TCP
streams of numbered lines. Who connects to PORT sends them, from 1 on, and each
is looked at; who connects to the next port is sent them. COUNTS holds how many
came and went, or what was wrong. Not faster than a guest likes that has to do
other things.
"""

import os
import socket
import sys
import threading
import time

RATE = int(sys.argv[4]) if len(sys.argv) > 4 else 40  # turns a second, of at most
TURN = 4096  # bytes
counts = {"came": 0, "went": 0}
wrong = []


def tell(path):
    while True:
        with open(path + ".new", "w", encoding="utf-8") as out:
            out.write(f"wrong {wrong[0]}\n" if wrong else
                      f"came {counts['came']} went {counts['went']}\n")
        os.rename(path + ".new", path)
        time.sleep(0.1)


def accept(listener):
    with listener:
        return listener.accept()[0]


def take(listener):
    s = accept(listener)
    rest = b""
    while some := s.recv(TURN):
        *lines, rest = (rest + some).split(b"\n")
        for line in lines:
            counts["came"] += 1
            if line != b"%d" % counts["came"]:
                wrong.append(f"{line!r} came as number {counts['came']}")
                return
        time.sleep(1 / RATE)
    wrong.append("the guest ended the stream that it sends")


def give(listener):
    s = accept(listener)
    number = 1
    try:
        while True:
            lines = b"".join(b"%d\n" % n for n in range(number, number + TURN // 8))
            s.sendall(lines)
            number += TURN // 8
            counts["went"] = number
            time.sleep(1 / RATE)
    except OSError as error:
        wrong.append(f"the stream to the guest broke: {error}")


def main():
    address, port, path = sys.argv[1], int(sys.argv[2]), sys.argv[3]
    for end, at in ((take, port), (give, port + 1)):
        listener = socket.create_server((address, at))
        threading.Thread(target=end, args=(listener,), daemon=True).start()
    tell(path)  # so who finds that file can connect


main()
