/* SPDX-License-Identifier: Apache-2.0 */
/* The command line of `pm`: what a person or a script types. */
#include "base/cleanup.h"
#include "base/mem.h"
#include "base/units.h"
#include "pm/param.h"
#include "pm/pm_main.h"
#include "pm/stream.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

struct options {
	char *home;
	const char *format;
	int timeout_ms; /* -1: none */
	bool no_wait, quiet, follow;
	bool begin; /* start pm when none runs */
	long lines;
	struct strv args; /* of the command */
};
struct pm_command {
	const char *name, *args, *text;
	int (*run)(const struct pm_command *c, struct options *o, struct error **err);
	size_t addresses; /* how many words at most name units that are there already */
};

static int ask(struct options *o, const char *const *words, size_t n, const int fds[3], struct buf *data, bool progress,
	struct error **err)
{
	struct client_conn c;
	int rc = -1;

	if (client_open(&c, o->home, err) == 0 && client_send(&c, words, n, fds, err) == 0)
		rc = client_follow(&c, data, progress, o->timeout_ms, err);
	client_close(&c);
	return rc;
}

static int words_to(struct options *o, const struct pm_command *c, struct strv *words)
{
	strv_add(words, c->name);
	for (size_t i = 0; i < o->args.len; i++)
		strv_add(words, o->args.v[i]);
	return 0;
}

/*
 * "remote.unit": the command goes to the pm of the inventory's remote, where what is behind the dot is looked for in the same way. One
 * on this computer becomes the home; for others we become ssh.
 */
static int go_elsewhere(int argc, char **argv, struct options *o, size_t n, struct error **err)
{
	_cleanup_inventory_ struct inventory inv = { 0 };
	_cleanup_strv_ struct strv words = STRV_INIT;
	const struct remote *r = NULL;

	for (size_t i = 0; i < n && i < o->args.len; i++) {
		const char *word = o->args.v[i], *dot = strchr(word, '.');
		const struct remote *its;

		if (!dot || (!inv.n && inventory_read(&inv, err) < 0))
			return *err ? -1 : 0;
		its = client_has_unit(o->home, word) ? NULL : inventory_find(&inv, word, (size_t)(dot - word));
		if (i && its != r)
			return error_set(err, ERR_USAGE, "%s: of another pm than the first; one command for each", word);
		if (!(r = its))
			return 0;
	}
	if (!r)
		return 0;
	for (size_t i = 0; i < n && i < o->args.len; i++) {
		char *word = o->args.v[i], *dot = strchr(word, '.');

		for (int k = 1; k < argc; k++)
			if (!strcmp(argv[k], word))
				argv[k] += dot + 1 - word;
		memmove(word, dot + 1, strlen(dot + 1) + 1);
	}
	if (r->target[0] == '/') {
		free(o->home);
		o->home = xstrdup(r->target);
		return go_elsewhere(argc, argv, o, n, err);
	}
	for (int k = 1; k < argc; k++) /* --home is about ours */
		if (!strcmp(argv[k], "--home"))
			k++;
		else if (strncmp(argv[k], "--home=", 7))
			strv_add(&words, argv[k]);
	return inventory_exec(r, (const char *const *)words.v, err);
}

/* Units may be named through sub-pms ("pm1.web"); all of a line must be of the same one. */
static int find_home(struct options *o, size_t n, struct error **err)
{
	_cleanup_free_ char *first = NULL;

	for (size_t i = 0; i < n && i < o->args.len; i++) {
		_cleanup_free_ char *home = xstrdup(o->home);

		if (client_address(&home, &o->args.v[i], err) < 0)
			return -1;
		if (first && strcmp(first, home) != 0)
			return error_set(err, ERR_USAGE, "%s: of another pm than the first; one command for each", o->args.v[i]);
		free(first);
		first = STEAL(home);
	}
	if (first) {
		free(o->home);
		o->home = STEAL(first);
	}
	return 0;
}

/* Sends it as it was typed, follows it to its end. */
static int run_sent(const struct pm_command *c, struct options *o, struct error **err)
{
	_cleanup_strv_ struct strv words = STRV_INIT;
	struct client_conn conn;
	int rc;

	words_to(o, c, &words);
	if (!o->no_wait)
		return ask(o, (const char *const *)words.v, words.len, NULL, NULL, !o->quiet, err);
	rc = client_open(&conn, o->home, err) < 0 ? -1 : client_send(&conn, (const char *const *)words.v, words.len, NULL, err);
	client_close(&conn);
	return rc;
}

