/* SPDX-License-Identifier: Apache-2.0 */
#include "image/fetch.h"
#include "base/cleanup.h"
#include "base/file.h"
#include "base/intr.h"
#include "base/mem.h"
#include "base/progress.h"

#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdint.h>

#include <curl/curl.h>

struct transfer {
	struct buf *b;
	int fd; /* when b is NULL */
	const char *path;
	struct error *write_error;
	size_t max;
	bool too_large;
	struct progress *progress;
};

static size_t on_data(char *p, size_t size, size_t n, void *arg)
{
	struct transfer *t = arg;

	if (!t->b)
		return file_write_all(t->fd, p, size * n, t->path, &t->write_error) == 0 ? size * n : 0;
	if (size * n > t->max - t->b->len) {
		t->too_large = true;
		return 0;
	}
	buf_add(t->b, p, size * n);
	return size * n;
}

static int on_progress(
	void *arg, curl_off_t total, curl_off_t now, curl_off_t up_total, curl_off_t up_now)
{
	struct transfer *t = arg;

	if (t->progress)
		progress_update(t->progress, (uint64_t)now);
	return intr_signal != 0; /* libcurl asks at least once a second */
}

static int run(CURL *c, const char *url, struct transfer *t, struct error **err)
{
	char text[CURL_ERROR_SIZE] = "";
	long status = 0;
	CURLcode rc;

	curl_easy_setopt(c, CURLOPT_URL, url);
	curl_easy_setopt(c, CURLOPT_PROTOCOLS_STR, "http,https,file");
	curl_easy_setopt(c, CURLOPT_REDIR_PROTOCOLS_STR, "http,https");
	curl_easy_setopt(c, CURLOPT_FOLLOWLOCATION, 1L);
	curl_easy_setopt(c, CURLOPT_MAXREDIRS, 5L);
	curl_easy_setopt(c, CURLOPT_FAILONERROR, 1L);
	curl_easy_setopt(c, CURLOPT_NOSIGNAL, 1L);
	curl_easy_setopt(c, CURLOPT_CONNECTTIMEOUT, 20L);
	/* Patience by progress: a transfer may take its time as long as something moves. */
	curl_easy_setopt(c, CURLOPT_LOW_SPEED_LIMIT, 1L);
	curl_easy_setopt(c, CURLOPT_LOW_SPEED_TIME, 60L);
	curl_easy_setopt(c, CURLOPT_USERAGENT, "croft/" CROFT_VERSION);
	curl_easy_setopt(c, CURLOPT_ERRORBUFFER, text);
	curl_easy_setopt(c, CURLOPT_WRITEFUNCTION, on_data);
	curl_easy_setopt(c, CURLOPT_WRITEDATA, t);
	curl_easy_setopt(c, CURLOPT_NOPROGRESS, 0L);
	curl_easy_setopt(c, CURLOPT_XFERINFOFUNCTION, on_progress);
	curl_easy_setopt(c, CURLOPT_XFERINFODATA, t);
	rc = curl_easy_perform(c);
	if (rc == CURLE_OK)
		return 0;
	if (t->write_error)
		return error_move(err, &t->write_error);
	if (intr_check(err) < 0)
		return error_wrap(err, "%s", url);
	if (t->too_large)
		return error_set(err, ERR_FAILED, "%s: larger than the %zu bytes it should have",
			url, t->max);
	curl_easy_getinfo(c, CURLINFO_RESPONSE_CODE, &status);
	if (status >= 400)
		return error_set(err, status == 404 ? ERR_NOT_FOUND : ERR_FAILED,
			"%s: the server answered %ld", url, status);
	error_set(err, rc == CURLE_OPERATION_TIMEDOUT ? ERR_TIMEOUT : ERR_FAILED, "%s: %s", url,
		*text ? text : curl_easy_strerror(rc));
	if (rc == CURLE_COULDNT_RESOLVE_HOST || rc == CURLE_COULDNT_CONNECT ||
		rc == CURLE_COULDNT_RESOLVE_PROXY || rc == CURLE_OPERATION_TIMEDOUT)
		error_hint(err,
			"check the network, or name a mirror that is reached with --mirror URL; "
			"--offline uses what was fetched before");
	return -1;
}

static int fetch_into(struct transfer *t, const char *url, const char *label, struct error **err)
{
	CURL *c;
	int rc;

	curl_global_init(CURL_GLOBAL_DEFAULT);
	c = curl_easy_init();
	if (!c)
		return error_set(err, ERR_FAILED, "%s: cannot start libcurl", url);
	if (label)
		t->progress = progress_start(label, t->max == SIZE_MAX ? 0 : t->max, 1);
	t->max += t->b ? t->b->len : 0;
	rc = run(c, url, t, err);
	curl_easy_cleanup(c);
	progress_end(t->progress, rc == 0 ? "fetched" : "not fetched");
	return rc;
}

int fetch(const char *url, const char *label, size_t max, struct buf *b, struct error **err)
{
	struct transfer t = { .b = b, .max = max };

	return fetch_into(&t, url, label, err);
}

int fetch_file(const char *url, const char *label, const char *path, struct error **err)
{
	_cleanup_free_ char *temp = xasprintf("%s.part", path);
	_cleanup_close_ int fd = open(temp, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
	struct transfer t = { .fd = fd, .path = temp, .max = SIZE_MAX };
	int rc;

	if (fd < 0)
		return error_errno(err, errno, "%s", temp);
	rc = fetch_into(&t, url, label, err);
	if (rc == 0)
		rc = file_fsync(fd, temp, err);
	if (rc == 0)
		rc = file_rename(temp, path, err);
	if (rc < 0)
		unlink(temp);
	return rc;
}
