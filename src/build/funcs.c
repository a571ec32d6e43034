/* SPDX-License-Identifier: Apache-2.0 */
#include "build/funcs.h"
#include "build/gotime.h"

#include "base/buf.h"
#include "base/cleanup.h"
#include "base/mem.h"
#include "base/path.h"
#include "base/units.h"

#include <ctype.h>
#include <inttypes.h>
#include <string.h>
#include <sys/random.h>
#include <unistd.h>

const char *const funcs_build_names[] = { "ID", "Host", "Port", "User", "Password", "ConnType", "PackerRunUUID", "PackerHTTPIP",
	"PackerHTTPPort", "PackerHTTPAddr", "SSHPublicKey", "SSHPrivateKey", "WinRMPassword", NULL };

typedef int func(const struct funcs *f, const struct strv *a, char **ret, struct error **err);

static int fn_user(const struct funcs *f, const struct strv *a, char **ret, struct error **err)
{
	const char *v = f->vars ? map_get(f->vars, a->v[0]) : NULL;

	if (!v && f->strict)
		return error_set(err, ERR_USAGE, "no variable is called '%s'", a->v[0]);
	*ret = xstrdup(v ? v : "");
	return 0;
}

static int fn_env(const struct funcs *f, const struct strv *a, char **ret, struct error **err)
{
	const char *v = getenv(a->v[0]);

	if (!f->env) {
		error_set(err, ERR_USAGE, "the environment can only be read in `variables`");
		return error_hint(err, "add \"%s\": \"{{env `%s`}}\" there and use {{user `%s`}} here", a->v[0], a->v[0], a->v[0]);
	}
	*ret = xstrdup(v ? v : "");
	return 0;
}

static int fn_build(const struct funcs *f, const struct strv *a, char **ret, struct error **err)
{
	size_t n = 0;
	bool known = false;
	const char *v;

	for (; funcs_build_names[n]; n++)
		known = known || !strcmp(funcs_build_names[n], a->v[0]);
	if (!known) {
		const char *near = nearest_name(a->v[0], funcs_build_names, n);

		error_set(err, ERR_USAGE, "a build has no '%s'", a->v[0]);
		return near ? error_hint(err, "did you mean %s?", near) : -1;
	}
	v = f->build ? map_get(f->build, a->v[0]) : NULL;
	*ret = v ? xstrdup(v) : f->build ? xstrdup("") : xasprintf("Build_%s", a->v[0]);
	return 0;
}

static int fn_build_name(const struct funcs *f, const struct strv *a, char **ret, struct error **err)
{
	if (!f->build_name)
		return error_set(err, ERR_USAGE, "there is no build here");
	*ret = xstrdup(f->build_name);
	return 0;
}

static int fn_build_type(const struct funcs *f, const struct strv *a, char **ret, struct error **err)
{
	if (!f->build_type)
		return error_set(err, ERR_USAGE, "there is no build here");
	*ret = xstrdup(f->build_type);
	return 0;
}

static time_t now_of(const struct funcs *f)
{
	return f->constant ? 0 : f->now;
}

static int fn_isotime(const struct funcs *f, const struct strv *a, char **ret, struct error **err)
{
	*ret = go_time_format(now_of(f), 0, a->len ? a->v[0] : GO_RFC3339);
	return 0;
}

static int fn_strftime(const struct funcs *f, const struct strv *a, char **ret, struct error **err)
{
	time_t t = now_of(f);
	char out[512];
	struct tm tm;

	gmtime_r(&t, &tm);
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wformat-nonliteral"
	out[strftime(out, sizeof out, a->v[0], &tm)] = '\0';
#pragma GCC diagnostic pop
	*ret = xstrdup(out);
	return 0;
}

static int fn_timestamp(const struct funcs *f, const struct strv *a, char **ret, struct error **err)
{
	*ret = xasprintf("%" PRId64, (int64_t)now_of(f));
	return 0;
}

/* RFC 4122, version 4. */
static int fn_uuid(const struct funcs *f, const struct strv *a, char **ret, struct error **err)
{
	unsigned char u[16] = { 0 };

	if (!f->constant && getrandom(u, sizeof u, 0) != (ssize_t)sizeof u)
		return error_set(err, ERR_FAILED, "no random numbers");
	u[6] = (unsigned char)((u[6] & 0x0f) | 0x40);
	u[8] = (unsigned char)((u[8] & 0x3f) | 0x80);
	*ret = xasprintf("%02x%02x%02x%02x-%02x%02x-%02x%02x-%02x%02x-%02x%02x%02x%02x%02x%02x", u[0], u[1], u[2], u[3], u[4], u[5], u[6],
		u[7], u[8], u[9], u[10], u[11], u[12], u[13], u[14], u[15]);
	return 0;
}

static int fn_pwd(const struct funcs *f, const struct strv *a, char **ret, struct error **err)
{
	*ret = path_absolute(".");
	return 0;
}

static int fn_template_dir(const struct funcs *f, const struct strv *a, char **ret, struct error **err)
{
	*ret = xstrdup(f->template_dir ? f->template_dir : ".");
	return 0;
}

static int fn_version(const struct funcs *f, const struct strv *a, char **ret, struct error **err)
{
	*ret = xstrdup(BUILD_PACKER_VERSION);
	return 0;
}

static int fn_case(const struct strv *a, char **ret, int (*fn)(int))
{
	*ret = xstrdup(a->v[0]);
	for (char *s = *ret; *s; s++)
		if ((unsigned char)*s < 0x80)
			*s = (char)fn((unsigned char)*s);
	return 0;
}

