#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""A stand-in for QEMU that Packer types to: speaks RFB (RFC 6143), writes each key event to $KEYS_DIR/NAME, ends when no key comes."""
import os, re, socket, struct, sys

if "-version" in sys.argv:
    print("QEMU emulator version 7.2.0")
    sys.exit(0)
args = sys.argv[1:]
value = lambda switch: args[args.index(switch) + 1]
name = value("-name")
address, display = re.match(r"([^:]*):(\d+)", value("-vnc")).groups()
listen = socket.create_server((address or "127.0.0.1", 5900 + int(display)))
listen.settimeout(30)
client, _ = listen.accept()
client.settimeout(4)


def take(n):
    data = b""
    while len(data) < n:
        part = client.recv(n - len(data))
        if not part:
            raise EOFError
        data += part
    return data


client.sendall(b"RFB 003.008\n")
take(12)
client.sendall(b"\x01\x01")
take(1)
client.sendall(b"\0\0\0\0")
take(1)
client.sendall(struct.pack(">HH", 640, 480) + bytes([32, 24, 0, 1, 0, 255, 0, 255, 0, 255, 16, 8, 0, 0, 0, 0]) + struct.pack(">I", 4) + b"fake")
with open(os.path.join(os.environ["KEYS_DIR"], name), "w") as out:
    try:
        while True:
            kind = take(1)[0]
            if kind == 4:
                down, _, key = struct.unpack(">BHI", take(7))
                out.write("%s%x\n" % ("+" if down else "-", key))
                out.flush()
            elif kind == 2:
                take(1)
                take(4 * struct.unpack(">H", take(2))[0])
            elif kind == 6:
                take(3)
                take(struct.unpack(">I", take(4))[0])
            else:
                take({0: 19, 3: 9, 5: 5}[kind])
    except (EOFError, OSError):
        pass
