#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# group.sh CROFT: `update` of an app on three nodes against `rsync -a` over ssh to the same guests in turn: one changed binary of 20 MB in an app
# of 400 MB, and nothing changed. Medians of alternating pairs, ratios only. Status 1 when one is over its limit.
set -uo pipefail
croft=$(realpath "${1:?usage: $0 CROFT}")
work=$(mktemp -d "${TMPDIR:-/var/tmp}/croft-bench-XXXXXX")
shared=${CROFT_TEST_HOME:-$(dirname "$croft")/test-home}
export CROFT_HOME=$work/home NO_COLOR=1
over=0 rounds=${ROUNDS:-3} files=${FILES:-20}

cleanup() {
	(cd "$work" && "$croft" group lab clean_vms --force) >/dev/null 2>&1 </dev/null
	rm -rf "$work"
}
trap cleanup EXIT
trap 'exit 130' INT TERM
fail() { echo "bench: $*" >&2; exit 1; }
command -v rsync >/dev/null || fail "rsync is not installed"
CROFT_HOME=$shared-rescue "$croft" image make rescue >&2 || exit 1
mkdir -p "$CROFT_HOME/images" "$work/dev_configs/apps" "$work/dist"
cp -al "$shared-rescue/images/rescue" "$CROFT_HOME/images/" 2>/dev/null || cp -r "$shared-rescue/images/rescue" "$CROFT_HOME/images/"
cd "$work" || exit 1

ports=()
while [ "${#ports[@]}" -lt 3 ]; do
	port=$((20000 + RANDOM % 10000))
	(exec 3<>"/dev/tcp/127.0.0.1/$port") 2>/dev/null || ports+=("$port")
done
jq -n --argjson p "$(printf '%s\n' "${ports[@]}" | jq -s .)" '{ nodes: ([range(3)] | map({ key: "n\(.)", value: { vm_template: "rescue",
	vm_params: { cpu: 1, memory: "3584M" }, apps: { payload: {} } } }) | from_entries), forwards: ([range(3)] | map("tcp:127.0.0.1:\($p[.])-n\(.):22")) }' >dev_configs/lab.json
jq -n '{ name: "payload", source: "dist", target: "/app", source_bin: "dist", target_bin: "/app", commands: { install: "true", update: "true" } }' >dev_configs/apps/payload.json
for ((i = 0; i < files; i++)); do head -c 20000000 /dev/urandom >"dist/bin$i"; done
ssh-keygen -q -t ed25519 -N '' -f key
"$croft" group lab create_vms >"$work/out" 2>&1 </dev/null || fail "create_vms: $(tail -n 5 "$work/out")"
"$croft" group lab install >"$work/out" 2>&1 </dev/null || fail "install: $(tail -n 5 "$work/out")"
for i in 0 1 2; do
	"$croft" vm push "lab/n$i" key.pub /root/.ssh/authorized_keys >/dev/null 2>&1 ||
		{ "$croft" group lab run "n$i" 'mkdir -p -m 700 /root/.ssh' && "$croft" vm push "lab/n$i" key.pub /root/.ssh/authorized_keys; } >/dev/null 2>&1 || fail "keys"
	"$croft" group lab run "n$i" 'chown -R root: /root/.ssh; chmod 600 /root/.ssh/authorized_keys; ssh-keygen -A >/dev/null; mkdir -p /run/sshd; cp -a /app /peer
		/usr/sbin/sshd -o PermitRootLogin=yes -o UsePAM=no -o StrictModes=no >/dev/null 2>&1 </dev/null' >"$work/out" 2>&1 || fail "sshd: $(tail -n 3 "$work/out")"
done
peer_to() {
	rsync -a -e "ssh -i $work/key -p ${ports[$1]} -o StrictHostKeyChecking=no -o UserKnownHostsFile=/dev/null -o BatchMode=yes -o LogLevel=ERROR" "$work/dist/" root@127.0.0.1:/peer/
}
# The first of each kind knows nothing of the other side.
"$croft" group lab update >"$work/out" 2>&1 </dev/null || fail "update: $(tail -n 5 "$work/out")"
peer_to 0 >"$work/out" 2>&1 || fail "rsync: $(tail -n 3 "$work/out")"

took() {
	local start=${EPOCHREALTIME/./}
	"$@" >"$work/out" 2>&1 </dev/null || fail "$*: $(tail -n 3 "$work/out")"
	echo $((${EPOCHREALTIME/./} - start))
}
update() { "$croft" group lab update; }
all_peers() { peer_to 0 && peer_to 1 && peer_to 2; }
median() { sort -n | awk '{ v[NR] = $1 } END { print v[int((NR + 1) / 2)] }'; }
result() { # TEXT VALUE PEER LIMIT
	awk -v t="$1" -v v="$2" -v p="$3" -v l="$4" 'BEGIN { r = v / p
		printf "%-64s %6.2f  (limit %s)%s\n", t, r, l, (r > l ? "  OVER" : "")
		exit (r > l) }' || over=1
}
: >a; : >b; : >c
for ((i = 0; i < rounds; i++)); do
	head -c 20000000 /dev/urandom >dist/bin0
	took update >>a || exit 1
	took all_peers >>b || exit 1
	took update >>c || exit 1
done
sum=$(sha256sum <dist/bin0)
for i in 0 1 2; do
	[ "$("$croft" group lab run "n$i" 'sha256sum </app/bin0')" = "$sum" ] || fail "n$i has not what was sent"
done
result 'group update, 20 of 400 MB changed, 3 nodes / rsync in turn' "$(median <a)" "$(median <b)" 0.2
result 'group update, nothing changed, 3 nodes / 0.5 s' "$(median <c)" 500000 1
exit "$over"
