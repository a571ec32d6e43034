/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A container's image that is an OCI layout (image-spec, image-layout.md) and a Docker archive at once: docker load, podman, skopeo and
 * umoci read it. One layer, whose header in the archive is filled in when its hash is known.
 */
#include "base/buf.h"
#include "base/cleanup.h"
#include "base/mem.h"
#include "image/export/changes.h"
#include "image/export/squeeze.h"
#include "image/export/trees.h"
#include "image/export/ustar.h"

#include <ctype.h>
#include <errno.h>
#include <jansson.h>
#include <string.h>
#include <sys/utsname.h>
#include <time.h>
#include <unistd.h>

#define MANIFEST_TYPE "application/vnd.oci.image.manifest.v1+json"
#define CONFIG_TYPE "application/vnd.oci.image.config.v1+json"
#define LAYER_TYPE "application/vnd.oci.image.layer.v1.tar+gzip"
#define PATH_ENV "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"

struct blob {
	char sha[SHA_HEX];
	uint64_t size;
};
struct oci {
	struct export_job *j;
	char *repository, *tag;
	struct sink out;
	struct squeeze *q;
	struct sha *plain; /* of the layer's tar */
	uint64_t done;
	time_t newest;
	char diff_id[SHA_HEX];
	struct blob layer, config, manifest;
};

