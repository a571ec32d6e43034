/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the parts of the store share.
 *
 * Locks, in the order in which they are taken:
 *   STORE/.lock   bytes of it: see gate.c. A writer holds one for as long as it may rely on a chunk that no name leads to yet.
 *   flock of a pack: its writer lives. Without it and without an index the pack is a dead writer's.
 *   flock of STORE/index/.lock: replacing of indexes, and removing of packs that these name.
 *   store.lock (mutex): indexes, open packs, claims, between the threads of one process.
 */
#ifndef CROFT_STORE_INTERNAL_H
#define CROFT_STORE_INTERNAL_H

#include "base/blake2b.h"
#include "base/buf.h"
#include "base/strv.h"
#include "store/chunker.h"
#include "store/format.h"
#include "store/index.h"
#include "store/pack.h"
#include "store/pool.h"
#include "store/store.h"
#include <pthread.h>

#define FDS_MAX 256

struct store {
	char *path;
	struct chunker chunker;
	pthread_mutex_t lock;
	pthread_mutex_t reload; /* one thread at a time reads the indexes anew; taken before lock */
	struct index *ix;
	size_t nix;
	struct pack_fd {
		uint64_t id;
		int fd;
	} fds[FDS_MAX];
	size_t nfds;
	uint64_t *condemned; /* packs that gc gives up, sorted: read, but not relied on by what is written */
	size_t ncondemned;
	struct block node; /* for the thread that owns the store */
};
struct found {
	uint64_t pack;
	uint32_t off, inner, len;
	size_t ix, pos; /* of the entry: which index, where in it */
};

/* Reads the indexes anew; cuts back what was left behind, as far as this user may. */
int store_load(struct store *s, struct error **err);
int store_load_held(struct store *s, struct error **err); /* the same; the caller holds index/.lock */
int store_lock_index(struct store *s, bool wait, struct error **err); /* fd; ERR_STATE when somebody has it */
char *store_sub(const struct store *s, const char *sub); /* path below the store; new */
/* Writes an index file over entries; returns 0. The other does all but its last step, file_rename of *temp to *path. */
int store_stage_index(struct store *s, const struct idx_entry *e, size_t n, const uint64_t *packs, size_t npacks,
	char **path, char **temp, struct error **err);
int store_write_index(struct store *s, const struct idx_entry *e, size_t n, const uint64_t *packs,
	size_t npacks, char **path, struct error **err);
int store_add_index(struct store *s, const char *path, struct error **err);
void store_merge_indexes(struct store *s); /* many small ones into one; failing is no error */
/* All entries of indexes [0, n) with packs renumbered; new arrays. */
void store_gather(struct store *s, struct idx_entry **e, size_t *n, uint64_t **packs, size_t *npacks);

bool store_find(struct store *s, const struct hash *h, struct found *ret); /* to read it */
bool store_has(struct store *s, const struct hash *h); /* and what is written may rely on that */

/* The gate between writers and gc: gate.c. Each returns an fd that holds the lock, or 0. */
int gate_enter(struct store *s, struct error **err);   /* a writer; s knows then what is condemned */
int gate_remover(struct store *s, struct error **err); /* the one that may remove packs */
int gate_close(int fd, struct error **err);	       /* of the remover: waits for all writers, and later ones wait for it */
/* Writers that begin from now on do not rely on these packs; returns when all others are done. Leaves nothing behind when it fails. */
int gate_condemn(int fd, struct store *s, const uint64_t *packs, size_t n, struct error **err);
int gate_pardon(struct store *s, struct error **err);
bool store_is_condemned(const struct store *s, uint64_t pack); /* with s->lock */
void store_set_condemned(struct store *s, const uint64_t *packs, size_t n); /* copied */
int store_make_dirs(const char *store, struct error **err); /* share.c */
mode_t store_file_mode(const char *store);		     /* of files in a store, for file_write */
int store_open_lock(const char *path, const char *dir, struct error **err); /* fd, not locked yet */
static inline void hash_bytes(const void *p, size_t n, struct hash *ret)
{
	blake2b(p, n, ret->b);
}
void hash_hex(const struct hash *h, char out[STORE_HASH * 2 + 1]);
bool hash_parse(const char *hex, struct hash *ret);
static inline bool hash_is_hole(const struct hash *h)
{
	static const struct hash zero;

	return !memcmp(h, &zero, sizeof(zero));
}
/* After a miss or a vanished pack: reads the indexes anew first. An error when it is in none. */
int store_find_again(struct store *s, const struct hash *h, struct found *f, struct error **err);
/*
 * The record at f into b, found anew when gc has moved the chunk meanwhile (f is
 * updated). Any thread. b may already hold it.
 */
