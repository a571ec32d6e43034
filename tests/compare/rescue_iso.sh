#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# rescue_iso.sh ORIGINAL CROFT: a rescue CD that has nothing of croft: Debian's kernel and busybox, and on the CD, as alt2deploy puts it there, the
# autorun of the tool `vm` (ORIGINAL: a copy of its repository), unchanged. Jobs run on it by `croft job run --iso` and by `vm`, by BIOS and UEFI. By
# hand: it starts real guests and fetches Debian's packages. Needs grub-mkrescue, xorriso, cpio (busybox), apt.
set -eu
original=$(realpath "${1:?usage: $0 ORIGINAL CROFT}") croft=$(realpath "${2:?usage: $0 ORIGINAL CROFT}")
work=$(mktemp -d "${TMPDIR:-/tmp}/croft rescue XXXXXX")
trap 'rm -rf "$work"' EXIT
trap 'exit 130' INT TERM
export CROFT_HOME=$work/croft HOME=$work/home TMPDIR=$work NO_COLOR=1
unset DISPLAY WAYLAND_DISPLAY
mkdir -p "$HOME/.config" "$work/debs" "$work/root" "$work/cd/boot/grub" "$work/cd/recovery"
ln -s "$croft" "$work/vm"
fail() {
	echo "FAIL $*" >&2
	exit 1
}

kernel=$(apt-cache show --no-all-versions linux-image-amd64 | sed -n 's/^Depends: \(linux-image-[^ ,]*\).*/\1/p')
(cd "$work/debs" && apt-get -qq download busybox-static "$kernel" 2>/dev/null && for d in *.deb; do dpkg-deb -x "$d" "$work/root"; done)
initrd() {
	local d=$work/initrd m f
	mkdir -p "$d"/{bin,sbin,proc,sys,dev,tmp,mnt/autorun,lib/modules}
	cp "$work"/root/{,usr/}bin/busybox "$d/bin/" 2>/dev/null || [ -x "$d/bin/busybox" ]
	# Debian's busybox asks for a value after -d, which poweroff of ALT Rescue takes alone.
	printf '#!/bin/busybox sh\nexec /bin/busybox poweroff -f\n' >"$d/sbin/poweroff"
	chmod 755 "$d/sbin/poweroff"
	m=$(cd "$work/root/lib/modules" && echo *)
	depmod -b "$work/root" "$m"
	for f in virtio_pci virtio_blk virtio_scsi ata_piix ahci sr_mod isofs 9pnet_virtio 9p; do
		modprobe -d "$work/root" -S "$m" --show-depends "$f" | sed -n 's/^insmod \(.*[^ ]\) *$/\1/p'
	done | sort -u | while IFS= read -r f; do
		install -D -m 644 "$f" "$d${f#"$work/root"}"
	done
	cp "$work/root/lib/modules/$m"/modules.{order,builtin,builtin.modinfo} "$d/lib/modules/$m/"
	depmod -b "$d" "$m"
	cat >"$d/init" <<'S'
#!/bin/busybox sh
export PATH=/sbin:/bin
/bin/busybox --install -s /bin
mount -t proc proc /proc; mount -t sysfs sys /sys; mount -t devtmpfs dev /dev
for m in virtio_pci virtio_blk virtio_scsi ata_piix ahci sr_mod isofs 9pnet_virtio 9p; do modprobe $m; done
i=0
while [ ! -e /dev/sr0 ] && [ $i -lt 100 ]; do sleep 0.2; i=$((i + 1)); done
mount -t iso9660 -o ro /dev/sr0 /mnt/autorun
cd /mnt/autorun/recovery && ./autorun
poweroff
S
	chmod 755 "$d/init"
	(cd "$d" && find . | busybox cpio -o -H newc 2>/dev/null) | gzip -1 >"$work/cd/boot/initrd.img"
}
initrd
cp "$work"/root/boot/vmlinuz-* "$work/cd/boot/vmlinuz"
install -m 755 "$original/scripts/rescue-stage3.sh" "$work/cd/recovery/autorun"
printf 'set timeout=0\nmenuentry rescue {\n linux /boot/vmlinuz console=ttyS0 panic=-1\n initrd /boot/initrd.img\n}\n' >"$work/cd/boot/grub/grub.cfg"
grub-mkrescue -o "$work/rescue.iso" "$work/cd" >"$work/mkrescue.log" 2>&1 || fail "$(cat "$work/mkrescue.log")"
echo "the CD: $(du -h "$work/rescue.iso" | cut -f1), by $kernel"

