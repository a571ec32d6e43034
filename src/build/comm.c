/* SPDX-License-Identifier: Apache-2.0 */
#include "build/comm.h"
#include "build/build.h"
#include "build/quote.h"

#include "base/cleanup.h"
#include "base/loop.h"
#include "base/mem.h"
#include "base/path.h"

#include <dirent.h>
#include <errno.h>
#include <jansson.h>
#include <string.h>

#define FACTS_MS 10000
#define NETWORK_MS 10000

void comm_close(struct comm *c)
{
	if (!c)
		return;
	free(c->host);
	free(c->user);
	free(c->password);
	c->ops->close(c);
}

bool comm_is_dir(struct comm *c, const char *path)
{
	_cleanup_free_ char *word = shell_quote(path), *command = xasprintf("test -d %s", word);
	_cleanup_error_ struct error *e = NULL;
	int status = 1;

	return c->ops->exec(c, command, NULL, NULL, 60000, &status, &e) == 0 && status == 0;
}

/* ---- none ---- */

static int nobody(struct error **err)
{
	error_set(err, ERR_STATE, "the communicator is 'none', so nothing can be run in the guest");
	return error_hint(err, "give the builder \"communicator\": \"ssh\", or \"agent\" when croft's guest program runs there");
}

static int none_exec(struct comm *c, const char *command, comm_output *fn, void *arg, int timeout_ms, int *status, struct error **err)
{
	return nobody(err);
}

static int none_upload(struct comm *c, const char *src, const char *dst, int mode, struct error **err)
{
	return nobody(err);
}

static int none_copy(struct comm *c, const char *src, const char *dst, struct error **err)
{
	return nobody(err);
}

static int none_renew(struct comm *c, int timeout_ms, struct error **err)
{
	return 0;
}

static int none_shell(struct comm *c, int *status, struct error **err)
{
	return nobody(err);
}

static void none_close(struct comm *c)
{
	free(c);
}

struct comm *comm_none(void)
{
	static const struct comm_ops ops = { none_exec, none_upload, none_copy, none_copy, none_renew, none_shell, none_close, NULL };
	struct comm *c = xcalloc(1, sizeof(*c));

	*c = (struct comm){ .ops = &ops, .type = "none" };
	return c;
}

/* ---- agent ---- */

struct agent_comm {
	struct comm c;
	struct machine *m;
	struct agent *agent;
};

static int agent_run(struct comm *c, const char *command, comm_output *fn, void *arg, int timeout_ms, int *status, struct error **err)
{
	struct agent_comm *a = (struct agent_comm *)c;
	struct agent_exec x = AGENT_EXEC_INIT;

	x.argv = (const char *const[]){ "sh", "-c", command, NULL };
	x.on_output = fn;
	x.arg = arg;
	x.timeout_ms = timeout_ms;
	if (agent_exec(a->agent, &x, status, err) == 0)
		return 0;
	if ((*err)->cls != ERR_STATE)
		return -1;
	error_clear(err);
	*status = COMM_LOST;
	return 0;
}

static int agent_upload(struct comm *c, const char *src, const char *dst, int mode, struct error **err)
{
	struct agent_copy o = AGENT_COPY_INIT;

	o.recursive_ok = false;
	o.mode = mode;
	o.owner = "root:root";
	return agent_push(((struct agent_comm *)c)->agent, src, dst, &o, err);
}

static int agent_upload_tree(struct comm *c, const char *src, const char *dst, struct error **err)
{
	struct agent_copy o = AGENT_COPY_INIT;
	_cleanup_closedir_ DIR *d = opendir(src);
	_cleanup_free_ char *word = shell_quote(dst), *command = xasprintf("mkdir -p %s", word), *into = xasprintf("%s/", dst);
	const struct dirent *e;
	int status = 0;

	o.owner = "root:root";
	if (!d)
		return error_errno(err, errno, "%s", src);
	if (agent_run(c, command, NULL, NULL, 60000, &status, err) < 0)
		return -1;
	if (status)
		return error_set(err, ERR_FAILED, "%s: the folder cannot be made in the guest", dst);
	while ((e = readdir(d))) {
		_cleanup_free_ char *path = xasprintf("%s/%s", src, e->d_name);

		if (strcmp(e->d_name, ".") && strcmp(e->d_name, "..") && agent_push(((struct agent_comm *)c)->agent, path, into, &o, err) < 0)
			return -1;
	}
	return 0;
}

static int agent_download(struct comm *c, const char *src, const char *dst, struct error **err)
{
	struct agent_copy o = AGENT_COPY_INIT;

	return agent_pull(((struct agent_comm *)c)->agent, src, dst, &o, err);
}

/* An address that others can reach it by, so that a first `apt-get` does not fail for want of DHCP's answer. */
static bool has_address(const char *facts)
{
	json_t *j = json_loads(facts, 0, NULL), *one, *address;
	bool found = false;
	size_t i, k;

	json_array_foreach(json_object_get(j, "interfaces"), i, one)
		json_array_foreach(json_object_get(one, "addresses"), k, address) {
			const char *s = json_string_value(address);

			found = found || (s && strncmp(s, "127.", 4) && !strchr(s, ':'));
		}
	json_decref(j);
	return found;
}

/* A guest that has none after a while has no network, which may be meant. */
static int wait_network(struct agent_comm *a, struct error **err)
{
	uint64_t end = loop_now() + (uint64_t)NETWORK_MS * 1000000;

	if (!a->m->def.nnics)
		return 0;
	while (loop_now() < end) {
		_cleanup_error_ struct error *e = NULL;
		_cleanup_free_ char *facts = agent_facts(a->agent, FACTS_MS, &e);

		if (!facts || has_address(facts))
			return 0;
		if (build_sleep(200000000, err) < 0)
			return -1;
	}
	return 0;
}

static int agent_renew(struct comm *c, int timeout_ms, struct error **err)
{
	struct agent_comm *a = (struct agent_comm *)c;

	agent_free(STEAL(a->agent));
	if (machine_wait_ready(a->m, timeout_ms, err) < 0)
		return -1;
	a->agent = machine_agent(a->m, timeout_ms, err);
	return a->agent ? wait_network(a, err) : -1;
}

static int agent_shell(struct comm *c, int *status, struct error **err)
{
	struct agent_exec x = AGENT_EXEC_INIT;

	x.argv = (const char *const[]){ "sh", "-c", "command -v bash >/dev/null 2>&1 && exec bash -l; exec sh -l", NULL };
	x.tty = isatty(0) && isatty(1);
	x.in_fd = 0;
	x.out_fd = 1;
	x.err_fd = 2;
	return agent_exec(((struct agent_comm *)c)->agent, &x, status, err);
}

static void agent_close(struct comm *c)
{
	agent_free(((struct agent_comm *)c)->agent);
	free(c);
}

struct comm *comm_agent(struct machine *m, int timeout_ms, struct error **err)
{
	static const struct comm_ops ops = { agent_run, agent_upload, agent_upload_tree, agent_download, agent_renew, agent_shell, agent_close, NULL };
	struct agent_comm *a = xcalloc(1, sizeof(*a));

	*a = (struct agent_comm){ .c = { .ops = &ops, .type = "agent", .user = xstrdup("root") }, .m = m };
	if (agent_renew(&a->c, timeout_ms, err) == 0)
		return &a->c;
	comm_close(&a->c);
	return NULL;
}
