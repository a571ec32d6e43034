/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Pms elsewhere. `inventory` beside the homes of this user's pms (main_inventory) has a line "NAME TARGET [HOME]" for each: TARGET is
 * what ssh takes, or an absolute path: the home of a pm on this computer. "NAME.pm1.unit" then names a unit of it in any command.
 * ssh asks nothing: keys are the user's business. PM_SSH names another program, with arguments.
 */
#include "base/cleanup.h"
#include "base/file.h"
#include "base/mem.h"
#include "base/path.h"
#include "base/units.h"
#include "pm/pm_main.h"
#include "pm/stream.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

static char *inventory_path(void)
{
	const char *config = getenv("XDG_CONFIG_HOME"), *user = getenv("HOME");

	if (geteuid() == 0 && !(config && *config == '/'))
		return xstrdup("/etc/pm/inventory");
	if (config && *config == '/')
		return xasprintf("%s/pm/inventory", config);
	return xasprintf("%s/.config/pm/inventory", user && *user ? user : "/tmp");
}

static void clear(struct remote *r)
{
	free(r->name);
	free(r->target);
	free(r->home);
}

void inventory_free(struct inventory *inv)
{
	for (size_t i = 0; i < inv->n; i++)
		clear(&inv->v[i]);
	free(inv->v);
	*inv = (struct inventory){ 0 };
}

static int add(struct inventory *inv, const struct strv *words, struct error **err)
{
	if (words->len < 2 || words->len > 3)
		return error_set(err, ERR_USAGE, "a line is NAME TARGET [HOME]");
	if (name_check("remote", words->v[0], err) < 0)
		return -1;
	if (strchr(words->v[0], '.'))
		return error_set(err, ERR_USAGE, "remote '%s': a dot ends the name in addresses", words->v[0]);
	if (words->v[1][0] == '-')
		return error_set(err, ERR_USAGE, "'%s': neither a destination for ssh nor an absolute path", words->v[1]);
	if (words->v[1][0] == '/' && words->len == 3)
		return error_set(err, ERR_USAGE, "%s: a home on this computer has no other one", words->v[1]);
	if (inventory_find(inv, words->v[0], strlen(words->v[0])))
		return error_set(err, ERR_STATE, "remote '%s' is there already", words->v[0]);
	inv->v = xreallocarray(inv->v, inv->n + 1, sizeof(*inv->v));
	inv->v[inv->n++] = (struct remote){ xstrdup(words->v[0]), xstrdup(words->v[1]), words->len == 3 ? xstrdup(words->v[2]) : NULL };
	return 0;
}

int inventory_read(struct inventory *inv, struct error **err)
{
	_cleanup_free_ char *path = inventory_path();
	_cleanup_strv_ struct strv lines = STRV_INIT;
	_cleanup_buf_ struct buf text = BUF_INIT;

	*inv = (struct inventory){ 0 };
	if (!file_exists(path))
		return 0;
	if (file_read(path, 1 << 20, &text, err) < 0)
		return -1;
	strv_split(&lines, buf_str(&text), "\n");
	for (size_t i = 0; i < lines.len; i++) {
		_cleanup_strv_ struct strv words = STRV_INIT;

		if (stream_split(lines.v[i], strlen(lines.v[i]), &words, err) < 0 || (words.len && add(inv, &words, err) < 0)) {
			inventory_free(inv);
			return error_wrap(err, "%s:%zu", path, i + 1);
		}
	}
	return 0;
}

const struct remote *inventory_find(const struct inventory *inv, const char *name, size_t n)
{
	for (size_t i = 0; i < inv->n; i++)
		if (strlen(inv->v[i].name) == n && !strncmp(inv->v[i].name, name, n))
			return &inv->v[i];
	return NULL;
}

static int inventory_write(const struct inventory *inv, struct error **err)
{
	_cleanup_free_ char *path = inventory_path(), *dir = xstrdup(path);
	_cleanup_buf_ struct buf text = BUF_INIT;

	*strrchr(dir, '/') = '\0';
	for (size_t i = 0; i < inv->n; i++) {
		const char *words[] = { inv->v[i].name, inv->v[i].target, inv->v[i].home };

		for (size_t k = 0; k < ARRAY_SIZE(words) && words[k]; k++) {
			if (k)
				buf_addc(&text, ' ');
			stream_quote(&text, words[k]);
		}
		buf_addc(&text, '\n');
	}
	if (file_mkdirs(dir, 0755, err) < 0)
		return -1;
	return file_write(path, buf_str(&text), text.len, 0600, err);
}

/* For the shell at the other end: nothing in it is syntax. */
static void shell_quote(struct buf *b, const char *s)
{
	buf_addc(b, '\'');
	for (; *s; s++)
		if (*s == '\'')
			buf_adds(b, "'\\''");
		else
			buf_addc(b, *s);
	buf_addc(b, '\'');
}

