#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# make fuzz: each fuzzer of a build directory for FUZZ_SECONDS (60). Inputs that were worth keeping stay in
# DIR/corpus; tests/fuzz/corpus has seeds.
set -u
dir=$1 failed=0 count=0 here=$(dirname "$0")
for program in $(find "$dir/tests/fuzz" -type f -name 'fuzz_*' -perm -u+x); do
	name=$(basename "$program")
	mkdir -p "$dir/corpus/$name"
	seeds=()
	[ ! -d "$here/../tests/fuzz/corpus/$name" ] || seeds=("$here/../tests/fuzz/corpus/$name")
	count=$((count + 1))
	echo "== $name"
	if ! "$program" -max_total_time="${FUZZ_SECONDS:-60}" -timeout=20 -print_final_stats=1 -artifact_prefix="$dir/$name-" \
		"$dir/corpus/$name" "${seeds[@]}" 2>"$dir/$name.log"; then
		failed=$((failed + 1))
		tail -n 40 "$dir/$name.log" >&2
	else
		grep stat::number_of_executed_units "$dir/$name.log"
	fi
done
echo "$((count - failed)) passed, $failed failed"
[ "$failed" = 0 ] && [ "$count" != 0 ]
