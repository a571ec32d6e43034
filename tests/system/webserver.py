#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
# webserver.py DIR LOG [CERT] [--whole]: serves files of DIR on a port of 127.0.0.1 that it prints, by ranges as web servers do, each
# request a line in LOG ("PATH BYTES" as it ends). With CERT by https; --whole: without ranges. After SIGUSR1 it answers with 503, for four requests.
import http.server, os, re, signal, ssl, sys

args = [a for a in sys.argv[1:] if a != "--whole"]
root, log, whole = args[0], open(args[1], "a", buffering=1), "--whole" in sys.argv
busy = 0


def be_busy(*_):
    global busy
    busy = 4


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self):
        global busy
        path = os.path.join(root, self.path.lstrip("/"))
        if busy:
            busy -= 1
            return self.fail(503)
        if not os.path.isfile(path):
            return self.fail(404)
        size = os.path.getsize(path)
        m = re.fullmatch(r"bytes=(\d+)-(\d*)", self.headers.get("Range", ""))
        first, last = (int(m[1]), min(int(m[2] or size - 1), size - 1)) if m and not whole else (0, size - 1)
        with open(path, "rb") as f:
            f.seek(first)
            body = f.read(last - first + 1)
        self.send_response(206 if m and not whole else 200)
        if m and not whole:
            self.send_header("Content-Range", f"bytes {first}-{last}/{size}")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)
        log.write(f"{self.path} {len(body)}\n")

    def fail(self, status):
        self.send_response(status)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *_):
        pass


signal.signal(signal.SIGUSR1, be_busy)
server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
server.daemon_threads = True
if len(args) > 2:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(args[2])
    server.socket = context.wrap_socket(server.socket, server_side=True)
print(server.server_address[1], flush=True)
server.serve_forever()
