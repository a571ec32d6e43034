/* SPDX-License-Identifier: Apache-2.0 */
/* croft image build, validate, inspect, fix: what they take. They run in croft-build (build_run.c). */
#include "cli/cli.h"
#include "cli/cmd/cmd.h"

#define VARIABLES                                                                                                            \
	{ 0, "var", OPT_LIST, "NAME=VALUE", "Set a variable of the template", NULL },                                        \
		{ 0, "var-file", OPT_LIST, "FILE", "Set variables from a JSON or YAML file; --var wins", "file" },            \
		{ 0, "only", OPT_LIST, "A,B", "Only these builds, by name", NULL },                                           \
		{ 0, "except", OPT_LIST, "A,B", "Not these builds; post-processors of these names are left out, too", NULL },  \
		{ 0, "machine-readable", OPT_FLAG, NULL, "Lines for programs: time,target,category,data...", NULL }

static const struct opt build_opts[] = {
	VARIABLES,
	{ 'f', "force", OPT_FLAG, NULL, "Remove the output directory when it is there", NULL },
	{ 0, "on-error", OPT_STRING, "WHAT", "After a failure: cleanup (default), abort, ask, run-cleanup-provisioner",
		"cleanup|abort|ask|run-cleanup-provisioner" },
	{ 0, "debug", OPT_FLAG, NULL, "Wait for enter before each step", NULL },
	{ 0, "from", OPT_STRING, "STEP", "Do this step and those behind it anew; by number, name or type; boot is the start", NULL },
	{ 0, "until", OPT_STRING, "STEP", "End after this step, without an artifact", NULL },
	{ 0, "shell-at", OPT_STRING, "STEP", "Open a shell in the machine as it is after this step", NULL },
	{ 0, "no-cache", OPT_FLAG, NULL, "Do all steps anew", NULL },
	{ 'o', "output", OPT_STRING, "DIR", "Recipes: folder of what is made; default output-NAME", "file" },
	{ 'j', "jobs", OPT_STRING, "N", "Recipes: JOBS for make; default as many as there are processors", NULL },
	{ 0, "timestamp-ui", OPT_FLAG, NULL, "The time in front of each line", NULL },
	{ 0, "warn-on-undeclared-var", OPT_FLAG, NULL, "Say which variables from files the template does not know", NULL },
	{ 0, "color", OPT_STRING, "BOOL", "Colours: true or false; default: on a terminal", "true|false" },
	{ 0, "parallel-builds", OPT_STRING, "N", "So many builds of a template at a time; 0 (the default): as many as there are processors", NULL },
	OPT_END,
};

const struct command cmd_image_build = {
	.path = "image build",
	.args = "TEMPLATE|RECIPE",
	.summary = "Build images from a template, or a root from a recipe",
	.help = "Templates are those of Packer, in JSON or YAML, with a builder of croft's own besides. Each step leaves a state of the machine "
		"behind: a build that failed or was interrupted goes on at the step where it was, and one whose script has changed begins there. "
		"When nothing has changed, nothing is done. A recipe (a folder with recipe.yaml, see docs/recipes.md) is built package by package from "
		"sources. Options may be written with one dash, as Packer has them. See docs/builds.md.",
	.opts = build_opts,
	.min_words = 1,
	.max_words = 1,
	.complete = "file",
	.long_dash = true,
	.run = image_build_run,
	.examples = "  croft image build web.json\n  croft image build -var version=12 -only qemu web.json\n"
		    "  croft image build --from 3 web.json\n  croft image build --shell-at shell web.json",
};

static const struct opt validate_opts[] = {
	VARIABLES,
	{ 0, "syntax-only", OPT_FLAG, NULL, "Only the document's form; variables may lack values", NULL },
	OPT_END,
};

const struct command cmd_image_validate = {
	.path = "image validate",
	.args = "TEMPLATE",
	.summary = "Check a template",
	.help = "Everything that can be known to be wrong without starting anything, with file, line and column.",
	.opts = validate_opts,
	.min_words = 1,
	.max_words = 1,
	.complete = "file",
	.long_dash = true,
	.run = image_validate_run,
	.examples = "  croft image validate -var-file site.json web.json",
};

static const struct opt inspect_opts[] = {
	{ 0, "machine-readable", OPT_FLAG, NULL, "Lines for programs: time,target,category,data...", NULL },
	OPT_END,
};

const struct command cmd_image_inspect = {
	.path = "image inspect",
	.args = "TEMPLATE|NAME|FILE",
	.summary = "Show what is in a template, or in an image or any file of one",
	.help = "A template's variables, builders, provisioners and post-processors. Of an image, or a file by its content: format and sizes, partitions and "
		"their file systems, the system in it, its kernels and packages; of a container's image its names. Nothing is mounted or started.",
	.opts = inspect_opts,
	.min_words = 1,
	.max_words = 1,
	.complete = "file",
	.long_dash = true,
	.run = image_inspect_run,
	.examples = "  croft image inspect web.json\n  croft image inspect debian\n  croft image inspect appliance.ova --format json",
};

const struct command cmd_image_fix = {
	.path = "image fix",
	.args = "TEMPLATE",
	.summary = "Print a template in today's spelling",
	.help = "Keys that older versions of Packer had are replaced by what they are called now. The file is not changed.",
	.min_words = 1,
	.max_words = 1,
	.complete = "file",
	.long_dash = true,
	.run = image_fix_run,
	.examples = "  croft image fix old.json > new.json",
};
