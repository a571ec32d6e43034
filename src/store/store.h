/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The store: content-addressed chunks in append-only packs, objects made of
 * chunks, names that point at objects. Owns everything below its directory;
 * backups, snapshots and images call it. Format: docs/store-format.md.
 *
 * Any number of processes may read and write one store at once. A reader takes
 * no lock. Nothing that a name points at is ever removed. One `struct store`
 * belongs to one thread; the threads that put and get start are their own.
 */
#ifndef CROFT_STORE_STORE_H
#define CROFT_STORE_STORE_H

#include "base/buf.h"
#include "base/error.h"
#include <stdbool.h>
#include <stdint.h>

#define STORE_HASH 32 /* bytes of a name */
#define STORE_CHUNK_AVG (64u << 10)

struct store;
#define _cleanup_store_ __attribute__((cleanup(store_closep)))

/* Makes an empty store; chunk_avg (bytes, power of two, 4 KiB to 256 KiB) 0: the default. */
int store_create(const char *path, uint32_t chunk_avg, struct error **err);
/*
 * Opens a store. What a killed writer left behind is cut back to its last whole
 * record and said (log). NULL on error: not a store, unknown format, no permission.
 */
struct store *store_open(const char *path, struct error **err);
void store_close(struct store *s); /* NULL is allowed */
static inline void store_closep(struct store **s)
{
	store_close(*s);
}

struct strv;
/* The setting "stores", or else the one in croft's data directory; added to ret. */
void store_dirs(struct strv *ret);
/* The first that may be written; one that is not there is made (chunk_avg as above). */
struct store *store_open_writable(const struct strv *dirs, uint32_t chunk_avg, struct error **err);
/* The first that has this name (or object; NAME/PART); when none has it, the first there is, for the error. */
struct store *store_open_with(const struct strv *dirs, const char *name, struct error **err);

struct store_put_result {
	char object[STORE_HASH * 2 + 1]; /* name of the object, hex */
	uint64_t size;	 /* of the source as it is read: a qcow2 counts as the disk it holds */
	uint64_t chunks; /* in the source, holes not counted */
	uint64_t holes;	 /* bytes that are holes or zeros */
	uint64_t fresh;	 /* bytes that the store did not have */
	uint64_t stored; /* bytes that were written for them */
};
struct store_put_opts {
	const char *message; /* or NULL */
	bool replace;	     /* the name may exist */
	unsigned threads;    /* 0: one for each core */
	int level;	     /* of zstd; 0: the default */
	void (*progress)(void *arg, uint64_t done); /* called from the caller's thread; may be NULL */
	void *arg;
};
/*
 * Stores a file, a block device, a qcow2 file (the disk in it, by its allocation
 * map; compressed clusters and backing files are refused), or "-": stdin, under a
 * name. The name points at the new object only when all of it is on disk.
 */
int store_put(struct store *s, const char *name, const char *path, const struct store_put_opts *o,
	struct store_put_result *ret, struct error **err);

struct store_get_opts {
	bool update; /* the target exists: only what differs is written */
	bool sync;   /* it is on disk when store_get returns */
	unsigned threads;
	void (*progress)(void *arg, uint64_t done);
	void *arg;
};
/*
 * Writes an object (name or object hash) to a new file, or to stdout with "-".
 * Every chunk is checked against its hash before a byte of it is written. A new
 * file that could not be completed is removed.
 */
int store_get(struct store *s, const char *name, const char *path, const struct store_get_opts *o,
	struct error **err);

/*
 * Sets: several named parts in one object under one name, as the backup of a machine is: disks, firmware variables, its
 * definition. A part is an object of its own, "NAME/PART" wherever a name is taken, so parts that did not change between
 * two sets are stored once.
 */
