/* SPDX-License-Identifier: Apache-2.0 */
#include "base/cleanup.h"
#include "base/file.h"
#include "base/mem.h"
#include "base/path.h"
#include "image/export/intake.h"
#include "image/image.h"
#include "image/internal.h"

#include <errno.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/utsname.h>
#include <unistd.h>

int image_import(const char *file, const char *name, const char *arch, bool force, struct error **err)
{
	_cleanup_free_ char *own = NULL, *dir = NULL, *abs = path_absolute(file);
	_cleanup_image_ struct image *img = xcalloc(1, sizeof(*img));
	_cleanup_close_ int lock = -1;
	struct utsname host;
	struct stat st;

	if (stat(abs, &st) < 0 || access(abs, R_OK) < 0)
		return error_errno(err, errno, "%s", file);
	if (!S_ISREG(st.st_mode) && !S_ISDIR(st.st_mode))
		return error_set(err, ERR_USAGE, "%s: is not a file", file);
	if (!name) {
		const char *base = path_basename(abs);

		name = own = xstrndup(base, strcspn(base, "."));
	}
	if (name_check("image", name, err) < 0)
		return error_hint(err, "give the image another name with --name");
	{
		_cleanup_free_ char *images = path_data("images"),
				    *target = path_join(images, name);

		if (file_exists(target) && !force) {
			error_set(err, ERR_STATE, "image %s: the name is taken", name);
			return error_hint(
				err, "give another with --name, or replace it with --force");
		}
	}
	dir = image_begin(name, &lock, err);
	if (!dir)
		return -1;
	img->name = xstrdup(name);
	uname(&host);
	img->arch = xstrdup(arch ? arch : host.machine);
	img->os = xstrdup("");
	img->firmware = xstrdup("any");
	img->source = xstrdup(abs);
	if (intake(abs, dir, img, err) < 0 || image_hash(img, err) < 0 || image_commit(dir, img, NULL, err) < 0) {
		image_abort(dir);
		return -1;
	}
	return 0;
}
