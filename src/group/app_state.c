/* SPDX-License-Identifier: Apache-2.0 */
#include "app_state.h"

#include "base/blake2b.h"
#include "base/cleanup.h"
#include "base/mem.h"
#include "base/progress.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define DIR APP_HISTORY_DIR "/apps"
#define OWNER "[ -z \"$3\" ] || echo \"group $3\""
#define ASK_MS 10000
#define CHECK_MS 20000

/* Of what an installation comes from: where to, and the commands. Sources are the matter of install and update. */
static void key_of(const struct app *a, char hex[17])
{
	_cleanup_strv_ struct strv lines = STRV_INIT;
	_cleanup_error_ struct error *e = NULL;
	_cleanup_free_ char *text = NULL;
	uint8_t out[BLAKE2B_LEN];

	app_command(a, "install", &lines, &e);
	strv_add(&lines, a->target ? a->target : "");
	text = strv_join(&lines, "\n");
	blake2b(text, strlen(text), out);
	for (size_t i = 0; i < 8; i++)
		snprintf(hex + 2 * i, 3, "%02x", out[i]);
}

/* Who works on a real computer, which others may know too: new. Machines of a group are its own: NULL. */
static char *owner_of(const struct app *a)
{
	char host[256] = "";

	gethostname(host, sizeof(host) - 1);
	return a->n->host ? xasprintf("%s of user %u at %s", a->g->name, (unsigned)getuid(), host) : NULL;
}

int app_is_ours(const struct app *a, struct agent *agent, struct error **err)
{
	_cleanup_free_ char *file = xasprintf(DIR "/%s", a->name), *us = owner_of(a);
	_cleanup_buf_ struct buf said = BUF_INIT;
	struct agent_exec x = AGENT_EXEC_INIT;
	int status = 0;

	if (!us)
		return 0;
	x.argv = (const char *const[]){ "sh", "-c", "sed -n 's/^group //p' \"$1\" 2>/dev/null | tr -d '\\n'", "sh", file, NULL };
	x.out = &said;
	x.timeout_ms = ASK_MS;
	if (agent_exec(agent, &x, &status, err) < 0)
		return error_wrap(err, "app %s: its state", a->name);
	if (!said.len || !strcmp(buf_str(&said), us))
		return 0;
	error_set(err, ERR_STATE, "app %s: on this computer it is that of group %s", a->name, buf_str(&said));
	return error_hint(err, "two groups with an app of one name would take each other's files: uninstall it there first, or give it another name");
}

int app_mark(const struct app *a, enum app_mark what, struct agent *agent, struct error **err)
{
	static const char *const lines[] = {
		[APP_INSTALLED] = "{ echo \"installed $2\"; grep '^started ' \"$1\" 2>/dev/null; " OWNER "; }",
		[APP_STARTED] = "{ grep '^installed ' \"$1\" 2>/dev/null; echo \"started $(cat /proc/sys/kernel/random/boot_id)\"; " OWNER "; }",
		[APP_STOPPED] = "{ grep '^installed ' \"$1\" 2>/dev/null; " OWNER "; }",
		[APP_UNINSTALLED] = ":",
	};
	_cleanup_free_ char *file = xasprintf(DIR "/%s", a->name), *us = owner_of(a);
	_cleanup_free_ char *script =
		xasprintf("mkdir -p " DIR " && %s >\"$1.new\" && mv \"$1.new\" \"$1\"", lines[what]);
	_cleanup_buf_ struct buf said = BUF_INIT;
	struct agent_exec x = AGENT_EXEC_INIT;
	char key[17];
	int status = 0;

	key_of(a, key);
	x.argv = (const char *const[]){ "sh", "-c", script, "sh", file, key, us ? us : "", NULL };
	x.out = x.err = &said;
	x.timeout_ms = ASK_MS;
	if (agent_exec(agent, &x, &status, err) < 0)
		return error_wrap(err, "app %s: its state", a->name);
	return status ? error_set(err, ERR_FAILED, "app %s: its state could not be noted: %s", a->name, buf_str(&said)) : 0;
}

/* ---- asking ---- */

struct asking {
	const struct app_set *set;
	const struct group_node *n;
	bool check;
};

static void check_apps(struct worker *w, const struct asking *x, struct agent *agent, const char *states, const char *boot)
{
	for (size_t i = 0; i < x->set->n; i++) {
		const struct app *a = x->set->v[i];
		_cleanup_free_ char *line = xasprintf("\n%s:started %s\n", a->name, boot), *last = NULL;
		_cleanup_buf_ struct buf said = BUF_INIT;
		_cleanup_error_ struct error *e = NULL;
		_cleanup_strv_ struct strv lines = STRV_INIT;
		struct agent_exec c = AGENT_EXEC_INIT;
		int status = 0;

		if (a->n != x->n || !a->check || !strstr(states, line))
			continue;
		c.out = c.err = &said;
		c.timeout_ms = CHECK_MS;
		if (agent_shell_command(agent, a->check, &c, &status, &e) < 0)
			status = ERR_TIMEOUT;
		strv_split(&lines, e ? e->msg : buf_str(&said), "\n");
		last = xasprintf("%s:check %d %s\n", a->name, status, lines.len ? lines.v[lines.len - 1] : "");
		worker_result(w, last);
	}
}

