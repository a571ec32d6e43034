/* SPDX-License-Identifier: Apache-2.0 */
/* One file, or an archive of all, compressed; formats by the name's end (libarchive). */
#include "post.h"

#include "base/cleanup.h"
#include "base/file.h"
#include "base/intr.h"
#include "base/mem.h"
#include "base/path.h"

#include <archive.h>
#include <archive_entry.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>

enum packing { NONE, TAR, ZIP };
struct format {
	const char *end; /* of the name */
	enum packing packing;
	const char *filter; /* libarchive's, NULL: none */
};
/* Longer ends first. */
static const struct format formats[] = {
	{ ".tar.gz", TAR, "gzip" }, { ".tgz", TAR, "gzip" }, { ".tar.xz", TAR, "xz" }, { ".tar.zst", TAR, "zstd" }, { ".tar.lz4", TAR, "lz4" },
	{ ".tar.bz2", TAR, "bzip2" }, { ".tar.bzip2", TAR, "bzip2" }, { ".tar", TAR, NULL }, { ".zip", ZIP, NULL }, { ".gz", NONE, "gzip" },
	{ ".bgzf", NONE, "gzip" }, { ".xz", NONE, "xz" }, { ".zst", NONE, "zstd" }, { ".lz4", NONE, "lz4" }, { ".bzip2", NONE, "bzip2" },
	{ ".bz2", NONE, "bzip2" },
};
static const struct format standard = { "", TAR, "gzip" };

static bool ends_in(const char *s, const char *end)
{
	size_t n = strlen(s), m = strlen(end);

	return n >= m && !strcmp(s + n - m, end);
}

static const struct format *format_of(const struct conf *c, const char *path)
{
	const char *given = conf_text(c, "format");
	_cleanup_free_ char *dotted = given ? xasprintf(".%s", given) : NULL;

	for (size_t i = 0; i < ARRAY_SIZE(formats); i++)
		if (dotted ? !strcmp(formats[i].end, dotted) : ends_in(path, formats[i].end))
			return &formats[i];
	return given ? NULL : &standard;
}

int check_compress(const struct conf *c, struct error **err)
{
	long long level = conf_number(c, "compression_level");

	if (!format_of(c, ""))
		return val_error(conf_at(c, "format"), err, "compress: format '%s' is not known; known are tar.gz, tar, zip, gz, xz, zst, lz4, bzip2",
			conf_text(c, "format"));
	if (level < -1 || level > 19)
		return val_error(conf_at(c, "compression_level"), err, "compress: compression_level %lld is none of -1 to 9 (zstd: 19)", level);
	return 0;
}

static int fail(struct archive *a, const char *path, struct error **err)
{
	int code = archive_errno(a);

	if (code > 0 && code < 200)
		error_errno(err, code, "%s", path);
	else
		error_set(err, ERR_FAILED, "%s: %s", path, archive_error_string(a) ? archive_error_string(a) : "cannot be written");
	return -1;
}

static int add_data(struct archive *a, const char *path, struct error **err)
{
	_cleanup_close_ int fd = open(path, O_RDONLY | O_CLOEXEC);
	_cleanup_free_ char *block = xmalloc(1 << 20);
	ssize_t n;

	if (fd < 0)
		return error_errno(err, errno, "%s", path);
	while ((n = read(fd, block, 1 << 20)) != 0) {
		if (intr_check(err) < 0)
			return -1;
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return error_errno(err, errno, "%s: cannot read", path);
		if (archive_write_data(a, block, (size_t)n) < n)
			return fail(a, path, err);
	}
	return 0;
}

static int add_file(struct archive *a, const char *path, bool raw, struct error **err)
{
	struct archive_entry *e = archive_entry_new();
	struct stat st;
	int rc;

	if (stat(path, &st) < 0) {
		archive_entry_free(e);
		return error_errno(err, errno, "%s", path);
	}
	archive_entry_copy_stat(e, &st);
	archive_entry_set_pathname(e, path_basename(path));
	if (raw)
		archive_entry_set_filetype(e, AE_IFREG);
	rc = archive_write_header(a, e) == ARCHIVE_OK ? add_data(a, path, err) : fail(a, path, err);
	archive_entry_free(e);
	return rc;
}

static void set_up(struct archive *a, const struct format *f, long long level)
{
	_cleanup_free_ char *text = xasprintf("%lld", level);

	if (f->packing == TAR)
		archive_write_set_format_pax_restricted(a);
	else if (f->packing == ZIP)
		archive_write_set_format_zip(a);
	else
		archive_write_set_format_raw(a);
	if (f->filter)
		archive_write_add_filter_by_name(a, f->filter);
	if (level >= 0)
		archive_write_set_filter_option(a, NULL, "compression-level", text);
	/* all cores, where the format lets them */
	if (f->filter && (!strcmp(f->filter, "xz") || !strcmp(f->filter, "zstd")))
		archive_write_set_filter_option(a, NULL, "threads", "0");
	archive_write_set_bytes_in_last_block(a, 1);
}

static int write_all(struct archive *a, const struct format *f, const struct artifact *in, const char *temp, struct error **err)
{
	if (archive_write_open_filename(a, temp) != ARCHIVE_OK)
		return fail(a, temp, err);
	for (size_t i = 0; i < in->files.len; i++)
		if (add_file(a, in->files.v[i], f->packing == NONE, err) < 0)
			return -1;
	return archive_write_close(a) == ARCHIVE_OK ? 0 : fail(a, temp, err);
}

static int compress(const struct format *f, long long level, const struct artifact *in, const char *path, struct error **err)
{
	_cleanup_free_ char *temp = xasprintf("%s.new", path);
	struct archive *a = archive_write_new();
	int rc;

	set_up(a, f, level);
	rc = write_all(a, f, in, temp, err);
	archive_write_free(a);
	if (rc == 0)
		rc = file_rename(temp, path, err);
	if (rc < 0)
		unlink(temp);
	return rc;
}

int run_compress(struct build *b, const struct conf *c, const struct funcs *f, const struct artifact *in, struct artifact *out, struct error **err)
{
	_cleanup_map_ struct map fields = { .free_value = free };
	_cleanup_free_ char *text = NULL, *path = NULL, *dir = NULL;
	const struct format *format;

	map_set(&fields, "BuildName", xstrdup(b->name));
	map_set(&fields, "BuilderType", xstrdup(b->b->c->type));
	if (conf_late(c, "output", f, &fields, &text, err) < 0)
		return -1;
	format = format_of(c, text);
	if (format == &standard) {
		_cleanup_free_ char *full = xasprintf("%s.tar.gz", text);

		path = path_absolute(full);
	} else {
		path = path_absolute(text);
	}
	if (format->packing == NONE && in->files.len != 1) {
		error_set(err, ERR_USAGE, "compress: %s holds one file, but there are %zu", format->end, in->files.len);
		return error_hint(err, "name the output .tar%s, or .zip", format->end);
	}
	dir = path_dirname(path);
	ui_message(b->ui, b->name, "Compressing %zu file%s into %s", in->files.len, in->files.len == 1 ? "" : "s", path);
	if (file_mkdirs(dir, 0755, err) < 0 || compress(format, conf_number(c, "compression_level"), in, path, err) < 0)
		return -1;
	*out = (struct artifact){ .builder_id = xstrdup("packer.post-processor.compress") };
	strv_add(&out->files, path);
	return 0;
}