struct store_range {
	uint64_t start, len; /* bytes of the part; ranges are sorted and do not overlap */
	bool zero;	     /* reads as zeros: it is not asked for */
};
struct store_part {
	const char *name; /* as names are; at most 4000 parts */
	const char *info; /* a text that is kept with it, or NULL; UTF-8, at most 1 MiB with all others */
	/* What is in it, one of the three: */
	const void *data; /* size bytes in memory */
	const char *path; /* a file, device or qcow2, as store_put takes it; size is found out */
	/*
	 * Reads exactly n bytes at off, up to 1.3 MiB; called from the caller's thread, offsets grow. -1 with err ends the put.
	 */
	int (*read)(void *arg, void *p, size_t n, uint64_t off, struct error **err);
	void *arg;
	uint64_t size;
	/*
	 * For `read` alone. Without base: where its data is; what lies outside is zeros. NULL: everywhere.
	 * With base: what may differ from it. The chunks that lie outside are taken from the base's list without being read; what
	 * is behind the base's end is zeros. Whole chunks are read, so `read` is asked for up to 256 KiB around a range as well.
	 * NULL: anything may differ; the base then only saves time.
	 */
	const struct store_range *ranges;
	size_t nranges;
	const char *base; /* an earlier version: "NAME/PART", name or object; NULL: none. ERR_NOT_FOUND when it is not there */
};
/* Parts are stored one after the other; all or nothing. info: a text that is kept with the set, or NULL. */
int store_put_set(struct store *s, const char *name, const struct store_part *parts, size_t n, const char *info,
	const struct store_put_opts *o, struct store_put_result *ret, struct error **err);

struct store_part_info {
	char *name, *info; /* info may be NULL */
	char object[STORE_HASH * 2 + 1];
	uint64_t size;
};
struct store_set {
	struct store_part_info *parts; /* in the order of the put */
	size_t n;
	char *info; /* or NULL */
};
void store_set_free(struct store_set *set);
#define _cleanup_store_set_ __attribute__((cleanup(store_set_free)))
/* The parts of a set (name or object). ERR_STATE when it is a plain object. */
int store_parts(struct store *s, const char *name, struct store_set *ret, struct error **err);

/* Where the bytes of an object go; called from the caller's thread, offsets grow. */
struct store_sink {
	int (*write)(void *arg, const void *p, size_t n, uint64_t off, struct error **err);
	/* A hole. NULL: the target reads as zeros already. */
	int (*zero)(void *arg, uint64_t len, uint64_t off, struct error **err);
	/*
	 * Reads what the target has at off; what is the same there is not written. Called from several threads at once.
	 * NULL: everything is written.
	 */
	int (*read)(void *arg, void *p, size_t n, uint64_t off, struct error **err);
	void *arg;
};
/*
 * Bytes [start, start + len) of an object (len UINT64_MAX: up to its end) into a sink; offsets are those of the object. Every
 * chunk is checked against its hash first. To a file: store_get with "NAME/PART".
 */
int store_get_range(struct store *s, const char *name, uint64_t start, uint64_t len, const struct store_sink *sink,
	const struct store_get_opts *o, struct error **err);
/* A small object as a whole into memory (appended); larger than max bytes is an error. */
int store_get_bytes(struct store *s, const char *name, size_t max, struct buf *ret, struct error **err);
/* The size of an object in bytes. */
int store_size(struct store *s, const char *name, uint64_t *ret, struct error **err);

/*
 * Folders: a set that holds a tree of files with modes, owners, times, links, extended attributes, devices and holes. Sockets are
 * left out, and said.
 */
int store_put_tree(struct store *s, const char *name, const char *dir, const struct store_put_opts *o,
	struct store_put_result *ret, struct error **err);
bool store_is_tree(struct store *s, const char *name);
struct store_file {
	const char *path, *link; /* "." is the folder itself; link: of a symbolic link, or the file this is another name of */
	uint32_t mode, uid, gid, hard;
	uint64_t bytes;
	int64_t mtime;
};
/* Each file, folders before what is in them. fn returns 0 to go on. */
int store_tree_list(struct store *s, const char *name, int (*fn)(void *arg, const struct store_file *f), void *arg,
	struct error **err);
struct store_tree_result {
	uint64_t files, bytes;
	uint64_t left_out; /* what this user or file system may not make: devices, owners, attributes; said */
};
/*
 * Makes the folder dir anew from a tree. Every chunk is checked before a byte of it is written; on error what was made is removed.
 * Owners are set by root only.
 */
