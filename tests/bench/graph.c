/* SPDX-License-Identifier: Apache-2.0 */
/* graph N: microseconds in which pm's own code makes N units, each with up to four needs, of command lines in random order. */
#include "base/buf.h"
#include "base/mem.h"
#include "base/strv.h"
#include "pm/core.h"
#include "pm/stream.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define ROUNDS 5

/* Nothing is ever started. */
static int launch(void *ctx, struct unit *u, char why[160])
{
	return 0;
}
static bool nothing(void *ctx, struct unit *u)
{
	return false;
}
static void ignore(void *ctx, struct unit *u)
{
}
static void arm(void *ctx, struct unit *u, uint32_t ms)
{
}
static void changed(void *ctx, struct unit *u, enum pm_state from, const char *reason)
{
}
static uint64_t now(void *ctx)
{
	return 0;
}
static const struct core_ops ops = { launch, nothing, nothing, ignore, arm, changed, now };

static uint64_t clock_us(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000000 + (uint64_t)t.tv_nsec / 1000;
}

static void lines_of(struct buf *text, uint32_t n)
{
	uint32_t *order = xcalloc(n, sizeof(*order));

	srand(1);
	for (uint32_t i = 0; i < n; i++) {
		uint32_t j = (uint32_t)rand() % (i + 1);

		order[i] = order[j];
		order[j] = i;
	}
	for (uint32_t i = 0; i < n; i++) {
		uint32_t u = order[i];

		buf_addf(text, "unit u%u 'run=/usr/bin/program --number %u'", u, u);
		for (int k = 0; u && k < 4; k++)
			buf_addf(text, "%su%u", k ? " " : " 'needs=", (uint32_t)rand() % u);
		buf_adds(text, u ? "'\n" : "\n");
	}
	free(order);
}

static int load(struct core *c, const char *at, struct error **err)
{
	for (const char *nl; (nl = strchr(at, '\n')); at = nl + 1) {
		struct params ps = PARAMS_INIT;
		struct strv words = STRV_INIT;
		int rc = stream_split(at, (size_t)(nl - at), &words, err);

		for (size_t i = 2; rc == 0 && i < words.len; i++)
			rc = params_assign(&ps, words.v[i], err);
		if (rc == 0 && !core_define(c, words.v[1], &ps, err))
			rc = -1;
		strv_free(&words);
		params_free(&ps);
		if (rc < 0)
			return -1;
	}
	return 0;
}

/* Every unit has a greater number than all it needs. */
static bool ordered(const struct core *c)
{
	for (uint32_t i = 0; i < c->nunits; i++)
		for (uint32_t k = 0; k < c->units[i]->ndeps; k++)
			if (c->units[DEP_UNIT(c->units[i]->deps[k])]->order >= c->units[i]->order)
				return false;
	return true;
}

static int by_number(const void *a, const void *b)
{
	const uint64_t *x = a, *y = b;

	return *x < *y ? -1 : *x > *y;
}

int main(int argc, char **argv)
{
	uint32_t n = argc == 2 ? (uint32_t)strtoul(argv[1], NULL, 10) : 0;
	struct buf text = BUF_INIT;
	uint64_t took[ROUNDS];

	if (!n)
		return 2;
	lines_of(&text, n);
	for (int i = 0; i < ROUNDS; i++) {
		struct error *e = NULL;
		struct core c;

		core_init(&c, &ops, NULL);
		took[i] = clock_us();
		if (load(&c, buf_str(&text), &e) < 0 || c.live != n || !ordered(&c)) {
			fprintf(stderr, "graph: %s\n", e ? e->msg : "not all of it is there, or not in order");
			return 1;
		}
		took[i] = clock_us() - took[i];
		core_free(&c);
	}
	qsort(took, ROUNDS, sizeof(took[0]), by_number);
	printf("%llu\n", (unsigned long long)took[ROUNDS / 2]);
	buf_free(&text);
	return 0;
}
