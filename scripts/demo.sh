#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# make demo: a group file becomes three running machines that talk to one another, and goes away again.
set -euo pipefail
croft=$(realpath "$1")
cd "$(dirname "$0")/../examples/2zone_sn"
export CROFT_HOME=${CROFT_HOME:-$(realpath -m "$(dirname "$croft")/../../demo-home")}

say() {
	printf '\n$ croft %s\n' "$*"
	"$croft" "$@"
}

trap '"$croft" group 2zone_sn clean_vms --force >/dev/null 2>&1 || true' EXIT
say image make tiny
say group 2zone_sn up
say vm list
for node in sn alice-ood1 bob-ood1; do
	say group 2zone_sn run "$node" hostname
done
say group 2zone_sn run alice-ood1 'ping -c 2 sn'
say group 2zone_sn run bob-ood1 'ping -c 2 sn'
say group 2zone_sn run sn 'mkdir -p /srv/www; echo hello from sn > /srv/www/index.html; httpd -p 80 -h /srv/www'
say group 2zone_sn run bob-ood1 'wget -q -O - http://sn/'
say group 2zone_sn info_vms
say group 2zone_sn clean_vms --force
trap - EXIT
say vm list
