/* SPDX-License-Identifier: Apache-2.0 */
#include "build/media.h"

#include "base/cleanup.h"
#include "base/file.h"
#include "base/mem.h"
#include "base/path.h"
#include "base/proc.h"

#include <errno.h>
#include <fcntl.h>
#include <glob.h>
#include <string.h>

#define TOOL_MS 600000
#define FLOPPY_BYTES 1474560

static bool has(const struct conf *c, const char *key)
{
	const struct val *v = conf_val(c, key);

	return v && v->len;
}

bool media_wants_floppy(const struct conf *c)
{
	return has(c, "floppy_files") || has(c, "floppy_dirs") || has(c, "floppy_content");
}

bool media_wants_cd(const struct conf *c)
{
	return has(c, "cd_files") || has(c, "cd_content");
}

/* Paths that the patterns of a key fit; each must fit something. */
static int expand(const struct conf *c, const char *key, struct strv *ret, struct error **err)
{
	_cleanup_strv_ struct strv patterns = STRV_INIT;

	conf_list(c, key, &patterns);
	for (size_t i = 0; i < patterns.len; i++) {
		glob_t g;

		if (glob(patterns.v[i], 0, NULL, &g) != 0) {
			val_error(conf_at(c, key), err, "%s: nothing fits '%s'", key, patterns.v[i]);
			(*err)->cls = ERR_NOT_FOUND;
			return -1;
		}
		for (size_t k = 0; k < g.gl_pathc; k++)
			strv_add(ret, g.gl_pathv[k]);
		globfree(&g);
	}
	return 0;
}

int media_hash(const struct conf *c, struct sha *s, struct error **err)
{
	static const char *const lists[] = { "floppy_files", "floppy_dirs", "cd_files" };
	static const char *const contents[] = { "floppy_content", "cd_content" };

	for (size_t i = 0; i < ARRAY_SIZE(lists); i++) {
		_cleanup_strv_ struct strv paths = STRV_INIT;

		if (expand(c, lists[i], &paths, err) < 0)
			return -1;
		for (size_t k = 0; k < paths.len; k++) {
			sha_adds(s, paths.v[k]);
			if (inputs_path(s, paths.v[k], err) < 0)
				return -1;
		}
	}
	for (size_t i = 0; i < ARRAY_SIZE(contents); i++) {
		const struct val *v = conf_val(c, contents[i]);

		for (size_t k = 0; v && k < v->len; k++) {
			sha_adds(s, v->keys[k]);
			sha_adds(s, v->items[k]->text);
		}
	}
	sha_adds(s, conf_text(c, "floppy_label"));
	sha_adds(s, conf_text(c, "cd_label"));
	return 0;
}

/* Texts as files below dir. */
static int write_content(const struct conf *c, const char *key, const char *dir, struct error **err)
{
	const struct val *v = conf_val(c, key);

	for (size_t i = 0; v && i < v->len; i++) {
		const char *name = v->keys[i] + strspn(v->keys[i], "/");
		_cleanup_free_ char *path = path_join(dir, name), *parent = path_dirname(path);

		if (!*name || strstr(name, ".."))
			return val_error(v->items[i], err, "%s: '%s' is no path on the medium", key, v->keys[i]);
		if (file_mkdirs(parent, 0755, err) < 0 || file_write(path, v->items[i]->text, strlen(v->items[i]->text), 0644, err) < 0)
			return -1;
	}
	return 0;
}

static int tool(const struct strv *argv, const char *package, struct error **err)
{
	if (proc_run((const char *const *)argv->v, TOOL_MS, NULL, NULL, err) == 0)
		return 0;
	return (*err)->cls == ERR_NOT_FOUND ? error_hint(err, "install the package %s", package) : -1;
}

static int mcopy(const char *image, const struct strv *paths, struct error **err)
{
	_cleanup_strv_ struct strv argv = STRV_INIT;

	if (!paths->len)
		return 0;
	strv_addv(&argv, (const char *const[]){ "mcopy", "-s", "-o", "-i", image, NULL });
	strv_addv(&argv, (const char *const *)paths->v);
	strv_add(&argv, "::/");
	return tool(&argv, "mtools", err);
}

