#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# Runs tests and ends with the line "N passed, N failed". check.sh [--unit DIR]... [--valgrind DIR] [--thread DIR] [--system CROFT] where DIR is a
# build directory. Test cases are counted, not programs; a test program that dies without a word counts as one failure.
set -u
cd "$(dirname "$0")/.." || exit 1
passed=0 failed=0

# Run by valgrind: tests that start no processes, since its version in Debian 12 does not know pidfd_open(2).
calm='base/containers base/hashes base/errors base/loops base/files base/paths base/numbers conf/interp conf/docs conf/settings
conf/shellvars store/layers store/trees pm/core pm/stream pm/model guest/frames guest/trees guest/identities qemu/args qemu/qmp
qemu/keys qemu/devices net/answers net/guard net/links net/proxies net/replay
image/sources image/archives machine/def machine/mux group/load group/zones group/apps group/links cli/args'

# unit DIR [NAME [OPTION...]]: NAME is what meson adds to the name of the log: that of a wrapper, or nothing
unit() {
	local dir=$1 log=$1/meson-logs/testlog${2:+-$2}.json p f
	shift 2>/dev/null; shift 2>/dev/null
	rm -f "$log"
	meson test -C "$dir" --no-rebuild --print-errorlogs "$@"
	if [ ! -s "$log" ]; then
		echo "check: $dir: no test has run" >&2
		failed=$((failed + 1))
		return
	fi
	read -r p f < <(jq -s -r '
		def sum(re): [match(re; "g").captures[0].string | tonumber] | add // 0;
		def lines(word): split("\n") | map(select(startswith(word + " "))) | length;
		map(((.stdout // "") + (.stderr // "")) as $o
			| {p: (($o | sum("\\[  PASSED  \\] ([0-9]+) test")) + ($o | lines("ok"))),
			   f: (($o | sum("\\[  FAILED  \\] [^\\n]*?([0-9]+) test")) + ($o | lines("not ok"))),
			   ok: (.result == "OK"), skip: (.result == "SKIP")}
			| if .skip then {p: 0, f: 0}
			  elif .ok then {p: (if .p > 0 then .p else 1 end), f: 0}
			  else {p, f: (if .f > 0 then .f else 1 end)} end)
		| "\(map(.p) | add) \(map(.f) | add)"' "$log")
	passed=$((passed + p)) failed=$((failed + f))
}

valgrind() {
	# shellcheck disable=SC2086
	unit "$1" valgrind --timeout-multiplier 20 --wrapper "valgrind -q --error-exitcode=77 --leak-check=full \
		--errors-for-leak-kinds=definite --child-silent-after-fork=yes" $calm
}

system() {
	local out p f
	out=$(mktemp)
	tests/system/run "$1" | tee "$out"
	if read -r p _ f _ < <(grep -E '^[0-9]+ passed, [0-9]+ failed' "$out" | tail -n 1); then
		passed=$((passed + p)) failed=$((failed + f))
	else
		failed=$((failed + 1))
	fi
	rm -f "$out"
}

while [ $# -gt 1 ]; do
	case $1 in
	--unit) unit "$2" ;;
	--thread) unit "$2" "" store/gate store/paths store/copies store/sets ;;
	--valgrind) valgrind "$2" ;;
	--system) system "$2" ;;
	*) echo "check: unknown argument $1" >&2; exit 2 ;;
	esac
	shift 2
done
echo "$passed passed, $failed failed"
[ "$failed" = 0 ] && [ "$passed" != 0 ]
