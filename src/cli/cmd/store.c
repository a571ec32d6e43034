/* SPDX-License-Identifier: Apache-2.0 */
/* croft store ... */
#include "cli/cli.h"
#include "cli/cmd/cmd.h"
#include "cli/cmd/store.h"

#include "base/cleanup.h"
#include "base/mem.h"
#include "base/path.h"
#include "base/progress.h"
#include "base/file.h"
#include "base/units.h"
#include "store/store.h"

#include <inttypes.h>
#include <jansson.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>

char *store_cmd_path(const struct cmd_args *a)
{
	const char *given = arg_str(a, "store");

	return given ? path_absolute(given) : path_data("store");
}

struct store *store_cmd_open(const char *path, bool make, const char *chunk, struct error **err)
{
	_cleanup_free_ char *header = path_join(path, "header.json");
	uint64_t avg = 0;

	if (!strncmp(path, "ssh:", 4) || !strncmp(path, "http://", 7) || !strncmp(path, "https://", 8)) {
		error_set(err, ERR_USAGE, "store %s: is on another computer; only `croft store copy` goes there", path);
		return NULL;
	}
	if (chunk && parse_size("--chunk", chunk, &avg, err) < 0)
		return NULL;
	if (avg > UINT32_MAX)
		avg = UINT32_MAX;
	if (make && !file_exists(header) && store_create(path, (uint32_t)avg, err) < 0)
		return NULL;
	return store_open(path, err);
}

/* --store, or the stores of the settings. */
static void store_cmd_dirs(const struct cmd_args *a, struct strv *ret)
{
	if (arg_str(a, "store"))
		strv_take(ret, store_cmd_path(a));
	else
		store_dirs(ret);
}

static struct store *open_to_write(const struct cmd_args *a, struct error **err)
{
	_cleanup_strv_ struct strv dirs = STRV_INIT;
	const char *chunk = arg_str(a, "chunk");
	uint64_t avg = 0;

	if (chunk && parse_size("--chunk", chunk, &avg, err) < 0)
		return NULL;
	store_cmd_dirs(a, &dirs);
	return store_open_writable(&dirs, avg > UINT32_MAX ? UINT32_MAX : (uint32_t)avg, err);
}

static struct store *open_with(const struct cmd_args *a, const char *name, struct error **err)
{
	_cleanup_strv_ struct strv dirs = STRV_INIT;

	store_cmd_dirs(a, &dirs);
	return store_open_with(&dirs, name, err);
}

/* For what is about one store: --store, or the first of the settings. */
static struct store *open_first(const struct cmd_args *a, struct error **err)
{
	_cleanup_strv_ struct strv dirs = STRV_INIT;

	store_cmd_dirs(a, &dirs);
	return store_open(dirs.v[0], err);
}

static void advance(void *arg, uint64_t done)
{
	progress_update(arg, done);
}

int store_cmd_print(json_t *j, struct error **err)
{
	_cleanup_free_ char *text = j ? json_dumps(j, 0) : NULL;

	json_decref(j);
	return text ? print_json(text, err) : error_set(err, ERR_FAILED, "the answer is not UTF-8");
}

static int put_run(const struct cmd_args *a, struct error **err)
{
	_cleanup_store_ struct store *s = open_to_write(a, err);
	const char *name = arg_words(a)->v[0], *path = arg_words(a)->v[1];
	struct store_put_opts o = { .message = arg_str(a, "message"), .replace = arg_flag(a, "replace"), .progress = advance };
	struct store_put_result r;
	char stored[16];
	int rc;

	if (!s)
		return -1;
	o.arg = progress_start(name, 0, 1);
	rc = file_is_dir(path) ? store_put_tree(s, name, path, &o, &r, err) : store_put(s, name, path, &o, &r, err);
	if (rc == 0)
		progress_end(o.arg, "stored, %s new", format_size(r.stored, stored));
	else
		progress_end(o.arg, "failed");
	if (rc < 0)
		return -1;
	return store_cmd_print(json_pack("{s:s s:s s:I s:I s:I s:I s:I}", "name", name, "object", r.object, "size",
		(json_int_t)r.size, "holes", (json_int_t)r.holes, "chunks", (json_int_t)r.chunks, "new", (json_int_t)r.fresh, "stored",
		(json_int_t)r.stored), err);
}

