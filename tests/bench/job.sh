#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# job.sh CROFT: the rescue system and jobs against bare QEMU with the same kernel and initramfs, and against guestfish on the same disk: medians of
# alternating pairs, ratios only. Status 1 when one is over its limit.
set -uo pipefail
croft=$(realpath "${1:?usage: $0 CROFT}")
here=$(cd "$(dirname "$0")" && pwd)
work=$(mktemp -d "${TMPDIR:-/var/tmp}/croft-bench-XXXXXX")
shared=${CROFT_TEST_HOME:-$(dirname "$croft")/test-home}
export CROFT_HOME=$work/home NO_COLOR=1 LIBGUESTFS_BACKEND=direct
over=0 rounds=${ROUNDS:-3}

cleanup() {
	"$croft" vm rescue b1 --end >/dev/null 2>&1
	rm -rf "$work"
}
trap cleanup EXIT
trap 'exit 130' INT TERM
CROFT_HOME=$shared-rescue "$croft" image make rescue >&2 || exit 1
CROFT_HOME=$shared-debian "$croft" image make debian --packages linux-image-cloud-amd64 >&2 || exit 1
mkdir -p "$CROFT_HOME/images"
for i in "$shared-rescue/images/rescue" "$shared-debian/images/debian"; do
	cp -al "$i" "$CROFT_HOME/images/" 2>/dev/null || cp -r "$i" "$CROFT_HOME/images/"
done
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
took() {
	local start=${EPOCHREALTIME/./} status=0
	"$@" >"$work/out" 2>&1 </dev/null || status=$?
	[ "$status" -le 1 ] || { echo "bench: status $status: $*: $(tail -n 3 "$work/out")" >&2; exit 1; }
	echo $((${EPOCHREALTIME/./} - start))
}
median() { sort -n | awk '{ v[NR] = $1 } END { print v[int((NR + 1) / 2)] }'; }
pairs() { # OURS PEER
	local i
	: >"$work/a"; : >"$work/b"
	for ((i = 0; i < rounds; i++)); do
		"$1" >>"$work/a" || exit 1
		"$2" >>"$work/b" || exit 1
	done
	a=$(median <"$work/a") b=$(median <"$work/b")
}
# result TEXT VALUE PEER LIMIT: VALUE / PEER must not be over LIMIT.
result() {
	awk -v t="$1" -v v="$2" -v p="$3" -v l="$4" 'BEGIN {
		r = v / p
		printf "%-64s %6.2f  (limit %s)%s\n", t, r, l, (r > l ? "  OVER" : "")
		exit (r > l) }' || over=1
}

first_ours() { until_text started "$croft" job run "$work/first.job" --on b1 --bios --cpus 1; }
first_peer() { took bare 1G -drive "file=$disk,if=virtio,format=qcow2,snapshot=on"; }
cat_ours() { until_text ID=debian "$croft" job run "$work/cat.job" --on b1 --bios; }
cat_peer() { until_text ID=debian guestfish --ro -a "$disk" -i cat /etc/os-release; }
again_ours() { until_text started "$croft" job run "$work/first.job" --on b1 --bios; }
third_of_a_second() { echo 300000; }

echo "jobs, accelerator: $accel"
pairs first_ours first_peer
result "job's first line / bare QEMU to user space" "$a" "$b" 1.5
if command -v guestfish >/dev/null; then
	guestfish --ro -a "$disk" -i cat /etc/os-release >/dev/null 2>"$work/err" || echo "bench: guestfish: $(tail -n 1 "$work/err")" >&2 # makes its appliance
	pairs cat_ours cat_peer
	result "job that reads a file of the system / guestfish" "$a" "$b" 0.33
else
	echo "guestfish is not installed (libguestfs-tools): not measured"
fi
"$croft" job run "$work/first.job" --on b1 --bios --keep >/dev/null 2>&1 || exit 1
pairs again_ours third_of_a_second
result "first line of a job in a kept rescue system / 0.3 s" "$a" "$b" 1
exit "$over"