static int remote_argv(const struct remote *r, const char *const *words, struct strv *argv, struct error **err)
{
	const char *ssh = getenv("PM_SSH"), *const options[] = { "-o", "BatchMode=yes", "-o", "ConnectTimeout=15", "--", r->target, NULL };
	_cleanup_buf_ struct buf line = BUF_INIT;

	if (stream_split(ssh && *ssh ? ssh : "ssh", strlen(ssh && *ssh ? ssh : "ssh"), argv, err) < 0)
		return error_wrap(err, "PM_SSH");
	strv_addv(argv, options);
	buf_adds(&line, "exec pm");
	if (r->home) {
		buf_adds(&line, " --home ");
		shell_quote(&line, r->home);
	}
	for (; *words; words++) {
		buf_addc(&line, ' ');
		shell_quote(&line, *words);
	}
	strv_add(argv, line.data);
	return 0;
}

int inventory_exec(const struct remote *r, const char *const *words, struct error **err)
{
	_cleanup_strv_ struct strv argv = STRV_INIT;

	if (remote_argv(r, words, &argv, err) < 0)
		return -1;
	execvp(argv.v[0], argv.v);
	return error_errno(err, errno, "%s", argv.v[0]);
}

/* The command's output with the remote's name before each line. */
struct asked {
	pid_t pid;
	int fd;
};

static void ask(const struct remote *r, const char *const *words, struct asked *a)
{
	_cleanup_free_ char *self = main_self();
	int out[2];

	*a = (struct asked){ -1, -1 };
	if (pipe2(out, O_CLOEXEC) < 0)
		return;
	a->pid = fork();
	if (a->pid == 0) {
		struct error *e = NULL;
		int null = open("/dev/null", O_RDONLY);

		dup2(null, 0);
		dup2(out[1], 1);
		if (r->target[0] == '/')
			execl(self, "pm", words[0], "--home", r->target, (char *)NULL);
		else
			inventory_exec(r, words, &e);
		fprintf(stderr, "pm: %s: %s\n", r->name, e ? e->msg : strerror(errno));
		_exit(1);
	}
	close(out[1]);
	a->fd = out[0];
}

static int print(const struct remote *r, struct asked *a)
{
	FILE *f = a->fd < 0 ? NULL : fdopen(a->fd, "r");
	_cleanup_free_ char *line = NULL;
	int status = 1;
	size_t cap = 0;

	while (f && getline(&line, &cap, f) > 0)
		printf("%s  %s", r->name, line);
	if (f)
		fclose(f);
	while (a->pid > 0 && waitpid(a->pid, &status, 0) < 0 && errno == EINTR)
		;
	if (status)
		fprintf(stderr, "pm: %s: %s gives no answer\n", r->name, r->target);
	return status != 0;
}

/* All at once: the slowest decides, and one that is away hides no other. */
static int units(const struct inventory *inv)
{
	static const char *const words[] = { "list", NULL };
	struct asked *a = xcalloc(inv->n + 1, sizeof(*a));
	int worst = 0;

	for (size_t i = 0; i < inv->n; i++)
		ask(&inv->v[i], words, &a[i]);
	for (size_t i = 0; i < inv->n; i++)
		worst |= print(&inv->v[i], &a[i]);
	free(a);
	return worst;
}

int inventory_run(const struct strv *args, struct error **err)
{
	_cleanup_inventory_ struct inventory inv = { 0 };
	const char *what = args->len ? args->v[0] : "list";
	struct strv rest = { args->v + 1, args->len - (args->len > 0), 0 };

	if (inventory_read(&inv, err) < 0)
		return -1;
	if (!strcmp(what, "list") && !rest.len) {
		for (size_t i = 0; i < inv.n; i++)
			printf("%s\t%s\t%s\n", inv.v[i].name, inv.v[i].target, inv.v[i].home ? inv.v[i].home : "");
		return 0;
	}
	if (!strcmp(what, "units") && !rest.len)
		return units(&inv);
	if (!strcmp(what, "add"))
		return add(&inv, &rest, err) < 0 ? -1 : inventory_write(&inv, err);
	if (!strcmp(what, "remove") && rest.len == 1) {
		const struct remote *r = inventory_find(&inv, rest.v[0], strlen(rest.v[0]));
		size_t at;

		if (!r)
			return error_set(err, ERR_NOT_FOUND, "remote '%s' is not in the inventory", rest.v[0]);
		at = (size_t)(r - inv.v);
		clear(&inv.v[at]);
		memmove(&inv.v[at], &inv.v[at + 1], (--inv.n - at) * sizeof(*inv.v));
		return inventory_write(&inv, err);
	}
	return error_set(err, ERR_USAGE, "inventory: list, units, add NAME TARGET [HOME], remove NAME");
}
