/* SPDX-License-Identifier: Apache-2.0 */
/* What a folder of the guest holds, as its own program lists it (guest/sync.c). */
#include "agent_list.h"

#include "base/cleanup.h"

#include <stdio.h>
#include <string.h>

#define LIST_MS 120000

int agent_list(struct agent *a, const char *dir, const char *stage, struct buf *ret, bool *absent, struct error **err)
{
	const char *argv[] = { "croft-guest", "--sync-list", dir, stage, NULL };
	_cleanup_buf_ struct buf said = BUF_INIT;
	struct agent_exec x = AGENT_EXEC_INIT;
	int status = 0;

	x.argv = argv;
	x.out = ret;
	x.err = &said;
	x.timeout_ms = LIST_MS;
	if (agent_exec(a, &x, &status, err) < 0)
		return error_wrap(err, "list %s", dir);
	*absent = status == 3;
	if (status == 0 || status == 3)
		return 0;
	return error_set(err, ERR_FAILED, "list %s: %s", dir, said.len ? buf_str(&said) : "the guest's croft-guest is too old");
}

/* "TYPE MODE UID GID SIZE MTIME CTIME INO PATH\0TARGET\0"... */
int agent_list_each(const struct buf *list, void (*each)(void *arg, const struct agent_listed *f), void *arg, struct error **err)
{
	const char *p = list->data, *end = p + list->len;

	while (p < end) {
		struct agent_listed f = { .facts = p };
		unsigned long long size, ino;
		long long seconds;
		int at = 0;

		if (!memchr(p, 0, (size_t)(end - p)) ||
			sscanf(p, "%c %o %u %u %llu %lld.%ld %*s %llu%n", &f.type, &f.mode, &f.uid, &f.gid, &size, &seconds, &f.mtime.tv_nsec, &ino, &at) !=
				8 ||
			!at || p[at] != ' ')
			return error_set(err, ERR_FAILED, "the guest's list of files cannot be understood");
		f.facts_len = (size_t)at;
		f.size = size;
		f.ino = ino;
		f.mtime.tv_sec = (time_t)seconds;
		f.path = p + at + 1;
		f.target = f.path + strlen(f.path) + 1;
		if (f.target >= end || !memchr(f.target, 0, (size_t)(end - f.target)))
			return error_set(err, ERR_FAILED, "the guest's list of files is cut off");
		each(arg, &f);
		p = f.target + strlen(f.target) + 1;
	}
	return 0;
}