static int run_printed(const struct pm_command *c, struct options *o, struct error **err)
{
	_cleanup_strv_ struct strv words = STRV_INIT;
	_cleanup_buf_ struct buf data = BUF_INIT;
	int rc;

	words_to(o, c, &words);
	rc = ask(o, (const char *const *)words.v, words.len, NULL, &data, false, err);
	if (rc == 0)
		fputs(buf_str(&data), stdout);
	return rc;
}

static int run_list(const struct pm_command *c, struct options *o, struct error **err)
{
	_cleanup_buf_ struct buf data = BUF_INIT;
	const char *const words[] = { "list" };
	int rc = ask(o, words, 1, NULL, &data, false, err);

	/* Nothing runs: the files tell how it was left. */
	if (rc < 0 && (*err)->cls == ERR_STATE) {
		error_clear(err);
		if (show_from_files(o->home, &data, err) < 0)
			return -1;
		fprintf(stderr, "pm: no pm runs for %s; this is what its files say\n", o->home);
		rc = 0;
	}
	return rc ? rc : show_list(buf_str(&data), o->format);
}

static int run_status(const struct pm_command *c, struct options *o, struct error **err)
{
	_cleanup_buf_ struct buf data = BUF_INIT;
	const char *words[] = { "status", o->args.len ? o->args.v[0] : NULL };
	int rc;

	if (!o->args.len)
		return run_list(c, o, err);
	rc = ask(o, words, 2, NULL, &data, false, err);
	return rc ? rc : show_status(o->home, words[1], buf_str(&data));
}

static int run_adopt(const struct pm_command *c, struct options *o, struct error **err)
{
	_cleanup_strv_ struct strv words = STRV_INIT;

	if (o->args.len < 3)
		return error_set(err, ERR_USAGE, "usage: pm %s %s; START is field 22 of /proc/PID/stat", c->name, c->args);
	words_to(o, c, &words);
	return client_adopt(o->home, (const char *const *)words.v, words.len, o->begin, err);
}

/* A further terminal where a pm runs, else a pm that is no longer than this terminal. */
static int run_shell(const struct pm_command *c, struct options *o, struct error **err)
{
	_cleanup_free_ char *self = main_self();
	_cleanup_error_ struct error *e = NULL;
	_cleanup_strv_ struct strv words = STRV_INIT;
	struct client_conn conn;

	if (client_open(&conn, o->home, &e) < 0) {
		if (e->cls != ERR_STATE)
			return error_move(err, &e);
		if (o->args.len)
			return error_move(err, &e);
		execl(self, "pm", "main", "--home", o->home, "--terminal", (char *)NULL);
		return error_set(err, ERR_FAILED, "%s cannot be executed", self);
	}
	client_close(&conn);
	strv_add(&words, "");
	for (size_t i = 1; i < o->args.len; i++) /* behind -- */
		strv_add(&words, o->args.v[i]);
	return shell_run(o->home, false, (const char *const *)words.v + 1, err);
}

static int run_inventory(const struct pm_command *c, struct options *o, struct error **err)
{
	return inventory_run(&o->args, err);
}

static int run_deps(const struct pm_command *c, struct options *o, struct error **err)
{
	_cleanup_buf_ struct buf data = BUF_INIT;
	const char *words[] = { c->name, o->args.len ? o->args.v[0] : "" };
	int rc = ask(o, words, 2, NULL, &data, false, err);

	return rc ? rc : show_deps(words[1], buf_str(&data));
}

static int run_log(const struct pm_command *c, struct options *o, struct error **err)
{
	return show_log(o->home, o->args.len ? o->args.v[0] : NULL, o->lines, o->follow, err);
}

static int run_tree(const struct pm_command *c, struct options *o, struct error **err)
{
	return show_tree(o->home, err);
}

static void note_signal(int signo)
{
	client_signal = signo;
}

/* What a terminal or a caller tells us is meant for the job, which is in no process group of theirs. */
static void take_signals(void)
{
	static const int signals[] = { SIGINT, SIGTERM, SIGQUIT, SIGHUP };
	struct sigaction a = { .sa_handler = note_signal }, before;

	for (size_t i = 0; i < ARRAY_SIZE(signals); i++)
		if (sigaction(signals[i], NULL, &before) == 0 && before.sa_handler != SIG_IGN)
			sigaction(signals[i], &a, NULL);
}

