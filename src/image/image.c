/* SPDX-License-Identifier: Apache-2.0 */
#include "image/image.h"
#include "base/cleanup.h"
#include "base/fault.h"
#include "base/file.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/path.h"
#include "base/units.h"
#include "image/internal.h"

#include <errno.h>
#include <fcntl.h>
#include <jansson.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>

#define TEMP_PREFIX ".tmp-"

static char *image_dir(const char *name)
{
	_cleanup_free_ char *images = path_data("images");

	return path_join(images, name);
}

static json_t *load_json(const char *path, struct error **err)
{
	_cleanup_buf_ struct buf b = BUF_INIT;
	json_error_t je;
	json_t *j;

	if (file_read(path, 1 << 20, &b, err) < 0)
		return NULL;
	j = json_loads(buf_str(&b), 0, &je);
	if (!j)
		error_set(err, ERR_FAILED, "%s:%d:%d: %s", path, je.line, je.column, je.text);
	return j;
}

static char *text_of(json_t *j, const char *key)
{
	return xstrdup(json_string_value(json_object_get(j, key)));
}

/* Files are named below the image's folder, so that it can be moved. */
static char *file_of(json_t *j, const char *dir, const char *key)
{
	const char *s = json_string_value(json_object_get(j, key));

	return s ? path_join(dir, s) : NULL;
}

static int unknown(const char *name, struct error **err)
{
	_cleanup_strv_ struct strv names = STRV_INIT;
	_cleanup_error_ struct error *e = NULL;
	const char *near;

	image_names(&names, &e);
	near = nearest_name(name, (const char *const *)names.v, names.len);
	error_set(err, ERR_NOT_FOUND, "image %s: there is none of that name", name);
	if (near)
		return error_hint(err, "did you mean '%s'?", near);
	if (!strcmp(name, "tiny"))
		return error_hint(err, "make it with: croft image make tiny");
	return error_hint(err, "see: croft image list; make one with croft image make, or croft "
			       "image import FILE");
}

struct image *image_open(const char *name, struct error **err)
{
	_cleanup_free_ char *dir = NULL, *path = NULL;
	struct image *i;
	json_t *j;

	if (name_check("image", name, err) < 0)
		return NULL;
	dir = image_dir(name);
	path = path_join(dir, "image.json");
	if (!file_exists(path)) {
		unknown(name, err);
		return NULL;
	}
	j = load_json(path, err);
	if (!j)
		return NULL;
	i = xcalloc(1, sizeof(*i));
	i->name = xstrdup(name);
	i->arch = text_of(j, "arch");
	i->os = text_of(j, "os");
	i->kernel = file_of(j, dir, "kernel");
	i->initrd = file_of(j, dir, "initrd");
	i->cmdline = text_of(j, "cmdline");
	i->disk = file_of(j, dir, "disk");
	i->format = text_of(j, "format");
	i->disk_size = (uint64_t)json_integer_value(json_object_get(j, "disk_size"));
	i->memory = (uint64_t)json_integer_value(json_object_get(j, "memory"));
	i->firmware = text_of(j, "firmware");
	i->agent = json_is_true(json_object_get(j, "agent"));
	i->cloud_init = json_is_true(json_object_get(j, "cloud_init"));
	i->sha256 = text_of(j, "sha256");
	i->source = text_of(j, "source");
	i->created = text_of(j, "created");
	i->index = text_of(j, "index");
	i->dir = STEAL(dir);
	json_decref(j);
	return i;
}

static void free_fields(struct image *i)
{
	char **all[] = { &i->name, &i->dir, &i->arch, &i->os, &i->kernel, &i->initrd, &i->cmdline,
		&i->disk, &i->format, &i->firmware, &i->sha256, &i->source, &i->created, &i->index };

	for (size_t n = 0; n < ARRAY_SIZE(all); n++)
		free(*all[n]);
}

void image_free(struct image *i)
{
	if (!i)
		return;
	free_fields(i);
	free(i);
}

int image_names(struct strv *ret, struct error **err)
{
	_cleanup_free_ char *dir = path_data("images");
	_cleanup_closedir_ DIR *d = opendir(dir);

	if (!d)
		return errno == ENOENT ? 0 : error_errno(err, errno, "%s", dir);
	for (struct dirent *e; (e = readdir(d));) {
		_cleanup_free_ char *json = xasprintf("%s/%s/image.json", dir, e->d_name);

		if (e->d_name[0] != '.' && file_exists(json))
			strv_add(ret, e->d_name);
	}
	strv_sort(ret);
	return 0;
}

