/* SPDX-License-Identifier: Apache-2.0 */
#include "image/deb.h"
#include "base/cleanup.h"

#include <archive.h>
#include <archive_entry.h>
#include <stdint.h>
#include <string.h>
#include <sys/stat.h>

#define MEMBER_MAX ((size_t)2 << 30)

static int failed(struct archive *a, const char *deb, struct error **err)
{
	const char *why = archive_error_string(a);

	return error_set(err, ERR_FAILED, "%s: cannot unpack: %s", deb,
		why ? why : "not in the form of a Debian package");
}

static int read_all(struct archive *a, size_t max, struct buf *b)
{
	la_ssize_t n;

	while ((n = archive_read_data(a, buf_reserve(b, 1 << 18), 1 << 18)) > 0) {
		b->len += (size_t)n;
		if (b->len > max)
			return -1;
	}
	b->data[b->len] = '\0';
	return n < 0 ? -1 : 0;
}

/* The compressed data.tar.* into b. */
static int find_data(const char *deb, struct buf *b, struct error **err)
{
	struct archive *a = archive_read_new();
	struct archive_entry *e;
	int rc = -1;

	archive_read_support_format_ar(a);
	if (archive_read_open_filename(a, deb, 1 << 16) == ARCHIVE_OK)
		while (archive_read_next_header(a, &e) == ARCHIVE_OK)
			if (!strncmp(archive_entry_pathname(e), "data.tar", 8)) {
				rc = read_all(a, MEMBER_MAX, b);
				break;
			}
	if (rc < 0)
		failed(a, deb, err);
	archive_read_free(a);
	return rc;
}

static int one_entry(struct archive *a, struct archive_entry *e, const char *deb, deb_want_fn *want,
	deb_got_fn *got, void *arg, struct error **err)
{
	_cleanup_buf_ struct buf data = BUF_INIT;
	const char *path = archive_entry_pathname(e), *same = archive_entry_hardlink(e);
	struct deb_file f = { .link = archive_entry_symlink(e), .mode = archive_entry_mode(e) };

	while (*path == '.' || *path == '/')
		path++;
	f.path = path;
	while (same && (*same == '.' || *same == '/'))
		same++;
	f.same = same;
	if (S_ISDIR(f.mode) || !want(arg, &f))
		return 0;
	if (!f.link && !f.same && read_all(a, MEMBER_MAX, &data) < 0)
		return failed(a, deb, err);
	return got(arg, &f, &data, err);
}

int deb_each(const char *deb, deb_want_fn *want, deb_got_fn *got, void *arg, struct error **err)
{
	_cleanup_buf_ struct buf tar = BUF_INIT;
	struct archive_entry *e;
	struct archive *a;
	int rc, next = ARCHIVE_OK;

	if (find_data(deb, &tar, err) < 0)
		return -1;
	a = archive_read_new();
	archive_read_support_filter_all(a);
	archive_read_support_format_tar(a);
	rc = archive_read_open_memory(a, tar.data, tar.len) == ARCHIVE_OK ? 0 : failed(a, deb, err);
	while (rc == 0 && (next = archive_read_next_header(a, &e)) == ARCHIVE_OK)
		rc = one_entry(a, e, deb, want, got, arg, err);
	if (rc == 0 && next != ARCHIVE_EOF)
		rc = failed(a, deb, err);
	archive_read_free(a);
	return rc;
}
