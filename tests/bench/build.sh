#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# build.sh CROFT: Debian's packer beside croft with the same template and the same disk under TCG: an installed Debian, reached by ssh, takes packages
# from a local directory. The first build in alternating pairs (PAIRS, default 1: minutes each); then croft's second build, and one whose last
# provisioner has changed. Ends with 1 when a limit is passed.
set -u
croft=$(realpath "$1") || exit 2
shared=${CROFT_TEST_HOME:-$(dirname "$croft")/test-home}-debian
command -v packer >/dev/null || { echo "build: not measured: packer is not installed"; exit 0; }
TAIL=20 # lines of what has failed
. "$(dirname "$0")/lib.sh"
export PACKER_NO_COLOR=1 CHECKPOINT_DISABLE=1 PACKER_CACHE_DIR=$work/packer-cache
leave() { CROFT_HOME=$work/home "$croft" vm kill base 2>/dev/null; }

CROFT_HOME=$shared "$croft" image make debian --name debian-ssh --packages openssh-server,linux-image-cloud-amd64 >&2 || exit 1
cd "$work" || exit 1
mkdir debs
CROFT_HOME=$work/home images "$shared" debian-ssh
(cd debs && apt-get download -q nano rsync tree jq libjq1 libonig5 libpopt0 bsdextrautils) >&2 ||
	{ echo "build: not measured: no packages to install can be fetched"; exit 0; }

# What both start from: a disk that has booted once and lets the key in. Kept beside the images.
base() {
	local CROFT_HOME=$work/home
	export CROFT_HOME
	ssh-keygen -q -t ed25519 -N '' -f key || return 1
	"$croft" vm create base --image debian-ssh --memory 1G --cpus 2 && "$croft" vm start base --wait &&
		"$croft" vm exec base -- sh -c 'systemctl is-system-running --wait; mkdir -p -m 700 /root/.ssh' &&
		"$croft" vm push base key.pub /root/.ssh/authorized_keys --owner root && "$croft" vm stop base || return 1
	qemu-img convert -O qcow2 "$(find home/machines/base -name '*.qcow2' -size +1M | head -n 1)" base.qcow2 || return 1
	"$croft" vm remove base --force
	mkdir -p "$kept" && cp key base.qcow2 "$kept/"
}
kept=$shared/bench-build
if [ "$kept/base.qcow2" -nt "$shared/images/debian-ssh" ]; then
	cp "$kept/key" "$kept/base.qcow2" .
else
	base >&2 || exit 1
fi

template() { # FILE OUTPUT LAST-LINE
	jq -n --arg key "$work/key" --arg out "$2" --arg last "$3" '{
		builders: [{type: "qemu", accelerator: "tcg", disk_image: true, iso_url: "base.qcow2", iso_checksum: "none", memory: 1024, cpus: 2,
			headless: true, boot_wait: "1s", ssh_username: "root", ssh_private_key_file: $key, ssh_timeout: "10m", format: "qcow2",
			skip_resize_disk: true, shutdown_command: "systemctl poweroff", output_directory: $out, vm_name: "disk"}],
		provisioners: [
			{type: "shell", inline: ["mkdir -p /tmp/debs"]},
			{type: "file", source: "debs/", destination: "/tmp/debs"},
			{type: "shell", inline: ["DEBIAN_FRONTEND=noninteractive dpkg -i /tmp/debs/*.deb"]},
			{type: "shell", inline: ["rm -r /tmp/debs", "echo built > /etc/motd"]},
			{type: "shell", inline: ["jq --version", $last]}]}' >"$1"
}
export CROFT_HOME=$work/build-home
template packer.json out-packer true
template croft.json out-croft true
first_ours() {
	rm -rf out-croft "$CROFT_HOME"
	took "$croft" image build croft.json
}
first_peer() {
	rm -rf out-packer
	took packer build packer.json
}
pairs "${PAIRS:-1}" first_ours first_peer
most "first build of a template / packer" "$a" "$b" 0.9
most "second build without a change / 2 s" "$(took "$croft" image build croft.json)" 2000000 1
template croft.json out-croft 'echo changed'
changed=$(took "$croft" image build -force croft.json) || exit 1
if [ "$(grep -c 'Provisioning with' out)" != 1 ] || ! grep -q 'Step 4 (shell): nothing has changed' out; then
	echo "build after a change of the last provisioner: others ran, too: $(cat out)"
	over=1
fi
most "build after a change of the last of five provisioners / packer" "$changed" "$b" 0.9
exit "$over"
