/* SPDX-License-Identifier: Apache-2.0 */
/* croft job run, croft job list */
#include "job/job.h"
#include "machine/rescue.h"
#include "cli/cli.h"
#include "cli/cmd/cmd.h"

#include "base/cleanup.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/path.h"
#include "base/units.h"
#include "conf/settings.h"

#include <ctype.h>
#include <string.h>

static void say(void *arg, const char *text)
{
	log_info("%s: %s", (const char *)arg, text);
}

/* The folder that a job's own files are in: that of the option, that of `vm`, the machine's own. */
static char *home_of(const struct machine *m, const char *dir)
{
	return dir ? path_absolute(dir) : xstrdup(m->def.home ? m->def.home : m->dir);
}

static bool is_name(const char *s, size_t n)
{
	if (!n || isdigit((unsigned char)*s))
		return false;
	for (size_t i = 0; i < n; i++)
		if (!isalnum((unsigned char)s[i]) && s[i] != '_')
			return false;
	return true;
}

/* All values of one name, as a bash array. */
static void add_array(const struct strv *given, const char *name, size_t n, struct strv *arrays)
{
	size_t count = 0;

	for (size_t i = 0; i < given->len; i++)
		count += !strncmp(given->v[i], name, n) && given->v[i][n] == '=';
	strv_take(arrays, xstrndup(name, n));
	strv_addf(arrays, "%zu", count);
	for (size_t i = 0; i < given->len; i++)
		if (!strncmp(given->v[i], name, n) && given->v[i][n] == '=')
			strv_add(arrays, given->v[i] + n + 1);
}

/* A name given once is a variable, one given several times an array. */
static int split_vars(const struct strv *given, struct strv *vars, struct strv *arrays, struct error **err)
{
	for (size_t i = 0; i < given->len; i++) {
		size_t n = strcspn(given->v[i], "=");
		bool first = true, again = false;

		if (!given->v[i][n] || !is_name(given->v[i], n))
			return error_set(err, ERR_USAGE, "option --env: '%s' is not NAME=VALUE", given->v[i]);
		for (size_t k = 0; k < given->len; k++) {
			bool same = k != i && !strncmp(given->v[k], given->v[i], n + 1);

			first &= !(same && k < i);
			again |= same;
		}
		if (first && again)
			add_array(given, given->v[i], n, arrays);
		else if (first)
			strv_add(vars, given->v[i]);
	}
	return 0;
}

static int parse_forwards(const struct strv *given, struct strv *ret, struct error **err)
{
	for (size_t i = 0; i < given->len; i++) {
		char *rule = machine_forward_parse(given->v[i], err);

		if (!rule)
			return error_wrap(err, "option --forward");
		strv_take(ret, rule);
	}
	return 0;
}

static int exclude(const struct cmd_args *a, const char *one, const char *other, struct error **err)
{
	if (arg_flag(a, one) && arg_flag(a, other))
		return error_set(err, ERR_USAGE, "--%s and --%s exclude each other", one, other);
	return 0;
}

static int read_opts(const struct cmd_args *a, struct job_opts *o, struct error **err)
{
	const char *memory = arg_str(a, "memory"), *cpus = arg_str(a, "cpus");
	uint64_t n = 0;

	if (exclude(a, "rw", "ro", err) < 0 || exclude(a, "uefi", "bios", err) < 0 || exclude(a, "ro", "snapshot", err) < 0 ||
		exclude(a, "iso", "image", err) < 0 || exclude(a, "iso", "keep", err) < 0 || exclude(a, "iso", "luks-key", err) < 0 ||
		arg_timeout(a, "timeout", -1, &o->timeout_ms, err) < 0 || (memory && parse_size("option --memory", memory, &o->memory, err) < 0) ||
		(cpus && parse_u64("option --cpus", cpus, 1, 255, &n, err) < 0))
		return -1;
	o->cpus = (unsigned)n;
	o->start_ms = -1;
	o->discard = arg_flag(a, "ro") ? 1 : arg_flag(a, "rw") || arg_flag(a, "snapshot") ? 0 : -1;
	o->firmware = arg_flag(a, "uefi") ? "uefi" : arg_flag(a, "bios") ? "bios" : NULL;
	o->image = arg_str(a, "image");
	o->keep = arg_flag(a, "keep");
	o->ssh = arg_flag(a, "ssh");
	o->snapshot = arg_flag(a, "snapshot");
	o->files = arg_list(a, "file");
	o->accel = settings_get("accel");
	o->say = say;
	return 0;
}

