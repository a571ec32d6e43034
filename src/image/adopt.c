/* SPDX-License-Identifier: Apache-2.0 */
/* Images that come whole from elsewhere, with a machine. */
#include "base/cleanup.h"
#include "base/file.h"
#include "base/mem.h"
#include "base/path.h"
#include "image/internal.h"

#include <jansson.h>
#include <string.h>

#define JSON_MAX (1u << 20)

char *image_adopt_begin(const char *name, int *lock, struct error **err)
{
	_cleanup_free_ char *images = path_data("images"), *dir = NULL;

	if (*lock < 0)
		return image_begin(name, lock, err);
	if (name_check("image", name, err) < 0)
		return NULL;
	dir = xasprintf("%s/.tmp-%s", images, name);
	return file_mkdirs(dir, 0700, err) < 0 ? NULL : STEAL(dir);
}

void image_adopt_abort(const char *dir)
{
	image_abort(dir);
}

/* Files that it names are its own: a name and no more. */
static int check_files(const char *path, const json_t *j, struct error **err)
{
	static const char *const keys[] = { "kernel", "initrd", "disk" };

	for (size_t i = 0; i < ARRAY_SIZE(keys); i++) {
		const char *s = json_string_value(json_object_get(j, keys[i]));

		if (s && (!*s || *s == '.' || strchr(s, '/')))
			return error_set(err, ERR_FAILED, "%s: %s: '%s' is no file of the image", path, keys[i], s);
	}
	return 0;
}

int image_adopt_check(const char *dir, const char *name, char **disk, char **format, struct error **err)
{
	_cleanup_free_ char *path = path_join(dir, "image.json"), *text = NULL;
	_cleanup_buf_ struct buf b = BUF_INIT;
	json_error_t je;
	json_t *j;
	int rc;

	if (file_read(path, JSON_MAX, &b, err) < 0)
		return -1;
	j = json_loads(buf_str(&b), 0, &je);
	if (!json_is_object(j)) {
		json_decref(j);
		return error_set(err, ERR_FAILED, "%s:%d:%d: %s", path, je.line, je.column, je.text);
	}
	rc = check_files(path, j, err);
	*disk = xstrdup(json_string_value(json_object_get(j, "disk")));
	*format = xstrdup(json_string_value(json_object_get(j, "format")));
	json_object_set_new(j, "name", json_string(name));
	text = json_dumps(j, JSON_INDENT(2));
	json_decref(j);
	return rc < 0 ? -1 : file_writef(path, 0600, err, "%s\n", text);
}

int image_adopt(const char *dir, const char *name, struct error **err)
{
	_cleanup_free_ char *images = path_data("images"), *target = path_join(images, name);

	if (file_exists(target))
		return error_set(err, ERR_STATE, "image %s: it exists already", name);
	return file_rename(dir, target, err);
}