int store_block(struct store *s, const struct hash *h, struct found *f, struct block *b, struct error **err);
/* One chunk, checked, into out (replaced). Owner's thread. */
int store_chunk(struct store *s, const struct hash *h, struct buf *out, struct error **err);
int store_chunk_in(struct store *s, const struct hash *h, struct block *b, struct buf *out, struct error **err); /* any thread */

/*
 * Visits what an object consists of, in order: level >= 0 for the nodes (before
 * what is below them), -1 for chunks and holes. Returning 1 from a node skips what is below it.
 */
typedef int walk_fn(void *arg, const struct hash *h, uint64_t len, int level, struct error **err);
int store_walk(struct store *s, const struct hash *root, walk_fn *fn, void *arg, struct error **err);
/* The parts of the set with this root; name is for errors. */
int set_read(struct store *s, const char *name, const struct hash *root, struct store_set *ret, struct error **err);
/* A list object as a whole, appended; larger than max is an error. */
int object_bytes(struct store *s, const struct hash *root, size_t max, struct buf *ret, struct error **err);
/* A name or a hash in hex, either with /PART; *size the size of the object. */
int store_resolve(struct store *s, const char *name, struct hash *ret, struct error **err);
int store_object_size(struct store *s, const struct hash *root, uint64_t *size, bool *set, struct error **err);
/* ref_write in two steps: all but the name is on disk under *temp; the name, or temp is gone. */
int ref_stage(struct store *s, const struct store_ref *r, char **temp, struct error **err);
int ref_commit(struct store *s, const struct store_ref *r, bool replace, const char *temp, struct error **err);
int ref_write(struct store *s, const struct store_ref *r, bool replace, struct error **err);
/* Fails when the name is wrong or (unless replace) exists. */
int ref_check_new(struct store *s, const char *name, bool replace, struct error **err);

struct bad_record {
	uint64_t pack, off;
};
/* As store_verify, without repair; *bad: sorted, the caller frees it. */
int verify_all(struct store *s, const struct store_verify_opts *o, struct bad_record **bad, size_t *nbad,
	struct store_verify_result *ret, struct error **err);
int store_repair(struct store *s, const struct store_verify_opts *o, const struct bad_record *bad, size_t nbad,
	struct store_verify_result *ret, struct error **err);
/* What the indexes say to lie in these packs (sorted ids), in the order of place, each place once. */
size_t store_entries_of(struct store *s, const uint64_t *packs, size_t npacks, struct found **ret);
/*
 * By the remover: one index of all packs but these (sorted ids) in place of all indexes; then the packs are removed.
 * In this order: at worst some space waits for the next gc. On a full disk those go first that need no new index.
 */
int store_drop_packs(struct store *s, const uint64_t *packs, size_t npacks, struct error **err);
struct json_t *ref_json(const struct store_ref *r); /* with its name */
int ref_parse(const char *text, size_t len, struct store_ref *ret); /* name: NULL when the text has none; -1: not a ref */
int ref_names(struct store *s, struct strv *ret, struct error **err); /* sorted */
bool ref_exists(struct store *s, const char *name);

/* Session: one writer with its pack and its workers. */
#define SLAB_DATA (1u << 20)
/*
 * Along an earlier version hashes are what takes the time: several chunks at once, in lanes that all have something to do when there are
 * many. So a slab takes as much as a record may, since all of it may be new; with many workers it is SLAB_DATA: memory.
 */
