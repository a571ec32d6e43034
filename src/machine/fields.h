/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The properties of machines, disks, NICs and shares as data: one row each. Reading a document, writing machine.json, freeing and
 * `croft vm set` all go by these rows.
 */
#ifndef CROFT_MACHINE_FIELDS_H
#define CROFT_MACHINE_FIELDS_H

#include "machine/machine.h"

#include <jansson.h>

enum field_type {
	FIELD_TEXT,
	FIELD_WORD,	/* text, one of words */
	FIELD_UNSIGNED, /* 1 to max */
	FIELD_SIZE,
	FIELD_BOOL,
	FIELD_TEXTS,	/* struct strv */
	FIELD_BOOT,	/* int, 0 to max, -1 none */
};
struct field {
	const char *key;
	enum field_type type;
	size_t offset;
	const char *const *words;
	uint64_t max;
};
extern const struct field machine_fields[], disk_fields[], nic_fields[], share_fields[]; /* end with a NULL key */

/* The properties of map n that rows name, into object. Keys that are none of rows' nor of more (NULL-terminated) are errors. */
int fields_read(const struct field *rows, const char *what, const char *const *more, const struct node *n, void *object, struct error **err);
/* All that have a value, in the order of the rows. */
void fields_to_json(const struct field *rows, const void *object, json_t *ret);
void fields_clear(const struct field *rows, void *object);
const struct field *field_find(const struct field *rows, const char *key);

/*
 * Sets one by its text, as `croft vm set` is given it; an empty text takes a text value away. FIELD_TEXTS: "" clears the list, op '+'
 * adds, '-' removes (an error when it isn't in it). op is '=' for others.
 */
int field_set(const struct field *f, void *object, char op, const char *value, struct error **err);
/* "key=value,key=value" into an object; first_key, when not NULL, is what a first part without '=' sets. */
int fields_set_all(const struct field *rows, const char *what, const char *first_key, void *object, const char *text, struct error **err);

/* The words that documents may use for these, NULL-terminated. */
extern const char *const machine_firmwares[], *const machine_nets[], *const machine_medias[], *const machine_share_kinds[],
	*const machine_videos[], *const machine_sounds[], *const machine_watchdogs[];

#endif
