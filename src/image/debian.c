/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A Debian disk image: packages installed by mmdebstrap, written straight from its tar stream into an ext4 inside a
 * partitioned file; GRUB for BIOS and UEFI; croft's program as a service. UUIDs come from the key of the inputs.
 */
#include "base/cleanup.h"
#include "base/file.h"
#include "base/intr.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/path.h"
#include "base/proc.h"
#include "base/units.h"
#include "image/apt.h"
#include "image/bootstrap.h"
#include "image/disk.h"
#include "image/ext4.h"
#include "image/ext4entry.h"
#include "image/internal.h"
#include "image/sha.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/utsname.h>
#include <time.h>

/* Goes up when the same inputs give another image. */
#define BUILDER "1"
#define DEFAULT_SIZE ((uint64_t)4 << 30)
#define SIZE_MIN ((uint64_t)1 << 30)
#define SIZE_MAX_ ((uint64_t)16 << 40)
#define STAGE_MAX ((int64_t)16 << 20)
#define GUEST "usr/lib/croft/croft-guest"

static const char *const base_packages[] = { "systemd-sysv", "systemd-resolved", "libpam-systemd", "dbus", "udev", "kmod", "sudo",
	"initramfs-tools", "zstd", "e2fsprogs", "grub2-common", "grub-pc-bin", "grub-efi-amd64-bin", "iproute2", "iputils-ping",
	"netbase", "procps", "less", "ca-certificates" };
/* Releases that have other packages than the newest. */
static const struct {
	const char *release, *without, *with;
} differences[] = {
	{ "bullseye", "systemd-resolved", NULL },
	{ "bookworm", NULL, NULL },
	{ NULL, NULL, "systemd-repart" },
};

/* What GRUB's tools have made in the root, on its way into the disk. */
enum { STAGE_BOOT, STAGE_CORE, STAGE_EFI, STAGES };
static const char *const stage_paths[STAGES] = { "boot/grub/i386-pc/boot.img", "boot/grub/i386-pc/core.img",
	"boot/efi/EFI/BOOT/BOOTX64.EFI" };

struct job {
	const struct image_debian_opts *o;
	struct apt_source src;
	struct strv sources, packages;
	struct initramfs *own; /* files of croft's own for the root */
	char key[SHA_HEX];
	const char *name, *dir;
	char *raw, *root_uuid;
	time_t epoch;
	uint64_t size;
	struct ext4 *fs;
	struct buf stage[STAGES];
	bool kernel;
};

/* ---- the root ---- */

static bool has_prefix(const char *s, const char *prefix)
{
	return !strncmp(s, prefix, strlen(prefix));
}

static ssize_t read_entry(void *arg, void *p, size_t n, struct error **err)
{
	struct archive *ar = arg;
	la_ssize_t got = archive_read_data(ar, p, n);

	if (intr_check(err) < 0)
		return -1;
	return got < 0 ? error_set(err, ERR_FAILED, "mmdebstrap's archive: %s", archive_error_string(ar)) : got;
}

static int keep_stage(struct archive *ar, struct archive_entry *e, struct buf *b, struct error **err)
{
	ssize_t n;

	if (archive_entry_size(e) > STAGE_MAX)
		return error_set(err, ERR_FAILED, "%s: is too large", archive_entry_pathname(e));
	while ((n = read_entry(ar, buf_reserve(b, 1 << 16), 1 << 16, err)) > 0)
		b->len += (size_t)n;
	return n < 0 ? -1 : 0;
}

static int on_entry(void *arg, struct archive *ar, struct archive_entry *e, struct error **err)
{
	const char *path = archive_entry_pathname(e);
	struct job *job = arg;

	if (intr_check(err) < 0)
		return -1;
	if (has_prefix(path, "./"))
		path += 2;
	for (size_t i = 0; i < STAGES; i++)
		if (!strcmp(path, stage_paths[i]))
			return keep_stage(ar, e, &job->stage[i], err);
	job->kernel |= has_prefix(path, "boot/vmlinuz-");
	if (!*path || has_prefix(path, "boot/efi/") || !strcmp(path, "boot/grub/grub.cfg") || initramfs_has_file(job->own, path))
		return 0;
	{
		_cleanup_free_ char *plain = xstrdup(path);
		size_t n = strlen(plain);

		if (n && plain[n - 1] == '/')
			plain[n - 1] = '\0';
		return ext4_entry(job->fs, e, plain, job->epoch, read_entry, ar, err);
	}
}

/* ---- files of our own ---- */

