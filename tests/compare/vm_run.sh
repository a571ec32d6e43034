#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# vm_run.sh ORIGINAL CROFT: `create`, `run`, `backup`, `restore` and `destroy` of the tool `vm` (ORIGINAL: a copy of its repository) and of croft, with each
# option and setting, on equal folders, with a qemu-system-* that records its arguments; compares machine by machine what QEMU is told, what
# guest.env says and which files there are. Not part of `make check`. Needs pigz, qemu-img, OVMF, python3; no guest is started.
set -u
. "$(dirname "$0")/vm_lib.sh"

echo 'printf "%s\n" "$@" >"$RECORD/args"' >"$work/play"
# Croft's machine is switched off as soon as it is up.
cat >"$work/play.croft" <<'S'
case " $* " in
*" -name "*) . "$PLAY"; ( sleep 0.3; kill -TERM $$ ) </dev/null >/dev/null 2>&1 & ;;
esac
S

settings() { printf '%s\n' "$@" >"$work/conf"; }
prepare() {
	echo cd >cd.iso
	echo other >other.iso
	mkdir -p "two words" "$HOME/bin" "$HOME/media/mirror/x" "$HOME/media/isos"
	echo far >"$HOME/media/isos/far.iso"
	qemu-img create -q -f qcow2 more.img 1M
	qemu-img create -q -f raw raw.img 1M
	echo "MEDIA=$HOME/media" >"$HOME/bin/check-media"
	chmod 755 "$HOME/bin/check-media"
}
# guest.env by what it sets, however it is written.
env_facts() { # FILE
	bash -c '. "$1"; for v in GUESTNAME QEMUARCH SOCKETS CORES MEMORY UEFI ISO KEEPCD FORWARDS HOST PORT SHARES IMAGES; do
		declare -n n=$v; echo "env $v=${n[*]-}"; done' _ "$1"
}
facts() {
	local w
	w=$(readlink "$work/$1/host/.work") || w=$work/$1/host
	{
		echo "result $(cat "$work/$1/rc")"
		[ ! -e "$work/$1/record/args" ] || python3 "$here/vm_args.py" "$work/$1/record/args" run
		[ ! -e "$w/guest.env" ] || env_facts "$w/guest.env"
		(cd "$w" 2>/dev/null && for f in disk-*.img; do [ ! -e "$f" ] || echo "file $f $(qemu-img info --output json "$f" | jq -r '"\(.format) \(."virtual-size")"')"; done)
		[ ! -e "$w/FIRSTTIME" ] || echo "file FIRSTTIME"
		[ ! -e "$w/efivars.bin" ] || echo "file efivars.bin"
		(cd "$work/$1/host" && [ ! -d backups ] || find backups ! -type d | sort)
	} | sed "s|$w/|WORKDIR/|g; s|$w|WORKDIR|g; s|$work/$1/host|HOSTDIR|g; s|$work/$1/home|HOME|g" | sed -E 's/^disk (\S+) WORKDIR\//disk \1 /'
}