char *image_key(const char *name)
{
	_cleanup_free_ char *dir = image_dir(name), *path = path_join(dir, "image.json");
	_cleanup_error_ struct error *e = NULL;
	json_t *j = load_json(path, &e);
	char *key = j ? text_of(j, "key") : NULL;

	json_decref(j);
	return key;
}

int image_set_index(const char *name, const char *index, struct error **err)
{
	_cleanup_free_ char *dir = image_dir(name), *path = path_join(dir, "image.json"), *text = NULL;
	json_t *j = load_json(path, err);

	if (!j)
		return -1;
	json_object_set_new(j, "index", json_string(index));
	text = json_dumps(j, JSON_INDENT(2));
	json_decref(j);
	return file_writef(path, 0600, err, "%s\n", text);
}

/* Does this machine's definition lie over the image? */
static bool uses(const char *machine_json, const char *image)
{
	_cleanup_error_ struct error *e = NULL;
	json_t *j = load_json(machine_json, &e), *disk;
	const char *s = j ? json_string_value(json_object_get(j, "image")) : NULL;
	bool found = s && !strcmp(s, image);
	size_t i;

	json_array_foreach(json_object_get(j, "disks"), i, disk)
	{
		s = json_string_value(json_object_get(disk, "image"));
		found |= s && !strcmp(s, image);
	}
	json_decref(j);
	return found;
}

/* Machines are DATA/machines/NAME or, in a group, one folder deeper. */
static void find_users(const char *dir, const char *prefix, const char *image, struct strv *users)
{
	_cleanup_closedir_ DIR *d = opendir(dir);

	for (struct dirent *e; d && (e = readdir(d));) {
		_cleanup_free_ char *sub = path_join(dir, e->d_name),
				    *json = path_join(sub, "machine.json");
		_cleanup_free_ char *name = xasprintf("%s%s", prefix, e->d_name);

		if (e->d_name[0] == '.')
			continue;
		if (file_exists(json)) {
			if (uses(json, image))
				strv_add(users, name);
		} else if (!*prefix && file_is_dir(sub)) {
			_cleanup_free_ char *group = xasprintf("%s/", name);

			find_users(sub, group, image, users);
		}
	}
}

int image_unused(const char *name, struct error **err)
{
	_cleanup_free_ char *machines = path_data("machines"), *list = NULL;
	_cleanup_strv_ struct strv users = STRV_INIT;

	find_users(machines, "", name, &users);
	if (!users.len)
		return 0;
	strv_sort(&users);
	list = strv_join(&users, ", ");
	error_set(err, ERR_STATE, "image %s: disks of machines lie over it: %s", name, list);
	return error_hint(err,
		"remove these machines first, or make the other image under another name (--name)");
}

char *image_begin(const char *name, int *lock, struct error **err)
{
	_cleanup_free_ char *images = path_data("images"),
			    *lock_path = path_join(images, FILE_LOCK_NAME), *dir = NULL;
	_cleanup_closedir_ DIR *d = NULL;

	if (name_check("image", name, err) < 0 || file_mkdirs(images, 0700, err) < 0)
		return NULL;
	*lock = file_lock(lock_path, true, 0, err);
	if (*lock < 0)
		return NULL;
	d = opendir(images);
	for (struct dirent *e; d && (e = readdir(d));) {
		_cleanup_free_ char *old = path_join(images, e->d_name);
		_cleanup_error_ struct error *ignored = NULL;

		if (strncmp(e->d_name, TEMP_PREFIX, strlen(TEMP_PREFIX)))
			continue;
		log_info("%s: left by a command that was ended, removed", old);
		file_remove_tree(old, &ignored);
	}
	dir = xasprintf("%s/" TEMP_PREFIX "%s", images, name);
	if (file_mkdirs(dir, 0700, err) < 0)
		return NULL;
	return STEAL(dir);
}

void image_abort(const char *dir)
{
	_cleanup_error_ struct error *ignored = NULL;

	if (dir)
		file_remove_tree(dir, &ignored);
}

