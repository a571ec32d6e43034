/* SPDX-License-Identifier: Apache-2.0 */
/* What a machine shows: its screen as a picture. */
#include "base/cleanup.h"
#include "base/file.h"
#include "internal.h"

#include <jansson.h>
#include <string.h>

#define QMP_MS 20000
#define PICTURE_MAX (256u << 20)

/* QEMU writes only into the machine's own folder; the file goes to its place from there. */
static int take(struct machine *m, const char *temp, struct error **err)
{
	json_t *args = json_pack("{s:s, s:s}", "filename", temp, "format", "png");
	_cleanup_free_ char *text = args ? json_dumps(args, 0) : NULL, *ret = NULL;

	json_decref(args);
	if (!text)
		return error_set(err, ERR_USAGE, "%s: a path that is not UTF-8 cannot be given to QEMU", temp);
	ret = machine_qmp(m, "screendump", text, QMP_MS, err);
	if (!ret && strstr((*err)->msg, "no console to take")) {
		error_clear(err);
		error_set(err, ERR_STATE, "machine %s: it has no screen", m->name);
		return error_hint(err, "give it one: croft vm set %s video=std; its serial console: croft vm log %s", m->name, m->name);
	}
	return ret ? 0 : -1;
}

int machine_screenshot(struct machine *m, const char *path, struct error **err)
{
	static const char signature[] = "\x89PNG\r\n\x1a\n"; /* PNG specification, 5.2 */
	_cleanup_free_ char *temp = machine_path(m, "run/screen.png");
	_cleanup_close_ int lock = machine_lock(m, err);
	_cleanup_error_ struct error *e = NULL;
	_cleanup_buf_ struct buf b = BUF_INIT;
	int rc;

	if (lock < 0)
		return -1;
	rc = take(m, temp, err);
	if (rc == 0)
		rc = file_read(temp, PICTURE_MAX, &b, err);
	file_unlink(temp, &e);
	if (rc == 0 && (b.len < 8 || memcmp(b.data, signature, 8)))
		rc = error_set(err, ERR_FAILED, "machine %s: QEMU has written no PNG picture", m->name);
	return rc < 0 ? -1 : file_write(path, b.data, b.len, 0644, err);
}
