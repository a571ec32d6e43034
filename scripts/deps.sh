#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# Installs what is missing of what building and running croft needs, with --tests also what its tests need, with --bench also
# what its benchmarks set beside it. s6-rc is not in Debian 12.
set -eu

packages="
musl-tools
gcc libc6-dev make meson ninja-build pkg-config
libfyaml-dev libjansson-dev libslirp-dev libexpat1-dev libglib2.0-dev libcmocka-dev
libarchive-dev libcurl4-openssl-dev libssl-dev libzstd-dev libssh-dev liblua5.4-dev
libdeflate-dev libxml2-utils skopeo umoci crun squashfs-tools erofs-utils grub-common grub-pc-bin grub-efi-amd64-bin
qemu-system-x86 qemu-utils ipxe-qemu ovmf
busybox-static debian-archive-keyring ca-certificates gpgv gpg gpg-agent
e2fsprogs libext2fs-dev libfdisk-dev mmdebstrap uidmap dosfstools mtools xorriso xz-utils jq openssh-client openssh-server
"
# Other compilers, checkers and clients that tests set beside croft.
tests=
case ${1:-} in --tests | --bench) tests=yes ;; esac
[ -z "$tests" ] || packages="$packages
clang libclang-rt-14-dev valgrind zsh fish
isc-dhcp-client miniupnpc bind9-dnsutils nftables iproute2 vde2
packer
"

# For jobs: a rescue CD, passwords, archives; TPM.
[ -z "$tests" ] || packages="$packages grub-common grub-pc-bin zstd openssl swtpm"

# Peers. Debian's runit is a supervisor like the others here; the init system that uses it would be runit-init.
[ "${1:-}" != --bench ] || packages="$packages runit s6 supervisor zstd pigz restic casync borgbackup libguestfs-tools linux-image-cloud-amd64"

if ! command -v dpkg-query >/dev/null || ! command -v apt-get >/dev/null; then
	if command -v meson >/dev/null && command -v qemu-img >/dev/null; then
		exit 0
	fi
	echo "This is neither Debian nor Ubuntu. Please install what these Debian packages hold:" $packages >&2
	exit 1
fi

missing=
for p in $packages; do
	dpkg-query -W -f '${Status}\n' "$p" 2>/dev/null | grep -q 'ok installed' || missing="$missing $p"
done
if [ -z "$missing" ]; then
	exit 0
fi
root=
if [ "$(id -u)" != 0 ]; then
	root=sudo
	if ! command -v sudo >/dev/null; then
		echo "Missing:$missing. As root: apt-get install$missing" >&2
		exit 1
	fi
fi
echo "Installing:$missing"
$root apt-get update -qq || { echo "deps: the package lists cannot be fetched; is the mirror reachable?" >&2; exit 1; }
$root env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends $missing >/dev/null ||
	{ echo "deps: apt-get could not install:$missing" >&2; exit 1; }
