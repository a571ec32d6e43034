/* SPDX-License-Identifier: Apache-2.0 */
#include "base/cleanup.h"
#include "base/file.h"
#include "base/mem.h"
#include "base/path.h"
#include "image/apt.h"

#include <string.h>
#include <strings.h>

/* The host's apt knows more ways (cdrom:, mirror+file:, tor+http:) than libcurl. */
static bool reachable(const char *uri)
{
	return !strncmp(uri, "http://", 7) || !strncmp(uri, "https://", 8) ||
	       !strncmp(uri, "file:/", 6);
}

/* "deb [signed-by=KEYRING] URI SUITE COMPONENT..." (sources.list(5)) */
static bool one_line(const char *line, const char *release, char **mirror, char **keyring)
{
	_cleanup_strv_ struct strv w = STRV_INIT, options = STRV_INIT;
	_cleanup_free_ char *opts = NULL;
	const char *rest = line;
	bool main_too = false;

	if (strncmp(rest, "deb", 3) || !strchr(" \t[", rest[3]) || !rest[3])
		return false;
	rest += 3;
	rest += strspn(rest, " \t");
	if (*rest == '[') {
		size_t n = strcspn(rest, "]");

		opts = xstrndup(rest + 1, n ? n - 1 : 0);
		rest += n + (rest[n] == ']');
	}
	strv_split(&w, rest, " \t");
	for (size_t i = 2; i < w.len; i++)
		main_too |= !strcmp(w.v[i], "main");
	if (w.len < 3 || strcmp(w.v[1], release) || !main_too || !reachable(w.v[0]))
		return false;
	*mirror = xstrdup(w.v[0]);
	strv_split(&options, opts ? opts : "", " \t");
	for (size_t i = 0; i < options.len; i++)
		if (!strncmp(options.v[i], "signed-by=", 10))
			*keyring = xstrdup(options.v[i] + 10);
	return true;
}

/* One stanza of the deb822 form; fields that matter to us are on one line each in practice and by
 * apt's own files. */
static bool stanza(const struct strv *lines, const char *release, char **mirror, char **keyring)
{
	_cleanup_strv_ struct strv uris = STRV_INIT, suites = STRV_INIT, components = STRV_INIT,
				   types = STRV_INIT;
	_cleanup_strv_ struct strv keys = STRV_INIT;
	struct {
		const char *name;
		struct strv *to;
	} fields[] = { { "Types:", &types }, { "URIs:", &uris }, { "Suites:", &suites },
		{ "Components:", &components }, { "Signed-By:", &keys } };

	for (size_t i = 0; i < lines->len; i++)
		for (size_t f = 0; f < ARRAY_SIZE(fields); f++)
			if (!strncasecmp(lines->v[i], fields[f].name, strlen(fields[f].name)))
				strv_split(
					fields[f].to, lines->v[i] + strlen(fields[f].name), " \t");
			else if (!strncasecmp(lines->v[i], "Enabled: no", 11))
				return false;
	if (!strv_has(&types, "deb") || !strv_has(&suites, release) ||
		!strv_has(&components, "main") || !uris.len || !reachable(uris.v[0]))
		return false;
	*mirror = xstrdup(uris.v[0]);
	if (keys.len == 1 && keys.v[0][0] == '/')
		*keyring = xstrdup(keys.v[0]);
	return true;
}

bool apt_sources_parse(
	const char *text, bool deb822, const char *release, char **mirror, char **keyring)
{
	_cleanup_strv_ struct strv lines = STRV_INIT;
	bool found = false;

	while (!found && *text) {
		size_t n = strcspn(text, "\n");
		_cleanup_free_ char *line = xstrndup(text, n);

		text += n + (text[n] == '\n');
		if (!deb822) {
			found = one_line(line + strspn(line, " \t"), release, mirror, keyring);
		} else if (!line[strspn(line, " \t\r")]) {
			found = stanza(&lines, release, mirror, keyring);
			strv_free(&lines);
		} else if (*line != '#') {
			strv_add(&lines, line);
		}
	}
	return found || (deb822 && stanza(&lines, release, mirror, keyring));
}

