/* SPDX-License-Identifier: Apache-2.0 */
/* The receiver of copied trees, into a scratch directory whose surroundings must stay untouched. */
#include "guest/tree.h"

#include <dirent.h>
#include <ftw.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

int LLVMFuzzerTestOneInput(const uint8_t *p, size_t n);

static char outer[] = "/tmp/croft-fuzz-XXXXXX";
static char inner[64];

static int remove_one(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
	if (type == FTW_DNR || type == FTW_NS)
		chmod(path, 0700);
	remove(path);
	return 0;
}

static void set_up(void)
{
	/* Sizes are claimed freely: sparse files may be big, but not that big. */
	struct rlimit r = { 1 << 20, 1 << 20 };

	if (*inner)
		return;
	if (!mkdtemp(outer) || setrlimit(RLIMIT_FSIZE, &r) < 0)
		abort();
	signal(SIGXFSZ, SIG_IGN);
	snprintf(inner, sizeof(inner), "%s/in", outer);
}

int LLVMFuzzerTestOneInput(const uint8_t *p, size_t n)
{
	struct tree_in_opts o = { .uid = (uid_t)-1, .gid = (gid_t)-1, .mode = -1, .mask = 0777,
		.dirs = true };
	size_t step = n ? 1 + p[0] : 1, seen = 0;
	struct tree_error e;
	struct tree_in *t;
	struct dirent *ent;
	DIR *d;
	int r = 0;

	set_up();
	t = tree_in_open(inner, &o, &e);
	if (!t)
		abort();
	for (size_t i = 1; r == 0 && i < n; i += step)
		r = tree_in_write(t, p + i, n - i < step ? n - i : step, &e);
	if (r == 0)
		tree_in_finish(t, &e);
	tree_in_free(t);
	/* nothing beside what was asked for */
	d = opendir(outer);
	while ((ent = readdir(d)))
		seen += strcmp(ent->d_name, ".") != 0 && strcmp(ent->d_name, "..") != 0 &&
			strcmp(ent->d_name, "in") != 0;
	closedir(d);
	if (seen)
		abort();
	nftw(inner, remove_one, 8, FTW_DEPTH | FTW_PHYS);
	return 0;
}
