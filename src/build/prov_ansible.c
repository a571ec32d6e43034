/* SPDX-License-Identifier: Apache-2.0 */
/* Ansible: from this computer over ssh, or inside the guest. */
#include "build/build.h"
#include "build/quote.h"

#include "base/cleanup.h"
#include "base/file.h"
#include "base/mem.h"
#include "base/path.h"

#include <string.h>
#include <unistd.h>

/* ---- from here ---- */

static void inputs(const struct conf *c, struct strv *ret)
{
	/* roles and files lie beside the playbook */
	_cleanup_free_ char *dir = path_dirname(conf_text(c, "playbook_file"));

	strv_add(ret, strcmp(dir, ".") ? dir : conf_text(c, "playbook_file"));
	if (conf_given(c, "galaxy_file"))
		strv_add(ret, conf_text(c, "galaxy_file"));
}

static int check(const struct conf *c, struct error **err)
{
	_cleanup_free_ char *program = path_find_program(conf_text(c, "command"));

	if (!program && !strchr(conf_text(c, "command"), '/')) {
		val_error(conf_at(c, "command"), err, "ansible: there is no program '%s'", conf_text(c, "command"));
		return error_hint(err, "install the package ansible");
	}
	return conf_check_file(c, "playbook_file", conf_text(c, "playbook_file"), err);
}

static char *inventory(const struct build *b, const struct conf *c, const char *key, struct error **err)
{
	_cleanup_strv_ struct strv groups = STRV_INIT, empty = STRV_INIT;
	_cleanup_buf_ struct buf text = BUF_INIT;
	const char *host = conf_text(c, "host_alias"), *user = conf_text(c, "user");

	buf_addf(&text, "%s ansible_host=%s ansible_user=%s ansible_port=%u", host, b->comm->host, user ? user : b->comm->user, b->comm->port);
	if (key)
		buf_addf(&text, " ansible_ssh_private_key_file=%s", key);
	buf_addc(&text, '\n');
	conf_list(c, "groups", &groups);
	conf_list(c, "empty_groups", &empty);
	for (size_t i = 0; i < groups.len; i++)
		buf_addf(&text, "[%s]\n%s\n", groups.v[i], host);
	for (size_t i = 0; i < empty.len; i++)
		buf_addf(&text, "[%s]\n", empty.v[i]);
	return build_temp_file(".ini", text.data, text.len, 0600, err);
}

static int play(struct build *b, const struct conf *c, const char *inventory_file, struct error **err)
{
	_cleanup_strv_ struct strv argv = STRV_INIT, env = STRV_INIT, extra = STRV_INIT;
	int status = 0;

	strv_add(&env, "ANSIBLE_HOST_KEY_CHECKING=False");
	conf_list(c, "ansible_env_vars", &env);
	conf_list(c, "extra_arguments", &extra);
	strv_add(&argv, conf_text(c, "command"));
	strv_addf(&argv, "-e");
	strv_addf(&argv, "packer_build_name=%s packer_builder_type=%s", b->name, b->b->c->type);
	strv_addv(&argv, (const char *const[]){ "-i", inventory_file, NULL });
	strv_addv(&argv, extra.v ? (const char *const *)extra.v : (const char *const[]){ NULL });
	strv_add(&argv, conf_text(c, "playbook_file"));
	if (build_run_local(b, (const char *const *)argv.v, (const char *const *)env.v, &status, err) < 0)
		return -1;
	return status ? error_set(err, ERR_FAILED, "ansible: exited with status %d", status) : 0;
}

