/* SPDX-License-Identifier: Apache-2.0 */
/* Files to the guest and back, by scp's rules. */
#include "build/build.h"
#include "build/quote.h"

#include "base/cleanup.h"
#include "base/file.h"
#include "base/mem.h"
#include "base/path.h"

#include <string.h>

static const char *const sources[] = { "source", "sources", "content", NULL };

static void sources_of(const struct conf *c, struct strv *ret)
{
	if (conf_given(c, "source"))
		strv_add(ret, conf_text(c, "source"));
	conf_list(c, "sources", ret);
}

static bool is_download(const struct conf *c)
{
	return !strcmp(conf_text(c, "direction"), "download");
}

static void inputs(const struct conf *c, struct strv *ret)
{
	if (!is_download(c))
		sources_of(c, ret);
}

static int check(const struct conf *c, struct error **err)
{
	_cleanup_strv_ struct strv list = STRV_INIT;
	const char *direction = conf_text(c, "direction");

	if (strcmp(direction, "upload") && strcmp(direction, "download"))
		return val_error(conf_at(c, "direction"), err, "file: direction must be one of: download, upload");
	if (conf_one_of(c, sources, err) < 0)
		return -1;
	if (is_download(c) && conf_given(c, "content"))
		return val_error(conf_at(c, "content"), err, "file: content can only be uploaded");
	inputs(c, &list);
	for (size_t i = 0; i < list.len && !conf_bool(c, "generated"); i++)
		if (conf_check_file(c, conf_given(c, "source") ? "source" : "sources", list.v[i], err) < 0)
			return -1;
	return 0;
}

static bool ends_in_slash(const char *s)
{
	return *s && s[strlen(s) - 1] == '/';
}

/* Last part of a path, without slashes behind it; new. */
static char *last_part(const char *path)
{
	size_t n = strlen(path);

	while (n > 1 && path[n - 1] == '/')
		n--;
	{
		_cleanup_free_ char *s = xstrndup(path, n);

		return xstrdup(path_basename(s));
	}
}

static int upload(struct build *b, const char *src, const char *dst, struct error **err)
{
	_cleanup_free_ char *base = last_part(src), *in = xasprintf("%s%s%s", dst, ends_in_slash(dst) ? "" : "/", base);

	ui_message(b->ui, b->name, "Uploading %s => %s", src, dst);
	if (!file_is_dir(src))
		return b->comm->ops->upload(b->comm, src, ends_in_slash(dst) || comm_is_dir(b->comm, dst) ? in : dst, -1, err);
	if (ends_in_slash(src))
		return b->comm->ops->upload_tree(b->comm, src, dst, err);
	if (!comm_is_dir(b->comm, dst)) {
		error_set(err, ERR_NOT_FOUND, "%s: a folder goes into a folder of the guest, and this is none", dst);
		return error_hint(err, "make it first, or write the source as '%s/' when its contents are meant", src);
	}
	return b->comm->ops->upload_tree(b->comm, src, in, err);
}

static int download(struct build *b, const char *src, const char *dst, struct error **err)
{
	_cleanup_free_ char *base = last_part(src), *in = path_join(dst, base), *parent = path_dirname(ends_in_slash(dst) ? in : dst);

	ui_message(b->ui, b->name, "Downloading %s => %s", src, dst);
	if (file_mkdirs(parent, 0777, err) < 0)
		return -1;
	return b->comm->ops->download(b->comm, src, ends_in_slash(dst) || file_is_dir(dst) ? in : dst, err);
}

static int upload_content(struct build *b, const struct conf *c, const char *dst, struct error **err)
{
	const char *text = conf_text(c, "content");
	_cleanup_free_ char *local = build_temp_file(".txt", text, strlen(text), 0644, err);
	int rc;

	if (!local)
		return -1;
	ui_message(b->ui, b->name, "Uploading content => %s", dst);
	rc = b->comm->ops->upload(b->comm, local, dst, 0644, err);
	unlink(local);
	return rc;
}

static int run(struct build *b, const struct conf *c, const struct funcs *f, struct error **err)
{
	const char *dst = conf_text(c, "destination");
	_cleanup_strv_ struct strv list = STRV_INIT;

	ui_say(b->ui, b->name, "%s %s", is_download(c) ? "Downloading to" : "Uploading to", dst);
	if (conf_given(c, "content"))
		return upload_content(b, c, dst, err);
	sources_of(c, &list);
	for (size_t i = 0; i < list.len; i++)
		if ((is_download(c) ? download : upload)(b, list.v[i], dst, err) < 0)
			return error_wrap(err, "%s", list.v[i]);
	return 0;
}

const struct provisioner prov_file = { .type = "file", .check = check, .inputs = inputs, .run = run };
