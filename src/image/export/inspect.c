/* SPDX-License-Identifier: Apache-2.0 */
#include "image/export/inspect.h"
#include "image/export/container.h"
#include "image/export/root.h"

#include "base/buf.h"
#include "base/cleanup.h"
#include "base/mem.h"

#include <jansson.h>
#include <string.h>
#include <sys/stat.h>

#define TEXT_MAX ((size_t)64 << 20) /* of a file that is looked into */
#define PIECE ((size_t)64 << 10)

/* ---- disks ---- */

static const struct {
	uint64_t at;
	const char *magic;
	size_t n;
	const char *name;
} file_systems[] = {
	{ 1024 + 56, "\x53\xef", 2, "ext" },
	{ 0, "XFSB", 4, "xfs" },
	{ 0x10040, "_BHRfS_M", 8, "btrfs" },
	{ 0x36, "FAT", 3, "fat" },
	{ 0x52, "FAT", 3, "fat" },
	{ 3, "NTFS    ", 8, "ntfs" },
	{ 3, "EXFAT   ", 8, "exfat" },
	{ 4086, "SWAPSPACE2", 10, "swap" },
	{ 0, "LUKS\xba\xbe", 6, "luks" },
	{ 512, "LABELONE", 8, "lvm" },
	{ 0, "hsqs", 4, "squashfs" },
	{ 1024, "\xe2\xe1\xf5\xe0", 4, "erofs" },
	{ 32769, "CD001", 5, "iso9660" },
};

static int file_system(struct origin *s, uint64_t start, const char **ret, struct error **err)
{
	*ret = NULL;
	for (size_t i = 0; i < ARRAY_SIZE(file_systems) && !*ret; i++) {
		uint64_t at = start + file_systems[i].at;
		char got[16];

		if (at > s->size || s->size - at < sizeof got)
			continue;
		if (origin_read(s, got, sizeof got, at, err) < 0)
			return -1;
		if (!memcmp(got, file_systems[i].magic, file_systems[i].n))
			*ret = file_systems[i].name;
	}
	return 0;
}

static int disk(struct origin *s, json_t *o, struct error **err)
{
	_cleanup_parts_ struct parts parts = { 0 };
	json_t *list = json_array();

	json_object_set_new(o, "partitions", list);
	if (origin_disk(s, err) < 0 || parts_read(s, &parts, err) < 0)
		return -1;
	json_object_set_new(o, "size", json_integer((json_int_t)s->size));
	json_object_set_new(o, "data", json_integer((json_int_t)origin_data(s, PIECE)));
	json_object_set_new(o, "table", parts.label ? json_string(parts.label) : json_null());
	for (size_t i = 0; i < parts.len; i++) {
		const struct part *p = &parts.v[i];
		const char *fs;

		if (file_system(s, p->start, &fs, err) < 0)
			return -1;
		json_array_append_new(list, json_pack("{s:i, s:I, s:I, s:s?, s:s?, s:s?}", "number", (int)p->number, "start", (json_int_t)p->start, "size",
						    (json_int_t)p->size, "type", p->type, "name", p->name, "file_system", fs));
	}
	return 0;
}

/* ---- roots ---- */

struct look {
	json_t *o, *kernels;
	size_t files, packages;
	char *os, *hostname;
	bool root;
};

static int read_text(struct root *r, struct archive_entry *e, struct buf *b, struct error **err)
{
	ssize_t n;

	if ((uint64_t)archive_entry_size(e) > TEXT_MAX)
		return 0;
	while ((n = root_read(r, buf_reserve(b, PIECE), PIECE, err)) > 0)
		b->len += (size_t)n;
	if (n < 0)
		return -1;
	if (b->data)
		b->data[b->len] = '\0';
	return 0;
}

/* VALUE of a line NAME="VALUE" (os-release(5)); new, or NULL. */
static char *value_of(const char *text, const char *name)
{
	size_t n = strlen(name);

	for (const char *p = text; p && *p; p = strchr(p, '\n') ? strchr(p, '\n') + 1 : NULL)
		if (!strncmp(p, name, n) && p[n] == '=') {
			p += n + 1 + (p[n + 1] == '"');
			return xstrndup(p, strcspn(p, "\"\n"));
		}
	return NULL;
}

static size_t count_packages(const char *text)
{
	size_t n = !strncmp(text, "Package: ", 9);

	for (const char *p = text; (p = strstr(p, "\nPackage: ")); p++)
		n++;
	return n;
}