/* "BOOT-ID\nAPP:LINE\n...", pm's list of units, then what checks said. */
static int ask(struct worker *w, void *arg, struct error **err)
{
	const struct asking *x = arg;
	_cleanup_machine_ struct machine *m = machine_open(x->n->full, err);
	_cleanup_agent_ struct agent *agent = m ? machine_agent_awake(m, ASK_MS, err) : NULL;
	_cleanup_buf_ struct buf out = BUF_INIT;
	_cleanup_free_ char *boot = NULL;
	struct agent_exec c = AGENT_EXEC_INIT;
	int status = 0;

	c.out = &out;
	c.timeout_ms = ASK_MS;
	c.argv = (const char *const[]){ "sh", "-c",
		"cat /proc/sys/kernel/random/boot_id; cd " DIR " 2>/dev/null && grep -H . * 2>/dev/null; "
		"export PMHOME=" APP_HISTORY_DIR "/pm; test -d $PMHOME && $(command -v pm || echo /usr/local/bin/pm) list --format json; :", NULL };
	if (!agent || agent_exec(agent, &c, &status, err) < 0)
		return -1;
	worker_result(w, buf_str(&out));
	boot = xstrndup(buf_str(&out), strcspn(buf_str(&out), "\n"));
	if (x->check)
		check_apps(w, x, agent, buf_str(&out), boot);
	return 0;
}

static void take_line(const struct app *a, struct app_state *s, const char *line, const char *boot, const char *key)
{
	_cleanup_free_ char *us = owner_of(a);
	char *rest;

	if (!strncmp(line, "installed ", 10)) {
		s->installed = true;
		s->fresh = !strcmp(line + 10, key);
	} else if (!strncmp(line, "started ", 8)) {
		s->started = !strcmp(line + 8, boot);
	} else if (!strncmp(line, "group ", 6) && us && strcmp(line + 6, us)) {
		s->installed = s->started = false; /* it comes last */
	} else if (!strncmp(line, "check ", 6)) {
		s->check = (int)strtol(line + 6, &rest, 10);
		free(s->said);
		s->said = s->check ? xstrdup(*rest ? rest + 1 : "") : NULL;
	}
}

/* A line of pm's list: {"unit": "APP.UNIT", "state": "RUNNING", ...} */
static void take_unit(const struct app *a, const char *line, struct app_state *s)
{
	char unit[256], state[32];

	if (sscanf(line, " {\"unit\": \"%255[^\"]\", \"state\": \"%31[^\"]\"", unit, state) == 2 && strv_has(&a->units, unit))
		strv_addf(&s->units, "%s %s", unit + strlen(a->name) + 1, state);
}

static void take_answer(const struct app *a, const char *answer, struct app_state *s)
{
	_cleanup_strv_ struct strv lines = STRV_INIT;
	size_t n = strlen(a->name);
	char key[17];

	key_of(a, key);
	strv_split(&lines, answer, "\n");
	s->known = lines.len > 0;
	for (size_t i = 1; i < lines.len; i++)
		if (!strncmp(lines.v[i], a->name, n) && lines.v[i][n] == ':')
			take_line(a, s, lines.v[i] + n + 1, lines.v[0], key);
		else
			take_unit(a, lines.v[i], s);
}

static bool runs(const struct group_node *n)
{
	_cleanup_error_ struct error *e = NULL;
	_cleanup_machine_ struct machine *m = group_node_exists(n) ? machine_open(n->full, &e) : NULL;

	return m && machine_state(m) == MACHINE_RUNNING;
}

int app_states_ask(const struct app_set *set, bool check, struct app_states *ret, struct error **err)
{
	struct asking *x = xcalloc(set->n + 1, sizeof(*x));
	struct work *all = xcalloc(set->n + 1, sizeof(*all));
	struct buf *answers = xcalloc(set->n + 1, sizeof(*answers));
	size_t n = 0;
	int rc;

	ret->v = xcalloc(set->n + 1, sizeof(*ret->v));
	ret->n = set->n;
	for (size_t i = 0; i < set->n; i++) {
		ret->v[i].check = -1;
		if ((n && x[n - 1].n == set->v[i]->n) || !runs(set->v[i]->n))
			continue;
		x[n] = (struct asking){ set, set->v[i]->n, check };
		all[n] = (struct work){ .label = x[n].n->name, .arg = &x[n], .fn = ask, .result = &answers[n] };
		n++;
	}
	rc = work_ask(all, n, err);
	for (size_t i = 0; i < set->n; i++)
		for (size_t k = 0; k < n; k++)
			if (x[k].n == set->v[i]->n)
				take_answer(set->v[i], buf_str(&answers[k]), &ret->v[i]);
	for (size_t k = 0; k < n; k++)
		buf_free(&answers[k]);
	free(answers);
	free(all);
	free(x);
	return rc;
}

void app_states_clear(struct app_states *s)
{
	for (size_t i = 0; i < s->n; i++) {
		free(s->v[i].said);
		strv_free(&s->v[i].units);
	}
		free(s->v);
	*s = (struct app_states){ 0 };
}
