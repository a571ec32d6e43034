/* SPDX-License-Identifier: Apache-2.0 */
/* What all provisioners have in common: pause, time limit, retries, the environment, programs of this computer. */
#include "build/build.h"
#include "build/gotime.h"

#include "base/cleanup.h"
#include "base/file.h"
#include "base/intr.h"
#include "base/loop.h"
#include "base/mem.h"
#include "base/proc.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>

const struct provisioner *provisioner_of(const struct component *c)
{
	static const struct provisioner *const all[] = { &prov_shell, &prov_shell_local, &prov_file, &prov_breakpoint, &prov_sleep,
		&prov_ansible, &prov_ansible_local, &prov_job };

	for (size_t i = 0; i < ARRAY_SIZE(all); i++)
		if (!strcmp(all[i]->type, c->type))
			return all[i];
	return NULL;
}

int build_time_left(const struct build *b)
{
	int64_t left = b->deadline ? (b->deadline - (int64_t)loop_now()) / 1000000 : -1;

	return !b->deadline ? -1 : left < 1 ? 1 : left > 1000000000 ? 1000000000 : (int)left;
}

int build_sleep(int64_t ns, struct error **err)
{
	int64_t end = (int64_t)loop_now() + ns, left;

	while (!intr_signal && (left = (end - (int64_t)loop_now()) / 1000000) > 0)
		poll(NULL, 0, left > 500 ? 500 : (int)left);
	return intr_check(err);
}

void build_funcs(const struct build *b, struct funcs *f)
{
	template_funcs(b->t, b->b, f);
	f->build = &b->facts;
}

int conf_one_of(const struct conf *c, const char *const *keys, struct error **err)
{
	_cleanup_strv_ struct strv all = STRV_INIT;
	_cleanup_free_ char *text = NULL;
	size_t n = 0;

	for (; *keys; keys++) {
		n += conf_given(c, *keys);
		strv_add(&all, *keys);
	}
	if (n == 1)
		return 0;
	text = strv_join(&all, ", ");
	return val_error(c->map, err, "%s: %s of %s must be given", c->c->type, n ? "only one" : "one", text);
}

int conf_check_file(const struct conf *c, const char *key, const char *path, struct error **err)
{
	int code;

	if (access(path, R_OK) == 0)
		return 0;
	code = errno;
	val_error(conf_at(c, key), err, "%s: %s '%s': %s", c->c->type, key, path, strerror(code));
	(*err)->cls = code == ENOENT ? ERR_NOT_FOUND : ERR_FAILED;
	return -1;
}

void conf_scripts(const struct conf *c, struct strv *ret)
{
	if (conf_given(c, "script"))
		strv_add(ret, conf_text(c, "script"));
	conf_list(c, "scripts", ret);
}

int conf_check_scripts(const struct conf *c, const char *const *sources, struct error **err)
{
	_cleanup_strv_ struct strv scripts = STRV_INIT;
	_cleanup_free_ char *env = build_env(&(struct build){ 0 }, c, NULL, err);

	if (!env || conf_one_of(c, sources, err) < 0)
		return -1;
	conf_scripts(c, &scripts);
	for (size_t i = 0; i < scripts.len; i++)
		if (conf_check_file(c, conf_given(c, "script") ? "script" : "scripts", scripts.v[i], err) < 0)
			return -1;
	return 0;
}

/* ---- environment, scripts ---- */

static void add_var(struct strv *l, const char *format, const char *name, const char *value)
{
	_cleanup_buf_ struct buf quoted = BUF_INIT, b = BUF_INIT;
	const char *in = strstr(format, "%s"), *second = in ? strstr(in + 2, "%s") : NULL;

	for (const char *s = value; *s; s++)
		buf_adds(&quoted, *s == '\'' ? "'\"'\"'" : (const char[]){ *s, 0 });
	if (!second) {
		strv_addf(l, "%s='%s' ", name, buf_str(&quoted));
		return;
	}
	buf_addf(&b, "%.*s%s%.*s%s%s", (int)(in - format), format, name, (int)(second - in - 2), in + 2, buf_str(&quoted), second + 2);
	strv_add(l, b.data);
}

