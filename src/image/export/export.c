/* SPDX-License-Identifier: Apache-2.0 */
#include "image/export/export.h"
#include "base/cleanup.h"
#include "base/file.h"
#include "base/intr.h"
#include "base/mem.h"
#include "base/path.h"
#include "base/units.h"
#include "image/export/job.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define PIECE ((size_t)1 << 20)
/* Of what has no time of its own: 2024-01-01. */
#define EPOCH 1704067200

const struct export_format *const export_formats[] = { &export_raw, &export_qcow2, &export_vmdk, &export_vdi, &export_vhd, &export_vhdx,
	&export_ova, &export_oci, &export_tar, &export_squash, &export_erofs, &export_iso,
	&export_netboot, NULL };

static const char *const compressions[] = { "gz", "xz", "zst", NULL };

time_t export_epoch(void)
{
	const char *s = getenv("SOURCE_DATE_EPOCH");
	_cleanup_error_ struct error *ignored = NULL;
	uint64_t v;

	return s && *s && parse_u64("SOURCE_DATE_EPOCH", s, 0, UINT32_MAX, &v, &ignored) == 0 ? (time_t)v : EPOCH;
}

int export_program(const char *name, const char *package, const char *format, struct error **err)
{
	_cleanup_free_ char *path = path_find_program(name);

	if (path)
		return 0;
	error_set(err, ERR_NOT_FOUND, "%s: is needed for format %s, and is not on this host", name, format);
	return error_hint(err, "install package %s", package);
}

int export_collect(int fd, struct buf *text, struct error **err)
{
	for (;;) {
		ssize_t n = read(fd, buf_reserve(text, 4096), 4096);

		if (intr_check(err) < 0)
			return -1;
		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return 0;
		text->len += (size_t)n;
		text->data[text->len] = '\0';
		if (text->len > 1 << 16)
			buf_consume(text, text->len - (1 << 15));
	}
}

char *export_last_line(struct buf *text)
{
	const char *s = buf_str(text), *line;
	size_t n = strlen(s);

	while (n && (s[n - 1] == '\n' || s[n - 1] == ' '))
		n--;
	line = memrchr(s, '\n', n);
	line = line ? line + 1 : s;
	return xstrndup(line, n - (size_t)(line - s));
}

int export_run_into(const char *const *argv, int out, const int *fds, size_t nfds, const char *what, struct error **err)
{
	_cleanup_proc_ struct proc p = PROC_INIT;
	_cleanup_buf_ struct buf text = BUF_INIT;
	int status;

	if (proc_spawn(&(struct proc_opts){ .argv = argv, .out = out >= 0 ? PROC_FD : PROC_NULL, .out_fd = out, .err = PROC_PIPE, .keep_fds = fds,
			       .nkeep_fds = nfds, .die_with_us = true },
		    &p, err) < 0 ||
		export_collect(p.err, &text, err) < 0 || proc_wait(&p, -1, &status, err) < 0)
		return -1;
	if (status) {
		_cleanup_free_ char *last = export_last_line(&text);

		return error_set(err, ERR_FAILED, "%s: %s %s: %s", what, path_basename(argv[0]), proc_status_text(status), last);
	}
	return 0;
}

int export_run(const char *const *argv, const int *fds, size_t nfds, const char *what, struct error **err)
{
	return export_run_into(argv, -1, fds, nfds, what, err);
}

/* ---- choosing ---- */

static bool ends_with(const char *s, size_t n, const char *suffix)
{
	size_t k = strlen(suffix);

	return n > k && !strncasecmp(s + n - k, suffix, k);
}

static const struct export_format *by_name(const char *name)
{
	for (size_t i = 0; export_formats[i]; i++)
		if (!strcmp(export_formats[i]->name, name))
			return export_formats[i];
	return NULL;
}

static const struct export_format *by_suffix(const char *s, size_t n)
{
	for (size_t i = 0; export_formats[i]; i++)
		for (size_t k = 0; export_formats[i]->suffixes[k]; k++)
			if (ends_with(s, n, export_formats[i]->suffixes[k]))
				return export_formats[i];
	return NULL;
}

static char *format_names(void)
{
	_cleanup_strv_ struct strv names = STRV_INIT;

	for (size_t i = 0; export_formats[i]; i++)
		strv_add(&names, export_formats[i]->name);
	return strv_join(&names, ", ");
}

static int choose_compression(struct export_job *j, const char *out, size_t *n, struct error **err)
{
	const char *given = j->o->compress;

	for (size_t i = 0; compressions[i]; i++) {
		_cleanup_free_ char *suffix = xasprintf(".%s", compressions[i]);

		if (ends_with(out, *n, suffix)) {
			*n -= strlen(suffix);
			j->compress = compressions[i];
		}
		if (given && !strcmp(given, compressions[i]))
			j->compress = compressions[i];
	}
	if (!given || (j->compress && !strcmp(given, j->compress)))
		return 0;
	j->compress = NULL;
	return strcmp(given, "none") ? error_set(err, ERR_USAGE, "--compress %s: gz, xz, zst or none", given) : 0;
}

