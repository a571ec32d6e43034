#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# musl.sh COMPILER OUTPUT DEPFILE INCLUDE-DIR [FLAG|SOURCE]...
# Compiles and links a static program with musl-gcc in one step. The kernel's headers come from the system, behind musl's own.
set -eu
cc=$1 out=$2 dep=$3 inc=$4
shift 4
arch=$("$cc" -dumpmachine)
tmp=$(mktemp -d "$out.XXXXXX")
trap 'rm -rf "$tmp"' EXIT
flags= objects= jobs=0
for arg; do
	case $arg in
	-*) flags="$flags $arg" ;;
	*)
		object=$tmp/$(basename "$(dirname "$arg")")_$(basename "$arg" .c).o
		"$cc" -std=gnu17 -D_GNU_SOURCE -Wall -Wextra -Wno-unused-parameter -Werror -fno-strict-aliasing $flags -I"$inc" \
			-idirafter /usr/include -idirafter "/usr/include/$arch" -MD -MQ "$out" -MF "$object.d" -c "$arg" -o "$object" &
		objects="$objects $object" jobs=$((jobs + 1))
		if [ $((jobs % 4)) = 0 ]; then
			wait
		fi
		;;
	esac
done
wait
"$cc" -static -Wl,--gc-sections -s -o "$out" $objects
cat "$tmp"/*.d >"$dep"
