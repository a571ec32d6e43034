/* SPDX-License-Identifier: Apache-2.0 */
/* Typing a boot_command on the machine's keyboard. */
#include "build/boot.h"
#include "qemu/qmp.h"
#include "box.h"

#include "base/cleanup.h"
#include "base/file.h"
#include "base/loop.h"
#include "base/mem.h"
#include "build/gotime.h"
#include "build/http.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <regex.h>
#include <string.h>
#include <sys/stat.h>

#define KEY_NS 25000000ll
#define EXPECT_NS ((int64_t)300000000000)
#define HOLD_NS 200000000ll /* longer waits let others use the monitor meanwhile */
#define LOG_MAX ((size_t)32 << 20)

struct typing {
	struct build *b;
	struct box *v;
	struct qmp *q;
	size_t seen; /* of the console's log */
	int64_t interval;
};

static int press(struct typing *t, const struct boot_event *e, struct error **err)
{
	_cleanup_free_ char *sock = machine_path(t->v->m, "run/qmp.sock");
	json_t *args;
	int rc;

	if (!e->code)
		return error_set(err, ERR_USAGE, "boot_command: the US keyboard has no key for the character U+%04X", e->symbol);
	if (!t->q && !(t->q = qmp_connect(sock, BOX_QMP_MS, err)))
		return -1;
	args = json_pack("{s:[{s:s, s:{s:b, s:{s:s, s:s}}}]}", "events", "type", "key", "data", "down", e->kind == BOOT_DOWN, "key", "type", "qcode",
		"data", e->code);
	rc = qmp_command(t->q, "input-send-event", args, BOX_QMP_MS, NULL, err);
	json_decref(args);
	return rc < 0 ? -1 : build_sleep(t->interval, err);
}

/* 1: the console has shown it since the last time. */
static int shown(struct typing *t, const regex_t *re, struct error **err)
{
	_cleanup_free_ char *path = machine_path(t->v->m, "log/console.log");
	_cleanup_buf_ struct buf b = BUF_INIT;
	_cleanup_error_ struct error *e = NULL;
	regmatch_t m;
	size_t kept = 0;

	if (file_read(path, LOG_MAX, &b, &e) < 0)
		return 0;
	/* shorter than before: it was cut */
	if (b.len < t->seen)
		t->seen = 0;
	for (size_t i = t->seen; i < b.len; i++)
		if (b.data[i])
			b.data[t->seen + kept++] = b.data[i];
	if (!kept)
		return 0;
	b.data[t->seen + kept] = '\0';
	if (regexec(re, b.data + t->seen, 1, &m, 0) != 0)
		return 0;
	t->seen += (size_t)m.rm_eo;
	return 1;
}

static int expect(struct typing *t, const struct boot_event *e, struct error **err)
{
	int64_t end = (int64_t)loop_now() + (e->ns ? e->ns : EXPECT_NS);
	_cleanup_buf_ struct buf tail = BUF_INIT;
	regex_t re;
	char why[128];
	int rc = regcomp(&re, e->text, REG_EXTENDED | REG_NEWLINE);

	if (rc) {
		regerror(rc, &re, why, sizeof why);
		return error_set(err, ERR_USAGE, "boot_command: <wait \"%s\">: %s", e->text, why);
	}
	ui_message(t->b->ui, t->b->name, "waiting for \"%s\" on the serial console", e->text);
	while ((rc = shown(t, &re, err)) == 0 && (int64_t)loop_now() < end)
		if (build_sleep(200000000, err) < 0) {
			rc = -1;
			break;
		}
	regfree(&re);
	if (rc)
		return rc < 0 ? -1 : 0;
	machine_console_tail(t->v->m, 10, &tail);
	error_set(err, ERR_TIMEOUT, "boot_command: the serial console has not shown \"%s\" in %" PRId64 " s", e->text,
		(e->ns ? e->ns : EXPECT_NS) / 1000000000);
	return error_hint(err, "its last lines:\n%s", buf_str(&tail));
}

static int type_all(struct typing *t, const struct boot *boot, struct error **err)
{
	for (size_t i = 0; i < boot->len; i++) {
		const struct boot_event *e = &boot->v[i];
		int rc;

		if (e->kind == BOOT_DOWN || e->kind == BOOT_UP) {
			rc = press(t, e, err);
		} else {
			if (e->kind == BOOT_EXPECT || e->ns >= HOLD_NS)
				qmp_free(STEAL(t->q));
			rc = e->kind == BOOT_EXPECT ? expect(t, e, err) : build_sleep(e->ns, err);
		}
		if (rc < 0)
			return -1;
	}
	return 0;
}

static int64_t interval_of(const struct conf *c)
{
	const char *env = getenv("PACKER_KEY_INTERVAL");
	_cleanup_error_ struct error *e = NULL;
	int64_t ns = KEY_NS;

	if (conf_given(c, "boot_key_interval"))
		return conf_ns(c, "boot_key_interval");
	if (env && *env && go_duration("PACKER_KEY_INTERVAL", env, &ns, &e) < 0)
		ns = KEY_NS;
	return ns;
}

int qemu_type(struct build *b, struct box *v, struct error **err)
{
	struct typing t = { .b = b, .v = v, .interval = interval_of(&b->conf) };
	_cleanup_map_ struct map fields = { .free_value = free };
	_cleanup_boot_ struct boot boot = { 0 };
	_cleanup_free_ char *text = NULL;
	const char *key = map_get(&b->facts, "SSHPublicKey");
	int64_t wait = conf_ns(&b->conf, "boot_wait");
	struct funcs f;
	int rc;

	if (!conf_given(&b->conf, "boot_command") && !conf_given(&b->conf, "boot_steps"))
		return 0;
	build_funcs(b, &f);
	map_set(&fields, "HTTPIP", xstrdup("10.0.2.2"));
	map_set(&fields, "HTTPPort", xasprintf("%u", http_port(v->http)));
	map_set(&fields, "Name", xstrdup(b->vm_name));
	map_set(&fields, "SSHPublicKey", xstrdup(key ? key : ""));
	if (boot_text(&b->conf, &f, &fields, &text, err) < 0 || boot_parse(&boot, text, err) < 0)
		return -1;
	/* no time is as good as none given */
	wait = wait == 0 ? 10000000000 : wait;
	if (wait > 0) {
		ui_say(b->ui, b->name, "Waiting %gs for boot...", (double)wait / 1e9);
		if (build_sleep(wait, err) < 0)
			return -1;
	}
	ui_say(b->ui, b->name, "Typing the boot command...");
	rc = type_all(&t, &boot, err);
	qmp_free(t.q);
	return rc;
}