static int run(struct build *b, const struct conf *c, const struct funcs *f, struct error **err)
{
	const char *key_text = map_get(&b->facts, "SSHPrivateKey");
	_cleanup_free_ char *key = NULL, *file = NULL;
	int rc;

	if (strcmp(b->comm->type, "ssh")) {
		error_set(err, ERR_USAGE, "ansible: it needs the communicator ssh; this build has '%s'", b->comm->type);
		return error_hint(err, "ansible-local works with every communicator");
	}
	ui_say(b->ui, b->name, "Provisioning with Ansible: %s", conf_text(c, "playbook_file"));
	if (key_text && *key_text && !(key = build_temp_file(".key", key_text, strlen(key_text), 0600, err)))
		return -1;
	file = inventory(b, c, key, err);
	rc = file ? play(b, c, file, err) : -1;
	if (file)
		unlink(file);
	if (key)
		unlink(key);
	return rc;
}

const struct provisioner prov_ansible = { .type = "ansible", .check = check, .inputs = inputs, .run = run };

/* ---- in the guest ---- */

static const char *const playbooks[] = { "playbook_file", "playbook_files", NULL };

static void local_playbooks(const struct conf *c, struct strv *ret)
{
	if (conf_given(c, "playbook_file"))
		strv_add(ret, conf_text(c, "playbook_file"));
	conf_list(c, "playbook_files", ret);
}

static void local_inputs(const struct conf *c, struct strv *ret)
{
	static const char *const more[] = { "playbook_dir", "group_vars", "host_vars", "inventory_file", "galaxy_file" };

	local_playbooks(c, ret);
	conf_list(c, "playbook_paths", ret);
	conf_list(c, "role_paths", ret);
	for (size_t i = 0; i < ARRAY_SIZE(more); i++)
		if (conf_given(c, more[i]))
			strv_add(ret, conf_text(c, more[i]));
}

static int local_check(const struct conf *c, struct error **err)
{
	_cleanup_strv_ struct strv paths = STRV_INIT;

	if (conf_one_of(c, playbooks, err) < 0)
		return -1;
	local_inputs(c, &paths);
	for (size_t i = 0; i < paths.len; i++)
		if (conf_check_file(c, "playbook_file", paths.v[i], err) < 0)
			return -1;
	return 0;
}

static int put(struct build *b, const char *src, const char *dir, const char *sub, struct error **err)
{
	_cleanup_free_ char *to = xasprintf("%s/%s%s%s", dir, sub, *sub ? "/" : "", path_basename(src));

	return file_is_dir(src) ? b->comm->ops->upload_tree(b->comm, src, to, err) : b->comm->ops->upload(b->comm, src, to, -1, err);
}

static int in_guest(struct build *b, const char *command, struct error **err)
{
	int status = 0, rc = b->comm->ops->exec(b->comm, command, NULL, NULL, build_time_left(b), &status, err);

	return rc < 0 ? -1 : status ? error_set(err, ERR_FAILED, "%s: exited with status %d", command, status) : 0;
}

static void show(void *arg, int stream, const void *p, size_t n)
{
	ui_stream(arg, p, n);
}

static int play_in_guest(struct build *b, const struct conf *c, const char *dir, const char *book, const char *inventory_file, struct error **err)
{
	struct ui_stream out = { .u = b->ui, .target = b->name };
	_cleanup_strv_ struct strv extra = STRV_INIT;
	_cleanup_free_ char *args = NULL, *command = NULL;
	int status = 0, rc;

	conf_list(c, "extra_arguments", &extra);
	args = strv_join(&extra, " ");
	command = xasprintf("cd %s && %s %s%s-c local -i %s %s", dir, conf_text(c, "command"), args, *args ? " " : "", inventory_file,
		path_basename(book));
	ui_message(b->ui, b->name, "Executing Ansible: %s", command);
	rc = b->comm->ops->exec(b->comm, command, show, &out, build_time_left(b), &status, err);
	ui_stream_end(&out);
	if (rc < 0 || !status)
		return rc;
	error_set(err, ERR_FAILED, "ansible-local: exited with status %d", status);
	return status == 127 ? error_hint(err, "install ansible in the guest first, by a shell provisioner") : -1;
}

