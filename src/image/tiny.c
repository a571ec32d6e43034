/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The small guest: Debian's kernel, unpacked so that QEMU starts it without a decompressor; an
 * initramfs with busybox, bash and croft's program as PID 1; and the template of a disk that makes
 * changes last (the program lays it over the initramfs).
 */
#include "base/cleanup.h"
#include "base/file.h"
#include "base/intr.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/path.h"
#include "base/proc.h"
#include "base/progress.h"
#include "image/apt.h"
#include "image/deb.h"
#include "image/image.h"
#include "image/internal.h"
#include "image/kmod.h"
#include "image/sha.h"
#include "image/vmlinux.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/utsname.h>

/* Goes up when the same inputs give another image. */
#define BUILDER "6"
#define PAGE 4096u
#define ROUND ((uint64_t)4 << 20)
#define KERNEL_NEEDS ((uint64_t)8 << 20)
#define DISK_SIZE "1G"
/* Fixed, for equal bytes; a machine's identity does not hang on it. */
#define DISK_UUID "6e1f1ce2-5d0b-4c3e-9b7a-c40f7c40f700"
#define CMDLINE                                                                                    \
	"quiet loglevel=4 panic=-1 tsc=reliable no_timer_check mitigations=off "                   \
	"random.trust_cpu=on "                                                                     \
	"cryptomgr.notests raid=noautodetect i8042.noaux i8042.nopnp"

static const struct arch arches[] = {
	{ "x86_64", "amd64", "linux-image-amd64", "lib/x86_64-linux-gnu",
		"lib64/ld-linux-x86-64.so.2", "console=ttyS0" },
};

/*
 * Loaded in this order. Before the first "--": needed for the agent's port and the root disk;
 * before the second: for the network that the first command may use; the rest is loaded behind its
 * back, drivers only where their device is: after "?" and a device's modalias, what follows, up to
 * the next one, is loaded where such a device is.
 */
static const char *const loaded[] = { "virtio_pci", "virtio_console", "virtio_blk",
	"crc32c_generic", "ext4", "overlay", "--", "virtio_net", "af_packet",
	"?pci:v00008086d0000100*", "e1000", "?pci:v00008086d000010D3*", "e1000e",
	"?pci:v000010ECd00008139*", "8139cp", "--", "evdev", "button", "?virtio:d00000004v*",
	"virtio_rng", "?virtio:d00000009v*", "9pnet_virtio", "9p", "?virtio:d00000005v*",
	"virtio_balloon", "?virtio:d00000008v*", "virtio_scsi", "sd_mod", "sr_mod",
	"?pci:*bc01sc06*", "ahci", "sd_mod", "sr_mod", "?pci:*bc01sc01*", "ata_piix", "sd_mod",
	"sr_mod", "?pci:*bc01sc08*", "nvme", "?virtio:d0000001Av*", "virtiofs" };
/* There for modprobe. */
static const char *const carried[] = { "usb_storage", "uhci_hcd", "ehci_pci", "xhci_pci", "vfat",
	"nls_ascii", "nls_cp437", "nls_utf8", "isofs", "xfs", "btrfs", "squashfs", "fuse", "loop",
	"dm_mod", "tun", "bridge", "veth", "nf_tables", "iptable_nat", "i6300esb" };
/* Where those modules and what they need lie in the package. */
static const char *const module_dirs[] = { "kernel/drivers/virtio/", "kernel/drivers/char/",
	"kernel/drivers/block/", "kernel/drivers/scsi/", "kernel/drivers/ata/",
	"kernel/drivers/nvme/", "kernel/drivers/cdrom/", "kernel/drivers/input/evdev",
	"kernel/drivers/acpi/", "kernel/drivers/usb/", "kernel/drivers/net/virtio_net",
	"kernel/drivers/net/net_failover", "kernel/drivers/net/ethernet/intel/e1000",
	"kernel/drivers/net/ethernet/realtek/8139", "kernel/drivers/net/mii",
	"kernel/drivers/net/tun", "kernel/drivers/net/veth", "kernel/drivers/md/",
	"kernel/drivers/watchdog/", "kernel/drivers/ptp/", "kernel/drivers/pps/",
	"kernel/drivers/dax/", "kernel/drivers/hwmon/", "kernel/fs/", "kernel/net/9p/",
	"kernel/net/core/", "kernel/net/packet/", "kernel/net/bridge/", "kernel/net/802/",
	"kernel/net/llc/", "kernel/net/netfilter/", "kernel/net/ipv4/netfilter/",
	"kernel/net/ipv6/netfilter/", "kernel/lib/", "kernel/crypto/", "kernel/arch/x86/crypto/",
	"kernel/block/" };