/* "REPOSITORY[:TAG]" as Docker takes it; the colon of a registry's port is none of a tag. */
static int set_reference(struct oci *c, struct error **err)
{
	const char *name = c->j->name, *slash = strrchr(name, '/'), *colon = strchr(slash ? slash : name, ':');
	size_t n = colon ? (size_t)(colon - name) : strlen(name);

	c->repository = xstrndup(name, n);
	c->tag = xstrdup(colon ? colon + 1 : "latest");
	if (!c->j->o->name)
		for (char *p = c->repository; *p; p++)
			*p = isalnum((unsigned char)*p) || strchr("._-", *p) ? (char)tolower((unsigned char)*p) : '-';
	if (!*c->repository || !isalnum((unsigned char)*c->repository) ||
		c->repository[strspn(c->repository, "abcdefghijklmnopqrstuvwxyz0123456789._-/:")] || !*c->tag || strlen(c->tag) > 127 ||
		c->tag[strspn(c->tag, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789._-")]) {
		error_set(err, ERR_USAGE, "'%s' is not a name that containers' images have", name);
		return error_hint(err, "give one with --name: small letters, digits, . _ - /, then :TAG");
	}
	return 0;
}

/* ---- the layer ---- */

static int layer_out(void *arg, const void *p, size_t n, struct error **err)
{
	struct oci *c = arg;

	sha_raw(c->plain, p, n);
	progress_update(c->j->p, c->done += n);
	return squeeze_write(c->q, p, n, err);
}

static int put_layer(struct oci *c, struct root *r, struct error **err)
{
	struct root_filter filter = export_filter(c->j, c->j->o->as_is);
	uint64_t at = c->out.pos;
	int rc;

	if (lseek(c->out.fd, (off_t)(at + USTAR_BLOCK), SEEK_SET) < 0)
		return error_errno(err, errno, "%s", c->out.what);
	c->plain = sha_new();
	c->out.sha = sha_new();
	c->q = squeeze_new("gz", c->j->o->level, &c->out);
	rc = root_tar(r, &filter, layer_out, c, &c->newest, err);
	if (rc == 0)
		rc = squeeze_end(c->q, err);
	squeeze_free(c->q);
	c->layer.size = c->out.pos - at;
	sha_end(c->plain, c->diff_id);
	sha_end(STEAL(c->out.sha), c->layer.sha);
	/* The room of the header was passed over, not written. */
	c->out.pos += USTAR_BLOCK;
	return rc < 0 ? -1 : sink_pad(&c->out, USTAR_BLOCK, err);
}

static int put_layer_header(struct oci *c, struct error **err)
{
	_cleanup_free_ char *name = xasprintf("blobs/sha256/%s", c->layer.sha);
	char header[USTAR_BLOCK];

	ustar_header(header, name, c->layer.size, export_epoch());
	if (lseek(c->out.fd, 0, SEEK_SET) < 0)
		return error_errno(err, errno, "%s", c->out.what);
	return sink_write(&(struct sink){ .fd = c->out.fd, .what = c->out.what }, header, sizeof(header), err);
}

/* ---- the rest ---- */

static int put_text(struct oci *c, const char *name, const char *text, struct error **err)
{
	char header[USTAR_BLOCK];

	ustar_header(header, name, strlen(text), export_epoch());
	if (sink_write(&c->out, header, sizeof(header), err) < 0 || sink_write(&c->out, text, strlen(text), err) < 0)
		return -1;
	return sink_pad(&c->out, USTAR_BLOCK, err);
}

/* Takes j. As a blob when that is not NULL, else under the name. */
static int put_json(struct oci *c, const char *name, json_t *j, struct blob *b, struct error **err)
{
	_cleanup_free_ char *text = json_dumps(j, JSON_COMPACT | JSON_SORT_KEYS), *path = NULL;

	json_decref(j);
	if (!text)
		return error_set(err, ERR_USAGE, "a name or setting is not UTF-8");
	if (b) {
		sha_bytes(text, strlen(text), b->sha);
		b->size = strlen(text);
		path = xasprintf("blobs/sha256/%s", b->sha);
		name = path;
	}
	return put_text(c, name, text, err);
}

static json_t *digest(const char *sha)
{
	return json_sprintf("sha256:%s", sha);
}

static json_t *descriptor(const char *type, const struct blob *b)
{
	return json_pack("{s:s, s:o, s:I}", "mediaType", type, "digest", digest(b->sha), "size", (json_int_t)b->size);
}

static json_t *strings(const struct strv *l)
{
	json_t *a = json_array();

	for (size_t i = 0; l && i < l->len; i++)
		json_array_append_new(a, json_string(l->v[i]));
	return a;
}

static const char *go_arch(const char *arch)
{
	static const char *const names[][2] = { { "x86_64", "amd64" }, { "aarch64", "arm64" }, { "armv7l", "arm" }, { "i686", "386" } };

	for (size_t i = 0; i < ARRAY_SIZE(names); i++)
		if (!strcmp(names[i][0], arch))
			return names[i][1];
	return arch;
}

static json_t *config_json(struct oci *c, struct error **err)
{
	const struct image_export_opts *o = c->j->o;
	_cleanup_strv_ struct strv env = STRV_INIT;
	char created[32];
	struct utsname host;
	json_t *settings;
	struct tm tm;
	bool path = false;

	uname(&host);
	/* Of the newest file, so that it says something and is the same each time. */
	strftime(created, sizeof(created), "%Y-%m-%dT%H:%M:%SZ", gmtime_r(&c->newest, &tm));
	for (size_t i = 0; o->env && i < o->env->len; i++)
		path |= !strncmp(o->env->v[i], "PATH=", 5);
	if (!path)
		strv_add(&env, PATH_ENV);
	for (size_t i = 0; o->env && i < o->env->len; i++)
		strv_add(&env, o->env->v[i]);
	settings = json_pack("{s:o, s:o}", "Env", strings(&env), "Cmd", o->cmd && o->cmd->len ? strings(o->cmd) : json_pack("[s]", "/bin/sh"));
	if (changes_apply(settings, o->changes, err) < 0) {
		json_decref(settings);
		return NULL;
	}
	return json_pack("{s:s, s:s, s:s, s:o, s:{s:s, s:[o]}, s:[{s:s, s:s}]}", "created", created, "architecture",
		go_arch(c->j->from->img ? c->j->from->img->arch : host.machine), "os", "linux", "config", settings, "rootfs", "type", "layers", "diff_ids",
		digest(c->diff_id), "history", "created", created, "created_by", "croft image export");
}

static int put_rest(struct oci *c, struct error **err)
{
	_cleanup_free_ char *full = xasprintf("%s:%s", c->repository, c->tag), *config = NULL, *layer = NULL;
	json_t *entry, *settings = config_json(c, err);

	if (!settings || put_json(c, NULL, settings, &c->config, err) < 0 ||
		put_json(c, NULL, json_pack("{s:i, s:s, s:o, s:[o]}", "schemaVersion", 2, "mediaType", MANIFEST_TYPE, "config",
				descriptor(CONFIG_TYPE, &c->config), "layers", descriptor(LAYER_TYPE, &c->layer)), &c->manifest, err) < 0)
		return -1;
	entry = descriptor(MANIFEST_TYPE, &c->manifest);
	json_object_set_new(entry, "annotations", json_pack("{s:s, s:s}", "org.opencontainers.image.ref.name", c->tag,
							  "io.containerd.image.name", full));
	config = xasprintf("blobs/sha256/%s", c->config.sha);
	layer = xasprintf("blobs/sha256/%s", c->layer.sha);
	if (put_text(c, "oci-layout", "{\"imageLayoutVersion\":\"1.0.0\"}", err) < 0 ||
		put_json(c, "index.json", json_pack("{s:i, s:[o]}", "schemaVersion", 2, "manifests", entry), NULL, err) < 0)
		return -1;
	return put_json(c, "manifest.json", json_pack("[{s:s, s:[s], s:[s]}]", "Config", config, "RepoTags", full, "Layers", layer), NULL, err);
}

static int check(struct export_job *j, struct error **err)
{
	struct oci c = { .j = j };
	json_t *trial = json_pack("{s:[]}", "Env");
	int rc = set_reference(&c, err);

	if (rc == 0)
		rc = changes_apply(trial, j->o->changes, err);
	json_decref(trial);
	free(c.repository);
	free(c.tag);
	return rc < 0 ? -1 : export_check_root(j, err);
}

static int run(struct export_job *j, struct error **err)
{
	static const char end[2 * USTAR_BLOCK];
	_cleanup_root_ struct root *r = root_open(j->from, err);
	struct oci c = { .j = j, .out = { .fd = j->out->fd, .what = j->out->path } };
	int rc = r ? set_reference(&c, err) : -1;

	if (rc == 0)
		rc = put_layer(&c, r, err);
	if (rc == 0)
		rc = put_rest(&c, err);
	if (rc == 0)
		rc = sink_write(&c.out, end, sizeof(end), err);
	if (rc == 0)
		rc = put_layer_header(&c, err);
	free(c.repository);
	free(c.tag);
	return rc;
}

const struct export_format export_oci = {
	.name = "oci",
	.suffixes = (const char *const[]){ ".oci.tar", ".docker.tar", ".oci", NULL },
	.about = "a container's image, OCI layout and Docker archive at once",
	.root = true,
	.run = run,
	.check = check,
};
