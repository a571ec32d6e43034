#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# nat.sh NATFLOWS: flows through NAT against what a network of many peers needs: a million set up and ended in a minute, 64 MiB for 100,000.
set -euo pipefail
flows=${1:?usage: $0 NATFLOWS}
for _ in 1 2 3; do "$flows" 1000000 100000; done | sort -n | awk '
	function result(text, ratio) {
		printf("%-64s %6.2f  (limit 1)%s\n", text, ratio, (ratio > 1 ? "  OVER" : ""))
		over = over || ratio > 1
	}
	{ t[NR] = $1; if ($2 > m) m = $2; live = $3 }
	END {
		result("1,000,000 NAT flows, of a minute", t[2] / 60)
		result(live " NAT flows at a time, of 64 MiB", m / 67108864)
		exit over
	}'