# one NAME OPTION... [-- EXPECTED LINE...]: create with these options and run; again runs what is there.
one() {
	local name=$1 args=()
	shift
	while [ $# != 0 ] && [ "$1" != -- ]; do args+=("$1"); shift; done
	[ $# = 0 ] || shift
	both "${args[@]}"
	if [ "$*" = refused ]; then
		# What the original finds out when it runs, or never: both fail, croft before it has made anything.
		grep -qx "result failure" "$work/a/facts" && echo "result failure" >"$work/a/facts"
	fi
	[ "$*" != refused ] || set --
	compare "$name" "$@"
}
again() { again=1 one "$@"; }

settings 'PORT=' 'SHARES=()' 'DISKS=VIRT=1M'
one "nothing but a name" @create g @run
again "the second run, no command" 
again "options of a run" -m 512 -c 3 -S 2 -- "-memory 2048 MiB" "+memory 512 MiB" "-processors 2" "+processors 6" "-sockets 1 cores 2" "+sockets 2 cores 3"
one "@ left out" create "my guest" run -- "-name my guest" "+name my-guest"
one "-c -S -m" -c 3 -S 2 -m 300 @create g @run
one "long and shortened" --cores=4 --sock 2 --mem 1G --disks NVME=1M @create g @run
one "-D of each kind" -D AHCI=1M,NVME=2M,SCSI=3M,VIRT=4M @create g @run
one "-D, two of a kind" -D SCSI=1M,SCSI=1M,AHCI=1M,AHCI=1M,NVME=1M,NVME=1M @create g @run
one "-D nonsense" -D FLOPPY=1M @create g @run -- refused
one "-a i686" -a i686 @create g
one "-a pentium" -a pentium @create g
one "-u" -u @create g @run
again "--no-uefi on UEFI" --no-uefi @run
one "-u at run" @create g @run
again "-u at run, later" -u @run
one "-p -H" -p 15911 -H 127.0.0.1 @create g @run -- "+screen with a password"
one "-p, IPv6" -p 15911 -H '[::1]' @create g @run -- "+screen with a password"
one "-p empty" -p '' @create g @run
one "-f hostfwd" -f tcp:127.0.0.1:15912-:22 -f hostfwd=udp:127.0.0.1:15913-:53 @create g @run
python3 -c 'import socket, time; s = socket.create_server(("127.0.0.1", 15915)); time.sleep(60)' & # QEMU connects at its start
listener=$!
one "-f guestfwd" -f guestfwd=tcp:10.0.2.9:80-tcp:127.0.0.1:15915 @create g @run
kill "$listener"
one "-f cleared" -f tcp:127.0.0.1:15912-:22 -f '' @create g @run
one "--no-netdev" --no-netdev @create g @run
one "-s" -s a:@HOSTDIR@ -s 'b:rw:@HOSTDIR@/two words' -s c:/ -s d:rw:@DATADIR@ @create g @run
settings 'PORT=' 'SHARES=()' 'DISKS=VIRT=1M' 'MEDIA_MIRROR=/mirror' 'MEDIA_STORAGE=/isos'
one "-s media" -s a:@MIRROR@ -s b:@MIRROR@/x -s c:@MEDIA@/isos @create g @run
settings 'PORT=' 'SHARES=()' 'DISKS=VIRT=1M'
one "-s cleared" -s a:@HOSTDIR@ -s '' @create g @run
one "-s nonsense" -s nothing @create g @run -- refused
one "-s no such folder" -s a:/gone @create g @run -- refused
one "-i" @create g
cp "$work/a/host/more.img" "$work/a/host/raw.img" "$work/"
again "-i qcow2 and raw" -i SCSI="$work/more.img" -i AHCI=raw="$work/raw.img" @run
again "-i gone" -i SCSI=gone.img @run
again "-i nonsense" -i more.img @run
one "a CD, first run" @create g cd.iso @run
again "a CD, second run" @run
again "a CD, -k" -k @run -- "+cd HOSTDIR/cd.iso"
again "a CD, run other.iso" -k run other.iso -- "+cd HOSTDIR/other.iso" "+the CD comes first"
again "a CD, other.iso alone" -k other.iso -- "+cd HOSTDIR/other.iso" "+the CD comes first"
again "a CD, --no-keep-cd" --no-keep-cd @run
one "a CD, -k at create" -k @create g cd.iso @run
again "a CD kept" @run
one "a CD, none such" @create g gone.iso @run -- refused
one "a CD by UEFI, first run" -u @create g cd.iso @run -- "+the CD comes first"
one "--inplace" --inplace @create g @run
again "--inplace, later" --no-tmpdir
one "-d" @create g
again "-d that folder" -d . @run
one "-n" -n @create g @run
one "--use-tmpdir" --inplace --use-tmpdir @create g @run
one "wrong option" --nonsense @create g
one "two words that are no command" foo bar
one "no name" @create
one "twice" @create g @create h
one "run of nothing" @run
one "backup and restore" @create g @run @backup @backup two "some words" @destroy @restore S0 @run
again "run restores" @destroy @run
again "backup twice the same" @backup two
again "restore of nothing" @restore none
settings 'PORT=15914' 'SHARES=( "in:@HOSTDIR@" )' 'DISKS="AHCI=1M,VIRT=1M"' 'MEMORY=1G' 'CORES=3' 'SOCKETS=2' 'HOST=127.0.0.1' 'UEFI=1' \
	'FORWARDS="hostfwd=tcp:127.0.0.1:15912-:22"' 'KEEPCD=1' 'ISO=cd.iso' 'INPLACE=1'
one "all from vm.conf" @create g @run -- "+screen with a password" "+the CD comes first"
one "options over vm.conf" -p '' -s '' -m 256 -c 1 -S 1 --no-uefi -f '' --no-keep-cd --use-tmpdir @create g @run
settings 'PORT=' 'SHARES=()' 'DISKS=VIRT=1M'
prepare_base=$(declare -f prepare)
eval "${prepare_base/prepare/prepare_plain}"
prepare() { prepare_plain; printf '# a comment\n\n-device edu \\\n  -rtc base=localtime\n' >vm.defaults; }
one "vm.defaults" @create g @run
prepare() { prepare_plain; mkdir -p "$HOME/.config"; echo '-device edu' >"$HOME/.config/vm.defaults"; }
one "vm.defaults of the user" @create g @run
rm -f "$work"/?/home/.config/vm.defaults
settings 'PORT=' 'DISKS=VIRT=1M' 'MEDIA_MIRROR=/mirror' 'MEDIA_STORAGE=/isos'
prepare() { prepare_plain; }
one "default shares, with media" @create g @run
cp "$work/b/facts" "$work/with-media"
one "MEDIA_STORAGE" @create g far.iso @run
prepare() { prepare_plain; rm "$HOME/bin/check-media"; }
both @create g @run
# The original does not start then; croft does, without the share.
grep -qx "result failure" "$work/a/facts" && grep -v '^share mirror' "$work/with-media" >"$work/a/facts"
compare "default shares, without media"
summary
