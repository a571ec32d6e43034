#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# store_data.sh DIR: makes a real Debian disk of about 0.5 GB (a.qcow2) and the same disk after packages were installed in it
# (b.qcow2, with b.changed: the bytes that differ, in pages), once; later calls find them there.
set -euo pipefail
dir=$1
here=$(cd "$(dirname "$0")" && pwd)
# A disk of which 5 % were written anew, in runs of 512 KiB of what compresses to about a half.
five() {
	[ ! -f "$dir/c.qcow2" ] || return 0
	cp --sparse=always "$dir/a.raw" "$dir/c.raw"
	python3 - "$dir/c.raw" "$(stat -c %s "$dir/a.qcow2")" <<'P'
import base64, os, random, sys
r, left, size = random.Random(5), int(sys.argv[2]) // 20, os.path.getsize(sys.argv[1])
with open(sys.argv[1], "r+b") as f:
    while left > 0:
        at = r.randrange(size >> 12) << 12
        f.seek(at)
        if not any(f.read(4096)):
            continue
        f.seek(at)
        text = base64.b16encode(r.randbytes(262144)) # half of it is news
        f.write(text[:min(len(text), size - at)])
        left -= len(text)
P
	qemu-img convert -O qcow2 "$dir/c.raw" "$dir/c.qcow2.tmp"
	rm "$dir/c.raw"
	mv "$dir/c.qcow2.tmp" "$dir/c.qcow2"
}
[ ! -f "$dir/b.changed" ] || { five; exit 0; }
mkdir -p "$dir"
work=$(mktemp -d "$dir/make.XXXXXX")
trap 'rm -rf "$work"' EXIT
# What is mounted in there while packages are installed stays out.
without="--exclude=./dev --exclude='./proc/*' --exclude='./sys/*' --exclude='./run/*' --exclude=./var/cache/apt"
mmdebstrap --quiet --variant=important --include=linux-image-cloud-amd64,python3,vim,git \
	--customize-hook="tar -C \"\$1\" $without -cf '$work/a.tar' ." \
	--customize-hook='chroot "$1" apt-get install -y -q --no-install-recommends nginx-light curl >/dev/null' \
	--customize-hook="tar -C \"\$1\" $without -cf '$work/b.tar' ." \
	bookworm /dev/null
for d in a b; do
	mkdir "$work/$d"
	tar -C "$work/$d" -xf "$work/$d.tar" --no-same-owner --delay-directory-restore
	chmod -R u+rwX "$work/$d"
	rm "$work/$d.tar"
done
mke2fs -q -t ext4 -d "$work/a" "$work/a.raw" 2G
cp --sparse=always "$work/a.raw" "$work/b.raw"
# Into the same file system: what was there stays where it was, as on a disk that is in use.
python3 "$here/tree_diff.py" "$work/a" "$work/b" >"$work/commands"
debugfs -w -f "$work/commands" "$work/b.raw" >/dev/null 2>&1
python3 - "$work/a.raw" "$work/b.raw" >"$work/b.changed" <<'P'
import sys
n = 0
with open(sys.argv[1], "rb") as a, open(sys.argv[2], "rb") as b:
    while x := a.read(1 << 20):
        y = b.read(1 << 20)
        if x != y:
            n += sum(4096 for i in range(0, len(x), 4096) if x[i:i + 4096] != y[i:i + 4096])
print(n)
P
qemu-img convert -O qcow2 "$work/a.raw" "$dir/a.qcow2"
qemu-img convert -O qcow2 "$work/b.raw" "$dir/b.qcow2"
mv "$work/b.raw" "$work/a.raw" "$dir/"
mv "$work/b.changed" "$dir/"
five
