/* SPDX-License-Identifier: Apache-2.0 */
/* A group as other programs want to see it. */
#include "internal.h"

#include "base/cleanup.h"
#include "base/mem.h"
#include "base/path.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* This program and the folder of its data, as ssh will need them from any directory. */
static char *proxy_command(const struct group_node *n)
{
	_cleanup_free_ char *self = realpath("/proc/self/exe", NULL);
	const char *home = getenv("CROFT_HOME");
	_cleanup_free_ char *absolute = home ? path_absolute(home) : NULL;

	return xasprintf("%s%s%s'%s' vm exec %s -- croft-guest --connect 127.0.0.1 %%p", home ? "env CROFT_HOME='" : "", home ? absolute : "",
		home ? "' " : "", self ? self : "croft", n->full);
}

/* Plain ssh goes there as croft does, with the host's key that croft keeps. */
static void real_host_config(const struct group_node *n, struct buf *text)
{
	_cleanup_free_ char *user = NULL, *host = NULL, *known = machine_known_hosts();
	_cleanup_strv_ struct strv more = STRV_INIT;
	_cleanup_error_ struct error *e = NULL;
	unsigned port = 0;

	if (machine_host_resolve(n->host, &user, &host, &port, &more, &e) < 0)
		return;
	buf_addf(text, "Host %s\n\tHostName %s\n", n->name, host);
	if (user)
		buf_addf(text, "\tUser %s\n", user);
	if (port)
		buf_addf(text, "\tPort %u\n", port);
	if (n->ssh_key)
		buf_addf(text, "\tIdentityFile \"%s\"\n", n->ssh_key);
	for (size_t i = 0; i < more.len; i++)
		buf_addf(text, "\t%s\n", more.v[i]);
	buf_addf(text, "\tUserKnownHostsFile \"%s\"\n", known);
}

int group_ssh_config(const struct group *g, struct buf *text, struct error **err)
{
	_cleanup_free_ char *known = path_join(g->record, "known_hosts");

	buf_addf(text, "# croft group %s; for ~/.ssh/config: Include, or ssh -F FILE\n", g->name);
	for (size_t i = 0; i < g->nnodes; i++) {
		const struct group_node *n = &g->nodes[i];
		_cleanup_free_ char *proxy = proxy_command(n);

		if (n->host) {
			real_host_config(n, text);
			continue;
		}
		buf_addf(text, "Host %s%s%s %s.%s.croft\n\tHostName %s\n\tHostKeyAlias %s.%s.croft\n\tUser %s\n\tProxyCommand %s\n", n->name,
			strcmp(n->id, n->name) ? " " : "", strcmp(n->id, n->name) ? n->id : "", n->name, g->name, n->address, n->name, g->name,
			n->ssh ? n->ssh : "root", proxy);
		if (n->ssh) {
			_cleanup_free_ char *sub = xasprintf("machines/%s/ssh_key", n->full), *key = path_data(sub);

			buf_addf(text, "\tIdentityFile \"%s\"\n", key);
		}
		/* Its first contact goes through croft's own channel: nobody stands between. */
		buf_addf(text, "\tStrictHostKeyChecking accept-new\n\tUserKnownHostsFile \"%s\"\n", known);
	}
	return 0;
}

/* How ssh gets to a node: user and port (NULL, 0: its own defaults), further arguments. */
struct way {
	char *user, *args;
	unsigned port;
};

static void way_to(const struct group *g, const struct group_node *n, struct way *w)
{
	_cleanup_free_ char *proxy = proxy_command(n), *host = NULL, *known = machine_known_hosts();
	_cleanup_error_ struct error *e = NULL;

	*w = (struct way){ 0 };
	if (n->host) {
		machine_host_resolve(n->host, &w->user, &host, &w->port, NULL, &e);
		w->args = xasprintf("-o UserKnownHostsFile=\"%s\"", known);
		return;
	}
	w->user = xstrdup(n->ssh ? n->ssh : "root");
	w->args = xasprintf("-o ProxyCommand=\"%s\" -o HostKeyAlias=%s.%s.croft -o StrictHostKeyChecking=accept-new", proxy, n->name, g->name);
}

/* https://docs.ansible.com: developing dynamic inventory */
int group_inventory(const struct group *g, struct buf *json, struct error **err)
{
	buf_adds(json, "{\"_meta\":{\"hostvars\":{");
	for (size_t i = 0; i < g->nnodes; i++) {
		const struct group_node *n = &g->nodes[i];
		struct way w;

		way_to(g, n, &w);
		if (i)
			buf_addc(json, ',');
		json_quote(json, n->name);
		buf_adds(json, ":{\"ansible_host\":");
		json_quote(json, n->address);
		if (w.port)
			buf_addf(json, ",\"ansible_port\":%u", w.port);
		if (w.user) {
			buf_adds(json, ",\"ansible_user\":");
			json_quote(json, w.user);
		}
		if (n->ssh_key) {
			buf_adds(json, ",\"ansible_ssh_private_key_file\":");
			json_quote(json, n->ssh_key);
		}
		buf_adds(json, ",\"ansible_ssh_common_args\":");
		json_quote(json, w.args);
		free(w.user);
		free(w.args);
		buf_adds(json, ",\"croft_machine\":");
		json_quote(json, n->full);
		buf_addc(json, '}');
	}
	buf_adds(json, "}},");
	json_quote(json, g->name);
	buf_adds(json, ":{\"hosts\":[");
	for (size_t i = 0; i < g->nnodes; i++) {
		if (i)
			buf_addc(json, ',');
		json_quote(json, g->nodes[i].name);
	}
	buf_adds(json, "]}");
	for (size_t a = 0; a < g->napps; a++) {
		bool first = true;

		/* Ansible's group names are variables' names. */
		buf_adds(json, ",\"app_");
		for (const char *p = g->apps[a].name; *p; p++)
			buf_addc(json, *p == '-' || *p == '.' ? '_' : *p);
		buf_adds(json, "\":{\"hosts\":[");
		for (size_t i = 0; i < g->nnodes; i++) {
			if (!strv_has(&g->nodes[i].apps, g->apps[a].name))
				continue;
			if (!first)
				buf_addc(json, ',');
			json_quote(json, g->nodes[i].name);
			first = false;
		}
		buf_adds(json, "]}");
	}
	buf_adds(json, "}\n");
	return 0;
}
