/* SPDX-License-Identifier: Apache-2.0 */
#include "store/listing.h"
#include "store/internal.h"
#include "base/cleanup.h"
#include "base/file.h"
#include "base/log.h"
#include "base/path.h"

#include <errno.h>
#include <jansson.h>
#include <stdlib.h>
#include <sys/file.h>

static int add_names(struct store *s, json_t *j, struct error **err)
{
	struct store_ref *refs;
	size_t n;

	if (store_list(s, &refs, &n, err) < 0)
		return -1;
	for (size_t i = 0; i < n; i++) {
		json_array_append_new(j, ref_json(&refs[i]));
		store_ref_free(&refs[i]);
	}
	free(refs);
	return 0;
}

static int add_indexes(struct store *s, json_t *j, struct error **err)
{
	_cleanup_free_ char *dir = store_sub(s, "index");
	_cleanup_closedir_ DIR *d = opendir(dir);

	if (!d)
		return error_errno(err, errno, "%s", dir);
	for (struct dirent *e; (e = readdir(d));)
		if (strlen(e->d_name) == 20 && !strcmp(e->d_name + 16, ".idx"))
			json_array_append_new(j, json_string(e->d_name));
	return 0;
}

/* Names first: what they lead to is in indexes that were there before them. */
static int write_listing(struct store *s, const char *path, struct error **err)
{
	json_t *names = json_array(), *indexes = json_array(), *j;
	_cleanup_free_ char *text = NULL;
	int rc = add_names(s, names, err);

	if (rc == 0)
		rc = add_indexes(s, indexes, err);
	j = json_pack("{s:i, s:o, s:o}", "croft-store-listing", 1, "names", names, "indexes", indexes);
	text = j ? json_dumps(j, JSON_COMPACT) : NULL;
	json_decref(j);
	if (rc == 0 && !text)
		rc = error_set(err, ERR_FAILED, "%s: a name or message is not UTF-8", path);
	return rc == 0 ? file_writef(path, store_file_mode(s->path), err, "%s\n", text) : -1;
}

/* One at a time looks and writes: so the last one to write has seen everything. */
static int publish(struct store *s, struct error **err)
{
	_cleanup_free_ char *path = store_sub(s, LISTING), *lock = store_sub(s, "refs/.lock");
	_cleanup_close_ int fd = store_open_lock(lock, s->path, err);

	if (fd < 0)
		return -1;
	while (flock(fd, LOCK_EX) < 0)
		if (errno != EINTR)
			return error_errno(err, errno, "%s: cannot lock", lock);
	return write_listing(s, path, err);
}

int store_publish(struct store *s, struct error **err)
{
	return publish(s, err);
}

void listing_refresh(struct store *s)
{
	_cleanup_free_ char *path = store_sub(s, LISTING);
	_cleanup_error_ struct error *why = NULL;

	if (file_exists(path) && publish(s, &why) < 0)
		log_warn("%s: is not up to date: %s", path, why->msg);
}
