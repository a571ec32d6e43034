/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Units of an app: what pm supervises on the node. "units": { "web": "httpd -f", "db": { "run": "..", "restart": "on-failure" } }; the keys
 * are pm's (docs/pm.md). In the node's pm they are called APP.UNIT and come as one document for each app, so that what the
 * app's file drops goes there too. A node without pm gets croft's own, a static program.
 */
#include "app.h"

#include "base/cleanup.h"
#include "base/file.h"
#include "base/mem.h"
#include "base/path.h"

#include <string.h>

#define PM_HOME APP_HISTORY_DIR "/pm"
#define PM_PLACE "/usr/local/bin/pm"
#define PM_MS 120000

/* As pm's command stream reads it back unchanged. */
static void quote(struct buf *b, const char *key, const char *value)
{
	buf_addf(b, " \"%s=", key);
	for (; *value; value++) {
		if (*value == '"' || *value == '\\')
			buf_addc(b, '\\');
		buf_addc(b, *value);
	}
	buf_addc(b, '"');
}

static int add_key(struct app *a, const char *unit, const struct node *key, const struct node *v, struct error **err)
{
	static const char *const units[] = { "needs", "binds-to", "after", "conflicts" };
	_cleanup_free_ char *text = v->text ? vars_expand(a->vars, v->text, v, NULL, err) : NULL, *own = NULL;
	_cleanup_strv_ struct strv names = STRV_INIT;

	if (!v->text)
		return node_error(v, err, "unit %s: %s: one value is needed, this is %s", unit, key->text, node_type_name(v->type));
	if (!text)
		return -1;
	if (key->text[strcspn(key->text, "= \t\"\\")])
		return node_error(key, err, "unit %s: '%s' is no key of pm's; `croft pm keys` lists them", unit, key->text);
	if (strchr(text, '\n'))
		return node_error(v, err, "unit %s: %s: line breaks are not possible", unit, key->text);
	for (size_t i = 0; i < ARRAY_SIZE(units); i++)
		if (!strcmp(key->text, units[i])) {
			strv_split(&names, text, " \t");
			for (size_t k = 0; k < names.len; k++) {
				char *full = xasprintf("%s.%s", a->name, names.v[k]);

				free(names.v[k]);
				names.v[k] = full;
			}
			own = strv_join(&names, " ");
		}
	quote(&a->units_text, key->text, own ? own : text);
	return 0;
}

int app_read_units(struct app *a, struct error **err)
{
	struct node *map = NULL;

	if (node_map(doc_root(a->doc), "units", &map, err) < 0)
		return -1;
	for (size_t i = 0; map && i < map->len; i++) {
		const struct node *key = map->keys[i], *v = map->items[i];
		_cleanup_free_ char *run = NULL;

		if (name_check("unit", key->text, err) < 0)
			return error_wrap(err, "%s:%d:%d", doc_name(a->doc), key->line, key->col);
		if (v->type != NODE_STRING && v->type != NODE_MAP)
			return node_error(v, err, "unit %s: a command or a map is needed, this is %s", key->text, node_type_name(v->type));
		strv_addf(&a->units, "%s.%s", a->name, key->text);
		buf_addf(&a->units_text, "unit %s.%s", a->name, key->text);
		if (v->type == NODE_STRING) {
			run = vars_expand(a->vars, v->text, v, NULL, err);
			if (!run)
				return -1;
			quote(&a->units_text, "run", run);
		}
		for (size_t k = 0; v->type == NODE_MAP && k < v->len; k++)
			if (add_key(a, key->text, v->keys[k], v->items[k], err) < 0)
				return -1;
		buf_addc(&a->units_text, '\n');
	}
	return 0;
}

/* ---- on a node ---- */

/* `script` with the app's units as "$@"; PM is the program. */
static int in_guest(const struct app *a, const char *script, bool document, struct agent *agent, int *status, struct buf *said,
	struct error **err)
{
	_cleanup_free_ char *all = xasprintf("export PMHOME=" PM_HOME "; PM=$(command -v pm || echo " PM_PLACE ")\n%s", script);
	_cleanup_close_ int in = app_text_fd(document ? buf_str((struct buf *)&a->units_text) : "");
	const char **argv = xcalloc(a->units.len + 6, sizeof(*argv));
	struct agent_exec x = AGENT_EXEC_INIT;
	size_t n = 0;
	int rc;

	argv[n++] = "sh";
	argv[n++] = "-c";
	argv[n++] = all;
	argv[n++] = a->name;
	for (size_t i = 0; i < a->units.len; i++)
		argv[n++] = a->units.v[i];
	x.argv = argv;
	x.in_fd = in;
	x.out = x.err = said;
	x.timeout_ms = PM_MS;
	rc = agent_exec(agent, &x, status, err);
	free(argv);
	while (said->len && said->data[said->len - 1] == '\n')
		said->data[--said->len] = '\0';
	return rc < 0 ? error_wrap(err, "app %s: units", a->name) : 0;
}

static int send_pm(struct agent *agent, struct error **err)
{
	_cleanup_free_ char *program = path_libexec("pm", err);
	struct agent_copy c = AGENT_COPY_INIT;

	c.owner = "0:0";
	c.mode = 0755;
	return program ? agent_push(agent, program, PM_PLACE, &c, err) : -1;
}

int app_units_start(const struct app *a, struct agent *agent, struct worker *w, struct error **err)
{
	/* 4: it runs already. Its own streams are not ours: it stays. */
	static const char script[] = "command -v \"$PM\" >/dev/null || exit 100\nmkdir -p $PMHOME || exit 1\n"
				     "\"$PM\" list >/dev/null 2>&1 || \"$PM\" main --detach >/dev/null 2>$PMHOME/start.err </dev/null || "
				     "{ cat $PMHOME/start.err; exit 1; }\n\"$PM\" dispatch - --name \"$0\" && exec \"$PM\" start \"$@\"";
	_cleanup_buf_ struct buf said = BUF_INIT;
	int status = 0;

	if (!a->units.len)
		return 0;
	worker_state(w, "%s: starting its units", a->name);
	if (in_guest(a, script, true, agent, &status, &said, err) < 0)
		return -1;
	if (status == 100) {
		buf_clear(&said);
		if (send_pm(agent, err) < 0 || in_guest(a, script, true, agent, &status, &said, err) < 0)
			return -1;
	}
	if (!status)
		return 0;
	error_set(err, ERR_FAILED, "app %s: its units do not start: %s", a->name, buf_str(&said));
	return error_hint(err, "on %s: PMHOME=" PM_HOME " pm log UNIT", a->n->name);
}

/* end: they go as well. */
int app_units_stop(const struct app *a, bool end, struct agent *agent, struct worker *w, struct error **err)
{
	_cleanup_buf_ struct buf said = BUF_INIT;
	int status = 0;

	if (!a->units.len)
		return 0;
	worker_state(w, "%s: stopping its units", a->name);
	if (in_guest(a, end ? "\"$PM\" list >/dev/null 2>&1 || exit 0; exec \"$PM\" dispatch - --name \"$0\"" :
			      "\"$PM\" list >/dev/null 2>&1 || exit 0; exec \"$PM\" -q stop \"$@\"", false, agent, &status, &said, err) < 0)
		return -1;
	return status ? error_set(err, ERR_FAILED, "app %s: its units do not stop: %s", a->name, buf_str(&said)) : 0;
}
