# SPDX-License-Identifier: Apache-2.0
# What the rescue system's programs know of disks.

LUKS_GIVEN=/run/croft/luks.key

die() {
	printf '%s: %s\n' "${0##*/}" "$*" >&2
	exit 1
}

# What blkid says of everything that holds something, into TAGS, and "DEVICE TYPE" of it into DEVICES. A look at all disks takes a third of a
# second in an emulated guest, so it is taken once, and again when something has become a device.
look() {
	TAGS=$(blkid -c /dev/null -o full 2>/dev/null)
	DEVICES=$(sed -n 's/^\([^:]*\):.* TYPE="\([^"]*\)".*/\1 \2/p' <<<"$TAGS")
}

# For those that have changed nothing since `activate`.
list_devices() {
	[ -n "${DEVICES+set}" ] || look
	[ -z "$DEVICES" ] || printf '%s\n' "$DEVICES"
}

type_of() {
	blkid -c /dev/null -p -s TYPE -o value -- "$1" 2>/dev/null
}

# RAID and LVM become devices; LUKS when LUKS_KEYFILE names a file with the passphrase, or croft was given one.
activate() {
	look
	case $DEVICES in
	*linux_raid_member*)
		mdadm --assemble --scan --no-degraded >/dev/null 2>&1
		start_degraded
		look
		;;
	esac
	case $DEVICES in
	*crypto_LUKS*) open_luks "$DEVICES" && look ;;
	esac
	case $DEVICES in
	*LVM2_member*)
		vgchange -q -ay --sysinit >/dev/null 2>&1 || vgchange -ay >&2
		look
		;;
	esac
}

# Arrays that lack a disk have been put together, but do not run before that is asked for.
start_degraded() {
	local md rest
	while read -r md rest; do
		case $rest in
		': inactive '*) mdadm --run "/dev/$md" >/dev/null 2>&1 ;;
		esac
	done </proc/mdstat
}

# A passphrase that was written with an end of line is one without, when it does not fit otherwise.
open_one_luks() { # DEVICE KEYFILE
	local name=luks-${1##*/}
	cryptsetup open --key-file "$2" "$1" "$name" </dev/null 2>/run/croft/luks.err && return
	[ -n "$(tail -c 1 -- "$2")" ] || ! head -c -1 -- "$2" | cryptsetup open --key-file - "$1" "$name" 2>/dev/null || return 0
	sed "s|^|$1: |" /run/croft/luks.err >&2
	return 1
}

# Whether one was opened.
open_luks() { # DEVICES
	local dev type key=${LUKS_KEYFILE-} opened=1
	[ -n "$key" ] || [ ! -f "$LUKS_GIVEN" ] || key=$LUKS_GIVEN
	mkdir -p /run/croft
	while read -r dev type; do
		[ "$type" = crypto_LUKS ] && [ ! -b "/dev/mapper/luks-${dev##*/}" ] || continue
		if [ -z "$key" ]; then
			echo "$dev is encrypted (LUKS); without --luks-key or LUKS_KEYFILE it stays closed" >&2
		elif open_one_luks "$dev" "$key"; then
			opened=0
		fi
	done <<<"$1"
	return "$opened"
}

# The device with that tag, by the last look; what it writes otherwise (blanks, say) blkid is asked for.
tagged() { # TAG VALUE
	local line
	while read -r line; do
		case $line in
		*": $1=\"$2\""* | *" $1=\"$2\""*)
			printf '%s\n' "${line%%:*}"
			return
			;;
		esac
	done <<<"${TAGS-}"
	blkid -c /dev/null -o device -t "$1=$2" | head -n 1
}

# The path of a device given in one of the ways of fstab.
find_device() {
	local dev=$1 value=${1#*=}
	value=${value#\"}
	case $1 in
	UUID=* | LABEL=* | PARTUUID=* | PARTLABEL=*) dev=$(tagged "${1%%=*}" "${value%\"}") ;;
	/dev/disk/by-uuid/*) dev=$(tagged UUID "${1##*/}") ;;
	/dev/disk/by-label/*) dev=$(tagged LABEL "$(printf '%b' "${1##*/}")") ;;
	esac
	[ -n "$dev" ] && [ -b "$dev" ] || {
		echo "${0##*/}: there is no device $1" >&2
		return 1
	}
	printf '%s\n' "$dev"
}

is_root() {
	[ -d "$1/etc" ] && { [ -d "$1/usr" ] || [ -d "$1/bin" ]; } &&
		{ [ -e "$1/etc/os-release" ] || [ -L "$1/etc/os-release" ] || [ -s "$1/etc/fstab" ] || [ -e "$1/etc/passwd" ]; }
}

# Without replaying a journal, which would write.
mount_quietly() { # DEVICE TYPE DIR
	local opts
	case $2 in
	ext[234]) opts=ro,noload ;;
	xfs) opts=ro,norecovery,nouuid ;;
	btrfs) opts=ro,rescue=nologreplay,subvolid=5 ;;
	*) opts=ro ;;
	esac
	mount -t "$2" -o "$opts" -- "$1" "$3" 2>/dev/null || { [ "$2" != btrfs ] && mount -t "$2" -o ro -- "$1" "$3" 2>/dev/null; }
}

