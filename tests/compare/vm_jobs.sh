#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# vm_jobs.sh ORIGINAL CROFT: runs the jobs of the tool `vm` (ORIGINAL: a copy of its repository) and croft's on equal folders and settings, each with
# a qemu-system-* that records its arguments and what is in .in, and plays the rescue CD's part; compares both, job by job. Not part of `make check`:
# the original is not ours to distribute. Needs pigz, qemu-img, OVMF, python3; no guest is started.
set -u
. "$(dirname "$0")/vm_lib.sh"

# What both QEMUs do: recorded, then the CD's part in .out; STATUS as the case wants it.
cat >"$work/play" <<'S'
printf '%s\n' "$@" >"$RECORD/args"
cp -r "$WORKDIR/.in" "$RECORD/in"
( sleep 0.3; date '+%F %T' >"$WORKDIR/.out/STARTED"; echo "from the CD" >"$WORKDIR/.out/job.log"; sleep 0.3
  echo "${PLAY_STATUS:-0}" >"$WORKDIR/.out/STATUS"; date '+%F %T' >"$WORKDIR/.out/FINISHED" )
S
cat >"$work/play.croft" <<'S'
case " $* " in
*" -cdrom "* | *media=cdrom* | *ide-cd*)
	WORKDIR=$(printf '%s\n' "$@" | sed -n 's/.*path=\(.*\)\/\.out,.*/\1/p' | head -n 1)
	( . "$PLAY"; sleep 0.3; kill -9 $$ ) </dev/null >/dev/null 2>&1 &
	;;
esac
S

settings() { # lines for both vm.conf; the profile is made with it
	local home
	printf '%s\n' 'PORT=' 'SHARES=()' 'SSHKEYS=( "$HOME/one.pub" "$HOME/none.pub" "$HOME/two words.pub" )' "$@" >"$work/conf"
	for home in "$work/a/home" "$work/b/home"; do
		echo key1 >"$home/one.pub"; echo key2 >"$home/two words.pub"
		printf 'RESCUE_ISO=rescue.iso\nRESCUE_SHARES=( "in:@INDIR@" "out:rw:@DATADIR@" )\n' >"$home/vm/rescue-x86_64/guest.env"
		[ -z "${profile:-}" ] || printf '%s\n' "$profile" >>"$home/vm/rescue-x86_64/guest.env"
		echo iso >"$home/vm/rescue-x86_64/rescue.iso"
	done
}
# What .in tells a job: the tools' own scripts and the form of what their .pre hands them are each tool's matter, what it says is not.
in_facts() {
	local f list=''
	if [ -f SSHKEYS ]; then
		# names of files, or the keys themselves
		while IFS= read -r f; do
			[ -f "$f" ] && list="$list $f" && f=$(cat "$f")
			echo "key $f"
		done <SSHKEYS
	fi
	[ ! -f job.env ] || (set -a; . ./job.env; for f in COLOUR ${!SETUP_*}; do [ "$f" = SETUP_FILES ] || [ -z "${!f:-}" ] || echo "env $f=${!f}"; done)
	find . -type f | sort | while IFS= read -r f; do
		case "$f:$list " in
		./SSHKEYS:* | ./job.env:*) continue ;;
		*.pub:*) continue ;;
		esac
		if [ "$f" = ./job.sh ] && grep -q 'SPDX\|GNU General' "$f"; then
			echo "in $f: the tool's own"
		else
			echo "in $f: $(tr '\n' '|' <"$f")"
		fi
	done
}
# Paths by their meaning; what a set of disks, folders and variables is, not how it is spelled.
facts() {
	local w
	w=$(readlink "$work/$1/host/.work")
	{
		echo "result $(cat "$work/$1/rc")"
		[ ! -e "$work/$1/record/args" ] || python3 "$here/vm_args.py" "$work/$1/record/args"
		[ ! -d "$work/$1/record/in" ] || (cd "$work/$1/record/in" && in_facts)
		(cd "$work/$1/host" && find . -type f -name 'post-*' | sort | while IFS= read -r f; do echo "post $f: $(tr '\n' '|' <"$f")"; done)
		echo "left in .in: $(ls -A "$w/.in" 2>/dev/null | tr '\n' ' ')"
		echo "out: $(ls -A "$w/.out" 2>/dev/null | tr '\n' ' ')"
	} | sed "s|$w/|WORKDIR/|g; s|$w|WORKDIR|g; s|$work/$1/host|HOSTDIR|g; s|$work/$1/home|HOME|g" | sed -E 's/^disk (\S+) WORKDIR\//disk \1 /; s/127.0.0.1:[3-6][0-9]{4}-:22/127.0.0.1:FREE-:22/'
}
all_variables='for v in HOSTDIR WORKDIR PROFILES GUESTNAME QEMUARCH UEFI MEDIA TIMEOUT SOCKETS CORES MEMORY FORWARDS HOST PORT ISO KEEPCD; do
	eval "printf \"%s\\n\" \"$v=\$$v\""