const struct arch *arch_find(const char *name)
{
	for (size_t i = 0; i < ARRAY_SIZE(arches); i++)
		if (!strcmp(arches[i].name, name))
			return &arches[i];
	return NULL;
}

static const struct small_kind small_tiny = { .os = "tiny", .disk = true };

/* One making of the image. */
struct job {
	const struct arch *arch;
	const struct small_kind *kind;
	struct apt *apt;
	struct initramfs *fs;
	struct kmods mods;
	char *release; /* of the kernel */
	char *kernel_package;
	struct buf bzimage;
	const char *dir;
	bool pm; /* as process 1 */
	uint64_t kernel_end, initrd_size, unpacked_size; /* bytes */
};

/* ---- packages ---- */

static bool want_kernel(void *arg, const struct deb_file *f)
{
	const char *p = !strncmp(f->path, "usr/lib/", 8) ? f->path + 4 : f->path;
	const char *below;

	if (!strncmp(f->path, "boot/vmlinuz-", 13))
		return true;
	if (strncmp(p, "lib/modules/", 12) || f->link)
		return false;
	below = strchr(p + 12, '/');
	if (!below)
		return false;
	below++;
	if (!strcmp(below, "modules.builtin"))
		return true;
	for (size_t i = 0; i < ARRAY_SIZE(module_dirs); i++)
		if (!strncmp(below, module_dirs[i], strlen(module_dirs[i])))
			return strstr(below, ".ko") != NULL;
	return false;
}

static int got_kernel(void *arg, const struct deb_file *f, struct buf *data, struct error **err)
{
	const char *p = strstr(f->path, "lib/modules/");
	struct job *job = arg;

	if (!p) {
		free(job->release);
		job->release = xstrdup(f->path + strlen("boot/vmlinuz-"));
		job->bzimage = *data;
		*data = (struct buf)BUF_INIT;
		return 0;
	}
	p = strchr(p + 12, '/') + 1;
	if (!strcmp(p, "modules.builtin")) {
		kmods_builtin(&job->mods, buf_str(data));
		return 0;
	}
	return kmods_add(&job->mods, p, data, err);
}

static bool want_programs(void *arg, const struct deb_file *f)
{
	static const char *const exact[] = { "bin/busybox", "bin/bash-static" };
	const char *p = !strncmp(f->path, "usr/", 4) ? f->path + 4 : f->path;
	const struct job *job = arg;
	size_t n = strlen(job->arch->libdir);

	for (size_t i = 0; i < ARRAY_SIZE(exact); i++)
		if (!strcmp(p, exact[i]))
			return true;
	if (!strcmp(p, job->arch->loader))
		return true;
	if (strncmp(p, job->arch->libdir, n) || p[n] != '/' || strchr(p + n + 1, '/'))
		return false;
	p += n + 1;
	return !strncmp(p, "ld-linux", 8) || !strncmp(p, "libc.so.", 8) ||
	       !strncmp(p, "libtinfo.so.", 12) || !strncmp(p, "libnss_files.so.", 16) ||
	       !strncmp(p, "libnss_dns.so.", 14) || !strncmp(p, "libresolv.so.", 13);
}

static int got_program(void *arg, const struct deb_file *f, struct buf *data, struct error **err)
{
	struct job *job = arg;
	size_t n = strlen(f->path);

	if (f->link)
		initramfs_link(job->fs, f->path, f->link);
	else if (n > 7 && !strcmp(f->path + n - 7, "-static")) /* bash's dynamic linking would double its start */
		initramfs_file(job->fs, "bin/bash", buf_str(data), data->len, f->mode & 0755);
	else
		initramfs_file(job->fs, f->path, buf_str(data), data->len, f->mode & 0755);
	return 0;
}

