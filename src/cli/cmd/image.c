/* SPDX-License-Identifier: Apache-2.0 */
/* croft image ... */
#include "cli/cli.h"
#include "cli/cmd/cmd.h"

#include "base/cleanup.h"
#include "base/mem.h"
#include "base/units.h"
#include "image/image.h"

#include <inttypes.h>
#include <jansson.h>

void image_widen_path(void)
{
	const char *old = getenv("PATH");
	_cleanup_free_ char *path = xasprintf("%s%s/usr/sbin:/sbin", old ? old : "", old ? ":" : "/usr/bin:/bin:");

	setenv("PATH", path, 1);
}

static int image_list_run(const struct cmd_args *a, struct error **err)
{
	static const char *const keys[] = { "name", "os", "arch", "format", "disk_size#", "agent", "created",
		NULL };
	static const char *const titles[] = { "NAME", "OS", "ARCH", "BOOTS", "DISK", "AGENT", "CREATED", NULL };
	_cleanup_strv_ struct strv names = STRV_INIT;
	struct table *t;

	if (image_names(&names, err) < 0)
		return -1;
	t = table_new(keys, titles);
	for (size_t i = 0; i < names.len; i++) {
		_cleanup_error_ struct error *e = NULL;
		_cleanup_image_ struct image *im = image_open(names.v[i], &e);
		_cleanup_free_ char *size = NULL;
		char human[16];

		if (!im) {
			cli_report(e);
			continue;
		}
		if (im->disk)
			size = cli_format == FORMAT_TABLE ? xstrdup(format_size(im->disk_size, human)) :
							    xasprintf("%" PRIu64, im->disk_size);
		table_row(t,
			(const char *const[]){ im->name, im->os, im->arch, im->disk ? im->format : "kernel",
				size, im->agent ? "yes" : "no", im->created });
	}
	table_print(t);
	return 0;
}

static int image_show_run(const struct cmd_args *a, struct error **err)
{
	_cleanup_image_ struct image *i = image_open(arg_words(a)->v[0], err);
	_cleanup_free_ char *text = NULL;
	json_t *j;

	if (!i)
		return -1;
	j = json_pack("{s:s s:s s:s? s:s? s:s? s:s? s:s? s:s? s:s? s:I s:I s:s? s:b s:s? s:s? s:s?}", "name", i->name,
		"directory", i->dir, "os", i->os, "arch", i->arch, "kernel", i->kernel, "initrd", i->initrd,
		"cmdline", i->cmdline, "disk", i->disk, "format", i->format, "disk_size",
		(json_int_t)i->disk_size, "memory", (json_int_t)i->memory, "firmware", i->firmware, "agent", i->agent, "sha256", i->sha256,
		"source", i->source, "created", i->created);
	if (!j)
		return error_set(err, ERR_FAILED, "image %s: its description is not UTF-8", i->name);
	text = json_dumps(j, 0);
	json_decref(j);
	return print_json(text, err);
}

static int remove_one(const char *name, void *arg, struct error **err)
{
	/* --force answers the question; an image in use stays all the same */
	return image_remove(name, false, err);
}

static int image_remove_run(const struct cmd_args *a, struct error **err)
{
	bool force = arg_flag(a, "force");
	const struct strv *words = arg_words(a);
	_cleanup_free_ char *names = strv_join(words, ", ");

	for (size_t i = 0; i < words->len; i++) {
		_cleanup_image_ struct image *im = image_open(words->v[i], err);

		if (!im)
			return -1;
	}
	if (cli_confirm(force, err, "Remove image %s", names) < 0)
		return -1;
	return for_each_word(words, remove_one, NULL);
}

const struct command cmd_image_list = {
	.path = "image list",
	.summary = "List the images",
	.max_words = 0,
	.run = image_list_run,
};

const struct command cmd_image_show = {
	.path = "image show",
	.args = "NAME",
	.summary = "Show what is known about an image",
	.min_words = 1,
	.max_words = 1,
	.complete = "image",
	.run = image_show_run,
};

static const struct opt remove_opts[] = {
	{ 'f', "force", OPT_FLAG, NULL, "Do not ask", NULL },
	OPT_END,
};

const struct command cmd_image_remove = {
	.path = "image remove",
	.args = "NAME...",
	.summary = "Remove images",
	.help = "Refused while the disk of a machine is an overlay of the image.",
	.opts = remove_opts,
	.min_words = 1,
	.max_words = -1,
	.complete = "image",
	.run = image_remove_run,
};

