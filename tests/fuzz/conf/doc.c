/* SPDX-License-Identifier: Apache-2.0 */
/* Documents: what parses can be written as JSON and YAML. Variables: any text may be expanded. */
#include "base/cleanup.h"
#include "base/mem.h"
#include "conf/doc.h"
#include "conf/interp.h"

#include <string.h>

const char *__lsan_default_suppressions(void);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void expand(const char *text)
{
	struct vars *v = vars_new();
	struct error *err = NULL;

	vars_set(v, "sn", "ip", "10.0.0.1");
	vars_set(v, "a.b", "c", "x");
	free(vars_expand(v, text, NULL, "fuzz", &err));
	error_clear(&err);
	vars_free(v);
}

/* Some wrong documents cost libfyaml 0.7.12 a token. */
const char *__lsan_default_suppressions(void)
{
	return "leak:libfyaml.so\n";
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct error *err = NULL;
	_cleanup_free_ char *text = xstrndup((const char *)data, size);
	/* The first byte chooses the format. */
	const char *name = size && (data[0] & 1) ? "f.json" : "f.yaml";
	struct doc *d = size ? doc_parse(name, (const char *)data + 1, size - 1, &err) : NULL;

	expand(text);
	error_clear(&err);
	if (d) {
		_cleanup_buf_ struct buf json = BUF_INIT, yaml = BUF_INIT;

		node_to_json(doc_root(d), &json);
		node_to_yaml(doc_root(d), &yaml);
	}
	doc_free(d);
	return 0;
}