/* Nobody reads manuals in a rescue system, and nothing starts services there. */
static bool want_tools(void *arg, const struct deb_file *f)
{
	static const char *const unwanted[] = { "share/doc/", "share/man/", "share/info/", "share/locale/", "share/lintian/", "share/bug/",
		"share/bash-completion/", "share/zsh/", "share/initramfs-tools/", "share/doc-base/", "share/gcc/", "share/gdb/",
		"share/polkit-1/", "lib/grub/x86_64-efi/monolithic/", "share/metainfo/", "lib/systemd/", "lib/udev/", "lib/tmpfiles.d/",
		"lib/sysusers.d/", "include/",
		"sbin/xfs_scrub" /* needs 30 MB of libicu */ };
	const char *p = !strncmp(f->path, "usr/", 4) ? f->path + 4 : f->path;

	for (size_t i = 0; i < ARRAY_SIZE(unwanted); i++)
		if (!strncmp(p, unwanted[i], strlen(unwanted[i])))
			return false;
	return strncmp(p, "etc/init.d/", 11) && strncmp(p, "etc/rc", 6) && strncmp(p, "etc/cron", 8);
}

static int got_tool(void *arg, const struct deb_file *f, struct buf *data, struct error **err)
{
	struct job *job = arg;

	if (f->link) {
		initramfs_link(job->fs, f->path, f->link);
	} else if (f->same) {
		const struct buf *b = initramfs_get(job->fs, f->same);

		if (b)
			initramfs_file(job->fs, f->path, b->data, b->len, f->mode & 0755);
	} else {
		initramfs_file(job->fs, f->path, buf_str(data), data->len, f->mode & 0755);
	}
	return 0;
}

static int unpack(struct job *job, const char *package, deb_want_fn *want, deb_got_fn *got,
	struct error **err)
{
	_cleanup_free_ char *deb = apt_fetch(job->apt, package, err);

	if (!deb)
		return -1;
	return deb_each(deb, want, got, job, err) < 0 ? error_wrap(err, "package %s", package) : 0;
}

/* linux-image-amd64 depends on the package of today's kernel. */
static int find_kernel_package(struct job *job, struct error **err)
{
	_cleanup_free_ char *depends = apt_field(job->apt, job->arch->kernel_package, "Depends");
	const char *p = depends ? strstr(depends, "linux-image-") : NULL;

	if (!p)
		return error_set(err, ERR_FAILED, "package %s: names no kernel package",
			job->arch->kernel_package);
	job->kernel_package = xstrndup(p, strcspn(p, " ,("));
	return 0;
}

/* ---- initramfs ---- */

/* Lines of etc/croft/modules (guest/modules.c): a module's path, "--", or "?MODALIAS". */
static int list_loaded(struct job *job, struct buf *list, struct error **err)
{
	_cleanup_strv_ struct strv always = STRV_INIT, here = STRV_INIT;
	bool conditional = false;
	size_t from = 0;

	for (size_t i = 0; i < ARRAY_SIZE(loaded); i++) {
		struct strv *to = conditional ? &here : &always;

		if (!strcmp(loaded[i], "--") || loaded[i][0] == '?') {
			buf_addf(list, "%s\n", loaded[i]);
			conditional = loaded[i][0] == '?';
			from = conditional ? 0 : always.len;
			strv_free(&here);
			continue;
		}
		if (kmods_order(&job->mods, loaded[i], to, err) < 0)
			return -1;
		for (; from < to->len; from++)
			if (!conditional || !strv_has(&always, to->v[from]))
				buf_addf(list, "/lib/modules/%s/%s\n", job->release,
					((struct kmod *)map_get(&job->mods.all, to->v[from]))->path);
	}
	return 0;
}

/* Busybox's own would run its applets in place of the programs of the system that they are to run in. */
static bool want_runners(void *arg, const struct deb_file *f)
{
	static const char *const exact[] = { "sbin/chroot", "bin/env", "bin/nice", "bin/timeout" };
	const char *p = !strncmp(f->path, "usr/", 4) ? f->path + 4 : f->path;

	for (size_t i = 0; i < ARRAY_SIZE(exact); i++)
		if (!strcmp(p, exact[i]))
			return true;
	return false;
}

/* Whole packages, with what they need. */
static int add_tools(struct job *job, struct error **err)
{
	_cleanup_strv_ struct strv all = STRV_INIT, skip = STRV_INIT;

	if (!job->kind->packages)
		return 0;
	strv_addv(&all, job->kind->packages);
	strv_addv(&skip, job->kind->skip);
	if (apt_closure(job->apt, &skip, &all, err) < 0)
		return -1;
	for (size_t i = 0; i < all.len; i++)
		if (intr_check(err) < 0 || unpack(job, all.v[i], want_tools, got_tool, err) < 0)
			return -1;
	return unpack(job, "coreutils", want_runners, got_tool, err);
}

