#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# thirty.sh CROFT [NODES]: a group of 30 of the smallest machines starts, runs a command on each, is snapshotted and stopped. Its memory against
# 8 GB; how long each step takes is printed, without a limit. Status 1 when a step fails or the memory is over.
set -euo pipefail
croft=$(realpath "${1:?usage: $0 CROFT [NODES]}")
nodes=${2:-30}
work=$(mktemp -d "${TMPDIR:-/var/tmp}/croft-bench-XXXXXX")
shared=${CROFT_TEST_HOME:-$(dirname "$croft")/test-home}
export CROFT_HOME=$work/home NO_COLOR=1

cleanup() {
	[ ! -e "$work/many.json" ] || "$croft" group "$work/many.json" clean_vms --force >/dev/null 2>&1 </dev/null || :
	rm -rf "$work"
}
trap cleanup EXIT
trap 'exit 130' INT TERM
CROFT_HOME=$shared "$croft" image make tiny >&2
mkdir -p "$CROFT_HOME/images"
cp -al "$shared/images/tiny" "$CROFT_HOME/images/" 2>/dev/null || cp -r "$shared/images/tiny" "$CROFT_HOME/images/"
seq -f n%03g "$nodes" | jq -R '{key: ., value: {node_id: ., vm_template: "tiny", vm_params: {cpu: 1, memory: "116M"}}}' |
	jq -s '{nodes: from_entries}' >"$work/many.json"

# What all processes of this home have for themselves and their part of what they share, in KiB.
memory() {
	local p total=0 pss
	for p in /proc/[0-9]*; do
		{ tr '\0' '\n' <"$p/cmdline"; } 2>/dev/null | grep -qF -- "$CROFT_HOME" || continue
		pss=$(awk '/^Pss:/ { print $2 }' "$p/smaps_rollup" 2>/dev/null) || continue
		total=$((total + ${pss:-0}))
	done
	echo "$total"
}
peak=0
step() { # step NAME CMD...
	local start=${EPOCHREALTIME/./} now
	"${@:2}" >"$work/out" 2>&1 </dev/null || { tail -n 5 "$work/out" >&2; echo "bench: failed: $1" >&2; exit 1; }
	printf '%-64s %6.1f s\n' "$nodes machines: $1" "$(((${EPOCHREALTIME/./} - start) / 100000))e-1"
	now=$(memory)
	[ "$now" -le "$peak" ] || peak=$now
}
each() {
	local name
	for name in $(jq -r '.nodes | keys[]' "$work/many.json"); do
		[ "$("$croft" group "$work/many.json" run "$name" hostname)" = "$name" ]
	done
}
step up "$croft" group "$work/many.json" up
step 'a command on each' each
step snapshot "$croft" group "$work/many.json" snapshot S
step down "$croft" group "$work/many.json" down
awk -v n="$nodes" -v v="$peak" 'BEGIN {
	r = v / 8 / 1048576
	printf "%-64s %6.2f  (limit 1)%s\n", n " machines: peak of memory / 8 GB", r, (r > 1 ? "  OVER" : "")
	exit (r > 1) }'
