/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Header and descriptor; for each grain of 64 KiB that is not all zeros a marker with its compressed data; behind each 512 grains
 * the table of where they are; at the end the directory of tables, and the header once more with the directory's place, which
 * the first one could not know.
 */
#include "image/export/vmdk.h"
#include "base/buf.h"
#include "base/cleanup.h"
#include "base/intr.h"
#include "base/mem.h"
#include "image/export/deflate.h"
#include "store/pool.h"

#include <endian.h>
#include <inttypes.h>
#include <string.h>

#define SECTOR 512
#define GRAIN ((size_t)64 << 10)
#define GRAIN_SECTORS (GRAIN / SECTOR)
#define TABLE 512 /* grains */
#define TABLE_SECTORS (TABLE * 4 / SECTOR)
#define BATCH 16 /* grains in one task; divides TABLE */
#define DESCRIPTOR_SECTORS 20
#define OVERHEAD 128 /* sectors before the first grain */
#define GRAIN_MARKER 12

enum { FLAG_NEWLINE_TEST = 1, FLAG_COMPRESSED = 1 << 16, FLAG_MARKERS = 1 << 17 };
enum { MARKER_TABLE = 1, MARKER_DIRECTORY = 2, MARKER_FOOTER = 3 };
#define AT_END UINT64_MAX
#define DEFLATE 1

struct header {
	char magic[4];
	uint32_t version, flags;
	uint64_t capacity, grain, descriptor, descriptor_size;
	uint32_t per_table;
	uint64_t redundant, directory, overhead;
	uint8_t unclean;
	char newlines[4];
	uint16_t compression;
	uint8_t pad[433];
} __attribute__((packed));
_Static_assert(sizeof(struct header) == SECTOR, "the header is one sector");

struct marker {
	uint64_t sectors;
	uint32_t size, type;
	uint8_t pad[SECTOR - 16];
} __attribute__((packed));
_Static_assert(sizeof(struct marker) == SECTOR, "a marker is one sector");

struct batch {
	uint64_t first; /* grain */
	size_t len;	/* bytes of the disk, below the whole only at its end */
	uint8_t *raw, *out;
	uint32_t size[BATCH]; /* in out, one behind the other, with marker and padding; 0: all zeros */
};

struct writer {
	struct origin *s;
	const struct vmdk_opts *o;
	struct sink *to;
	struct progress *p;
	struct pool *pool;
	uint64_t tables, done;
	uint32_t *directory; /* sector of each table, little endian; 0: no data */
	uint32_t table[TABLE];
	uint64_t current; /* table that is being filled */
	bool filled;	  /* it has a grain */
};

static size_t batch_room(void)
{
	return BATCH * ((deflate_bound(GRAIN) + GRAIN_MARKER + SECTOR - 1) / SECTOR * SECTOR);
}

static void *new_context(void *arg)
{
	return deflate_new(*(int *)arg);
}

static void free_context(void *ctx)
{
	deflate_free(ctx);
}

static bool all_zero(const uint8_t *p, size_t n)
{
	return !p[0] && !memcmp(p, p + 1, n - 1);
}

/* In a worker. */
static void compress_batch(void *ctx, void *task)
{
	struct batch *b = task;
	size_t room = batch_room() / BATCH, at = 0;

	memset(b->raw + b->len, 0, BATCH * GRAIN - b->len);
	for (size_t i = 0; i < BATCH; i++) {
		const uint8_t *raw = b->raw + i * GRAIN;
		uint64_t lba = htole64((b->first + i) * GRAIN_SECTORS);
		uint32_t size;
		size_t n, whole;

		b->size[i] = 0;
		if (all_zero(raw, GRAIN))
			continue;
		n = deflate_zlib(ctx, raw, GRAIN, b->out + at + GRAIN_MARKER, room - GRAIN_MARKER);
		size = htole32((uint32_t)n);
		memcpy(b->out + at, &lba, 8);
		memcpy(b->out + at + 8, &size, 4);
		whole = (n + GRAIN_MARKER + SECTOR - 1) / SECTOR * SECTOR;
		memset(b->out + at + GRAIN_MARKER + n, 0, whole - GRAIN_MARKER - n);
		b->size[i] = (uint32_t)whole;
		at += whole;
	}
}

static int put_marker(struct writer *w, uint64_t sectors, uint32_t type, struct error **err)
{
	struct marker m = { .sectors = htole64(sectors), .type = htole32(type) };

	return sink_write(w->to, &m, sizeof(m), err);
}

static int end_table(struct writer *w, struct error **err)
{
	if (!w->filled)
		return 0;
	if (put_marker(w, TABLE_SECTORS, MARKER_TABLE, err) < 0)
		return -1;
	w->directory[w->current] = htole32((uint32_t)(w->to->pos / SECTOR));
	w->filled = false;
	if (sink_write(w->to, w->table, sizeof(w->table), err) < 0)
		return -1;
	memset(w->table, 0, sizeof(w->table));
	return 0;
}

/* The next batch that is ready, in the order of the disk. */
static int put_batch(struct writer *w, struct error **err)
{
	struct batch *b = pool_reap(w->pool);
	size_t at = 0;

	if (b->first / TABLE != w->current && end_table(w, err) < 0)
		return -1;
	w->current = b->first / TABLE;
	for (size_t i = 0; i < BATCH; i++) {
		if (!b->size[i])
			continue;
		w->table[(b->first + i) % TABLE] = htole32((uint32_t)((w->to->pos + at) / SECTOR));
		w->filled = true;
		at += b->size[i];
	}
	if ((w->to->pos + at) / SECTOR > UINT32_MAX)
		return error_set(err, ERR_FAILED, "%s: has more data than a VMDK can hold (2 TiB)", w->s->what);
	w->done += b->len;
	progress_update(w->p, w->done);
	return sink_write(w->to, b->out, at, err);
}

