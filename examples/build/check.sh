#!/bin/sh
# Runs in the guest, as the last step of greeting.json.
set -e
grep "hello $WHO" /srv/greeting
echo "built by $PACKER_BUILDER_TYPE, kernel $(cat /srv/kernel)"
