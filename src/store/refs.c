/* SPDX-License-Identifier: Apache-2.0 */
/* Names: one small JSON file each, replaced as a whole. */
#include "store/internal.h"
#include "store/listing.h"
#include "base/cleanup.h"
#include "base/file.h"
#include "base/mem.h"
#include "base/path.h"
#include "base/strv.h"

#include <errno.h>
#include <jansson.h>
#include <stdlib.h>

#define REF_FILE_MAX (1u << 20)

void store_ref_free(struct store_ref *r)
{
	free(r->name);
	free(r->message);
	*r = (struct store_ref){ 0 };
}

static char *ref_path(const struct store *s, const char *name)
{
	return xasprintf("%s/refs/%s", s->path, name);
}

int ref_check_new(struct store *s, const char *name, bool replace, struct error **err)
{
	_cleanup_free_ char *path = NULL;

	if (name_check("name in the store", name, err) < 0)
		return -1;
	path = ref_path(s, name);
	if (replace || !file_exists(path))
		return 0;
	error_set(err, ERR_STATE, "store %s: '%s' exists already", s->path, name);
	return error_hint(err, "take another name, or --replace");
}

json_t *ref_json(const struct store_ref *r)
{
	return json_pack("{s:s, s:s, s:I, s:I, s:I, s:s*, s:o*}", "name", r->name, "object", r->object, "size", (json_int_t)r->size,
		"stored", (json_int_t)r->stored, "time", (json_int_t)r->time, "message", r->message, "set", r->set ? json_true() : NULL);
}

int ref_parse(const char *text, size_t len, struct store_ref *ret)
{
	const char *object, *name = NULL, *message = NULL;
	json_int_t size, stored, when;
	json_error_t je;
	json_t *j = json_loadb(text, len, 0, &je);
	struct hash h;
	int set = 0, rc = 0;

	*ret = (struct store_ref){ 0 };
	if (!j || json_unpack(j, "{s?s, s:s, s:I, s:I, s:I, s?s, s?b}", "name", &name, "object", &object, "size", &size, "stored",
			&stored, "time", &when, "message", &message, "set", &set) < 0 ||
		!hash_parse(object, &h) || size < 0 || stored < 0) {
		rc = -1;
	} else {
		*ret = (struct store_ref){ xstrdup(name), xstrdup(message), "", (uint64_t)size, (uint64_t)stored, set, when };
		memcpy(ret->object, object, sizeof(ret->object));
	}
	json_decref(j);
	return rc;
}

int ref_stage(struct store *s, const struct store_ref *r, char **temp, struct error **err)
{
	_cleanup_free_ char *path = ref_path(s, r->name), *text = NULL, *line = NULL;
	json_t *j = ref_json(r);

	if (j)
		json_object_del(j, "name"); /* that is the file's */
	text = json_dumps(j, JSON_INDENT(2));
	json_decref(j);
	if (!text)
		return error_set(err, ERR_USAGE, "the message for '%s' is not UTF-8", r->name);
	line = xasprintf("%s\n", text);
	return file_stage(path, line, strlen(line), store_file_mode(s->path), temp, err);
}

int ref_commit(struct store *s, const struct store_ref *r, bool replace, const char *temp, struct error **err)
{
	_cleanup_free_ char *path = ref_path(s, r->name);

	if (ref_check_new(s, r->name, replace, err) < 0 || file_rename(temp, path, err) < 0) {
		unlink(temp);
		return -1;
	}
	listing_refresh(s);
	return 0;
}

int ref_write(struct store *s, const struct store_ref *r, bool replace, struct error **err)
{
	_cleanup_free_ char *temp = NULL;

	if (ref_check_new(s, r->name, replace, err) < 0 || ref_stage(s, r, &temp, err) < 0)
		return -1;
	return ref_commit(s, r, replace, temp, err);
}

