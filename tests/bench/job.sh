#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# job.sh CROFT: the rescue system and jobs against bare QEMU with the same kernel and initramfs, and against guestfish on the same disk: medians of
# alternating pairs, ratios only. Status 1 when one is over its limit.
set -uo pipefail
croft=$(realpath "${1:?usage: $0 CROFT}")
. "$(dirname "$0")/lib.sh"
shared=${CROFT_TEST_HOME:-$(dirname "$croft")/test-home}
export CROFT_HOME=$work/home LIBGUESTFS_BACKEND=direct
rounds=${ROUNDS:-3}

leave() { "$croft" vm rescue b1 --end >/dev/null 2>&1; }
CROFT_HOME=$shared-rescue "$croft" image make rescue >&2 || exit 1
CROFT_HOME=$shared-debian "$croft" image make debian --packages linux-image-cloud-amd64 >&2 || exit 1
images "$shared-rescue" rescue
images "$shared-debian" debian
"$croft" vm create b1 --image debian --memory 512M || exit 1
echo 'echo started' >"$work/first.job"
printf 'mount-system -r\ncat /mnt/system1/etc/os-release\n' >"$work/cat.job"
# Both with the same accelerator: libguestfs takes KVM where there is the device, whether guests run under it or not.
accel=$("$croft" doctor --format json | jq -r '.[] | select(.what == "accelerator").found')
[ "$accel" != tcg ] || export LIBGUESTFS_BACKEND_SETTINGS=force_tcg
image=$("$croft" image show rescue --format json)
kernel=$(jq -r .kernel <<<"$image") initrd=$(jq -r .initrd <<<"$image") cmdline=$(jq -r .cmdline <<<"$image")
disk=$CROFT_HOME/machines/b1/disk-0.qcow2
. "$here/bare.sh"
bare_initrd

# until TEXT CMD...: microseconds until the command has printed TEXT.
until_text() {
	local start=${EPOCHREALTIME/./} at='' line
	while IFS= read -r line; do
		[ -n "$at" ] || [[ $line != *"$1"* ]] || at=${EPOCHREALTIME/./}
	done < <("${@:2}" 2>"$work/err" </dev/null)
	[ -n "$at" ] || { echo "bench: '$1' was not printed: ${*:2}: $(tail -n 3 "$work/err")" >&2; exit 1; }
	echo $((at - start))
}

first_ours() { until_text started "$croft" job run "$work/first.job" --on b1 --bios --cpus 1; }
first_peer() { took bare 1G -drive "file=$disk,if=virtio,format=qcow2,snapshot=on"; }
cat_ours() { until_text ID=debian "$croft" job run "$work/cat.job" --on b1 --bios; }
cat_peer() { until_text ID=debian guestfish --ro -a "$disk" -i cat /etc/os-release; }
again_ours() { until_text started "$croft" job run "$work/first.job" --on b1 --bios; }
third_of_a_second() { echo 300000; }

echo "jobs, accelerator: $accel"
pairs "$rounds" first_ours first_peer
most "job's first line / bare QEMU to user space" "$a" "$b" 1.5
if command -v guestfish >/dev/null; then
	guestfish --ro -a "$disk" -i cat /etc/os-release >/dev/null 2>"$work/err" || echo "bench: guestfish: $(tail -n 1 "$work/err")" >&2 # makes its appliance
	pairs "$rounds" cat_ours cat_peer
	most "job that reads a file of the system / guestfish" "$a" "$b" 0.33
else
	echo "guestfish is not installed (libguestfs-tools): not measured"
fi
"$croft" job run "$work/first.job" --on b1 --bios --keep >/dev/null 2>&1 || exit 1
pairs "$rounds" again_ours third_of_a_second
most "first line of a job in a kept rescue system / 0.3 s" "$a" "$b" 1
exit "$over"