static void add_fact(const struct build *b, struct strv *l, const char *format, const char *name, const char *fact)
{
	const char *v = map_get(&b->facts, fact);

	if (v && *v)
		add_var(l, format, name, v);
}

char *build_env(const struct build *b, const struct conf *c, const char *format, struct error **err)
{
	_cleanup_strv_ struct strv words = STRV_INIT, given = STRV_INIT;
	const struct val *env = conf_val(c, "env");

	format = format ? format : "%s='%s' ";
	conf_list(c, "environment_vars", &given);
	for (size_t i = 0; i < given.len; i++) {
		const char *eq = strchr(given.v[i], '=');
		_cleanup_free_ char *name = eq ? xstrndup(given.v[i], (size_t)(eq - given.v[i])) : NULL;

		if (!eq || eq == given.v[i]) {
			val_error(conf_at(c, "environment_vars"), err, "environment_vars: '%s' is not NAME=VALUE", given.v[i]);
			return NULL;
		}
		add_var(&words, format, name, eq + 1);
	}
	for (size_t i = 0; env && i < env->len; i++)
		add_var(&words, format, env->keys[i], env->items[i]->text);
	add_var(&words, format, "PACKER_BUILD_NAME", b->name ? b->name : "");
	add_var(&words, format, "PACKER_BUILDER_TYPE", b->b ? b->b->c->type : "");
	add_fact(b, &words, format, "PACKER_HTTP_ADDR", "PackerHTTPAddr");
	add_fact(b, &words, format, "PACKER_HTTP_IP", "PackerHTTPIP");
	add_fact(b, &words, format, "PACKER_HTTP_PORT", "PackerHTTPPort");
	strv_sort(&words);
	return strv_join(&words, "");
}

int build_check_status(const struct conf *c, int status, struct error **err)
{
	_cleanup_strv_ struct strv codes = STRV_INIT;
	_cleanup_free_ char *all = NULL;

	conf_list(c, "valid_exit_codes", &codes);
	if (!codes.len)
		strv_add(&codes, "0");
	for (size_t i = 0; i < codes.len; i++)
		if (atoi(codes.v[i]) == status)
			return 0;
	all = strv_join(&codes, " ");
	if (status == COMM_LOST) {
		error_set(err, ERR_FAILED, "the guest's connection broke while the script ran");
		return error_hint(err, "when it reboots on purpose, say \"expect_disconnect\": true");
	}
	return error_set(err, ERR_FAILED, "Script exited with non-zero exit status: %d. Allowed exit codes are: [%s]", status, all);
}

char *build_inline(const struct conf *c)
{
	_cleanup_strv_ struct strv lines = STRV_INIT;
	_cleanup_buf_ struct buf b = BUF_INIT;

	conf_list(c, "inline", &lines);
	/* a first line that names its interpreter itself stays the first */
	if (!lines.len || strncmp(lines.v[0], "#!", 2))
		buf_addf(&b, "#!%s\n", conf_text(c, "inline_shebang"));
	for (size_t i = 0; i < lines.len; i++)
		buf_addf(&b, "%s\n", lines.v[i]);
	return buf_steal(&b);
}

char *build_temp_file(const char *suffix, const void *p, size_t n, mode_t mode, struct error **err)
{
	const char *dir = getenv("TMPDIR");
	char *path = xasprintf("%s/croft-build-XXXXXX%s", dir && *dir ? dir : "/tmp", suffix);
	_cleanup_close_ int fd = mkostemps(path, (int)strlen(suffix), O_CLOEXEC);

	if (fd >= 0 && fchmod(fd, mode) == 0 && file_write_all(fd, p, n, path, err) == 0)
		return path;
	if (!*err)
		error_errno(err, errno, "%s", path);
	if (fd >= 0)
		unlink(path);
	free(path);
	return NULL;
}

/* ---- programs of this computer ---- */

