/* SPDX-License-Identifier: Apache-2.0 */
#include "image/export/container.h"
#include "image/export/follow.h"

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
	struct follow follow;
	size_t layer;	  /* that is read */
	struct map above; /* path -> one of these, of the layers above: (void *)(intptr_t) */
	struct map here;  /* of the layer that is read */
	struct map heirs; /* hidden files of that layer -> the hard link that has their content, not owned */
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

enum kind { ENTRY, WHITE, OPAQUE_DIR };

/* Path of an entry without its decoration; of a whiteout, that of what is gone. NULL: of the root itself. */
static char *path_of(struct archive_entry *e, enum kind *kind)
{
	char *path = xstrdup(plain(archive_entry_pathname(e)));
	size_t n = strlen(path);
	char *base;

	while (n && path[n - 1] == '/')
		path[--n] = '\0';
	base = strrchr(path, '/') ? strrchr(path, '/') + 1 : path;
	*kind = !strcmp(base, OPAQUE) ? OPAQUE_DIR : !strncmp(base, WHITEOUT, strlen(WHITEOUT)) ? WHITE : ENTRY;
	if (*kind == WHITE)
		memmove(base, base + strlen(WHITEOUT), strlen(base) - strlen(WHITEOUT) + 1);
	if (n && strcmp(path, "."))
		return path;
	free(path);
	return NULL;
}

/* The first time, from the lowest layer up: where everything lies. */
static int on_header(void *arg, struct archive *ar, struct archive_entry *e, struct error **err)
{
	struct stack *s = arg;
	enum kind kind;
	_cleanup_free_ char *path = path_of(e, &kind);
	const char *hard = archive_entry_hardlink(e);

	if (!path)
		return 0;
	follow_entry(&s->follow, s->layer, path, kind == ENTRY ? archive_entry_symlink(e) : NULL, hard ? plain(hard) : NULL);
	if (kind == OPAQUE_DIR)
		path[strlen(path) - strlen(strrchr(path, '/') ? "/" OPAQUE : OPAQUE)] = '\0';
	if (kind != ENTRY)
		follow_gone(&s->follow, path, kind == WHITE);
	return 0;
}

/* A file that a layer above hides may live on under another name. NULL: it does not. */
static const char *other_name(struct stack *s, struct archive_entry *e, const char *path)
{
	const char *heir = archive_entry_filetype(e) == AE_IFREG && !archive_entry_hardlink(e) ? follow_heir(&s->follow, s->layer, path) : NULL;

	if (!heir || hidden(s, heir))
		return NULL;
	map_set(&s->heirs, path, (void *)(uintptr_t)heir);
	return heir;
}

/* A hard link to where its content has gone; false: it is that content itself, which was handed on. */
static bool link_to(const struct stack *s, struct archive_entry *e, const char *path)
{
	const char *own = plain(archive_entry_hardlink(e)), *target = follow_path(&s->follow, s->layer, own), *heir = map_get(&s->heirs, target);

	if (heir && !strcmp(heir, path))
		return false;
	target = heir ? heir : target;
	if (strcmp(target, own))
		archive_entry_set_hardlink(e, target);
	return true;
}

static int on_entry(void *arg, struct archive *ar, struct archive_entry *e, struct error **err)
{
	struct stack *s = arg;
	enum kind kind;
	_cleanup_free_ char *own = path_of(e, &kind);
	const char *path;

	if (!own)
		return 0;
	path = follow_path(&s->follow, s->layer, own);
	if (kind != ENTRY) {
		note(s, path, GONE);
		return 0;
	}
	if (hidden(s, path) && !(path = other_name(s, e, path)))
		return 0;
	if (archive_entry_hardlink(e) && !link_to(s, e, path))
		return 0;
	note(s, path, archive_entry_filetype(e) == AE_IFDIR ? SEEN_DIR : SEEN_OTHER);
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

static int each_of_layer(const char *file, const char *layer, container_fn *fn, void *arg, struct error **err)
{
	_cleanup_free_ char *block = xmalloc(BLOCK);
	int64_t size;
	struct nested n = { .outer = open_at(file, layer, &size, err), .block = block };
	struct archive *ar;
	struct archive_entry *e;
	int got = ARCHIVE_OK, rc = 0;

	if (!n.outer)
		return *err ? -1 : error_set(err, ERR_FAILED, "%s: its layer %s is not in it", file, layer);
	ar = archive_read_new();
	archive_read_support_filter_all(ar);
	archive_read_support_format_tar(ar);
	archive_read_support_format_empty(ar);
	if (archive_read_open(ar, &n, NULL, read_nested, NULL) != ARCHIVE_OK)
		rc = failed(file, ar, err);
	while (rc == 0 && (got = archive_read_next_header(ar, &e)) == ARCHIVE_OK)
		rc = intr_check(err) < 0 ? -1 : fn(arg, ar, e, err);
	if (rc == 0 && got != ARCHIVE_EOF)
		rc = failed(file, ar, err);
	archive_read_free(ar);
	archive_read_free(n.outer);
	return rc;
}

/* One layer alone has nothing below it whose links could lead elsewhere. */
static int find_places(struct stack *s, const char *file, const struct strv *layers, struct error **err)
{
	follow_init(&s->follow, layers->len);
	for (size_t i = 0; i < layers->len && layers->len > 1; i++) {
		s->layer = i;
		if (each_of_layer(file, layers->v[i], on_header, s, err) < 0)
			return -1;
	}
	return 0;
}

int container_each(const char *file, const struct strv *layers, container_fn *fn, void *arg, struct error **err)
{
	struct stack s = { .fn = fn, .arg = arg };
	int rc = find_places(&s, file, layers, err);

	for (size_t i = layers->len; i-- > 0 && rc == 0;) {
		s.layer = i;
		rc = each_of_layer(file, layers->v[i], on_entry, &s, err);
		MAP_FOR(&s.here, it)
			if (what_of(&s.above, it->key) == 0)
				map_set(&s.above, it->key, it->value);
		map_free(&s.here);
		map_free(&s.heirs);
	}
	map_free(&s.above);
	follow_clear(&s.follow);
	return rc;
}