__attribute__((format(printf, 3, 4))) static void own_textf(struct job *job, const char *path, const char *fmt, ...)
{
	_cleanup_buf_ struct buf b = BUF_INIT;
	va_list ap;

	va_start(ap, fmt);
	buf_addvf(&b, fmt, ap);
	va_end(ap);
	initramfs_file(job->own, path, b.data, b.len, 0644);
}

static void own_texts(struct job *job, uint32_t esp)
{
	_cleanup_free_ char *sources = strv_join(&job->sources, "\n");

	own_textf(job, "etc/fstab",
		"UUID=%s / ext4 rw,relatime,errors=remount-ro,x-systemd.growfs 0 1\n"
		"UUID=%04X-%04X /boot/efi vfat umask=0077,nofail 0 1\n",
		job->root_uuid, (unsigned)(esp >> 16), (unsigned)(esp & 0xffff));
	own_textf(job, "etc/apt/sources.list", "%s\n", sources);
	initramfs_link(job->own, "etc/resolv.conf", "../run/systemd/resolve/stub-resolv.conf");
	if (job->o->cloud_init)
		own_textf(job, "etc/cloud/cloud.cfg.d/90-croft.cfg",
			"datasource_list: [ NoCloud, ConfigDrive, None ]\n# /etc/systemd/network has it\nnetwork:\n  config: disabled\n");
}

static int own_file(void *arg, const char *path, mode_t perm, const char *link, const struct buf *data, struct error **err)
{
	struct job *job = arg;
	struct ext4_meta m = { .mode = perm, .mtime = job->epoch };

	return link ? ext4_symlink(job->fs, path, &m, link, err) : ext4_bytes(job->fs, path, &m, data->data, data->len, err);
}

/* The overlay folder and the guest program: what is the same in each image. */
static int load_own(struct job *job, struct error **err)
{
	_cleanup_free_ char *program = path_libexec("croft-guest", err), *dir = program ? path_libexec("debian", err) : NULL;
	_cleanup_free_ char *root = dir ? path_join(dir, "root") : NULL;
	_cleanup_buf_ struct buf b = BUF_INIT;

	if (!root || file_read(program, (size_t)64 << 20, &b, err) < 0 || initramfs_tree(job->own, root, "", err) < 0)
		return -1;
	initramfs_file(job->own, GUEST, b.data, b.len, 0755);
	return 0;
}

/* ---- packages and where they come from ---- */

static void choose_packages(struct job *job)
{
	const char *release = job->src.release;
	bool kernel = false;
	size_t d = 0;

	while (differences[d].release && strcmp(differences[d].release, release))
		d++;
	for (size_t i = 0; i < ARRAY_SIZE(base_packages); i++)
		if (!differences[d].without || strcmp(differences[d].without, base_packages[i]))
			strv_add(&job->packages, base_packages[i]);
	if (differences[d].with)
		strv_add(&job->packages, differences[d].with);
	if (job->o->cloud_init)
		strv_add(&job->packages, "cloud-init");
	for (size_t i = 0; job->o->packages && i < job->o->packages->len; i++) {
		const char *p = job->o->packages->v[i];

		kernel |= has_prefix(p, "linux-image-");
		if (!strv_has(&job->packages, p))
			strv_add(&job->packages, p);
	}
	if (!kernel)
		strv_add(&job->packages, "linux-image-amd64");
}

static int check_packages(const struct strv *packages, struct error **err)
{
	for (size_t i = 0; packages && i < packages->len; i++)
		if (packages->v[i][strspn(packages->v[i], "abcdefghijklmnopqrstuvwxyz0123456789+.-")])
			return error_set(err, ERR_USAGE, "'%s' is not a name of a Debian package", packages->v[i]);
	return 0;
}

static void add_source(struct job *job, const char *mirror, const char *keyring, const char *suite)
{
	if (strcmp(keyring, APT_DEFAULT_KEYRING))
		strv_addf(&job->sources, "deb [signed-by=%s] %s %s main", keyring, mirror, suite);
	else
		strv_addf(&job->sources, "deb %s %s main", mirror, suite);
}

/* The release, its updates and security. */
static void choose_sources(struct job *job)
{
	static const char *const more[] = { "updates", "security" };

	add_source(job, job->src.mirror, job->src.keyring, job->src.release);
	for (size_t i = 0; i < ARRAY_SIZE(more); i++) {
		struct apt_source s;

		if (!apt_source_more(&s, &job->src, more[i]))
			continue;
		add_source(job, s.mirror, s.keyring, s.release);
		apt_source_clear(&s);
	}
}

/* ---- the disk ---- */