static void pass_on(struct options *o, const char *id, struct error **err)
{
	_cleanup_free_ char *unit = xstrndup(id, strcspn(id, "\n"));
	_cleanup_error_ struct error *e = NULL;
	const char *words[] = { "kill", unit, signal_name(client_signal) };

	error_clear(err);
	if (!*unit) { /* not told yet which it is */
		nanosleep(&(struct timespec){ 0, 5000000 }, NULL);
		return;
	}
	client_signal = 0;
	ask(o, words, ARRAY_SIZE(words), NULL, NULL, false, &e);
}

/* The job's standard streams are ours; its status becomes ours. */
static int run_invoke(const struct pm_command *c, struct options *o, struct error **err)
{
	_cleanup_strv_ struct strv words = STRV_INIT;
	_cleanup_buf_ struct buf data = BUF_INIT;
	static const int fds[3] = { 0, 1, 2 };
	struct client_conn conn;
	int rc = -1;

	words_to(o, c, &words);
	take_signals();
	if (client_open(&conn, o->home, err) == 0 && client_send(&conn, (const char *const *)words.v, words.len, fds, err) == 0)
		while ((rc = client_follow(&conn, &data, false, o->timeout_ms, err)) < 0 && client_signal)
			pass_on(o, buf_str(&data), err);
	client_close(&conn);
	if (data.len) { /* its unit has done its duty */
		_cleanup_error_ struct error *e = NULL;
		const char *rm[] = { "remove", NULL };
		char *why;

		why = data.data + strcspn(data.data, "\n");
		if (*why)
			*why++ = '\0';
		if (*why)
			fprintf(stderr, "pm: %s", why);
		rm[1] = data.data;
		ask(o, rm, 2, NULL, NULL, false, &e);
		if (rc > 0) /* the job's own status, not a failure of ours */
			error_clear(err);
	}
	return rc;
}

/* It is done when the new program takes commands: the old one leaves this connection, then the new one answers. */
static int run_upgrade(const struct pm_command *c, struct options *o, struct error **err)
{
	const char *upgrade[] = { "upgrade" }, *jobs[] = { "jobs" };
	_cleanup_error_ struct error *e = NULL;
	struct client_conn conn;
	char *line;
	int rc = -1;

	if (client_open(&conn, o->home, err) == 0 && client_send(&conn, upgrade, 1, NULL, err) == 0)
		rc = client_follow(&conn, NULL, false, o->timeout_ms, err);
	while (rc == 0 && client_next(&conn, &line, 10000, &e) > 0)
		;
	client_close(&conn);
	for (int i = 0; rc == 0 && i < 2000; i++) {
		error_clear(&e);
		if (ask(o, jobs, 1, NULL, NULL, false, &e) == 0)
			return 0;
		nanosleep(&(struct timespec){ 0, 5000000 }, NULL);
	}
	return rc ? rc : error_set(err, ERR_TIMEOUT, "the new program takes no command; `pm log` tells more");
}

/* Lines of the command stream from standard input, each answered. */
static int run_stream(const struct pm_command *c, struct options *o, struct error **err)
{
	_cleanup_free_ char *line = NULL;
	struct client_conn conn;
	size_t cap = 0, number = 0;
	int worst = 0;
	ssize_t n;

	if (client_open(&conn, o->home, err) < 0)
		return -1;
	while ((n = getline(&line, &cap, stdin)) > 0) {
		_cleanup_buf_ struct buf data = BUF_INIT;
		_cleanup_strv_ struct strv words = STRV_INIT;
		_cleanup_error_ struct error *e = NULL;
		int rc;

		number++;
		if (stream_split(line, (size_t)n, &words, &e) == 0) {
			if (!words.len)
				continue;
			rc = client_send(&conn, (const char *const *)words.v, words.len, NULL, &e) < 0 ? -1 :
				client_follow(&conn, &data, !o->quiet, o->timeout_ms, &e);
		} else {
			rc = ERR_USAGE;
		}
		fputs(buf_str(&data), stdout);
		if (rc) {
			_cleanup_free_ char *text = error_text(e);

			fprintf(stderr, "pm: line %zu: %s\n", number, text);
			worst = worst ? worst : rc < 0 ? 1 : rc;
		}
	}
	client_close(&conn);
	return worst;
}

static int run_keys(const struct pm_command *c, struct options *o, struct error **err)
{
	for (unsigned i = 0; i < param_nkeys; i++)
		printf("%-18s %s\n", param_keys[i].key, param_keys[i].text);
	return 0;
}

static int run_main(const struct pm_command *c, struct options *o, struct error **err)
{
	return error_set(err, ERR_USAGE, "%s must be the first word: pm %s %s", c->name, c->name, c->args);
}

