/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Disks packed by gzip (pigz where it is), and unpacked. Files of disks have holes, where the guest has given space back: those are not read, and
 * made again. A gzip file may be a row of members (RFC 1952, 2.2), so what lies between holes is packed by itself, and a hole is copies of a
 * member that was made once, from zeros.
 */
#include "vm.h"

#include "base/cleanup.h"
#include "base/file.h"
#include "base/mem.h"
#include "base/path.h"
#include "base/proc.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#define PACK_MS (6 * 3600 * 1000)
#define HOLE ((off_t)16 << 20) /* what one member of zeros stands for; smaller holes are packed as data */
#define PIECE 65536

struct packer {
	const char *program, *path;
	int in, out;
	struct buf zeros; /* the member of a hole, once it was needed */
};

static int end_of(struct proc *p, const struct packer *k, struct error **err)
{
	int status = 0;

	if (proc_wait(p, PACK_MS, &status, err) < 0)
		return -1;
	return status ? error_set(err, ERR_FAILED, "%s: %s %s", k->path, k->program, proc_status_text(status)) : 0;
}

static int start(struct proc *p, const struct packer *k, const char *how, int in, int out, struct error **err)
{
	return proc_spawn(&(struct proc_opts){ .argv = (const char *const[]){ k->program, how, NULL }, .in = in < 0 ? PROC_PIPE : PROC_FD, .in_fd = in,
				  .out = out < 0 ? PROC_NULL : PROC_FD, .out_fd = out, .err = PROC_INHERIT },
		p, err);
}

/* A packer that ends early says more about why than the broken pipe does. */
static int feed(struct proc *p, const struct packer *k, off_t from, off_t n, struct error **err)
{
	_cleanup_free_ char *piece = xcalloc(1, PIECE);
	_cleanup_error_ struct error *e = NULL;

	while (n > 0) {
		size_t want = n < PIECE ? (size_t)n : PIECE;
		ssize_t got = from < 0 ? (ssize_t)want : pread(k->in, piece, want, from);

		if (got <= 0)
			return error_errno(err, got < 0 ? errno : EIO, "%s", k->path);
		if (file_write_all(p->in, piece, (size_t)got, k->program, &e) < 0)
			break;
		n -= got;
		from += from < 0 ? 0 : got;
	}
	cleanup_close(&p->in);
	if (end_of(p, k, err) < 0)
		return -1;
	return e ? error_move(err, &e) : 0;
}

/* To out, as one member: that part of the file; from -1: as many zeros. */
static int pack_part(const struct packer *k, int out, off_t from, off_t n, struct error **err)
{
	_cleanup_proc_ struct proc p = PROC_INIT;

	return start(&p, k, "-6nc", -1, out, err) < 0 ? -1 : feed(&p, k, from, n, err);
}

static int pack_rest(const struct packer *k, off_t from, struct error **err)
{
	_cleanup_proc_ struct proc p = PROC_INIT;

	if (lseek(k->in, from, SEEK_SET) < 0)
		return error_errno(err, errno, "%s", k->path);
	return start(&p, k, "-6nc", k->in, k->out, err) < 0 ? -1 : end_of(&p, k, err);
}

static int make_zeros(struct packer *k, struct error **err)
{
	_cleanup_close_ int fd = memfd_create("zeros", MFD_CLOEXEC);
	char piece[4096];
	ssize_t n;

	if (fd < 0)
		return error_errno(err, errno, "memory");
	if (pack_part(k, fd, -1, HOLE, err) < 0)
		return -1;
	for (off_t at = 0; (n = pread(fd, piece, sizeof(piece), at)) > 0; at += n)
		buf_add(&k->zeros, piece, (size_t)n);
	return 0;
}

static int pack_hole(struct packer *k, off_t n, struct error **err)
{
	if (!k->zeros.len && make_zeros(k, err) < 0)
		return -1;
	for (; n > 0; n -= HOLE)
		if (file_write_all(k->out, k->zeros.data, k->zeros.len, k->path, err) < 0)
			return -1;
	return 0;
}