#define ALONG_WORKERS 8
struct slab_item {
	struct hash hash;
	uint64_t len;
	uint32_t off; /* in the slab's data */
	bool hole;
	bool hashed; /* the hash is set */
	bool known;  /* and the store has the chunk: no data here */
};
/* A chunk of an earlier version that may be at this place again. */
struct guess {
	uint32_t off, len; /* in the slab's data */
	struct hash hash; /* what it was; once looked at, what it is */
	bool right;
};
/* What a slab is made of when its worker makes the items. */
struct segment {
	enum { SEG_DATA, SEG_KNOWN, SEG_HOLE } kind;
	uint32_t off;	 /* in the slab's data */
	uint64_t start, len; /* in the object */
	uint64_t src;	 /* where the worker reads it, with slab.fd */
	struct hash hash; /* SEG_KNOWN */
};
/* A chunk that lies in a store: a slab of these has the record loaded by its worker. */
struct wanted {
	struct hash hash;
	struct found at;
};
struct slab {
	uint8_t *data; /* session.room + the largest chunk; NULL until the owner fills it: what a worker fills is in the worker's memory */
	size_t len;    /* bytes of data in use */
	struct segment *segs;
	struct guess *guesses; /* in order */
	size_t nsegs, segs_cap, nguesses, guesses_cap;
	uint64_t right; /* bytes whose guess was right */
	int fd;		/* segments of data are read from here; -1: they are read already */
	struct error *err; /* of that */
	struct store *from; /* not NULL: items[i] is wanted[i] of it */
	struct wanted *wanted;
	size_t wanted_cap;
	struct slab_item *items;
	size_t n, cap;
	bool listed; /* the items go into the object's list, in order */
	char *record;
	size_t record_len, record_cap;
	uint32_t fresh, raw; /* chunks and bytes in the record */
};
struct session {
	struct store *s;
	int lock;
	struct pool *pool;
	struct slab **free_slabs;
	size_t nfree, depth, room; /* room: SLAB_DATA, or what a record may take */
	struct pack_out pack;
	struct hash *claims; /* open addressing; all zero is free */
	size_t nclaims, claims_cap;
	int level;
	uint64_t *sealed; /* packs of this session */
	size_t nsealed;
	uint64_t fresh, stored, fresh_chunks;
	/* Called for each listed slab, in order. */
	int (*listed)(void *arg, const struct slab *b, struct error **err);
	void *arg;
	struct slab *meta; /* nodes and single chunks on their way */
	struct slab **metaq; /* the same, full */
	size_t nmetaq;
	struct slab *carried; /* being filled by session_carry */
};
/* Stream: items of b->data up to what may go on in the next slab; returns where that starts. base: where data[0] lies. */
size_t itemise(const struct chunker *c, struct slab *b, uint64_t base, bool *after_hole, bool last);
void itemise_segments(const struct chunker *c, struct slab *b);

int session_begin(struct session *w, struct store *s, unsigned threads, int level, struct error **err);
/* The remover's own: chunks of what it has condemned are stored anew. */
int session_begin_locked(struct session *w, struct store *s, unsigned threads, struct error **err);
struct slab *session_slab(struct session *w, struct error **err); /* an empty one; may write out others */
void session_slab_data(const struct session *w, struct slab *b); /* b->data is there */
int session_submit(struct session *w, struct slab *b, struct error **err);
void session_give_back(struct session *w, struct slab *b); /* unused */
void slab_add(struct slab *b, uint32_t off, uint64_t len, bool hole);
/* A chunk in memory; copied. Goes on its way with the next submit or flush. */
void session_chunk(struct session *w, const void *p, size_t n);
/*
 * A chunk that lies at f in a store, which may be the session's own; read, checked and stored by workers. Best in the order in which
 * they lie. Calls and session_carry_end may wait for others.
 */
int session_carry(struct session *w, struct store *from, const struct hash *h, const struct found *f, struct error **err);
int session_carry_end(struct session *w, struct error **err); /* and session_flush_meta */
/* For the worker: loads the chunks; whole: they are of one record. Then, with the hashes computed: are they what is wanted? */
int carry_load(const struct session *w, struct slab *b, struct block *block, bool *whole);
int carry_check(struct slab *b);
int session_drain(struct session *w, struct error **err); /* all slabs written, meta not */
int session_flush_meta(struct session *w, struct error **err);
int session_seal(struct session *w, struct error **err); /* all on disk and in an index */
void session_end(struct session *w); /* also after an error: keeps what is whole */

