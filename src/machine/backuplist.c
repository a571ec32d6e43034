/* SPDX-License-Identifier: Apache-2.0 */
/* Which backups there are. */
#include "base/cleanup.h"
#include "base/mem.h"
#include "base/path.h"
#include "base/units.h"
#include "backupint.h"

#include <jansson.h>
#include <string.h>

#define PREFIX "vm."

void backup_free(struct backup *b)
{
	if (!b)
		return;
	free(b->ref);
	free(b->machine);
	free(b->name);
	free(b->text);
	free(b->created);
	free(b->bitmap);
	free(b->group);
	free(b);
}

void backups_clear(struct backups *l)
{
	for (size_t i = 0; i < l->len; i++)
		backup_free(l->v[i]);
	free(l->v);
	*l = (struct backups){ 0 };
}

char *backup_ref(const char *machine, const char *name)
{
	char *ref = xasprintf(PREFIX "%s.%s", machine, name);

	for (char *p = ref; *p; p++)
		if (*p == '/')
			*p = '.';
	return ref;
}

char *backup_part_of(const struct snap_drive *d)
{
	return !strncmp(d->node, "disk", 4) ? xasprintf("disk-%s", d->node + 4) : xstrdup("nvram");
}

static char *text_of(const json_t *o, const char *key)
{
	return xstrdup(json_string_value(json_object_get(o, key)));
}

/* NULL: it is a set of another kind. */
static struct backup *read_one(struct store *s, const struct store_ref *r)
{
	_cleanup_store_set_ struct store_set set = { 0 };
	_cleanup_error_ struct error *e = NULL;
	_cleanup_backup_ struct backup *b = NULL;
	json_t *o;

	if (!r->set || strncmp(r->name, PREFIX, strlen(PREFIX)) || store_parts(s, r->name, &set, &e) < 0 || !set.info)
		return NULL;
	o = json_loads(set.info, 0, NULL);
	b = xcalloc(1, sizeof(*b));
	b->ref = xstrdup(r->name);
	b->machine = text_of(o, "machine");
	b->name = text_of(o, "name");
	b->text = text_of(o, "text");
	b->created = text_of(o, "created");
	b->bitmap = text_of(o, "bitmap");
	b->group = text_of(o, "group");
	b->taken = (uint64_t)json_integer_value(json_object_get(o, "taken"));
	b->stored = r->stored;
	for (size_t i = 0; i < set.n; i++)
		if (!strncmp(set.parts[i].name, "disk-", 5))
			b->size += set.parts[i].size;
	json_decref(o);
	return b->machine && b->name ? STEAL(b) : NULL;
}

static int by_time(const void *a, const void *b)
{
	const struct backup *x = *(struct backup *const *)a, *y = *(struct backup *const *)b;

	if (x->taken != y->taken)
		return x->taken < y->taken ? -1 : 1;
	return strcmp(x->ref, y->ref);
}

int backup_list(struct store *s, const char *machine, struct backups *ret, struct error **err)
{
	struct store_ref *refs = NULL;
	size_t n = 0;

	if (store_list(s, &refs, &n, err) < 0)
		return -1;
	for (size_t i = 0; i < n; i++) {
		struct backup *b = read_one(s, &refs[i]);

		store_ref_free(&refs[i]);
		if (!b || (machine && strcmp(b->machine, machine))) {
			backup_free(b);
			continue;
		}
		ret->v = xreallocarray(ret->v, ret->len + 1, sizeof(*ret->v));
		ret->v[ret->len++] = b;
	}
	free(refs);
	if (ret->len)
		qsort(ret->v, ret->len, sizeof(*ret->v), by_time);
	return 0;
}

struct backup *backup_open(struct store *s, const char *machine, const char *name, struct error **err)
{
	_cleanup_backups_ struct backups l = { 0 };
	bool last = !name || !strcmp(name, SNAPSHOT_LAST);
	_cleanup_strv_ struct strv names = STRV_INIT;
	const char *near;

	if (backup_list(s, machine, &l, err) < 0)
		return NULL;
	for (size_t i = l.len; i-- > 0;)
		if (last || !strcmp(l.v[i]->name, name))
			return STEAL(l.v[i]);
	if (!l.len) {
		error_set(err, ERR_NOT_FOUND, "machine %s: it has no backups here", machine);
		error_hint(err, "croft vm backups shows those of all machines");
		return NULL;
	}
	for (size_t i = 0; i < l.len; i++)
		strv_add(&names, l.v[i]->name);
	near = nearest_name(name, (const char *const *)names.v, names.len);
	error_set(err, ERR_NOT_FOUND, "machine %s: no backup %s", machine, name);
	if (near)
		error_hint(err, "did you mean '%s'?", near);
	else
		error_hint(err, "croft vm backups %s shows those that exist", machine);
	return NULL;
}
