/* SPDX-License-Identifier: Apache-2.0 */
#include "image/export/unpack.h"
#include "base/cleanup.h"
#include "base/file.h"
#include "base/intr.h"
#include "base/map.h"
#include "base/mem.h"
#include "base/path.h"
#include "base/strv.h"
#include "image/sha.h"

#include <archive.h>
#include <archive_entry.h>
#include <errno.h>
#include <fcntl.h>
#include <locale.h>
#include <string.h>
#include <strings.h>
#include <unistd.h>

#define BLOCK ((size_t)1 << 20)
#define TEXT_MAX ((int64_t)4 << 20)

static int failed(struct archive *ar, const char *file, struct error **err)
{
	return error_set(err, ERR_FAILED, "%s: cannot be unpacked: %s", file, archive_error_string(ar));
}

static struct archive *open_reader(const char *file, bool raw, struct error **err)
{
	struct archive *ar = archive_read_new();

	setlocale(LC_CTYPE, "C.UTF-8");
	if (raw) {
		archive_read_support_filter_all(ar);
		archive_read_support_format_raw(ar);
	} else {
		archive_read_support_format_tar(ar);
	}
	if (archive_read_open_filename(ar, file, BLOCK) == ARCHIVE_OK)
		return ar;
	failed(ar, file, err);
	archive_read_free(ar);
	return NULL;
}

/* The entry's content to fd, or nowhere (-1); hashed when sha is given. */
static int copy_entry(struct archive *ar, const char *file, int fd, const char *to, struct sha *sha, struct error **err)
{
	_cleanup_free_ char *block = xmalloc(BLOCK);
	off_t size = 0;
	la_ssize_t n;

	while ((n = archive_read_data(ar, block, BLOCK)) > 0) {
		bool zero = !block[0] && !memcmp(block, block + 1, (size_t)n - 1);

		if (intr_check(err) < 0)
			return -1;
		if (sha)
			sha_raw(sha, block, (size_t)n);
		size += n;
		if (fd < 0)
			continue;
		if (zero ? lseek(fd, n, SEEK_CUR) < 0 : file_write_all(fd, block, (size_t)n, to, err) < 0)
			return *err ? -1 : error_errno(err, errno, "%s", to);
	}
	if (n < 0)
		return failed(ar, file, err);
	if (fd >= 0 && ftruncate(fd, size) < 0)
		return error_errno(err, errno, "%s: cannot write", to);
	return 0;
}

static int new_file(const char *to, struct error **err)
{
	int fd = open(to, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0600);

	return fd < 0 ? error_errno(err, errno, "%s", to) : fd;
}

int unpack_stream(const char *file, const char *to, struct error **err)
{
	struct archive *ar = open_reader(file, true, err);
	_cleanup_close_ int fd = ar ? new_file(to, err) : -1;
	struct archive_entry *e;
	int rc = fd < 0 ? -1 : 0;

	if (rc == 0 && archive_read_next_header(ar, &e) != ARCHIVE_OK)
		rc = failed(ar, file, err);
	if (rc == 0)
		rc = copy_entry(ar, file, fd, to, NULL, err);
	if (rc == 0)
		rc = file_fsync(fd, to, err);
	archive_read_free(ar);
	return rc;
}

/* ---- OVA ---- */

struct ova {
	const char *file;
	struct map sums;     /* name -> hex, as the manifest has it */
	struct map found;    /* name -> SHA-256 */
	char *disk;	     /* name of the disk that was taken */
	unsigned disks;
	bool description, uefi;
	bool box; /* of Vagrant: a disk for libvirt needs no description */
};

static bool ends(const char *s, const char *suffix)
{
	size_t n = strlen(s), k = strlen(suffix);

	return n > k && !strcasecmp(s + n - k, suffix);
}

static int read_text(struct archive *ar, struct archive_entry *e, const char *file, struct buf *b, struct error **err)
{
	la_ssize_t n;

	if (archive_entry_size(e) > TEXT_MAX)
		return error_set(err, ERR_FAILED, "%s: %s is too large", file, archive_entry_pathname(e));
	while ((n = archive_read_data(ar, buf_reserve(b, 1 << 16), 1 << 16)) > 0)
		b->len += (size_t)n;
	buf_str(b);
	if (b->data)
		b->data[b->len] = '\0';
	return n < 0 ? failed(ar, file, err) : 0;
}

/* Lines "SHA256(NAME)= HEX"; other hashes than SHA-256 are passed over. */
static void read_manifest(struct ova *o, const char *text)
{
	_cleanup_strv_ struct strv lines = STRV_INIT;

	strv_split(&lines, text, "\r\n");
	for (size_t i = 0; i < lines.len; i++) {
		const char *s = lines.v[i], *end = strrchr(s, ')'), *name, *hex;
		_cleanup_free_ char *key = NULL;

		if (strncasecmp(s, "SHA256", 6) || !end || !(name = strchr(s, '(')) || name > end || !(hex = strchr(end, '=')))
			continue;
		key = xstrndup(name + 1, (size_t)(end - name - 1));
		o->sums.free_value = free;
		map_set(&o->sums, key, xstrdup(hex + 1 + strspn(hex + 1, " \t")));
	}
}

