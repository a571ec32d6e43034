/* SPDX-License-Identifier: Apache-2.0 */
#include "qemu/keys.h"

#include "base/cleanup.h"
#include "base/mem.h"
#include "base/strv.h"
#include "base/units.h"

#include <ctype.h>
#include <stdbool.h>
#include <stdint.h>
#include <string.h>

#define WAIT_MAX_MS 3600000u
#define TEXT_MAX (1u << 20)
#define NAME_MAX_LEN 24

/* Names of Packer's boot_command, then a few of ours; codes of QEMU's QKeyCode (qapi/ui.json). */
static const struct {
	const char *name, *code;
} named[] = {
	{ "bs", "backspace" }, { "del", "delete" }, { "enter", "ret" }, { "return", "ret" }, { "esc", "esc" }, { "tab", "tab" },
	{ "spacebar", "spc" }, { "up", "up" }, { "down", "down" }, { "left", "left" }, { "right", "right" }, { "insert", "insert" },
	{ "home", "home" }, { "end", "end" }, { "pageUp", "pgup" }, { "pageDown", "pgdn" }, { "menu", "compose" }, { "f1", "f1" },
	{ "f2", "f2" }, { "f3", "f3" }, { "f4", "f4" }, { "f5", "f5" }, { "f6", "f6" }, { "f7", "f7" }, { "f8", "f8" }, { "f9", "f9" },
	{ "f10", "f10" }, { "f11", "f11" }, { "f12", "f12" }, { "leftAlt", "alt" }, { "rightAlt", "alt_r" }, { "leftCtrl", "ctrl" },
	{ "rightCtrl", "ctrl_r" }, { "leftShift", "shift" }, { "rightShift", "shift_r" }, { "leftSuper", "meta_l" },
	{ "rightSuper", "meta_r" }, { "capsLock", "caps_lock" }, { "numLock", "num_lock" }, { "scrollLock", "scroll_lock" },
	{ "print", "print" }, { "pause", "pause" },
};
const char *const keys_names[] = { "bs", "del", "enter", "return", "esc", "tab", "spacebar", "up", "down", "left", "right", "insert",
	"home", "end", "pageUp", "pageDown", "menu", "f1", "f2", "f3", "f4", "f5", "f6", "f7", "f8", "f9", "f10", "f11", "f12",
	"leftAlt", "rightAlt", "leftCtrl", "rightCtrl", "leftShift", "rightShift", "leftSuper", "rightSuper", "capsLock", "numLock",
	"scrollLock", "print", "pause", NULL };
_Static_assert(ARRAY_SIZE(named) + 1 == ARRAY_SIZE(keys_names), "keys_names lists what named holds");

/* The keys that make characters, row by row; the 102nd key ("less") stands before z. */
static const char *const codes[] = { "grave_accent", "1", "2", "3", "4", "5", "6", "7", "8", "9", "0", "minus", "equal",
	"q", "w", "e", "r", "t", "y", "u", "i", "o", "p", "bracket_left", "bracket_right",
	"a", "s", "d", "f", "g", "h", "j", "k", "l", "semicolon", "apostrophe", "backslash",
	"less", "z", "x", "c", "v", "b", "n", "m", "comma", "dot", "slash" };

/*
 * What these keys make alone, with Shift, and with AltGr, in the same order. A blank: nothing (the space bar is no key of these rows).
 * "\1" in front of a character: a dead key, which makes it when the space bar follows.
 */