/* All that stands directly in a folder. */
static int entries(const char *dir, struct strv *ret)
{
	_cleanup_free_ char *pattern = xasprintf("%s/*", dir);
	glob_t g;

	if (glob(pattern, 0, NULL, &g) != 0)
		return 0;
	for (size_t i = 0; i < g.gl_pathc; i++)
		strv_add(ret, g.gl_pathv[i]);
	globfree(&g);
	return 0;
}

static int blank_floppy(const struct conf *c, const char *path, struct error **err)
{
	_cleanup_close_ int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
	_cleanup_strv_ struct strv argv = STRV_INIT;

	if (fd < 0 || ftruncate(fd, FLOPPY_BYTES) < 0)
		return error_errno(err, errno, "%s", path);
	strv_addv(&argv, (const char *const[]){ "mformat", "-i", path, "-f", "1440", "-v", conf_text(c, "floppy_label"), "::", NULL });
	return tool(&argv, "mtools", err);
}

int media_make_floppy(const struct conf *c, const char *path, struct error **err)
{
	_cleanup_free_ char *dir = xasprintf("%s.content", path);
	_cleanup_strv_ struct strv files = STRV_INIT, dirs = STRV_INIT, all = STRV_INIT;
	_cleanup_error_ struct error *e = NULL;
	int rc;

	if (expand(c, "floppy_files", &files, err) < 0 || expand(c, "floppy_dirs", &dirs, err) < 0)
		return -1;
	/* files of subfolders lie flat on it, as Packer has it; folders of floppy_dirs stay folders */
	for (size_t i = 0; i < files.len; i++) {
		if (file_is_dir(files.v[i]))
			entries(files.v[i], &all);
		else
			strv_add(&all, files.v[i]);
	}
	strv_addv(&all, dirs.v ? (const char *const *)dirs.v : (const char *const[]){ NULL });
	if (file_remove_tree(dir, err) < 0 || file_mkdirs(dir, 0700, err) < 0)
		return -1;
	rc = write_content(c, "floppy_content", dir, err);
	entries(dir, &all);
	if (rc == 0)
		rc = blank_floppy(c, path, err) < 0 || mcopy(path, &all, err) < 0 ? error_wrap(err, "floppy") : 0;
	file_remove_tree(dir, &e);
	return rc;
}

int media_make_cd(const struct conf *c, const char *path, struct error **err)
{
	_cleanup_free_ char *dir = xasprintf("%s.content", path);
	_cleanup_strv_ struct strv files = STRV_INIT, argv = STRV_INIT;
	_cleanup_error_ struct error *e = NULL;
	int rc;

	if (expand(c, "cd_files", &files, err) < 0 || file_remove_tree(dir, err) < 0 || file_mkdirs(dir, 0700, err) < 0)
		return -1;
	rc = write_content(c, "cd_content", dir, err);
	strv_addv(&argv, (const char *const[]){ "xorriso", "-as", "mkisofs", "-quiet", "-J", "-joliet-long", "-R", "-V", conf_text(c, "cd_label"), "-o",
				 path, "-graft-points", NULL });
	/* what is named goes under its own name to the top; a text overrides a file */
	for (size_t i = 0; i < files.len; i++) {
		size_t n = strlen(files.v[i]);

		while (n > 1 && files.v[i][n - 1] == '/')
			files.v[i][--n] = '\0';
		strv_addf(&argv, "/%s=%s", path_basename(files.v[i]), files.v[i]);
	}
	strv_addf(&argv, "/=%s", dir);
	if (rc == 0)
		rc = file_unlink(path, err) < 0 || tool(&argv, "xorriso", err) < 0 ? error_wrap(err, "CD") : 0;
	file_remove_tree(dir, &e);
	return rc;
}