static int on_entry(void *arg, struct root *r, struct archive_entry *e, struct error **err)
{
	struct look *l = arg;
	const char *path = archive_entry_pathname(e);
	_cleanup_buf_ struct buf b = BUF_INIT;
	bool release = !strcmp(path, "usr/lib/os-release") || !strcmp(path, "etc/os-release"), host = !strcmp(path, "etc/hostname");
	bool status = !strcmp(path, "var/lib/dpkg/status");

	l->files++;
	l->root |= !strncmp(path, "etc", 3) || !strncmp(path, "usr", 3);
	if (!strncmp(path, "boot/vmlinuz-", 13))
		json_array_append_new(l->kernels, json_string(path + 13));
	if (archive_entry_filetype(e) != AE_IFREG || !(release || host || status))
		return 0;
	if (read_text(r, e, &b, err) < 0)
		return -1;
	if (release && !l->os)
		l->os = value_of(buf_str(&b), "PRETTY_NAME");
	else if (host)
		l->hostname = l->hostname ? l->hostname : xstrndup(buf_str(&b), strcspn(buf_str(&b), "\n"));
	else if (status)
		l->packages = count_packages(buf_str(&b));
	return 0;
}

/* A disk without a root that can be read is one all the same. */
static int root(struct origin *s, json_t *o, struct error **err)
{
	_cleanup_error_ struct error *e = NULL;
	_cleanup_root_ struct root *r = root_open(s, &e);
	struct look l = { .o = o, .kernels = json_array() };
	int rc = 0;

	if (!r && e->cls != ERR_NOT_FOUND) {
		json_decref(l.kernels);
		return error_move(err, &e);
	}
	if (r)
		rc = root_each(r, on_entry, &l, err);
	if (rc == 0 && r && l.root) {
		json_object_set_new(o, "root", json_string(root_kind(r)));
		json_object_set_new(o, "os", l.os ? json_string(l.os) : json_null());
		json_object_set_new(o, "hostname", l.hostname && *l.hostname ? json_string(l.hostname) : json_null());
		json_object_set(o, "kernels", l.kernels);
		json_object_set_new(o, "packages", json_integer((json_int_t)l.packages));
	}
	if (rc == 0 && r)
		json_object_set_new(o, "files", json_integer((json_int_t)l.files));
	json_decref(l.kernels);
	free(l.os);
	free(l.hostname);
	return rc;
}

/* Names and layers, when it is a container's image. */
static int container(const char *file, json_t *o, struct error **err)
{
	_cleanup_strv_ struct strv layers = STRV_INIT, names = STRV_INIT;
	json_t *tags;
	int rc = container_layers(file, &layers, err);

	if (rc)
		return rc < 0 ? -1 : 0;
	if (container_names(file, &names, err) < 0)
		return -1;
	json_object_set_new(o, "layers", json_integer((json_int_t)layers.len));
	json_object_set_new(o, "tags", tags = json_array());
	for (size_t i = 0; i < names.len; i++)
		json_array_append_new(tags, json_string(names.v[i]));
	return 0;
}

/* ---- the whole ---- */

static const char *const kinds[] = { [SNIFF_DISK] = "disk", [SNIFF_ISO] = "cd", [SNIFF_TAR] = "archive", [SNIFF_COMPRESSED] = "compressed",
	[SNIFF_SQUASHFS] = "file system", [SNIFF_EROFS] = "file system" };

char *image_inspect(const char *what, struct error **err)
{
	_cleanup_origin_ struct origin s = { .fd = -1, .server = PROC_INIT };
	json_t *o = NULL;
	char *text = NULL;
	struct stat st;
	int rc = origin_open(&s, what, err);

	if (rc == 0) {
		o = json_pack("{s:s}", "image", s.what);
		json_object_set_new(o, "kind", json_string(s.file ? kinds[s.sniff.kind] : "kernel and initramfs"));
		if (s.file)
			json_object_set_new(o, "format", json_string(s.sniff.format));
		if (s.file && stat(s.file, &st) == 0)
			json_object_set_new(o, "file_bytes", json_integer((json_int_t)st.st_size));
		if (s.file && (s.sniff.kind == SNIFF_DISK || s.sniff.kind == SNIFF_ISO))
			rc = disk(&s, o, err);
		if (rc == 0 && s.file && s.sniff.kind == SNIFF_TAR)
			rc = container(s.file, o, err);
		/* what is only compressed need not be an archive */
		if (rc == 0 && root(&s, o, err) < 0) {
			if (s.sniff.kind == SNIFF_COMPRESSED && (*err)->cls == ERR_FAILED)
				error_clear(err);
			else
				rc = -1;
		}
	}
	if (rc == 0 && !(text = json_dumps(o, 0)))
		error_set(err, ERR_FAILED, "%s: a name in it is not UTF-8", what);
	json_decref(o);
	return text;
}