static int get_run(const struct cmd_args *a, struct error **err)
{
	const char *name = arg_words(a)->v[0], *path = arg_words(a)->v[1];
	_cleanup_store_ struct store *s = open_with(a, name, err);
	struct store_get_opts o = { .update = arg_flag(a, "update"), .sync = arg_flag(a, "sync"), .progress = advance };
	struct store_tree_result r;
	int rc;

	if (!s)
		return -1;
	o.arg = progress_start(name, 0, 1);
	rc = store_is_tree(s, name) ? store_get_tree(s, name, path, &o, &r, err) : store_get(s, name, path, &o, err);
	progress_end(o.arg, rc == 0 ? "written" : "failed");
	return rc;
}

static void time_text(int64_t at, char ret[32])
{
	time_t t = (time_t)at;
	struct tm tm;

	*ret = '\0';
	if (gmtime_r(&t, &tm))
		strftime(ret, 32, "%Y-%m-%dT%H:%M:%SZ", &tm);
}

static void list_row(struct table *t, const struct store_ref *r, const char *dir)
{
	char size[24], stored[24], when[32];

	snprintf(size, sizeof(size), "%" PRIu64, r->size);
	snprintf(stored, sizeof(stored), "%" PRIu64, r->stored);
	if (cli_format == FORMAT_TABLE) {
		format_size(r->size, size);
		format_size(r->stored, stored);
	}
	time_text(r->time, when);
	table_row(t, (const char *const[]){ r->name, r->set ? "set" : "file", size, stored, when, r->message, dir });
}

static int list_one(struct table *t, const char *dir, struct error **err)
{
	_cleanup_store_ struct store *s = store_open(dir, err);
	struct store_ref *refs;
	size_t n;

	if (!s || store_list(s, &refs, &n, err) < 0)
		return -1;
	for (size_t i = 0; i < n; i++) {
		list_row(t, &refs[i], dir);
		store_ref_free(&refs[i]);
	}
	free(refs);
	return 0;
}

static int list_run(const struct cmd_args *a, struct error **err)
{
	static const char *const keys[] = { "name", "kind", "size#", "stored#", "time", "message", "store", NULL };
	static const char *const titles[] = { "NAME", "KIND", "SIZE", "STORED", "TIME", "MESSAGE", "STORE", NULL };
	_cleanup_strv_ struct strv dirs = STRV_INIT;
	struct table *t = table_new(keys, titles);
	size_t there = 0;
	int rc = 0;

	store_cmd_dirs(a, &dirs);
	for (size_t i = 0; i < dirs.len && rc == 0; i++) {
		_cleanup_free_ char *header = path_join(dirs.v[i], "header.json");

		if (!file_exists(header) && (there || i + 1 < dirs.len))
			continue; /* one of several that nobody has made yet */
		rc = list_one(t, dirs.v[i], err);
		there++;
	}
	table_print(t);
	return rc;
}

static void mode_text(uint32_t mode, char ret[11])
{
	static const char kinds[] = "?pc?d?b?-?l?s???", bits[] = "rwxrwxrwx";

	ret[0] = kinds[mode >> 12 & 15];
	for (int i = 0; i < 9; i++)
		ret[1 + i] = mode >> (8 - i) & 1 ? bits[i] : '-';
	if (mode & S_ISUID)
		ret[3] = mode & 0100 ? 's' : 'S';
	if (mode & S_ISGID)
		ret[6] = mode & 010 ? 's' : 'S';
	if (mode & S_ISVTX)
		ret[9] = mode & 1 ? 't' : 'T';
	ret[10] = '\0';
}

static int file_row(void *arg, const struct store_file *f)
{
	char mode[11], owner[24], bytes[24], when[32];

	mode_text(f->mode, mode);
	snprintf(owner, sizeof(owner), "%u:%u", f->uid, f->gid);
	if (cli_format == FORMAT_TABLE)
		format_size(f->bytes, bytes);
	else
		snprintf(bytes, sizeof(bytes), "%" PRIu64, f->bytes);
	time_text(f->mtime, when);
	table_row(arg, (const char *const[]){ mode, owner, bytes, when, f->path, f->link });
	return 0;
}

