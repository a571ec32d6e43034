/* SPDX-License-Identifier: Apache-2.0 */
/* Scripts on this computer, between the steps or after the build. */
#include "build/build.h"

#include "base/cleanup.h"
#include "base/file.h"
#include "base/mem.h"

#include <string.h>

static int check(const struct conf *c, struct error **err)
{
	return conf_check_scripts(c, (const char *const[]){ "command", "inline", "script", "scripts", NULL }, err);
}

/* One script by execute_command, each of whose words is expanded. */
static int run_file(struct build *b, const struct conf *c, const struct funcs *f, const char *script, struct error **err)
{
	_cleanup_map_ struct map fields = { .free_value = free };
	_cleanup_strv_ struct strv words = STRV_INIT, argv = STRV_INIT;
	_cleanup_free_ char *vars = build_env(b, c, conf_text(c, "env_var_format"), err);
	int status = 0;

	if (!vars)
		return -1;
	MAP_FOR(&b->facts, it)
		map_set(&fields, it->key, xstrdup(it->value));
	map_set(&fields, "Vars", xstrdup(vars));
	map_set(&fields, "Script", xstrdup(script));
	map_set(&fields, "Command", xstrdup(script));
	conf_list(c, "execute_command", &words);
	if (!words.len)
		strv_addv(&words, (const char *const[]){ "/bin/sh", "-c", "{{.Vars}} {{.Script}}", NULL });
	for (size_t i = 0; i < words.len; i++) {
		char *word = NULL;

		if (funcs_expand(f, &fields, words.v[i], &word, err) < 0)
			return error_wrap(err, "execute_command");
		strv_take(&argv, word);
	}
	if (build_run_local(b, (const char *const *)argv.v, NULL, &status, err) < 0)
		return -1;
	return build_check_status(c, status, err);
}

static int run_text(struct build *b, const struct conf *c, const struct funcs *f, const char *text, struct error **err)
{
	const char *given = conf_text(c, "tempfile_extension");
	_cleanup_free_ char *suffix = given && *given ? xasprintf("%s%s", *given == '.' ? "" : ".", given) : xstrdup("");
	_cleanup_free_ char *path = build_temp_file(suffix, text, strlen(text), 0700, err);
	int rc;

	if (!path)
		return -1;
	rc = run_file(b, c, f, path, err);
	unlink(path);
	return rc;
}

/* only_on names systems as Go does; this one is linux. */
static bool is_for_us(const struct conf *c)
{
	_cleanup_strv_ struct strv on = STRV_INIT;

	conf_list(c, "only_on", &on);
	return !on.len || strv_has(&on, "linux");
}

int build_shell_local(struct build *b, const struct conf *c, const struct funcs *f, struct error **err)
{
	_cleanup_strv_ struct strv scripts = STRV_INIT;
	_cleanup_free_ char *text = NULL;

	if (!is_for_us(c)) {
		ui_say(b->ui, b->name, "Skipping shell-local due to runtime OS");
		return 0;
	}
	if (conf_given(c, "command"))
		text = xasprintf("#!%s\n%s\n", conf_text(c, "inline_shebang"), conf_text(c, "command"));
	else if (conf_given(c, "inline"))
		text = build_inline(c);
	if (text) {
		ui_say(b->ui, b->name, "Running local shell script: %s", conf_given(c, "command") ? conf_text(c, "command") : "inline");
		return run_text(b, c, f, text, err);
	}
	conf_scripts(c, &scripts);
	for (size_t i = 0; i < scripts.len; i++) {
		_cleanup_free_ char *path = strchr(scripts.v[i], '/') ? xstrdup(scripts.v[i]) : xasprintf("./%s", scripts.v[i]);

		ui_say(b->ui, b->name, "Running local shell script: %s", scripts.v[i]);
		if (run_file(b, c, f, path, err) < 0)
			return error_wrap(err, "%s", scripts.v[i]);
	}
	return 0;
}

const struct provisioner prov_shell_local = { .type = "shell-local", .check = check, .inputs = conf_scripts, .run = build_shell_local, .local = true };
