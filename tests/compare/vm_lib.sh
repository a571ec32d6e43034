#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# vm_lib.sh: what the comparisons with the tool `vm` share; sourced with the arguments ORIGINAL CROFT. A script that uses it has functions
# `settings`, `prepare` (what is in the machine's folder before), `facts SIDE`, and the file $work/play, which both qemu-system-* run.
original=$(realpath "${1:?usage: $0 ORIGINAL CROFT}") croft=$(realpath "${2:?usage: $0 ORIGINAL CROFT}")
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
work=$(mktemp -d "${TMPDIR:-/tmp}/croft-compare-XXXXXX")
trap 'rm -rf "$work"' EXIT
trap 'exit 130' INT TERM
equal=0 different=0 intended=0
unset DISPLAY WAYLAND_DISPLAY CROFT_HOME
export NO_COLOR=1 PLAY=$work/play

mkdir -p "$work/bin" "$work/a/home/vm/rescue-x86_64" "$work/b/home/vm/rescue-x86_64" "$work/a/home/.config" "$work/b/home/.config"
# The original's: nothing is behind it.
cat >"$work/bin/qemu-system-x86_64" <<'S'
#!/bin/bash
WORKDIR=$PWD
. "$PLAY"
S
# Croft speaks with its QEMU: the real one runs what was recorded, without a guest, and is ended as play.croft says.
cat >"$work/qemu" <<'S'
#!/bin/bash
. "$PLAY.croft"
exec qemu-system-x86_64 "$@"
S
chmod 755 "$work/bin/qemu-system-x86_64" "$work/qemu"
cp -r "$original/scripts" "$work/a/home/vm/"
ln -s "$croft" "$work/vm"

# both BATCH...: on two fresh folders (those of the last time with again=1); results in a/ and b/.
both() {
	local s home rc
	for s in a b; do
		home=$work/$s/home
		rm -rf "$work/$s/record"
		if [ -z "${again:-}" ]; then
			rm -rf "$work/$s/host" "$work/$s/tmp" "$work/$s/croft"
			mkdir -p "$work/$s/host" "$work/$s/tmp"
			cp "$work/conf" "$home/.config/vm.conf"
			(cd "$work/$s/host" && HOME=$home prepare)
		fi
		mkdir -p "$work/$s/record"
		rc=0
		if [ $s = a ]; then
			(cd "$work/a/host" && HOME=$home TMPDIR=$work/a/tmp RECORD=$work/a/record PATH=$work/a/home/bin:$work/bin:$PATH \
				bash -c 'set -efu; PROG=vm; LIBEXEC=$HOME/vm/scripts; . "$LIBEXEC/vm-main.sh"' vm "$@") >"$work/a/out" 2>&1 </dev/null || rc=$?
		else
			(cd "$work/b/host" && HOME=$home TMPDIR=$work/b/tmp RECORD=$work/b/record CROFT_HOME=$work/b/croft CROFT_QEMU=$work/qemu \
				PATH=$work/b/home/bin:$PATH "$work/vm" "$@") >"$work/b/out" 2>&1 </dev/null || rc=$?
		fi
		[ "$rc" = 0 ] && echo success >"$work/$s/rc" || echo failure >"$work/$s/rc"
		facts $s >"$work/$s/facts"
	done
}

# compare NAME [LINE]...: facts are equal but for LINEs, in diff's form, which docs/vm-personality.md lists as different on purpose.
compare() {
	local name=$1
	shift
	if diff -U1 --label original --label croft "$work/a/facts" "$work/b/facts" >"$work/diff" && [ $# = 0 ]; then
		equal=$((equal + 1))
		echo "equal     $name ($(grep -c . "$work/a/facts") facts)"
	elif [ $# != 0 ] && diff <(printf '%s\n' "$@") <(sed -n '3,${/^[-+]/p}' "$work/diff") >"$work/diff2"; then
		intended=$((intended + 1))
		echo "intended  $name: $*"
	else
		different=$((different + 1))
		echo "DIFFERENT $name"
		sed 's/^/    /' "$work/diff"
		[ -z "${VERBOSE:-}" ] || tail -n 5 "$work/a/out" "$work/b/out"
	fi
}

summary() {
	echo "$equal equal, $intended different on purpose, $different different"
	[ "$different" = 0 ]
}
