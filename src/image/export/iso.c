/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A live ISO for BIOS and UEFI, from CD or written to a stick: El Torito with GRUB for both, GRUB's hybrid boot sector, and the EFI
 * system partition once more in a partition table. And the same as a folder that a web server gives to iPXE.
 */
#include "base/cleanup.h"
#include "base/file.h"
#include "base/mem.h"
#include "base/path.h"
#include "image/export/live.h"

#include <ctype.h>
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define GRUB_BIOS "/usr/lib/grub/i386-pc"
#define GRUB_EFI "/usr/lib/grub/x86_64-efi"
#define GRUB_MODULES "iso9660", "part_msdos", "part_gpt", "fat", "normal", "linux", "search", "search_fs_file", "configfile", "echo", "test", \
	"serial", "terminal", "all_video"
#define ESP_KIB "4096"
/* A file that only this medium has, by which GRUB finds it on UEFI. */
#define MARK "boot/croft-live"

struct iso {
	struct export_job *j;
	char *dir; /* of what goes in */
	char *id;
};

static int run_tool(const char *const *argv, struct error **err)
{
	return export_run(argv, NULL, 0, argv[0], err);
}

static char *in(const struct iso *v, const char *name)
{
	return path_join(v->dir, name);
}

static int write_text(const struct iso *v, const char *name, struct error **err, const char *text)
{
	_cleanup_free_ char *path = in(v, name);

	return file_write(path, text, strlen(text), 0644, err);
}

static int write_config(const struct iso *v, const char *cmdline, struct error **err)
{
	_cleanup_free_ char *menu = xasprintf(
		"serial --unit=0 --speed=115200\nterminal_input console serial\nterminal_output console serial\n"
		"set timeout=1\nset default=0\n"
		"menuentry 'croft live' {\n\tlinux /boot/" LIVE_KERNEL " %s\n\tinitrd /boot/" LIVE_INITRD "\n}\n",
		cmdline);
	/* Runs first, out of GRUB's own image. */
	_cleanup_free_ char *early = xasprintf("search --no-floppy --file --set=root /" MARK "/%s\nset prefix=($root)/boot/grub\n"
					       "configfile ($root)/boot/grub/grub.cfg\n", v->id);
	_cleanup_free_ char *mark = xasprintf(MARK "/%s", v->id);

	return write_text(v, "boot/grub/grub.cfg", err, menu) < 0 || write_text(v, "early.cfg", err, early) < 0 ||
			       write_text(v, mark, err, "") < 0
		       ? -1
		       : 0;
}

static int make_grub(const struct iso *v, struct error **err)
{
	_cleanup_free_ char *early = in(v, "early.cfg"), *bios = in(v, "boot/grub/bios.img"), *efi = in(v, "bootx64.efi"), *esp = in(v, "efi.img");
	_cleanup_free_ char *time = xasprintf("%" PRId64, (int64_t)export_epoch());
	const char *mk_bios[] = { "grub-mkimage", "-O", "i386-pc-eltorito", "-d", GRUB_BIOS, "-p", "/boot/grub", "-c", early, "-o", bios, "biosdisk",
		GRUB_MODULES, NULL };
	const char *mk_efi[] = { "grub-mkimage", "-O", "x86_64-efi", "-d", GRUB_EFI, "-p", "/boot/grub", "-c", early, "-o", efi, "efi_gop",
		GRUB_MODULES, NULL };
	const char *fat[] = { "mkfs.vfat", "--invariant", "-n", "ESP", "-C", esp, ESP_KIB, NULL };
	const char *folders[] = { "mmd", "-i", esp, "::/EFI", "::/EFI/BOOT", NULL };
	const char *copy[] = { "mcopy", "-i", esp, efi, "::/EFI/BOOT/BOOTX64.EFI", NULL };
	int rc;

	if (run_tool(mk_bios, err) < 0 || run_tool(mk_efi, err) < 0 || run_tool(fat, err) < 0)
		return -1;
	setenv("SOURCE_DATE_EPOCH", time, 1);
	setenv("TZ", "UTC0", 1);
	rc = run_tool(folders, err) < 0 || run_tool(copy, err) < 0 ? -1 : 0;
	unsetenv("TZ");
	return rc;
}

