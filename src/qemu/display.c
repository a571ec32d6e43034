/* SPDX-License-Identifier: Apache-2.0 */
/* Screens: the card, the protocol that shows it, the pointer and keyboard that go with it. */
#include "qemu/args.h"

#include "base/buf.h"
#include "base/cleanup.h"
#include "base/mem.h"
#include "base/units.h"
#include "qemu/keys.h"

#include <string.h>

#define VNC_BASE 5900 /* display 0 (RFC 6143, 7.1) */

static void add2(struct strv *argv, const char *option, const char *value)
{
	strv_add(argv, option);
	strv_add(argv, value);
}

int qemu_split_listen(const char *listen, char **host, unsigned *port, struct error **err)
{
	const char *colon = strrchr(listen, ':');
	size_t n = colon ? (size_t)(colon - listen) : 0;
	uint64_t p;

	if (n > 1 && listen[0] == '[' && listen[n - 1] == ']') {
		listen++;
		n -= 2;
	} else if (memchr(listen, ':', n)) {
		n = 0;
	}
	if (!n || strcspn(listen, " ,/") < n)
		return error_set(err, ERR_USAGE, "display_listen '%s' is not ADDRESS:PORT, as 127.0.0.1:5900 or [::1]:5900", listen);
	if (parse_u64("display_listen: port", colon + 1, 1, 65535, &p, err) < 0)
		return -1;
	*host = xstrndup(listen, n);
	*port = (unsigned)p;
	return 0;
}

static void add_secret(struct strv *argv, const struct qemu_display *d)
{
	_cleanup_free_ char *file = qemu_quote(d->secret);

	strv_add(argv, "-object");
	strv_addf(argv, "secret,id=display-password,file=%s", file);
}

static int add_spice(struct strv *argv, const struct qemu_display *d, struct error **err)
{
	_cleanup_free_ char *host = NULL, *quoted = d->socket ? qemu_quote(d->socket) : NULL, *tls = d->tls ? qemu_quote(d->tls) : NULL;
	unsigned port;

	if (!d->listen) {
		strv_add(argv, "-spice");
		strv_addf(argv, "unix=on,addr=%s,disable-ticketing=on", quoted);
		return 0;
	}
	if (qemu_split_listen(d->listen, &host, &port, err) < 0)
		return -1;
	add_secret(argv, d);
	strv_add(argv, "-spice");
	if (tls)
		strv_addf(argv, "addr=%s,tls-port=%u,x509-dir=%s,password-secret=display-password", host, port, tls);
	else
		strv_addf(argv, "addr=%s,port=%u,password-secret=display-password", host, port);
	return 0;
}

static int add_vnc(struct strv *argv, const struct qemu_display *d, struct error **err)
{
	_cleanup_free_ char *host = NULL, *quoted = d->socket ? qemu_quote(d->socket) : NULL, *tls = d->tls ? qemu_quote(d->tls) : NULL;
	unsigned port;

	if (!d->listen) {
		strv_add(argv, "-vnc");
		strv_addf(argv, "unix:%s", quoted);
		return 0;
	}
	if (qemu_split_listen(d->listen, &host, &port, err) < 0)
		return -1;
	if (port < VNC_BASE)
		return error_set(err, ERR_USAGE, "display_listen '%s': VNC's ports begin at %d", d->listen, VNC_BASE);
	add_secret(argv, d);
	if (tls) {
		strv_add(argv, "-object");
		strv_addf(argv, "tls-creds-x509,id=display-tls,endpoint=server,verify-peer=off,dir=%s", tls);
	}
	strv_add(argv, "-vnc");
	strv_addf(argv, strchr(host, ':') ? "[%s]:%u,password-secret=display-password%s" : "%s:%u,password-secret=display-password%s", host,
		port - VNC_BASE, tls ? ",tls-creds=display-tls" : "");
	return 0;
}

static void add_video(struct strv *argv, struct qemu_buses *b, const char *arch, const char *video)
{
	static const char *const devices[][2] = { { "std", "VGA" }, { "qxl", "qxl-vga" }, { "virtio", "virtio-vga" },
		{ "cirrus", "cirrus-vga" }, { "vmware", "vmware-svga" } };
	bool x86 = !strcmp(arch, "x86_64") || !strcmp(arch, "i386");

	for (size_t i = 0; i < ARRAY_SIZE(devices); i++)
		if (!strcmp(video, devices[i][0]))
			add2(argv, "-device", x86 || strcmp(video, "virtio") ? devices[i][1] : "virtio-gpu-pci");
	if (!strcmp(video, "none"))
		return;
	/* A pointer that knows where it is needs no grabbing; other boards than PCs have no keyboard of their own. */
	qemu_need_usb(argv, b);
	add2(argv, "-device", "usb-tablet,bus=usb.0");
	if (!x86)
		add2(argv, "-device", "usb-kbd,bus=usb.0");
}

int qemu_add_display(struct strv *argv, struct qemu_buses *b, const char *arch, const struct qemu_display *d, struct error **err)
{
	bool spice = !strcmp(d->kind, "spice"), vnc = !strcmp(d->kind, "vnc");
	const char *layout = d->layout ? keys_layout_qemu(d->layout) : NULL;

	add2(argv, "-display", spice || vnc ? "none" : d->kind);
	if ((spice && add_spice(argv, d, err) < 0) || (vnc && add_vnc(argv, d, err) < 0))
		return -1;
	if (layout)
		add2(argv, "-k", layout);
	add_video(argv, b, arch, d->video);
	if (spice) {
		add2(argv, "-chardev", "spicevmc,id=vdagent,name=vdagent");
		add2(argv, "-device", "virtserialport,bus=agents.0,chardev=vdagent,name=com.redhat.spice.0");
	}
	return 0;
}