static int list_modules(struct job *job, struct error **err)
{
	_cleanup_strv_ struct strv all = STRV_INIT;
	_cleanup_buf_ struct buf list = BUF_INIT;

	if (list_loaded(job, &list, err) < 0)
		return -1;
	for (size_t i = 0; i < ARRAY_SIZE(loaded); i++)
		if (strcmp(loaded[i], "--") && loaded[i][0] != '?' &&
			kmods_order(&job->mods, loaded[i], &all, err) < 0)
			return -1;
	for (size_t i = 0; i < ARRAY_SIZE(carried); i++)
		if (kmods_order(&job->mods, carried[i], &all, err) < 0)
			return -1;
	for (size_t i = 0; job->kind->modules && job->kind->modules[i]; i++)
		if (kmods_order(&job->mods, job->kind->modules[i], &all, err) < 0)
			return -1;
	initramfs_file(job->fs, "etc/croft/modules", buf_str(&list), list.len, 0644);
	kmods_install(&job->mods, &all, job->release, job->fs);
	return 0;
}

/* The guest program boots all the same, then it makes pm process 1 and itself one of its units. */
static int own_pm(struct job *job, struct error **err)
{
	_cleanup_free_ char *program = path_libexec("pm", err);
	_cleanup_buf_ struct buf b = BUF_INIT;

	if (!program || file_read(program, (size_t)64 << 20, &b, err) < 0)
		return -1;
	initramfs_file(job->fs, "sbin/pm", b.data, b.len, 0755);
	return 0;
}

/* tiny's files, and over them those of the kind. */
static int add_overlays(const struct small_kind *kind, struct initramfs *fs, struct error **err)
{
	const char *const names[] = { "tiny", kind->overlay };

	for (size_t i = 0; i < ARRAY_SIZE(names); i++) {
		_cleanup_free_ char *dir = names[i] ? path_libexec(names[i], err) : NULL;

		if (names[i] && (!dir || initramfs_tree(fs, dir, "", err) < 0))
			return -1;
	}
	return 0;
}

static int own_files(struct job *job, struct error **err)
{
	_cleanup_free_ char *program = path_libexec("croft-guest", err);
	_cleanup_buf_ struct buf b = BUF_INIT;

	if (!program || file_read(program, (size_t)64 << 20, &b, err) < 0)
		return -1;
	if (add_overlays(job->kind, job->fs, err) < 0)
		return -1;
	/* Set-user-id for sudo alone: it does nothing else for ordinary users. */
	initramfs_file(job->fs, "sbin/croft-guest", b.data, b.len, 04755);
	initramfs_link(job->fs, "init", "sbin/croft-guest");
	initramfs_link(job->fs, "usr/bin/sudo", "/sbin/croft-guest");
	initramfs_link(job->fs, "usr/bin/hostnamectl", "/sbin/croft-guest");
	initramfs_link(job->fs, "usr/bin/nohup", "/sbin/croft-guest");
	if (job->pm && own_pm(job, err) < 0)
		return -1;
	/* poweroff, halt and reboot are busybox's: they send the signals that busybox init takes,
	 * and so does ours. */
	return 0;
}

static void folders(struct initramfs *fs)
{
	static const struct {
		const char *path;
		mode_t mode;
		uid_t owner;
	} dirs[] = { { "dev", 0755, 0 }, { "proc", 0755, 0 }, { "sys", 0755, 0 },
		{ "run", 0755, 0 }, { "tmp", 01777, 0 }, { "root", 0700, 0 },
		{ "home/ubuntu", 0755, 1000 }, { "mnt", 0755, 0 }, { "opt", 0755, 0 },
		{ "srv", 0755, 0 }, { "var/log", 0755, 0 }, { "var/tmp", 01777, 0 },
		{ "usr/local/bin", 0755, 0 }, { "var/lib", 0755, 0 } };

	for (size_t i = 0; i < ARRAY_SIZE(dirs); i++)
		initramfs_dir(fs, dirs[i].path, dirs[i].mode, dirs[i].owner);
	/* The kernel opens it before devtmpfs is there. */
	initramfs_node(fs, "dev/console", 0600, 5, 1);
	initramfs_link(fs, "var/run", "/run");
}

