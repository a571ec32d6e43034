/* SPDX-License-Identifier: Apache-2.0 */
/* Disks in the formats that qemu-img writes, and raw ones, which are written here. */
#include "base/cleanup.h"
#include "base/file.h"
#include "base/intr.h"
#include "base/mem.h"
#include "image/export/job.h"
#include "image/export/squeeze.h"
#include "image/export/stamp.h"

#include <errno.h>
#include <string.h>
#include <unistd.h>

#define PIECE ((size_t)1 << 20)
#define BLOCK ((size_t)4096)

/* ---- raw ---- */

/* Writes what is not zeros, at its place: to the grain of a file system's blocks. */
static int raw_piece(struct export_job *j, const char *block, size_t n, uint64_t off, struct error **err)
{
	static const char zero[BLOCK];

	for (size_t at = 0, end; at < n; at = end) {
		size_t unit = n - at < BLOCK ? n - at : BLOCK;

		end = at + unit;
		if (!memcmp(block + at, zero, unit))
			continue;
		while (end < n && memcmp(block + end, zero, n - end < BLOCK ? n - end : BLOCK))
			end += n - end < BLOCK ? n - end : BLOCK;
		if (lseek(j->out->fd, (off_t)(off + at), SEEK_SET) < 0)
			return error_errno(err, errno, "%s", j->out->path);
		if (file_write_all(j->out->fd, block + at, end - at, j->out->path, err) < 0)
			return -1;
	}
	return 0;
}

/* Holes stay holes. */
static int raw_file(struct export_job *j, char *block, struct error **err)
{
	uint64_t off = 0, done = 0;
	size_t n;

	for (; origin_next(j->from, PIECE, &off, &n); off += n) {
		if (intr_check(err) < 0 || origin_read(j->from, block, n, off, err) < 0)
			return -1;
		if (raw_piece(j, block, n, off, err) < 0)
			return -1;
		progress_update(j->p, done += n);
	}
	return ftruncate(j->out->fd, (off_t)j->from->size) < 0 ? error_errno(err, errno, "%s: cannot write", j->out->path) : 0;
}

static int zeros(struct squeeze *q, uint64_t n, struct error **err)
{
	static const char zero[1 << 16];

	while (n) {
		size_t part = n < sizeof(zero) ? (size_t)n : sizeof(zero);

		if (intr_check(err) < 0 || squeeze_write(q, zero, part, err) < 0)
			return -1;
		n -= part;
	}
	return 0;
}

static int raw_stream(struct export_job *j, char *block, struct error **err)
{
	struct sink to = { .fd = j->out->fd, .what = j->out->path };
	_cleanup_squeeze_ struct squeeze *q = squeeze_new(j->compress, j->o->level, &to);
	uint64_t off = 0, at = 0, done = 0;
	size_t n;

	for (; origin_next(j->from, PIECE, &off, &n); off += n, at = off) {
		if (intr_check(err) < 0 || zeros(q, off - at, err) < 0 || origin_read(j->from, block, n, off, err) < 0 ||
			squeeze_write(q, block, n, err) < 0)
			return -1;
		progress_update(j->p, done += n);
	}
	return zeros(q, j->from->size - at, err) < 0 ? -1 : squeeze_end(q, err);
}

static int run_raw(struct export_job *j, struct error **err)
{
	_cleanup_free_ char *block = xmalloc(PIECE);

	return j->out->stream || j->compress ? raw_stream(j, block, err) : raw_file(j, block, err);
}

const struct export_format export_raw = {
	.name = "raw",
	.suffixes = (const char *const[]){ ".raw", ".img", NULL },
	.about = "the disk's bytes, sparse",
	.stream = true,
	.compressed = true,
	.run = run_raw,
};

/* ---- qemu-img ---- */

static int convert(struct export_job *j, const char *to, const char *options, bool compress, struct error **err)
{
	_cleanup_free_ char *path = output_path(j->out);
	const char *argv[20] = { "qemu-img", "convert", "-f", j->from->sniff.format, "-O", to };
	size_t n = 6;

	if (compress)
		argv[n++] = "-c";
	if (options) {
		argv[n++] = "-o";
		argv[n++] = options;
	}
	argv[n++] = "--";
	argv[n++] = j->from->file;
	argv[n++] = path;
	argv[n] = NULL;
	progress_state(j->p, "qemu-img");
	return export_run(argv, &j->out->fd, 1, j->out->path, err);
}

static int run_qcow2(struct export_job *j, struct error **err)
{
	const char *c = j->compress;

	if (c && strcmp(c, "gz") && strcmp(c, "zst"))
		return error_set(err, ERR_USAGE, "--compress %s: qcow2 is compressed inside, with gz (zlib) or zst", c);
	return convert(j, "qcow2", c && !strcmp(c, "zst") ? "compression_type=zstd" : NULL, c != NULL, err);
}

static int run_vdi(struct export_job *j, struct error **err)
{
	return convert(j, "vdi", NULL, false, err) < 0 ? -1 : stamp_vdi(j->out->fd, j->out->path, j->name, err);
}

static int run_vhd(struct export_job *j, struct error **err)
{
	/* Else QEMU rounds the size up to a geometry, and other programs see another disk. */
	return convert(j, "vpc", "force_size=on", false, err) < 0 ? -1 : stamp_vhd(j->out->fd, j->out->path, j->name, err);
}

static int run_vhdx(struct export_job *j, struct error **err)
{
	/* Its log is full of random identities, so two of the same disk differ. */
	return convert(j, "vhdx", NULL, false, err);
}

const struct export_format export_qcow2 = {
	.name = "qcow2",
	.suffixes = (const char *const[]){ ".qcow2", NULL },
	.about = "QEMU's own format; --compress gz|zst packs the clusters",
	.run = run_qcow2,
};
const struct export_format export_vdi = {
	.name = "vdi",
	.suffixes = (const char *const[]){ ".vdi", NULL },
	.about = "a disk of VirtualBox",
	.run = run_vdi,
};
const struct export_format export_vhd = {
	.name = "vhd",
	.suffixes = (const char *const[]){ ".vhd", ".vpc", NULL },
	.about = "a disk of Hyper-V's first generation and of Azure",
	.run = run_vhd,
};
const struct export_format export_vhdx = {
	.name = "vhdx",
	.suffixes = (const char *const[]){ ".vhdx", NULL },
	.about = "a disk of Hyper-V",
	.run = run_vhdx,
};
