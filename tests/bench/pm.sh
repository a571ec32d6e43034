#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# pm against s6, runit and supervisord: the same units, the same run, ratios only. Peers that are not installed are left out.
# usage: tests/bench/pm.sh PM [UNITS]
set -u
pm=$(realpath "${1:?usage: $0 PM [UNITS]}") || exit 2
n=${2:-1000}
here=$(cd "$(dirname "$0")" && pwd)
work=$(mktemp -d "${TMPDIR:-/tmp}/pm-bench.XXXXXX")
rounds=3 over=0 pids=()
fifo=$work/f

end() { # ends what this run started, by pid
	local p
	for p in "${pids[@]}"; do kill "$p" 2>/dev/null; done
	for p in "${pids[@]}"; do wait "$p" 2>/dev/null; done
	rm -rf "$work"
}
trap end EXIT
trap 'exit 130' INT TERM

gcc -O2 -static -o "$work/units" "$here/units.c" || exit 1
mkfifo "$fifo"
coproc METER { exec "$work/units" --meter "$fifo"; }
pids+=("$METER_PID")

ask() { # ask WORDS: the meter's answer in $got
	echo "$*" >&"${METER[1]}"
	if ! read -r -t 300 got <&"${METER[0]}"; then
		echo "bench: no answer to '$*'" >&2
		exit 1
	fi
}
median() { tr ' ' '\n' | grep . | sort -n | awk '{ v[NR] = $1 } END { print v[int((NR + 1) / 2)] }'; }
# until COMMAND...: waits until it succeeds, at most a minute
until_ok() {
	local i
	for ((i = 0; i < 600; i++)); do
		"$@" >/dev/null 2>&1 && return
		sleep 0.1
	done
	echo "bench: never came true: $*" >&2
	exit 1
}
rss() { awk '/^VmRSS/ { print $2 }' "/proc/$1/status"; }
private() { awk '/^Private_(Clean|Dirty)/ { n += $2 } END { print n }' "/proc/$1/smaps_rollup"; }
# wakes PID...: how often they were given the processor, altogether
wakes() {
	local p
	for p in "$@"; do awk '/ctxt_switches/ { print $2 }' "/proc/$p/task/"*/status; done | awk '{ n += $1 } END { print n }'
}

# Each manager: NAME_up makes it ready with n stopped units, NAME_start and NAME_stop are the commands of its user for all of
# them, NAME_down ends it. A unit's run file is the unit itself by its first line: no shell in between.
s6_up() {
	local i
	mkdir -p "$work/s6"
	for ((i = 0; i < n; i++)); do
		mkdir "$work/s6/u$i"
		printf '#!%s %s\n' "$work/units" "$fifo" >"$work/s6/u$i/run"
		chmod +x "$work/s6/u$i/run"
		: >"$work/s6/u$i/down"
	done
	s6-svscan -c 20000 "$work/s6" >"$work/s6.log" 2>&1 &
	s6=$!
	pids+=("$s6")
	until_ok eval "[ -p '$work/s6/u0/supervise/control' ] && [ -p '$work/s6/u$((n - 1))/supervise/control' ] &&
		[ \"\$(find '$work/s6' -name control -path '*supervise*' | wc -l)\" = $n ]"
	sleep 1
}
# s6-svc -u and -d write one byte each; one shell does it for all, which flatters s6: its own tool is one process a unit.
s6_start="for d in $work/s6/u*; do printf u >\$d/supervise/control; done"
s6_stop="for d in $work/s6/u*; do printf d >\$d/supervise/control; done"
s6_down() { s6-svscanctl -t "$work/s6"; wait "$s6" 2>/dev/null; }

runit_up() {
	local i
	mkdir -p "$work/sv"
	for ((i = 0; i < n; i++)); do
		mkdir "$work/sv/u$i"
		printf '#!%s %s\n' "$work/units" "$fifo" >"$work/sv/u$i/run"
		chmod +x "$work/sv/u$i/run"
		: >"$work/sv/u$i/down"
	done
	runsvdir "$work/sv" >"$work/sv.log" 2>&1 &
	runit=$!
	pids+=("$runit")
	until_ok eval "[ \"\$(find '$work/sv' -name ok | wc -l)\" = $n ]"
	sleep 1
}
runit_start="sv start $work/sv/u* >/dev/null"
runit_stop="sv stop $work/sv/u* >/dev/null"
runit_down() { kill -HUP "$runit"; wait "$runit" 2>/dev/null; }

supervisor_up() {
	local i
	{
		printf '[unix_http_server]\nfile=%s/sup.sock\n[supervisord]\nlogfile=/dev/null\npidfile=%s/sup.pid\nminfds=%d\n' \
			"$work" "$work" $((n + 200))
		printf '[rpcinterface:supervisor]\nsupervisor.rpcinterface_factory=supervisor.rpcinterface:make_main_rpcinterface\n'
		printf '[supervisorctl]\nserverurl=unix://%s/sup.sock\n' "$work"
		for ((i = 0; i < n; i++)); do
			printf '[program:u%d]\ncommand=%s %s\nautostart=false\nautorestart=true\nstartsecs=0\nstdout_logfile=NONE\nstderr_logfile=NONE\n' \
				"$i" "$work/units" "$fifo"
		done
	} >"$work/sup.conf"
	supervisord -n -c "$work/sup.conf" >"$work/sup.log" 2>&1 &
	supervisor=$!
	pids+=("$supervisor")
	until_ok eval "supervisorctl -c '$work/sup.conf' version"
}
supervisor_start="supervisorctl -c $work/sup.conf start all >/dev/null"
supervisor_stop="supervisorctl -c $work/sup.conf stop all >/dev/null"
supervisor_down() { kill "$supervisor"; wait "$supervisor" 2>/dev/null; }

# measure NAME: medians in NAME_t_start, NAME_t_stop (us, stopped -> all running, and back) and NAME_t_again (death -> exec)
measure() {
	local i start="$1_start" stop="$1_stop" starts="" stops=""
	"$1_up"
	for ((i = 0; i < rounds; i++)); do
		ask "start $n ${!start}"
		starts+=" $got"
		[ "$i" = 0 ] && sleep 2 && ask kill 21 && printf -v "$1_t_again" %s "$(median <<<"$got")"
		ask "stop ${!stop}"
		stops+=" $got"
	done
	printf -v "$1_t_start" %s "$(median <<<"$starts")"
	printf -v "$1_t_stop" %s "$(median <<<"$stops")"
	"$1_down"
}
