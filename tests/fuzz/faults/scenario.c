/* SPDX-License-Identifier: Apache-2.0 */
/* Scenario files: any text. What is taken is in order and has requests that are JSON. */
#include "net/scenario.h"
#include "base/cleanup.h"
#include "base/mem.h"

#include <jansson.h>

int LLVMFuzzerTestOneInput(const uint8_t *p, size_t n);

int LLVMFuzzerTestOneInput(const uint8_t *p, size_t n)
{
	_cleanup_free_ char *text = xstrndup((const char *)p, n);
	_cleanup_scenario_ struct scenario s = { 0 };
	_cleanup_error_ struct error *e = NULL;

	if (scenario_parse("x", text, &s, &e) < 0)
		return 0;
	for (size_t i = 0; i < s.n; i++) {
		json_t *j = s.events[i].request ? json_loads(s.events[i].request, 0, NULL) : NULL;

		if ((s.events[i].request && !j) || (i && s.events[i].at_ns < s.events[i - 1].at_ns))
			abort();
		json_decref(j);
	}
	return 0;
}
