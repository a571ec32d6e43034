/* SPDX-License-Identifier: Apache-2.0 */
#include "image/export/container.h"

#include "base/buf.h"
#include "base/cleanup.h"
#include "base/intr.h"
#include "base/map.h"
#include "base/mem.h"

#include <jansson.h>
#include <string.h>
#include <sys/stat.h>

#define BLOCK ((size_t)256 << 10)
#define JSON_MAX ((int64_t)16 << 20)
#define DEPTH_MAX 4 /* indexes in indexes */
#define WHITEOUT ".wh."
#define OPAQUE ".wh..wh..opq"

static int failed(const char *file, struct archive *ar, struct error **err)
{
	return error_set(err, ERR_FAILED, "%s: %s", file, archive_error_string(ar));
}

static const char *plain(const char *p)
{
	while (p && (!strncmp(p, "./", 2) || *p == '/'))
		p += *p == '/' ? 1 : 2;
	return p ? p : "";
}

static struct archive *open_file(const char *file, struct error **err)
{
	struct archive *ar = archive_read_new();

	archive_read_support_filter_all(ar);
	archive_read_support_format_tar(ar);
	if (archive_read_open_filename(ar, file, BLOCK) == ARCHIVE_OK)
		return ar;
	failed(file, ar, err);
	archive_read_free(ar);
	return NULL;
}

/* The archive at the content of that member; NULL without error: there is none. */
static struct archive *open_at(const char *file, const char *name, int64_t *size, struct error **err)
{
	struct archive *ar = open_file(file, err);
	struct archive_entry *e;
	int got = ARCHIVE_EOF;

	while (ar && (got = archive_read_next_header(ar, &e)) == ARCHIVE_OK)
		if (archive_entry_filetype(e) == AE_IFREG && !strcmp(plain(archive_entry_pathname(e)), name)) {
			*size = archive_entry_size(e);
			return ar;
		}
	if (ar && got != ARCHIVE_EOF)
		failed(file, ar, err);
	if (ar)
		archive_read_free(ar);
	return NULL;
}

/* NULL without error: there is no such member, or it is no JSON. */
static json_t *json_of(const char *file, const char *name, struct error **err)
{
	int64_t size = 0;
	struct archive *ar = open_at(file, name, &size, err);
	_cleanup_free_ char *text = NULL;
	json_t *j = NULL;

	if (ar && size < JSON_MAX) {
		text = xcalloc(1, (size_t)size + 1);
		if (archive_read_data(ar, text, (size_t)size) == size)
			j = json_loads(text, 0, NULL);
	}
	if (ar)
		archive_read_free(ar);
	return j;
}

/* "sha256:HEX" of a descriptor as a member's name; new, or NULL. */
static char *blob_of(const json_t *descriptor)
{
	const char *digest = json_string_value(json_object_get(descriptor, "digest")), *colon = digest ? strchr(digest, ':') : NULL;

	return colon ? xasprintf("blobs/%.*s/%s", (int)(colon - digest), digest, colon + 1) : NULL;
}

static int of_index(const char *file, const char *name, int depth, struct strv *ret, struct error **err)
{
	json_t *j = json_of(file, name, err), *layers = json_object_get(j, "layers"), *first = json_array_get(json_object_get(j, "manifests"), 0);
	_cleanup_free_ char *next = blob_of(first);
	int rc = *err ? -1 : 1;

	for (size_t i = 0; i < json_array_size(layers); i++) {
		char *blob = blob_of(json_array_get(layers, i));

		if (blob)
			strv_take(ret, blob);
		rc = 0;
	}
	json_decref(j);
	return rc == 1 && next && depth < DEPTH_MAX ? of_index(file, next, depth + 1, ret, err) : rc;
}

int container_layers(const char *file, struct strv *ret, struct error **err)
{
	json_t *j = json_of(file, "manifest.json", err), *layers = json_object_get(json_array_get(j, 0), "Layers");
	int rc = *err ? -1 : 1;

	for (size_t i = 0; i < json_array_size(layers); i++)
		if (json_is_string(json_array_get(layers, i))) {
			strv_add(ret, plain(json_string_value(json_array_get(layers, i))));
			rc = 0;
		}
	json_decref(j);
	return rc == 1 ? of_index(file, "index.json", 0, ret, err) : rc;
}

int container_names(const char *file, struct strv *ret, struct error **err)
{
	json_t *j = json_of(file, "manifest.json", err), *tags = json_object_get(json_array_get(j, 0), "RepoTags");

	for (size_t i = 0; i < json_array_size(tags); i++)
		if (json_is_string(json_array_get(tags, i)))
			strv_add(ret, json_string_value(json_array_get(tags, i)));
	json_decref(j);
	return *err ? -1 : 0;
}

/* ---- one over the other ---- */

