#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# pm against s6, runit and supervisord: the same units, the same run, ratios only. Peers that are not installed are left out.
# s6-rc is not in Debian 12; s6 is what it starts its services with.
# usage: tests/bench/pm.sh PM PMGRAPH [UNITS [CROFT]]; with CROFT as process 1 of a guest too
set -u
pm=$(realpath "${1:?usage: $0 PM PMGRAPH [UNITS]}") && graph=$(realpath "${2:?usage: $0 PM PMGRAPH [UNITS]}") || exit 2
n=${3:-1000} boot_by=${4:+$(realpath "$4")}
. "$(dirname "$0")/lib.sh"
rounds=3 pids=()
fifo=$work/f

leave() { # ends what this run started, by pid
	local p
	for p in "${pids[@]}"; do kill "$p" 2>/dev/null; done
	for p in "${pids[@]}"; do wait "$p" 2>/dev/null; done
}

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
	local i start="$1_start" stop="$1_stop" starts="" stops="" slow
	"$1_up"
	for ((i = 0; i < rounds; i++)); do
		ask "start $n ${!start}"
		starts+=" $got"
		# One that takes several times as long is measured once: it is not the best, and the whole must not take long.
		slow=$((got > 4 * ${pm_t_start:-$got}))
		[ "$i" = 0 ] && sleep 2 && ask kill 21 && printf -v "$1_t_again" %s "$(median <<<"$got")"
		[ "$i$1" = 0pm ] && watcher_kb=$(resident "$watcher")
		ask "stop ${!stop}"
		stops+=" $got"
		[ "$slow" = 1 ] && break
	done
	printf -v "$1_t_start" %s "$(median <<<"$starts")"
	printf -v "$1_t_stop" %s "$(median <<<"$stops")"
	"$1_down"
}

pm_units() { # N: command lines that define so many units
	local i
	for ((i = 0; i < $1; i++)); do
		printf 'unit u%d restart=always log=off "run=%s %s"\n' "$i" "$work/units" "$fifo"
	done
}
pm_main() { # HOME [OPTIONS...]: in the background; $watcher and $machine are its processes
	local h=$1
	shift
	"$pm" main --home "$h" "$@" >"$h.log" 2>&1 &
	watcher=$!
	pids+=("$watcher")
	until_ok "$pm" --home "$h" jobs
	machine=$(pgrep -P "$watcher" | head -n 1)
}
pm_up() {
	mkdir -p "$work/pm"
	pm_main "$work/pm"
	pm_units "$n" | "$pm" --home "$work/pm" -q stream || exit 1
}
all=$(seq -f 'u%.0f' 0 $((n - 1)) | tr '\n' ' ')
pm_start="$pm --home $work/pm -q start $all"
pm_stop="$pm --home $work/pm -q stop $all"
pm_down() { "$pm" --home "$work/pm" -q shutdown; wait "$watcher" 2>/dev/null; }

best() { # best WHAT PEER...: the least of the peers' figures
	local what=$1 p v
	shift
	for p; do
		v=${p}_t_$what
		[ -n "${!v:-}" ] && echo "${!v}"
	done | sort -n | head -n 1
}

measure_memory() {
	local before after w0 w1
	mkdir -p "$work/empty" "$work/full"
	pm_main "$work/empty"
	sleep 1
	most "resident memory without units / 700 KB" $(($(resident "$machine") + $(resident "$watcher"))) 700 1
	before=$(private "$machine")
	"$pm" --home "$work/empty" -q shutdown
	pm_units 10000 >"$work/stream"
	pm_main "$work/full" --init-stream "$work/stream"
	until_ok "$pm" --home "$work/full" cat u9999
	sleep 2
	after=$(private "$machine")
	most "memory for each of 10,000 units / 1.2 KB" $((after - before)) 12000 1
	most "state of 10,000 units read by pm list / 20 ms" "$(for _ in 1 2 3 4 5 6 7; do took "$pm" --home "$work/full" list; done | median)" 20000 1
	w0=$(wakes "$watcher" "$machine")
	sleep 5
	w1=$(wakes "$watcher" "$machine")
	echo "wake-ups in 5 s of idleness: $((w1 - w0)) (limit 0)"
	[ "$w1" = "$w0" ] || over=1
	# 100,000 commands through the FIFO: the second half must not need more memory than the first
	awk 'BEGIN { for (i = 0; i < 50000; i++) print "stop u" i % 100 }' >"$work/full/input"
	until_ok "$pm" --home "$work/full" cat u0 # status fails: it is stopped
	before=$(private "$machine")
	awk 'BEGIN { for (i = 0; i < 50000; i++) print "stop u" i % 100 }' >"$work/full/input"
	until_ok "$pm" --home "$work/full" cat u0 # status fails: it is stopped
	most "memory after 100,000 commands through the FIFO / after 50,000" "$(private "$machine")" "$before" 1.02
	"$pm" --home "$work/full" -q shutdown
}

