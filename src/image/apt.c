/* SPDX-License-Identifier: Apache-2.0 */
#include "image/apt.h"
#include "base/cleanup.h"
#include "base/file.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/path.h"
#include "base/proc.h"
#include "base/units.h"
#include "image/fetch.h"
#include "image/sha.h"

#include <archive.h>
#include <archive_entry.h>
#include <curl/curl.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define RELEASE_MAX ((size_t)8 << 20)
#define INDEX_MAX ((size_t)1 << 30)

struct apt {
	struct apt_source src;
	char *cache;         /* CACHE/debian */
	struct buf packages; /* the index, unpacked */
	time_t date;
	char index_sha[SHA_HEX]; /* of the index, packed, and its size */
	uint64_t index_size;
};

static char *in_cache(struct apt *a, const char *kind, const char *name)
{
	return xasprintf("%s/%s/%s", a->cache, kind, name);
}

/*
 * The text that the signature covers, into b. gpgv writes it only when a key of the keyring has
 * signed, so that nothing outside of the signature is ever parsed.
 */
static int verify(struct apt *a, const char *inrelease, struct buf *b, struct error **err)
{
	_cleanup_free_ char *out = xasprintf("%s.verified", inrelease);
	const char *argv[] = { "gpgv", "--keyring", a->src.keyring, "--output", out, inrelease,
		NULL };
	int rc;

	if (!file_exists(a->src.keyring)) {
		error_set(err, ERR_NOT_FOUND,
			"%s: the keyring that Debian signs its archive with is not here",
			a->src.keyring);
		return error_hint(
			err, "install debian-archive-keyring, or name a keyring in CROFT_KEYRING");
	}
	if (file_unlink(out, err) < 0)
		return -1;
	rc = proc_run(argv, 60000, NULL, NULL, err);
	if (rc < 0)
		error_wrap(err, "%s/dists/%s/InRelease: the signature does not verify",
			a->src.mirror, a->src.release);
	else
		rc = file_read(out, RELEASE_MAX, b, err);
	unlink(out);
	return rc;
}

/* A field of Release, new; NULL when absent. */
static char *release_field(const char *release, const char *field)
{
	_cleanup_free_ char *head = xasprintf("%s: ", field);
	size_t n = strlen(head);

	for (const char *p = release; p; p = strchr(p, '\n')) {
		p += *p == '\n';
		if (!strncmp(p, head, n))
			return xstrndup(p + n, strcspn(p + n, "\r\n"));
	}
	return NULL;
}

/*
 * A signature says who, not what and when: a mirror could hand out another release, or one of long
 * ago. What is taken from the cache on request may be old.
 */
static int check_release(struct apt *a, const char *text, struct error **err)
{
	_cleanup_free_ char *suite = release_field(text, "Suite"),
			    *codename = release_field(text, "Codename"),
			    *until = release_field(text, "Valid-Until");
	time_t end;

	if ((!suite || strcmp(suite, a->src.release)) &&
		(!codename || strcmp(codename, a->src.release)))
		return error_set(err, ERR_FAILED, "%s/dists/%s/InRelease: is of %s, not of %s",
			a->src.mirror, a->src.release, codename ? codename : "no known release",
			a->src.release);
	if (!until || a->src.offline)
		return 0;
	end = curl_getdate(until, NULL);
	if (end != (time_t)-1 && end >= time(NULL))
		return 0;
	error_set(err, ERR_FAILED, "%s/dists/%s/InRelease: was valid until %s", a->src.mirror,
		a->src.release, until);
	return error_hint(err, "the mirror is behind, or this host's clock is wrong");
}

