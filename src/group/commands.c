/* SPDX-License-Identifier: Apache-2.0 */
/*
 * init_commands and instance_commands run once in a machine's life. After each the machine's file `commands` gets a line
 * "PHASE INDEX DIGEST", the digest being that of the command as written: an `up` that was broken off goes on where it stopped, and a
 * command that was changed in the file is run.
 */
#include "base/cleanup.h"
#include "base/file.h"
#include "base/mem.h"
#include "base/path.h"
#include "conf/settings.h"
#include "internal.h"
#include "machine/identity.h"

#include <string.h>

#define AGENT_MS 30000
#define JOURNAL_MAX (4u << 20)

static char *journal_path(const char *full)
{
	_cleanup_free_ char *dir = path_data("machines"), *machine = path_join(dir, full);

	return path_join(machine, "commands");
}

static char *mark_of(const char *phase, size_t i, const char *command)
{
	char hex[17];
	unsigned char h[32];

	identity_digest(command, h);
	for (size_t k = 0; k < 8; k++)
		snprintf(hex + 2 * k, 3, "%02x", h[k]);
	return xasprintf("%s %zu %s", phase, i, hex);
}

/* Lines of the journal; none when there is no file. */
static int read_marks(const char *full, struct strv *marks, struct error **err)
{
	_cleanup_free_ char *path = journal_path(full);
	_cleanup_buf_ struct buf b = BUF_INIT;

	if (!file_exists(path))
		return 0;
	if (file_read(path, JOURNAL_MAX, &b, err) < 0)
		return -1;
	strv_split(marks, buf_str(&b), "\n");
	return 0;
}

static int write_marks(const char *full, const struct strv *marks, struct error **err)
{
	_cleanup_free_ char *path = journal_path(full), *text = strv_join(marks, "\n");

	return file_writef(path, 0600, err, "%s\n", text);
}

static const struct strv *commands_of(const struct group_node *n, const char *phase)
{
	return strcmp(phase, "init") ? &n->instance : &n->init;
}

size_t group_commands_left(const struct group_node *n, const char *phase)
{
	const struct strv *c = commands_of(n, phase);
	_cleanup_strv_ struct strv marks = STRV_INIT;
	_cleanup_error_ struct error *e = NULL;
	size_t left = 0;

	if (read_marks(n->full, &marks, &e) < 0)
		return c->len;
	for (size_t i = 0; i < c->len; i++) {
		_cleanup_free_ char *mark = mark_of(phase, i, c->v[i]);

		left += !strv_has(&marks, mark);
	}
	return left;
}

static int failed(const struct group_node *n, const char *phase, size_t i, const char *command, int status, struct lines *o,
	struct error **err)
{
	_cleanup_free_ char *said = strv_join(&o->kept, "\n");

	error_set(err, ERR_FAILED, "%s_commands %zu of %zu: status %d: %s%s%s", phase, i + 1, commands_of(n, phase)->len, status, command,
		o->kept.len ? "\nit said:\n" : "", o->kept.len ? said : "");
	return error_hint(err, "the next `up` begins again with this command");
}

static int run_one(const struct group *g, const struct group_node *n, const char *phase, size_t i, struct agent *a, struct worker *w,
	struct error **err)
{
	_cleanup_free_ char *key = xasprintf("%s_commands", phase);
	_cleanup_free_ char *command =
		vars_expand(g->vars, commands_of(n, phase)->v[i], group_command_at(n, key, i), NULL, err);
	struct lines o = { .w = w };
	struct agent_exec x = AGENT_EXEC_INIT;
	int status = 0, rc;

	if (!command)
		return -1;
	x.on_output = lines_take;
	x.arg = &o;
	x.timeout_ms = (int)settings_number("command_timeout");
	rc = agent_shell_command(a, command, &x, &status, err);
	lines_end(&o);
	if (rc < 0)
		error_wrap(err, "%s %zu of %zu: %s", key, i + 1, commands_of(n, phase)->len, command);
	else if (status)
		rc = failed(n, phase, i, command, status, &o, err);
	lines_free(&o);
	return rc;
}

int group_run_commands(const struct group *g, const struct group_node *n, const char *phase, struct machine *m, struct worker *w,
	struct error **err)
{
	const struct strv *c = commands_of(n, phase);
	_cleanup_strv_ struct strv marks = STRV_INIT;
	_cleanup_agent_ struct agent *a = NULL;

	if (read_marks(n->full, &marks, err) < 0)
		return -1;
	for (size_t i = 0; i < c->len; i++) {
		_cleanup_free_ char *mark = mark_of(phase, i, c->v[i]);

		if (strv_has(&marks, mark))
			continue;
		if (!a)
			a = machine_agent(m, AGENT_MS, err);
		if (!a)
			return -1;
		worker_state(w, "%s %zu/%zu", phase, i + 1, c->len);
		if (run_one(g, n, phase, i, a, w, err) < 0)
			return -1;
		strv_add(&marks, mark);
		if (write_marks(n->full, &marks, err) < 0)
			return -1;
	}
	return 0;
}
