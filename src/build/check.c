/* SPDX-License-Identifier: Apache-2.0 */
/* From a template's parts to a build that is known to be right as far as that can be known before it runs. */
#include "build/boot.h"
#include "build/build.h"

#include "base/cleanup.h"
#include "base/mem.h"
#include "base/path.h"
#include "base/units.h"

#include <string.h>

static int in_list(const struct conf *c, const char *key, const char *const *words, struct error **err)
{
	const char *v = conf_text(c, key), *near;
	size_t n = 0;

	while (words[n])
		n++;
	if (!v)
		return 0;
	for (size_t i = 0; i < n; i++)
		if (!strcmp(v, words[i]))
			return 0;
	near = nearest_name(v, words, n);
	val_error(conf_at(c, key), err, "%s: '%s' is not known", key, v);
	if (near)
		return error_hint(err, "did you mean '%s'?", near);
	{
		_cleanup_strv_ struct strv l = STRV_INIT;
		_cleanup_free_ char *all = NULL;

		strv_addv(&l, words);
		all = strv_join(&l, ", ");
		return error_hint(err, "known are %s", all);
	}
}

static int check_communicator(const struct conf *c, struct error **err)
{
	static const char *const known[] = { "ssh", "agent", "none", "", NULL };
	const char *v = conf_text(c, "communicator");

	if (v && !strcmp(v, "winrm"))
		return val_error(conf_at(c, "communicator"), err, "communicator: croft has no WinRM; Windows guests need an ssh server");
	return in_list(c, "communicator", known, err);
}

static bool uses_ssh(const struct conf *c)
{
	const char *v = conf_text(c, "communicator");

	return v && *v ? !strcmp(v, "ssh") : strcmp(c->c->type, "croft") != 0;
}

static int check_ssh(const struct conf *c, struct error **err)
{
	const char *key = conf_text(c, "ssh_private_key_file");

	if (!uses_ssh(c))
		return 0;
	if (!conf_given(c, "ssh_username"))
		return val_error(c->map, err, "%s: an ssh_username must be specified", c->c->type);
	if (key && *key && key[0] != '~')
		return conf_check_file(c, "ssh_private_key_file", key, err);
	return 0;
}

static int check_croft(const struct conf *c, struct error **err)
{
	static const char *const starts[] = { "image", "machine", "kernel", "disk_image" };
	static const char *const formats[] = { "qcow2", "raw", NULL };
	size_t n = 0;

	for (size_t i = 0; i < ARRAY_SIZE(starts); i++)
		n += conf_given(c, starts[i]);
	if (!n || (n > 1 && !(n == 2 && conf_given(c, "kernel") && conf_given(c, "disk_image")))) {
		val_error(c->map, err, "croft: %s of image, machine, kernel, disk_image must be given", n ? "only one" : "one");
		return error_hint(err, "\"image\": \"tiny\" starts from croft's small guest");
	}
	if (conf_given(c, "snapshot") && !conf_given(c, "machine"))
		return val_error(conf_at(c, "snapshot"), err, "snapshot: it is a machine's; 'machine' is missing");
	return in_list(c, "format", formats, err);
}

static int check_iso(const struct conf *c, struct error **err)
{
	if (conf_given(c, "iso_url") && conf_given(c, "iso_urls"))
		return val_error(conf_at(c, "iso_urls"), err, "only one of iso_url or iso_urls must be specified");
	if (!conf_given(c, "iso_url") && !conf_given(c, "iso_urls"))
		return val_error(c->map, err, "one of iso_url or iso_urls must be specified");
	if (!conf_given(c, "iso_checksum")) {
		val_error(c->map, err, "an iso_checksum must be specified");
		return error_hint(err, "\"sha256:...\", \"file:URL of SHA256SUMS\", or \"none\"");
	}
	if (conf_given(c, "http_directory") && conf_given(c, "http_content"))
		return val_error(conf_at(c, "http_content"), err, "only one of http_directory and http_content can be used");
	if (conf_given(c, "http_directory"))
		return conf_check_file(c, "http_directory", conf_text(c, "http_directory"), err);
	return 0;
}

static int check_qemu(const struct conf *c, struct error **err)
{
	static const char *const formats[] = { "qcow2", "raw", NULL }, *const vbox_formats[] = { "ovf", "ova", NULL };
	static const char *const buses[] = { "ide", "sata", "scsi", "virtio", "virtio-scsi", NULL };
	static const char *const accels[] = { "auto", "none", "kvm", "tcg", NULL };
	bool qemu = !strcmp(c->c->type, "qemu");

	if (check_iso(c, err) < 0 || boot_check(c, err) < 0 || in_list(c, "accelerator", accels, err) < 0)
		return -1;
	if (!qemu)
		return conf_given(c, "format") ? in_list(c, "format", vbox_formats, err) : 0;
	if (conf_given(c, "boot_command") && conf_bool(c, "disable_vnc"))
		return val_error(conf_at(c, "disable_vnc"), err, "disable_vnc: a boot_command is there to be typed");
	if (conf_bool(c, "use_backing_file") && (!conf_bool(c, "disk_image") || strcmp(conf_text(c, "format"), "qcow2")))
		return val_error(conf_at(c, "use_backing_file"), err, "use_backing_file: it needs disk_image and the format qcow2");
	return in_list(c, "format", formats, err) < 0 ? -1 : in_list(c, "disk_interface", buses, err);
}

