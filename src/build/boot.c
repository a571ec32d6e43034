/* SPDX-License-Identifier: Apache-2.0 */
#include "build/boot.h"
#include "build/gotime.h"

#include "base/cleanup.h"
#include "base/mem.h"

#include <ctype.h>
#include <string.h>
#include <strings.h>

/* Names of the grammar; keysyms as packer-plugin-sdk sends them by VNC (X11 keysymdef.h); codes of QEMU (qapi/ui.json). */
static const struct special {
	const char *name;
	uint32_t symbol;
	const char *code;
} specials[] = {
	{ "bs", 0xff08, "backspace" }, { "del", 0xffff, "delete" }, { "enter", 0xff0d, "ret" }, { "esc", 0xff1b, "esc" }, { "f10", 0xffc7, "f10" },
	{ "f11", 0xffc8, "f11" }, { "f12", 0xffc9, "f12" }, { "f1", 0xffbe, "f1" }, { "f2", 0xffbf, "f2" }, { "f3", 0xffc0, "f3" },
	{ "f4", 0xffc1, "f4" }, { "f5", 0xffc2, "f5" }, { "f6", 0xffc3, "f6" }, { "f7", 0xffc4, "f7" }, { "f8", 0xffc5, "f8" },
	{ "f9", 0xffc6, "f9" }, { "return", 0xff0d, "ret" }, { "tab", 0xff09, "tab" }, { "up", 0xff52, "up" }, { "down", 0xff54, "down" },
	{ "left", 0xff51, "left" }, { "right", 0xff53, "right" }, { "spacebar", 0x20, "spc" }, { "insert", 0xff63, "insert" },
	{ "home", 0xff50, "home" }, { "end", 0xff57, "end" }, { "pageup", 0xff55, "pgup" }, { "pagedown", 0xff56, "pgdn" },
	{ "leftalt", 0xffe9, "alt" }, { "leftctrl", 0xffe3, "ctrl" }, { "leftshift", 0xffe1, "shift" }, { "rightalt", 0xffea, "alt_r" },
	{ "rightctrl", 0xffe4, "ctrl_r" }, { "rightshift", 0xffe2, "shift_r" }, { "leftsuper", 0xffeb, "meta_l" },
	{ "rightsuper", 0xffec, "meta_r" }, { "leftcommand", 0xffeb, "meta_l" }, { "rightcommand", 0xffec, "meta_r" },
	{ "leftoption", 0xffe9, "alt" }, { "rightoption", 0xffea, "alt_r" }, { "menu", 0xff67, "compose" },
};

/* Keys of the US layout by the character that they make alone, then with Shift. */
static const char plain[] = "`1234567890-=qwertyuiop[]\\asdfghjkl;'zxcvbnm,./ \t\n";
static const char shifted[] = "~!@#$%^&*()_+QWERTYUIOP{}|ASDFGHJKL:\"ZXCVBNM<>?";
static const char *const codes[] = { "grave_accent", "1", "2", "3", "4", "5", "6", "7", "8", "9", "0", "minus", "equal", "q", "w", "e", "r", "t",
	"y", "u", "i", "o", "p", "bracket_left", "bracket_right", "backslash", "a", "s", "d", "f", "g", "h", "j", "k", "l", "semicolon",
	"apostrophe", "z", "x", "c", "v", "b", "n", "m", "comma", "dot", "slash", "spc", "tab", "ret" };
_Static_assert(ARRAY_SIZE(codes) == sizeof plain - 1, "a code for each key");

void boot_clear(struct boot *b)
{
	for (size_t i = 0; i < b->len; i++)
		free(b->v[i].text);
	free(b->v);
	*b = (struct boot){ 0 };
}

static void emit(struct boot *b, struct boot_event e)
{
	if (b->len == b->cap) {
		b->cap = b->cap ? 2 * b->cap : 64;
		b->v = xreallocarray(b->v, b->cap, sizeof(*b->v));
	}
	b->v[b->len++] = e;
}

static void key(struct boot *b, bool down, uint32_t symbol, const char *code)
{
	emit(b, (struct boot_event){ .kind = down ? BOOT_DOWN : BOOT_UP, .symbol = symbol, .code = code });
}

