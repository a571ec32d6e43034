#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# export.sh CROFT: an OVA against qemu-img's compressed stream-optimized VMDK and qcow2, and a container's image against tar and gzip of the
# same root: medians of alternating pairs. The disk holds files of this system, so that it compresses as systems do.
set -u
croft=$(realpath "$1") || exit 2
. "$(dirname "$0")/lib.sh"

mkdir -p "$work/root/etc" "$work/root/usr"
cp -a /usr/bin "$work/root/usr/" 2>/dev/null
while [ "$(du -sm "$work/root" | cut -f1)" -gt 500 ]; do
	find "$work/root/usr/bin" -type f -size +1M | head -n 20 | xargs -r rm
done
truncate -s 2G "$work/disk.raw"
mke2fs -q -F -t ext4 -d "$work/root" "$work/disk.raw" || exit 1
qemu-img convert -O qcow2 "$work/disk.raw" "$work/disk.qcow2" || exit 1
rm "$work/disk.raw"

pair() { # TEXT LIMIT OURS PEER
	ours() { took "$our"; }
	peer() { took "$their"; }
	local our=$3 their=$4
	pairs 3 ours peer
	most "$1" "$a" "$b" "$2"
}
ova() { "$croft" image convert "$work/disk.qcow2" "$work/x.ova" --force; }
oci() { "$croft" image convert "$work/disk.qcow2" "$work/x.oci.tar" --force; }
packed() { qemu-img convert -c -O qcow2 "$work/disk.qcow2" "$work/y.qcow2"; }
stream() { qemu-img convert -O vmdk -o subformat=streamOptimized "$work/disk.qcow2" "$work/y.vmdk"; }
gzipped() { tar cf - -C "$work/root" . | gzip >"$work/y.tar.gz"; }

pair "export of an OVA / qemu-img convert -c" 0.6 ova packed
pair "export of an OVA / qemu-img's streamOptimized" 0.6 ova stream
pair "export of a container's image / tar and gzip" 0.6 oci gzipped
exit "$over"
