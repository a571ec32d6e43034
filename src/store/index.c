/* SPDX-License-Identifier: Apache-2.0 */
#include "store/index.h"
#include "base/cleanup.h"
#include "base/mem.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/stat.h>

static uint32_t bucket(const struct hash *h, uint32_t bits)
{
	uint32_t v = (uint32_t)h->b[0] << 24 | (uint32_t)h->b[1] << 16 | (uint32_t)h->b[2] << 8 | h->b[3];

	return bits ? v >> (32 - bits) : 0;
}

/* About eight entries a bucket. */
static uint32_t fan_bits(size_t n)
{
	uint32_t bits = 0;

	while (bits < 24 && (n >> (bits + 3)))
		bits++;
	return bits;
}

static int by_hash(const void *a, const void *b)
{
	return memcmp(a, b, sizeof(struct hash));
}

/* Counting sort into buckets, each of which is small enough for anything. */
static void sort_entries(const struct idx_entry *e, size_t n, uint32_t bits, uint32_t *fan, struct idx_entry *out)
{
	size_t nb = (size_t)1 << bits;
	_cleanup_free_ uint32_t *at = xcalloc(nb + 1, sizeof(*at));

	for (size_t i = 0; i < n; i++)
		at[bucket(&e[i].hash, bits) + 1]++;
	for (size_t i = 0; i < nb; i++)
		at[i + 1] += at[i];
	memcpy(fan, at, (nb + 1) * sizeof(*fan));
	for (size_t i = 0; i < n; i++)
		out[at[bucket(&e[i].hash, bits)]++] = e[i];
	for (size_t i = 0; i < nb; i++)
		qsort(out + fan[i], fan[i + 1] - fan[i], sizeof(*out), by_hash);
}

void index_build(const struct idx_entry *e, size_t n, const uint64_t *packs, size_t npacks, struct buf *out)
{
	uint32_t bits = fan_bits(n);
	size_t fan_len = (((size_t)1 << bits) + 1) * 4, start = out->len;
	size_t size = sizeof(struct idx_head) + npacks * 8 + fan_len + n * sizeof(*e) + 8;
	struct idx_head h = { IDX_MAGIC, bits, (uint32_t)npacks, n, size, 0 };
	_cleanup_free_ uint32_t *fan = xmalloc(fan_len);
	_cleanup_free_ struct idx_entry *sorted = xreallocarray(NULL, n + 1, sizeof(*e));
	uint64_t sum;

	h.sum = sum64(&h, offsetof(struct idx_head, sum));
	sort_entries(e, n, bits, fan, sorted);
	buf_reserve(out, size);
	buf_add(out, &h, sizeof(h));
	buf_add(out, packs, npacks * 8);
	buf_add(out, fan, fan_len);
	buf_add(out, sorted, n * sizeof(*e));
	sum = sum64(out->data + start, size - 8);
	buf_add(out, &sum, 8);
}

/* Sets the pointers; false when the frame does not hold together. */
static bool lay_out(struct index *ix)
{
	const struct idx_head *h = ix->map;
	uint64_t fan_len, want;

	if (ix->size < sizeof(*h) + 4 + 8 || h->magic != IDX_MAGIC ||
		h->sum != sum64(h, offsetof(struct idx_head, sum)) || h->bits > 24 || h->size != ix->size ||
		h->count > ix->size / sizeof(struct idx_entry))
		return false;
	fan_len = ((1ull << h->bits) + 1) * 4;
	want = sizeof(*h) + (uint64_t)h->npacks * 8 + fan_len + h->count * sizeof(struct idx_entry) + 8;
	if (want != ix->size)
		return false;
	ix->head = h;
	ix->packs = (const uint64_t *)(h + 1);
	ix->fan = (const uint32_t *)(ix->packs + h->npacks);
	ix->entries = (const struct idx_entry *)((const char *)ix->fan + fan_len);
	return true;
}

int index_open(const char *path, struct index *ix, struct error **err)
{
	_cleanup_close_ int fd = open(path, O_RDONLY | O_CLOEXEC);
	struct stat st;

	*ix = (struct index){ 0 };
	if (fd < 0 || fstat(fd, &st) < 0)
		return error_errno(err, errno, "%s", path);
	ix->size = (size_t)st.st_size;
	if (ix->size) {
		ix->map = mmap(NULL, ix->size, PROT_READ, MAP_SHARED, fd, 0);
		if (ix->map == MAP_FAILED) {
			*ix = (struct index){ 0 };
			return error_errno(err, errno, "%s: cannot map", path);
		}
		ix->mapped = true;
	}
	if (!ix->mapped || !lay_out(ix)) {
		index_close(ix);
		return error_set(err, ERR_FAILED, "%s: this index is torn or damaged", path);
	}
	ix->path = xstrdup(path);
	return 0;
}

void index_adopt(struct buf *b, struct index *ix)
{
	*ix = (struct index){ .size = b->len };
	ix->map = buf_steal(b);
	lay_out(ix);
}

void index_close(struct index *ix)
{
	if (ix->mapped)
		munmap(ix->map, ix->size);
	else
		free(ix->map);
	free(ix->path);
	*ix = (struct index){ 0 };
}

bool index_check(const struct index *ix)
{
	uint64_t sum;

	memcpy(&sum, (const char *)ix->map + ix->size - 8, 8);
	return sum == sum64(ix->map, ix->size - 8);
}

const struct idx_entry *index_find(const struct index *ix, const struct hash *h)
{
	uint32_t b = bucket(h, ix->head->bits), lo = ix->fan[b], hi = ix->fan[b + 1];

	if (hi > ix->head->count || lo > hi)
		return NULL; /* damaged: verify says so */
	while (lo < hi) {
		uint32_t mid = lo + (hi - lo) / 2;
		int c = memcmp(h, &ix->entries[mid].hash, sizeof(*h));

		if (c == 0)
			return ix->entries[mid].pack < ix->head->npacks ? &ix->entries[mid] : NULL;
		if (c < 0)
			hi = mid;
		else
			lo = mid + 1;
	}
	return NULL;
}