#define MANY 1000000
static const struct pm_command commands[] = {
	{ "main", "[--home DIR] [--init-stream SOURCE] [--on-fatal readopt|kill] [--detach|--terminal] [--until-idle]", "run the process manager", run_main, 0 },
	{ "unit", "ID KEY=VALUE...", "define or redefine a unit", run_sent, 0 },
	{ "set-property", "ID KEY=VALUE...", "change parameters of a unit; KEY= removes one", run_sent, 1 },
	{ "remove", "ID...", "forget stopped units and their logs", run_sent, MANY },
	{ "start", "ID...", "start units and all they need", run_sent, MANY },
	{ "stop", "ID...", "stop units and all that need them", run_sent, MANY },
	{ "restart", "ID...", "stop, then start; dependents come along", run_sent, MANY },
	{ "reload", "ID...", "make units read their configuration again", run_sent, MANY },
	{ "try-restart", "ID...", "restart those that run", run_sent, MANY },
	{ "reload-or-restart", "ID...", "reload those that can, restart or start the others", run_sent, MANY },
	{ "try-reload-or-restart", "ID...", "the same for those that run", run_sent, MANY },
	{ "reset-failed", "ID...", "end the fail state now", run_sent, MANY },
	{ "kill", "ID [SIGNAL]", "send a signal to a unit's processes", run_sent, 1 },
	{ "wait", "ID...", "wait until units have ended", run_sent, MANY },
	{ "invoke", "[KEY=VALUE...] -- COMMAND...", "run one command now, supervised, with our streams and its status", run_invoke, 0 },
	{ "shell", "[-- COMMAND...]", "a terminal in a pm; where none runs, one that ends with its shell", run_shell, 0 },
	{ "list", "", "all units and their states", run_list, 0 },
	{ "status", "[ID]", "one unit: state, reason, last output", run_status, 1 },
	{ "list-dependencies", "ID", "what a unit depends on", run_deps, 1 },
	{ "cat", "ID [KEY...]", "parameters of a unit", run_printed, 1 },
	{ "log", "[ID] [-f] [-n LINES]", "output of a unit, or pm's own messages", run_log, 1 },
	{ "jobs", "", "number, unit and pid of the last job of each unit", run_printed, 0 },
	{ "tree", "", "all units through all sub-pms", run_tree, 0 },
	{ "inventory", "[list|units|add NAME TARGET [HOME]|remove NAME]", "pms elsewhere, for addresses like NAME.unit", run_inventory, 0 },
	{ "stream", "", "commands from standard input, one a line", run_stream, 0 },
	{ "keys", "", "the parameters that a unit can have", run_keys, 0 },
	{ "dispatch", "SOURCE [--plan] [--watch]", "make the units of a document be, and those it dropped go", run_main, 0 },
	{ "load", "SOURCE", "give the commands of a file, URL, !COMMAND or -", run_main, 0 },
	{ "host", "install|remove|start|stop|status [OPTIONS]", "pm as a service of this system", run_main, 0 },
	{ "init", "", "be process 1", run_main, 0 },
	{ "power", "off|reboot|halt|kexec", "ask process 1 for the end", run_main, 0 },
	{ "adopt", "[--begin] ID PID START [KEY=VALUE...]", "watch a process that runs already as a unit", run_adopt, 0 },
	{ "shutdown", "", "stop all units and end pm", run_sent, 0 },
	{ "upgrade", "", "execute the program anew without touching units", run_upgrade, 0 },
};

static void usage(FILE *to)
{
	fprintf(to, "usage: pm COMMAND [ARGUMENTS] [OPTIONS]\n\n");
	for (size_t i = 0; i < ARRAY_SIZE(commands); i++)
		fprintf(to, "  %-22s %s\n", commands[i].name, commands[i].text);
	fprintf(to, "\n  --home DIR     the pm that is meant (PMHOME; root: /var/opt/pm, else ~/.local/state/pm)\n"
		    "  --timeout TIME how long to wait for the end (124 afterwards); --no-wait: not at all\n"
		    "  --format FORM  list: table or json\n"
		    "  -q             no progress\n"
		    "\n`pm COMMAND --help` tells its arguments. Exit status: 0 done, 1 failed, 2 wrong use, 3 no such unit,\n"
		    "4 refused in this state, 124 time-out; invoke: that of the command.\n");
}

