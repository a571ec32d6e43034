/* SPDX-License-Identifier: Apache-2.0 */
/* Whole documents: templates up to their validation, and recipes. */
#include "base/cleanup.h"
#include "base/file.h"
#include "build/build.h"
#include "build/recipe.h"

#include <stdlib.h>
#include <unistd.h>

int LLVMFuzzerTestOneInput(const uint8_t *p, size_t n);
const char *__lsan_default_suppressions(void);

/* libfyaml loses its reader's buffer on some documents that it refuses. */
const char *__lsan_default_suppressions(void)
{
	return "leak:libfyaml";
}

static void template(const char *path)
{
	_cleanup_error_ struct error *e = NULL;
	_cleanup_strv_ struct strv warnings = STRV_INIT;
	struct template_opts o = { 0 };
	struct build_opts b = { 0 };
	_cleanup_template_ struct template *t = template_load(path, &o, &e);

	if (t)
		build_validate(t, &b, &warnings, &e);
}

static void recipe(const char *path)
{
	_cleanup_error_ struct error *e = NULL;

	recipe_free(recipe_load(path, &e));
}

int LLVMFuzzerTestOneInput(const uint8_t *p, size_t n)
{
	static char path[] = "/tmp/croft-fuzz-XXXXXX";
	static int fd = -1;
	struct error *e = NULL;

	if (fd < 0 && (fd = mkstemp(path)) < 0)
		abort();
	if (ftruncate(fd, 0) < 0 || lseek(fd, 0, SEEK_SET) < 0 || file_write_all(fd, p, n, path, &e) < 0)
		abort();
	template(path);
	recipe(path);
	return 0;
}
