/* SPDX-License-Identifier: Apache-2.0 */
#include "build/iso.h"
#include "build/digest.h"
#include "image/fetch.h"

#include "base/cleanup.h"
#include "base/file.h"
#include "base/mem.h"
#include "base/path.h"

#include <ctype.h>
#include <string.h>
#include <strings.h>
#include <sys/stat.h>

#define LIST_MAX ((size_t)16 << 20)
#define LOCK_MS 3600000

int iso_checksum_parse(const char *text, const char **type, const char **hex, struct error **err)
{
	const char *colon = strchr(text, ':');
	_cleanup_free_ char *word = colon ? xstrndup(text, (size_t)(colon - text)) : NULL;
	const char *by_length;

	*type = NULL;
	*hex = colon ? colon + 1 : text;
	if (!strcasecmp(text, "none") || (word && !strcasecmp(word, "none")))
		return 0;
	by_length = digest_by_length(strlen(*hex));
	if ((*hex)[strspn(*hex, "0123456789abcdefABCDEF")] || !by_length)
		return error_set(err, ERR_USAGE, "iso_checksum: '%s' is no checksum; wanted are \"sha256:HEX\", \"file:LIST\" or \"none\"", text);
	if (word && strcasecmp(word, by_length))
		return error_set(err, ERR_USAGE, "iso_checksum: '%s' has %zu digits, which is no %s", text, strlen(*hex), word);
	*type = by_length;
	return 0;
}

/* "SHA256 (NAME) = HEX" or "HEX  NAME", "HEX *NAME". */
static char *of_line(const char *line, const char *name)
{
	const char *open = strstr(line, " ("), *shut = open ? strstr(open, ") = ") : NULL;
	size_t n = strspn(line, "0123456789abcdefABCDEF");
	const char *rest;

	if (shut && (size_t)(shut - open - 2) == strlen(name) && !strncmp(open + 2, name, strlen(name)))
		return xstrdup(shut + 4);
	if (n < 32 || !isspace((unsigned char)line[n]))
		return NULL;
	rest = line + n;
	rest += strspn(rest, " \t");
	rest += *rest == '*';
	if (!strncmp(rest, "./", 2))
		rest += 2;
	return strcmp(rest, name) && strcmp(path_basename(rest), name) ? NULL : xstrndup(line, n);
}

char *iso_checksum_find(const char *list, const char *name)
{
	_cleanup_strv_ struct strv lines = STRV_INIT;

	strv_split(&lines, list, "\r\n");
	for (size_t i = 0; i < lines.len; i++) {
		char *hex = of_line(lines.v[i], name);

		if (hex)
			return hex;
	}
	/* a file with the digits alone */
	if (lines.len == 1 && !lines.v[0][strspn(lines.v[0], "0123456789abcdefABCDEF")] && digest_by_length(strlen(lines.v[0])))
		return xstrdup(lines.v[0]);
	return NULL;
}

static bool is_url(const char *s)
{
	return !strncmp(s, "http://", 7) || !strncmp(s, "https://", 8);
}

/* A path of this computer; file:// URLs are. */
static const char *local_path(const char *s)
{
	return !strncmp(s, "file://", 7) ? s + 7 : !strncmp(s, "file:", 5) ? s + 5 : s;
}

/* The checksum that is meant: out of a list when there is one. */
static int resolve(const struct conf *c, const char *url, char **ret, struct error **err)
{
	const char *text = conf_text(c, "iso_checksum"), *at = text + 5;
	_cleanup_buf_ struct buf list = BUF_INIT;
	_cleanup_free_ char *name = xstrndup(path_basename(url), strcspn(path_basename(url), "?#"));

	if (strncmp(text, "file:", 5)) {
		*ret = xstrdup(text);
		return 0;
	}
	if ((is_url(at) ? fetch(at, NULL, LIST_MAX, &list, err) : file_read(local_path(at), LIST_MAX, &list, err)) < 0)
		return error_wrap(err, "iso_checksum");
	*ret = iso_checksum_find(buf_str(&list), name);
	return *ret ? 0 : error_set(err, ERR_FAILED, "iso_checksum: %s names no '%s'", at, name);
}

/* A file that was found right once is not read again until it changes. */
static char *stamp_path(const char *path, const char *hex, const struct stat *st)
{
	_cleanup_free_ char *text = xasprintf("%s %lld %lld.%ld %llu %s", path, (long long)st->st_size, (long long)st->st_mtim.tv_sec,
		st->st_mtim.tv_nsec, (unsigned long long)st->st_ino, hex);
	_cleanup_free_ char *sub = NULL;
	char key[SHA_HEX];

	sha_bytes(text, strlen(text), key);
	sub = xasprintf("iso/checked/%.32s", key);
	return path_cache(sub);
}