/* "CROFT_DEBIAN": what ISO 9660 allows in a volume's name. */
static char *volume(const char *name)
{
	char *v = xasprintf("CROFT_%.20s", name);

	for (char *p = v; *p; p++)
		*p = isalnum((unsigned char)*p) ? (char)toupper((unsigned char)*p) : '_';
	return v;
}

static int make_iso(const struct iso *v, struct error **err)
{
	_cleanup_free_ char *boot = in(v, "boot"), *graft = xasprintf("/boot=%s", boot), *esp = in(v, "efi.img"), *graft_esp = xasprintf("/efi.img=%s", esp);
	_cleanup_free_ char *name = volume(v->j->name), *time = xasprintf("=%" PRId64, (int64_t)export_epoch());
	const char *argv[] = { "xorriso", "-as", "mkisofs", "-quiet", "-r", "-J", "-V", name, "--set_all_file_dates", time, "--grub2-mbr", GRUB_BIOS "/boot_hybrid.img",
		"-partition_offset", "16", "-appended_part_as_gpt", "-append_partition", "2", "C12A7328-F81F-11D2-BA4B-00A0C93EC93B", esp,
		"-c", "/boot/boot.cat", "-b", "/boot/grub/bios.img", "-no-emul-boot", "-boot-load-size", "4", "-boot-info-table", "--grub2-boot-info",
		"-eltorito-alt-boot", "-e", "/efi.img", "-no-emul-boot", "-graft-points", graft, graft_esp, NULL };

	progress_state(v->j->p, "xorriso");
	return export_run_into(argv, v->j->out->fd, NULL, 0, v->j->out->path, err);
}

static char *scratch(struct error **err)
{
	const char *tmp = getenv("TMPDIR");
	char *dir = xasprintf("%s/croft-live-XXXXXX", tmp && *tmp ? tmp : "/var/tmp");

	if (mkdtemp(dir))
		return dir;
	error_errno(err, errno, "%s", dir);
	free(dir);
	return NULL;
}

static int fill(struct iso *v, struct error **err)
{
	_cleanup_free_ char *boot = in(v, "boot"), *grub = in(v, "boot/grub"), *mark = in(v, MARK), *cmdline = NULL;

	if (file_mkdirs(grub, 0755, err) < 0 || file_mkdirs(mark, 0755, err) < 0 || live_write(v->j, boot, &cmdline, err) < 0)
		return -1;
	return write_config(v, cmdline, err) < 0 || make_grub(v, err) < 0 ? -1 : make_iso(v, err);
}

static int run_iso(struct export_job *j, struct error **err)
{
	_cleanup_error_ struct error *late = NULL;
	struct iso v = { .j = j, .dir = scratch(err) };
	char hex[SHA_HEX];
	int rc;

	if (!v.dir)
		return -1;
	sha_bytes(j->name, strlen(j->name), hex);
	hex[16] = '\0';
	v.id = hex;
	rc = fill(&v, err);
	if (file_remove_tree(v.dir, &late) < 0 && rc == 0)
		rc = error_move(err, &late);
	free(v.dir);
	return rc;
}

static int check_iso(struct export_job *j, struct error **err)
{
	static const char *const needed[][2] = { { "xorriso", "xorriso" }, { "grub-mkimage", "grub-common" }, { "mkfs.vfat", "dosfstools" },
		{ "mcopy", "mtools" } };

	for (size_t i = 0; i < ARRAY_SIZE(needed); i++)
		if (export_program(needed[i][0], needed[i][1], "iso", err) < 0)
			return -1;
	if (!file_exists(GRUB_BIOS "/boot_hybrid.img") || !file_exists(GRUB_EFI "/linux.mod")) {
		error_set(err, ERR_NOT_FOUND, "GRUB for BIOS and UEFI is needed for format iso, and is not on this host");
		return error_hint(err, "install packages grub-pc-bin and grub-efi-amd64-bin");
	}
	return live_check(j, err);
}

const struct export_format export_iso = {
	.name = "iso",
	.suffixes = (const char *const[]){ ".iso", NULL },
	.about = "a live ISO for BIOS and UEFI that runs from memory",
	.stream = true,
	.root = true,
	.run = run_iso,
	.check = check_iso,
};