/* Looks the SHA-256 and size of a file up in the text of Release. */
static int release_entry(struct apt *a, const char *release, const char *file, char sha[SHA_HEX],
	uint64_t *size, struct error **err)
{
	const char *p = strstr(release, "\nSHA256:");

	for (p = p ? strchr(p + 1, '\n') : NULL; p && p[1] == ' '; p = strchr(p + 1, '\n')) {
		char name[256];
		unsigned long long n;

		if (sscanf(p + 1, " %64s %llu %255s", sha, &n, name) == 3 && !strcmp(name, file) &&
			strlen(sha) == 64) {
			*size = n;
			return 0;
		}
	}
	return error_set(err, ERR_FAILED, "%s/dists/%s: the release names no %s", a->src.mirror,
		a->src.release, file);
}

/* A file whose hash is known: from the cache, else fetched, checked, kept. */
static int checked_file(struct apt *a, const char *url, const char *label, const char *sha,
	uint64_t size, const char *suffix, char **path, struct error **err)
{
	_cleanup_free_ char *name = xasprintf("%s%s", sha, suffix), *p = in_cache(a, "files", name);
	_cleanup_buf_ struct buf b = BUF_INIT;
	char got[SHA_HEX];

	if (file_exists(p)) {
		if (sha_file(p, got, err) < 0)
			return -1;
		if (!strcmp(got, sha)) {
			*path = STEAL(p);
			return 0;
		}
		log_warn("%s: damaged in the cache, fetched again", p);
	}
	if (a->src.offline) {
		error_set(err, ERR_NOT_FOUND, "%s: not in the cache", url);
		return error_hint(err, "run once without --offline");
	}
	if (fetch(url, label, size, &b, err) < 0)
		return -1;
	sha_bytes(b.data ? b.data : "", b.len, got);
	if (b.len != size || strcmp(got, sha))
		return error_set(err, ERR_FAILED,
			"%s: has SHA-256 %.16s... and %zu bytes, the signed index says %.16s... "
			"and %llu",
			url, got, b.len, sha, (unsigned long long)size);
	if (file_write(p, b.data, b.len, 0644, err) < 0)
		return -1;
	*path = STEAL(p);
	return 0;
}

/* InRelease of the mirror, verified; the last good one is kept for --offline. */
static int load_release(struct apt *a, struct buf *text, struct error **err)
{
	_cleanup_free_ char *url = xasprintf(
				    "%s/dists/%s/InRelease", a->src.mirror, a->src.release),
			    *kept = NULL;
	_cleanup_free_ char *fresh = NULL;
	_cleanup_buf_ struct buf b = BUF_INIT;
	char sha[SHA_HEX];

	sha_bytes(url, strlen(url), sha);
	kept = in_cache(a, "release", sha);
	if (a->src.offline) {
		if (file_exists(kept))
			return verify(a, kept, text, err);
		error_set(err, ERR_NOT_FOUND, "%s: not in the cache", url);
		return error_hint(err, "run once without --offline");
	}
	if (fetch(url, NULL, RELEASE_MAX, &b, err) < 0)
		return -1;
	fresh = xasprintf("%s.new-%d", kept, (int)getpid());
	if (file_write(fresh, b.data ? b.data : "", b.len, 0644, err) < 0)
		return -1;
	if (verify(a, fresh, text, err) < 0 || file_rename(fresh, kept, err) < 0) {
		unlink(fresh);
		return -1;
	}
	return 0;
}

static int unpack_index(const char *path, struct buf *out, struct error **err)
{
	struct archive *ar = archive_read_new();
	struct archive_entry *entry;
	la_ssize_t n = -1;

	archive_read_support_filter_all(ar);
	archive_read_support_format_raw(ar);
	if (archive_read_open_filename(ar, path, 1 << 16) == ARCHIVE_OK &&
		archive_read_next_header(ar, &entry) == ARCHIVE_OK)
		while ((n = archive_read_data(ar, buf_reserve(out, 1 << 20), 1 << 20)) > 0 &&
			out->len < INDEX_MAX)
			out->len += (size_t)n;
	if (n != 0)
		error_set(err, ERR_FAILED, "%s: cannot unpack: %s", path,
			archive_error_string(ar) ? archive_error_string(ar) : "?");
	archive_read_free(ar);
	buf_addc(out, '\n');
	return n == 0 ? 0 : -1;
}