static int fn_upper(const struct funcs *f, const struct strv *a, char **ret, struct error **err)
{
	return fn_case(a, ret, toupper);
}

static int fn_lower(const struct funcs *f, const struct strv *a, char **ret, struct error **err)
{
	return fn_case(a, ret, tolower);
}

/* As strings.Replace: an empty `old` stands before each character and at the end. max < 0: all. */
static char *replace(const char *s, const char *old, const char *new, long max)
{
	_cleanup_buf_ struct buf b = BUF_INIT;
	size_t n = strlen(old);

	for (; *s && max; max -= max > 0) {
		const char *at = n ? strstr(s, old) : s;

		if (!at)
			break;
		buf_add(&b, s, (size_t)(at - s));
		buf_adds(&b, new);
		s = at + n;
		if (!n)
			buf_addc(&b, *s++);
	}
	if (!n && !*s && max)
		buf_adds(&b, new);
	buf_adds(&b, s);
	return buf_steal(&b);
}

static int fn_replace(const struct funcs *f, const struct strv *a, char **ret, struct error **err)
{
	char *end;
	long n = strtol(a->v[2], &end, 10);

	if (*end || !*a->v[2])
		return error_set(err, ERR_USAGE, "the third argument is how often: a number, not '%s'", a->v[2]);
	*ret = replace(a->v[3], a->v[0], a->v[1], n);
	return 0;
}

static int fn_replace_all(const struct funcs *f, const struct strv *a, char **ret, struct error **err)
{
	*ret = replace(a->v[2], a->v[0], a->v[1], -1);
	return 0;
}

static int fn_split(const struct funcs *f, const struct strv *a, char **ret, struct error **err)
{
	char *end;
	long want = strtol(a->v[2], &end, 10), i = 0;
	const char *s = a->v[0], *sep = a->v[1];
	size_t n = strlen(sep);

	if (*end || !*a->v[2] || !n)
		return error_set(err, ERR_USAGE, "wanted are a text, a separator and a number");
	for (const char *at; i < want && (at = strstr(s, sep)); i++)
		s = at + n;
	if (want < 0 || i < want)
		return error_set(err, ERR_USAGE, "'%s' has %ld parts; number %ld is wanted (the first is 0)", a->v[0], i + 1, want);
	*ret = xstrndup(s, strstr(s, sep) ? (size_t)(strstr(s, sep) - s) : strlen(s));
	return 0;
}

static int fn_clean(const struct funcs *f, const struct strv *a, char **ret, struct error **err)
{
	*ret = xstrdup(a->v[0]);
	for (char *s = *ret; *s; s++)
		if (!isalnum((unsigned char)*s) && !strchr("-_.", *s))
			*s = '-';
	return 0;
}

static const struct {
	const char *name;
	size_t min, max;
	func *fn;
	const char *refused;
} table[] = {
	{ "user", 1, 1, fn_user, NULL },
	{ "env", 1, 1, fn_env, NULL },
	{ "build", 1, 1, fn_build, NULL },
	{ "build_name", 0, 0, fn_build_name, NULL },
	{ "build_type", 0, 0, fn_build_type, NULL },
	{ "isotime", 0, 1, fn_isotime, NULL },
	{ "strftime", 1, 1, fn_strftime, NULL },
	{ "timestamp", 0, 0, fn_timestamp, NULL },
	{ "uuid", 0, 0, fn_uuid, NULL },
	{ "pwd", 0, 0, fn_pwd, NULL },
	{ "template_dir", 0, 0, fn_template_dir, NULL },
	{ "packer_version", 0, 0, fn_version, NULL },
	{ "upper", 1, 1, fn_upper, NULL },
	{ "lower", 1, 1, fn_lower, NULL },
	{ "replace", 4, 4, fn_replace, NULL },
	{ "replace_all", 3, 3, fn_replace_all, NULL },
	{ "split", 3, 3, fn_split, NULL },
	{ "clean_resource_name", 1, 1, fn_clean, NULL },
	{ "sed", 0, 9, NULL, "Packer has dropped it; use replace_all" },
	{ "consul_key", 0, 9, NULL, "croft asks no Consul; give the value by -var" },
	{ "vault", 0, 9, NULL, "croft asks no Vault; give the value by -var" },
	{ "aws_secretsmanager", 0, 9, NULL, "croft asks no AWS; give the value by -var" },
	{ "aws_secretsmanager_raw", 0, 9, NULL, "croft asks no AWS; give the value by -var" },
};

int funcs_call(void *arg, const char *name, const struct strv *args, char **ret, struct error **err)
{
	const struct funcs *f = arg;

	for (size_t i = 0; i < ARRAY_SIZE(table); i++) {
		if (strcmp(table[i].name, name) || (table[i].fn == fn_clean && !f->post))
			continue;
		if (table[i].refused)
			return error_set(err, ERR_USAGE, "%s", table[i].refused);
		if (args->len < table[i].min || args->len > table[i].max)
			return error_set(err, ERR_USAGE, "%zu argument%s given, it takes %zu%s", args->len, args->len == 1 ? "" : "s",
				table[i].min, table[i].max > table[i].min ? " or one more" : "");
		return table[i].fn(f, args, ret, err);
	}
	return 1;
}

int funcs_expand(const struct funcs *f, const struct map *fields, const char *text, char **ret, struct error **err)
{
	struct tmpl t = { .fields = fields, .func = funcs_call, .arg = (void *)(uintptr_t)f };

	return tmpl_expand(&t, text, ret, err);
}