static int make_raw(struct job *job, const char *uuid, struct error **err)
{
	_cleanup_free_ char *u[3] = { disk_uuid(job->key, "bios"), disk_uuid(job->key, "esp"), disk_uuid(job->key, "rootpart") };
	const char *uuids[4] = { uuid, u[0], u[1], u[2] };
	_cleanup_close_ int fd = open(job->raw, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
	uint64_t root = (job->size - DISK_ROOT_START - DISK_TAIL) & ~(uint64_t)4095;

	if (fd < 0 || ftruncate(fd, (off_t)job->size) < 0)
		return error_errno(err, errno, "%s", job->raw);
	return disk_partition(job->raw, uuids, err) < 0 ||
			       ext4_make(job->raw, DISK_ROOT_START, root, "croft-root", job->root_uuid, job->epoch, err) < 0
		       ? -1
		       : 0;
}

static int fill_root(struct job *job, struct progress *p, struct error **err)
{
	_cleanup_free_ char *cache = path_cache("debian"), *dir = path_libexec("debian", err);
	_cleanup_free_ char *setup = dir ? path_join(dir, "setup") : NULL, *kept = xasprintf("%s/%s-%s", cache, job->src.release, job->src.arch);
	_cleanup_buf_ struct buf text = BUF_INIT;
	struct bootstrap b = { .release = job->src.release, .arch = job->src.arch, .sources = &job->sources, .packages = &job->packages,
		.cache = kept, .offline = job->src.offline, .epoch = job->epoch, .progress = p };

	if (!setup || file_read(setup, 1 << 20, &text, err) < 0)
		return -1;
	b.setup = buf_str(&text);
	job->fs = ext4_open(job->raw, DISK_ROOT_START, job->epoch, err);
	if (!job->fs)
		return -1;
	if (bootstrap_run(&b, on_entry, job, err) < 0 || initramfs_each(job->own, own_file, job, err) < 0 ||
		disk_grub_menu(job->fs, job->root_uuid, job->epoch, err) < 0) {
		_cleanup_error_ struct error *ignored = NULL;

		ext4_close(STEAL(job->fs), &ignored);
		return -1;
	}
	return ext4_close(STEAL(job->fs), err);
}

static int check_stages(struct job *job, struct error **err)
{
	for (size_t i = 0; i < STAGES; i++)
		if (!job->stage[i].len)
			return error_set(err, ERR_FAILED, "the packages made no %s", stage_paths[i]);
	return job->kernel ? 0 : error_set(err, ERR_FAILED, "the packages hold no kernel");
}

static int to_qcow2(struct job *job, const char *qcow2, struct error **err)
{
	const char *argv[] = { "qemu-img", "convert", "-f", "raw", "-O", "qcow2", job->raw, qcow2, NULL };
	_cleanup_close_ int fd = -1;

	if (proc_run(argv, -1, NULL, NULL, err) < 0 || file_unlink(job->raw, err) < 0)
		return -1;
	fd = open(qcow2, O_RDONLY | O_CLOEXEC);
	if (fd < 0 || fchmod(fd, 0400) < 0)
		return error_errno(err, errno, "%s", qcow2);
	return file_fsync(fd, qcow2, err);
}

static int build(struct job *job, struct image *img, struct error **err)
{
	_cleanup_free_ char *uuid = disk_uuid(job->key, "disk");
	uint32_t esp = (uint32_t)strtoul(uuid, NULL, 16);
	struct progress *p = progress_start(job->name, 0, 0);
	int rc = -1;

	job->root_uuid = disk_uuid(job->key, "root");
	job->raw = path_join(job->dir, "disk.raw");
	own_texts(job, esp);
	img->disk = path_join(job->dir, "disk.qcow2");
	progress_state(p, "partitioning");
	if (make_raw(job, uuid, err) == 0 && fill_root(job, p, err) == 0 && check_stages(job, err) == 0) {
		progress_state(p, "boot loaders and qcow2");
		rc = disk_grub_bios(job->raw, &job->stage[STAGE_BOOT], &job->stage[STAGE_CORE], err);
		if (rc == 0)
			rc = disk_esp(job->raw, esp, &job->stage[STAGE_EFI], job->epoch, err);
		if (rc == 0)
			rc = to_qcow2(job, img->disk, err);
	}
	if (rc == 0) {
		img->source = strv_join(&job->sources, "; ");
		rc = image_hash(img, err);
	}
	progress_end(p, rc == 0 ? "made" : "not made");
	return rc;
}

/* ---- the whole ---- */

static int sum_own(void *arg, const char *path, mode_t perm, const char *link, const struct buf *data, struct error **err)
{
	sha_adds(arg, path);
	sha_adds(arg, link);
	sha_add(arg, &perm, sizeof(perm));
	sha_add(arg, data->data ? data->data : "", data->len);
	return 0;
}

/* What the image is made from, but for what Debian publishes between: --force takes that. */
static int make_key(struct job *job, struct error **err)
{
	_cleanup_free_ char *dir = path_libexec("debian", err), *setup = dir ? path_join(dir, "setup") : NULL;
	char hex[SHA_HEX] = "";
	struct sha *s;

	if (!setup || sha_file(setup, hex, err) < 0)
		return -1;
	s = sha_new();
	sha_adds(s, "debian " BUILDER);
	sha_adds(s, hex);
	sha_adds(s, job->src.release);
	sha_adds(s, job->src.arch);
	sha_add(s, &job->size, sizeof(job->size));
	sha_adds(s, job->o->cloud_init ? "cloud-init" : "");
	for (size_t i = 0; i < job->packages.len; i++)
		sha_adds(s, job->packages.v[i]);
	for (size_t i = 0; i < job->sources.len; i++)
		sha_adds(s, job->sources.v[i]);
	initramfs_each(job->own, sum_own, s, NULL);
	sha_end(s, job->key);
	return 0;
}

/* No file of the image is newer than the archive's state; SOURCE_DATE_EPOCH overrules (reproducible-builds.org). */
static int choose_epoch(struct job *job, struct error **err)
{
	const char *set = getenv("SOURCE_DATE_EPOCH");
	struct apt *apt = apt_open(&job->src, err);
	uint64_t v;

	if (!apt)
		return -1;
	job->epoch = apt_date(apt) > 0 ? apt_date(apt) : time(NULL);
	apt_close(apt);
	if (set && *set) {
		if (parse_u64("SOURCE_DATE_EPOCH", set, 0, UINT32_MAX, &v, err) < 0)
			return -1;
		job->epoch = (time_t)v;
	}
	return 0;
}

static int make(struct job *job, const struct arch *arch, struct error **err)
{
	_cleanup_image_ struct image *img = xcalloc(1, sizeof(*img));
	_cleanup_close_ int lock = -1;
	_cleanup_free_ char *dir = NULL;
	int rc;

	if (bootstrap_check(err) < 0 || choose_epoch(job, err) < 0)
		return -1;
	job->dir = dir = image_begin(job->name, &lock, err);
	if (!dir)
		return -1;
	img->name = xstrdup(job->name);
	img->arch = xstrdup(arch->name);
	img->os = xasprintf("debian %s", job->src.release);
	img->format = xstrdup("qcow2");
	img->disk_size = job->size;
	img->firmware = xstrdup("any");
	img->agent = true;
	img->cloud_init = job->o->cloud_init;
	rc = build(job, img, err);
	if (rc == 0)
		rc = image_commit(dir, img, job->key, err);
	if (rc < 0)
		image_abort(dir);
	return rc;
}

static int run(struct job *job, const struct arch *arch, bool *made, struct error **err)
{
	_cleanup_free_ char *old = NULL;
	int rc;

	choose_packages(job);
	choose_sources(job);
	if (load_own(job, err) < 0 || make_key(job, err) < 0)
		return -1;
	old = image_key(job->name);
	if (old && !strcmp(old, job->key) && !job->o->force)
		return 0;
	/* Found out before the work, not after it. */
	if (image_unused(job->name, err) < 0)
		return -1;
	rc = make(job, arch, err);
	*made = rc == 0;
	return rc;
}

int image_make_debian(const struct image_debian_opts *o, bool *made, struct error **err)
{
	struct job job = { .o = o, .name = o->name ? o->name : "debian", .size = o->size ? o->size : DEFAULT_SIZE };
	const struct arch *arch;
	struct utsname host;
	int rc;

	uname(&host);
	arch = arch_find(host.machine);
	*made = false;
	if (!arch)
		return error_set(err, ERR_USAGE, "image %s: there is no Debian image for %s yet (x86_64 only)", job.name, host.machine);
	if (name_check("image", job.name, err) < 0 || name_check("release", o->release ? o->release : APT_DEFAULT_RELEASE, err) < 0 ||
		check_packages(o->packages, err) < 0)
		return -1;
	job.size &= ~(((uint64_t)1 << 20) - 1);
	if (job.size < SIZE_MIN || job.size > SIZE_MAX_)
		return error_set(err, ERR_USAGE, "image %s: a size from 1G to 16T is possible", job.name);
	apt_source_init(&job.src, o->mirror, o->release ? o->release : APT_DEFAULT_RELEASE, arch->debian, o->offline);
	job.own = initramfs_new();
	rc = run(&job, arch, made, err);
	initramfs_free(job.own);
	apt_source_clear(&job.src);
	strv_free(&job.sources);
	strv_free(&job.packages);
	for (size_t i = 0; i < STAGES; i++)
		buf_free(&job.stage[i]);
	free(job.raw);
	free(job.root_uuid);
	return rc;
}
