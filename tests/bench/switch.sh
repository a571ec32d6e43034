#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# switch.sh CROFT_NET: the group's switch against vde_switch and a bare socket pair, as ratios, medians of alternating pairs.
# One process sends frames as QEMU does, another receives them (frames.c).
set -u
net=$(realpath "${1:?usage: $0 CROFT_NET}") || exit 2
. "$(dirname "$0")/lib.sh"
pid='' vde=''
rounds=${ROUNDS:-5}

end() {
	[ -z "$pid" ] || kill "$pid" 2>/dev/null
	pid=
}
leave() {
	end
	[ -z "$vde" ] || kill "$vde" 2>/dev/null
}

gcc -O2 -Wall -D_GNU_SOURCE -o "$work/frames" "$here/frames.c" || exit 1

# config PORTS [MORE]: net.json with ports n1 .. nPORTS
config() {
	local i sep=
	mkdir -p "$work/net"
	{
		printf '{"group":"g","zones":[{"name":"lan","prefix":"10.1.2.0/24","gateway":"10.1.2.1","domain":"g.croft","outside":true}],"ports":['
		for ((i = 1; i <= $1; i++)); do
			printf '%s{"node":"n%d","zone":"lan","mac":"52:54:00:00:00:%02x","address":"10.1.2.%d","names":["n%d"],"socket":"%s"}' \
				"$sep" "$i" "$i" $((i + 9)) "$i" "$work/p$i.sock"
			sep=,
		done
		printf ']%s}' "${2:-}"
	} >"$work/net/net.json"
}
# ours WHAT ARGS...: through croft-net
ours() {
	local what=$1
	shift
	rm -f "$work"/p*.sock
	coproc LOAD { if [ "$what" = delay ]; then exec "$work/frames" delay "$work/p1.sock" "$work/p2.sock" "$@"
		else exec "$work/frames" "$what" stream "$work/p1.sock" "$work/p2.sock" "$@"; fi; }
	local load=$LOAD_PID out=${LOAD[0]} line
	exec {copy}<&"$out"
	read -r line <&"$copy" # listening
	"$net" "$work/net" >/dev/null 2>"$work/log" &
	pid=$!
	read -r line <&"$copy" || { cat "$work/log" >&2; exit 1; }
	exec {copy}<&-
	wait "$load" 2>/dev/null
	end
	wait 2>/dev/null
	echo "$line"
}
our_rate() { ours rate 1 1514; }
pair_rate() { "$work/frames" rate pair 1 1514; }
vde_rate() { "$work/frames" rate vde "$work/vde" 1 1514; }
our_trip() { ours trip 20000 100; }
pair_trip() { "$work/frames" trip pair 20000 100; }

config 2
if command -v vde_switch >/dev/null; then
	vde_switch -s "$work/vde" -M "$work/vde.mgmt" -d -p "$work/vde.pid" || exit 1
	for ((i = 0; i < 100; i++)); do
		[ -s "$work/vde.pid" ] && break
		sleep 0.05 # it goes into the background before it has written it
	done
	vde=$(cat "$work/vde.pid") || exit 1
	pairs "$rounds" our_rate vde_rate
	least "frames of 1514 bytes a second / vde_switch" "$a" "$b" 1.5
	kill "$vde"
	vde=
else
	echo "vde_switch: not installed (package vde2), not compared"
fi
pairs "$rounds" our_rate pair_rate
least "the same / a bare socket pair" "$a" "$b" 0.5
pairs "$rounds" our_trip pair_trip
most "microseconds added to a round trip" "$(awk -v a="$a" -v b="$b" 'BEGIN { print a - b }')" 1000 30

config 30
rm -f "$work"/p*.sock
coproc CROWD { exec "$work/frames" crowd "$work/p" 30; }
crowd=$CROWD_PID
read -r _ <&"${CROWD[0]}"
"$net" "$work/net" >/dev/null 2>&1 &
pid=$!
read -r _ <&"${CROWD[0]}"
most "resident memory with 30 busy ports / 16 MB" "$(resident "$pid")" 16384 1
kill "$crowd"
end
wait 2>/dev/null

config 2 ',"links":[{"node":"n2","in":{"delay":"20ms"}}]'
late=$(for ((i = 0; i < rounds; i++)); do ours delay 2 50000; done | median)
most "50,000 frames a second over 20 ms: ms too late, 99th percentile" "$(awk -v l="$late" 'BEGIN { print l - 20000 }')" 1000 1
exit "$over"
