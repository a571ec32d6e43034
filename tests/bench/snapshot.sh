#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# snapshot.sh CROFT: snapshots of a group of three machines against the raw disk and against booting them: medians, ratios only.
# Status 1 when one is over its limit.
set -uo pipefail
croft=$(realpath "${1:?usage: $0 CROFT}")
. "$(dirname "$0")/lib.sh"
shared=${CROFT_TEST_HOME:-$(dirname "$croft")/test-home}
export CROFT_HOME=$work/home
rounds=3

leave() { "$croft" group 2zone_sn clean_vms --force >/dev/null 2>&1; }
CROFT_HOME=$shared "$croft" image make tiny >&2 || exit 1
images "$shared" tiny
cp -r "$here/../../examples/2zone_sn" "$work/"
cd "$work/2zone_sn" || exit 1

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
	"$croft" group 2zone_sn snapshot B 2>&1 | awk '{ for (i = 4; i <= NF; i++) if ($(i - 1) == "for" && $(i - 2) == "still") printf "%d\n", $i * 1000000 }' >>"$work/paused"
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
most "group snapshot: stands still / (1 s + raw write of the memory)" "$paused" $((1000000 + write)) 1
most "group restore to the first answers / (2 s + raw read)" "$back" $((2000000 + read)) 1
most "group snapshot of stopped machines / 0.3 s" "$cold" 300000 1
most "group restore with memory / starting the group" "$back" "$boot" 1
exit "$over"
