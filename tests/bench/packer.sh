#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# packer.sh BUILD/tests/bench/bootkeys [CROFT]: Debian's packer beside croft. The same boot commands typed by both: Packer's key events are taken by a
# stand-in for QEMU. The same templates validated by both. Ends with 1 when they differ.
set -u
bootkeys=$(realpath "$1") croft=${2:+$(realpath "$2")}
here=$(cd "$(dirname "$0")" && pwd)
command -v packer >/dev/null || { echo "packer is not installed: apt-get install packer"; exit 77; }
work=$(mktemp -d) || exit 1
trap '[ -n "${KEEP:-}" ] || rm -rf "$work"' EXIT
cd "$work" || exit 1
export CHECKPOINT_DISABLE=1 PACKER_CACHE_DIR=$work/cache KEYS_DIR=$work/keys PACKER_NO_COLOR=1 CROFT_HOME=$work/home
mkdir keys
echo x >x.iso
cat >cases <<'CASES'
abc XYZ 019
~!@#$%^&*()_+{}|:"<>?
`-=[];',./\
<enter><esc><tab><bs><del><spacebar><return>
<up><down><left><right><home><end><insert><pageUp><pageDown>
<f1><f2><f9><f10><f11><f12>
<ENTER><Esc><PAGEUP>
<leftCtrlOn>c<leftCtrlOff><leftAlt><rightAlt>
<leftShiftOn>a<leftShiftOff><rightShift><rightCtrl>
<leftSuper><rightSuper>
<aOn>b<aOff>
<fOn><fOff><fON><foff>
<wait1ms>a<wait1ms1us>b
<Wait>
<<enter>>
<on><off>
<unknown>x<
<f13>
<enteron><enterOff>
http://10.0.2.2:8000/ks.cfg auto=true -- <enter>
é
<wait1msx>
<leftCtrlOn><leftAltOn>d<leftAltOff><leftCtrlOff>
CASES
jq -R -s --arg fake "$here/packer_fake_qemu.py" '{builders: [split("\n") | map(select(. != "")) | to_entries[] | {type: "qemu", name: "c\(.key)",
	vm_name: "c\(.key)", qemu_binary: $fake, iso_url: "x.iso", iso_checksum: "none", communicator: "none", headless: true, accelerator: "none",
	disk_size: "1M", boot_wait: "1ms", boot_key_interval: "1ms", vnc_port_min: 5900, vnc_port_max: 9900, shutdown_timeout: "20s", boot_command: [.value]}]}' cases >keys.json
packer build -parallel-builds=6 keys.json >packer.log 2>&1
n=0 bad=0
while IFS= read -r line; do
	"$bootkeys" "$line" >ours
	if [ ! -e "keys/c$n" ]; then
		echo "case $n: Packer has typed nothing: $line"
		bad=1
	elif ! cmp -s ours "keys/c$n"; then
		echo "case $n differs: $line"
		diff "keys/c$n" ours | head -n 5
		bad=1
	fi
	n=$((n + 1))
done <cases
echo "boot_command: $n cases compared"
[ -n "$croft" ] || exit "$bad"

# Templates that both must take, and that both must refuse.
same() { # same WHAT JSON
	local p=0 c=0
	echo "$2" >v.json
	packer validate v.json >p.log 2>&1 || p=1
	"$croft" image validate v.json >c.log 2>&1 || c=1
	m=$((m + 1))
	[ "$p" = "$c" ] || { echo "validate, $1: packer says $p, croft $c: $(cat c.log)"; bad=1; }
}
m=0
q='"type": "qemu", "iso_url": "x.iso", "iso_checksum": "none", "ssh_username": "root"'
same plain "{\"builders\": [{$q}]}"
same 'texts for numbers' "{\"builders\": [{$q, \"memory\": \"1024\", \"headless\": \"true\", \"cpus\": \"2\"}]}"
same 'unknown key' "{\"builders\": [{$q, \"memroy\": 1}]}"
same 'duplicate key' "{\"builders\": [{$q, \"headless\": true, \"headless\": false}]}"
same 'unknown root key' "{\"builders\": [{$q}], \"provisoners\": []}"
same 'comment' "{\"_c\": \"x\", \"builders\": [{$q}]}"
same 'no checksum' '{"builders": [{"type": "qemu", "iso_url": "x.iso", "ssh_username": "root"}]}'
same 'no iso' '{"builders": [{"type": "qemu", "iso_checksum": "none", "ssh_username": "root"}]}'
same 'no user' '{"builders": [{"type": "qemu", "iso_url": "x.iso", "iso_checksum": "none"}]}'
same 'wrong format' "{\"builders\": [{$q, \"format\": \"vdi\"}]}"
same 'wrong wait' "{\"builders\": [{$q, \"boot_command\": [\"<wait-1s>\"]}]}"
same 'vnc' "{\"builders\": [{$q, \"disable_vnc\": true, \"boot_command\": [\"a\"]}]}"
same 'required variable' "{\"variables\": {\"a\": null}, \"builders\": [{$q}]}"
same 'variables of variables' "{\"variables\": {\"a\": \"{{user \`b\`}}\", \"b\": \"512\"}, \"builders\": [{$q, \"memory\": \"{{user \`a\`}}\"}]}"
same 'unknown function' "{\"builders\": [{$q, \"vm_name\": \"{{nosuch}}\"}]}"
same 'functions' "{\"builders\": [{$q, \"vm_name\": \"x-{{isotime \\\"2006\\\"}}-{{upper \`a\`}}{{if true}}b{{end}}\"}]}"
same 'shell' "{\"builders\": [{$q}], \"provisioners\": [{\"type\": \"shell\", \"inline\": \"a\"}]}"
same 'shell, nothing' "{\"builders\": [{$q}], \"provisioners\": [{\"type\": \"shell\"}]}"
same 'shell, two' "{\"builders\": [{$q}], \"provisioners\": [{\"type\": \"shell\", \"inline\": [\"a\"], \"script\": \"x.iso\"}]}"
same 'shell, no script' "{\"builders\": [{$q}], \"provisioners\": [{\"type\": \"shell\", \"script\": \"nowhere\"}]}"
same 'shell, environment' "{\"builders\": [{$q}], \"provisioners\": [{\"type\": \"shell\", \"inline\": [\"a\"], \"environment_vars\": [\"A\"]}]}"
same 'file, no source' "{\"builders\": [{$q}], \"provisioners\": [{\"type\": \"file\", \"destination\": \"/x\"}]}"
same 'file, not there' "{\"builders\": [{$q}], \"provisioners\": [{\"type\": \"file\", \"source\": \"nowhere\", \"destination\": \"/x\"}]}"
same 'retries and time' "{\"builders\": [{$q}], \"provisioners\": [{\"type\": \"shell\", \"inline\": [\"a\"], \"max_retries\": \"2\", \"timeout\": \"1m\", \"pause_before\": \"1s\"}]}"
same 'two of a name' "{\"builders\": [{$q}, {$q}]}"
same 'sequence' "{\"builders\": [{$q}], \"post-processors\": [[\"manifest\", {\"type\": \"checksum\"}]]}"
same 'sequence in a sequence' "{\"builders\": [{$q}], \"post-processors\": [[\"manifest\", [\"checksum\"]]]}"
same 'checksum type' "{\"builders\": [{$q}], \"post-processors\": [{\"type\": \"checksum\", \"checksum_types\": [\"nosuch\"]}]}"
same 'null' '{"builders": [{"type": "null", "communicator": "none"}]}'
same 'null, no host' '{"builders": [{"type": "null", "ssh_username": "root"}]}'
echo "validate: $m templates compared"
exit "$bad"