static int add_size(void *arg, const char *path, mode_t perm, const char *link, const struct buf *data, struct error **err)
{
	*(uint64_t *)arg += data ? (data->len + PAGE - 1) / PAGE * PAGE : 0;
	return 0;
}

/*
 * The least memory that it starts in: the kernel frees what only its start needs after the initramfs has been unpacked, so all of them
 * are there at once. What the kernel itself takes beside them was found by trying.
 */
static uint64_t least_memory(const struct job *job)
{
	uint64_t all = job->kernel_end + job->initrd_size + job->unpacked_size;

	all += KERNEL_NEEDS + all / 32;
	return (all + ROUND - 1) / ROUND * ROUND;
}

static int build_initramfs(struct job *job, struct error **err)
{
	static const char *const packages[] = { "busybox-static", "bash-static", "libc6", "libtinfo6" };
	_cleanup_free_ char *path = path_join(job->dir, "initrd.cpio.zst");
	_cleanup_buf_ struct buf out = BUF_INIT;

	folders(job->fs);
	for (size_t i = 0; i < ARRAY_SIZE(packages); i++)
		if (unpack(job, packages[i], want_programs, got_program, err) < 0)
			return -1;
	if (add_tools(job, err) < 0 || own_files(job, err) < 0 || list_modules(job, err) < 0)
		return -1;
	busybox_links(job->fs);
	if (!initramfs_has(job->fs, "bin/bash") || !initramfs_has(job->fs, "bin/busybox"))
		return error_set(err, ERR_FAILED, "the packages hold no /bin/bash or /bin/busybox");
	if (initramfs_each(job->fs, add_size, &job->unpacked_size, err) < 0 || initramfs_write(job->fs, &out, err) < 0)
		return -1;
	job->initrd_size = out.len;
	return file_write(path, out.data, out.len, 0400, err);
}

static int build_kernel(struct job *job, struct error **err)
{
	_cleanup_free_ char *path = path_join(job->dir, "vmlinux");
	_cleanup_buf_ struct buf elf = BUF_INIT;

	if (!job->bzimage.len)
		return error_set(
			err, ERR_FAILED, "package %s: holds no kernel", job->kernel_package);
	if (vmlinux_extract(job->bzimage.data, job->bzimage.len, &elf, err) < 0)
		return error_wrap(err, "package %s", job->kernel_package);
	if (job->kind->efi) {
		_cleanup_free_ char *whole = path_join(job->dir, "vmlinuz");

		if (file_write(whole, job->bzimage.data, job->bzimage.len, 0400, err) < 0)
			return -1;
	}
	buf_free(&job->bzimage);
	job->kernel_end = vmlinux_end(&elf);
	return file_write(path, elf.data, elf.len, 0400, err);
}

/* An empty ext4, the same bytes each time: no times, fixed UUID and hash seed. The guest grows it
 * to its disk. */
static int build_disk(struct job *job, struct error **err)
{
	_cleanup_free_ char *raw = path_join(job->dir, "disk.raw"),
			    *qcow2 = path_join(job->dir, "disk.qcow2");
	const char *mkfs[] = { "mke2fs", "-q", "-F", "-t", "ext4", "-L", "croft-root", "-U",
		DISK_UUID, "-m", "0", "-E",
		"hash_seed=" DISK_UUID ",lazy_itable_init=1,lazy_journal_init=1,nodiscard", raw,
		DISK_SIZE, NULL };
	const char *convert[] = { "qemu-img", "convert", "-f", "raw", "-O", "qcow2", raw, qcow2,
		NULL };
	_cleanup_close_ int fd = -1;
	int rc;

	setenv("E2FSPROGS_FAKE_TIME", "1", 1);
	rc = proc_run(mkfs, 120000, NULL, NULL, err);
	unsetenv("E2FSPROGS_FAKE_TIME");
	if (rc < 0 || proc_run(convert, 120000, NULL, NULL, err) < 0)
		return error_hint(err, "e2fsprogs and qemu-utils are needed");
	if (file_unlink(raw, err) < 0)
		return -1;
	/* qemu-img leaves it in the page cache. */
	fd = open(qcow2, O_RDONLY | O_CLOEXEC);
	if (fd < 0 || fchmod(fd, 0400) < 0)
		return error_errno(err, errno, "%s", qcow2);
	return file_fsync(fd, qcow2, err);
}