static const struct opt tiny_opts[] = {
	{ 0, "name", OPT_STRING, "NAME", "Name of the image; default that of its kind", NULL },
	{ 0, "release", OPT_STRING, "RELEASE", "Debian release that the kernel comes from; default bookworm", NULL },
	{ 0, "mirror", OPT_STRING, "URL", "Debian mirror; default: the setting mirror, else the host's apt sources",
		NULL },
	{ 0, "arch", OPT_STRING, "ARCH", "Architecture; default that of this computer", NULL },
	{ 0, "offline", OPT_FLAG, NULL, "Use only what is in the cache", NULL },
	{ 'f', "force", OPT_FLAG, NULL, "Make it again though nothing has changed", NULL },
	{ 0, "init", OPT_STRING, "PROGRAM", "Process 1 of the guest: guest (default), or pm with its units", NULL },
	OPT_END,
};

const struct command cmd_image_make_tiny = {
	.path = "image make tiny",
	.summary = "Make the small guest image",
	.help = "A Debian kernel and an initramfs with busybox, bash and croft's guest program; it is up in seconds. The "
		"packages are fetched from a Debian mirror and checked down from its signed Release file. Nothing is "
		"installed on the host. When an image made from the same inputs exists, nothing is done.",
	.opts = tiny_opts,
	.max_words = 0,
	.run = image_make_tiny_run,
	.examples = "  croft image make tiny\n  croft image make tiny --mirror http://mirror.example/debian",
};

const struct command cmd_image_make_rescue = {
	.path = "image make rescue",
	.summary = "Make the rescue system",
	.help = "tiny with the tools that repair and install machines: partitions, ext4, xfs, btrfs, FAT and NTFS, LVM, RAID, LUKS, "
		"GRUB for BIOS and UEFI, ssh, rsync. It runs in memory and has no disk of its own.",
	.opts = tiny_opts,
	.max_words = 0,
	.run = image_make_rescue_run,
	.examples = "  croft image make rescue",
};

static const struct opt debian_opts[] = {
	{ 0, "name", OPT_STRING, "NAME", "Name of the image; default debian", NULL },
	{ 0, "release", OPT_STRING, "RELEASE", "Debian release; default bookworm", NULL },
	{ 0, "packages", OPT_LIST, "A,B", "Packages to install besides", NULL },
	{ 0, "size", OPT_STRING, "SIZE", "Size of the disk; default 4G. Machines may have larger ones", NULL },
	{ 0, "cloud-init", OPT_FLAG, NULL, "With cloud-init", NULL },
	{ 0, "mirror", OPT_STRING, "URL", "Debian mirror; default: the setting mirror, else the host's apt sources",
		NULL },
	{ 0, "offline", OPT_FLAG, NULL, "Use only what is in the cache", NULL },
	{ 'f', "force", OPT_FLAG, NULL, "Make it again though nothing has changed, with Debian's packages of today", NULL },
	OPT_END,
};

const struct command cmd_image_make_debian = {
	.path = "image make debian",
	.summary = "Make a Debian disk image",
	.help = "A disk with systemd, sudo, a user ubuntu and croft's guest program as a service; it boots by BIOS and UEFI, and "
		"its root grows to the machine's disk. Needs mmdebstrap, mtools and dosfstools; for users other than root it "
		"works in a user namespace. When an image made from the same inputs exists, nothing is done.",
	.opts = debian_opts,
	.max_words = 0,
	.run = image_make_debian_run,
	.examples = "  croft image make debian --packages openssh-server,curl\n"
		    "  croft image make debian --release trixie --size 20G --name trixie",
};

static const struct opt import_opts[] = {
	{ 0, "name", OPT_STRING, "NAME", "Name of the image; default that of the file without its suffix", NULL },
	{ 0, "arch", OPT_STRING, "ARCH", "What computers it is for; default those of this kind", "x86_64|aarch64|riscv64" },
	{ 'f', "force", OPT_FLAG, NULL, "Replace an image of that name", NULL },
	OPT_END,
};

const struct command cmd_image_import = {
	.path = "image import",
	.args = "FILE",
	.summary = "Take a disk, ISO or OVA in as an image",
	.help = "What the file is is found by its content, never by its name: raw, qcow2, vmdk, vdi, vhd, vhdx, ISO, OVA, each also in gzip, xz, zstd, bzip2 "
		"or lz4. An OVA is checked against its manifest. A file that would have other files opened (a backing file) is refused. The file is "
		"checked, copied sparsely or converted, and hashed; it is not changed, and later changes to it do not reach "
		"the image.",
	.opts = import_opts,
	.min_words = 1,
	.max_words = 1,
	.complete = "file",
	.run = image_import_run,
	.examples = "  croft image import debian-12-generic-amd64.qcow2 --name cloud12",
};
