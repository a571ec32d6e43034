/* SPDX-License-Identifier: Apache-2.0 */
/* The commands that build from templates, as the program croft-build runs them. */
#include "cli/cli.h"
#include "cli/cmd/cmd.h"

#include "base/cleanup.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/progress.h"
#include "base/units.h"
#include "build/build.h"
#include "build/recipe.h"
#include "image/export/inspect.h"

#include <string.h>

static void split(const struct cmd_args *a, const char *option, struct strv *ret)
{
	const struct strv *given = arg_list(a, option);

	for (size_t i = 0; i < given->len; i++)
		strv_split(ret, given->v[i], ", ");
}

static struct template *load(const struct cmd_args *a, struct error **err)
{
	struct template_opts o = { .vars = arg_list(a, "var"), .var_files = arg_list(a, "var-file") };

	if (a->cmd == &cmd_image_validate)
		o.syntax_only = arg_flag(a, "syntax-only");
	if (a->cmd == &cmd_image_build)
		o.warn_undeclared = arg_flag(a, "warn-on-undeclared-var");
	if (a->cmd == &cmd_image_inspect)
		o.syntax_only = true;
	return template_load(arg_words(a)->v[0], &o, err);
}

static void warn(const struct strv *warnings)
{
	for (size_t i = 0; i < warnings->len; i++)
		log_warn("%s", warnings->v[i]);
}

static void set_ui(const struct cmd_args *a, const struct template *t, struct ui *ui)
{
	const char *colour = a->cmd == &cmd_image_build ? arg_str(a, "color") : NULL;

	*ui = (struct ui){ .machine_readable = arg_flag(a, "machine-readable"), .hidden = &t->sensitive };
	ui->colour = colour ? !strcmp(colour, "true") : log_colour(1) && !getenv("PACKER_NO_COLOR");
}

/* The template, and which of its builds are meant. */
static struct template *load_chosen(const struct cmd_args *a, struct strv *only, struct strv *except, struct ui *ui, struct error **err)
{
	struct template *t = load(a, err);

	if (!t)
		return NULL;
	split(a, "only", only);
	split(a, "except", except);
	set_ui(a, t, ui);
	return t;
}

static enum on_error on_error(const char *word)
{
	static const char *const words[] = { [ON_ERROR_CLEANUP] = "cleanup", [ON_ERROR_ABORT] = "abort", [ON_ERROR_ASK] = "ask",
		[ON_ERROR_RUN_CLEANUP] = "run-cleanup-provisioner" };

	for (size_t i = 0; word && i < ARRAY_SIZE(words); i++)
		if (!strcmp(word, words[i]))
			return (enum on_error)i;
	return ON_ERROR_CLEANUP;
}

static int build_recipe(const struct cmd_args *a, struct error **err)
{
	const char *jobs = arg_str(a, "jobs");
	struct recipe_opts o = { .from = arg_str(a, "from"), .until = arg_str(a, "until"), .shell_at = arg_str(a, "shell-at"), .out = arg_str(a, "output"),
		.no_cache = arg_flag(a, "no-cache"), .force = arg_flag(a, "force") };
	_cleanup_recipe_ struct recipe *r = recipe_load(arg_words(a)->v[0], err);
	struct ui ui = { .colour = log_colour(1), .timestamps = arg_flag(a, "timestamp-ui"), .machine_readable = arg_flag(a, "machine-readable") };
	uint64_t n = 0;

	if (!r || (jobs && parse_u64("--jobs", jobs, 1, 1024, &n, err) < 0))
		return -1;
	o.jobs = (unsigned)n;
	image_widen_path();
	cli_left("the same command goes on where it was");
	return recipe_build(r, &o, &ui, err);
}

int image_build_run(const struct cmd_args *a, struct error **err)
{
	_cleanup_strv_ struct strv only = STRV_INIT, except = STRV_INIT, warnings = STRV_INIT;
	struct build_opts o = { .only = &only, .except = &except, .force = arg_flag(a, "force"), .debug = arg_flag(a, "debug"),
		.no_cache = arg_flag(a, "no-cache"), .from = arg_str(a, "from"), .until = arg_str(a, "until"), .shell_at = arg_str(a, "shell-at"),
		.on_error = on_error(arg_str(a, "on-error")) };
	const char *parallel = arg_str(a, "parallel-builds");
	_cleanup_template_ struct template *t = NULL;
	uint64_t n = 0;
	struct ui ui;

	if (recipe_is(arg_words(a)->v[0]))
		return build_recipe(a, err);
	if (parallel && parse_u64("--parallel-builds", parallel, 0, 1024, &n, err) < 0)
		return -1;
	o.parallel = (unsigned)n;
	image_widen_path();
	t = load_chosen(a, &only, &except, &ui, err);
	if (!t)
		return -1;
	ui.timestamps = arg_flag(a, "timestamp-ui");
	if (ui.machine_readable)
		progress_mode = PROGRESS_NONE;
	if (build_validate(t, &o, &warnings, err) < 0)
		return -1;
	warn(&t->warnings);
	warn(&warnings);
	cli_left("the same command goes on where it was");
	return build_all(t, &o, &ui, err);
}

