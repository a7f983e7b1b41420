"""A function in Python: what tests/functions/visit.c does."""

import http.server
import os

visits = 0


def count(path):
    with open(path, "a") as f:
        f.write("x")
    return os.path.getsize(path)


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def answer(self, body):
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def do_GET(self):
        global visits
        if self.path.startswith("/id"):
            self.answer(os.urandom(16).hex().encode())
            return
        visits += 1
        self.answer(f"{visits} {count('/tmp/visits')} {count('/var/visits')}".encode())

    def do_POST(self):
        self.answer(self.rfile.read(int(self.headers["Content-Length"])))

    def log_message(self, *_):
        pass


http.server.ThreadingHTTPServer(("", 8000), Handler).serve_forever()
