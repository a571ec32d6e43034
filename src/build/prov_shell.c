/* SPDX-License-Identifier: Apache-2.0 */
/* Scripts in the guest. */
#include "build/build.h"
#include "build/quote.h"

#include "base/cleanup.h"
#include "base/file.h"
#include "base/loop.h"
#include "base/mem.h"
#include "base/path.h"

#include <string.h>
#include <sys/random.h>

#define SCRIPT_MAX ((size_t)256 << 20)
#define CLEAN_MS 60000
#define RENEW_MS 300000

static int check(const struct conf *c, struct error **err)
{
	return conf_check_scripts(c, (const char *const[]){ "inline", "script", "scripts", NULL }, err);
}

struct script {
	struct build *b;
	const struct conf *c;
	const struct funcs *f;
	char *local, *remote, *vars, *env_file;
	struct ui_stream out, err;
};

static void on_output(void *arg, int stream, const void *p, size_t n)
{
	struct script *s = arg;

	ui_stream(stream == 2 ? &s->err : &s->out, p, n);
}

/* Without a command of the guest's where the communicator can: each costs a guest under TCG some tenths of a second. */
static int remove_remote(struct script *s, const char *path, struct error **err)
{
	_cleanup_free_ char *word = shell_quote(path), *command = xasprintf("rm -f %s", word);
	int status = 0;

	if (s->b->comm->ops->remove && s->b->comm->ops->remove(s->b->comm, path))
		return 0;

	if (s->b->comm->ops->exec(s->b->comm, command, NULL, NULL, CLEAN_MS, &status, err) < 0)
		return -1;
	if (status == COMM_LOST)
		return error_set(err, ERR_STATE, "the connection broke");
	return status ? error_set(err, ERR_FAILED, "%s: status %d in the guest", command, status) : 0;
}

/* The command that runs it, as the template's execute_command has it. */
static char *command_of(struct script *s, struct error **err)
{
	_cleanup_map_ struct map fields = { .free_value = free };
	const char *text = conf_text(s->c, "execute_command");
	char *ret = NULL;

	MAP_FOR(&s->b->facts, it)
		map_set(&fields, it->key, xstrdup(it->value));
	map_set(&fields, "Vars", xstrdup(s->vars));
	map_set(&fields, "EnvVarFile", xstrdup(s->env_file ? s->env_file : ""));
	map_set(&fields, "Path", xstrdup(s->remote));
	if (!text)
		text = s->env_file ? "chmod +x {{.Path}}; . {{.EnvVarFile}} && {{.Path}}" : "chmod +x {{.Path}}; {{.Vars}} {{.Path}}";
	if (funcs_expand(s->f, &fields, text, &ret, err) < 0)
		error_wrap(err, "execute_command");
	return ret;
}

static int upload_env(struct script *s, struct error **err)
{
	_cleanup_free_ char *text = build_env(s->b, s->c, "export %s='%s'\n", err), *local = NULL;
	int rc;

	if (!text || !(local = build_temp_file(".env", text, strlen(text), 0600, err)))
		return -1;
	rc = s->b->comm->ops->upload(s->b->comm, local, s->env_file, 0600, err);
	unlink(local);
	return rc;
}

/* Upload and run, once. *status is the script's. */
static int run_once(struct script *s, int *status, struct error **err)
{
	struct comm *comm = s->b->comm;
	_cleanup_free_ char *command = command_of(s, err);

	if (!command || comm->ops->upload(comm, s->local, s->remote, 0755, err) < 0)
		return -1;
	if (s->env_file && upload_env(s, err) < 0)
		return -1;
	return comm->ops->exec(comm, command, on_output, s, build_time_left(s->b), status, err);
}

static int run_retried(struct script *s, int *status, struct error **err)
{
	int64_t end = (int64_t)loop_now() + conf_ns(s->c, "start_retry_timeout");

	while (run_once(s, status, err) < 0) {
		if ((*err)->cls != ERR_STATE || (int64_t)loop_now() > end)
			return -1;
		ui_message(s->b->ui, s->b->name, "%s; trying again", (*err)->msg);
		error_clear(err);
		if (build_sleep(2000000000, err) < 0 || s->b->comm->ops->renew(s->b->comm, RENEW_MS, err) < 0)
			return -1;
	}
	return 0;
}