static int check_root(const struct conf *c, struct error **err)
{
	int n = conf_given(c, "release") + conf_given(c, "root") + conf_given(c, "image");

	if (n != 1) {
		val_error(c->map, err, "root: %s of release, root, image must be given", n ? "only one" : "one");
		return error_hint(err, "\"release\": \"bookworm\" is Debian's by mmdebstrap, with \"packages\"");
	}
	if (!conf_given(c, "release") && conf_given(c, "packages"))
		return val_error(conf_at(c, "packages"), err, "packages: they come with a release; install into a root by a provisioner");
	return conf_given(c, "root") ? conf_check_file(c, "root", conf_text(c, "root"), err) : 0;
}

static int check_docker(const struct conf *c, struct error **err)
{
	int n = conf_bool(c, "commit") + conf_bool(c, "discard") + conf_given(c, "export_path");

	if (n == 1)
		return 0;
	return val_error(c->map, err, "docker: %s of commit, discard, export_path must be given", n ? "only one" : "one");
}

int build_check_builder(const struct conf *c, struct error **err)
{
	if (!strcmp(c->c->type, "root"))
		return check_root(c, err);
	if (!strcmp(c->c->type, "docker"))
		return check_docker(c, err);
	if (check_communicator(c, err) < 0 || check_ssh(c, err) < 0)
		return -1;
	if (!strcmp(c->c->type, "null")) {
		if (uses_ssh(c) && !conf_given(c, "ssh_host"))
			return val_error(c->map, err, "null: an ssh_host must be specified");
		return 0;
	}
	return !strcmp(c->c->type, "croft") ? check_croft(c, err) : check_qemu(c, err);
}

/* Reads one part as far as that can be done now. */
static int check_part(struct build *b, const struct part *p, struct strv *warnings, struct error **err)
{
	_cleanup_val_ struct val *raw = build_raw(b, p);
	_cleanup_conf_ struct conf c = { 0 };
	const struct provisioner *prov = provisioner_of(p->c);
	struct funcs f;

	template_funcs(b->t, b->b, &f);
	f.post = p->c->kind == PART_POST;
	if (conf_read(p->c, raw, &f, warnings, &c, err) < 0)
		return -1;
	if (p->c->kind == PART_POST)
		return post_check(&c, err);
	return prov->check ? prov->check(&c, err) : 0;
}

static int check_parts(struct build *b, struct strv *warnings, struct error **err)
{
	const struct template *t = b->t;

	for (size_t i = 1; i < b->nsteps; i++)
		if (check_part(b, b->steps[i].p, warnings, err) < 0)
			return -1;
	if (t->cleanup && check_part(b, t->cleanup, warnings, err) < 0)
		return -1;
	for (size_t c = 0; c < t->nchains; c++)
		for (size_t i = 0; i < t->chains[c].len; i++)
			if (part_applies(&t->chains[c].v[i], b->name) && check_part(b, &t->chains[c].v[i], warnings, err) < 0)
				return -1;
	return 0;
}

static void list_steps(struct build *b)
{
	const struct template *t = b->t;

	b->steps = xcalloc(t->nprovisioners + 1, sizeof(*b->steps));
	b->nsteps = 1;
	for (size_t i = 0; i < t->nprovisioners; i++) {
		if (!part_applies(&t->provisioners[i], b->name))
			continue;
		b->steps[b->nsteps] = (struct step){ .p = &t->provisioners[i], .number = b->nsteps };
		b->nsteps++;
	}
}

static void set_fact(struct build *b, const char *name, const char *value)
{
	map_set(&b->facts, name, xstrdup(value));
}

int build_prepare(struct build *b, const struct template *t, const struct part *builder, const struct build_opts *o, struct ui *ui,
	struct strv *warnings, struct error **err)
{
	struct funcs f;
	const char *out;

	*b = (struct build){ .t = t, .b = builder, .name = builder->name, .o = o, .ui = ui };
	b->facts.free_value = free;
	b->box = box_ops_of(builder->c);
	template_funcs(t, builder, &f);
	list_steps(b);
	if (conf_read(builder->c, builder->raw, &f, warnings, &b->conf, err) < 0 || build_check_builder(&b->conf, err) < 0 ||
		check_parts(b, warnings, err) < 0)
		return -1;
	set_fact(b, "ID", "");
	set_fact(b, "PackerHTTPIP", "");
	set_fact(b, "PackerHTTPPort", "");
	set_fact(b, "PackerHTTPAddr", "");
	if (!strcmp(builder->c->type, "null"))
		return 0;
	out = conf_text(&b->conf, "output_directory");
	{
		_cleanup_free_ char *standard = xasprintf("output-%s", b->name);

		b->out = path_absolute(out ? out : standard);
	}
	b->vm_name = conf_given(&b->conf, "vm_name") ? xstrdup(conf_text(&b->conf, "vm_name")) : xasprintf("packer-%s", b->name);
	if (strchr(b->vm_name, '/') || !*b->vm_name)
		return val_error(conf_at(&b->conf, "vm_name"), err, "vm_name: '%s' is not the name of a file", b->vm_name);
	return 0;
}

void build_clear(struct build *b)
{
	if (b->box)
		b->box->close(b);
	comm_close(STEAL(b->comm));
	conf_clear(&b->conf);
	free(b->out);
	free(b->vm_name);
	free(b->steps);
	map_free(&b->facts);
}

bool build_chosen(const struct build_opts *o, const char *name)
{
	return !(o->only && o->only->len && !strv_has(o->only, name)) && !(o->except && strv_has(o->except, name));
}

int build_validate(const struct template *t, const struct build_opts *o, struct strv *warnings, struct error **err)
{
	struct ui ui = { 0 };

	for (size_t i = 0; i < t->nbuilders; i++) {
		struct build b;
		int rc;

		if (!build_chosen(o, t->builders[i].name))
			continue;
		rc = build_prepare(&b, t, &t->builders[i], o, &ui, warnings, err);
		build_clear(&b);
		if (rc < 0)
			return -1;
	}
	return 0;
}
