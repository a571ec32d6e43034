/* SPDX-License-Identifier: Apache-2.0 */
/* The quoting rules; grammar in stream.h. */
#include "pm/stream.h"
#include "base/mem.h"

#include <string.h>

static int hex(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	if (c >= 'a' && c <= 'f')
		return c - 'a' + 10;
	if (c >= 'A' && c <= 'F')
		return c - 'A' + 10;
	return -1;
}

/* *at is behind the backslash; leaves it behind the escape. */
static int escape(const char *s, size_t n, size_t *at, struct buf *word, struct error **err)
{
	static const char from[] = "ntre", to[] = "\n\t\r\033";
	const char *l;
	int hi, lo;
	char c;

	if (*at >= n)
		return error_set(err, ERR_USAGE, "column %zu: a backslash at the end of the line", *at);
	c = s[(*at)++];
	if (c == 'x') {
		hi = *at < n ? hex(s[*at]) : -1;
		lo = *at + 1 < n ? hex(s[*at + 1]) : -1;
		if (hi < 0 || lo < 0)
			return error_set(err, ERR_USAGE, "column %zu: \\x needs two hexadecimal digits", *at);
		*at += 2;
		c = (char)(hi * 16 + lo);
		if (!c)
			return error_set(err, ERR_USAGE, "column %zu: a word cannot hold a NUL byte", *at - 3);
	} else if ((l = strchr(from, c))) {
		c = to[l - from];
	}
	buf_addc(word, c);
	return 0;
}

static int quoted(const char *s, size_t n, size_t *at, struct buf *word, struct error **err)
{
	char quote = s[*at];
	size_t start = ++*at, from;

	while (*at < n && s[*at] != quote) {
		if (!s[*at])
			return error_set(err, ERR_USAGE, "column %zu: a NUL byte", *at + 1);
		if (s[*at] == '\\' && quote == '"') {
			++*at;
			if (escape(s, n, at, word, err) < 0)
				return -1;
			continue;
		}
		from = *at;
		while (*at < n && s[*at] && s[*at] != quote && (s[*at] != '\\' || quote != '"'))
			++*at;
		buf_add(word, s + from, *at - from);
	}
	if (*at >= n)
		return error_set(err, ERR_USAGE, "column %zu: no closing %c", start, quote);
	++*at;
	return 0;
}

static bool blank(char c)
{
	return c == ' ' || c == '\t' || c == '\r' || c == '\n';
}

/* What stands for itself outside of quotes. */
static bool plain(char c)
{
	return c && !blank(c) && c != '\'' && c != '"' && c != '\\';
}

int stream_split(const char *s, size_t n, struct strv *words, struct error **err)
{
	_cleanup_buf_ struct buf word = BUF_INIT;
	size_t at = 0, from;

	for (;;) {
		while (at < n && blank(s[at]))
			at++;
		if (at >= n || s[at] == '#')
			return 0;
		buf_clear(&word);
		while (at < n && !blank(s[at])) {
			if (s[at] == '\'' || s[at] == '"') {
				if (quoted(s, n, &at, &word, err) < 0)
					return -1;
			} else if (s[at] == '\\') {
				at++;
				if (escape(s, n, &at, &word, err) < 0)
					return -1;
			} else if (!s[at]) {
				return error_set(err, ERR_USAGE, "column %zu: a NUL byte", at + 1);
			} else {
				for (from = at; at < n && plain(s[at]);)
					at++;
				buf_add(&word, s + from, at - from);
			}
		}
		strv_add(words, buf_str(&word));
	}
}

void stream_quote(struct buf *b, const char *word)
{
	static const char bare[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_.,:/@%+=-!^~[]{}()*?&|<>;$`";

	if (*word && !word[strspn(word, bare)]) {
		buf_adds(b, word);
		return;
	}
	buf_addc(b, '"');
	for (; *word; word++) {
		unsigned char c = (unsigned char)*word;

		if (c == '"' || c == '\\')
			buf_addf(b, "\\%c", c);
		else if (c == '\n')
			buf_adds(b, "\\n");
		else if (c < ' ' || c == 0x7f)
			buf_addf(b, "\\x%02x", c);
		else
			buf_addc(b, (char)c);
	}
	buf_addc(b, '"');
}
