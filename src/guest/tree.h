/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Files and trees as a byte stream, used in both directions by push and pull; libc only.
 *
 * The stream is a sequence of entries, parents before children, ended by an entry of type 'e':
 *
 *	0 u8 type    2 u16 path length    4 u32 mode    8 u32 uid    12 u32 gid
 *	16 i64 mtime, seconds    24 u32 nanoseconds    28 u32 target length    32 u64 size
 *	then path and target, without NUL
 *
 * all little-endian. type: 'f' file, 'd' directory, 'l' symbolic link (target: its text), 'h' hard
 * link (target: path of an earlier entry), 'p' fifo, 'x' an extended attribute of the next entry, file or directory (no path; target:
 * its name; size: that of its value, which follows). The path is relative to what is copied, ""
 * for that itself. A file of size n is followed by extents that cover it exactly: u8 'D' (bytes
 * follow) or 'H' (hole), u64 length. Sockets are left out, devices are an error. Attributes are those of treeattr.h; only receivers that
 * asked for them, or say that they take them, get any.
 *
 * The receiver trusts nothing: it walks every path from its root without following links, so the
 * stream cannot leave it, and a file appears under its name only when it is complete.
 */
#ifndef CROFT_GUEST_TREE_H
#define CROFT_GUEST_TREE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/stat.h>
#include <sys/types.h>

#define TREE_ENTRY 40
#define TREE_EXTENT 9
#define TREE_PATH_MAX 4095

struct tree_error {
	int code; /* errno */
	char text[512];
};

/* Sending side. */
struct tree_out;
/* path may be a link: it is copied as a link. dirs: directories allowed; attrs: with extended attributes. NULL: *e is set. */
struct tree_out *tree_out_open(const char *path, bool dirs, bool attrs, struct tree_error *e);
/* From here on regular files that `want` refuses are left out; those with more than one name are never asked about. */
void tree_out_filter(struct tree_out *t, bool (*want)(void *arg, const char *path, const struct stat *st), void *arg);
/* Next bytes of the stream: how many (1..n), 0 at its end, -1 with *e. n at least 8 KiB. */
ssize_t tree_out_read(struct tree_out *t, uint8_t *buf, size_t n, struct tree_error *e);
void tree_out_free(struct tree_out *t); /* NULL allowed */

/* Receiving side. */
struct tree_in_opts {
	const char *into; /* name used when dst is a directory or ends in '/'; NULL: dst itself is meant */
	uid_t uid;	  /* (uid_t)-1: not changed */
	gid_t gid;
	bool ids;	  /* those of the stream instead */
	int mode;	  /* for regular files; -1: kept */
	mode_t mask;	  /* bits of modes that are kept: 07777, or 0777: attributes that give rights are not either */
	bool dirs;	  /* directories allowed */
};
struct tree_in;
struct tree_in *tree_in_open(const char *dst, const struct tree_in_opts *o, struct tree_error *e);
/* Takes any piece of the stream. -1 with *e; then only tree_in_free is allowed. */
int tree_in_write(struct tree_in *t, const uint8_t *p, size_t n, struct tree_error *e);
/* After the last piece: sets what belongs to directories; -1 when the stream was not complete. */
int tree_in_finish(struct tree_in *t, struct tree_error *e);
/* Bytes of file content that came so far, holes included; and the size of a single file or 0. */
uint64_t tree_in_done(const struct tree_in *t, uint64_t *total);
void tree_in_free(struct tree_in *t); /* removes an unfinished file; NULL allowed */

int tree_fail(struct tree_error *e, int code, const char *fmt, ...)
	__attribute__((format(printf, 3, 4)));
/* Last part of a path as `into` wants it (trailing slashes ignored), in buf; NULL for "", "/", ".", "..". */
const char *tree_base_name(const char *path, char buf[256]);

#endif
