/* SPDX-License-Identifier: Apache-2.0 */
/* Output of lists and facts: aligned columns for people, JSON and YAML for programs, from the same rows. */
#include "cli/cli.h"

#include "base/cleanup.h"
#include "base/mem.h"
#include "conf/doc.h"

#include <jansson.h>
#include <string.h>

enum format cli_format = FORMAT_TABLE;

struct table {
	struct strv keys, titles;
	char **cells; /* rows * keys.len, NULL for "not known" */
	size_t rows;
};

struct table *table_new(const char *const *keys, const char *const *titles)
{
	struct table *t = xcalloc(1, sizeof *t);

	strv_addv(&t->keys, keys);
	strv_addv(&t->titles, titles);
	return t;
}

void table_row(struct table *t, const char *const *cells)
{
	size_t n = t->keys.len;

	t->cells = xreallocarray(t->cells, (t->rows + 1) * n, sizeof *t->cells);
	for (size_t i = 0; i < n; i++)
		t->cells[t->rows * n + i] = xstrdup(cells[i]);
	t->rows++;
}

static void table_free(struct table *t)
{
	for (size_t i = 0; i < t->rows * t->keys.len; i++)
		free(t->cells[i]);
	free(t->cells);
	strv_free(&t->keys);
	strv_free(&t->titles);
	free(t);
}

/* Columns that a UTF-8 text takes, near enough: one a code point. */
static size_t text_width(const char *s)
{
	size_t n = 0;

	for (; *s; s++)
		n += ((unsigned char)*s & 0xc0) != 0x80;
	return n;
}

/* A cell as it may go to a terminal: what comes from a guest must not control it. */
static char *printable(const char *s)
{
	char *r = xstrdup(s ? s : "-");

	for (char *p = r; *p; p++)
		if ((unsigned char)*p < 0x20 || *p == 0x7f)
			*p = '?';
	return r;
}

static void print_cells(const char *const *cells, const size_t *width, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		_cleanup_free_ char *s = printable(cells[i]);
		size_t pad = width[i] - text_width(s);

		printf("%s%*s", s, i + 1 == n ? 0 : (int)pad + 2, "");
	}
	putchar('\n');
}

static void print_table(const struct table *t)
{
	size_t n = t->keys.len;
	_cleanup_free_ size_t *width = xcalloc(n + 1, sizeof *width);

	for (size_t i = 0; i < n; i++)
		width[i] = text_width(t->titles.v[i]);
	for (size_t i = 0; i < t->rows * n; i++) {
		_cleanup_free_ char *s = printable(t->cells[i]);

		if (text_width(s) > width[i % n])
			width[i % n] = text_width(s);
	}
	print_cells((const char *const *)t->titles.v, width, n);
	for (size_t r = 0; r < t->rows; r++)
		print_cells((const char *const *)t->cells + r * n, width, n);
}

static json_t *table_json(const struct table *t)
{
	json_t *list = json_array();
	size_t n = t->keys.len;

	for (size_t r = 0; r < t->rows; r++) {
		json_t *row = json_object();

		for (size_t i = 0; i < n; i++) {
			const char *cell = t->cells[r * n + i];
			_cleanup_free_ char *key = xstrdup(t->keys.v[i]);
			size_t len = strlen(key);
			bool number = len && key[len - 1] == '#';

			if (number)
				key[len - 1] = 0;
			if (!cell)
				json_object_set_new(row, key, json_null());
			else if (number)
				json_object_set_new(row, key, json_integer(strtoll(cell, NULL, 10)));
			else
				json_object_set_new(row, key, json_string(cell));
		}
		json_array_append_new(list, row);
	}
	return list;
}

static int print_yaml(const char *json, struct error **err)
{
	_cleanup_doc_ struct doc *d = doc_parse("output", json, strlen(json), err);
	_cleanup_buf_ struct buf b = BUF_INIT;

	if (!d)
		return -1;
	node_to_yaml(doc_root(d), &b);
	fputs(buf_str(&b), stdout);
	if (!b.len || b.data[b.len - 1] != '\n')
		putchar('\n');
	return 0;
}

static void print_structured(const json_t *j)
{
	_cleanup_free_ char *text = json_dumps(j, JSON_INDENT(2) | JSON_ENCODE_ANY);

	if (!text)
		return;
	if (cli_format == FORMAT_YAML) {
		_cleanup_error_ struct error *err = NULL;

		if (print_yaml(text, &err) < 0)
			cli_report(err);
	} else {
		puts(text);
	}
}

void table_print(struct table *t)
{
	if (cli_format == FORMAT_TABLE) {
		print_table(t);
	} else {
		json_t *j = table_json(t);

		print_structured(j);
		json_decref(j);
	}
	table_free(t);
}

/* Facts for people: "key: value", nested ones indented, lists of scalars on one line. */
static void print_facts(const json_t *j, int indent);

static bool is_scalar(const json_t *j)
{
	return !json_is_object(j) && !json_is_array(j);
}

static void print_scalar(const json_t *j)
{
	if (json_is_string(j)) {
		_cleanup_free_ char *s = printable(json_string_value(j));

		fputs(s, stdout);
	} else if (json_is_null(j)) {
		putchar('-');
	} else {
		_cleanup_free_ char *s = json_dumps(j, JSON_ENCODE_ANY);

		fputs(s ? s : "", stdout);
	}
}

static void print_list(const json_t *j, int indent)
{
	bool flat = true;

	for (size_t i = 0; i < json_array_size(j); i++)
		flat = flat && is_scalar(json_array_get(j, i));
	for (size_t i = 0; i < json_array_size(j); i++) {
		const json_t *v = json_array_get(j, i);

		if (flat) {
			fputs(i ? ", " : " ", stdout);
			print_scalar(v);
		} else {
			printf("%s%*s-\n", i ? "" : "\n", indent, "");
			print_facts(v, indent + 2);
		}
	}
	if (flat)
		fputs(json_array_size(j) ? "\n" : " -\n", stdout);
}

static void print_facts(const json_t *j, int indent)
{
	const char *key;
	json_t *v;

	if (json_is_array(j)) {
		print_list(j, indent);
		return;
	}
	if (!json_is_object(j)) {
		printf("%*s", indent, "");
		print_scalar(j);
		putchar('\n');
		return;
	}
	json_object_foreach ((json_t *)j, key, v) {
		printf("%*s%s:", indent, "", key);
		if (is_scalar(v)) {
			putchar(' ');
			print_scalar(v);
			putchar('\n');
		} else if (json_is_array(v)) {
			print_list(v, indent + 2);
		} else {
			putchar('\n');
			print_facts(v, indent + 2);
		}
	}
}

int print_json(const char *json, struct error **err)
{
	json_error_t je;
	json_t *j = json_loads(json, JSON_DECODE_ANY, &je);

	if (!j)
		return error_set(err, ERR_FAILED, "output: not JSON: %s", je.text);
	if (cli_format == FORMAT_TABLE)
		print_facts(j, 0);
	else
		print_structured(j);
	json_decref(j);
	return 0;
}