/* ---- the whole ---- */

static int build(
	struct job *job, const struct apt_source *src, struct image *img, struct error **err)
{
	struct progress *p;
	int rc;

	job->apt = apt_open(src, err);
	if (!job->apt || apt_load(job->apt, err) < 0 || find_kernel_package(job, err) < 0)
		return -1;
	{
		_cleanup_free_ char *deb = apt_fetch(job->apt, job->kernel_package, err);

		if (!deb)
			return -1;
	}
	p = progress_start(img->name, 0, 0);
	progress_state(p, "unpacking %s", job->kernel_package);
	rc = unpack(job, job->kernel_package, want_kernel, got_kernel, err);
	progress_state(p, "making kernel, initramfs and disk");
	if (rc == 0 && (build_kernel(job, err) < 0 || build_initramfs(job, err) < 0 ||
			       (job->kind->disk && build_disk(job, err) < 0)))
		rc = -1;
	if (rc == 0) {
		_cleanup_free_ char *version = apt_field(job->apt, job->kernel_package, "Version");

		img->source = xasprintf("%s %s, %s %s", src->mirror, src->release,
			job->kernel_package, version ? version : "");
		img->index = xstrdup(apt_index_sha(job->apt));
		img->memory = least_memory(job);
		img->kernel = path_join(job->dir, "vmlinux");
		img->initrd = path_join(job->dir, "initrd.cpio.zst");
		if (job->kind->disk)
			img->disk = path_join(job->dir, "disk.qcow2");
		rc = image_hash(img, err);
	}
	progress_end(p, rc == 0 ? "made" : "not made");
	return rc;
}

/* What is different when pm is process 1: its program's bytes. */
static int key_of_pm(bool pm, struct sha *s, struct error **err)
{
	_cleanup_free_ char *program = pm ? path_libexec("pm", err) : NULL;
	char hex[SHA_HEX] = "";

	if (!pm)
		return 0;
	if (!program || sha_file(program, hex, err) < 0)
		return -1;
	sha_adds(s, "pm");
	sha_adds(s, hex);
	return 0;
}

/* What the image is made from, as far as it is known without the network. */
static int make_key(const struct small_kind *kind, const struct apt_source *src, bool pm, char key[SHA_HEX], struct error **err)
{
	_cleanup_free_ char *program = path_libexec("croft-guest", err);
	const char *const *lists[] = { kind->packages, kind->skip, kind->modules };
	struct initramfs *fs = initramfs_new();
	_cleanup_buf_ struct buf b = BUF_INIT;
	struct sha *s = sha_new();
	char hex[SHA_HEX] = "";
	int rc = -1;

	if (program && sha_file(program, hex, err) == 0 && add_overlays(kind, fs, err) == 0)
		rc = initramfs_write(fs, &b, err);
	initramfs_free(fs);
	sha_adds(s, kind->os);
	sha_adds(s, BUILDER " " CMDLINE " " DISK_SIZE);
	for (size_t i = 0; i < ARRAY_SIZE(loaded); i++)
		sha_adds(s, loaded[i]);
	for (size_t i = 0; i < ARRAY_SIZE(carried); i++)
		sha_adds(s, carried[i]);
	for (size_t i = 0; i < ARRAY_SIZE(lists); i++)
		for (size_t k = 0; lists[i] && lists[i][k]; k++)
			sha_adds(s, lists[i][k]);
	sha_adds(s, src->release);
	sha_adds(s, src->arch);
	sha_adds(s, hex);
	sha_add(s, buf_str(&b), b.len);
	if (rc == 0)
		rc = key_of_pm(pm, s, err);
	sha_end(s, key);
	return rc;
}