/* The guest may be rebooting: connect again first. */
static int clean(struct script *s, bool lost, struct error **err)
{
	if (lost && s->b->comm->ops->renew(s->b->comm, RENEW_MS, err) < 0)
		return error_wrap(err, "after the script had rebooted the guest");
	if (conf_bool(s->c, "skip_clean"))
		return 0;
	if (s->env_file && remove_remote(s, s->env_file, err) < 0)
		return -1;
	return remove_remote(s, s->remote, err) < 0 ? error_wrap(err, "removing the script") : 0;
}

static int run_script(struct script *s, struct error **err)
{
	int status = 0, rc;

	s->out = (struct ui_stream){ .u = s->b->ui, .target = s->b->name };
	s->err = (struct ui_stream){ .u = s->b->ui, .target = s->b->name };
	rc = run_retried(s, &status, err);
	ui_stream_end(&s->out);
	ui_stream_end(&s->err);
	if (rc < 0)
		return -1;
	if (!(status == COMM_LOST && conf_bool(s->c, "expect_disconnect")) && build_check_status(s->c, status, err) < 0)
		return -1;
	if (clean(s, status == COMM_LOST, err) < 0)
		return -1;
	return conf_ns(s->c, "pause_after") ? build_sleep(conf_ns(s->c, "pause_after"), err) : 0;
}

/* Line ends of DOS would be part of the interpreter's name. New file, or NULL. */
static char *local_copy(const struct conf *c, const char *path, struct error **err)
{
	_cleanup_buf_ struct buf in = BUF_INIT, out = BUF_INIT;

	if (file_read(path, SCRIPT_MAX, &in, err) < 0)
		return NULL;
	for (size_t i = 0; i < in.len; i++)
		if (conf_bool(c, "binary") || in.data[i] != '\r' || i + 1 == in.len || in.data[i + 1] != '\n')
			buf_addc(&out, in.data[i]);
	return build_temp_file(".sh", buf_str(&out), out.len, 0700, err);
}

static char *remote_path(const struct conf *c)
{
	unsigned n = 0;

	if (conf_given(c, "remote_path"))
		return xstrdup(conf_text(c, "remote_path"));
	if (conf_given(c, "remote_file"))
		return xasprintf("%s/%s", conf_text(c, "remote_folder"), conf_text(c, "remote_file"));
	if (getrandom(&n, sizeof n, 0) < 0)
		n = (unsigned)loop_now();
	return xasprintf("%s/script_%u.sh", conf_text(c, "remote_folder"), n % 10000);
}

static int run_one(struct build *b, const struct conf *c, const struct funcs *f, const char *path, struct error **err)
{
	struct script s = { .b = b, .c = c, .f = f };
	_cleanup_free_ char *remote = remote_path(c), *vars = build_env(b, c, conf_text(c, "env_var_format"), err), *local = NULL, *env = NULL;
	int rc;

	if (!vars)
		return -1;
	ui_say(b->ui, b->name, "Provisioning with shell script: %s", path ? path : "inline");
	if (path) {
		local = local_copy(c, path, err);
	} else {
		_cleanup_free_ char *text = build_inline(c);

		local = build_temp_file(".sh", text, strlen(text), 0700, err);
	}
	if (!local)
		return -1;
	if (conf_bool(c, "use_env_var_file"))
		env = xasprintf("%s.env", remote);
	s.local = local;
	s.remote = remote;
	s.vars = vars;
	s.env_file = env;
	rc = run_script(&s, err);
	unlink(local);
	return rc;
}

static int run(struct build *b, const struct conf *c, const struct funcs *f, struct error **err)
{
	_cleanup_strv_ struct strv scripts = STRV_INIT;

	conf_scripts(c, &scripts);
	if (!scripts.len)
		return run_one(b, c, f, NULL, err);
	for (size_t i = 0; i < scripts.len; i++)
		if (run_one(b, c, f, scripts.v[i], err) < 0)
			return error_wrap(err, "%s", scripts.v[i]);
	return 0;
}

const struct provisioner prov_shell = { .type = "shell", .check = check, .inputs = conf_scripts, .run = run };
