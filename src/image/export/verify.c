/* SPDX-License-Identifier: Apache-2.0 */
#include "base/cleanup.h"
#include "base/intr.h"
#include "base/mem.h"
#include "base/proc.h"
#include "image/export/compare.h"
#include "image/export/root.h"
#include "image/export/unpack.h"
#include "image/internal.h"
#include "image/sha.h"

#include <string.h>

#define BLOCK ((size_t)1 << 20)
#define BLOBS "blobs/sha256/"

static int check_store(struct image *img, char **what, struct error **err)
{
	_cleanup_free_ char *was = xstrdup(img->sha256);

	if (image_hash(img, err) < 0)
		return -1;
	if (!was || strcmp(was, img->sha256)) {
		error_set(err, ERR_FAILED, "image %s: its files are not those that it was made with: SHA-256 %s instead of %s", img->name,
			img->sha256, was ? was : "?");
		return error_hint(err, "make or import it again");
	}
	*what = xstrdup("SHA-256 of its files");
	return 0;
}

static int check_disk(const char *file, const char *format, char **what, struct error **err)
{
	const char *argv[] = { "qemu-img", "check", "-q", "-f", format, "--", file, NULL };

	/* QEMU has no check for a VHD; raw has no structure. */
	if (!strcmp(format, "raw") || !strcmp(format, "vpc")) {
		*what = xasprintf("header (%s has no more to check)", format);
		return 0;
	}
	if (proc_run(argv, -1, NULL, NULL, err) < 0)
		return error_wrap(err, "%s: its %s structure is damaged", file, format);
	*what = xasprintf("structure of %s", format);
	return 0;
}

/* Reads all of what the archive says is there; members that are named by their hash are hashed. */
static int read_all(struct archive *ar, const char *file, unsigned *members, unsigned *blobs, bool *ova, struct error **err)
{
	_cleanup_free_ char *block = xmalloc(BLOCK);
	struct archive_entry *e;
	int got;

	while ((got = archive_read_next_header(ar, &e)) == ARCHIVE_OK) {
		const char *name = archive_entry_pathname(e);
		_cleanup_free_ char *want = name && !strncmp(name, BLOBS, strlen(BLOBS)) ? xstrdup(name + strlen(BLOBS)) : NULL;
		struct sha *sha = sha_new();
		char hex[SHA_HEX];
		la_ssize_t n;

		*ova |= name && strlen(name) > 4 && !strcmp(name + strlen(name) - 4, ".ovf");
		while ((n = archive_read_data(ar, block, BLOCK)) > 0 && !intr_signal)
			sha_raw(sha, block, (size_t)n);
		sha_end(sha, hex);
		if (intr_check(err) < 0)
			return -1;
		if (n < 0)
			return error_set(err, ERR_FAILED, "%s: %s", file, archive_error_string(ar));
		if (want && archive_entry_filetype(e) == AE_IFREG) {
			if (strcmp(want, hex))
				return error_set(err, ERR_FAILED, "%s: the blob %s has SHA-256 %s: it is damaged", file, want, hex);
			++*blobs;
		}
		++*members;
	}
	return got == ARCHIVE_EOF ? 0 : error_set(err, ERR_FAILED, "%s: %s", file, archive_error_string(ar));
}

/* tar: its members are looked at; else the file is compressed, and its check sums are what is to be had. */
static int check_archive(const char *file, bool tar, char **what, struct error **err)
{
	struct archive *ar = archive_read_new();
	unsigned members = 0, blobs = 0, checked = 0;
	bool ova = false;
	int rc;

	if (tar) {
		archive_read_support_format_tar(ar);
	} else {
		archive_read_support_filter_all(ar);
		archive_read_support_format_raw(ar);
	}
	rc = archive_read_open_filename(ar, file, BLOCK) == ARCHIVE_OK ? read_all(ar, file, &members, &blobs, &ova, err) :
									    error_set(err, ERR_FAILED, "%s: %s", file, archive_error_string(ar));
	archive_read_free(ar);
	if (rc == 0 && ova)
		rc = ova_verify(file, &checked, err);
	if (rc < 0)
		return -1;
	if (ova)
		*what = xasprintf("%u members against the manifest", checked);
	else if (blobs)
		*what = xasprintf("%u blobs against their digests", blobs);
	else if (tar)
		*what = xasprintf("that it can be read to its end, %u members", members);
	else
		*what = xstrdup("check sums of the compression");
	return 0;
}

int image_verify(const char *name, char **what, struct error **err)
{
	_cleanup_origin_ struct origin s = { .fd = -1, .server = PROC_INIT };
	_cleanup_free_ char *first = NULL, *second = NULL;

	*what = NULL;
	if (origin_open(&s, name, err) < 0)
		return -1;
	if (s.img && check_store(s.img, &first, err) < 0)
		return -1;
	if (s.file && (s.sniff.kind == SNIFF_TAR || s.sniff.kind == SNIFF_COMPRESSED)) {
		if (check_archive(s.file, s.sniff.kind == SNIFF_TAR, &second, err) < 0)
			return -1;
	} else if (s.file && check_disk(s.file, s.sniff.format, &second, err) < 0) {
		return -1;
	}
	*what = xasprintf("%s%s%s", first ? first : "", first && second ? ", " : "", second ? second : "");
	return 0;
}