int image_validate_run(const struct cmd_args *a, struct error **err)
{
	_cleanup_strv_ struct strv only = STRV_INIT, except = STRV_INIT, warnings = STRV_INIT;
	struct build_opts o = { .only = &only, .except = &except };
	_cleanup_template_ struct template *t = NULL;
	struct ui ui;

	if (recipe_is(arg_words(a)->v[0])) {
		_cleanup_recipe_ struct recipe *r = recipe_load(arg_words(a)->v[0], err);

		return r ? (printf("The recipe is valid.\n"), 0) : -1;
	}
	t = load_chosen(a, &only, &except, &ui, err);
	if (!t)
		return -1;
	if (!arg_flag(a, "syntax-only") && build_validate(t, &o, &warnings, err) < 0)
		return -1;
	warn(&t->warnings);
	warn(&warnings);
	if (arg_flag(a, "syntax-only"))
		printf("Syntax-only check passed. Everything looks okay.\n");
	else
		printf("The configuration is valid.\n");
	return 0;
}

static void inspect_variables(const struct ui *ui, const struct template *t)
{
	const struct val *v = val_get(t->root, "variables");
	size_t optional = 0;

	for (size_t i = 0; v && i < v->len; i++)
		optional += v->items[i]->type != NODE_NULL;
	if (!ui->machine_readable && t->required.len)
		printf("Required variables:\n\n");
	for (size_t i = 0; i < t->required.len; i++) {
		ui_fact(ui, NULL, "template-variable", (const char *const[]){ t->required.v[i], "", "1", NULL });
		if (!ui->machine_readable)
			printf("  %s\n", t->required.v[i]);
	}
	if (!ui->machine_readable)
		printf("%s%s\n", t->required.len ? "\n" : "", optional ? "Optional variables and their defaults:\n" : "Variables:\n\n  <No variables>");
	for (size_t i = 0; v && i < v->len; i++) {
		if (v->items[i]->type == NODE_NULL)
			continue;
		ui_fact(ui, NULL, "template-variable", (const char *const[]){ v->keys[i], v->items[i]->text, "0", NULL });
		if (!ui->machine_readable)
			printf("  %-24s = %s\n", v->keys[i], v->items[i]->text);
	}
}

static void inspect_part(const struct ui *ui, const char *category, const struct part *p, const char *indent)
{
	ui_fact(ui, NULL, category, (const char *const[]){ p->name, p->c->type, NULL });
	if (!ui->machine_readable && strcmp(p->name, p->c->type))
		printf("%s%s (%s)\n", indent, p->name, p->c->type);
	else if (!ui->machine_readable)
		printf("%s%s\n", indent, p->c->type);
}

/* Templates are documents; anything else is an image, by name or file. */
static bool is_document(const char *word)
{
	static const char *const suffixes[] = { ".json", ".yaml", ".yml", ".hcl" };
	_cleanup_fclose_ FILE *f = NULL;
	unsigned char head[64];
	size_t n;

	for (size_t i = 0; i < ARRAY_SIZE(suffixes); i++)
		if (strlen(word) > strlen(suffixes[i]) && !strcmp(word + strlen(word) - strlen(suffixes[i]), suffixes[i]))
			return true;
	if (!strcmp(word, "-"))
		return true;
	f = fopen(word, "re");
	n = f ? fread(head, 1, sizeof head, f) : 0;
	for (size_t i = 0; i < n; i++)
		if (head[i] < 9)
			return false;
	return n > 0 && n < sizeof head + 1 && (head[0] == '{' || head[0] == '#' || head[0] == '-');
}

int image_inspect_run(const struct cmd_args *a, struct error **err)
{
	_cleanup_template_ struct template *t = NULL;
	struct ui ui;

	if (!is_document(arg_words(a)->v[0])) {
		_cleanup_free_ char *text = NULL;

		image_widen_path();
		text = image_inspect(arg_words(a)->v[0], err);
		return text ? print_json(text, err) : -1;
	}
	t = load(a, err);

	if (!t)
		return -1;
	set_ui(a, t, &ui);
	if (t->description && !ui.machine_readable)
		printf("Description:\n\n%s\n\n", t->description);
	inspect_variables(&ui, t);
	if (!ui.machine_readable)
		printf("\nBuilders:\n\n");
	for (size_t i = 0; i < t->nbuilders; i++)
		inspect_part(&ui, "template-builder", &t->builders[i], "  ");
	if (!ui.machine_readable)
		printf("\nProvisioners:\n\n%s", t->nprovisioners ? "" : "  <No provisioners>\n");
	for (size_t i = 0; i < t->nprovisioners; i++)
		inspect_part(&ui, "template-provisioner", &t->provisioners[i], "  ");
	if (!ui.machine_readable && t->nchains)
		printf("\nPost-processors:\n\n");
	for (size_t c = 0; c < t->nchains; c++)
		for (size_t i = 0; i < t->chains[c].len; i++)
			inspect_part(&ui, "template-post-processor", &t->chains[c].v[i], i ? "    then " : "  ");
	return 0;
}

int image_fix_run(const struct cmd_args *a, struct error **err)
{
	_cleanup_strv_ struct strv notes = STRV_INIT;
	_cleanup_doc_ struct doc *d = NULL;
	_cleanup_val_ struct val *root = template_document(arg_words(a)->v[0], &d, &notes, err);
	_cleanup_buf_ struct buf b = BUF_INIT;

	if (!root)
		return -1;
	warn(&notes);
	val_json(root, &b);
	fwrite(b.data, 1, b.len, stdout);
	return 0;
}
