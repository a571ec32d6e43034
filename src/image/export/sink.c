/* SPDX-License-Identifier: Apache-2.0 */
#include "image/export/sink.h"
#include "base/file.h"

static const char zeros[4096];

int sink_write(struct sink *k, const void *p, size_t n, struct error **err)
{
	if (!n)
		return 0;
	if (file_write_all(k->fd, p, n, k->what, err) < 0)
		return -1;
	if (k->sha)
		sha_raw(k->sha, p, n);
	k->pos += n;
	return 0;
}

int sink_pad(struct sink *k, size_t unit, struct error **err)
{
	size_t n = (unit - k->pos % unit) % unit;

	while (n) {
		size_t part = n < sizeof(zeros) ? n : sizeof(zeros);

		if (sink_write(k, zeros, part, err) < 0)
			return -1;
		n -= part;
	}
	return 0;
}
