/* SPDX-License-Identifier: Apache-2.0 */
#include "throwaway.h"

#include "base/cleanup.h"
#include "base/file.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/path.h"

#include <dirent.h>
#include <errno.h>
#include <inttypes.h>
#include <string.h>
#include <sys/random.h>

struct throwaway {
	char *mark; /* the locked file */
	int lock;
	struct machine *m;
};

static int remove_marked(const char *name, const char *mark, struct error **err)
{
	_cleanup_error_ struct error *e = NULL;

	if (machine_remove(name, true, &e) < 0 && e->cls != ERR_NOT_FOUND) {
		*err = STEAL(e);
		return -1;
	}
	return file_unlink(mark, err);
}

/* Those of processes that were killed. */
static void sweep(const char *dir)
{
	_cleanup_closedir_ DIR *d = opendir(dir);

	if (!d)
		return;
	for (struct dirent *e; (e = readdir(d));) {
		_cleanup_free_ char *mark = path_join(dir, e->d_name);
		_cleanup_error_ struct error *err = NULL, *held = NULL;
		_cleanup_close_ int lock = e->d_name[0] == '.' ? -1 : file_lock(mark, true, 0, &held);

		if (lock >= 0 && remove_marked(e->d_name, mark, &err) < 0)
			log_warn("%s", err->msg);
	}
}

static void throwaway_free(struct throwaway *t)
{
	machine_free(t->m);
	if (t->lock >= 0)
		close(t->lock);
	free(t->mark);
	free(t);
}

struct throwaway *throwaway_create(struct machine_def *d, struct error **err)
{
	_cleanup_free_ char *dir = path_data("throwaway");
	struct throwaway *t;
	uint32_t id;

	if (getrandom(&id, sizeof(id), 0) != sizeof(id)) {
		error_errno(err, errno, "getrandom");
		return NULL;
	}
	if (file_mkdirs(dir, 0700, err) < 0)
		return NULL;
	sweep(dir);
	free(d->name);
	d->name = xasprintf("run-%08" PRIx32, id);
	t = xcalloc(1, sizeof(*t));
	t->mark = path_join(dir, d->name);
	t->lock = file_lock(t->mark, true, 0, err);
	if (t->lock >= 0 && machine_create(d, err) == 0)
		t->m = machine_open(d->name, err);
	if (t->m)
		return t;
	if (t->lock >= 0) {
		_cleanup_error_ struct error *e = NULL;

		if (remove_marked(d->name, t->mark, &e) < 0)
			log_warn("%s", e->msg);
	}
	throwaway_free(t);
	return NULL;
}

struct machine *throwaway_machine(const struct throwaway *t)
{
	return t->m;
}

int throwaway_end(struct throwaway *t, struct error **err)
{
	int rc = remove_marked(t->m->name, t->mark, err);

	throwaway_free(t);
	return rc;
}

void throwaway_endp(struct throwaway **t)
{
	_cleanup_error_ struct error *err = NULL;

	if (*t && throwaway_end(*t, &err) < 0)
		log_warn("%s", err->msg);
	*t = NULL;
}
