/* SPDX-License-Identifier: Apache-2.0 */
/* What a template for VirtualBox ends with: an OVF and its disk in a folder, or an OVA. */
#include "vbox.h"
#include "image/export/export.h"

#include "base/cleanup.h"
#include "base/file.h"
#include "base/mem.h"
#include "base/path.h"

#include <archive.h>
#include <archive_entry.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#define MEMORY_STEP ((uint64_t)4 << 20) /* an OVF's memory is a multiple of it */

static const char *bus(const struct conf *c)
{
	const char *given = conf_text(c, "hard_drive_interface");

	return !strcmp(given, "ide") || !strcmp(given, "scsi") ? given : "sata";
}

static int take_member(struct archive *ar, struct archive_entry *e, const char *dir, struct strv *files, struct error **err)
{
	_cleanup_free_ char *to = path_join(dir, path_basename(archive_entry_pathname(e)));
	_cleanup_close_ int fd = open(to, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);

	if (fd < 0)
		return error_errno(err, errno, "%s", to);
	if (archive_read_data_into_fd(ar, fd) != ARCHIVE_OK)
		return error_set(err, ERR_FAILED, "%s: %s", to, archive_error_string(ar));
	strv_add(files, to);
	return file_fsync(fd, to, err);
}

/* The members of an OVA as files: what VirtualBox calls the format "ovf". */
static int unpack(const char *ova, const char *dir, struct strv *files, struct error **err)
{
	struct archive *ar = archive_read_new();
	struct archive_entry *e;
	int got = ARCHIVE_OK, rc = 0;

	archive_read_support_format_tar(ar);
	if (archive_read_open_filename(ar, ova, 65536) != ARCHIVE_OK)
		rc = error_set(err, ERR_FAILED, "%s: %s", ova, archive_error_string(ar));
	while (rc == 0 && (got = archive_read_next_header(ar, &e)) == ARCHIVE_OK)
		rc = take_member(ar, e, dir, files, err);
	if (rc == 0 && got != ARCHIVE_EOF)
		rc = error_set(err, ERR_FAILED, "%s: %s", ova, archive_error_string(ar));
	archive_read_free(ar);
	return rc;
}

int vbox_export(struct build *b, const char *disk, struct strv *files, struct error **err)
{
	const char *given = conf_text(&b->conf, "output_filename"), *name = given && *given ? given : b->vm_name;
	const char *format = conf_given(&b->conf, "format") ? conf_text(&b->conf, "format") : "ovf";
	const struct machine_def *def = &b->vm->def;
	unsigned cpus = (def->sockets ? def->sockets : 1) * (def->cores ? def->cores : 1) * (def->threads ? def->threads : 1);
	struct image_export_opts o = { .format = "ova", .name = name, .cpus = cpus, .memory = def->memory / MEMORY_STEP * MEMORY_STEP, .bus = bus(&b->conf),
		.firmware = def->firmware && !strcmp(def->firmware, "uefi") ? "uefi" : "bios", .force = true };
	_cleanup_free_ char *ova = xasprintf("%s/%s.ova", b->out, name);
	int rc;

	ui_say(b->ui, b->name, "Exporting %s/%s.%s...", b->out, name, format);
	if (image_export(disk, ova, &o, err) < 0)
		return -1;
	if (!strcmp(format, "ova")) {
		strv_add(files, ova);
		return 0;
	}
	rc = unpack(ova, b->out, files, err);
	unlink(ova);
	return rc;
}
