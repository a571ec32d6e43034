/* SPDX-License-Identifier: Apache-2.0 */
/*
 * `store serve`: any frames from the other side. A store in a scratch folder, which may be written; the path that the other side asks
 * for is left out of the input.
 */
#include "scratch.h"
#include "base/file.h"
#include "store/internal.h"
#include "store/wire.h"

#include <fcntl.h>

static char dir[] = "/tmp/croft-fuzz-XXXXXX";

static void clean(void)
{
	struct error *e = NULL;

	file_remove_tree(dir, &e);
}

int LLVMFuzzerTestOneInput(const uint8_t *p, size_t n)
{
	static int null = -1;
	struct wire_head hello = { WIRE_HELLO, WIRE_VERSION, 1 };
	struct buf b = BUF_INIT;
	struct error *e = NULL;
	char path[64];
	int fd;

	if (null < 0) {
		null = open("/dev/null", O_WRONLY | O_CLOEXEC);
		if (!mkdtemp(dir) || store_create(dir, 4096, &e) < 0)
			abort();
		atexit(clean);
	}
	buf_add(&b, &hello, sizeof(hello));
	buf_addc(&b, 1);
	buf_add(&b, p, n);
	fd = scratch(b.data, b.len, path);
	lseek(fd, 0, SEEK_SET);
	store_serve(fd, null, dir, false, &e);
	error_clear(&e);
	buf_free(&b);
	return 0;
}