# The subvolumes that hold a system, from the top one that is mounted at $1.
btrfs_roots() {
	local sub default roots=''
	default=$(btrfs subvolume get-default "$1" 2>/dev/null | sed -n 's/.* path //p')
	if [ -n "$default" ] && is_root "$1/$default"; then
		printf '%s\n' "$default"
		return
	fi
	if is_root "$1"; then
		echo /
		return
	fi
	while read -r sub; do
		case $sub in
		'' | *snapshot* | *timeshift*) continue ;;
		esac
		! is_root "$1/$sub" || roots=$roots$sub$'\n'
	done < <(btrfs subvolume list "$1" 2>/dev/null | sed 's/.* path //')
	printf '%s' "$roots"
}

# "DEVICE TYPE [SUBVOLUME]" for each system on that device.
probe() { # DEVICE TYPE
	local dir=/run/croft/probe sub
	case $2 in
	ext[234] | xfs | btrfs | f2fs | jfs | reiserfs) ;;
	*) return 0 ;;
	esac
	mkdir -p "$dir"
	mount_quietly "$1" "$2" "$dir" || return 0
	if [ "$2" = btrfs ]; then
		while read -r sub; do
			[ -z "$sub" ] || printf '%s %s %s\n' "$1" "$2" "$sub"
		done < <(btrfs_roots "$dir")
	elif is_root "$dir"; then
		printf '%s %s\n' "$1" "$2"
	fi
	umount "$dir"
}

find_systems() {
	local dev type
	while read -r dev type; do
		[ -z "$dev" ] || probe "$dev" "$type"
	done < <(list_devices)
}

describe_disks() {
	local all
	all=$(list_devices | tr '\n' ',' | sed 's/,$//; s/,/, /g')
	printf '%s' "${all:-they are empty}"
}

mount_special() { # DIR
	local d
	for d in proc sys dev run; do
		[ -d "$1/$d" ] || { [ -z "${RESCUE_RO-}" ] && mkdir -p "$1/$d"; } || continue
	done
	mount -t proc proc "$1/proc" &&
		mount --rbind /sys "$1/sys" && mount --make-rslave "$1/sys" &&
		mount --rbind /dev "$1/dev" && mount --make-rslave "$1/dev" &&
		mount -t tmpfs -o mode=755 tmpfs "$1/run" || return
	if [ -d /sys/firmware/efi ] && ! mountpoint -q /sys/firmware/efi/efivars; then
		modprobe -q efivarfs
		mount -t efivarfs efivarfs /sys/firmware/efi/efivars || :
		mount -t efivarfs efivarfs "$1/sys/firmware/efi/efivars" 2>/dev/null || :
	fi
	share_resolver "$1"
}

# Programs in the installed system find names by the rescue system's resolver, whatever leads where there.
share_resolver() { # DIR
	local to
	[ -s /etc/resolv.conf ] || return 0
	to=$(readlink "$1/etc/resolv.conf") || to=
	case $to in
	/run/* | ../run/*)
		to=$1/run/${to#*run/}
		mkdir -p "${to%/*}" && cp /etc/resolv.conf "$to"
		;;
	'')
		[ ! -f "$1/etc/resolv.conf" ] || mount --bind /etc/resolv.conf "$1/etc/resolv.conf"
		;;
	esac
}

# Ends processes that have their root, their working directory or open files below a folder.
let_go() { # DIR
	local p pids=''
	set +f
	for p in /proc/[0-9]*; do
		case $(readlink "$p/root" "$p/cwd" "$p/exe" 2>/dev/null; readlink "$p"/fd/* 2>/dev/null) in
		*"$1"*) [ "${p#/proc/}" = $$ ] || pids="$pids ${p#/proc/}" ;;
		esac
	done
	set -f
	[ -z "$pids" ] || {
		kill $pids 2>/dev/null
		sleep 0.2
		kill -9 $pids 2>/dev/null
	}
	return 0
}

release_disks() {
	local dev dir again='' left
	# what is on disks, the last mounted first, and what is mounted below
	while read -r dir; do
		dir=$(printf '%b' "${dir//\\0/\\00}")
		mountpoint -q "$dir" || continue
		umount -R -- "$dir" 2>/dev/null && continue
		let_go "$dir"
		umount -R -- "$dir" 2>/dev/null || { umount -R -l -- "$dir" && again=1; }
	done < <(awk '$1 ~ "^/dev/" && $2 !~ "^/tmp/\\.(in|out|mirror)" { print $2 }' /proc/mounts | tac)
	swapoff -a 2>/dev/null
	[ -z "$again" ] || sync
	set +f
	case $(cat /sys/block/dm-*/dm/uuid 2>/dev/null) in
	*LVM-*) vgchange -q -an >/dev/null 2>&1 ;;
	esac
	for dev in /dev/mapper/luks-*; do
		[ ! -b "$dev" ] || cryptsetup close "$dev"
	done
	left=$(ls /sys/block | grep '^md')
	set -f
	[ -z "$left" ] || mdadm --stop --scan >/dev/null 2>&1
	sync
}