static char *index_name(struct apt *a)
{
	return xasprintf("main/binary-%s/Packages.xz", a->src.arch);
}

static int open_archive(struct apt *a, struct error **err)
{
	_cleanup_buf_ struct buf release = BUF_INIT;
	_cleanup_free_ char *file = index_name(a), *date = NULL;

	for (int i = 0; i < 2; i++) {
		_cleanup_free_ char *dir = in_cache(a, i ? "files" : "release", "");

		if (file_mkdirs(dir, 0755, err) < 0)
			return -1;
	}
	if (load_release(a, &release, err) < 0 || check_release(a, buf_str(&release), err) < 0 ||
		release_entry(a, buf_str(&release), file, a->index_sha, &a->index_size, err) < 0)
		return -1;
	date = release_field(buf_str(&release), "Date");
	a->date = date ? curl_getdate(date, NULL) : -1;
	return 0;
}

time_t apt_date(const struct apt *a)
{
	return a->date;
}

const char *apt_index_sha(const struct apt *a)
{
	return a->index_sha;
}

int apt_load(struct apt *a, struct error **err)
{
	_cleanup_free_ char *file = index_name(a), *path = NULL;
	_cleanup_free_ char *url = xasprintf("%s/dists/%s/%s", a->src.mirror, a->src.release, file);

	if (a->packages.len)
		return 0;
	if (checked_file(a, url, "package index", a->index_sha, a->index_size, ".xz", &path, err) < 0)
		return -1;
	return unpack_index(path, &a->packages, err);
}

struct apt *apt_open(const struct apt_source *s, struct error **err)
{
	struct apt *a = xcalloc(1, sizeof(*a));

	a->src = (struct apt_source){ xstrdup(s->mirror), xstrdup(s->keyring), xstrdup(s->release),
		xstrdup(s->arch), s->offline, s->from_host, s->named };
	a->cache = path_cache("debian");
	if (open_archive(a, err) < 0) {
		apt_close(a);
		return NULL;
	}
	return a;
}

void apt_close(struct apt *a)
{
	if (!a)
		return;
	apt_source_clear(&a->src);
	buf_free(&a->packages);
	free(a->cache);
	free(a);
}

/* The index holds one version of each package for a stable release; the first stanza is taken. */
static const char *find_stanza(struct apt *a, const char *package)
{
	_cleanup_free_ char *head = xasprintf("Package: %s\n", package);
	const char *text = buf_str(&a->packages), *p = text;

	while ((p = strstr(p, head)) && p != text && p[-1] != '\n')
		p++;
	return p;
}

char *apt_field(struct apt *a, const char *package, const char *field)
{
	const char *p = find_stanza(a, package);
	size_t n = strlen(field);

	while (p && *p && *p != '\n') {
		size_t line = strcspn(p, "\n");

		if (line > n + 1 && !strncmp(p, field, n) && p[n] == ':')
			return xstrndup(p + n + 2, line - n - 2);
		p += line + 1;
	}
	return NULL;
}

char *apt_fetch(struct apt *a, const char *package, struct error **err)
{
	_cleanup_free_ char *file = apt_field(a, package, "Filename"),
			    *sha = apt_field(a, package, "SHA256");
	_cleanup_free_ char *size = apt_field(a, package, "Size"), *url = NULL, *path = NULL;
	uint64_t bytes;

	if (!file || !sha || !size || strlen(sha) != 64 || sha[strspn(sha, "0123456789abcdef")]) {
		error_set(err, ERR_NOT_FOUND, "package %s: not in %s %s", package, a->src.mirror,
			a->src.release);
		return NULL;
	}
	url = xasprintf("%s/%s", a->src.mirror, file);
	if (parse_u64(package, size, 1, INDEX_MAX, &bytes, err) < 0 ||
		checked_file(a, url, package, sha, bytes, ".deb", &path, err) < 0)
		return NULL;
	return STEAL(path);
}
