# SPDX-License-Identifier: Apache-2.0
# What test files use; also the program that runs one: bash lib.sh FILE.
set -u
shopt -s expand_aliases

croft() {
	"$CROFT" "$@"
}

die() {
	echo "$*" >&2
	exit 1
}

# expect STATUS CMD...: runs it, leaves its output in $out and $errs, fails the case when the status differs.
expect() {
	local want=$1 got=0
	shift
	"$@" >"$TEST_TMP/out" 2>"$TEST_TMP/err" || got=$?
	out=$(tr -d '\0' <"$TEST_TMP/out") errs=$(tr -d '\0' <"$TEST_TMP/err")
	[ "$got" = "$want" ] || die "status $got instead of $want: $*
stdout: $out
stderr: $errs"
}

# says TEXT: the last expect's stderr holds TEXT. prints TEXT: its stdout does.
says() {
	[[ $errs == *"$1"* ]] || die "stderr does not say '$1': $errs"
}
prints() {
	[[ $out == *"$1"* ]] || die "stdout does not hold '$1': $out"
}
equal() {
	[ "$1" = "$2" ] || die "'$1' is not '$2'"
}
state() {
	croft vm list --format json | jq -r --arg n "$1" '.[] | select(.name == $n) | .state'
}
# Processes that mention this home in their command line.
processes() {
	local p
	for p in /proc/[0-9]*; do
		[ "$p" != "/proc/$$" ] && [ "$p" != "/proc/$BASHPID" ] || continue
		if { tr '\0' '\n' <"$p/cmdline"; } 2>/dev/null | grep -qF -- "$CROFT_HOME"; then
			echo "${p#/proc/} $(tr '\0' ' ' <"$p/cmdline" 2>/dev/null | cut -c1-120)"
		fi
	done
}
no_processes() {
	local left
	for _ in 1 2 3 4 5 6 7 8 9 10; do
		left=$(processes)
		[ -n "$left" ] || return 0
		sleep 0.3
	done
	die "processes are left: $left"
}
pid_of() { # pid_of MACHINE qemu|helper
	cut -d' ' -f1 "$CROFT_HOME/machines/$1/run/$2.pid"
}

if [ $# = 1 ] && [ "$(basename "$0")" = lib.sh ]; then
	file=$1 name=$(basename "$1" .test) bad=0
	mkdir -p "$TEST_TMP"
	cd "$TEST_TMP" || exit 2
	# shellcheck disable=SC1090
	. "$file"
	for t in $(grep -o '^test_[a-z0-9_]*' "$file"); do
		start=$SECONDS
		# Not in a condition, where bash would ignore -e inside.
		(
			set -eE
			trap 'echo "line $LINENO: $BASH_COMMAND" >&2' ERR
			"$t"
		) >"$TEST_TMP/log" 2>&1
		status=$?
		if [ "$status" = 0 ]; then
			echo "ok   $name: ${t#test_} ($((SECONDS - start)) s)"
			echo "ok $t" >>"$TEST_RESULT"
		else
			echo "FAIL $name: ${t#test_}"
			sed 's/^/     | /' "$TEST_TMP/log"
			echo "FAIL $t" >>"$TEST_RESULT"
			bad=1
		fi
	done
	exit "$bad"
fi
