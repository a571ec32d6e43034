/* SPDX-License-Identifier: Apache-2.0 */
/* Other names for a container's image in its archive: index.json and manifest.json alone are written anew, in a new file. */
#include "base/cleanup.h"
#include "base/mem.h"
#include "image/export/export.h"
#include "image/export/job.h"
#include "image/export/root.h"
#include "image/export/ustar.h"

#include <jansson.h>
#include <string.h>

#define INDEX "index.json"
#define MANIFEST "manifest.json"
#define JSON_MAX ((size_t)4 << 20)
#define BLOCK ((size_t)1 << 20)
#define REF_NAME "org.opencontainers.image.ref.name"
#define FULL_NAME "io.containerd.image.name"

struct retag {
	const char *file;
	struct sink out;
	json_t *index, *manifest;
	char *block;
};

static int bad(const struct retag *t, struct error **err)
{
	error_set(err, ERR_FAILED, "%s: is no archive of a container's image that croft has made", t->file);
	return error_hint(err, "docker-import and `croft image export ... x.oci.tar` make them");
}

static int load(struct retag *t, struct archive *ar, int64_t size, json_t **ret, struct error **err)
{
	_cleanup_free_ char *text = size >= 0 && (size_t)size < JSON_MAX ? xcalloc(1, (size_t)size + 1) : NULL;

	if (text && archive_read_data(ar, text, (size_t)size) == size)
		*ret = json_loads(text, 0, NULL);
	return *ret ? 0 : bad(t, err);
}

static int put_header(struct retag *t, const char *name, uint64_t size, struct error **err)
{
	char header[USTAR_BLOCK];

	ustar_header(header, name, size, export_epoch());
	return sink_write(&t->out, header, sizeof header, err);
}

static int copy(struct retag *t, struct archive *ar, const char *name, int64_t size, struct error **err)
{
	la_ssize_t n;

	if (strlen(name) > 99 || put_header(t, name, (uint64_t)size, err) < 0)
		return *err ? -1 : bad(t, err);
	while ((n = archive_read_data(ar, t->block, BLOCK)) > 0)
		if (sink_write(&t->out, t->block, (size_t)n, err) < 0)
			return -1;
	return n < 0 ? error_set(err, ERR_FAILED, "%s: %s", t->file, archive_error_string(ar)) : sink_pad(&t->out, USTAR_BLOCK, err);
}

static int read_all(struct retag *t, struct error **err)
{
	struct archive *ar = archive_read_new();
	struct archive_entry *e;
	int rc = 0, got = ARCHIVE_EOF;

	archive_read_support_format_tar(ar);
	if (archive_read_open_filename(ar, t->file, BLOCK) != ARCHIVE_OK)
		rc = error_set(err, ERR_FAILED, "%s: %s", t->file, archive_error_string(ar));
	while (rc == 0 && (got = archive_read_next_header(ar, &e)) == ARCHIVE_OK) {
		const char *name = archive_entry_pathname(e);

		if (!strcmp(name, INDEX))
			rc = load(t, ar, archive_entry_size(e), &t->index, err);
		else if (!strcmp(name, MANIFEST))
			rc = load(t, ar, archive_entry_size(e), &t->manifest, err);
		else if (archive_entry_filetype(e) == AE_IFREG)
			rc = copy(t, ar, name, archive_entry_size(e), err);
	}
	if (rc == 0 && got != ARCHIVE_EOF)
		rc = error_set(err, ERR_FAILED, "%s: %s", t->file, archive_error_string(ar));
	archive_read_free(ar);
	return rc < 0 || (t->index && t->manifest) ? rc : bad(t, err);
}

/* The tag is what stands behind the last colon of the last part. */
static const char *tag_of(const char *name)
{
	const char *slash = strrchr(name, '/'), *colon = strrchr(slash ? slash : name, ':');

	return colon ? colon + 1 : "latest";
}

/* One descriptor for each name, as image-layout.md has it; one entry with all names, as `docker load` wants it. */
static int rename_all(struct retag *t, const struct strv *names, bool add, struct error **err)
{
	json_t *entry = json_array_get(t->manifest, 0), *tags = json_object_get(entry, "RepoTags");
	json_t *one = json_array_get(json_object_get(t->index, "manifests"), 0), *all = json_array();
	_cleanup_strv_ struct strv l = STRV_INIT;

	for (size_t i = 0; add && i < json_array_size(tags); i++)
		strv_add(&l, json_string_value(json_array_get(tags, i)));
	for (size_t i = 0; i < names->len; i++)
		if (!strv_has(&l, names->v[i]))
			strv_add(&l, names->v[i]);
	if (!entry || !one) {
		json_decref(all);
		return bad(t, err);
	}
	tags = json_array();
	for (size_t i = 0; i < l.len; i++) {
		json_t *d = json_deep_copy(one);

		json_object_set_new(d, "annotations", json_pack("{s:s, s:s}", REF_NAME, tag_of(l.v[i]), FULL_NAME, l.v[i]));
		json_array_append_new(all, d);
		json_array_append_new(tags, json_string(l.v[i]));
	}
	json_object_set_new(entry, "RepoTags", tags);
	json_object_set_new(t->index, "manifests", all);
	return 0;
}

static int put_json(struct retag *t, const char *name, const json_t *j, struct error **err)
{
	_cleanup_free_ char *text = json_dumps(j, JSON_COMPACT | JSON_SORT_KEYS);

	if (!text || put_header(t, name, strlen(text), err) < 0 || sink_write(&t->out, text, strlen(text), err) < 0)
		return text ? -1 : bad(t, err);
	return sink_pad(&t->out, USTAR_BLOCK, err);
}

int image_retag(const char *file, const struct strv *names, bool add, struct error **err)
{
	static const char end[2 * USTAR_BLOCK];
	_cleanup_free_ char *block = xmalloc(BLOCK);
	struct retag t = { .file = file, .block = block };
	struct output out;
	int rc;

	if (output_open(&out, file, true, true, err) < 0)
		return -1;
	t.out = (struct sink){ .fd = out.fd, .what = file };
	rc = read_all(&t, err);
	if (rc == 0)
		rc = rename_all(&t, names, add, err);
	if (rc == 0 && (put_json(&t, INDEX, t.index, err) < 0 || put_json(&t, MANIFEST, t.manifest, err) < 0 ||
			       sink_write(&t.out, end, sizeof end, err) < 0 || output_commit(&out, err) < 0))
		rc = -1;
	output_abort(&out);
	json_decref(t.index);
	json_decref(t.manifest);
	return rc;
}