enum { SEEN_DIR = 1, SEEN_OTHER, GONE };
struct stack {
	const char *file;
	struct map above; /* path -> one of these, of the layers above: (void *)(intptr_t) */
	struct map here;  /* of the layer that is read */
	container_fn *fn;
	void *arg;
};

static int what_of(const struct map *m, const char *path)
{
	return (int)(intptr_t)map_get(m, path);
}

/* Is it, or something that it lies in, covered by a layer above? */
static bool hidden(const struct stack *s, const char *path)
{
	_cleanup_free_ char *p = xstrdup(path), *opaque = NULL;

	if (what_of(&s->above, path))
		return true;
	for (char *slash; (slash = strrchr(p, '/'));) {
		int up;

		*slash = '\0';
		up = what_of(&s->above, p);
		free(opaque);
		opaque = xasprintf("%s/" OPAQUE, p);
		if (up == GONE || up == SEEN_OTHER || what_of(&s->above, opaque))
			return true;
	}
	return what_of(&s->above, OPAQUE) != 0;
}

/* A folder that is there again behind its whiteout has nothing of what it had below. */
static void note(struct stack *s, const char *path, int what)
{
	int was = what_of(&s->here, path);

	if ((was == GONE && what == SEEN_DIR) || (was == SEEN_DIR && what == GONE)) {
		_cleanup_free_ char *opaque = xasprintf("%s/" OPAQUE, path);

		map_set(&s->here, opaque, (void *)(intptr_t)GONE);
		what = SEEN_DIR;
	}
	map_set(&s->here, path, (void *)(intptr_t)what);
}

static int on_entry(struct stack *s, struct archive *ar, struct archive_entry *e, struct error **err)
{
	_cleanup_free_ char *path = xstrdup(plain(archive_entry_pathname(e)));
	const char *base;
	size_t n = strlen(path);
	bool dir = archive_entry_filetype(e) == AE_IFDIR;

	while (n && path[n - 1] == '/')
		path[--n] = '\0';
	if (!n || !strcmp(path, "."))
		return 0;
	base = strrchr(path, '/') ? strrchr(path, '/') + 1 : path;
	if (!strcmp(base, OPAQUE)) {
		note(s, path, GONE);
		return 0;
	}
	if (!strncmp(base, WHITEOUT, strlen(WHITEOUT))) {
		_cleanup_free_ char *gone = xasprintf("%.*s%s", (int)(base - path), path, base + strlen(WHITEOUT));

		note(s, gone, GONE);
		return 0;
	}
	if (hidden(s, path))
		return 0;
	note(s, path, dir ? SEEN_DIR : SEEN_OTHER);
	archive_entry_set_pathname(e, path);
	return s->fn(s->arg, ar, e, err);
}

struct nested {
	struct archive *outer;
	char *block;
};

static la_ssize_t read_nested(struct archive *ar, void *arg, const void **block)
{
	struct nested *n = arg;
	la_ssize_t got = archive_read_data(n->outer, n->block, BLOCK);

	*block = n->block;
	if (got < 0)
		archive_set_error(ar, archive_errno(n->outer), "%s", archive_error_string(n->outer));
	return got;
}

static int each_of_layer(struct stack *s, const char *layer, struct error **err)
{
	_cleanup_free_ char *block = xmalloc(BLOCK);
	int64_t size;
	struct nested n = { .outer = open_at(s->file, layer, &size, err), .block = block };
	struct archive *ar;
	struct archive_entry *e;
	int got = ARCHIVE_OK, rc = 0;

	if (!n.outer)
		return *err ? -1 : error_set(err, ERR_FAILED, "%s: its layer %s is not in it", s->file, layer);
	ar = archive_read_new();
	archive_read_support_filter_all(ar);
	archive_read_support_format_tar(ar);
	archive_read_support_format_empty(ar);
	if (archive_read_open(ar, &n, NULL, read_nested, NULL) != ARCHIVE_OK)
		rc = failed(s->file, ar, err);
	while (rc == 0 && (got = archive_read_next_header(ar, &e)) == ARCHIVE_OK)
		rc = intr_check(err) < 0 ? -1 : on_entry(s, ar, e, err);
	if (rc == 0 && got != ARCHIVE_EOF)
		rc = failed(s->file, ar, err);
	archive_read_free(ar);
	archive_read_free(n.outer);
	return rc;
}

int container_each(const char *file, const struct strv *layers, container_fn *fn, void *arg, struct error **err)
{
	struct stack s = { .file = file, .fn = fn, .arg = arg };
	int rc = 0;

	for (size_t i = layers->len; i-- > 0 && rc == 0;) {
		rc = each_of_layer(&s, layers->v[i], err);
		MAP_FOR(&s.here, it)
			if (what_of(&s.above, it->key) == 0)
				map_set(&s.above, it->key, it->value);
		map_free(&s.here);
	}
	map_free(&s.above);
	return rc;
}