# says TEXT CMD...: CMD's status is $want, its output has TEXT
says() {
	local got=0 text=$1
	shift
	"$@" >"$work/out" 2>&1 || got=$?
	[ "$got" = "${want:-0}" ] && grep -qF -- "$text" "$work/out" || fail "status $got, wanted ${want:-0} and '$text': $*: $(cat "$work/out")"
	echo "ok   $text"
}
mkdir "$work/my machine"
cd "$work/my machine"
printf 'memory: 64M\ndisks: [{size: 32M}, {size: 1M, bus: scsi}]\n' >m.yaml
"$croft" vm create m --file m.yaml
cat >look.job <<'S'
grep -o 'DISK [0-9]*' disks.txt
run busybox uname -s
cat /proc/partitions | grep -c 'vda\|sda' || :
printf 'say: %s\n' "$WHAT"
dd if=/dev/zero of=/dev/vda bs=512 count=1 2>/dev/null
echo "it's here" | dd of=/dev/vda bs=512 conv=notrunc,sync 2>/dev/null
[ ! -d /sys/firmware/efi ] || echo by UEFI
echo data >"$OUTDIR/file"
exit "${END:-0}"
S
echo 'DISK 2' >disks.txt
echo 'echo "$(cat "$OUTDIR/file") has come back"' >look.post
says "data has come back" "$croft" job run ./look.job --on m --iso "$work/rescue.iso" --file disks.txt -e "WHAT=it's \"\$HOME\" ü"
grep -qF "say: it's \"\$HOME\" ü" "$work/out" || fail "the variable: $(cat "$work/out")"
qemu-img convert -O raw "$CROFT_HOME/machines/m/disk-0.qcow2" "$work/disk.raw"
[ "$(head -n 1 "$work/disk.raw")" = "it's here" ] || fail "nothing is on the disk"
want=7 says "by UEFI" "$croft" job run ./look.job --on m --iso "$work/rescue.iso" --file disks.txt -e WHAT=x -e END=7 --uefi --snapshot
echo 'echo waits; sleep 1000' >sleep.job
want=124 says "has not ended in 3 s" "$croft" job run ./sleep.job --on m --iso "$work/rescue.iso" --timeout 3s
want=2 says "--iso and --keep exclude each other" "$croft" job run ./look.job --on m --iso "$work/rescue.iso" --keep
want=3 says "gone.iso is not there" "$croft" job run ./look.job --on m --iso gone.iso
want=2 says "is a folder" "$croft" job run ./look.job --on m --iso .

# The same CD as `vm` has it, with the README's profile; the disk is a system that the original's add-ssh-keys takes.
mkdir -p "$HOME/vm/rescue-x86_64" "$work/two words"
cp "$work/rescue.iso" "$HOME/vm/rescue-x86_64/rescue-p10-x86_64.iso"
printf 'RESCUE_CORES=2\nRESCUE_MEMORY="1G"\nRESCUE_ISO="rescue-p10-x86_64.iso"\n' >"$HOME/vm/rescue-x86_64/guest.env"
cd "$work/two words"
cp "$work/my machine/look.job" "$work/my machine/disks.txt" .
echo 'cp disks.txt "$WORKDIR/.in/"; WHAT=1; sed "1i WHAT=vm END=5" look.job >"$WORKDIR/.in/job.sh"' >look.pre
want=5 says "say: vm" "$work/vm" -n -p '' -m 64 -D VIRT=16M @create g @job look
want=124 says "has not ended in 3 s" "$work/vm" -n -t 3 @job ../my\ machine/sleep
"$work/vm" destroy >/dev/null
echo "all is well"
