/* SPDX-License-Identifier: Apache-2.0 */
/* croft-job: the guest is shut down and a job of `croft job` works on its disks from the rescue system; the next step starts it again. */
#include "box.h"
#include "job/job.h"

#include "base/cleanup.h"
#include "base/file.h"
#include "base/mem.h"
#include "base/path.h"

#include <ctype.h>
#include <string.h>

static int find(const struct conf *c, struct job *j, struct error **err)
{
	_cleanup_strv_ struct strv dirs = STRV_INIT;

	strv_add(&dirs, ".");
	job_dirs(&dirs);
	return job_find(conf_text(c, "job"), &dirs, j, err);
}

static bool is_pair(const char *s)
{
	size_t n = strcspn(s, "=");

	for (size_t i = 0; i < n; i++)
		if (!isalnum((unsigned char)s[i]) && s[i] != '_')
			return false;
	return n && s[n] && !isdigit((unsigned char)*s);
}

static int check(const struct conf *c, struct error **err)
{
	_cleanup_strv_ struct strv vars = STRV_INIT, files = STRV_INIT;
	_cleanup_job_ struct job j = { 0 };

	if (find(c, &j, err) < 0)
		return error_wrap(err, "croft-job");
	conf_list(c, "environment_vars", &vars);
	for (size_t i = 0; i < vars.len; i++)
		if (!is_pair(vars.v[i]))
			return val_error(conf_at(c, "environment_vars"), err, "croft-job: environment_vars: '%s' is not NAME=VALUE", vars.v[i]);
	conf_list(c, "files", &files);
	for (size_t i = 0; i < files.len; i++)
		if (conf_check_file(c, "files", files.v[i], err) < 0)
			return -1;
	return 0;
}

/* The job's three scripts, and what it is given. */
static void inputs(const struct conf *c, struct strv *ret)
{
	static const char *const suffixes[] = { "job", "pre", "post" };
	_cleanup_error_ struct error *e = NULL;
	_cleanup_job_ struct job j = { 0 };

	conf_list(c, "files", ret);
	if (find(c, &j, &e) < 0)
		return;
	for (size_t i = 0; i < ARRAY_SIZE(suffixes); i++) {
		char *path = xasprintf("%s/%s.%s", j.dir, j.name, suffixes[i]);

		if (file_exists(path))
			strv_take(ret, path);
		else
			free(path);
	}
}

static void say(void *arg, const char *text)
{
	struct build *b = arg;

	ui_message(b->ui, b->name, "%s", text);
}

static int run(struct build *b, const struct conf *c, const struct funcs *f, struct error **err)
{
	_cleanup_strv_ struct strv vars = STRV_INIT, files = STRV_INIT;
	_cleanup_free_ char *here = path_absolute("."), *in = NULL, *out = NULL;
	_cleanup_job_ struct job j = { 0 };
	struct job_opts o = { .luks_key = -1, .vars = &vars, .files = &files, .start_ms = -1, .timeout_ms = build_time_left(b), .discard = 0, .say = say, .arg = b };
	const char *accel = conf_text(&b->conf, "accelerator");
	int status = 0;

	if (box_power_off(b, err) < 0 || find(c, &j, err) < 0)
		return -1;
	in = box_path(b, "job-in");
	out = box_path(b, "job-out");
	o.in = in;
	o.out = out;
	o.accel = accel && !strcmp(accel, "none") ? "tcg" : accel;
	conf_list(c, "environment_vars", &vars);
	strv_addf(&vars, "HOSTDIR=%s", here);
	conf_list(c, "files", &files);
	ui_say(b->ui, b->name, "Running the job %s on the machine's disks...", j.name);
	fflush(stdout);
	if (job_run(b->vm->m, &j, &o, &status, err) < 0)
		return -1;
	return status ? error_set(err, ERR_FAILED, "job %s: status %d", j.name, status) : 0;
}

const struct provisioner prov_job = { .type = "croft-job", .check = check, .inputs = inputs, .run = run, .local = true };