int store_show(struct store *s, const char *name, struct store_ref *ret, struct error **err)
{
	_cleanup_free_ char *path = NULL;
	_cleanup_buf_ struct buf b = BUF_INIT;

	*ret = (struct store_ref){ 0 };
	if (name_check("name in the store", name, err) < 0)
		return -1;
	path = ref_path(s, name);
	if (!file_exists(path)) {
		error_set(err, ERR_NOT_FOUND, "store %s: nothing is named '%s'", s->path, name);
		return error_hint(err, "`croft store list` shows the names");
	}
	if (file_read(path, REF_FILE_MAX, &b, err) < 0)
		return -1;
	if (ref_parse(buf_str(&b), b.len, ret) < 0)
		return error_set(err, ERR_FAILED, "%s: damaged: not what croft writes there", path);
	free(ret->name);
	ret->name = xstrdup(name);
	return 0;
}

bool ref_exists(struct store *s, const char *name)
{
	_cleanup_free_ char *path = ref_path(s, name);

	return file_exists(path);
}

int ref_names(struct store *s, struct strv *ret, struct error **err)
{
	_cleanup_free_ char *dir = store_sub(s, "refs");
	_cleanup_closedir_ DIR *d = opendir(dir);

	if (!d)
		return error_errno(err, errno, "%s", dir);
	for (struct dirent *e; (e = readdir(d));)
		if (e->d_name[0] != '.')
			strv_add(ret, e->d_name);
	strv_sort(ret);
	return 0;
}

int store_list(struct store *s, struct store_ref **ret, size_t *n, struct error **err)
{
	_cleanup_strv_ struct strv names = STRV_INIT;
	int rc = ref_names(s, &names, err);

	*ret = NULL;
	*n = 0;
	if (rc < 0)
		return -1;
	*ret = xcalloc(names.len + 1, sizeof(**ret));
	for (size_t i = 0; i < names.len && rc == 0; i++) {
		rc = store_show(s, names.v[i], &(*ret)[*n], err);
		if (rc == 0)
			(*n)++;
		else if ((*err)->cls == ERR_NOT_FOUND) { /* removed meanwhile */
			error_clear(err);
			rc = 0;
		}
	}
	if (rc < 0) {
		for (size_t i = 0; i < *n; i++)
			store_ref_free(&(*ret)[i]);
		free(STEAL(*ret));
		*n = 0;
	}
	return rc;
}

int store_remove(struct store *s, const char *name, struct error **err)
{
	_cleanup_store_ref_ struct store_ref r = { 0 };
	_cleanup_free_ char *path = NULL;

	if (store_show(s, name, &r, err) < 0 && (*err)->cls != ERR_FAILED)
		return -1;
	error_clear(err); /* a damaged one may go */
	path = ref_path(s, name);
	if (file_unlink(path, err) < 0)
		return -1;
	listing_refresh(s);
	return 0;
}

/* NAME without a part. */
static int resolve_whole(struct store *s, const char *name, struct hash *ret, struct error **err)
{
	_cleanup_store_ref_ struct store_ref r = { 0 };
	_cleanup_error_ struct error *why = NULL;
	struct found f;

	if (hash_parse(name, ret)) {
		if (store_find(s, ret, &f) || store_find_again(s, ret, &f, &why) == 0)
			return 0;
		return error_set(err, ERR_NOT_FOUND, "store %s: has no object %.16s...", s->path, name);
	}
	if (store_show(s, name, &r, err) < 0)
		return -1;
	hash_parse(r.object, ret);
	return 0;
}

int store_resolve(struct store *s, const char *name, struct hash *ret, struct error **err)
{
	const char *slash = strchr(name, '/');
	_cleanup_free_ char *whole = slash ? xstrndup(name, (size_t)(slash - name)) : NULL;
	_cleanup_store_set_ struct store_set set = { 0 };
	struct hash root;

	if (!slash)
		return resolve_whole(s, name, ret, err);
	if (resolve_whole(s, whole, &root, err) < 0 || set_read(s, whole, &root, &set, err) < 0)
		return -1;
	for (size_t i = 0; i < set.n; i++)
		if (!strcmp(set.parts[i].name, slash + 1)) {
			hash_parse(set.parts[i].object, ret);
			return 0;
		}
	error_set(err, ERR_NOT_FOUND, "%s: has no part '%s'", whole, slash + 1);
	return error_hint(err, "`croft store show %s` shows its parts", whole);
}
