/* SPDX-License-Identifier: Apache-2.0 */
/* croft image verify, diff. */
#include "cli/cmd/cmd.h"

#include <stddef.h>

const struct command cmd_image_verify = {
	.path = "image verify",
	.args = "NAME|FILE...",
	.summary = "Check that images are whole and what they were",
	.help = "An image of the store: its files against their SHA-256. A file, by its content: the structure of a qcow2, vmdk, vdi or vhdx; an OVA "
		"against its manifest; a container's image against its digests; what is compressed against the check sums in it.",
	.min_words = 1,
	.max_words = -1,
	.complete = "image|file",
	.run = image_verify_run,
	.examples = "  croft image verify debian\n  croft image verify downloads/appliance.ova",
};

const struct command cmd_image_diff = {
	.path = "image diff",
	.args = "NAME|FILE NAME|FILE",
	.summary = "Show which files differ between two images",
	.help = "Compares the roots: of an ext4 in a disk, an initramfs, a tar. + is only in the second, - only in the first, * has other content, ~ only "
		"another owner, mode, time or attribute. The exit status is 1 when something differs.",
	.min_words = 2,
	.max_words = 2,
	.complete = "image|file",
	.run = image_diff_run,
	.examples = "  croft image diff debian debian-new",
};