static int pump(struct build *b, struct proc *p, struct ui_stream out[2], struct error **err)
{
	struct pollfd fds[2] = { { .fd = p->out, .events = POLLIN }, { .fd = p->err, .events = POLLIN } };
	char block[8192];

	while (fds[0].fd >= 0 || fds[1].fd >= 0) {
		int left = build_time_left(b);

		if (left == 1 && b->deadline)
			return error_set(err, ERR_TIMEOUT, "it did not end in its time");
		if (intr_check(err) < 0)
			return -1;
		if (poll(fds, 2, left < 0 || left > 1000 ? 1000 : left) <= 0)
			continue;
		for (int i = 0; i < 2; i++) {
			ssize_t n = fds[i].revents ? read(fds[i].fd, block, sizeof block) : -2;

			if (n > 0)
				ui_stream(&out[i], block, (size_t)n);
			else if (n != -2 && !(n < 0 && errno == EINTR))
				fds[i].fd = -1;
		}
	}
	return 0;
}

int build_run_local(struct build *b, const char *const *argv, const char *const *env, int *status, struct error **err)
{
	struct ui_stream out[2] = { { .u = b->ui, .target = b->name }, { .u = b->ui, .target = b->name } };
	struct proc_opts o = { .argv = argv, .env = env, .out = PROC_PIPE, .err = PROC_PIPE };
	_cleanup_proc_ struct proc p = PROC_INIT;
	int st = 0, rc;

	if (proc_spawn(&o, &p, err) < 0)
		return -1;
	rc = pump(b, &p, out, err);
	ui_stream_end(&out[0]);
	ui_stream_end(&out[1]);
	if (rc < 0 || proc_wait(&p, build_time_left(b), &st, err) < 0)
		return -1;
	*status = WIFSIGNALED(st) ? 128 + WTERMSIG(st) : WEXITSTATUS(st);
	return 0;
}

/* ---- running one ---- */

static int attempt(struct build *b, const struct part *p, struct error **err)
{
	_cleanup_val_ struct val *raw = part_raw(p, b->name);
	_cleanup_conf_ struct conf c = { 0 };
	const struct provisioner *prov = provisioner_of(p->c);
	struct funcs f;
	int rc;

	build_funcs(b, &f);
	if (conf_read(p->c, raw, &f, NULL, &c, err) < 0 || (b->vm && !prov->local && b->box->need(b, err) < 0))
		return -1;
	b->deadline = p->timeout ? (int64_t)loop_now() + p->timeout : 0;
	rc = prov->run(b, &c, &f, err);
	b->deadline = 0;
	if (rc < 0 && (*err)->cls == ERR_TIMEOUT && p->timeout)
		error_wrap(err, "it did not end within its timeout of %lld s", (long long)(p->timeout / 1000000000));
	return rc;
}

static int retries(const struct build *b, const struct part *p, long *ret, struct error **err)
{
	_cleanup_free_ char *text = NULL;
	struct funcs f;
	char *end;

	*ret = 0;
	if (!p->max_retries)
		return 0;
	build_funcs(b, &f);
	if (funcs_expand(&f, NULL, p->max_retries, &text, err) < 0)
		return error_wrap(err, "max_retries");
	*ret = strtol(text, &end, 10);
	return *end || *ret < 0 ? error_set(err, ERR_USAGE, "max_retries: '%s' is no number", text) : 0;
}

int provision(struct build *b, const struct part *p, struct error **err)
{
	long left;

	if (retries(b, p, &left, err) < 0)
		return -1;
	if (p->pause_before) {
		ui_say(b->ui, b->name, "Pausing %gs before the next provisioner...", (double)p->pause_before / 1e9);
		if (build_sleep(p->pause_before, err) < 0)
			return -1;
	}
	while (attempt(b, p, err) < 0) {
		if (!left || (*err)->cls == ERR_INTR || (*err)->cls == ERR_USAGE)
			return -1;
		ui_error(b->ui, b->name, "Provisioner failed with \"%s\", retrying with %ld trie(s) left", (*err)->msg, left);
		left--;
		error_clear(err);
	}
	return 0;
}