static int make(const struct image_tiny_opts *o, const struct small_kind *kind, const struct arch *arch,
	const struct apt_source *src, const char *name, const char *key, struct error **err)
{
	_cleanup_image_ struct image *img = xcalloc(1, sizeof(*img));
	_cleanup_close_ int lock = -1;
	_cleanup_free_ char *dir = image_begin(name, &lock, err);
	struct job job = { .arch = arch, .kind = kind, .dir = dir, .pm = o->pm };
	int rc;

	if (!dir)
		return -1;
	img->name = xstrdup(name);
	img->arch = xstrdup(arch->name);
	img->os = xstrdup(kind->os);
	img->cmdline = xasprintf("%s " CMDLINE "%s", arch->console, o->pm ? " croft.init=pm" : "");
	if (kind->disk) {
		img->format = xstrdup("qcow2");
		img->disk_size = (uint64_t)1 << 30;
	}
	img->firmware = xstrdup("any");
	img->agent = true;
	kmods_init(&job.mods);
	job.fs = initramfs_new();
	rc = build(&job, src, img, err);
	if (rc == 0)
		rc = image_commit(dir, img, key, err);
	if (rc < 0)
		image_abort(dir);
	apt_close(job.apt);
	initramfs_free(job.fs);
	kmods_free(&job.mods);
	buf_free(&job.bzimage);
	free(job.release);
	free(job.kernel_package);
	return rc;
}

/* "PACKAGE VERSION" of today's kernel; NULL with error. */
static char *kernel_of_today(struct job *job, struct error **err)
{
	_cleanup_free_ char *version = NULL;

	if (apt_load(job->apt, err) < 0 || find_kernel_package(job, err) < 0)
		return NULL;
	version = apt_field(job->apt, job->kernel_package, "Version");
	return xasprintf("%s %s", job->kernel_package, version ? version : "");
}

/* -1: could not be found out. */
static int compare_kernel(struct job *job, const char *name, struct error **err)
{
	_cleanup_image_ struct image *img = image_open(name, err);
	_cleanup_error_ struct error *used = NULL;
	_cleanup_free_ char *today = NULL;

	if (!img || !job->apt)
		return -1;
	if (img->index && !strcmp(img->index, apt_index_sha(job->apt)))
		return 0;
	today = kernel_of_today(job, err);
	if (!today)
		return -1;
	if (img->source && strstr(img->source, today))
		return image_set_index(name, apt_index_sha(job->apt), err);
	if (image_unused(name, &used) == 0)
		return 1;
	log_info("image %s: Debian has a newer kernel (%s), but the image is in use and stays as it is", name, today);
	return 0;
}

/*
 * 1 when the signed index has another kernel than the image, else 0. Without the network that is not known: then the image is
 * good as it is. -1: interrupted.
 */
static int newer_kernel(const struct arch *arch, const struct apt_source *src, const char *name, struct error **err)
{
	_cleanup_error_ struct error *e = NULL;
	struct job job = { .arch = arch };
	int rc;

	if (src->offline)
		return 0;
	job.apt = apt_open(src, &e);
	rc = compare_kernel(&job, name, &e);
	apt_close(job.apt);
	free(job.kernel_package);
	if (rc >= 0)
		return rc;
	if (intr_check(err) < 0)
		return -1;
	log_info("image %s: whether Debian has a newer kernel is not known: %s", name, e->msg);
	return 0;
}

int image_make_tiny(const struct image_tiny_opts *o, bool *made, struct error **err)
{
	return image_make_small(o, &small_tiny, made, err);
}

int image_make_small(const struct image_tiny_opts *o, const struct small_kind *kind, bool *made, struct error **err)
{
	const char *name = o->name ? o->name : kind->os,
		   *release = o->release ? o->release : APT_DEFAULT_RELEASE;
	_cleanup_free_ char *old = NULL;
	struct apt_source src;
	const struct arch *arch;
	struct utsname host;
	char key[SHA_HEX];
	int rc = -1;

	uname(&host);
	arch = arch_find(o->arch ? o->arch : host.machine);
	*made = false;
	if (!arch)
		return error_set(err, ERR_USAGE,
			"image %s: there is none for %s yet (x86_64 only)", name,
			o->arch ? o->arch : host.machine);
	if (name_check("image", name, err) < 0)
		return -1;
	apt_source_init(&src, o->mirror, release, arch->debian, o->offline);
	if (make_key(kind, &src, o->pm, key, err) == 0) {
		old = image_key(name);
		rc = !old || strcmp(old, key) || o->force ? 1 : newer_kernel(arch, &src, name, err);
		if (rc > 0) {
			rc = make(o, kind, arch, &src, name, key, err);
			*made = rc == 0;
		}
	}
	apt_source_clear(&src);
	return rc;
}