static int choose_format(struct export_job *j, const char *out, struct error **err)
{
	_cleanup_free_ char *names = format_names();
	size_t n = strlen(out);

	if (choose_compression(j, out, &n, err) < 0)
		return -1;
	j->f = j->o->format ? by_name(j->o->format) : by_suffix(out, n);
	if (!j->f && j->o->format)
		return error_set(err, ERR_USAGE, "--format %s: there is none of that name; there are %s", j->o->format, names);
	if (!j->f) {
		error_set(err, ERR_USAGE, "%s: its suffix tells no format", out);
		return error_hint(err, "give --format: %s", names);
	}
	if (j->compress && !j->f->compressed && strcmp(j->f->name, "qcow2"))
		return error_set(err, ERR_USAGE, "format %s cannot be compressed with %s: it is compressed inside, or its readers take it as it is",
			j->f->name, j->compress);
	return 0;
}

/* ---- the whole ---- */

static bool same_file(const struct origin *from, const char *out)
{
	struct stat a, b;

	return from->file && stat(from->file, &a) == 0 && stat(out, &b) == 0 && a.st_dev == b.st_dev && a.st_ino == b.st_ino;
}

static int check_folder(const struct export_job *j, const char *out, struct error **err)
{
	if (!strcmp(out, "-"))
		return error_set(err, ERR_USAGE, "format %s is a folder, which no pipe can take", j->f->name);
	if (!file_exists(out) || (j->o->force && file_is_dir(out)))
		return 0;
	error_set(err, ERR_STATE, "%s: is there already", out);
	return file_is_dir(out) ? error_hint(err, "replace it with --force") : -1;
}

static int prepare(struct export_job *j, const char *what, const char *out, struct error **err)
{
	if (choose_format(j, out, err) < 0 || (j->f->folder ? check_folder(j, out, err) : output_check(out, j->o->force, err)) < 0 ||
		origin_open(j->from, what, err) < 0)
		return -1;
	if (same_file(j->from, out))
		return error_set(err, ERR_USAGE, "%s: cannot be written over itself", out);
	j->name = j->o->name ? j->o->name : j->from->name;
	if (!j->f->root && origin_disk(j->from, err) < 0)
		return -1;
	return j->f->check ? j->f->check(j, err) : 0;
}

static int tell(const struct export_job *j, const char *out)
{
	char whole[16], data[16];

	if (j->f->root)
		printf("would export the root of %s to %s: %s\n", j->from->what, out, j->f->about);
	else
		printf("would export the disk of %s (%s, of which at most %s are data) to %s: %s\n", j->from->what,
			format_size(j->from->size, whole), format_size(origin_data(j->from, PIECE), data), out, j->f->about);
	return 0;
}

static int go_folder(struct export_job *j, const char *out, struct error **err)
{
	int rc;

	j->folder = out;
	j->p = progress_start(path_basename(out), 0, 1);
	rc = j->f->run(j, err);
	progress_end(j->p, rc == 0 ? "made" : "not made");
	return rc;
}

static int go(struct export_job *j, const char *out, struct error **err)
{
	_cleanup_output_ struct output o = { .fd = -1, .pipe = -1 };
	uint64_t total = j->f->root ? 0 : origin_data(j->from, PIECE);
	char size[16];
	struct stat st;
	int rc;

	if (output_open(&o, out, !j->f->stream, j->o->force, err) < 0)
		return -1;
	j->out = &o;
	j->p = progress_start(path_basename(out), total, 1);
	rc = j->f->run(j, err);
	if (rc == 0 && intr_check(err) < 0)
		rc = -1;
	if (rc == 0)
		rc = output_commit(&o, err);
	if (rc < 0)
		progress_end(j->p, "not made");
	else if (!o.stream && fstat(o.fd, &st) == 0)
		progress_end(j->p, "%s, %s", j->f->name, format_size((uint64_t)st.st_size, size));
	else
		progress_end(j->p, "%s", j->f->name);
	return rc;
}

int image_export(const char *what, const char *out, const struct image_export_opts *o, struct error **err)
{
	_cleanup_origin_ struct origin from = { .fd = -1, .server = PROC_INIT };
	struct export_job j = { .o = o, .from = &from };

	if (o->level < 0 || o->level > 12)
		return error_set(err, ERR_USAGE, "--level: 1 to 12");
	if (prepare(&j, what, out, err) < 0)
		return -1;
	if (o->dry_run)
		return tell(&j, out);
	return j.f->folder ? go_folder(&j, out, err) : go(&j, out, err);
}
