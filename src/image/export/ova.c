/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The description and the manifest lie in front of the disk whose size and hash are in them: their room is left free, the disk
 * written behind it, then they. The description is padded with line ends, so that its length does not hang on the size.
 */
#include "base/buf.h"
#include "base/cleanup.h"
#include "base/mem.h"
#include "base/units.h"
#include "image/export/job.h"
#include "image/export/ovf.h"
#include "image/export/ustar.h"
#include "image/export/vmdk.h"

#include <errno.h>
#include <inttypes.h>
#include <string.h>
#include <unistd.h>

#define DEFAULT_MEMORY ((uint64_t)1 << 30)
#define DEFAULT_CPUS 2
#define PIECE ((size_t)1 << 20)
#define NAME_MAX_ 80

struct member {
	char *name;
	uint64_t at, size; /* of its header in the archive; of its content */
};
struct ova {
	struct export_job *j;
	struct ovf ovf;
	struct member descr, manifest, disk;
	const char *digest; /* SHA256, SHA1 or NULL */
	size_t digest_hex;
};

/* Names inside are those of VirtualBox, of the same stem: it accepts no other manifest. Any character is fine in them but separators. */
static void set_names(struct ova *v)
{
	_cleanup_free_ char *stem = xstrndup(v->j->name, NAME_MAX_);

	for (char *p = stem; *p; p++)
		if (*p == '/' || *p == ':' || *p == '\\' || (unsigned char)*p < 0x20)
			*p = '-';
	v->descr.name = xasprintf("%s.ovf", stem);
	v->manifest.name = xasprintf("%s.mf", stem);
	v->disk.name = xasprintf("%s-disk001.vmdk", stem);
}

static int set_machine(struct ova *v, struct error **err)
{
	const struct image_export_opts *o = v->j->o;
	const struct image *img = v->j->from->img;
	const char *firmware = o->firmware ? o->firmware : img && img->firmware && !strcmp(img->firmware, "uefi") ? "uefi" : "bios";

	v->ovf = (struct ovf){ .name = v->j->name, .disk = v->disk.name, .cpus = o->cpus ? o->cpus : DEFAULT_CPUS,
		.memory = o->memory ? o->memory : DEFAULT_MEMORY, .bus = o->bus ? o->bus : "sata", .os = img && img->os ? img->os : "",
		.uefi = !strcmp(firmware, "uefi"), .capacity = v->j->from->size, .data = origin_data(v->j->from, PIECE) };
	if (!ovf_adapter(v->ovf.bus))
		return error_set(err, ERR_USAGE, "--bus %s: an OVA has sata, scsi or ide", v->ovf.bus);
	if (!v->ovf.uefi && strcmp(firmware, "bios"))
		return error_set(err, ERR_USAGE, "--firmware %s: bios or uefi", firmware);
	if (v->ovf.memory % ((uint64_t)4 << 20))
		return error_set(err, ERR_USAGE, "--memory: must be a multiple of 4 MiB");
	return 0;
}

static int set_digest(struct ova *v, struct error **err)
{
	const char *m = v->j->o->manifest ? v->j->o->manifest : "sha256";

	if (!strcmp(m, "none"))
		return 0;
	if (strcmp(m, "sha256"))
		return error_set(err, ERR_USAGE, "--manifest %s: sha256 (the default) or none", m);
	v->digest = "SHA256";
	v->digest_hex = SHA_HEX - 1;
	return 0;
}

/* With the longest size that the disk's file can have. */
static void reserve(struct ova *v)
{
	_cleanup_buf_ struct buf b = BUF_INIT;

	v->ovf.disk_size = UINT64_MAX;
	ovf_write(&v->ovf, &b);
	v->descr.size = b.len;
	v->manifest.at = ustar_room(v->descr.size);
	v->disk.at = v->manifest.at;
	if (v->digest) {
		/* "SHA256(NAME)= HEX\n" for each of the two */
		v->manifest.size = 2 * (strlen(v->digest) + v->digest_hex + 5) + strlen(v->descr.name) + strlen(v->disk.name);
		v->disk.at += ustar_room(v->manifest.size);
	}
}

static int put_member(struct ova *v, const struct member *m, const struct buf *b, struct error **err)
{
	_cleanup_free_ char *room = xcalloc(1, ustar_room(b ? b->len : 0));
	size_t n = ustar_room(b ? b->len : 0);

	ustar_header(room, m->name, m->size, export_epoch());
	if (b)
		memcpy(room + USTAR_BLOCK, b->data, b->len);
	if (lseek(v->j->out->fd, (off_t)m->at, SEEK_SET) < 0)
		return error_errno(err, errno, "%s", v->j->out->path);
	return sink_write(&(struct sink){ .fd = v->j->out->fd, .what = v->j->out->path }, room, n, err);
}

