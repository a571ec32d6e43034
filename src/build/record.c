/* SPDX-License-Identifier: Apache-2.0 */
#include "build/record.h"

#include "base/buf.h"
#include "base/cleanup.h"
#include "base/file.h"
#include "base/mem.h"

#include <errno.h>
#include <jansson.h>
#include <string.h>
#include <sys/stat.h>

#define RECORD_MAX ((size_t)4 << 20)

/* Size and times tell whether a file was changed since; inode and time of change see a replaced one. */
static json_t *stamp(const char *path)
{
	struct stat st;

	if (stat(path, &st) < 0)
		return NULL;
	return json_pack("{s:s, s:I, s:I, s:I, s:I}", "path", path, "size", (json_int_t)st.st_size, "inode", (json_int_t)st.st_ino, "mtime",
		(json_int_t)(st.st_mtim.tv_sec * 1000000000ll + st.st_mtim.tv_nsec), "ctime",
		(json_int_t)(st.st_ctim.tv_sec * 1000000000ll + st.st_ctim.tv_nsec));
}

int record_write(const char *path, const char *key, const char *out, const struct strv *files, struct error **err)
{
	json_t *list = json_array(), *j;
	_cleanup_free_ char *text = NULL;

	for (size_t i = 0; i < files->len; i++) {
		json_t *one = stamp(files->v[i]);

		if (!one) {
			json_decref(list);
			return error_set(err, ERR_FAILED, "%s: cannot be noted: %s", files->v[i], strerror(errno));
		}
		json_array_append_new(list, one);
	}
	j = json_pack("{s:s, s:s, s:o}", "key", key, "out", out, "files", list);
	text = j ? json_dumps(j, JSON_INDENT(1)) : NULL;
	json_decref(j);
	return text ? file_write(path, text, strlen(text), 0600, err) : error_set(err, ERR_FAILED, "%s: a path is not UTF-8", out);
}

static json_t *load(const char *path, const char *out)
{
	_cleanup_error_ struct error *e = NULL;
	_cleanup_buf_ struct buf b = BUF_INIT;
	const char *was;
	json_t *j;

	if (file_read(path, RECORD_MAX, &b, &e) < 0)
		return NULL;
	j = json_loads(b.data, 0, NULL);
	was = json_string_value(json_object_get(j, "out"));
	if (was && !strcmp(was, out))
		return j;
	json_decref(j);
	return NULL;
}

static bool unchanged(const json_t *files, struct strv *ret)
{
	size_t i;
	json_t *one;

	json_array_foreach(files, i, one) {
		const char *path = json_string_value(json_object_get(one, "path"));
		json_t *now = path ? stamp(path) : NULL;
		bool same = now && json_equal(now, one);

		json_decref(now);
		if (!same)
			return false;
		if (ret)
			strv_add(ret, path);
	}
	return json_array_size(files) > 0;
}

bool record_holds(const char *path, const char *key, const char *out, struct strv *files)
{
	json_t *j = load(path, out);
	const char *was = json_string_value(json_object_get(j, "key"));
	bool ret = was && !strcmp(was, key) && unchanged(json_object_get(j, "files"), files);

	json_decref(j);
	return ret;
}

bool record_owns(const char *path, const char *out)
{
	json_t *j = load(path, out);
	bool ret = j && unchanged(json_object_get(j, "files"), NULL);

	json_decref(j);
	return ret;
}
