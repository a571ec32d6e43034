# SPDX-License-Identifier: Apache-2.0
# lib.sh: what every bench does. Sourced by them after `croft` or what they measure is known: makes $work, removed at the end after the caller's leave(),
# and sets here, over. Numbers are microseconds unless said otherwise; what is printed is ratios, and over is 1 when one was over its limit.
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
work=$(mktemp -d "${TMPDIR:-/var/tmp}/croft-bench-XXXXXX") || exit 1
export NO_COLOR=1
over=0
trap 'if [ "$(type -t leave)" = function ]; then leave; fi; [ -n "${KEEP:-}" ] || rm -rf "$work"' EXIT
trap 'exit 130' INT TERM

# took COMMAND...: how long it takes. It must succeed; what it prints is in $work/out.
took() {
	local start=${EPOCHREALTIME/./} status=0
	"$@" >"$work/out" 2>&1 </dev/null || status=$?
	if [ "$status" != 0 ]; then
		echo "bench: status $status: $*: $(tail -n "${TAIL:-3}" "$work/out")" >&2
		exit 1
	fi
	echo $((${EPOCHREALTIME/./} - start))
}
# Of the numbers on stdin, in lines or words.
median() {
	tr ' ' '\n' | grep . | sort -n | awk '{ v[NR] = $1 } END { print v[int((NR + 1) / 2)] }'
}
# pairs N OURS PEER: both are functions that print a number, called in turn; sets $a and $b to the medians.
pairs() {
	local i
	: >"$work/a"; : >"$work/b"
	for ((i = 0; i < $1; i++)); do
		"$2" >>"$work/a" || exit 1
		"$3" >>"$work/b" || exit 1
	done
	a=$(median <"$work/a") b=$(median <"$work/b")
}
# most|least TEXT VALUE PEER LIMIT: VALUE / PEER must not be over LIMIT, or not under it.
most() { compare limit "$@"; }
least() { compare "at least" "$@"; }
compare() {
	awk -v how="$1" -v t="$2" -v v="$3" -v p="$4" -v l="$5" 'BEGIN {
		r = v / p; bad = how == "limit" ? r > l : r < l
		printf "%-64s %6.2f  (%s %s)%s\n", t, r, how, l, (bad ? "  OVER" : "")
		exit bad }' || over=1
}
# images FROM NAME...: takes images of the data folder FROM into ours, without copying where links do.
images() {
	local from=$1 name
	shift
	mkdir -p "$CROFT_HOME/images"
	for name; do
		cp -al "$from/images/$name" "$CROFT_HOME/images/" 2>/dev/null || cp -r --reflink=auto "$from/images/$name" "$CROFT_HOME/images/" || exit 1
	done
}
# resident PID: kilobytes
resident() { awk '/^VmRSS/ { print $2 }' "/proc/$1/status"; }