static int verify(struct build *b, const char *path, const char *checksum, struct error **err)
{
	_cleanup_free_ char *stamp = NULL, *dir = NULL;
	const char *type, *hex;
	char got[DIGEST_HEX];
	struct stat st;

	if (iso_checksum_parse(checksum, &type, &hex, err) < 0 || !type)
		return *err ? -1 : 0;
	if (stat(path, &st) < 0)
		return error_set(err, ERR_NOT_FOUND, "%s is not there", path);
	stamp = stamp_path(path, hex, &st);
	if (file_exists(stamp))
		return 0;
	if (digest_file(type, path, got, err) < 0)
		return -1;
	if (strcasecmp(got, hex)) {
		error_set(err, ERR_FAILED, "%s: Checksums did not match. Expected: %s:%s, got: %s", path, type, hex, got);
		return error_hint(err, "the file is damaged or another one, or the template names an older version");
	}
	dir = path_dirname(stamp);
	return file_mkdirs(dir, 0700, err) < 0 ? -1 : file_write(stamp, "", 0, 0600, err);
}

static char *cache_path(const struct conf *c, const char *url, const char *checksum)
{
	const char *given = conf_text(c, "iso_target_path"), *type, *hex;
	_cleanup_error_ struct error *e = NULL;
	_cleanup_free_ char *sub = NULL;
	char key[SHA_HEX];

	if (given && *given)
		return path_absolute(given);
	if (iso_checksum_parse(checksum, &type, &hex, &e) < 0 || !type)
		hex = url;
	sha_bytes(hex, strlen(hex), key);
	sub = xasprintf("iso/%.40s.%s", key, conf_text(c, "iso_target_extension"));
	return path_cache(sub);
}

static int download(struct build *b, const char *url, const char *checksum, char **ret, struct error **err)
{
	_cleanup_free_ char *path = cache_path(&b->conf, url, checksum), *dir = path_dirname(path), *lock = xasprintf("%s.lock", path);
	_cleanup_close_ int fd = -1;

	if (file_mkdirs(dir, 0755, err) < 0 || (fd = file_lock(lock, true, LOCK_MS, err)) < 0)
		return -1;
	if (file_exists(path) && !conf_bool(&b->conf, "iso_skip_cache") && verify(b, path, checksum, err) == 0) {
		*ret = STEAL(path);
		return 0;
	}
	error_clear(err);
	ui_say(b->ui, b->name, "Retrieving ISO: %s", url);
	if (fetch_file(url, path_basename(url), path, err) < 0)
		return -1;
	if (verify(b, path, checksum, err) < 0) {
		unlink(path);
		return -1;
	}
	*ret = STEAL(path);
	return 0;
}

static int get_one(struct build *b, const char *url, char **ret, struct sha *s, struct error **err)
{
	_cleanup_free_ char *checksum = NULL;
	const char *type, *hex;
	struct stat st;

	if (resolve(&b->conf, url, &checksum, err) < 0)
		return -1;
	if (is_url(url)) {
		if (download(b, url, checksum, ret, err) < 0)
			return -1;
	} else {
		_cleanup_free_ char *path = path_absolute(local_path(url));

		if (access(path, R_OK) < 0)
			return error_set(err, ERR_NOT_FOUND, "%s is not there, or cannot be read", path);
		if (verify(b, path, checksum, err) < 0)
			return -1;
		*ret = STEAL(path);
	}
	if (iso_checksum_parse(checksum, &type, &hex, err) < 0)
		return -1;
	sha_adds(s, type ? hex : *ret);
	if (!type && stat(*ret, &st) == 0) {
		sha_add(s, &st.st_size, sizeof st.st_size);
		sha_add(s, &st.st_mtim, sizeof st.st_mtim);
	}
	return 0;
}

int iso_get(struct build *b, char **path, struct sha *s, struct error **err)
{
	_cleanup_strv_ struct strv urls = STRV_INIT;

	if (conf_given(&b->conf, "iso_url"))
		strv_add(&urls, conf_text(&b->conf, "iso_url"));
	conf_list(&b->conf, "iso_urls", &urls);
	for (size_t i = 0; i < urls.len; i++) {
		error_clear(err);
		if (get_one(b, urls.v[i], path, s, err) == 0)
			return 0;
		if ((*err)->cls == ERR_INTR || (*err)->cls == ERR_USAGE)
			return -1;
		if (i + 1 < urls.len)
			ui_message(b->ui, b->name, "%s", (*err)->msg);
	}
	return urls.len ? -1 : error_set(err, ERR_USAGE, "iso_url: it is empty");
}