static int upload_all(struct build *b, const struct conf *c, const char *dir, struct strv *books, struct error **err)
{
	static const char *const subs[][2] = { { "group_vars", "" }, { "host_vars", "" }, { "inventory_file", "" }, { "galaxy_file", "" } };
	_cleanup_strv_ struct strv paths = STRV_INIT, roles = STRV_INIT;

	local_playbooks(c, books);
	for (size_t i = 0; i < books->len; i++)
		if (put(b, books->v[i], dir, "", err) < 0)
			return -1;
	if (conf_given(c, "playbook_dir") && b->comm->ops->upload_tree(b->comm, conf_text(c, "playbook_dir"), dir, err) < 0)
		return -1;
	for (size_t i = 0; i < ARRAY_SIZE(subs); i++)
		if (conf_given(c, subs[i][0]) && put(b, conf_text(c, subs[i][0]), dir, subs[i][1], err) < 0)
			return -1;
	conf_list(c, "playbook_paths", &paths);
	conf_list(c, "role_paths", &roles);
	for (size_t i = 0; i < paths.len; i++)
		if (put(b, paths.v[i], dir, "", err) < 0)
			return -1;
	for (size_t i = 0; i < roles.len; i++)
		if (put(b, roles.v[i], dir, "roles", err) < 0)
			return -1;
	return 0;
}

static int write_inventory(struct build *b, const struct conf *c, const char *dir, struct error **err)
{
	_cleanup_strv_ struct strv groups = STRV_INIT;
	_cleanup_buf_ struct buf text = BUF_INIT;
	_cleanup_free_ char *local = NULL, *remote = xasprintf("%s/croft-inventory", dir);
	int rc;

	conf_list(c, "inventory_groups", &groups);
	buf_adds(&text, "127.0.0.1\n");
	for (size_t i = 0; i < groups.len; i++)
		buf_addf(&text, "[%s]\n127.0.0.1\n", groups.v[i]);
	local = build_temp_file(".ini", text.data, text.len, 0644, err);
	if (!local)
		return -1;
	rc = b->comm->ops->upload(b->comm, local, remote, 0644, err);
	unlink(local);
	return rc;
}

static int local_run(struct build *b, const struct conf *c, const struct funcs *f, struct error **err)
{
	const char *given = conf_text(c, "staging_directory"), *own = conf_text(c, "inventory_file");
	_cleanup_free_ char *pid = xasprintf("%d", (int)getpid());
	_cleanup_free_ char *dir = given ? xstrdup(given) : xasprintf("/tmp/croft-ansible-%.12s", *b->steps[0].key ? b->steps[0].key : pid);
	_cleanup_free_ char *word = shell_quote(dir), *make = xasprintf("mkdir -p %s", word), *drop = xasprintf("rm -rf %s", word);
	_cleanup_free_ char *galaxy = NULL;
	_cleanup_strv_ struct strv books = STRV_INIT;

	ui_say(b->ui, b->name, "Provisioning with Ansible in the guest...");
	if (in_guest(b, make, err) < 0 || upload_all(b, c, dir, &books, err) < 0 || (!own && write_inventory(b, c, dir, err) < 0))
		return -1;
	if (conf_given(c, "galaxy_file")) {
		galaxy = xasprintf("cd %s && %s install -r %s -p roles", word, conf_text(c, "galaxy_command"),
			path_basename(conf_text(c, "galaxy_file")));
		if (in_guest(b, galaxy, err) < 0)
			return -1;
	}
	for (size_t i = 0; i < books.len; i++)
		if (play_in_guest(b, c, word, books.v[i], own ? path_basename(own) : "croft-inventory", err) < 0)
			return -1;
	return conf_bool(c, "clean_staging_directory") ? in_guest(b, drop, err) : 0;
}

const struct provisioner prov_ansible_local = { .type = "ansible-local", .check = local_check, .inputs = local_inputs, .run = local_run };