/* Of a folder: its files. */
static int show_files(struct store *s, const char *name, struct error **err)
{
	static const char *const keys[] = { "mode", "owner", "size#", "time", "path", "link", NULL };
	static const char *const titles[] = { "MODE", "OWNER", "SIZE", "TIME", "PATH", "LINK", NULL };
	struct table *t = table_new(keys, titles);
	int rc = store_tree_list(s, name, file_row, t, err);

	table_print(t);
	return rc;
}

static json_t *parts_json(const struct store_set *set)
{
	json_t *list = json_array();

	for (size_t i = 0; i < set->n; i++)
		json_array_append_new(list, json_pack("{s:s s:I s:s s:s?}", "name", set->parts[i].name, "size",
			(json_int_t)set->parts[i].size, "object", set->parts[i].object, "info", set->parts[i].info));
	return list;
}

static int show_run(const struct cmd_args *a, struct error **err)
{
	const char *name = arg_words(a)->v[0];
	_cleanup_store_ struct store *s = open_with(a, name, err);
	_cleanup_store_ref_ struct store_ref r = { 0 };
	_cleanup_store_set_ struct store_set set = { 0 };
	json_t *j;

	if (!s)
		return -1;
	if (arg_flag(a, "files"))
		return show_files(s, name, err);
	if (store_show(s, name, &r, err) < 0 || (r.set && store_parts(s, name, &set, err) < 0))
		return -1;
	j = json_pack("{s:s s:s s:I s:I s:I s:s?}", "name", r.name, "object", r.object, "size", (json_int_t)r.size, "stored",
		(json_int_t)r.stored, "time", (json_int_t)r.time, "message", r.message);
	if (r.set && j)
		json_object_set_new(j, "parts", parts_json(&set));
	return store_cmd_print(j, err);
}

static int remove_run(const struct cmd_args *a, struct error **err)
{
	for (size_t i = 0; i < arg_words(a)->len; i++) {
		_cleanup_store_ struct store *s = open_with(a, arg_words(a)->v[i], err);

		if (!s || store_remove(s, arg_words(a)->v[i], err) < 0)
			return -1;
	}
	return 0;
}

static void say(void *arg, const char *line)
{
	fprintf(stderr, "croft: %s\n", line);
}

static int verify_run(const struct cmd_args *a, struct error **err)
{
	const char *from = arg_str(a, "repair-from");
	_cleanup_store_ struct store *s = open_first(a, err);
	_cleanup_store_ struct store *other = s && from ? store_cmd_open(from, false, NULL, err) : NULL;
	struct store_verify_opts o = { .deep = arg_flag(a, "deep"), .say = say, .repair_from = other };
	struct store_verify_result r;

	if (!s || (from && !other) || store_verify(s, &o, &r, err) < 0)
		return -1;
	if (store_cmd_print(json_pack("{s:I s:I s:I s:I s:I s:I}", "records", (json_int_t)r.records, "bytes", (json_int_t)r.bytes,
			"damaged", (json_int_t)r.bad, "damaged_names", (json_int_t)r.bad_names, "mended", (json_int_t)r.mended, "lost",
			(json_int_t)r.lost), err) < 0)
		return -1;
	return r.bad || r.bad_names || r.lost ? 1 : 0;
}

static int gc_run(const struct cmd_args *a, struct error **err)
{
	_cleanup_store_ struct store *s = open_first(a, err);
	struct store_gc_result r;

	if (!s || store_gc(s, &r, err) < 0)
		return -1;
	return store_cmd_print(json_pack("{s:I s:I s:I s:I}", "chunks", (json_int_t)r.chunks, "in_use", (json_int_t)r.live, "before",
		(json_int_t)r.before, "after", (json_int_t)r.after), err);
}