done'
prepare() {
	printf '%s\n{ %s; printf "key %%s\\n" "${SSHKEYS[@]}"; } >"$WORKDIR/.in/variables"\n' ': own' "$all_variables" >own.pre
	echo 'echo work' >own.job
	echo '{ cat "$WORKDIR/.out/STATUS"; ls -A "$WORKDIR/.in"; echo "$GUESTNAME"; } >"$HOSTDIR/post-own"' >own.post
}
settings
both -m 256 -c 1 -t 60 -D AHCI=1M,VIRT=1M,SCSI=1M,NVME=1M @create "my guest" @job own;	compare "own job, disks of each kind"
both -u -t 9 -D VIRT=1M @create g @job own;						compare "UEFI"
again=1 both --no-uefi @job own;							compare "--no-uefi"
profile=$'RESCUE_SOCKETS=2\nRESCUE_CORES=2\nRESCUE_MEMORY=1G\nRESCUE_FORWARDS="hostfwd=tcp:127.0.0.1:15022-:22"\nRESCUE_SHARES=( "${RESCUE_SHARES[@]}" "data:@HOSTDIR@" "more:rw:@HOSTDIR@/d" )'
settings
prepare_own=$(declare -f prepare)
prepare() { eval "${prepare_own/prepare/prepare_base}"; prepare_base; mkdir -p d; }
both -D VIRT=1M @create g @job own;							compare "RESCUE_* of the profile"
profile=
settings
for s in a b; do
	mkdir -p "$work/$s/home/vm/my rescue"
	echo iso >"$work/$s/home/vm/my rescue/m.iso"
	printf 'RESCUE_ISO=m.iso\nRESCUE_CORES=1\nRESCUE_SHARES=( "in:@INDIR@" "out:rw:@DATADIR@" )\n' >"$work/$s/home/vm/my rescue/guest.env"
done
both -r "my rescue" -D VIRT=1M @create g @job own;					compare "-r"
both -r gone -D VIRT=1M @create g @job own;						compare "-r, no such profile"
settings 'MEMORY=512M' 'CORES=3' 'FORWARDS="hostfwd=tcp::15555-:22"'
both -D AHCI=1M @create g @job own;							compare "settings of vm.conf"
settings
PLAY_STATUS=3 both -D AHCI=1M @create g @job own;					compare "a job that fails" \
	"-left in .in: job.sh variables " "+left in .in: "
prepare() { echo 'exit 1' >own.pre; echo : >own.job; }
both -D AHCI=1M @create g @job own;							compare ".pre fails"
prepare() { echo : >own.job; }
both -D AHCI=1M @create g @job other;							compare "no such job"
both -D AHCI=1M @create g @job own;							compare "neither .pre nor .post"
prepare() { :; }
both -D AHCI=1M @create g @job add-ssh-keys;						compare "add-ssh-keys"
both -D AHCI=1M @create g @job run-ssh;							compare "run-ssh" "+forward tcp:127.0.0.1:FREE-:22"
prepare() { echo 'echo install' >post-install.sh; }
both -D AHCI=1M @create g @job post-install;						compare "post-install, the least"
prepare() {
	echo 'echo install' >web.sh
	printf 'SETUP_HOSTNAME=web1\nSETUP_USERNAME=me\nSETUP_USER_UID=1234\nSETUP_VERBOSE=1\nSETUP_ROOTDEV=LABEL=root\nSETUP_FILES=( extra )\nCOLOUR="deep blue"\n' >web.env
	echo extra >extra; echo h >web.host-web1.tgz; echo other >web.host-web2.tgz; echo u >web.user-me.tgz
	echo 'echo pre >"$WORKDIR/.in/from-pre"' >web.pre
	echo 'echo "$COLOUR $SETUP_HOSTNAME $SETUP_USERNAME $SETUP_USER_UID" >"$HOSTDIR/post-web"' >web.post
}
SETUP_PROFILE=web both -D AHCI=1M @create g @job post-install;				compare "post-install with a profile"
prepare() { echo 'SETUP_SCRIPT=other.sh' >post-install.env; echo 'echo other' >other.sh; }
both -D AHCI=1M @create g @job post-install;						compare "SETUP_SCRIPT"
prepare() { :; }
both -D AHCI=1M @create g @job post-install;						compare "post-install without a script"
# The user's own folder of scripts, as the original installs it: croft runs those jobs.
cp -r "$original/scripts" "$work/b/home/vm/"
both -D AHCI=1M @create g @job add-ssh-keys;						compare "the original's add-ssh-keys in LIBEXEC"
prepare() { echo 'echo install' >post-install.sh; printf 'SETUP_HOSTNAME=w\n' >post-install.env; }
both -D AHCI=1M @create g @job post-install;						compare "the original's post-install in LIBEXEC"
summary
