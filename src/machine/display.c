/* SPDX-License-Identifier: Apache-2.0 */
#include "machine/display.h"

#include "base/buf.h"
#include "base/cleanup.h"
#include "base/file.h"
#include "base/mem.h"
#include "base/path.h"
#include "internal.h"
#include "qemu/args.h"

#include <string.h>

#define PEM_MAX 65536

void display_clear(struct display *d)
{
	strv_free(&d->argv);
	free(d->settings);
	free(d->uri);
	free(d->secret);
	free(d->program);
	*d = (struct display){ 0 };
}

bool display_have_screen(void)
{
	const char *x = getenv("DISPLAY"), *wayland = getenv("WAYLAND_DISPLAY");

	return (x && *x) || (wayland && *wayland);
}

static bool is_local(const char *host)
{
	return !strcmp(host, "localhost") || !strncmp(host, "127.", 4) || !strcmp(host, "::1");
}

/* A socket in the machine's folder. remote-viewer knows SPICE's only. */
static int open_socket(const struct machine *m, bool spice, struct display *d)
{
	_cleanup_free_ char *sock = machine_path(m, spice ? "run/spice.sock" : "run/vnc.sock");

	d->local = true;
	d->uri = spice ? xasprintf("spice+unix://%s", sock) : xstrdup(sock);
	strv_add(&d->argv, spice ? "remote-viewer" : "vncviewer");
	strv_add(&d->argv, d->uri);
	return 0;
}

/* The certificate in one line, as the connection file wants it. */
static int add_ca(struct buf *b, const char *tls, struct error **err)
{
	_cleanup_free_ char *path = path_join(tls, "ca-cert.pem");
	_cleanup_buf_ struct buf pem = BUF_INIT;

	if (file_read(path, PEM_MAX, &pem, err) < 0)
		return -1;
	buf_adds(b, "ca=");
	for (const char *s = buf_str(&pem); *s; s++)
		if (*s == '\n')
			buf_adds(b, "\\n");
		else
			buf_addc(b, *s);
	buf_addc(b, '\n');
	return 0;
}

static int open_tcp(const struct machine *m, bool spice, struct display *d, struct error **err)
{
	const struct machine_def *def = &m->def;
	_cleanup_free_ char *host = NULL;
	_cleanup_buf_ struct buf b = BUF_INIT, password = BUF_INIT;
	bool v6;
	unsigned port;

	if (qemu_split_listen(def->display_listen, &host, &port, err) < 0)
		return -1;
	d->secret = machine_path(m, "display.password");
	if (file_read(d->secret, 4096, &password, err) < 0)
		return -1;
	d->local = is_local(host);
	v6 = strchr(host, ':') != NULL;
	d->uri = xasprintf("%s://%s%s%s%s%u", spice ? "spice" : "vnc", v6 ? "[" : "", host, v6 ? "]" : "",
		spice && def->display_tls ? "?tls-port=" : ":", port);
	buf_addf(&b, "[virt-viewer]\ntype=%s\nhost=%s\n%s=%u\npassword=%s\ntitle=%s\n", spice ? "spice" : "vnc", host,
		spice && def->display_tls ? "tls-port" : "port", port, buf_str(&password), m->name);
	if (spice && def->display_tls && add_ca(&b, def->display_tls, err) < 0)
		return -1;
	d->settings = buf_steal(&b);
	strv_add(&d->argv, "remote-viewer");
	strv_add(&d->argv, "-");
	return 0;
}

int display_open(struct machine *m, struct display *d, struct error **err)
{
	bool spice = !strcmp(m->def.display, "spice"), vnc = !strcmp(m->def.display, "vnc");
	struct proc_id id;
	int rc;

	*d = (struct display){ 0 };
	if (!spice && !vnc) {
		error_set(err, ERR_STATE, "machine %s: its display is '%s', which nothing can connect to", m->name, m->def.display);
		return error_hint(err, "croft vm set %s display=spice, from the next start on", m->name);
	}
	if (!machine_qemu(m, &id)) {
		error_set(err, ERR_STATE, "machine %s: it is not running", m->name);
		return error_hint(err, "start it: croft vm start %s", m->name);
	}
	rc = m->def.display_listen ? open_tcp(m, spice, d, err) : open_socket(m, spice, d);
	if (rc < 0) {
		display_clear(d);
		return error_wrap(err, "machine %s", m->name);
	}
	d->program = path_find_program(d->argv.v[0]);
	return 0;
}

int display_spawn(const struct display *d, struct proc *p, struct error **err)
{
	const char *const *argv = (const char *const *)d->argv.v;
	int rc = 0;

	if (proc_spawn(&(struct proc_opts){ .argv = argv, .in = d->settings ? PROC_PIPE : PROC_NULL }, p, err) < 0)
		return -1;
	if (d->settings) {
		rc = file_write_all(p->in, d->settings, strlen(d->settings), d->argv.v[0], err);
		cleanup_close(&p->in);
		p->in = -1;
	}
	return rc;
}

void display_print(const struct display *d, FILE *f)
{
	fprintf(f, "%s %s\n", d->argv.v[0], d->uri);
	if (d->secret)
		fprintf(f, "password: cat '%s'\n", d->secret);
}