static void note(struct ova *o, const char *name, const char *hex)
{
	o->found.free_value = free;
	map_set(&o->found, name, xstrdup(hex));
}

static int on_text(struct ova *o, struct archive *ar, struct archive_entry *e, const char *name, struct error **err)
{
	_cleanup_buf_ struct buf b = BUF_INIT;
	char hex[SHA_HEX];

	if (read_text(ar, e, o->file, &b, err) < 0)
		return -1;
	if (ends(name, ".mf")) {
		read_manifest(o, buf_str(&b));
		return 0;
	}
	sha_bytes(buf_str(&b), b.len, hex);
	note(o, name, hex);
	o->description = true;
	o->uefi = strstr(buf_str(&b), "vmw:value=\"efi\"") || strstr(buf_str(&b), "<Firmware type=\"EFI\"");
	return 0;
}

static int on_member(struct ova *o, struct archive *ar, struct archive_entry *e, int fd, const char *to, struct error **err)
{
	const char *name = archive_entry_pathname(e);
	struct sha *sha;
	bool disk;
	char hex[SHA_HEX];
	int rc;

	if (!name || archive_entry_filetype(e) != AE_IFREG)
		return 0;
	name += strncmp(name, "./", 2) ? 0 : 2;
	o->box = o->box || !strcmp(name, "metadata.json") || !strcmp(name, "Vagrantfile") || !strcmp(name, "box.img");
	if (ends(name, ".ovf") || ends(name, ".mf"))
		return on_text(o, ar, e, name, err);
	disk = ends(name, ".vmdk") || ends(name, ".vmdk.gz") || ends(name, ".img") || ends(name, ".vhd") || ends(name, ".qcow2");
	if (disk && !o->description && !o->box)
		return error_set(err, ERR_FAILED, "%s: is a tar without a description of a machine (.ovf) in front", o->file);
	if (disk && o->disks++ == 0)
		o->disk = xstrdup(name);
	else
		fd = -1;
	sha = sha_new();
	rc = copy_entry(ar, o->file, fd, to, sha, err);
	sha_end(sha, hex);
	note(o, name, hex);
	return rc;
}

static int compare(const struct ova *o, unsigned *checked, struct error **err)
{
	*checked = 0;
	MAP_FOR(&o->sums, it)
	{
		const char *is = map_get(&o->found, it->key);

		if (!is)
			return error_set(err, ERR_FAILED, "%s: %s is in the manifest and not in the archive", o->file, it->key);
		if (strncasecmp(is, it->value, SHA_HEX - 1)) {
			error_set(err, ERR_FAILED, "%s: %s is not what the manifest says: SHA-256 %s instead of %s", o->file, it->key, is,
				(const char *)it->value);
			return error_hint(err, "it was damaged or changed on its way: get it again");
		}
		++*checked;
	}
	return 0;
}

static int read_ova(struct ova *o, int fd, const char *to, unsigned *checked, struct error **err)
{
	struct archive *ar = open_reader(o->file, false, err);
	struct archive_entry *e;
	int got = ARCHIVE_OK, rc = ar ? 0 : -1;

	while (rc == 0 && (got = archive_read_next_header(ar, &e)) == ARCHIVE_OK)
		rc = on_member(o, ar, e, fd, to, err);
	if (rc == 0 && got != ARCHIVE_EOF)
		rc = failed(ar, o->file, err);
	archive_read_free(ar);
	if (rc == 0 && !o->description && !o->box) {
		error_set(err, ERR_FAILED, "%s: is a tar, and no OVA: there is no .ovf in it", o->file);
		rc = error_hint(err, "roots and containers' images can be converted (croft image convert), but are no disks that could be imported");
	}
	return rc < 0 ? -1 : compare(o, checked, err);
}

static void clear(struct ova *o)
{
	map_free(&o->sums);
	map_free(&o->found);
	free(o->disk);
}

int unpack_ova(const char *file, const char *to, bool *uefi, struct error **err)
{
	struct ova o = { .file = file };
	_cleanup_close_ int fd = new_file(to, err);
	unsigned checked;
	int rc = fd < 0 ? -1 : read_ova(&o, fd, to, &checked, err);

	if (rc == 0 && o.disks != 1) {
		rc = error_set(err, ERR_FAILED, "%s: has %u disks; an image is made of one", file, o.disks);
		if (o.disks > 1)
			error_hint(err, "unpack it (tar xf) and import each disk by itself");
	}
	*uefi = o.uefi;
	clear(&o);
	return rc;
}

int ova_verify(const char *file, unsigned *checked, struct error **err)
{
	struct ova o = { .file = file };
	int rc = read_ova(&o, -1, "", checked, err);

	clear(&o);
	return rc;
}
