/* SPDX-License-Identifier: Apache-2.0 */
#include "base/path.h"
#include "base/cleanup.h"
#include "base/file.h"
#include "base/mem.h"

#include <ctype.h>
#include <errno.h>
#include <pwd.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

char *path_join(const char *a, const char *b)
{
	size_t n = strlen(a);

	if (*b == '/' || !n)
		return xstrdup(b);
	return xasprintf("%s%s%s", a, a[n - 1] == '/' ? "" : "/", b);
}

char *path_dirname(const char *p)
{
	const char *slash = strrchr(p, '/');

	if (!slash)
		return xstrdup(".");
	return slash == p ? xstrdup("/") : xstrndup(p, (size_t)(slash - p));
}

const char *path_basename(const char *p)
{
	const char *slash = strrchr(p, '/');

	return slash ? slash + 1 : p;
}

char *path_absolute(const char *p)
{
	_cleanup_free_ char *cwd = NULL;

	if (*p == '/')
		return xstrdup(p);
	cwd = getcwd(NULL, 0);
	return path_join(cwd ? cwd : "/", !strncmp(p, "./", 2) ? p + 2 : p);
}

/* The value of an XDG variable; relative ones are to be ignored (XDG base directory specification). */
static char *xdg_dir(const char *var, const char *below_home, const char *sub)
{
	_cleanup_free_ char *base = NULL, *croft = NULL;
	const char *v = getenv(var), *home = getenv("HOME");

	if (v && *v == '/') {
		base = xstrdup(v);
	} else {
		if (!home || *home != '/') {
			const struct passwd *pw = getpwuid(getuid());

			home = pw && pw->pw_dir && *pw->pw_dir == '/' ? pw->pw_dir : "/";
		}
		base = path_join(home, below_home);
	}
	croft = path_join(base, "croft");
	return sub ? path_join(croft, sub) : STEAL(croft);
}

char *path_data(const char *sub)
{
	const char *home = getenv("CROFT_HOME");

	if (home && *home) {
		_cleanup_free_ char *abs = path_absolute(home);

		return sub ? path_join(abs, sub) : STEAL(abs);
	}
	return xdg_dir("XDG_DATA_HOME", ".local/share", sub);
}

char *path_cache(const char *sub)
{
	const char *home = getenv("CROFT_HOME"), *cache = getenv("CROFT_CACHE");

	if (cache && *cache) {
		_cleanup_free_ char *abs = path_absolute(cache);

		return sub ? path_join(abs, sub) : STEAL(abs);
	}
	if (home && *home) {
		_cleanup_free_ char *dir = path_data("cache");

		return sub ? path_join(dir, sub) : STEAL(dir);
	}
	return xdg_dir("XDG_CACHE_HOME", ".cache", sub);
}

char *path_config(const char *sub)
{
	return xdg_dir("XDG_CONFIG_HOME", ".config", sub);
}

/* Directory of the running executable, or NULL. */
static char *own_dir(void)
{
	char exe[4096];
	ssize_t n = readlink("/proc/self/exe", exe, sizeof(exe) - 1);

	if (n <= 0)
		return NULL;
	exe[n] = '\0';
	return path_dirname(exe);
}

char *path_libexec(const char *name, struct error **err)
{
	/* Installed: PREFIX/bin/croft and PREFIX/libexec/croft/NAME; in a build tree the folders of the sources. */
	static const char *const places[] = { ".", "../libexec/croft", "src/machine", "src/guest", "src/net", "src/image",
		"src/cli", "guest", "../machine", "../guest", "../net", "../image", "../cli", "../../guest", "../pm", "../../bin",
		"../group", "src/group", "../share/croft", "../../share/croft", "../.." };
	const char *fixed = getenv("CROFT_LIBEXEC");
	_cleanup_free_ char *own = own_dir();

	if (fixed && *fixed) {
		_cleanup_free_ char *p = path_join(fixed, name);

		if (file_exists(p))
			return STEAL(p);
	}
	for (size_t i = 0; own && i < ARRAY_SIZE(places); i++) {
		_cleanup_free_ char *dir = path_join(own, places[i]), *p = path_join(dir, name);

		/* A build tree has folders of the same name as programs. */
		if (file_exists(p) && (!file_is_dir(p) || strncmp(name, "croft", 5)))
			return STEAL(p);
	}
	error_set(err, ERR_FAILED, "%s: not found among croft's own files (near %s)", name, own ? own : "?");
	error_hint(err, "install croft completely (make install) or set CROFT_LIBEXEC to its folder");
	return NULL;
}

char *path_find_program(const char *name)
{
	const char *path = getenv("PATH");

	if (strchr(name, '/'))
		return access(name, X_OK) == 0 ? xstrdup(name) : NULL;
	for (path = path ? path : "/usr/bin:/bin"; *path;) {
		size_t n = strcspn(path, ":");
		_cleanup_free_ char *dir = n ? xstrndup(path, n) : xstrdup(".");
		_cleanup_free_ char *p = path_join(dir, name);

		if (access(p, X_OK) == 0 && !file_is_dir(p))
			return STEAL(p);
		path += n;
		path += *path == ':';
	}
	return NULL;
}

int name_check(const char *what, const char *name, struct error **err)
{
	size_t n = strlen(name);

	if (!n)
		return error_set(err, ERR_USAGE, "%s: the name is empty", what);
	if (n > 64)
		return error_set(err, ERR_USAGE, "%s '%.20s...': the name has %zu bytes, 64 are allowed", what, name, n);
	for (size_t i = 0; i < n; i++) {
		unsigned char c = (unsigned char)name[i];

		if (c < 128 && (isalnum(c) || (i && strchr("._-", c))))
			continue;
		error_set(err, ERR_USAGE, "%s '%s': the name has '%.*s' at place %zu", what, name,
			c < 128 ? 1 : (int)(n - i > 4 ? 4 : n - i), name + i, i + 1);
		return error_hint(err, "names begin with a letter or digit and hold letters, digits, '.', '_' and '-'");
	}
	return 0;
}