static int fail(const char *text, const char *at, struct error **err, const char *what)
{
	size_t column = 1;

	for (const char *s = text; s < at; s++)
		column += ((unsigned char)*s & 0xc0) != 0x80;
	return error_set(err, ERR_USAGE, "boot_command, character %zu: %s", column, what);
}

/* One character of UTF-8 (RFC 3629); its length, 0: it is none. */
static size_t rune(const char *s, uint32_t *c)
{
	const unsigned char *u = (const unsigned char *)s;
	size_t n = !u[0] ? 0 : u[0] < 0x80 ? 1 : u[0] >= 0xc2 && u[0] < 0xe0 ? 2 : u[0] >= 0xe0 && u[0] < 0xf0 ? 3 : u[0] >= 0xf0 && u[0] < 0xf5 ? 4 : 0;

	*c = n == 1 ? u[0] : n ? u[0] & (0x7fu >> n) : 0;
	for (size_t i = 1; i < n; i++) {
		if ((u[i] & 0xc0) != 0x80)
			return 0;
		*c = *c << 6 | (u[i] & 0x3f);
	}
	return n;
}

/* The key of a character; *shift: with Shift. NULL: the US keyboard has none. */
static const char *code_of(uint32_t c, bool *shift)
{
	const char *at = c && c < 0x80 ? strchr(plain, (int)c) : NULL;

	*shift = false;
	if (at)
		return codes[at - plain];
	at = c && c < 0x80 ? strchr(shifted, (int)c) : NULL;
	*shift = at != NULL;
	return at ? codes[at - shifted] : NULL;
}

static void literal(struct boot *b, uint32_t c)
{
	bool shift;
	const char *code = code_of(c, &shift);

	if (shift)
		key(b, true, 0xffe1, "shift");
	key(b, true, c, code);
	key(b, false, c, code);
	if (shift)
		key(b, false, 0xffe1, "shift");
}

/* Behind "<wait": digits are seconds; else a duration. Length up to and with '>', 0: not that. -1: a time in the past. */
static long wait_token(const char *s, int64_t *ns)
{
	const char *end = strchr(s, '>');
	_cleanup_free_ char *word = end ? xstrndup(s, (size_t)(end - s)) : NULL;
	_cleanup_error_ struct error *e = NULL;

	if (!end || (*word && !isdigit((unsigned char)*word) && *word != '-' && *word != '+'))
		return 0;
	if (!word[strspn(word, "0123456789")]) {
		/* <wait0> is a second, too */
		long n = strtol(word, NULL, 10);

		*ns = (n ? n : 1) * 1000000000ll;
	} else if (go_duration("wait", word, ns, &e) < 0) {
		return 0; /* no wait at all, so it is typed */
	} else if (*ns < 0) {
		return -1;
	}
	return end + 1 - s;
}

/* <wait ["serial" ]"regex"[ duration]>; s behind "<wait ". Length to behind '>', 0: not that. */
static long expect_token(struct boot *b, const char *s)
{
	struct boot_event e = { .kind = BOOT_EXPECT };
	_cleanup_error_ struct error *err = NULL;
	_cleanup_buf_ struct buf text = BUF_INIT;
	_cleanup_free_ char *word = NULL;
	const char *p = s + strspn(s, " ");
	size_t n;

	if (!strncmp(p, "serial ", 7))
		p += 7 + strspn(p + 7, " ");
	if (*p++ != '"')
		return 0;
	for (; *p && *p != '"'; p++) {
		if (*p == '\\' && p[1] == '"')
			p++;
		buf_addc(&text, *p);
	}
	if (*p++ != '"' || !text.len)
		return 0;
	p += strspn(p, " ");
	n = strcspn(p, ">");
	word = xstrndup(p, n);
	if (p[n] != '>' || (*word && (go_duration("wait", word, &e.ns, &err) < 0 || e.ns <= 0)))
		return 0;
	e.text = buf_steal(&text);
	emit(b, e);
	return p + n + 1 - s;
}

/* Behind a name or character: "on>" or "off>" in any case. Length, 0: neither. */
static size_t on_off(const char *s, bool *on)
{
	*on = !strncasecmp(s, "on>", 3);
	return *on ? 3 : !strncasecmp(s, "off>", 4) ? 4 : 0;
}