static const struct layout {
	const char *name, *qemu, *levels[3];
} layouts[] = {
	{ "us", "en-us",
		{ "`1234567890-=" "qwertyuiop[]" "asdfghjkl;'\\" " zxcvbnm,./",
		  "~!@#$%^&*()_+" "QWERTYUIOP{}" "ASDFGHJKL:\"|" " ZXCVBNM<>?", "" } },
	{ "uk", "en-gb",
		{ "`1234567890-=" "qwertyuiop[]" "asdfghjkl;'#" "\\zxcvbnm,./",
		  "¬!\"£$%^&*()_+" "QWERTYUIOP{}" "ASDFGHJKL:@~" "|ZXCVBNM<>?", "¦   €" } },
	{ "de", "de",
		{ "\1^1234567890ß\1´" "qwertzuiopü+" "asdfghjklöä#" "<yxcvbnm,.-",
		  "°!\"§$%&/()=?\1`" "QWERTZUIOPÜ*" "ASDFGHJKLÖÄ'" ">YXCVBNM;:_",
		  "  ²³   {[]}\\ " "@ €        ~" "            " "|      µ" } },
	{ "fr", "fr",
		{ "²&é\"'(-è_çà)=" "azertyuiop\1^$" "qsdfghjklmù*" "<wxcvbn,;:!",
		  " 1234567890°+" "AZERTYUIOP\1¨£" "QSDFGHJKLM%µ" ">WXCVBN?./§",
		  "  \1~#{[|\1`\\^@]}" "  €        ¤" } },
	{ "es", "es",
		{ "º1234567890'¡" "qwertyuiop\1`+" "asdfghjklñ\1´ç" "<zxcvbnm,.-",
		  "ª!\"·$%&/()=?¿" "QWERTYUIOP\1^*" "ASDFGHJKLÑ\1¨Ç" ">ZXCVBNM;:_",
		  "\\|@#~ ¬      " "  €       []" "          {}" } },
	{ "ru", "ru",
		{ "ё1234567890-=" "йцукенгшщзхъ" "фывапролджэ\\" " ячсмитьбю.",
		  "Ё!\"№;%:?*()_+" "ЙЦУКЕНГШЩЗХЪ" "ФЫВАПРОЛДЖЭ/" " ЯЧСМИТЬБЮ,", "" } },
};
const char *const keys_layouts[] = { "us", "uk", "de", "fr", "es", "ru", NULL };
_Static_assert(ARRAY_SIZE(layouts) + 1 == ARRAY_SIZE(keys_layouts), "keys_layouts lists the layouts");

struct parser {
	struct keys *out;
	const struct layout *layout;
	const char *text, *at;
	const char *held[16]; /* keys that On has pressed */
	size_t nheld;
};

void keys_clear(struct keys *k)
{
	free(STEAL(k->v));
	k->len = k->cap = 0;
}

static void emit(struct parser *p, enum key_kind kind, const char *code, unsigned ms)
{
	struct keys *k = p->out;

	if (k->len == k->cap) {
		k->cap = k->cap ? 2 * k->cap : 64;
		k->v = xreallocarray(k->v, k->cap, sizeof(*k->v));
	}
	k->v[k->len++] = (struct key_event){ .kind = kind, .code = code, .ms = ms };
}

static void press(struct parser *p, const char *code)
{
	emit(p, KEY_DOWN, code, 0);
	emit(p, KEY_UP, code, 0);
}

/* Bytes of the UTF-8 character at s (RFC 3629), 0: it is none. */
static size_t char_len(const char *s)
{
	const unsigned char *u = (const unsigned char *)s;
	size_t n = u[0] < 0x80 ? 1 : u[0] >= 0xc2 && u[0] < 0xe0 ? 2 : u[0] >= 0xe0 && u[0] < 0xf0 ? 3 : u[0] >= 0xf0 && u[0] < 0xf5 ? 4 : 0;

	for (size_t i = 1; i < n; i++)
		if ((u[i] & 0xc0) != 0x80)
			return 0;
	return n;
}

/* The key of the layout that makes this character: index into codes, -1 none. */
static int find_char(const struct layout *l, const char *c, size_t n, int *level, bool *dead)
{
	for (*level = 0; *level < 3; (*level)++) {
		int key = 0;

		for (const char *s = l->levels[*level]; *s; key++) {
			size_t len;

			*dead = *s == '\1';
			s += *dead;
			len = char_len(s);
			if (*s != ' ' && len == n && !memcmp(s, c, n))
				return key;
			s += len;
		}
	}
	return -1;
}

