#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# store.sh CROFT: the store against zstd, pigz, restic, casync and borg: the same data, the same run, medians of alternating pairs,
# ratios only. Status 1 when one is over its limit. CROFT_BENCH_DATA: where the disks are kept between runs.
set -uo pipefail
croft=$(realpath "${1:?usage: $0 CROFT}")
. "$(dirname "$0")/lib.sh"
data=${CROFT_BENCH_DATA:-/var/tmp/croft-bench-data}
export CROFT_HOME=$work/home RESTIC_PASSWORD=x RESTIC_CACHE_DIR=$work/cache RESTIC_REPOSITORY=$work/restic
export BORG_REPO=$work/borg BORG_BASE_DIR=$work/borgbase BORG_UNKNOWN_UNENCRYPTED_REPO_ACCESS_IS_OK=yes

missing=()
for p in zstd pigz restic casync borg:borgbackup mmdebstrap debugfs:e2fsprogs qemu-img:qemu-utils; do
	command -v "${p%:*}" >/dev/null || missing+=("${p#*:}")
done
if [ ${#missing[@]} -gt 0 ] && [ "$(id -u)" = 0 ]; then
	apt-get install -y -q --no-install-recommends "${missing[@]}" >/dev/null
fi
bash "$here/store_data.sh" "$data" || { echo "store: the disks could not be made" >&2; exit 1; }
first=$data/a.qcow2 second=$data/b.qcow2
cat "$first" "$second" >/dev/null # into the page cache

# compare_times N PREPARE OURS PREPARE PEER: the medians of alternating runs of these commands into $a and $b.
compare_times() {
	local ours=("$2" "$3") peer=("$4" "$5")
	pairs "$1" prepared_ours prepared_peer
}
prepared_ours() { prepared "${ours[@]}"; }
prepared_peer() { prepared "${peer[@]}"; }
prepared() {
	eval "$1" >/dev/null 2>&1
	sync "$work"
	took eval "$2"
}
bytes() { du -sb --apparent-size "$1" | cut -f1; }

fresh="rm -rf '$CROFT_HOME'"
put="$croft store put a '$first'"
compare_times 3 "$fresh" "$put" "rm -f $work/a.zst" "zstd -q -3 -T0 '$first' -o $work/a.zst"
most "first put: time / zstd -3 -T0" "$a" "$b" 1.0
size=$(bytes "$CROFT_HOME/store")
most "first put: size / zstd -3" "$size" "$(bytes "$work/a.zst")" 1.1
if command -v restic >/dev/null; then
	compare_times 3 "$fresh" "$put" "rm -rf $work/restic $work/cache; restic init" "restic backup '$first'"
	least "first put: time of restic / ours" "$b" "$a" 2
fi
if command -v casync >/dev/null; then
	compare_times 3 "$fresh" "$put" "rm -rf $work/c; mkdir $work/c" "casync make --store=$work/c/s $work/c/a.caibx '$first'"
	least "first put: time of casync / ours" "$b" "$a" 2
fi
if command -v borg >/dev/null; then
	compare_times 3 "$fresh" "$put" "rm -rf $work/borg $work/borgbase; borg init -e none" "borg create ::a '$first'"
	least "first put: time of borg / ours" "$b" "$a" 1
fi
if command -v pigz >/dev/null; then
	compare_times 1 "$fresh" "$put" : "pigz -9 -c '$first' >$work/a.gz"
	least "first put: time of pigz -9 / ours" "$b" "$a" 12
fi
compare_times 5 "$fresh; $put" "$croft store put b '$second'" "$fresh" "$put"
most "second put after installing packages: time / first" "$a" "$b" 0.15
eval "$fresh; $put" >/dev/null 2>&1
size=$(bytes "$CROFT_HOME/store")
"$croft" store put b "$second" >/dev/null 2>&1 || exit 1
most "second put: bytes stored / bytes changed" $(($(bytes "$CROFT_HOME/store") - size)) "$(cat "$data/b.changed")" 1.3
eval "$fresh; $put" >/dev/null 2>&1
size=$(bytes "$CROFT_HOME/store")
"$croft" store put c "$data/c.qcow2" >/dev/null 2>&1 || exit 1
most "put after a change of 5 %: bytes stored / bytes changed" $(($(bytes "$CROFT_HOME/store") - size)) $(($(bytes "$first") / 20)) 1.3
compare_times 5 "$fresh; $put" "$croft store put c '$data/c.qcow2'" "$fresh" "$put"
most "put after a change of 5 %: time / first" "$a" "$b" 0.15
eval "$fresh; $put; $croft store put b '$second'" >/dev/null 2>&1
compare_times 5 "rm -f $work/o" "$croft store get a $work/o" "rm -f $work/z" "zstd -q -d $work/a.zst -o $work/z"
most "get: time / zstd -d" "$a" "$b" 1.1
cmp "$work/o" "$data/a.raw" || over=1
compare_times 3 "cp --sparse=always $data/a.raw $work/o" "$croft store get b $work/o --update" "rm -f $work/z" "$croft store get b $work/z"
most "get --update over the older disk: time / get" "$a" "$b" 1
cmp "$work/o" "$data/b.raw" || over=1
compare_times 5 : "$croft store verify" : "cat $CROFT_HOME/store/packs/*"
most "verify: time / reading the packs (cached)" "$a" "$b" 2
compare_times 5 : "$croft store gc" : "cat $CROFT_HOME/store/packs/*"
most "gc with nothing to free: time / reading the packs (cached)" "$a" "$b" 1

compare_times 3 "rm -rf $work/copy" "$croft store copy $CROFT_HOME/store $work/copy" "rm -rf $work/copy" "cp -r $CROFT_HOME/store $work/copy; sync $work/copy/packs/*"
most "copy, every chunk checked: time / cp of the store and sync" "$a" "$b" 3
rm -rf "$work/copy"

# Memory, with as many threads as there may be, and a store of a million chunks.
peak() { python3 -c 'import resource, subprocess, sys
subprocess.run(sys.argv[1:], check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
print(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss)' "$@"; }
rm -rf "$CROFT_HOME" "$work/o" "$work/z"
most "put: peak of memory / 256 MB" "$(peak "$croft" store put a "$first")" 262144 1
most "get: peak of memory / 256 MB" "$(peak "$croft" store get a "$work/o")" 262144 1
most "verify: peak of memory / 256 MB" "$(peak "$croft" store verify --deep)" 262144 1
rm -rf "$CROFT_HOME" "$work/o"
if [ "$(df --output=avail -k "$work" | tail -n 1)" -gt 8000000 ]; then
	head -c 5G /dev/zero | openssl enc -aes-128-ctr -pass pass:x -nosalt -pbkdf2 2>/dev/null |
		"$croft" store put m - --chunk 4K >/dev/null 2>&1 || exit 1
	chunks=$("$croft" store stats --format json | jq .chunks)
	least "the large store: chunks / a million" "$chunks" 1000000 1
	compare_times 11 : "$croft store show m" : "$croft --version"
	most "the large store: opening and showing a name / 50 ms" "$a" 50000 1
fi
exit "$over"
