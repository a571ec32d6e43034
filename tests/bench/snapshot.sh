#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# snapshot.sh CROFT: snapshots of a group of three machines against the raw disk and against booting them: medians, ratios only.
# Status 1 when one is over its limit.
set -uo pipefail
croft=$(realpath "${1:?usage: $0 CROFT}")
here=$(cd "$(dirname "$0")" && pwd)
work=$(mktemp -d "${TMPDIR:-/var/tmp}/croft-bench-XXXXXX")
shared=${CROFT_TEST_HOME:-$(dirname "$croft")/test-home}
export CROFT_HOME=$work/home NO_COLOR=1
over=0 rounds=3

cleanup() {
	"$croft" group 2zone_sn clean_vms --force >/dev/null 2>&1
	rm -rf "$work"
}
trap cleanup EXIT
trap 'exit 130' INT TERM
CROFT_HOME=$shared "$croft" image make tiny >&2 || exit 1
mkdir -p "$CROFT_HOME"
cp -r --reflink=auto "$shared/images" "$CROFT_HOME/"
cp -r "$here/../../examples/2zone_sn" "$work/"
cd "$work/2zone_sn" || exit 1

median() { sort -n | awk '{ v[NR] = $1 } END { print v[int((NR + 1) / 2)] }'; }
# took CMD...: seconds
took() {
	local start=${EPOCHREALTIME/./}
	"$@" >"$work/out" 2>&1 || { echo "bench: failed: $*: $(tail -n 3 "$work/out")" >&2; exit 1; }
	awk -v us=$((${EPOCHREALTIME/./} - start)) 'BEGIN { print us / 1e6 }'
}
# result TEXT VALUE PEER LIMIT: VALUE / PEER must not be over LIMIT.
result() {
	awk -v t="$1" -v v="$2" -v p="$3" -v l="$4" 'BEGIN {
		r = v / p
		printf "%-64s %6.2f  (limit %s)%s\n", t, r, l, (r > l ? "  OVER" : "")
		exit (r > l) }' || over=1
}
back() {
	"$croft" group 2zone_sn restore B && "$croft" vm exec 2zone_sn/sn -- true && "$croft" vm exec 2zone_sn/alice-ood1 -- true &&
		"$croft" vm exec 2zone_sn/bob-ood1 -- true
}
raw_write() {
	cat "$CROFT_HOME"/machines/2zone_sn/*/snapshots/B/memory.qcow2 | dd of="$work/raw" bs=1M conv=fsync
}
raw_read() {
	cat "$CROFT_HOME"/machines/2zone_sn/*/snapshots/B/memory.qcow2 >/dev/null
}

"$croft" group 2zone_sn up >/dev/null 2>&1 || { echo "bench: the group does not come up" >&2; exit 1; }
for ((i = 0; i < rounds; i++)); do
	[ "$i" = 0 ] || "$croft" group 2zone_sn unsnapshot B
	"$croft" group 2zone_sn snapshot B 2>&1 | sed -n 's/.*stood still for \([0-9.]*\) s.*/\1/p' >>"$work/paused"
	took raw_write >>"$work/write"
	took back >>"$work/back"
	took raw_read >>"$work/read"
done
"$croft" group 2zone_sn stop_vms >/dev/null 2>&1
for ((i = 0; i < rounds; i++)); do
	took "$croft" group 2zone_sn snapshot "C$i" >>"$work/cold"
	took "$croft" group 2zone_sn start_vms >>"$work/boot"
	"$croft" group 2zone_sn stop_vms >/dev/null 2>&1
done
paused=$(median <"$work/paused") write=$(median <"$work/write") back=$(median <"$work/back") read=$(median <"$work/read")
cold=$(median <"$work/cold") boot=$(median <"$work/boot")
result "group snapshot: stands still / (1 s + raw write of the memory)" "$paused" "$(awk "BEGIN { print 1 + $write }")" 1
result "group restore to the first answers / (2 s + raw read)" "$back" "$(awk "BEGIN { print 2 + $read }")" 1
result "group snapshot of stopped machines / 0.3 s" "$cold" 0.3 1
result "group restore with memory / starting the group" "$back" "$boot" 1
exit "$over"