static bool try_file(const char *path, const char *release, char **mirror, char **keyring)
{
	_cleanup_buf_ struct buf b = BUF_INIT;
	_cleanup_error_ struct error *e = NULL;
	size_t n = strlen(path);
	bool deb822 = n > 8 && !strcmp(path + n - 8, ".sources");

	if (!deb822 && (n < 5 || strcmp(path + n - 5, ".list")))
		return false;
	if (file_read(path, 1 << 20, &b, &e) < 0)
		return false;
	return apt_sources_parse(buf_str(&b), deb822, release, mirror, keyring);
}

static void from_host(const char *release, char **mirror, char **keyring)
{
	static const char dir[] = "/etc/apt/sources.list.d";
	_cleanup_closedir_ DIR *d = opendir(dir);
	_cleanup_strv_ struct strv files = STRV_INIT;

	strv_add(&files, "/etc/apt/sources.list");
	for (struct dirent *e; d && (e = readdir(d));)
		strv_addf(&files, "%s/%s", dir, e->d_name);
	strv_sort(&files);
	for (size_t i = 0; i < files.len && !*mirror; i++)
		try_file(files.v[i], release, mirror, keyring);
}

void apt_source_init(struct apt_source *s, const char *mirror, const char *release,
	const char *arch, bool offline)
{
	const char *set = getenv("CROFT_MIRROR"), *keyring = getenv("CROFT_KEYRING");
	size_t n;

	*s = (struct apt_source){
		.release = xstrdup(release), .arch = xstrdup(arch), .offline = offline
	};
	if (mirror && *mirror)
		s->mirror = xstrdup(mirror);
	else if (set && *set)
		s->mirror = xstrdup(set);
	else
		from_host(release, &s->mirror, &s->keyring);
	s->named = (mirror && *mirror) || (set && *set);
	s->from_host = !s->named && s->mirror;
	if (!s->mirror)
		s->mirror = xstrdup(APT_DEFAULT_MIRROR);
	for (n = strlen(s->mirror); n && s->mirror[n - 1] == '/'; n--)
		s->mirror[n - 1] = '\0';
	if (keyring && *keyring) {
		free(s->keyring);
		s->keyring = xstrdup(keyring);
	}
	if (!s->keyring)
		s->keyring = xstrdup(APT_DEFAULT_KEYRING);
}

void apt_source_clear(struct apt_source *s)
{
	free(s->mirror);
	free(s->keyring);
	free(s->release);
	free(s->arch);
}

bool apt_source_more(struct apt_source *s, const struct apt_source *release, const char *what)
{
	_cleanup_free_ char *suite = xasprintf("%s-%s", release->release, what);

	if (release->named || !strcmp(release->release, "sid") || !strcmp(release->release, "unstable"))
		return false;
	apt_source_init(s, NULL, suite, release->arch, release->offline);
	if (s->from_host)
		return true;
	/* A host that has the release and not this wants none, or has one that we cannot reach. */
	if (release->from_host) {
		apt_source_clear(s);
		return false;
	}
	if (!strcmp(what, "security")) {
		free(s->mirror);
		s->mirror = xstrdup(APT_SECURITY_MIRROR);
	}
	return true;
}

void apt_pools(const char *mirror, const char *release, struct strv *ret)
{
	struct apt_source s, security;

	apt_source_init(&s, mirror, release ? release : APT_DEFAULT_RELEASE, "amd64", false);
	strv_addf(ret, "%s/pool/main", s.mirror);
	if (apt_source_more(&security, &s, "security")) {
		strv_addf(ret, "%s/pool/updates/main", security.mirror);
		apt_source_clear(&security);
	}
	apt_source_clear(&s);
}
