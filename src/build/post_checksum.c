/* SPDX-License-Identifier: Apache-2.0 */
#include "post.h"
#include "build/digest.h"

#include "base/cleanup.h"
#include "base/file.h"
#include "base/mem.h"
#include "base/path.h"

#include <string.h>

#define LIST_MAX ((size_t)16 << 20)

static void types_of(const struct conf *c, struct strv *ret)
{
	conf_list(c, "checksum_types", ret);
}

int check_checksum(const struct conf *c, struct error **err)
{
	_cleanup_strv_ struct strv types = STRV_INIT;

	types_of(c, &types);
	for (size_t i = 0; i < types.len; i++)
		if (!digest_known(types.v[i])) {
			val_error(conf_at(c, "checksum_types"), err, "checksum: unrecognized checksum type: '%s'", types.v[i]);
			return error_hint(err, "known are md5, sha1, sha224, sha256, sha384, sha512");
		}
	return 0;
}

/* Lines for the same files from earlier runs are replaced, others stay. */
static int write_list(const char *path, const struct artifact *in, const char *type, struct error **err)
{
	_cleanup_buf_ struct buf old = BUF_INIT, new = BUF_INIT;

	if (file_exists(path) && file_read(path, LIST_MAX, &old, err) < 0)
		return -1;
	for (const char *s = buf_str(&old); *s;) {
		size_t n = strcspn(s, "\n");
		_cleanup_free_ char *line = xstrndup(s, n);
		const char *tab = strchr(line, '\t');
		bool ours = false;

		for (size_t i = 0; tab && i < in->files.len; i++)
			ours = ours || !strcmp(tab + 1, path_basename(in->files.v[i]));
		if (!ours)
			buf_addf(&new, "%s\n", line);
		s += n + (s[n] == '\n');
	}
	for (size_t i = 0; i < in->files.len; i++) {
		char hex[DIGEST_HEX];

		if (digest_file(type, in->files.v[i], hex, err) < 0)
			return -1;
		buf_addf(&new, "%s\t%s\n", hex, path_basename(in->files.v[i]));
	}
	return file_write(path, buf_str(&new), new.len, 0644, err);
}

int run_checksum(struct build *b, const struct conf *c, const struct funcs *f, const struct artifact *in, struct artifact *out, struct error **err)
{
	_cleanup_strv_ struct strv types = STRV_INIT;

	types_of(c, &types);
	*out = (struct artifact){ .builder_id = xstrdup(in->builder_id), .id = xstrdup(in->id) };
	strv_addv(&out->files, in->files.v ? (const char *const *)in->files.v : (const char *const[]){ NULL });
	for (size_t i = 0; i < types.len; i++) {
		_cleanup_map_ struct map fields = { .free_value = free };
		_cleanup_free_ char *text = NULL, *path = NULL, *dir = NULL;

		map_set(&fields, "BuildName", xstrdup(b->name));
		map_set(&fields, "BuilderType", xstrdup(b->b->c->type));
		map_set(&fields, "ChecksumType", xstrdup(types.v[i]));
		if (conf_late(c, "output", f, &fields, &text, err) < 0)
			return -1;
		path = path_absolute(text);
		dir = path_dirname(path);
		if (file_mkdirs(dir, 0755, err) < 0 || write_list(path, in, types.v[i], err) < 0)
			return -1;
		ui_message(b->ui, b->name, "%s of %zu files in %s", types.v[i], in->files.len, path);
		strv_add(&out->files, path);
	}
	return 0;
}
