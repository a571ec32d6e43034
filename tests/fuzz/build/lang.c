/* SPDX-License-Identifier: Apache-2.0 */
/* The small languages in templates: {{...}}, Go's times and durations, boot commands, checksums, lines of a Dockerfile. */
#include "base/cleanup.h"
#include "base/map.h"
#include "base/mem.h"
#include "build/boot.h"
#include "build/funcs.h"
#include "build/gotime.h"
#include "build/iso.h"
#include "image/export/changes.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *p, size_t n);

static void expand(const char *text)
{
	struct map vars = { 0 }, fields = { 0 };
	struct funcs f = { .vars = &vars, .build_name = "web", .build_type = "croft", .now = 1615107906 };
	_cleanup_error_ struct error *e = NULL;
	_cleanup_free_ char *out = NULL;

	map_set(&vars, "name", (void *)(uintptr_t) "croft");
	map_set(&fields, "Name", (void *)(uintptr_t) "disk");
	funcs_expand(&f, &fields, text, &out, &e);
	map_free(&vars);
	map_free(&fields);
}

static void boot(const char *text)
{
	_cleanup_error_ struct error *e = NULL;
	_cleanup_boot_ struct boot b = { 0 };

	boot_parse(&b, text, &e);
}

static void times(const char *text)
{
	_cleanup_error_ struct error *e = NULL;
	int64_t ns;

	free(go_time_format(1615107906, 250000000, text));
	go_duration("x", text, &ns, &e);
}

static void checksum(const char *text)
{
	_cleanup_error_ struct error *e = NULL;
	const char *type, *hex;

	free(iso_checksum_find(text, "x.iso"));
	iso_checksum_parse(text, &type, &hex, &e);
}

static void change(const char *text)
{
	_cleanup_error_ struct error *e = NULL;
	_cleanup_strv_ struct strv lines = STRV_INIT;
	json_t *config = json_pack("{s:[s]}", "Env", "PATH=/bin");

	strv_split(&lines, text, "\n");
	changes_apply(config, &lines, &e);
	json_decref(config);
}

int LLVMFuzzerTestOneInput(const uint8_t *p, size_t n)
{
	static void (*const all[])(const char *text) = { expand, boot, times, checksum, change };
	_cleanup_free_ char *text = n ? xstrndup((const char *)p + 1, n - 1) : NULL;

	if (n)
		all[p[0] % ARRAY_SIZE(all)](text);
	return 0;
}
