/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The seed of cloud images: a small drive labelled CIDATA that cloud-init's data source NoCloud finds (https://docs.cloud-init.io). It
 * holds the machine's name and addresses, the user's user-data as it is, and as vendor-data a script that puts croft's guest program
 * into the system, so that a foreign image answers like one of croft's own. Of a machine that is reached by ssh instead it holds the key
 * that croft logs in with.
 */
#include "base/cleanup.h"
#include "base/file.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/path.h"
#include "identity.h"
#include "internal.h"

#include <errno.h>
#include <string.h>
#include <sys/stat.h>

#define USER_DATA_MAX (1u << 20)
#define MAKE_MS 60000
#define ROOM_KIB 1024 /* beside the guest program */

static const char no_user_data[] = "#cloud-config\n{}\n";

/* The vendor's part runs at each start and changes nothing when all is there. The unit waits until cloud-init is done with everything. */
static const char vendor_data[] =
	"#cloud-boothook\n"
	"#!/bin/sh\n"
	"# croft's guest program: over its port croft runs commands and copies files.\n"
	"set -eu\n"
	"[ -x /usr/lib/croft/croft-guest ] && exit 0\n"
	"seed=$(mktemp -d)\n"
	"mount -o ro \"$(blkid -t LABEL=CIDATA -o device | head -n 1)\" \"$seed\"\n"
	"program=/usr/local/sbin/croft-guest\n"
	"[ -d /usr/local/sbin ] || mkdir -p /usr/local/sbin\n"
	"if ! cmp -s \"$seed/croft-guest\" $program; then\n"
	"\tcp \"$seed/croft-guest\" $program.new\n"
	"\tchmod 755 $program.new\n"
	"\tmv $program.new $program\n"
	"fi\n"
	"umount \"$seed\"\n"
	"rmdir \"$seed\"\n"
	"if [ -d /run/systemd/system ]; then\n"
	"\tprintf '%s\\n' '[Unit]' 'Description=croft guest program' 'After=cloud-final.service' '[Service]' \"ExecStart=$program --service\" \\\n"
	"\t\tRestart=always KillMode=process '[Install]' WantedBy=cloud-init.target >/etc/systemd/system/croft-guest.service\n"
	"\tsystemctl daemon-reload\n"
	"\tsystemctl enable croft-guest.service\n"
	"\tsystemctl start --no-block croft-guest.service\n"
	"else\n"
	"\tsetsid $program --service </dev/null >/dev/null 2>&1 &\n"
	"fi\n";

int machine_seed_check(const char *path, struct buf *user_data, struct error **err)
{
	_cleanup_doc_ struct doc *d = NULL;

	if (!strcmp(path, "on"))
		return 0;
	if (file_read(path, USER_DATA_MAX, user_data, err) < 0)
		return error_wrap(err, "cloud_init");
	/* What it begins with says what it is: #cloud-config, #!/bin/sh, #cloud-boothook, #include, a MIME header. */
	if (buf_str(user_data)[0] != '#' && strncmp(buf_str(user_data), "Content-Type:", 13) && strncmp(buf_str(user_data), "MIME-Version:", 13)) {
		error_set(err, ERR_USAGE, "cloud_init: %s is no user-data of cloud-init: it begins with neither #cloud-config nor #!", path);
		return error_hint(err, "its first line says what it is, as #cloud-config");
	}
	if (!strncmp(buf_str(user_data), "#cloud-config", 13)) {
		d = doc_parse(path, buf_str(user_data), user_data->len, err);
		return d ? 0 : -1;
	}
	return 0;
}

/* Of this machine and no other: a clone is a new instance, for which host keys and the like are made anew. */
static void meta_data(const struct machine *m, const char *key, struct buf *b)
{
	_cleanup_free_ char *what = xasprintf("cloud-init instance %s %s", m->name, m->def.nnics ? m->def.nics[0].mac : "");
	unsigned char h[32];

	identity_digest(what, h);
	if (key)
		buf_addf(b, "public-keys:\n  - %s", key);
	buf_addf(b, "instance-id: croft-%02x%02x%02x%02x%02x%02x%02x%02x\nlocal-hostname: %s\n", h[0], h[1], h[2], h[3], h[4], h[5], h[6], h[7],
		m->def.hostname);
}

/* Version 2. Cards are known by their MACs: names are the system's. */
static void network_config(const struct machine *m, struct buf *b)
{
	buf_adds(b, "version: 2\nethernets:\n");
	for (size_t i = 0; i < m->def.nnics; i++) {
		const struct machine_nic *n = &m->def.nics[i];

		if (!strcmp(n->net, "none"))
			continue;
		buf_addf(b, "  nic%zu:\n    match: {macaddress: \"%s\"}\n", i, n->mac);
		if (!n->address) {
			buf_adds(b, "    dhcp4: true\n");
			continue;
		}
		buf_addf(b, "    dhcp4: false\n    addresses: [\"%s\"]\n", n->address);
		if (n->gateway)
			buf_addf(b, "    routes: [{to: \"0.0.0.0/0\", via: \"%s\"}]\n", n->gateway);
		if (n->dns)
			buf_addf(b, "    nameservers: {addresses: [\"%s\"]}\n", n->dns);
	}
	if (!m->def.nnics)
		buf_adds(b, "  {}\n");
}

