#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# again.sh CROFT: a clean state and all apps anew, `restore init` and `install`, on the three nodes of examples/discovery: what croft itself takes
# of it, without the apps' own commands, as --timing says. Median of rounds against its limit of 2 s. Status 1 when it is over.
set -u
croft=$(realpath "${1:?usage: $0 CROFT}")
. "$(dirname "$0")/lib.sh"
shared=${CROFT_TEST_HOME:-$(dirname "$croft")/test-home}
export CROFT_HOME=$work/home

leave() { (cd "$work/discovery" && "$croft" group discovery clean_vms --force) >/dev/null 2>&1 </dev/null; }
# own VERB...: microseconds of croft's own in a verb with --timing
own() {
	took "$croft" group discovery "$@" --timing >/dev/null
	sed -n 's/.* \([0-9.]*\) s croft.s own$/\1/p' "$work/out" | awk '{ printf "%d\n", $1 * 1000000 }'
}

CROFT_HOME=$shared "$croft" image make tiny >&2 || exit 1
images "$shared" tiny
cp -r "$here/../../examples/discovery" "$work/" && cd "$work/discovery" || exit 1
took "$croft" group discovery up --no-apps >/dev/null
took "$croft" group discovery snapshot init >/dev/null
took "$croft" group discovery install >/dev/null
for ((i = 0; i < ${ROUNDS:-5}; i++)); do
	a=$(own restore init) && b=$(own install) || exit 1
	[ -n "$a" ] && [ -n "$b" ] || exit 1
	echo $((a + b)) >>"$work/own"
done
most "group of three, restore init + install, croft's own / 2 s" "$(median <"$work/own")" 2000000 1
exit "$over"
