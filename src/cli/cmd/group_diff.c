/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/cli.h"
#include "cli/cmd/cmd.h"

const struct command cmd_group_diff = {
	.path = "group NAME diff",
	.args = "SNAPSHOT SNAPSHOT",
	.summary = "Show what differs between two snapshots of a group, by node",
	.help = "Files and packages (of dpkg and apk), read from ext file systems on the disks as they were then; nothing is started. And ports on which they listened, as the guest program told them when the snapshot was taken. What a guest had in its memory "
		"and not yet on its disk is not seen: `sync` in it before the snapshot. Paths on further file systems begin with disk-N:.",
	.min_words = 3,
	.max_words = 3,
	.run = group_diff_run,
	.examples = "  croft group 2zone_sn diff ready LAST",
};