/* One option at argv[*i]; 0: it is none. */
static int option(int argc, char **argv, int *i, struct options *o, struct error **err)
{
	static const char *const with[] = { "--home", "--timeout", "--format", "-n" };
	const char *value = NULL;
	uint64_t ms;
	size_t k = 0;

	if (!strcmp(argv[*i], "--no-wait"))
		return o->no_wait = true;
	if (!strcmp(argv[*i], "-q") || !strcmp(argv[*i], "--quiet"))
		return o->quiet = true;
	if (!strcmp(argv[*i], "-f") || !strcmp(argv[*i], "--follow"))
		return o->follow = true;
	if (!strcmp(argv[*i], "--begin"))
		return o->begin = true;
	for (; k < ARRAY_SIZE(with); k++) {
		size_t n = strlen(with[k]);

		if (strncmp(argv[*i], with[k], n) || (argv[*i][n] && argv[*i][n] != '='))
			continue;
		if (!argv[*i][n] && *i + 1 >= argc)
			return error_set(err, ERR_USAGE, "%s needs a value", with[k]);
		value = argv[*i][n] ? argv[*i] + n + 1 : argv[++*i];
		break;
	}
	if (!value)
		return argv[*i][0] == '-' && argv[*i][1] ? error_set(err, ERR_USAGE, "'%s': no such option", argv[*i]) : 0;
	if (k == 0) {
		free(o->home);
		o->home = xstrdup(value);
	} else if (k == 1) {
		if (parse_duration("--timeout", value, &ms, err) < 0)
			return -1;
		o->timeout_ms = ms > 2000000000 ? 2000000000 : (int)ms;
	} else if (k == 2) {
		if (strcmp(value, "table") != 0 && strcmp(value, "json") != 0)
			return error_set(err, ERR_USAGE, "--format: '%s' is neither table nor json", value);
		o->format = value;
	} else {
		o->lines = atol(value);
	}
	return 1;
}

static const struct pm_command *find(const char *name, struct error **err)
{
	const char *names[ARRAY_SIZE(commands)], *near;

	for (size_t i = 0; i < ARRAY_SIZE(commands); i++) {
		if (!strcmp(commands[i].name, name))
			return &commands[i];
		names[i] = commands[i].name;
	}
	near = nearest_name(name, names, ARRAY_SIZE(names));
	error_set(err, ERR_USAGE, "'%s': no such command; `pm --help` lists them", name);
	if (near)
		error_hint(err, "did you mean '%s'?", near);
	return NULL;
}

static int parse(int argc, char **argv, struct options *o, const struct pm_command **c, struct error **err)
{
	for (int i = 1; i < argc; i++) {
		int r;

		if (*c && (!strcmp((*c)->name, "invoke") || !strcmp((*c)->name, "shell")) && !strcmp(argv[i], "--")) {
			for (; i < argc; i++)
				strv_add(&o->args, argv[i]);
			break;
		}
		r = option(argc, argv, &i, o, err);
		if (r < 0)
			return -1;
		if (r > 0)
			continue;
		if (*c)
			strv_add(&o->args, argv[i]);
		else if (!(*c = find(argv[i], err)))
			return -1;
	}
	return *c ? 0 : error_set(err, ERR_USAGE, "no command; `pm --help` lists them");
}

int commands_main(int argc, char **argv)
{
	_cleanup_error_ struct error *e = NULL;
	struct options o = { .format = "table", .timeout_ms = -1, .lines = -1, .home = main_home() };
	const struct pm_command *c = NULL;
	int rc = -1;

	for (int i = 1; i < argc && strcmp(argv[i], "--") != 0; i++) {
		if (strcmp(argv[i], "--help") != 0 && strcmp(argv[i], "-h") != 0)
			continue;
		c = i > 1 ? find(argv[1], &e) : NULL;
		error_clear(&e);
		if (c)
			printf("usage: pm %s%s%s\n%s\n", c->name, *c->args ? " " : "", c->args, c->text);
		else
			usage(stdout);
		return 0;
	}
	if (argc < 2) {
		usage(stderr);
		return 2;
	}
	if (parse(argc, argv, &o, &c, &e) == 0 && go_elsewhere(argc, argv, &o, c->addresses, &e) == 0 && find_home(&o, c->addresses, &e) == 0)
		rc = c->run(c, &o, &e);
	if (e) {
		_cleanup_free_ char *text = error_text(e);

		fprintf(stderr, "pm: %s\n", text);
		rc = (int)e->cls;
	}
	strv_free(&o.args);
	free(o.home);
	return rc < 0 ? 1 : rc;
}