# Loaded from disk, in order, and answering; less what a pm without units needs for that.
measure_load() {
	local i none="" full="" h
	mkdir -p "$work/none"
	for i in 1 2 3 4 5; do
		for h in none full; do
			printf -v "$h" '%s %s' "${!h}" "$(took "$pm" main --detach --home "$work/$h")"
			watcher=$(cut -d' ' -f1 "$work/$h/pm.pid")
			"$pm" --home "$work/$h" -q shutdown
			until_ok eval "! kill -0 $watcher"
		done
	done
	most "10,000 units taken back from disk by a new pm / 60 ms" $(($(median <<<"$full") - $(median <<<"$none"))) 60000 1
}

# All pms' time on the processor when the first unit of process 1 begins, on this computer's kernel.
own_time='t=0
for p in /proc/[0-9]*; do
	read -r c <$p/comm
	[ "$c" != pm ] || { read -r ns _ <$p/schedstat; t=$((t + ns)); }
done'
measure_init() {
	local i own=""
	for i in 1 2 3 4 5; do
		printf '%s\n' "$own_time" "echo \$t >$work/own" "$pm power off" >"$work/first"
		printf 'unit first "run=/bin/sh %s"\nstart first\n' "$work/first" >"$work/init-stream"
		timeout 30 unshare -Urpmf sh -c "mount -t tmpfs t /var/opt && mount -t tmpfs t /etc && mkdir /etc/pm &&
			cp '$work/init-stream' /etc/pm/ && exec '$pm'" >"$work/init.log" 2>&1
		[ -s "$work/own" ] || { echo "pm as process 1: not measured: $(tail -n 1 "$work/init.log")"; return; }
		own+=" $(cat "$work/own")"
		rm "$work/own"
	done
	most "own time as process 1 until its first unit begins / 50 ms" "$(median <<<"$own")" 50000000 1
}

# From the kernel's "Run ... as init process" to the first program, by the clock of the guest's kernel, in microseconds.
first_program() { # MODE: pm or busybox; what pm's own time was until then goes to own.us
	boot loglevel=7 printk.time=1 rdinit=/$1 </dev/null
	awk '/pm took/ { printf " %d", $NF / 1000 }' console >>own.us
	awk -F '[][ ]+' '/ as init process/ { a = $2 } /first program/ { printf "%d", ($2 - a) * 1000000; exit }' console
}
measure_guest() {
	local i ours="" peer=""
	croft() { "$boot_by" "$@"; }
	export CROFT_HOME=$work/croft PM_BIN=$pm CROFT=$boot_by
	cd "$work" || exit 1
	. "$here/../system/pmboot.test"
	PM_BIN=$pm
	croft image make tiny --init pm --name tinypm >&2 || exit 1
	printf 'echo first program >/dev/kmsg\n%s\necho pm took $t >/dev/kmsg\n/pm power off\n' "$own_time" >first
	printf 'unit first "run=/bin/sh /first"\nstart first\n' >init-stream
	cat >peer <<-'END'
		for m in devtmpfs:/dev proc:/proc sysfs:/sys tmpfs:/run devpts:/dev/pts tmpfs:/dev/shm; do
			/bin/busybox mkdir -p "${m#*:}"
			/bin/busybox mount -t "${m%:*}" "${m%:*}" "${m#*:}" 2>/dev/null
		done
		echo first program >/dev/kmsg
		/bin/busybox poweroff -f
	END
	echo '::sysinit:/bin/sh /peer' >inittab
	: >own.us
	initramfs etc/pm/init-stream=init-stream first=first peer=peer etc/inittab=inittab init="$(command -v busybox)"
	for i in 1 2 3; do
		ours+=" $(first_program pm)" peer+=" $(first_program init)"
	done
	most "process 1 of a guest until its first program / busybox init" "$(median <<<"$ours")" "$(median <<<"$peer")" 1.5
	# An emulated processor takes many times as long as one, and longer the busier the computer is.
	if grep -q '"found": "kvm"' < <(croft doctor --format json); then
		most "own time of process 1 of a guest until its first program / 50 ms" "$(median <own.us)" 50000 1
		most "process 1 of tiny until its first program / 50 ms" "$(median <<<"$ours")" 50000 1
	else
		echo "own time of process 1 of a guest until its first program, emulated: $(($(median <own.us) / 1000)) ms (no limit)"
	fi
}

peers=()
command -v sv >/dev/null && peers+=(runit)
command -v s6-svscan >/dev/null && peers+=(s6)
command -v supervisord >/dev/null && peers+=(supervisor)
[ ${#peers[@]} -gt 0 ] || { echo "bench: none of runit, s6, supervisor is installed" >&2; exit 2; }
for m in pm "${peers[@]}"; do measure "$m"; done
most "$n units from stopped to all running / best of ${peers[*]}" "$pm_t_start" "$(best start "${peers[@]}")" 0.8
most "$n units from running to all stopped / best of ${peers[*]}" "$pm_t_stop" "$(best stop "${peers[@]}")" 0.8
most "death of a process to its replacement / best of ${peers[*]}" "$pm_t_again" "$(best again "${peers[@]}")" 1
most "size of the program / 400 KB" "$(stat -c %s "$pm")" 400000 1
most "resident memory of the watcher of $n processes / 200 KB" "$watcher_kb" 200 1
most "10,000 units and their dependencies loaded and ordered / 60 ms" "$("$graph" 10000)" 60000 1
measure_memory
measure_load
measure_init
[ -z "$boot_by" ] || measure_guest
exit "$over"