static void make_header(const struct writer *w, uint64_t directory, struct header *h)
{
	*h = (struct header){
		.magic = { 'K', 'D', 'M', 'V' },
		.version = htole32(3),
		.flags = htole32(FLAG_NEWLINE_TEST | FLAG_COMPRESSED | FLAG_MARKERS),
		.capacity = htole64((w->s->size + SECTOR - 1) / SECTOR),
		.grain = htole64(GRAIN_SECTORS),
		.descriptor = htole64(1),
		.descriptor_size = htole64(DESCRIPTOR_SECTORS),
		.per_table = htole32(TABLE),
		.directory = htole64(directory),
		.overhead = htole64(OVERHEAD),
		.newlines = { '\n', ' ', '\r', '\n' },
		.compression = htole16(DEFLATE),
	};
}

/* The content's id can be any; it must not be that of "no parent", and the same disk shall have the same. */
static uint32_t content_id(const struct writer *w)
{
	_cleanup_free_ char *seed = xasprintf("%s %" PRIu64 " %s", w->s->name, w->s->size, w->s->img ? w->s->img->sha256 : "");
	char hex[SHA_HEX];

	sha_bytes(seed, strlen(seed), hex);
	hex[7] = '\0';
	return (uint32_t)strtoul(hex, NULL, 16);
}

static int put_front(struct writer *w, struct error **err)
{
	uint64_t sectors = (w->s->size + SECTOR - 1) / SECTOR;
	bool ide = !strcmp(w->o->adapter, "ide");
	unsigned heads = ide ? 16 : 255;
	uint64_t cylinders = sectors / (heads * 63);
	_cleanup_buf_ struct buf text = BUF_INIT;
	struct header h;

	if (ide && cylinders > 16383)
		cylinders = 16383;
	buf_addf(&text,
		"# Disk DescriptorFile\nversion=1\nCID=%08" PRIx32 "\nparentCID=ffffffff\ncreateType=\"streamOptimized\"\n\n"
		"# Extent description\nRDONLY %" PRIu64 " SPARSE \"%.200s\"\n\n# The Disk Data Base\n#DDB\n\n"
		"ddb.adapterType = \"%s\"\nddb.geometry.cylinders = \"%" PRIu64 "\"\nddb.geometry.heads = \"%u\"\n"
		"ddb.geometry.sectors = \"63\"\nddb.virtualHWVersion = \"10\"\n",
		content_id(w), sectors, w->o->name, w->o->adapter, cylinders ? cylinders : 1, heads);
	make_header(w, AT_END, &h);
	if (sink_write(w->to, &h, sizeof(h), err) < 0 || sink_write(w->to, text.data, text.len, err) < 0)
		return -1;
	return sink_pad(w->to, OVERHEAD * SECTOR, err);
}

static int put_end(struct writer *w, struct error **err)
{
	static const char end[SECTOR];
	uint64_t sectors = (w->tables * 4 + SECTOR - 1) / SECTOR, directory;
	struct header h;

	if (put_marker(w, sectors, MARKER_DIRECTORY, err) < 0)
		return -1;
	directory = w->to->pos / SECTOR;
	if (sink_write(w->to, w->directory, w->tables * 4, err) < 0 || sink_pad(w->to, SECTOR, err) < 0)
		return -1;
	make_header(w, directory, &h);
	if (put_marker(w, 1, MARKER_FOOTER, err) < 0 || sink_write(w->to, &h, sizeof(h), err) < 0)
		return -1;
	return sink_write(w->to, end, sizeof(end), err);
}

static int put_grains(struct writer *w, struct batch *batches, size_t n, struct error **err)
{
	uint64_t off = 0;
	size_t len, next = 0;

	for (; origin_next(w->s, BATCH * GRAIN, &off, &len); off += len) {
		struct batch *b = &batches[next++ % n];

		if (intr_check(err) < 0 || (pool_pending(w->pool) == n && put_batch(w, err) < 0))
			return -1;
		b->first = off / GRAIN;
		b->len = len;
		if (origin_read(w->s, b->raw, len, off, err) < 0)
			return -1;
		pool_submit(w->pool, b);
	}
	while (pool_pending(w->pool))
		if (put_batch(w, err) < 0)
			return -1;
	return end_table(w, err);
}

int vmdk_write(struct origin *s, const struct vmdk_opts *o, struct sink *to, struct progress *p, struct error **err)
{
	int level = o->level ? o->level : DEFLATE_LEVEL, rc;
	struct pool_ops ops = { new_context, free_context, compress_batch, &level };
	size_t n = pool_threads(0) * 2 + 2, room = batch_room();
	struct writer w = { .s = s, .o = o, .to = to, .p = p };
	_cleanup_free_ struct batch *batches = xcalloc(n, sizeof(*batches));
	_cleanup_free_ uint8_t *memory = xmalloc(n * (BATCH * GRAIN + room));

	for (size_t i = 0; i < n; i++) {
		batches[i].raw = memory + i * (BATCH * GRAIN + room);
		batches[i].out = batches[i].raw + BATCH * GRAIN;
	}
	w.tables = (s->size + TABLE * GRAIN - 1) / (TABLE * GRAIN);
	w.directory = xcalloc(w.tables, 4);
	w.pool = pool_new(0, n, &ops);
	rc = put_front(&w, err);
	if (rc == 0)
		rc = put_grains(&w, batches, n, err);
	if (rc == 0)
		rc = put_end(&w, err);
	pool_free(w.pool);
	free(w.directory);
	return rc;
}