static void put(json_t *j, const char *key, const char *value, bool file)
{
	if (value)
		json_object_set_new(j, key, json_string(file ? path_basename(value) : value));
}

static int write_json(const char *dir, const struct image *img, const char *key, struct error **err)
{
	_cleanup_free_ char *path = path_join(dir, "image.json"), *text = NULL;
	json_t *j = json_object();
	char now[32];
	time_t t = time(NULL);
	struct tm tm;
	int rc;

	strftime(now, sizeof(now), "%Y-%m-%dT%H:%M:%SZ", gmtime_r(&t, &tm));
	put(j, "name", img->name, false);
	put(j, "arch", img->arch, false);
	put(j, "os", img->os, false);
	put(j, "kernel", img->kernel, true);
	put(j, "initrd", img->initrd, true);
	put(j, "cmdline", img->cmdline, false);
	put(j, "disk", img->disk, true);
	put(j, "format", img->format, false);
	json_object_set_new(j, "disk_size", json_integer((json_int_t)img->disk_size));
	if (img->memory)
		json_object_set_new(j, "memory", json_integer((json_int_t)img->memory));
	put(j, "firmware", img->firmware, false);
	json_object_set_new(j, "agent", json_boolean(img->agent));
	json_object_set_new(j, "cloud_init", json_boolean(img->cloud_init));
	put(j, "sha256", img->sha256, false);
	put(j, "source", img->source, false);
	put(j, "key", key, false);
	put(j, "created", now, false);
	put(j, "index", img->index, false);
	text = json_dumps(j, JSON_INDENT(2));
	json_decref(j);
	rc = file_writef(path, 0600, err, "%s\n", text);
	return rc;
}

/*
 * Swaps two folders in one step (renameat2(2)), so that there is an image of the name at each
 * instant. *done is false where the file system cannot.
 */
static int exchange(const char *a, const char *b, bool *done, struct error **err)
{
	_cleanup_free_ char *parent = path_dirname(b);
	_cleanup_close_ int fd = open(parent, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	int failed = fault(FAULT_RENAME);

	*done = false;
	if (fd < 0)
		return error_errno(err, errno, "%s", parent);
	if (failed)
		return error_errno(err, failed, "%s: cannot put in place", b);
	if (renameat2(AT_FDCWD, a, AT_FDCWD, b, RENAME_EXCHANGE) < 0) {
		if (errno == EINVAL || errno == ENOSYS || errno == EOPNOTSUPP)
			return 0;
		return error_errno(err, errno, "%s: cannot put in place", b);
	}
	*done = true;
	return file_fsync(fd, parent, err);
}

static int replace(const char *dir, const char *target, struct error **err)
{
	_cleanup_free_ char *old = xasprintf("%s-old", dir);
	_cleanup_error_ struct error *ignored = NULL;
	bool done;

	if (exchange(dir, target, &done, err) < 0)
		return -1;
	if (done) {
		file_remove_tree(dir, &ignored);
		return 0;
	}
	/* Without the exchange: killed between the two, the image is gone and must be made again.
	 */
	if (file_rename(target, old, err) < 0 || file_rename(dir, target, err) < 0)
		return -1;
	file_remove_tree(old, &ignored);
	return 0;
}

int image_commit(const char *dir, struct image *img, const char *key, struct error **err)
{
	_cleanup_free_ char *target = image_dir(img->name);

	if (write_json(dir, img, key, err) < 0)
		return -1;
	if (!file_exists(target))
		return file_rename(dir, target, err);
	if (image_unused(img->name, err) < 0)
		return -1;
	return replace(dir, target, err);
}

int image_remove(const char *name, bool force, struct error **err)
{
	_cleanup_image_ struct image *img = image_open(name, err);
	_cleanup_free_ char *images = path_data("images"),
			    *lock_path = path_join(images, FILE_LOCK_NAME);
	_cleanup_free_ char *gone = xasprintf("%s/" TEMP_PREFIX "%s-removed", images, name);
	_cleanup_close_ int lock = -1;

	if (!img || (!force && image_unused(name, err) < 0))
		return -1;
	lock = file_lock(lock_path, true, 0, err);
	if (lock < 0 || file_remove_tree(gone, err) < 0 || file_rename(img->dir, gone, err) < 0)
		return -1;
	return file_remove_tree(gone, err);
}