int store_get_tree(struct store *s, const char *name, const char *dir, const struct store_get_opts *o,
	struct store_tree_result *ret, struct error **err);

struct store_ref {
	char *name, *message; /* message may be NULL */
	char object[STORE_HASH * 2 + 1];
	uint64_t size, stored; /* bytes; what the put that made it added */
	bool set;	       /* of parts */
	int64_t time;	       /* seconds since 1970 */
};
void store_ref_free(struct store_ref *r); /* what it holds, not r itself */
#define _cleanup_store_ref_ __attribute__((cleanup(store_ref_free)))
/* Sorted by name; the caller frees each and the array. */
int store_list(struct store *s, struct store_ref **ret, size_t *n, struct error **err);
int store_show(struct store *s, const char *name, struct store_ref *ret, struct error **err);
int store_remove(struct store *s, const char *name, struct error **err); /* gc frees the space */

struct store_stats {
	uint64_t names, chunks, packs, indexes;
	uint64_t raw;	 /* bytes in all chunks */
	uint64_t stored; /* bytes of all packs and indexes */
	uint64_t named;	 /* sum of the sizes of what the names point at */
};
int store_stats(struct store *s, struct store_stats *ret, struct error **err);

struct store_verify_result {
	uint64_t records, bytes; /* read */
	uint64_t bad;		 /* damaged records and indexes */
	uint64_t bad_names;	 /* names whose object cannot be read in full */
	uint64_t mended, lost;	 /* chunks: taken from the other store; not to be had */
};
struct store_verify_opts {
	unsigned threads;
	bool deep; /* unpack everything and compute the hash of each chunk as well */
	void (*say)(void *arg, const char *line); /* what is damaged; from the caller's thread */
	void (*progress)(void *arg, uint64_t bytes); /* may be NULL */
	void *arg;
	struct store *repair_from; /* another store, or NULL: then nothing is changed */
};
/*
 * Reads everything: each byte of packs and indexes is covered by a checksum. Returns 0 also when there is damage: look at
 * ret. With repair_from, what is damaged or missing is then replaced by what that store has, and ret is of a second look.
 */
int store_verify(struct store *s, const struct store_verify_opts *o, struct store_verify_result *ret, struct error **err);

/*
 * From now on STORE/listing.json tells readers over http what there is. The folder is then as good as public where a web server serves it.
 */
int store_publish(struct store *s, struct error **err);

struct store_gc_result {
	uint64_t chunks, live; /* before; referenced */
	uint64_t before, after; /* bytes of packs */
};
/* Removes what no name leads to. Nobody waits for it; it waits for the writers that were there before it knew what it removes. */
int store_gc(struct store *s, struct store_gc_result *ret, struct error **err);

struct store_copy_result {
	uint64_t chunks, missing; /* in the objects; copied */
	uint64_t bytes;		  /* copied, uncompressed */
};
/* Copies names (all when n is 0) with what dst lacks. An interrupted copy goes on where it was. */
int store_copy(struct store *src, struct store *dst, const char *const *names, size_t n,
	bool replace, struct store_copy_result *ret, struct error **err);

/*
 * A store at the other end of a pair of pipes, where `croft store serve` runs. path NULL: the default there; what: for errors.
 * The fds stay the caller's.
 */
struct store_peer;
struct store_peer *store_peer_open(int in, int out, const char *what, const char *path, bool write, struct error **err);
void store_peer_close(struct store_peer *p);
int store_push(struct store *src, struct store_peer *p, const char *const *names, size_t n, bool replace,
	struct store_copy_result *ret, struct error **err);
int store_pull(struct store_peer *p, struct store *dst, const char *const *names, size_t n, bool replace,
	struct store_copy_result *ret, struct error **err);
/*
 * The other end: answers until its input ends. path: when the client names none; make: it may be made. 1: it ended with an error that
 * the client was told.
 */
int store_serve(int in, int out, const char *path, bool make, struct error **err);

#endif
