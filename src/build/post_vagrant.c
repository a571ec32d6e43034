/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Vagrant boxes (developer.hashicorp.com/vagrant/docs/boxes/format): a tar with metadata.json, a Vagrantfile and what the provider wants: for libvirt
 * the disk as box.img, for VirtualBox the appliance as box.ovf with its disk.
 */
#include "post.h"

#include "base/cleanup.h"
#include "base/file.h"
#include "base/intr.h"
#include "base/mem.h"
#include "base/path.h"
#include "base/proc.h"

#include <archive.h>
#include <archive_entry.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <jansson.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define IMG_MS 600000

struct box_file {
	struct archive *a;
	const char *path;
};

static bool ends_in(const char *s, const char *end)
{
	size_t n = strlen(s), m = strlen(end);

	return n >= m && !strcmp(s + n - m, end);
}

static int failed(const struct box_file *f, struct error **err)
{
	return error_set(err, ERR_FAILED, "%s: %s", f->path, archive_error_string(f->a));
}

static int add_header(struct box_file *f, const char *name, int64_t size, struct error **err)
{
	struct archive_entry *e = archive_entry_new();
	int rc;

	archive_entry_set_pathname(e, name);
	archive_entry_set_filetype(e, AE_IFREG);
	archive_entry_set_perm(e, 0644);
	archive_entry_set_size(e, size);
	rc = archive_write_header(f->a, e) == ARCHIVE_OK ? 0 : failed(f, err);
	archive_entry_free(e);
	return rc;
}

static int add_text(struct box_file *f, const char *name, const char *text, struct error **err)
{
	size_t n = strlen(text);

	return add_header(f, name, (int64_t)n, err) < 0 ? -1 : archive_write_data(f->a, text, n) < 0 ? failed(f, err) : 0;
}

static int add_file(struct box_file *f, const char *name, const char *path, struct error **err)
{
	_cleanup_close_ int fd = open(path, O_RDONLY | O_CLOEXEC);
	_cleanup_free_ char *block = xmalloc(1 << 20);
	struct stat st;
	ssize_t n;

	if (fd < 0 || fstat(fd, &st) < 0)
		return error_errno(err, errno, "%s", path);
	if (add_header(f, name, st.st_size, err) < 0)
		return -1;
	while ((n = read(fd, block, 1 << 20)) > 0)
		if (intr_check(err) < 0 || (archive_write_data(f->a, block, (size_t)n) < n && failed(f, err) < 0))
			return -1;
	return n < 0 ? error_errno(err, errno, "%s", path) : 0;
}

/* ---- what is in it ---- */

static bool is_vbox(const struct build *b, const struct conf *c)
{
	const char *given = conf_text(c, "provider_override");

	return given && *given ? !strcmp(given, "virtualbox") : !strcmp(b->b->c->type, "virtualbox-iso");
}

static const char *provider(const struct build *b, const struct conf *c)
{
	return is_vbox(b, c) ? "virtualbox" : "libvirt";
}

/* vagrant-libvirt is told the size in whole GiB. */
static int virtual_gib(const char *disk, uint64_t *ret, struct error **err)
{
	const char *argv[] = { "qemu-img", "info", "-U", "--output=json", "--", disk, NULL };
	_cleanup_buf_ struct buf out = BUF_INIT;
	json_t *j;

	if (proc_run(argv, IMG_MS, &out, NULL, err) < 0)
		return -1;
	j = json_loads(buf_str(&out), 0, NULL);
	*ret = ((uint64_t)json_integer_value(json_object_get(j, "virtual-size")) + (1 << 30) - 1) >> 30;
	if (j && strcmp(json_string_value(json_object_get(j, "format")) ? json_string_value(json_object_get(j, "format")) : "", "qcow2"))
		error_set(err, ERR_USAGE, "%s: a box holds a qcow2; leave the builder's \"format\" at that", disk);
	json_decref(j);
	return *err ? -1 : 0;
}

static const char *find(const struct artifact *in, const char *end)
{
	for (size_t i = 0; i < in->files.len; i++)
		if (ends_in(in->files.v[i], end))
			return in->files.v[i];
	return NULL;
}

static int add_libvirt(struct box_file *f, const struct artifact *in, struct error **err)
{
	const char *disk = in->files.len ? in->files.v[0] : NULL;
	_cleanup_free_ char *text = NULL;
	uint64_t gib;

	if (!disk)
		return error_set(err, ERR_USAGE, "there is no disk in what it gets");
	if (virtual_gib(disk, &gib, err) < 0)
		return -1;
	text = xasprintf("{\"architecture\":\"amd64\",\"format\":\"qcow2\",\"provider\":\"libvirt\",\"virtual_size\":%" PRIu64 "}\n", gib);
	return add_text(f, "metadata.json", text, err) < 0 ? -1 : add_file(f, "box.img", disk, err);
}