static const char *find_name(const char *name, size_t n)
{
	for (size_t i = 0; i < ARRAY_SIZE(named); i++)
		if (strlen(named[i].name) == n && !strncasecmp(named[i].name, name, n))
			return named[i].code;
	return NULL;
}

static int fail(struct parser *p, struct error **err, const char *what)
{
	size_t column = 1;

	for (const char *s = p->text; s < p->at; s++)
		column += ((unsigned char)*s & 0xc0) != 0x80;
	return error_set(err, ERR_USAGE, "keys, character %zu: %s", column, what);
}

static int type_char(struct parser *p, size_t n, struct error **err)
{
	static const char *const mods[] = { NULL, "shift", "alt_r" };
	int level = 0, key;
	bool dead = false;

	if (*p->at == ' ' || *p->at == '\n' || *p->at == '\t') {
		press(p, *p->at == ' ' ? "spc" : *p->at == '\n' ? "ret" : "tab");
		return 0;
	}
	key = find_char(p->layout, p->at, n, &level, &dead);
	if (key < 0) {
		_cleanup_free_ char *what = (unsigned char)*p->at < ' ' || *p->at == 0x7f ?
			xasprintf("byte 0x%02x is no key", (unsigned char)*p->at) :
			xasprintf("'%.*s' has no key on the layout %s", (int)n, p->at, p->layout->name);

		return fail(p, err, what);
	}
	if (mods[level])
		emit(p, KEY_DOWN, mods[level], 0);
	press(p, codes[key]);
	if (mods[level])
		emit(p, KEY_UP, mods[level], 0);
	if (dead)
		press(p, "spc");
	return 0;
}

/* "5", "1m30s", "250ms": what stands behind "wait". False: not understood. */
static bool parse_wait(const char *s, size_t n, unsigned *ms)
{
	uint64_t all = 0;
	const char *start = s, *end = s + n;

	if (!n)
		all = 1000;
	while (s < end) {
		uint64_t v = 0, unit = 1000;
		const char *digits = s;

		while (s < end && isdigit((unsigned char)*s) && v < WAIT_MAX_MS)
			v = v * 10 + (uint64_t)(*s++ - '0');
		if (s == digits)
			return false;
		if (s + 1 < end && !strncasecmp(s, "ms", 2)) {
			unit = 1;
			s += 2;
		} else if (s < end && strchr("sSmMhH", *s)) {
			unit = tolower((unsigned char)*s) == 's' ? 1000 : tolower((unsigned char)*s) == 'm' ? 60000 : 3600000;
			s++;
		} else if (s < end || digits != start) {
			return false;
		}
		all += v * unit;
		if (all > WAIT_MAX_MS)
			return false;
	}
	*ms = (unsigned)all;
	return true;
}

static int hold(struct parser *p, const char *code, bool on, struct error **err)
{
	size_t i = 0;

	while (i < p->nheld && p->held[i] != code)
		i++;
	if (on && i == p->nheld) {
		if (p->nheld == ARRAY_SIZE(p->held))
			return fail(p, err, "more than 16 keys are held");
		p->held[p->nheld++] = code;
	} else if (!on && i < p->nheld) {
		p->held[i] = p->held[--p->nheld];
	}
	emit(p, on ? KEY_DOWN : KEY_UP, code, 0);
	return 0;
}

/* The code of a name or of one character; for On and Off. */
static const char *any_code(struct parser *p, const char *name, size_t n)
{
	const char *code = find_name(name, n);
	int level, key;
	bool dead;

	if (code || !n || char_len(name) != n)
		return code;
	key = find_char(p->layout, name, n, &level, &dead);
	return key < 0 ? NULL : codes[key];
}

