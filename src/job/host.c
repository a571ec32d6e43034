/* SPDX-License-Identifier: Apache-2.0 */
/* .pre and .post: the user's scripts on the host, with croft's variables. */
#include "base/cleanup.h"
#include "base/file.h"
#include "base/mem.h"
#include "base/path.h"
#include "base/proc.h"
#include "internal.h"

#include <string.h>

static void add_vars(const struct job_work *w, struct strv *env)
{
	const struct machine_def *d = &w->m->def;

	/* Those that are given come later and win; HOSTDIR is among them. */
	strv_addf(env, "GUESTNAME=%s", w->m->name);
	strv_addf(env, "QEMUARCH=%s", d->arch);
	strv_addf(env, "UEFI=%s", d->firmware && !strncmp(d->firmware, "uefi", 4) ? "1" : "");
	strv_addf(env, "JOBNAME=%s", w->job->name);
	strv_addf(env, "JOBDIR=%s", w->job->dir);
	if (w->o->host_vars)
		strv_addv(env, (const char *const *)w->o->host_vars->v);
	if (w->o->vars)
		strv_addv(env, (const char *const *)w->o->vars->v);
	strv_addf(env, "INDIR=%s", w->o->in);
	strv_addf(env, "OUTDIR=%s", w->o->out);
	strv_addf(env, "TIMEOUT=%.0d", w->o->timeout_ms < 0 ? 0 : (w->o->timeout_ms + 999) / 1000);
	if (w->rescue && rescue_ssh_port(w->rescue))
		strv_addf(env, "SSH_PORT=%u", rescue_ssh_port(w->rescue));
}

int job_host_script(const struct job_work *w, const char *suffix, struct error **err)
{
	_cleanup_free_ char *script = xasprintf("%s/%s.%s", w->job->dir, w->job->name, suffix), *own = NULL, *host = NULL;
	_cleanup_strv_ struct strv argv = STRV_INIT, env = STRV_INIT;
	_cleanup_proc_ struct proc p = PROC_INIT;
	int status = 0;

	if (!file_exists(script))
		return 0;
	own = job_own_dir(err);
	if (!own)
		return -1;
	host = path_join(own, "host.bash");
	strv_addv(&argv, (const char *const[]){ "bash", "-efu", host, script, NULL });
	if (w->o->arrays && w->o->arrays->len)
		strv_addv(&argv, (const char *const *)w->o->arrays->v);
	add_vars(w, &env);
	/* In our group: Ctrl-C on the terminal ends it as well. */
	if (proc_spawn(&(struct proc_opts){ .argv = (const char *const *)argv.v, .env = (const char *const *)env.v, .in = PROC_INHERIT,
			       .out = PROC_INHERIT, .err = PROC_INHERIT, .same_group = true, .die_with_us = true },
		    &p, err) < 0 ||
		proc_wait(&p, -1, &status, err) < 0)
		return error_wrap(err, "%s", script);
	return status ? error_set(err, ERR_FAILED, "%s: %s", script, proc_status_text(status)) : 0;
}
