/* SPDX-License-Identifier: Apache-2.0 */
#include "store/wire.h"
#include "base/file.h"

#include <errno.h>
#include <unistd.h>
#include <zstd.h>

int wire_bad(const struct wire *w, const char *what, struct error **err)
{
	error_set(err, ERR_FAILED, "%s: does not speak as croft %d does: %s", w->what, WIRE_VERSION, what);
	return error_hint(err, "is croft of the same version there, and does its shell print nothing at login?");
}

int wire_send(const struct wire *w, enum wire_type type, uint32_t n, const void *p, size_t len, struct error **err)
{
	struct wire_head h = { type, n, len };

	if (file_write_all(w->out, &h, sizeof(h), w->what, err) < 0)
		return -1;
	return len ? file_write_all(w->out, p, len, w->what, err) : 0;
}

/* n bytes, or none at the end of the input: then 0. */
static int read_all(const struct wire *w, void *p, size_t n, struct error **err)
{
	for (size_t got = 0; got < n;) {
		ssize_t r = read(w->in, (char *)p + got, n - got);

		if (r < 0 && errno == EINTR)
			continue;
		if (r < 0)
			return error_errno(err, errno, "%s: cannot read", w->what);
		if (r == 0 && got == 0)
			return 0;
		if (r == 0)
			return error_set(err, ERR_FAILED, "%s: the connection ended in the middle", w->what);
		got += (size_t)r;
	}
	return 1;
}

int wire_recv(const struct wire *w, bool end, struct wire_head *h, struct buf *b, struct error **err)
{
	int rc = read_all(w, h, sizeof(*h), err);

	if (rc < 0)
		return -1;
	if (rc == 0) {
		*h = (struct wire_head){ 0 };
		return end ? 0 : error_set(err, ERR_FAILED, "%s: the connection ended", w->what);
	}
	if (h->type < WIRE_HELLO || h->type > WIRE_REF || h->len > WIRE_MAX)
		return wire_bad(w, "a frame of unknown kind", err);
	buf_clear(b);
	rc = h->len ? read_all(w, buf_reserve(b, h->len), h->len, err) : 1;
	if (rc <= 0)
		return rc < 0 ? -1 : error_set(err, ERR_FAILED, "%s: the connection ended in the middle", w->what);
	b->len = h->len;
	if (b->data)
		b->data[b->len] = '\0';
	return 0;
}

int wire_answer(const struct wire *w, enum wire_type type, struct wire_head *h, struct buf *b, struct error **err)
{
	const char *text;

	if (wire_recv(w, false, h, b, err) < 0)
		return -1;
	if (h->type == type)
		return 0;
	if (h->type != WIRE_ERROR)
		return wire_bad(w, "another answer than expected", err);
	text = buf_str(b);
	error_set(err, h->n == ERR_NOT_FOUND || h->n == ERR_STATE || h->n == ERR_USAGE ? (enum error_class)h->n : ERR_FAILED, "%s: %s",
		w->what, text);
	return strlen(text) + 1 < b->len ? error_hint(err, "%s", text + strlen(text) + 1) : -1;
}

int wire_pack(struct buf *frame, const struct buf *chunks, int level, struct error **err)
{
	size_t bound = ZSTD_compressBound(chunks->len), n;

	if (!chunks->len)
		return 0;
	n = ZSTD_compress(buf_reserve(frame, bound), bound, chunks->data, chunks->len, level);
	if (ZSTD_isError(n))
		return error_set(err, ERR_FAILED, "cannot compress: %s", ZSTD_getErrorName(n));
	frame->len += n;
	return 0;
}

int wire_unpack(const struct wire *w, const struct buf *frame, size_t table, uint64_t want, struct buf *out, struct error **err)
{
	size_t n = 0;

	buf_clear(out);
	if (want > WIRE_MAX)
		return wire_bad(w, "more chunks than fit", err);
	if (want)
		n = ZSTD_decompress(buf_reserve(out, want), want, frame->data + table, frame->len - table);
	if (ZSTD_isError(n) || n != want)
		return wire_bad(w, "chunks that do not unpack", err);
	out->len = n;
	return 0;
}