static int unknown(struct parser *p, const char *name, size_t n, struct error **err)
{
	_cleanup_free_ char *word = xstrndup(name, n), *what = xasprintf("<%s> is not the name of a key", word);
	const char *near = nearest_name(word, keys_names, ARRAY_SIZE(keys_names) - 1);

	fail(p, err, what);
	return near ? error_hint(err, "did you mean <%s>? A < as it is: <lt>", near) :
		      error_hint(err, "names are <enter> <esc> <tab> <f1> <leftCtrlOn> <wait5> and others; a < as it is: <lt>");
}

/* What stands between < and >. */
static int type_name(struct parser *p, const char *name, size_t n, struct error **err)
{
	const char *code = find_name(name, n);
	unsigned ms;

	if (code) {
		press(p, code);
		return 0;
	}
	if (n == 2 && !strncasecmp(name, "lt", 2)) {
		p->at = "<";
		return type_char(p, 1, err);
	}
	if (n >= 4 && !strncasecmp(name, "wait", 4)) {
		if (!parse_wait(name + 4, n - 4, &ms))
			return fail(p, err, "a wait is <wait>, <wait5>, <wait1m30s> or <wait250ms>, of at most an hour");
		emit(p, KEY_WAIT, NULL, ms);
		return 0;
	}
	if (n > 2 && !strncasecmp(name + n - 2, "on", 2) && (code = any_code(p, name, n - 2)))
		return hold(p, code, true, err);
	if (n > 3 && !strncasecmp(name + n - 3, "off", 3) && (code = any_code(p, name, n - 3)))
		return hold(p, code, false, err);
	return unknown(p, name, n, err);
}

/* Length of the name behind a '<' when a '>' ends it, else 0: then it is a character like others. */
static size_t name_len(const char *s)
{
	size_t n = 0, first = char_len(s);

	/* <éOn>: one character of any kind, then letters */
	if (first > 1)
		n = first;
	while (n <= NAME_MAX_LEN && isalnum((unsigned char)s[n]))
		n++;
	return n && n <= NAME_MAX_LEN && s[n] == '>' ? n : 0;
}

static const struct layout *find_layout(const char *name, struct error **err)
{
	for (size_t i = 0; i < ARRAY_SIZE(layouts); i++)
		if (!name || !strcmp(name, layouts[i].name) || !strcmp(name, layouts[i].qemu))
			return &layouts[i];
	error_set(err, ERR_USAGE, "keyboard layout '%s' is not known; known are us, uk, de, fr, es, ru", name);
	return NULL;
}

const char *keys_layout_qemu(const char *layout)
{
	_cleanup_error_ struct error *e = NULL;
	const struct layout *l = find_layout(layout, &e);

	return l ? l->qemu : NULL;
}

static int parse_all(struct parser *p, struct error **err)
{
	while (*p->at) {
		size_t n = *p->at == '<' ? name_len(p->at + 1) : 0, len = char_len(p->at);
		const char *next = n ? p->at + n + 2 : p->at + len;

		if (!len)
			return fail(p, err, "the text is not UTF-8");
		if ((n ? type_name(p, p->at + 1, n, err) : type_char(p, len, err)) < 0)
			return -1;
		p->at = next;
	}
	return 0;
}

int keys_parse(struct keys *ret, const char *text, const char *layout, struct error **err)
{
	struct parser p = { .out = ret, .text = text, .at = text, .layout = find_layout(layout, err) };

	*ret = (struct keys){ 0 };
	if (!p.layout)
		return -1;
	if (strlen(text) > TEXT_MAX)
		return error_set(err, ERR_USAGE, "keys: the text is longer than 1 MiB");
	if (parse_all(&p, err) < 0) {
		keys_clear(ret);
		return -1;
	}
	while (p.nheld)
		emit(&p, KEY_UP, p.held[--p.nheld], 0);
	return 0;
}
