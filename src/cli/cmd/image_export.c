/* SPDX-License-Identifier: Apache-2.0 */
/* croft image export, convert: one image in other formats. */
#include "cli/cmd/cmd.h"

#include "image/export/export.h"

static const struct opt export_opts[] = {
	{ 0, "format", OPT_STRING, "FORMAT", "Format of what is made; default by the suffix of OUT: " IMAGE_EXPORT_FORMATS, IMAGE_EXPORT_FORMATS },
	{ 0, "compress", OPT_STRING, "KIND", "gz, xz, zst or none; default by the suffix (OUT.raw.zst), else the format's own way", "gz|xz|zst|none" },
	{ 0, "level", OPT_STRING, "N", "Of deflate in ova, vmdk, oci and gz: 1 (fast) to 12 (small); default 6", NULL },
	{ 0, "name", OPT_STRING, "NAME", "Name of the machine inside, or REPOSITORY:TAG of the container's image; default that of the image", NULL },
	{ 0, "cpus", OPT_STRING, "N", "ova: virtual CPUs; default 2", NULL },
	{ 0, "memory", OPT_STRING, "SIZE", "ova: memory; default 1G", NULL },
	{ 0, "bus", OPT_STRING, "BUS", "ova, vmdk: what the disk is attached to: sata (default), scsi, ide", "sata|scsi|ide" },
	{ 0, "firmware", OPT_STRING, "KIND", "ova: bios or uefi; default as the image wants", "bios|uefi" },
	{ 0, "manifest", OPT_STRING, "KIND", "ova: sha256 (default) or none", "sha256|none" },
	{ 0, "without", OPT_LIST, "PATH", "Roots: leave this out with all below; may be given again", NULL },
	{ 0, "as-is", OPT_FLAG, NULL, "Roots: with machine-id, host keys, devices and /boot", NULL },
	{ 0, "cmd", OPT_LIST, "WORD", "oci: a word of the command that runs by default; again for the next; default /bin/sh", NULL },
	{ 0, "env", OPT_LIST, "NAME=VALUE", "oci: a variable of its environment; may be given again", NULL },
	{ 0, "change", OPT_LIST, "LINE", "oci: a line as Dockerfiles have it, 'ENTRYPOINT [\"/bin/x\"]', 'EXPOSE 80'; may be given again", NULL },
	{ 'f', "force", OPT_FLAG, NULL, "Replace OUT when it is there", NULL },
	{ 0, "dry-run", OPT_FLAG, NULL, "Only say what would be made", NULL },
	OPT_END,
};

#define EXPORT_HELP                                                                                                                  \
	"OUT is whole or absent: a kill or a full disk leaves nothing, and what was there under its name stays. \"-\" writes to a "   \
	"pipe. The same image gives the same bytes, but for vhdx. Formats of disks: raw, qcow2, vmdk (stream-optimized), vdi, vhd, vhdx, ova.\n\n"\
	"Formats of roots, from the ext4 in a disk, an initramfs or a tar: oci (also a Docker archive), tar, squashfs, erofs, iso (live, for BIOS and UEFI), netboot (a folder for iPXE). A root that "  \
	"is to live elsewhere loses its identity: machine-id is empty, ssh host keys are left out, and what lies in /dev /proc /sys "     \
	"/run /tmp; oci leaves out /boot too."

const struct command cmd_image_export = {
	.path = "image export",
	.args = "NAME|FILE OUT",
	.summary = "Write an image in the format of another tool",
	.help = EXPORT_HELP,
	.opts = export_opts,
	.min_words = 2,
	.max_words = 2,
	.complete = "image|file",
	.run = image_export_run,
	.examples = "  croft image export debian debian.ova --memory 2G\n  croft image export debian debian.oci.tar --name myorg/debian:12\n  croft image export debian - --format raw | zstd > debian.raw.zst",
};

const struct command cmd_image_convert = {
	.path = "image convert",
	.args = "FILE OUT",
	.summary = "Write a disk file in another format, without the store",
	.help = "What FILE is is found by its content, never by its name; a file that would have other files opened (a backing file) is "
		"refused. " EXPORT_HELP,
	.opts = export_opts,
	.min_words = 2,
	.max_words = 2,
	.complete = "file",
	.run = image_convert_run,
	.examples = "  croft image convert old.vdi new.qcow2\n  croft image convert disk.qcow2 disk.vmdk",
};