static int job_run_run(const struct cmd_args *a, struct error **err)
{
	_cleanup_strv_ struct strv dirs = STRV_INIT, vars = STRV_INIT, arrays = STRV_INIT, forwards = STRV_INIT;
	_cleanup_free_ char *home = NULL, *in = NULL, *out = NULL, *mirror = NULL, *iso = NULL;
	_cleanup_machine_ struct machine *m = NULL;
	_cleanup_job_ struct job j = { 0 };
	_cleanup_close_ int key = -1;
	struct job_opts o = { .luks_key = -1, .vars = &vars, .arrays = &arrays, .forwards = &forwards };
	int status = 0;

	if (!arg_str(a, "on"))
		return error_set(err, ERR_USAGE, "--on NAME is missing: the machine whose disks the job works on");
	if (read_opts(a, &o, err) < 0 || parse_forwards(arg_list(a, "forward"), &forwards, err) < 0)
		return -1;
	m = machine_open(arg_str(a, "on"), err);
	if (!m)
		return -1;
	home = home_of(m, arg_str(a, "dir"));
	strv_add(&dirs, home);
	job_dirs(&dirs);
	if (job_find(arg_words(a)->v[0], &dirs, &j, err) < 0)
		return -1;
	if (arg_str(a, "luks-key") && (o.luks_key = key = rescue_read_key(m, arg_str(a, "luks-key"), err)) < 0)
		return -1;
	strv_addf(&vars, "HOSTDIR=%s", home);
	if (split_vars(arg_list(a, "env"), &vars, &arrays, err) < 0)
		return -1;
	o.in = in = machine_path(m, "job/in");
	o.out = out = arg_str(a, "out") ? path_absolute(arg_str(a, "out")) : machine_path(m, "job/out");
	o.mirror = mirror = arg_str(a, "mirror") ? path_absolute(arg_str(a, "mirror")) : NULL;
	o.iso = iso = arg_str(a, "iso") ? path_absolute(arg_str(a, "iso")) : NULL;
	o.arg = m->name;
	cli_left("the next command on machine %s ends its rescue system", m->name);
	if (job_run(m, &j, &o, &status, err) < 0)
		return -1;
	cli_left(NULL);
	if (status)
		log_error("machine %s: job %s: exited with status %d", m->name, j.name, status);
	return status;
}

static const struct opt run_opts[] = {
	{ 0, "on", OPT_STRING, "NAME", "The machine, which must not run", "machine" },
	{ 't', "timeout", OPT_STRING, "TIME", "End it after TIME, counted from its start (status 124)", NULL },
	{ 'e', "env", OPT_LIST, "NAME=VALUE", "A variable for its scripts; given again, an array in .pre and .post", NULL },
	{ 'f', "file", OPT_LIST, "FILE", "Copy FILE to its INDIR", "file" },
	{ 0, "luks-key", OPT_STRING, "FILE", "Opens encrypted disks (LUKS) with the passphrase in FILE; -: of standard input", "file" },
	{ 'o', "out", OPT_STRING, "DIR", "Its OUTDIR; emptied first. Default: job/out in the machine's folder", "file" },
	{ 'd', "dir", OPT_STRING, "DIR", "HOSTDIR, where jobs and their files are looked for first", "file" },
	{ 0, "mirror", OPT_STRING, "DIR", "A folder for it to read, as MIRROR", "file" },
	{ 's', "snapshot", OPT_FLAG, NULL, "Take a snapshot first, so that it can be undone", NULL },
	{ 0, "ro", OPT_FLAG, NULL, "Throw away at the end what it writes to the disks", NULL },
	{ 0, "rw", OPT_FLAG, NULL, "Do not, even of a job that says it only reads", NULL },
	{ 'k', "keep", OPT_FLAG, NULL, "Leave the rescue system running: further jobs begin at once", NULL },
	{ 0, "ssh", OPT_FLAG, NULL, "A port of this host leads to its port 22 (SSH_PORT)", NULL },
	{ 'p', "forward", OPT_LIST, "[PROTO:][ADDR:]PORT:PORT", "A port of this host that leads to one of the rescue system", NULL },
	{ 'u', "uefi", OPT_FLAG, NULL, "Start the rescue system by UEFI", NULL },
	{ 0, "bios", OPT_FLAG, NULL, "By BIOS", NULL },
	{ 'm', "memory", OPT_STRING, "SIZE", "Its memory; default 1G, with --iso 2G", NULL },
	{ 'c', "cpus", OPT_STRING, "N", "Its CPUs; default the machine's, 2 at most", NULL },
	{ 0, "image", OPT_STRING, "IMAGE", "Another rescue image", "image" },
	{ 0, "iso", OPT_STRING, "FILE", "A rescue CD of yours instead, prepared for the tool vm (ALT Rescue with its autorun)", "file" },
	OPT_END,
};