static int put_front(struct ova *v, const char *disk_sha, struct error **err)
{
	_cleanup_buf_ struct buf text = BUF_INIT, sums = BUF_INIT;
	char sha[SHA_HEX];

	v->ovf.disk_size = v->disk.size;
	ovf_write(&v->ovf, &text);
	while (text.len < v->descr.size)
		buf_addc(&text, '\n');
	sha_bytes(text.data, text.len, sha);
	if (v->digest) {
		buf_addf(&sums, "%s(%s)= %s\n", v->digest, v->descr.name, sha);
		buf_addf(&sums, "%s(%s)= %s\n", v->digest, v->disk.name, disk_sha);
		if (sums.len != v->manifest.size)
			return error_set(err, ERR_FAILED, "%s: the manifest has not the size that was left for it", v->j->out->path);
		if (put_member(v, &v->manifest, &sums, err) < 0)
			return -1;
	}
	return put_member(v, &v->descr, &text, err) < 0 || put_member(v, &v->disk, NULL, err) < 0 ? -1 : 0;
}

static int put_disk(struct ova *v, char sha[SHA_HEX], struct error **err)
{
	static const char end[2 * USTAR_BLOCK];
	struct vmdk_opts vmdk = { .name = v->disk.name, .adapter = ovf_adapter(v->ovf.bus), .level = v->j->o->level };
	struct sink to = { .fd = v->j->out->fd, .what = v->j->out->path, .sha = sha_new() };
	int rc = 0;

	if (lseek(to.fd, (off_t)(v->disk.at + USTAR_BLOCK), SEEK_SET) < 0)
		rc = error_errno(err, errno, "%s", to.what);
	if (rc == 0)
		rc = vmdk_write(v->j->from, &vmdk, &to, v->j->p, err);
	sha_end(to.sha, sha);
	to.sha = NULL;
	v->disk.size = to.pos;
	/* Grains are whole sectors, so nothing is to be padded before the end of the archive. */
	return rc < 0 ? -1 : sink_write(&to, end, sizeof(end), err);
}

static int ova_prepare(struct ova *v, struct error **err)
{
	set_names(v);
	return set_digest(v, err) < 0 || set_machine(v, err) < 0 ? -1 : 0;
}

static void ova_clear(struct ova *v)
{
	free(v->descr.name);
	free(v->manifest.name);
	free(v->disk.name);
}

static int check(struct export_job *j, struct error **err)
{
	struct ova v = { .j = j };
	int rc = ova_prepare(&v, err);

	ova_clear(&v);
	return rc;
}

static int run(struct export_job *j, struct error **err)
{
	struct ova v = { .j = j };
	char sha[SHA_HEX];
	int rc = ova_prepare(&v, err);

	if (rc == 0) {
		reserve(&v);
		rc = put_disk(&v, sha, err);
	}
	if (rc == 0)
		rc = put_front(&v, sha, err);
	ova_clear(&v);
	return rc;
}

static int run_vmdk(struct export_job *j, struct error **err)
{
	_cleanup_free_ char *name = xasprintf("%s.vmdk", j->name);
	const char *bus = j->o->bus ? j->o->bus : "sata", *adapter = ovf_adapter(bus);
	struct sink to = { .fd = j->out->fd, .what = j->out->path };

	for (char *p = name; *p; p++)
		if (*p == '/' || *p == '"' || (unsigned char)*p < 0x20)
			*p = '-';
	if (!adapter)
		return error_set(err, ERR_USAGE, "--bus %s: sata, scsi or ide", bus);
	return vmdk_write(j->from, &(struct vmdk_opts){ .name = name, .adapter = adapter, .level = j->o->level }, &to, j->p, err);
}

const struct export_format export_ova = {
	.name = "ova",
	.suffixes = (const char *const[]){ ".ova", NULL },
	.about = "an OVA for VirtualBox, VMware, virt-v2v",
	.run = run,
	.check = check,
};

const struct export_format export_vmdk = {
	.name = "vmdk",
	.suffixes = (const char *const[]){ ".vmdk", NULL },
	.about = "a stream-optimized VMDK",
	.stream = true,
	.run = run_vmdk,
};
