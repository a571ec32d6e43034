#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# group.sh CROFT: the update of one 20 MB program in an app of 400 MB on three nodes against rsync -a over ssh to the same nodes in turn;
# and an update that changes nothing. Medians; ratios, and seconds where the limit is in seconds. Status 1 when one is over its limit.
# Needs rsync, ssh and sshd here, whose programs are put into tiny guests, and 5 GB of memory.
set -uo pipefail
croft=$(realpath "${1:?usage: $0 CROFT}")
work=$(mktemp -d "${TMPDIR:-/var/tmp}/croft-bench-XXXXXX")
shared=${CROFT_TEST_HOME:-$(dirname "$croft")/test-home}
export CROFT_HOME=$work/home NO_COLOR=1
over=0 rounds=${ROUNDS:-3}

cleanup() {
	cd / && "$croft" group "$work/three.json" clean_vms --force >/dev/null 2>&1
	rm -rf "$work"
}
trap cleanup EXIT
trap 'exit 130' INT TERM
for p in rsync ssh ssh-keygen /usr/sbin/sshd; do
	command -v "$p" >/dev/null || { echo "bench: $p is missing"; exit 77; }
done
CROFT_HOME=$shared "$croft" image make tiny >&2 || exit 1
mkdir -p "$CROFT_HOME/images"
cp -r --reflink=auto "$shared/images/tiny" "$CROFT_HOME/images/"

median() { sort -n | awk '{ v[NR] = $1 } END { print v[int((NR + 1) / 2)] }'; }
took() { # seconds
	local start=${EPOCHREALTIME/./}
	"$@" >"$work/out" 2>&1 || { echo "bench: failed: $*: $(tail -n 3 "$work/out")" >&2; exit 1; }
	awk -v us=$((${EPOCHREALTIME/./} - start)) 'BEGIN { print us / 1e6 }'
}
result() { # TEXT VALUE LIMIT
	awk -v t="$1" -v v="$2" -v l="$3" 'BEGIN { printf "%-64s %6.2f  (limit %s)%s\n", t, v, l, (v > l ? "  OVER" : ""); exit (v > l) }' || over=1
}

cd "$work" || exit 1
mkdir -p apps dist/lib dist/bin
ssh-keygen -q -t ed25519 -N '' -f key
for i in $(seq 190); do
	head -c 2M /dev/urandom >"dist/lib/part$i"
done
head -c 20M /dev/urandom >dist/bin/server
echo '{"name": "big", "source": "dist", "target": "/opt/big", "source_bin": "dist", "target_bin": "/opt/big", "commands": {}}' >apps/big.json
node='{"vm_template": "tiny", "vm_params": {"memory": "1500M"}, "apps": {"big": {}}}'
echo "{\"nodes\": {\"a\": $node, \"b\": $node, \"c\": $node}, \"forwards\": [\"22801-a:22\", \"22802-b:22\", \"22803-c:22\"]}" >three.json
"$croft" group three up >&2 || exit 1

# This computer's own sshd and rsync, with their libraries.
programs="/usr/sbin/sshd /usr/bin/rsync /usr/bin/ssh-keygen"
mkdir -p root/root/.ssh root/run/sshd root/etc/ssh
for f in $programs $(ldd $programs | grep -o '/[^ ]*' | grep -v ':$' | sort -u); do
	mkdir -p "root$(dirname "$f")"
	cp -L "$f" "root$f"
done
cp key.pub root/root/.ssh/authorized_keys
printf 'PermitRootLogin yes\nStrictModes no\nHostKey /etc/ssh/host\n' >root/etc/ssh/sshd_config
ssh-keygen -q -t ed25519 -N '' -f root/etc/ssh/host
tar -C root -cf root.tar .
for n in a b c; do
	"$croft" vm push "three/$n" root.tar /tmp/root.tar && "$croft" group three run "$n" \
		"tar -C / -xf /tmp/root.tar; rm /tmp/root.tar; grep -q ^sshd: /etc/passwd || echo sshd:x:74:74::/run/sshd:/bin/false >>/etc/passwd; chown -R 0:0 /run/sshd; chmod 755 /run/sshd; /usr/sbin/sshd" \
		"cp -a /opt/big /opt/rsync" || exit 1
done

with_rsync() {
	for port in 22801 22802 22803; do
		rsync -a -e "ssh -q -i key -p $port -o StrictHostKeyChecking=no -o UserKnownHostsFile=/dev/null" dist/ root@127.0.0.1:/opt/rsync/ || return 1
	done
}
# What is there already is not sent again: the folders are equal.
took with_rsync >/dev/null || exit 1
for i in $(seq "$rounds"); do
	head -c 20M /dev/urandom >dist/bin/server
	took "$croft" group three update >>ours || exit 1
	took with_rsync >>theirs || exit 1
	took "$croft" group three update >>nothing || exit 1
done
[ "$("$croft" group three run b 'md5sum </opt/big/bin/server')" = "$(md5sum <dist/bin/server)" ] || { echo "bench: the update is wrong"; exit 1; }
result "group update of 20 MB in 400 MB on three nodes / rsync in turn" "$(awk -v a="$(median <ours)" -v b="$(median <theirs)" 'BEGIN { print a / b }')" 0.2
result "group update that changes nothing, seconds" "$(median <nothing)" 0.5
[ -z "${VERBOSE:-}" ] || paste ours theirs nothing
exit "$over"
