/* SPDX-License-Identifier: Apache-2.0 */
#include "vbox.h"

#include "base/cleanup.h"
#include "base/mem.h"
#include "base/units.h"

#include <string.h>

const char *vbox_nic(const struct conf *c)
{
	static const char *const types[][2] = { { "82540EM", "e1000" }, { "82543GC", "e1000" }, { "82545EM", "e1000" }, { "virtio", "virtio" } };
	const char *given = conf_text(c, "nic_type");

	for (size_t i = 0; i < ARRAY_SIZE(types); i++)
		if (!strcmp(given, types[i][0]))
			return types[i][1];
	/* the PCnets: a card of the same age that every system has a driver for */
	return "rtl8139";
}

static void set_text(char **field, const char *value)
{
	free(*field);
	*field = xstrdup(value);
}

static int set_number(const char *what, const char *value, uint64_t *ret, struct error **err)
{
	return parse_u64(what, value, 1, 1 << 24, ret, err);
}

/* Options of modifyvm that change nothing that QEMU's machine would not have anyway. */
static const char *const harmless[] = { "--vram", "--rtcuseutc", "--audio", "--audioout", "--audioin", "--audiocontroller", "--usb", "--usbehci",
	"--usbxhci", "--graphicscontroller", "--clipboard", "--draganddrop", "--boot1", "--boot2", "--boot3", "--boot4", "--pae", "--ioapic", "--acpi",
	"--hwvirtex", "--nestedpaging", "--largepages", "--vtxvpid", "--paravirtprovider", "--natdnshostresolver1", "--natdnsproxy1", "--accelerate3d",
	"--accelerate2dvideo", "--mouse", "--keyboard", "--cableconnected1", "--nic1", "--description", "--vrde", "--chipset", "--hpet", "--x2apic",
	"--biosbootmenu", "--cpuhotplug", "--groups", "--nested-hw-virt", "--monitorcount" };

static bool is_harmless(const char *word)
{
	for (size_t i = 0; i < ARRAY_SIZE(harmless); i++)
		if (!strcmp(word, harmless[i]))
			return true;
	return false;
}

static int modify(struct box *v, const char *option, const char *value, bool *known, struct error **err)
{
	uint64_t n;

	*known = true;
	if (!strcmp(option, "--memory")) {
		if (set_number(option, value, &n, err) < 0)
			return -1;
		v->def.memory = n << 20;
	} else if (!strcmp(option, "--cpus")) {
		if (set_number(option, value, &n, err) < 0)
			return -1;
		v->def.sockets = v->def.threads = 1;
		v->def.cores = (unsigned)n;
	} else if (!strcmp(option, "--firmware")) {
		set_text(&v->def.firmware, !strncmp(value, "efi", 3) ? "uefi" : "bios");
	} else if (!strcmp(option, "--nictype1") && v->def.nnics) {
		set_text(&v->def.nics[0].model, !strcmp(value, "virtio") ? "virtio" : !strncmp(value, "825", 3) ? "e1000" : "rtl8139");
	} else {
		*known = is_harmless(option);
	}
	return 0;
}

/* One row, ["modifyvm", "{{.Name}}", "--memory", "1024", ...]. */
static int row(struct build *b, struct box *v, const struct val *r, struct error **err)
{
	_cleanup_free_ char *place = val_place(r);
	const char *verb = r->len ? r->items[0]->text : "";

	if (strcmp(verb, "modifyvm")) {
		ui_message(b->ui, b->name, "%svboxmanage %s has no counterpart here and is left out", place, verb);
		return 0;
	}
	for (size_t i = 2; i + 1 < r->len; i += 2) {
		bool known;

		if (modify(v, r->items[i]->text, r->items[i + 1]->text, &known, err) < 0)
			return error_wrap(err, "%svboxmanage", place);
		if (!known)
			ui_message(b->ui, b->name, "%svboxmanage modifyvm %s has no counterpart here and is left out", place, r->items[i]->text);
	}
	return 0;
}

int vbox_apply(struct build *b, struct box *v, struct error **err)
{
	const struct val *rows = conf_val(&b->conf, "vboxmanage");

	ui_message(b->ui, b->name, "built on QEMU with the hardware that VirtualBox would have given: %s disk, %s network card",
		conf_text(&b->conf, "hard_drive_interface"), v->def.nnics ? v->def.nics[0].model : "no");
	if (strcmp(conf_text(&b->conf, "guest_additions_mode"), "disable"))
		ui_message(b->ui, b->name, "VirtualBox's guest additions are not there; scripts that look for them find none");
	if (conf_given(&b->conf, "vboxmanage_post"))
		ui_message(b->ui, b->name, "vboxmanage_post has no counterpart here and is left out");
	for (size_t i = 0; rows && i < rows->len; i++)
		if (row(b, v, rows->items[i], err) < 0)
			return -1;
	return 0;
}
