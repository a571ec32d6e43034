#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# nat.sh NATFLOWS: flows through NAT against what a network of many peers needs: a million set up and ended in a minute, 64 MiB for 100,000.
set -uo pipefail
flows=$(realpath "${1:?usage: $0 NATFLOWS}")
. "$(dirname "$0")/lib.sh"
for _ in 1 2 3; do "$flows" 1000000 100000; done >"$work/flows" || exit 1
most "1,000,000 NAT flows, of a minute" "$(cut -d' ' -f1 "$work/flows" | median)" 60 1
most "$(head -n 1 "$work/flows" | cut -d' ' -f3) NAT flows at a time, of 64 MiB" "$(cut -d' ' -f2 "$work/flows" | sort -n | tail -n 1)" 67108864 1
exit "$over"