static int put(const char *dir, const char *name, const void *p, size_t n, struct error **err)
{
	_cleanup_free_ char *path = path_join(dir, name);

	return file_write(path, p, n, 0600, err);
}

/* The public half of the key that croft logs in with, a line; made at first use. */
static int own_key(const struct machine *m, struct buf *line, struct error **err)
{
	_cleanup_free_ char *key = machine_path(m, "ssh_key"), *pub = machine_path(m, "ssh_key.pub"), *exe = NULL;

	if (file_exists(pub))
		return file_read(pub, 4096, line, err);
	exe = path_libexec("croft-ssh", err);
	if (!exe || file_unlink(key, err) < 0 || proc_run((const char *const[]){ exe, "--make-key", key, NULL }, MAKE_MS, NULL, NULL, err) < 0)
		return -1;
	return file_read(pub, 4096, line, err);
}

static int fill_dir(const struct machine *m, const char *dir, const char *guest, struct error **err)
{
	_cleanup_free_ char *own = machine_path(m, "user-data"), *program = path_join(dir, "croft-guest");
	_cleanup_buf_ struct buf user = BUF_INIT, meta = BUF_INIT, net = BUF_INIT, bin = BUF_INIT, key = BUF_INIT;

	if (file_exists(own) ? file_read(own, USER_DATA_MAX, &user, err) < 0 : (buf_adds(&user, no_user_data), false))
		return -1;
	if (m->def.ssh && own_key(m, &key, err) < 0)
		return -1;
	meta_data(m, m->def.ssh ? buf_str(&key) : NULL, &meta);
	network_config(m, &net);
	if (file_read(guest, (size_t)64 << 20, &bin, err) < 0 || put(dir, "user-data", user.data, user.len, err) < 0 ||
		put(dir, "meta-data", meta.data, meta.len, err) < 0 || put(dir, "network-config", net.data, net.len, err) < 0 ||
		(!m->def.ssh && put(dir, "vendor-data", vendor_data, sizeof(vendor_data) - 1, err) < 0))
		return -1;
	return m->def.ssh ? 0 : file_write(program, bin.data, bin.len, 0600, err);
}

static int run(const char *const *argv, const char *package, struct error **err)
{
	if (proc_run(argv, MAKE_MS, NULL, NULL, err) == 0)
		return 0;
	return (*err)->cls == ERR_NOT_FOUND ? error_hint(err, "install the package %s", package) : -1;
}

static int make_image(const char *dir, const char *image, bool with_guest, uint64_t guest_size, struct error **err)
{
	_cleanup_free_ char *kib = xasprintf("%llu", (unsigned long long)(guest_size >> 10) + ROOM_KIB);
	const char *names[] = { "user-data", "meta-data", "network-config", "vendor-data", "croft-guest" };
	size_t n = with_guest ? ARRAY_SIZE(names) : 3;
	const char *mkfs[] = { "mkfs.vfat", "-n", "CIDATA", "-C", image, kib, NULL };
	const char *copy[ARRAY_SIZE(names) + 6] = { "mcopy", "-o", "-i", image };
	struct strv paths = STRV_INIT;
	int rc;

	for (size_t i = 0; i < n; i++) {
		strv_take(&paths, path_join(dir, names[i]));
		copy[4 + i] = paths.v[i];
	}
	copy[4 + n] = "::";
	rc = file_unlink(image, err) < 0 || run(mkfs, "dosfstools", err) < 0 || run(copy, "mtools", err) < 0 ? -1 : 0;
	strv_free(&paths);
	return rc;
}

int machine_write_seed(const struct machine *m, struct error **err)
{
	_cleanup_free_ char *guest = NULL, *dir = machine_path(m, "seed.new"), *image = machine_path(m, "seed.img"), *temp = NULL;
	struct stat st;
	int rc;

	if (!m->def.cloud_init)
		return 0;
	guest = path_libexec("croft-guest", err);
	if (!guest || file_remove_tree(dir, err) < 0 || file_mkdirs(dir, 0700, err) < 0)
		return -1;
	if (stat(guest, &st) < 0)
		return error_errno(err, errno, "%s", guest);
	temp = path_join(dir, "seed.img");
	rc = fill_dir(m, dir, guest, err) < 0 || make_image(dir, temp, !m->def.ssh, (uint64_t)st.st_size, err) < 0 ? -1 : file_rename(temp, image, err);
	if (rc == 0)
		return file_remove_tree(dir, err);
	return error_wrap(err, "seed for cloud-init");
}
