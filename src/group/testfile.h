/* SPDX-License-Identifier: Apache-2.0 */
/* A file of test cases for a group (docs/tests.md), read and checked as a whole before anything is touched. */
#ifndef CROFT_GROUP_TESTFILE_H
#define CROFT_GROUP_TESTFILE_H

#include "group/internal.h"

enum step_kind { STEP_RUN, STEP_HOST, STEP_NET, STEP_APP, STEP_WAIT };
struct test_step {
	enum step_kind kind;
	char *text;	   /* command with variables expanded; of wait: empty */
	char *node;	   /* run: its node */
	int status;	   /* expected; -1: any */
	struct strv has, hasnt; /* texts that the output must and must not hold */
	int within_ms;	   /* repeated until it is as expected; 0: once */
	int timeout_ms;	   /* of one go; of wait: how long */
	int line;	   /* in the file */
};
struct test_steps {
	struct test_step *v;
	size_t n;
};
struct test_case {
	char *name;
	struct test_steps steps;
	char *snapshot; /* it begins there; NULL: where setup ended */
	size_t script;	/* its number in a file in Lua */
};
struct test_file {
	char *name, *path;
	struct doc *doc;
	bool lua, lua_setup; /* a file in Lua, which has a setup: steps come as it runs */
	char *snapshot; /* taken when setup has ended; used again when it is there and `fresh` isn't asked for */
	struct test_steps setup;
	struct test_case *cases;
	size_t ncases;
};
struct test_file *test_file_load(const struct group *g, const char *path, struct error **err);
void test_file_free(struct test_file *t);
/* One step, as in the file. */
int test_step_read(const struct group *g, const struct node *at, struct test_step *s, struct error **err);
void test_step_clear(struct test_step *s);

/* testlua.c: a file *.lua, whose cases a program of its own runs. */
bool test_file_is_lua(const char *path);
int test_lua_load(struct test_file *t, struct error **err);
struct test_lua_runner {
	/* 1: as expected; 0: not, with the reason in why; -1: interrupted. */
	int (*step)(void *arg, const struct test_step *s, int *status, struct buf *out, struct buf *why, struct error **err);
	void *arg;
};
/* Case n, the first is 1; 0: setup. As step. */
int test_lua_run(const struct group *g, const struct test_file *t, size_t n, const struct test_lua_runner *r, struct buf *why, struct error **err);
static inline void test_file_freep(struct test_file **t)
{
	test_file_free(*t);
}
#define _cleanup_test_file_ __attribute__((cleanup(test_file_freep)))

#endif
