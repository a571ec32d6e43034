# SPDX-License-Identifier: Apache-2.0
# The bare peer of what boots: QEMU with the same kernel and initramfs, ended by its first program. Sourced; uses here, work, accel, kernel, initrd,
# cmdline.

# The peer's initramfs is the same one with /first behind it: a cpio archive (newc) of one file.
bare_initrd() {
	local size
	gcc -Os -static -nostdlib -fno-pie -no-pie -o "$work/first" "$here/first.c" || exit 1
	size=$(stat -c %s "$work/first")
	{
		cat "$initrd"
		head -c $(((4 - $(stat -c %s "$initrd") % 4) % 4)) /dev/zero # the kernel wants the next archive aligned
		printf '070701%08X%08X%08X%08X%08X%08X%08X%08X%08X%08X%08X%08X%08X' 1 $((0100755)) 0 0 1 0 "$size" 0 0 0 0 6 0
		printf 'first\0' # 110 + 6 bytes: a multiple of four
		cat "$work/first"
		head -c $(((4 - size % 4) % 4)) /dev/zero
		printf '070701%08X%08X%08X%08X%08X%08X%08X%08X%08X%08X%08X%08X%08X' 0 0 0 0 1 0 0 0 0 0 0 11 0
		printf 'TRAILER!!!\0\0\0\0'
	} >"$work/bare.initrd"
}
# QEMU ends with status 1: that is what isa-debug-exit gives.
bare() { # [MEMORY [ARGUMENT]...]
	local status=0
	qemu-system-x86_64 -nodefaults -no-user-config -display none -M q35 -accel "$accel" -cpu max -m "${1:-256M}" -serial null \
		-kernel "$kernel" -initrd "$work/bare.initrd" -append "$cmdline rdinit=/first" \
		-device isa-debug-exit,iobase=0xf4,iosize=4 -no-reboot "${@:2}" || status=$?
	[ "$status" -le 1 ]
}
