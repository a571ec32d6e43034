/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Packages of a Debian archive without apt or dpkg: signed InRelease, index, .deb, each checked by
 * the one before (Debian wiki, DebianRepository/Format). What was fetched is kept under its hash in
 * CACHE/debian.
 */
#ifndef CROFT_IMAGE_APT_H
#define CROFT_IMAGE_APT_H

#include "base/error.h"
#include "base/strv.h"
#include <stdbool.h>
#include <time.h>

/* The one place that names the default mirrors and release: for hosts without apt that set no mirror. */
#define APT_DEFAULT_MIRROR "http://deb.debian.org/debian"
#define APT_SECURITY_MIRROR "http://security.debian.org/debian-security"
#define APT_DEFAULT_RELEASE "bookworm"
#define APT_DEFAULT_KEYRING "/usr/share/keyrings/debian-archive-keyring.gpg"

struct apt_source {
	char *mirror, *keyring, *release, *arch; /* arch in Debian's words: amd64 */
	bool offline;
	bool from_host; /* the mirror is one of the host's apt */
	bool named;	/* by the caller or CROFT_MIRROR */
};
/*
 * mirror: NULL takes CROFT_MIRROR, else the host's apt sources for this release (sources.list and
 * the two forms below sources.list.d), else Debian's own.
 */
void apt_source_init(struct apt_source *s, const char *mirror, const char *release,
	const char *arch, bool offline);
void apt_source_clear(struct apt_source *s);
/* That of "updates" or "security" of a release, from where the host's apt has it, else from Debian; false: none, a mirror was named or it rolls. */
bool apt_source_more(struct apt_source *s, const struct apt_source *release, const char *what);
/*
 * Folders that the files of packages, sources too, lie below by their first letter (or lib and that) and name: those of the release's
 * mirror, which is chosen as apt_source_init does, and of its security updates. They hold all releases.
 */
void apt_pools(const char *mirror, const char *release, struct strv *ret);
/* Looks for a mirror of `release` in the text of an apt source file; sets what it finds (new
 * strings). */
bool apt_sources_parse(
	const char *text, bool deb822, const char *release, char **mirror, char **keyring);

struct apt;
/* Fetches and checks InRelease. */
struct apt *apt_open(const struct apt_source *s, struct error **err);
void apt_close(struct apt *a);
/* When the release was made, seconds since 1970; -1 when it does not say. */
time_t apt_date(const struct apt *a);
/* SHA-256 of the index of component main as the signed release tells it: as long as it is the same, so are all packages. */
const char *apt_index_sha(const struct apt *a);
/* Fetches and checks that index, which the following look into. */
int apt_load(struct apt *a, struct error **err);
/* A field of the newest stanza of a package ("Depends", "Version"); new string, NULL when absent.
 */
char *apt_field(struct apt *a, const char *package, const char *field);
/* Path of the package's .deb in the cache, fetched and checked; its SHA-256 is its name. New
 * string. */
char *apt_fetch(struct apt *a, const char *package, struct error **err);
/* Appends to `packages` all that those in it depend on, but for those in `skip` (names, or "begin*") and what only they
 * need (depends.c). */
int apt_closure(struct apt *a, const struct strv *skip, struct strv *packages, struct error **err);

#endif
