/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What builders, provisioners and post-processors may be told, as data: a row for each key. Templates are typed weakly (variables are
 * always strings), so values are turned into what the row says where that is possible.
 */
#ifndef CROFT_BUILD_SCHEMA_H
#define CROFT_BUILD_SCHEMA_H

#include "base/strv.h"
#include "build/funcs.h"
#include "build/val.h"

enum key_type { KEY_TEXT, KEY_NUMBER, KEY_BOOL, KEY_DURATION, KEY_LIST, KEY_LISTS, KEY_MAP };
enum {
	KEY_IGNORED = 1, /* taken, but croft does nothing with it: a warning says so */
	KEY_REFUSED = 2, /* an error, with the reason */
	KEY_SILENT = 4,	 /* taken, without effect, and that needs no word */
	KEY_REQUIRED = 8,
};
struct key {
	const char *name;
	enum key_type type;
	unsigned flags;
	const char *fallback;		/* default, as text; NULL: none */
	const char *const *late;	/* expanded when it is used, with these fields; NULL: expanded at once */
	const char *why;		/* for IGNORED and REFUSED */
};

enum part_kind { PART_BUILDER, PART_PROVISIONER, PART_POST };
struct component {
	enum part_kind kind;
	const char *type;
	const struct key *const *tables; /* NULL-terminated; each ends with a NULL name */
	const char *refused;		 /* known, but croft has nothing of the kind: why */
};
extern const struct component components[]; /* ends with a NULL type */
/* ERR_USAGE at `at` with the nearest name when there is none. */
const struct component *component_find(enum part_kind kind, const char *type, const struct val *at, struct error **err);
/* A type that templates have, of another program or a service, which croft knows but cannot do. */
bool component_refused(enum part_kind kind, const char *type);
const char *part_kind_name(enum part_kind k);

/* The values of one component, expanded and typed: TEXT and DURATION (ns as text) are strings, lists hold strings. */
struct conf {
	const struct component *c;
	struct val *map;
};
void conf_clear(struct conf *c);
#define _cleanup_conf_ __attribute__((cleanup(conf_clear)))
/*
 * Reads raw by the component's rows: unknown keys, wrong types, missing keys and templates that do not expand are errors with place. Late
 * values are tried with placeholders, and kept as they are. warnings may be NULL.
 */
int conf_read(const struct component *c, const struct val *raw, const struct funcs *f, struct strv *warnings, struct conf *ret, struct error **err);

const char *conf_text(const struct conf *c, const char *key); /* or its default; NULL: none */
bool conf_given(const struct conf *c, const char *key);
long long conf_number(const struct conf *c, const char *key);
bool conf_bool(const struct conf *c, const char *key);
int64_t conf_ns(const struct conf *c, const char *key);
struct val *conf_val(const struct conf *c, const char *key); /* the typed value, or NULL; for lists of lists and maps */
void conf_list(const struct conf *c, const char *key, struct strv *ret); /* appends */
/* A late text with its fields. */
int conf_late(const struct conf *c, const char *key, const struct funcs *f, const struct map *fields, char **ret, struct error **err);
/* For an error or warning about a key: the value, else the whole part. */
const struct val *conf_at(const struct conf *c, const char *key);

#endif
