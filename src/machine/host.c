/* SPDX-License-Identifier: Apache-2.0 */
/* What stands beside QEMU on the host: files and folders of the definition, programs that serve a machine, the display's password. */
#include "base/cleanup.h"
#include "base/file.h"
#include "base/mem.h"
#include "base/path.h"
#include "helper/helper.h"
#include "hostdev.h"
#include "internal.h"
#include "qemu/args.h"

#include <errno.h>
#include <string.h>
#include <sys/random.h>

#define HELP_MS 10000

char *machine_side_socket(size_t n)
{
	return xasprintf(HELPER_RUN_PATH "/side-%zu.sock", n);
}

bool machine_is_first_run(const struct machine *m)
{
	_cleanup_free_ char *path = machine_path(m, "first-run");

	return file_exists(path);
}

char *machine_nvram_path(const struct machine *m)
{
	return m->def.nvram ? xstrdup(m->def.nvram) : machine_path(m, "nvram.qcow2");
}

char *machine_disk_path(const struct machine *m, size_t index)
{
	const struct machine_disk *k = &m->def.disks[index];

	if (k->path)
		return xstrdup(k->path);
	return k->file ? path_join(m->dir, k->file) : xasprintf("%s/disk-%zu.qcow2", m->dir, index);
}

/* Eight characters, as VNC takes no more (RFC 6143, 7.2.2), of 64: 48 bits. */
char *machine_display_secret(const struct machine *m, struct error **err)
{
	static const char letters[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_";
	_cleanup_free_ char *path = machine_path(m, "display.password");
	unsigned char bytes[8];
	char text[9] = "";

	if (file_exists(path))
		return STEAL(path);
	if (getrandom(bytes, sizeof(bytes), 0) != sizeof(bytes)) {
		error_errno(err, errno, "getrandom");
		return NULL;
	}
	for (size_t i = 0; i < sizeof(bytes); i++)
		text[i] = letters[bytes[i] % 64];
	return file_write(path, text, 8, 0600, err) < 0 ? NULL : STEAL(path);
}

/* Distributions keep it out of PATH. */
static char *find_virtiofsd(void)
{
	static const char *const places[] = { "/usr/libexec/virtiofsd", "/usr/lib/virtiofsd", "/usr/lib/qemu/virtiofsd" };

	for (size_t i = 0; i < ARRAY_SIZE(places); i++)
		if (access(places[i], X_OK) == 0)
			return xstrdup(places[i]);
	return path_find_program("virtiofsd");
}

/* The one of the virtio-fs project, or the older one of QEMU, which knows nothing of reading only. */
static int virtiofsd_argv(const struct machine_share *s, unsigned fd, struct strv *argv, struct error **err)
{
	_cleanup_free_ char *program = find_virtiofsd();
	_cleanup_buf_ struct buf help = BUF_INIT;

	if (!program) {
		error_set(err, ERR_NOT_FOUND, "share %s: virtiofsd is not installed", s->tag);
		return error_hint(err, "install it, or use kind: 9p");
	}
	if (proc_run((const char *const[]){ program, "--help", NULL }, HELP_MS, &help, NULL, err) < 0)
		return -1;
	if (!s->rw && !strstr(help.data, "--readonly")) {
		error_set(err, ERR_FAILED, "share %s: this virtiofsd (%s) cannot share read-only", s->tag, program);
		return error_hint(err, "use kind: 9p, or rw: true");
	}
	strv_add(argv, program);
	strv_addf(argv, "--fd=%u", fd);
	if (strstr(help.data, "--shared-dir")) {
		strv_add(argv, "--shared-dir");
		strv_add(argv, s->path);
		strv_add(argv, geteuid() ? "--sandbox=none" : "--sandbox=chroot");
		if (!s->rw)
			strv_add(argv, "--readonly");
		return 0;
	}
	if (strpbrk(s->path, ",\\"))
		return error_set(err, ERR_USAGE, "share %s: this virtiofsd takes no path with a comma or backslash", s->tag);
	strv_add(argv, "-o");
	strv_addf(argv, "source=%s", s->path);
	strv_add(argv, "-o");
	strv_add(argv, "sandbox=chroot");
	return 0;
}

/* State in DIR/tpm; runs in DIR, so that no path has to pass its option parser. It ends with QEMU's connection. */
static int swtpm_argv(unsigned fd, struct strv *argv, struct error **err)
{
	_cleanup_free_ char *program = path_find_program("swtpm");

	if (!program) {
		error_set(err, ERR_NOT_FOUND, "tpm: swtpm is not installed");
		return error_hint(err, "install the package swtpm, or set tpm=false");
	}
	strv_addv(argv, (const char *const[]){ program, "socket", "--tpm2", "--tpmstate", "dir=tpm,mode=0600", "--terminate", "--ctrl", NULL });
	strv_addf(argv, "type=unixio,fd=%u", fd);
	return 0;
}

static int write_side(const struct machine *m, size_t n, const struct strv *argv, struct error **err)
{
	_cleanup_free_ char *name = xasprintf("run/side-%zu", n), *path = machine_path(m, name);
	_cleanup_buf_ struct buf b = BUF_INIT;

	for (size_t i = 0; i < argv->len; i++)
		buf_add(&b, argv->v[i], strlen(argv->v[i]) + 1);
	return file_write(path, b.data, b.len, 0600, err);
}

/* croft-ssh for a machine that is reached by ssh; it takes the place of QEMU's port by a link that croft-machine looks for. */
static int ssh_side(const struct machine *m, size_t n, struct error **err)
{
	_cleanup_free_ char *exe = path_libexec("croft-ssh", err), *guest = exe ? path_libexec("croft-guest", err) : NULL;
	_cleanup_free_ char *link = machine_path(m, "run/way-agent.sock"), *to = xasprintf("side-%zu.sock", n), *group = path_dirname(m->name);
	_cleanup_free_ char *sub = xasprintf("groups/%s/net", group), *net = path_data(sub), *key = machine_path(m, "ssh_key"),
			    *known = machine_path(m, "known_hosts"), *host = xasprintf("%s.%s.croft", path_basename(m->name), group);
	_cleanup_strv_ struct strv argv = STRV_INIT;

	if (!guest)
		return -1;
	if (!strchr(m->name, '/') || !m->def.cloud_init)
		return error_set(err, ERR_USAGE, "machine %s: ssh: only machines of a group, with cloud_init, are reached by ssh", m->name);
	strv_addv(&argv, (const char *const[]){ exe, "--dir", m->dir, "--host", host, "--user", m->def.ssh, "--key", key, "--known-hosts", known,
				 "--guest", guest, "--net", net, "--node", path_basename(m->name), "--listen", NULL });
	strv_addf(&argv, "%u", HELPER_FD_SIDE + (unsigned)n);
	if (file_unlink(link, err) < 0)
		return -1;
	if (symlink(to, link) < 0)
		return error_errno(err, errno, "%s", link);
	return write_side(m, n, &argv, err);
}

int machine_write_sides(const struct machine *m, struct error **err)
{
	const struct machine_def *d = &m->def;
	_cleanup_free_ char *tpm = machine_path(m, "tpm");
	size_t n = 0;

	for (size_t i = 0; i <= d->nshares; i++) {
		_cleanup_strv_ struct strv argv = STRV_INIT;
		unsigned fd = HELPER_FD_SIDE + (unsigned)n;

		if (i == 0 && (!d->tpm || file_mkdirs(tpm, 0700, err) < 0 || swtpm_argv(fd, &argv, err) < 0)) {
			if (d->tpm)
				return -1;
			continue;
		}
		if (i > 0 && strcmp(d->shares[i - 1].kind, "virtiofs"))
			continue;
		if ((i > 0 && virtiofsd_argv(&d->shares[i - 1], fd, &argv, err) < 0) || write_side(m, n++, &argv, err) < 0)
			return -1;
	}
	return m->def.ssh ? ssh_side(m, n, err) : 0;
}

static int check_display(const struct machine *m, struct error **err)
{
	static const char *const files[] = { "ca-cert.pem", "server-cert.pem", "server-key.pem" };
	const struct machine_def *d = &m->def;
	_cleanup_free_ char *host = NULL, *secret = NULL;
	unsigned port;

	if (!d->display_listen || (strcmp(d->display, "spice") && strcmp(d->display, "vnc")))
		return 0;
	secret = machine_display_secret(m, err);
	if (!secret || qemu_split_listen(d->display_listen, &host, &port, err) < 0)
		return -1;
	for (size_t i = 0; d->display_tls && i < ARRAY_SIZE(files); i++) {
		_cleanup_free_ char *path = path_join(d->display_tls, files[i]);

		if (!file_exists(path))
			return error_set(err, ERR_NOT_FOUND, "display_tls: %s is not there", path);
	}
	return machine_check_listen("the display", host, port, err);
}

static int check_files(const struct machine_def *d, struct error **err)
{
	const char *files[][2] = { { "kernel", d->kernel }, { "initrd", d->initrd }, { "nvram", machine_is_uefi(d) ? d->nvram : NULL } };

	for (size_t i = 0; i < ARRAY_SIZE(files); i++)
		if (files[i][1] && !file_exists(files[i][1]))
			return error_set(err, ERR_NOT_FOUND, "%s: %s is not there", files[i][0], files[i][1]);
	for (size_t i = 0; i < d->ndisks; i++)
		if (d->disks[i].path && !file_exists(d->disks[i].path))
			return error_set(err, ERR_NOT_FOUND, "disk %zu: %s is not there", i, d->disks[i].path);
	for (size_t i = 0; i < d->nshares; i++)
		if (!file_is_dir(d->shares[i].path))
			return error_set(err, ERR_NOT_FOUND, "share %s: %s is not a folder", d->shares[i].tag, d->shares[i].path);
	return 0;
}

int machine_check_host(const struct machine *m, struct error **err)
{
	const struct machine_def *d = &m->def;

	if (check_files(d, err) < 0 || check_display(m, err) < 0)
		return -1;
	if (d->hugepages && hostdev_check_hugepages(d->hugepages, d->memory, err) < 0)
		return -1;
	for (size_t i = 0; i < d->usb.len; i++)
		if (hostdev_check_usb(d->usb.v[i], err) < 0)
			return -1;
	for (size_t i = 0; i < d->pci.len; i++)
		if (hostdev_check_pci(d->pci.v[i], err) < 0)
			return -1;
	return 0;
}
