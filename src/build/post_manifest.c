/* SPDX-License-Identifier: Apache-2.0 */
/* A JSON list of what builds have made; each run adds to it. */
#include "post.h"

#include "base/cleanup.h"
#include "base/file.h"
#include "base/mem.h"
#include "base/path.h"

#include <jansson.h>
#include <string.h>
#include <sys/stat.h>

#define MANIFEST_MAX ((size_t)64 << 20)
#define LOCK_MS 60000

static json_t *files_of(const struct conf *c, const struct artifact *in)
{
	json_t *files = json_array();

	for (size_t i = 0; i < in->files.len; i++) {
		struct stat st = { 0 };
		const char *path = in->files.v[i];

		stat(path, &st);
		json_array_append_new(files, json_pack("{s:s, s:I}", "name", conf_bool(c, "strip_path") ? path_basename(path) : path, "size",
						     (json_int_t)st.st_size));
	}
	return files;
}

static json_t *entry(struct build *b, const struct conf *c, const struct artifact *in)
{
	const char *uuid = map_get(&b->facts, "PackerRunUUID");
	const struct val *custom = conf_val(c, "custom_data");
	json_t *data = custom && custom->len ? json_object() : json_null();

	for (size_t i = 0; custom && i < custom->len; i++)
		json_object_set_new(data, custom->keys[i], json_string(custom->items[i]->text));
	return json_pack("{s:s, s:s, s:I, s:o, s:s, s:s, s:o}", "name", b->name, "builder_type", b->b->c->type, "build_time",
		(json_int_t)(conf_bool(c, "strip_time") ? 0 : time(NULL)), "files", files_of(c, in), "artifact_id", in->id ? in->id : "",
		"packer_run_uuid", uuid ? uuid : "", "custom_data", data);
}

static json_t *read_old(const char *path, struct error **err)
{
	_cleanup_buf_ struct buf b = BUF_INIT;
	json_error_t je;
	json_t *j;

	if (!file_exists(path))
		return json_pack("{s:[], s:s}", "builds", "last_run_uuid", "");
	if (file_read(path, MANIFEST_MAX, &b, err) < 0)
		return NULL;
	j = json_loads(b.data, 0, &je);
	if (j && json_is_array(json_object_get(j, "builds")))
		return j;
	json_decref(j);
	error_set(err, ERR_USAGE, "%s: it is there, but is no manifest", path);
	error_hint(err, "remove it, or name another output");
	return NULL;
}

int run_manifest(struct build *b, const struct conf *c, const struct funcs *f, const struct artifact *in, struct artifact *out, struct error **err)
{
	_cleanup_free_ char *path = path_absolute(conf_text(c, "output")), *lock = xasprintf("%s.lock", path), *dir = path_dirname(path), *text = NULL;
	const char *uuid = map_get(&b->facts, "PackerRunUUID");
	_cleanup_close_ int fd = -1;
	json_t *j, *one;
	int rc;

	if (file_mkdirs(dir, 0755, err) < 0 || (fd = file_lock(lock, true, LOCK_MS, err)) < 0)
		return -1;
	j = read_old(path, err);
	if (!j)
		return -1;
	one = entry(b, c, in);
	if (!one) {
		json_decref(j);
		return error_set(err, ERR_FAILED, "manifest: a name is not UTF-8");
	}
	json_array_append_new(json_object_get(j, "builds"), one);
	json_object_set_new(j, "last_run_uuid", json_string(uuid ? uuid : ""));
	text = json_dumps(j, JSON_INDENT(2));
	json_decref(j);
	rc = file_writef(path, 0644, err, "%s\n", text);
	unlink(lock);
	*out = (struct artifact){ .builder_id = xstrdup(in->builder_id), .id = xstrdup(in->id) };
	strv_addv(&out->files, in->files.v ? (const char *const *)in->files.v : (const char *const[]){ NULL });
	return rc;
}