const struct command cmd_job_run = {
	.path = "job run",
	.args = "JOB --on NAME",
	.summary = "Run a job on a machine's disks, in the rescue system",
	.help = "JOB is a script JOB.job, with JOB.pre and JOB.post, run by bash on this host before and after it, where there are such. It is looked for "
		"in HOSTDIR (--dir, else the machine's folder), in ~/.config/croft/jobs and among croft's own; with a slash it is a path. "
		"The machine's disks are attached as for itself, the rescue system is croft's (`croft image make rescue`). Output is shown as it comes, "
		"and kept in OUTDIR/job.log.\n\n"
		"The exit status is the job's, 124 when its time is over. What a job that fails or is interrupted has written stays written; "
		"--snapshot makes that undoable, --ro tries a job without consequences.\n\n"
		"A rescue system left by --keep has the machine's disks until `croft vm rescue NAME --end`.",
	.opts = run_opts,
	.min_words = 1,
	.max_words = 1,
	.run = job_run_run,
	.examples = "  croft job run fsck --on web\n"
		    "  croft job run ./fix.job --on web --snapshot --timeout 10m\n"
		    "  croft job run post-install --on web --dir ~/profiles -e SETUP_HOSTNAME=web1",
};

static int job_list_run(const struct cmd_args *a, struct error **err)
{
	static const char *const keys[] = { "job", "text", "folder", NULL }, *const titles[] = { "JOB", "DOES", "FOLDER", NULL };
	_cleanup_strv_ struct strv dirs = STRV_INIT;
	_cleanup_jobs_ struct jobs l = { 0 };
	struct table *t;

	if (arg_str(a, "on")) {
		_cleanup_machine_ struct machine *m = machine_open(arg_str(a, "on"), err);

		if (!m)
			return -1;
		strv_take(&dirs, home_of(m, NULL));
	}
	if (arg_str(a, "dir"))
		strv_add(&dirs, arg_str(a, "dir"));
	job_dirs(&dirs);
	job_list(&dirs, &l);
	t = table_new(keys, titles);
	for (size_t i = 0; i < l.len; i++)
		table_row(t, (const char *const[]){ l.v[i].name, l.v[i].text, l.v[i].dir, NULL });
	table_print(t);
	return 0;
}

static const struct opt list_opts[] = {
	{ 0, "on", OPT_STRING, "NAME", "Those of this machine too", "machine" },
	{ 'd', "dir", OPT_STRING, "DIR", "Those of this folder too", "file" },
	OPT_END,
};

const struct command cmd_job_list = {
	.path = "job list",
	.args = "",
	.summary = "List jobs",
	.help = "The user's in ~/.config/croft/jobs and croft's own; of several with the same name the one that `croft job run` takes.",
	.opts = list_opts,
	.max_words = 0,
	.run = job_list_run,
};