static int stats_run(const struct cmd_args *a, struct error **err)
{
	_cleanup_store_ struct store *s = open_first(a, err);
	struct store_stats r;

	if (!s || store_stats(s, &r, err) < 0)
		return -1;
	return store_cmd_print(json_pack("{s:I s:I s:I s:I s:I s:I s:I}", "names", (json_int_t)r.names, "named_bytes",
		(json_int_t)r.named, "chunks", (json_int_t)r.chunks, "chunk_bytes", (json_int_t)r.raw, "stored_bytes",
		(json_int_t)r.stored, "packs", (json_int_t)r.packs, "indexes", (json_int_t)r.indexes), err);
}

#define OPT_STORE { 0, "store", OPT_STRING, "DIR", "The store; default: store in croft's data directory", "file" }
#define OPT_REPLACE { 0, "replace", OPT_FLAG, NULL, "The name may exist already", NULL }
static const struct opt store_opts[] = { OPT_STORE, OPT_END };
static const struct opt show_opts[] = {
	OPT_STORE,
	{ 0, "files", OPT_FLAG, NULL, "The files of a folder", NULL },
	OPT_END,
};
static const struct opt verify_opts[] = {
	OPT_STORE,
	{ 0, "deep", OPT_FLAG, NULL, "Also unpack everything and compute the hash of each chunk", NULL },
	{ 0, "repair-from", OPT_STRING, "STORE", "Replace what is damaged or missing by what this store has", "file" },
	OPT_END,
};
static const struct opt put_opts[] = {
	OPT_STORE,
	OPT_REPLACE,
	{ 'm', "message", OPT_STRING, "TEXT", "Keep this text with the name", NULL },
	{ 0, "chunk", OPT_STRING, "SIZE", "Average chunk, 4K to 256K, when the store is made; default 64K", NULL },
	OPT_END,
};
static const struct opt get_opts[] = {
	OPT_STORE,
	{ 0, "update", OPT_FLAG, NULL, "FILE exists: write only what differs", NULL },
	{ 0, "sync", OPT_FLAG, NULL, "Return only when FILE is on disk", NULL },
	OPT_END,
};

const struct command cmd_store_put = {
	.path = "store put", .args = "NAME FILE|FOLDER|-", .summary = "Store a file, disk or folder under a name",
	.help = "Only chunks that the store lacks are written. Holes and zeros take no space. A qcow2 file is read as the disk that it "
		"holds. A folder keeps modes, owners, times, links and extended attributes. The store is made when there is none.",
	.opts = put_opts, .min_words = 2, .max_words = 2, .complete = "file", .run = put_run,
	.examples = "  croft store put web-2024 disk.qcow2 -m 'before the upgrade'",
};
const struct command cmd_store_get = {
	.path = "store get", .args = "NAME[/PART] FILE|FOLDER|-", .summary = "Write what a name or an object hash stands for to a file or folder",
	.help = "Every chunk is checked before it is written. Disks are written raw, with holes. Folders are made anew.",
	.opts = get_opts, .min_words = 2, .max_words = 2, .complete = "file", .run = get_run,
};
const struct command cmd_store_list = {
	.path = "store list", .summary = "List the names in the store", .opts = store_opts, .run = list_run,
};
const struct command cmd_store_show = {
	.path = "store show", .args = "NAME", .summary = "Show what a name stands for: a file, or a set and its parts", .opts = show_opts, .min_words = 1,
	.max_words = 1, .run = show_run,
};
const struct command cmd_store_remove = {
	.path = "store remove", .args = "NAME...", .summary = "Remove names from the store",
	.help = "The space is freed by `croft store gc`.", .opts = store_opts, .min_words = 1, .max_words = -1, .run = remove_run,
};
const struct command cmd_store_verify = {
	.path = "store verify", .summary = "Read the whole store and report damage",
	.help = "Every byte is checked against its checksum. Status 1 when something is damaged; each damaged place and name is a line.",
	.opts = verify_opts, .run = verify_run,
	.examples = "  croft store verify --repair-from /mnt/usb/store",
};
const struct command cmd_store_gc = {
	.path = "store gc", .summary = "Free the space of what no name stands for",
	.help = "Waits for writers that are at work; later ones wait for it. Readers go on.", .opts = store_opts, .run = gc_run,
};
const struct command cmd_store_stats = {
	.path = "store stats", .summary = "Show how much the store holds", .opts = store_opts, .run = stats_run,
};