/* Source: what put reads, as data and holes. */
struct extent {
	uint64_t start, len, off; /* in the disk; in the file */
};
struct source {
	int fd;
	char *path;
	bool stream; /* no size, no extents */
	uint64_t size, pos, end; /* end: where reading stops; at first the size */
	struct extent *ext;
	size_t n, cur;
	const struct store_part *part; /* its `read` or `data` instead of a file */
	const struct store_range *changed; /* what may differ from the base; NULL: all */
	size_t nchanged;
};
int source_open(const char *path, struct source *src, struct error **err);
int source_open_part(const struct store_part *part, struct source *src, struct error **err);
void source_seek(struct source *src, uint64_t pos, uint64_t end); /* what is read next is [pos, end) */
/* Up to cap bytes at *n, or else a hole of *hole bytes; both 0 at the end. */
int source_read(struct source *src, uint8_t *p, size_t cap, size_t *n, uint64_t *hole, struct error **err);
/* What lies at pos: data (where in the file) or a hole, and how many bytes of it, at most max. */
bool source_at(struct source *src, uint64_t pos, uint64_t max, uint64_t *len, uint64_t *off);
int source_read_at(struct source *src, uint8_t *p, size_t n, uint64_t pos, struct error **err); /* data, all n bytes */
bool source_changed(const struct source *src, uint64_t pos, uint64_t len);
void source_close(struct source *src);

/* Target: where get writes. */
struct target {
	int fd;
	const char *path;
	bool update, pipe;
};
/* With t->update over what is there. path stays the caller's. */
int target_open(struct target *t, const char *path, uint64_t size, struct error **err);
struct store_sink target_sink(struct target *t);
/* A new file that is not good is removed. */
int target_close(struct target *t, bool good, bool sync, struct error **err);

/* List: entries to a tree of nodes. */
#define NODE_MAX 4096u
#define LEVELS 8 /* of lists; the node of a set is of this level */
struct list {
	struct session *w;
	struct node_entry *level[LEVELS];
	uint32_t n[LEVELS];
	uint64_t bytes[LEVELS];
};
int list_add(struct list *l, uint64_t len, const struct hash *h, struct error **err); /* zero hash: hole */
int list_finish(struct list *l, struct hash *root, struct error **err); /* and empty again */
void list_free(struct list *l);
/* A node into b, checked; below says of which level it must be at most: less than this. */
int node_check(const struct hash *h, int below, const struct buf *b, struct error **err); /* h: for the error */
int node_read(struct store *s, const struct hash *h, int below, struct buf *b, struct error **err);

struct cursor {
	struct store *s;
	struct {
		struct buf b;
		uint32_t next;
	} at[LEVELS];
	int depth;
	uint64_t off, start;
};
/* Owner's thread. Starts with the chunk or hole that byte `start` is in. */
int cursor_open(struct cursor *c, struct store *s, const struct hash *root, uint64_t start, struct error **err);
int cursor_next(struct cursor *c, struct node_entry *e, uint64_t *off, struct error **err); /* 1; 0 at the end */
void cursor_close(struct cursor *c);
#define _cleanup_cursor_ __attribute__((cleanup(cursor_close)))

/* Put: one object in a session. */
struct put {
	struct session *w;
	struct source src;
	struct list list;
	uint64_t before; /* bytes of earlier parts, for the progress */
	const struct store_put_opts *o;
	struct store_put_result *ret;
	bool after_hole;
	uint64_t guessed, right; /* bytes of reaped slabs with guesses */
};
int put_pump(struct put *p, uint64_t from, uint64_t to, struct error **err); /* cuts without guesses */
/* All of the source along an earlier version. trust: what source.changed leaves out is not read. */
int put_along(struct put *p, const struct hash *base, bool trust, struct error **err);
/* An object of what p->src has (opened); its root. */
int put_object(struct put *p, const char *base, struct hash *root, struct error **err);
/* Everything to disk, then the name; fills in r and p->ret (the size is set). */
int put_name(struct put *p, struct store_ref *r, const struct hash *root, struct error **err);

#endif