static size_t char_toggle(struct boot *b, const char *s)
{
	uint32_t c;
	size_t n = rune(s, &c), m;
	bool on, shift;

	m = n ? on_off(s + n, &on) : 0;
	if (m)
		key(b, on, c, code_of(c, &shift));
	return m ? n + m : 0;
}

static size_t special_token(struct boot *b, const char *s)
{
	for (size_t i = 0; i < ARRAY_SIZE(specials); i++) {
		size_t n = strlen(specials[i].name), m;
		bool on;

		if (strncasecmp(s, specials[i].name, n))
			continue;
		m = on_off(s + n, &on);
		if (!m && s[n] != '>')
			continue;
		key(b, !m || on, specials[i].symbol, specials[i].code);
		if (!m)
			key(b, false, specials[i].symbol, specials[i].code);
		return n + (m ? m : 1);
	}
	return 0;
}

/* Length of the token behind '<', 0: the '<' is typed. */
static long token(struct boot *b, const char *s)
{
	if (!strncmp(s, "wait", 4)) {
		int64_t ns = 0;
		long n = s[4] == ' ' ? expect_token(b, s + 5) : wait_token(s + 4, &ns);

		if (n > 0 && s[4] != ' ')
			emit(b, (struct boot_event){ .kind = BOOT_WAIT, .ns = ns });
		if (n)
			return n < 0 ? -1 : n + (s[4] == ' ' ? 5 : 4);
	}
	{
		size_t n = char_toggle(b, s);

		return (long)(n ? n : special_token(b, s));
	}
}

int boot_parse(struct boot *ret, const char *text, struct error **err)
{
	for (const char *s = text; *s;) {
		long n = *s == '<' ? token(ret, s + 1) : 0;
		uint32_t c;
		size_t m;

		if (n < 0)
			return fail(text, s, err, "a wait is <wait>, <wait5>, <wait1m20s> or <wait1.5s>");
		if (n > 0) {
			s += 1 + n;
			continue;
		}
		m = rune(s, &c);
		if (!m)
			return fail(text, s, err, "the text is not UTF-8");
		literal(ret, c);
		s += m;
	}
	return 0;
}

int boot_text(const struct conf *c, const struct funcs *f, const struct map *fields, char **ret, struct error **err)
{
	const struct val *steps = conf_val(c, "boot_steps"), *list = conf_val(c, "boot_command");
	_cleanup_buf_ struct buf b = BUF_INIT;

	for (size_t i = 0; list && i < list->len; i++)
		buf_adds(&b, list->items[i]->text);
	for (size_t i = 0; !list && steps && i < steps->len; i++)
		if (steps->items[i]->len)
			buf_adds(&b, steps->items[i]->items[0]->text);
	if (funcs_expand(f, fields, buf_str(&b), ret, err) < 0)
		return error_wrap(err, "boot_command");
	return 0;
}

int boot_check(const struct conf *c, struct error **err)
{
	static const char *const names[] = { "HTTPIP", "HTTPPort", "Name", "SSHPublicKey" };
	_cleanup_map_ struct map fields = { .free_value = NULL };
	_cleanup_boot_ struct boot b = { 0 };
	_cleanup_free_ char *text = NULL;
	const struct val *at = conf_at(c, conf_given(c, "boot_command") ? "boot_command" : "boot_steps");
	struct funcs f = { .constant = true, .build_name = "x", .build_type = "qemu" };

	if (conf_given(c, "boot_command") && conf_given(c, "boot_steps"))
		return val_error(conf_at(c, "boot_steps"), err, "only one of boot_command and boot_steps can be used");
	for (size_t i = 0; i < ARRAY_SIZE(names); i++)
		map_set(&fields, names[i], (void *)(uintptr_t)"0");
	if (boot_text(c, &f, &fields, &text, err) < 0 || boot_parse(&b, text, err) < 0) {
		_cleanup_free_ char *msg = xstrdup((*err)->msg);

		error_clear(err);
		return val_error(at, err, "%s", msg);
	}
	return 0;
}