static int add_vbox(struct box_file *f, const struct artifact *in, struct error **err)
{
	const char *ovf = find(in, ".ovf");

	if (!ovf) {
		error_set(err, ERR_USAGE, "there is no OVF in what it gets");
		return error_hint(err, "leave the builder's \"format\" at ovf; a box of the builder qemu is for libvirt");
	}
	if (add_text(f, "metadata.json", "{\"architecture\":\"amd64\",\"provider\":\"virtualbox\"}\n", err) < 0 || add_file(f, "box.ovf", ovf, err) < 0)
		return -1;
	for (size_t i = 0; i < in->files.len; i++)
		if (ends_in(in->files.v[i], ".vmdk") && add_file(f, path_basename(in->files.v[i]), in->files.v[i], err) < 0)
			return -1;
	return 0;
}

/* What the provider must be told, then what the template's author adds, which may say otherwise. */
static int add_vagrantfile(struct box_file *f, const struct build *b, const struct conf *c, struct error **err)
{
	const char *own = conf_text(c, "vagrantfile_template");
	_cleanup_buf_ struct buf text = BUF_INIT;

	if (is_vbox(b, c))
		buf_adds(&text, "Vagrant.configure(\"2\") do |config|\n  config.vm.base_mac = \"080027D14C66\"\nend\n");
	else
		buf_adds(&text, "Vagrant.configure(\"2\") do |config|\n  config.vm.provider :libvirt do |domain|\n    domain.driver = \"kvm\"\n  end\nend\n");
	if (own && *own && file_read(own, 1 << 20, &text, err) < 0)
		return -1;
	return add_text(f, "Vagrantfile", buf_str(&text), err);
}

static int add_all(struct box_file *f, const struct build *b, const struct conf *c, const struct artifact *in, struct error **err)
{
	_cleanup_strv_ struct strv include = STRV_INIT;

	if ((is_vbox(b, c) ? add_vbox(f, in, err) : add_libvirt(f, in, err)) < 0 || add_vagrantfile(f, b, c, err) < 0)
		return -1;
	conf_list(c, "include", &include);
	for (size_t i = 0; i < include.len; i++)
		if (add_file(f, path_basename(include.v[i]), include.v[i], err) < 0)
			return -1;
	return archive_write_close(f->a) == ARCHIVE_OK ? 0 : failed(f, err);
}

/* ---- the post-processor ---- */

int check_vagrant(const struct conf *c, struct error **err)
{
	const char *given = conf_text(c, "provider_override"), *file = conf_text(c, "vagrantfile_template");
	_cleanup_strv_ struct strv include = STRV_INIT;
	long long level = conf_number(c, "compression_level");

	if (given && *given && strcmp(given, "virtualbox") && strcmp(given, "libvirt"))
		return val_error(conf_at(c, "provider_override"), err, "vagrant: provider_override: croft makes boxes for libvirt and virtualbox");
	if (level < -1 || level > 9)
		return val_error(conf_at(c, "compression_level"), err, "vagrant: compression_level %lld is none of -1 to 9", level);
	conf_list(c, "include", &include);
	for (size_t i = 0; i < include.len; i++)
		if (conf_check_file(c, "include", include.v[i], err) < 0)
			return -1;
	return file && *file && !conf_bool(c, "vagrantfile_template_generated") ? conf_check_file(c, "vagrantfile_template", file, err) : 0;
}

int run_vagrant(struct build *b, const struct conf *c, const struct funcs *f, const struct artifact *in, struct artifact *out, struct error **err)
{
	_cleanup_map_ struct map fields = { .free_value = free };
	_cleanup_free_ char *text = NULL, *path = NULL, *dir = NULL, *temp = NULL, *level = xasprintf("%lld", conf_number(c, "compression_level"));
	struct box_file box = { .a = archive_write_new() };
	int rc = -1;

	map_set(&fields, "BuildName", xstrdup(b->name));
	map_set(&fields, "Provider", xstrdup(provider(b, c)));
	map_set(&fields, "ArtifactId", xstrdup(in->id ? in->id : ""));
	if (conf_late(c, "output", f, &fields, &text, err) == 0) {
		path = path_absolute(text);
		dir = path_dirname(path);
		box.path = temp = xasprintf("%s.new", path);
		ui_say(b->ui, b->name, "Creating a Vagrant box for %s: %s", provider(b, c), path);
		archive_write_set_format_pax_restricted(box.a);
		archive_write_add_filter_gzip(box.a);
		if (conf_number(c, "compression_level") >= 0)
			archive_write_set_filter_option(box.a, NULL, "compression-level", level);
		/* no time in it: the same disk makes the same box */
		archive_write_set_filter_option(box.a, "gzip", "timestamp", NULL);
		if (file_mkdirs(dir, 0755, err) == 0)
			rc = archive_write_open_filename(box.a, temp) == ARCHIVE_OK ? add_all(&box, b, c, in, err) : failed(&box, err);
	}
	archive_write_free(box.a);
	if (rc == 0)
		rc = file_rename(temp, path, err);
	if (rc < 0 && temp)
		unlink(temp);
	*out = (struct artifact){ .builder_id = xstrdup("mitchellh.post-processor.vagrant"), .id = xstrdup(provider(b, c)) };
	if (rc == 0)
		strv_add(&out->files, path);
	return rc;
}
