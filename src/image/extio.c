/* SPDX-License-Identifier: Apache-2.0 */
#include "image/extio.h"

#include "base/mem.h"

#include <string.h>

#define LINE (64u << 10)

/* libext2fs opens by name; this is whom it means. */
static _Thread_local struct extio *opening;

static int read_line(struct extio *x, uint64_t at, const char **p, uint32_t *len)
{
	size_t i = at / LINE % EXTIO_LINES;

	if (x->line[i].at != at + 1) {
		uint64_t left = x->size > at ? x->size - at : 0;
		struct error *again = NULL;

		if (!x->line[i].data)
			x->line[i].data = xmalloc(LINE);
		x->line[i].at = 0;
		x->line[i].len = left < LINE ? (uint32_t)left : LINE;
		if (x->line[i].len && x->read(x->arg, x->line[i].data, x->line[i].len, at, x->err ? &again : &x->err) < 0) {
			error_clear(&again);
			return -1;
		}
		x->line[i].at = at + 1;
	}
	*p = x->line[i].data;
	*len = x->line[i].len;
	return 0;
}

static errcode_t read_at(struct extio *x, void *p, size_t n, uint64_t at)
{
	while (n) {
		uint64_t base = at / LINE * LINE;
		const char *line;
		uint32_t len;
		size_t skip = (size_t)(at - base), take;

		if (read_line(x, base, &line, &len) < 0 || len <= skip)
			return EXT2_ET_SHORT_READ;
		take = len - skip < n ? len - skip : n;
		memcpy(p, line + skip, take);
		p = (char *)p + take;
		at += take;
		n -= take;
	}
	return 0;
}

static errcode_t io_open(const char *name, int flags, io_channel *channel);
static errcode_t io_close(io_channel c)
{
	if (--c->refcount > 0)
		return 0;
	free(c->name);
	free(c);
	return 0;
}

static errcode_t io_blksize(io_channel c, int size)
{
	c->block_size = size;
	return 0;
}

/* count: blocks, or when negative bytes. */
static errcode_t io_read64(io_channel c, unsigned long long block, int count, void *data)
{
	struct extio *x = c->private_data;
	size_t n = count < 0 ? (size_t)-count : (size_t)count * (size_t)c->block_size;

	return read_at(x, data, n, x->start + block * (unsigned)c->block_size);
}

static errcode_t io_read(io_channel c, unsigned long block, int count, void *data)
{
	return io_read64(c, block, count, data);
}

static errcode_t io_write64(io_channel c, unsigned long long block, int count, const void *data)
{
	return EXT2_ET_RO_FILSYS;
}

static errcode_t io_write(io_channel c, unsigned long block, int count, const void *data)
{
	return EXT2_ET_RO_FILSYS;
}

static errcode_t io_flush(io_channel c)
{
	return 0;
}

static struct struct_io_manager manager = {
	.magic = EXT2_ET_MAGIC_IO_MANAGER,
	.name = "croft",
	.open = io_open,
	.close = io_close,
	.set_blksize = io_blksize,
	.read_blk = io_read,
	.write_blk = io_write,
	.flush = io_flush,
	.read_blk64 = io_read64,
	.write_blk64 = io_write64,
};

static errcode_t io_open(const char *name, int flags, io_channel *channel)
{
	io_channel c = xcalloc(1, sizeof(*c));

	c->magic = EXT2_ET_MAGIC_IO_CHANNEL;
	c->manager = &manager;
	c->name = xstrdup(name);
	c->block_size = 1024;
	c->refcount = 1;
	c->private_data = opening;
	*channel = c;
	return 0;
}

errcode_t extio_open(struct extio *x, const char *what, int flags, ext2_filsys *fs)
{
	errcode_t code;

	opening = x;
	code = ext2fs_open2(what, NULL, flags, 0, 0, &manager, fs);
	opening = NULL;
	return code;
}

void extio_clear(struct extio *x)
{
	for (size_t i = 0; i < EXTIO_LINES; i++)
		free(x->line[i].data);
	error_clear(&x->err);
}