/* The next hole at or after `from` that is large enough, in whole HOLEs; its begin, or -1. */
static off_t next_hole(int fd, off_t from, off_t size, off_t *length)
{
	while (from < size) {
		off_t hole = lseek(fd, from, SEEK_HOLE), data;

		if (hole < 0 || hole >= size)
			return -1;
		data = lseek(fd, hole, SEEK_DATA);
		if (data < 0)
			data = size; /* ENXIO: nothing but the hole follows */
		*length = (data - hole) / HOLE * HOLE;
		if (*length)
			return hole;
		from = data;
	}
	return -1;
}

static int pack_all(struct packer *k, struct error **err)
{
	off_t at = 0, length = 0, hole;
	struct stat st;

	if (fstat(k->in, &st) < 0)
		return error_errno(err, errno, "%s", k->path);
	while ((hole = next_hole(k->in, at, st.st_size, &length)) >= 0) {
		if ((hole > at && pack_part(k, k->out, at, hole - at, err) < 0) || pack_hole(k, length, err) < 0)
			return -1;
		at = hole + length;
	}
	return at < st.st_size || at == 0 ? pack_rest(k, at, err) : 0;
}

static int check(const struct packer *k, const char *to, struct error **err)
{
	_cleanup_proc_ struct proc p = PROC_INIT;

	if (lseek(k->out, 0, SEEK_SET) < 0)
		return error_errno(err, errno, "%s", to);
	return start(&p, k, "-tq", k->out, -1, err) < 0 ? -1 : end_of(&p, k, err);
}

int vm_pack(const char *from, const char *to, struct error **err)
{
	_cleanup_free_ char *pigz = path_find_program("pigz");
	_cleanup_close_ int in = open(from, O_RDONLY | O_CLOEXEC), out = open(to, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0644);
	struct packer k = { .program = pigz ? "pigz" : "gzip", .path = from, .in = in, .out = out, .zeros = BUF_INIT };
	int rc;

	if (in < 0 || out < 0)
		return error_errno(err, errno, "%s", in < 0 ? from : to);
	rc = pack_all(&k, err) < 0 || file_fsync(out, to, err) < 0 || check(&k, to, err) < 0 ? -1 : 0;
	buf_free(&k.zeros);
	return rc;
}

static bool all_zero(const char *p, size_t n)
{
	return n && !p[0] && !memcmp(p, p + 1, n - 1);
}

/* As many bytes as there are, up to a piece, so that pieces have places of their own; 0: the end. */
static ssize_t read_piece(int fd, char *piece)
{
	size_t n = 0;

	while (n < PIECE) {
		ssize_t got = read(fd, piece + n, PIECE - n);

		if (got < 0)
			return -1;
		if (got == 0)
			break;
		n += (size_t)got;
	}
	return (ssize_t)n;
}

/* What is zero stays a hole. */
static int write_sparse(int from, int to, const char *path, struct error **err)
{
	_cleanup_free_ char *piece = xmalloc(PIECE);
	off_t at = 0;
	ssize_t n;

	while ((n = read_piece(from, piece)) > 0) {
		if (!all_zero(piece, (size_t)n) && (lseek(to, at, SEEK_SET) < 0 || file_write_all(to, piece, (size_t)n, path, err) < 0))
			return *err ? -1 : error_errno(err, errno, "%s", path);
		at += n;
	}
	if (n < 0 || ftruncate(to, at) < 0)
		return error_errno(err, errno, "%s", path);
	return 0;
}

int vm_unpack(const char *from, const char *to, struct error **err)
{
	_cleanup_close_ int in = open(from, O_RDONLY | O_CLOEXEC), out = -1;
	_cleanup_proc_ struct proc p = PROC_INIT;
	int status = 0;

	if (in < 0)
		return error_errno(err, errno, "%s", from);
	out = open(to, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
	if (out < 0)
		return error_errno(err, errno, "%s", to);
	if (proc_spawn(&(struct proc_opts){ .argv = (const char *const[]){ "gzip", "-dc", NULL }, .in = PROC_FD, .in_fd = in, .out = PROC_PIPE,
			       .err = PROC_INHERIT },
		    &p, err) < 0 ||
		write_sparse(p.out, out, to, err) < 0 || proc_wait(&p, PACK_MS, &status, err) < 0)
		return -1;
	if (status)
		return error_set(err, ERR_FAILED, "%s: cannot be unpacked: gzip %s", from, proc_status_text(status));
	return file_fsync(out, to, err);
}
