#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# The store against zstd -3 -T0, restic and casync: the same data, the same run, ratios only.
# usage: tests/bench/store.sh CROFT [RAW_IMAGE]   (without one: an ext4 of about 0.5 GB of /usr)
set -euo pipefail
croft=$(realpath "${1:?usage: $0 CROFT [RAW_IMAGE]}")
work=$(mktemp -d "${TMPDIR:-/var/tmp}/croft-bench-XXXXXX")
trap 'rm -rf "$work"' EXIT
export CROFT_HOME=$work/home RESTIC_PASSWORD=x RESTIC_CACHE_DIR=$work/cache RESTIC_REPOSITORY=$work/restic
image=$work/a.raw

if [ $# -gt 1 ]; then
	cp --sparse=always "$2" "$image"
else
	mkdir "$work/tree"
	size=0 paths=()
	while read -r kib path; do
		[ $((size + kib)) -le 480000 ] || continue
		paths+=("${path#/}")
		size=$((size + kib))
	done < <(du -sk /usr/bin /usr/sbin /usr/share/* /usr/lib/* 2>/dev/null | awk '$1 < 200000')
	tar -C / -cf - "${paths[@]}" | tar -C "$work/tree" -xf -
	mke2fs -q -t ext4 -d "$work/tree" "$image" 900M
	rm -rf "$work/tree"
fi
# 5 % changed, in runs, as after installing packages
cp --sparse=always "$image" "$work/b.raw"
python3 - "$work/b.raw" <<'P'
import os, random, sys
r = random.Random(1)
size, changed = os.path.getsize(sys.argv[1]), 0
with open(sys.argv[1], "r+b") as f:
    used = os.stat(sys.argv[1]).st_blocks * 512
    while changed < used * 0.05:
        at = f.seek(r.randrange(size >> 12) << 12)
        if not any(f.read(4096)):
            continue
        f.seek(at)
        data = bytes(r.choices(b"abcdefghijklmnopqrstuvwxyz \n", k=1 << 19))
        f.write(data[: size - at])
        changed += len(data)
print(changed, file=open(sys.argv[1] + ".changed", "w"))
P

# Best of three, in ns: `t PREPARE COMMAND`
t() {
	local best=0 a b
	for _ in 1 2 3; do
		eval "$1" >/dev/null 2>&1
		sync
		a=$(date +%s%N)
		eval "$2" >/dev/null 2>&1
		b=$(($(date +%s%N) - a))
		if [ $best = 0 ] || [ $b -lt $best ]; then best=$b; fi
	done
	echo $best
}
ratio() { awk -v l="$1" -v a="$2" -v b="$3" 'BEGIN { printf "%-58s %.2f\n", l, a / b }'; }
bytes() { du -sb --apparent-size "$1" | cut -f1; }

cat "$image" "$work/b.raw" >/dev/null
zstd=$(t "rm -f $work/a.zst" "zstd -q -3 -T0 $image -o $work/a.zst")
put=$(t "rm -rf $CROFT_HOME" "$croft store put a $image")
size=$(bytes "$CROFT_HOME/store")
ratio "first put: time / zstd -3 -T0" "$put" "$zstd"
ratio "first put: size / zstd -3 -T0" "$size" "$(bytes "$work/a.zst")"
if command -v restic >/dev/null; then
	restic=$(t "rm -rf $work/restic $work/cache; restic init" "restic backup $image")
	ratio "first put: time of restic / ours" "$restic" "$put"
fi
if command -v casync >/dev/null; then
	casync=$(t "rm -rf $work/c; mkdir $work/c" "casync make --store=$work/c/s $work/c/a.caibx $image")
	ratio "first put: time of casync / ours" "$casync" "$put"
fi
second=$(t "rm -rf $CROFT_HOME; $croft store put a $image" "$croft store put b $work/b.raw")
ratio "second put after 5 % change: time / first" "$second" "$put"
ratio "second put: bytes stored / bytes changed" $(($(bytes "$CROFT_HOME/store") - size)) "$(cat "$work/b.raw.changed")"
unzstd=$(t "rm -f $work/o" "zstd -q -d $work/a.zst -o $work/o")
get=$(t "rm -f $work/o" "$croft store get a $work/o")
cmp "$work/o" "$image"
ratio "get: time / zstd -d" "$get" "$unzstd"
update=$(t "cp --sparse=always $image $work/o" "$croft store get b $work/o --update")
cmp "$work/o" "$work/b.raw"
ratio "get --update over the older disk: time / get" "$update" "$get"
read=$(t : "cat $CROFT_HOME/store/packs/*")
ratio "verify: time / reading the packs (cached)" "$(t : "$croft store verify")" "$read"
ratio "gc with nothing to free: time / reading the packs (cached)" "$(t : "$croft store gc")" "$read"
