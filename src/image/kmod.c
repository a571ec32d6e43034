/* SPDX-License-Identifier: Apache-2.0 */
#include "image/kmod.h"
#include "base/cleanup.h"
#include "base/mem.h"
#include "base/path.h"

#include <elf.h>
#include <string.h>

static void kmod_free(void *p)
{
	struct kmod *m = p;

	free(m->name);
	free(m->path);
	strv_free(&m->depends);
	strv_free(&m->aliases);
	buf_free(&m->data);
	free(m);
}

void kmods_init(struct kmods *k)
{
	*k = (struct kmods){ .all = { .free_value = kmod_free } };
}

void kmods_free(struct kmods *k)
{
	map_free(&k->all);
	map_free(&k->builtin);
}

/* "kernel/fs/ext4/ext4.ko" -> "ext4"; the kernel takes - and _ for the same. */
static char *module_name(const char *path)
{
	const char *base = path_basename(path);
	char *name = xstrndup(base, strcspn(base, "."));

	for (char *p = name; *p; p++)
		if (*p == '-')
			*p = '_';
	return name;
}

static void add_names(struct strv *to, const char *list, const char *seps)
{
	_cleanup_strv_ struct strv words = STRV_INIT;

	strv_split(&words, list, seps);
	for (size_t i = 0; i < words.len; i++)
		strv_take(to, module_name(words.v[i]));
}

/* Words behind "pre:" of a softdep, up to "post:". */
static void add_softdep(struct strv *to, const char *text)
{
	const char *pre = strstr(text, "pre:"), *post;
	_cleanup_free_ char *list = NULL;

	if (!pre)
		return;
	post = strstr(pre, "post:");
	list = xstrndup(pre + 4, post ? (size_t)(post - pre - 4) : strlen(pre + 4));
	add_names(to, list, " ");
}

static void read_modinfo(struct kmod *m, const char *p, size_t n)
{
	while (n) {
		size_t len = strnlen(p, n);
		_cleanup_free_ char *s = xstrndup(p, len);

		if (!strncmp(s, "depends=", 8))
			add_names(&m->depends, s + 8, ",");
		else if (!strncmp(s, "softdep=", 8))
			add_softdep(&m->depends, s + 8);
		else if (!strncmp(s, "alias=", 6))
			strv_add(&m->aliases, s + 6);
		len += len < n;
		p += len;
		n -= len;
	}
}

/* Finds section .modinfo; every offset is checked against the file's size. */
static int find_modinfo(struct kmod *m, struct error **err)
{
	const char *d = m->data.data;
	size_t size = m->data.len;
	Elf64_Shdr names;
	Elf64_Ehdr eh;

	if (size < sizeof(eh))
		goto bad;
	memcpy(&eh, d, sizeof(eh));
	if (memcmp(d, ELFMAG, SELFMAG) || d[EI_CLASS] != ELFCLASS64 ||
		eh.e_shstrndx >= eh.e_shnum || eh.e_shoff > size ||
		(size - eh.e_shoff) / sizeof(Elf64_Shdr) < eh.e_shnum)
		goto bad;
	memcpy(&names, d + eh.e_shoff + eh.e_shstrndx * sizeof(names), sizeof(names));
	if (names.sh_offset > size || names.sh_size > size - names.sh_offset)
		goto bad;
	for (unsigned i = 0; i < eh.e_shnum; i++) {
		Elf64_Shdr sh;

		memcpy(&sh, d + eh.e_shoff + i * sizeof(sh), sizeof(sh));
		if (sh.sh_name >= names.sh_size || strncmp(d + names.sh_offset + sh.sh_name,
							   ".modinfo", names.sh_size - sh.sh_name))
			continue;
		if (sh.sh_offset > size || sh.sh_size > size - sh.sh_offset)
			goto bad;
		read_modinfo(m, d + sh.sh_offset, sh.sh_size);
		return 0;
	}
bad:
	return error_set(err, ERR_FAILED, "%s: not a kernel module", m->path);
}

int kmods_add(struct kmods *k, const char *path, struct buf *data, struct error **err)
{
	struct kmod *m = xcalloc(1, sizeof(*m));

	m->path = xstrdup(path);
	m->name = module_name(path);
	m->data = *data;
	*data = (struct buf)BUF_INIT;
	kmod_strip(&m->data);
	map_set(&k->all, m->name, m);
	return find_modinfo(m, err);
}

void kmods_builtin(struct kmods *k, const char *text)
{
	_cleanup_strv_ struct strv lines = STRV_INIT;

	strv_split(&lines, text, "\n");
	for (size_t i = 0; i < lines.len; i++) {
		_cleanup_free_ char *name = module_name(lines.v[i]);

		map_set(&k->builtin, name, k);
	}
}

static int order(
	struct kmods *k, const char *name, unsigned depth, struct strv *to, struct error **err)
{
	struct kmod *m = map_get(&k->all, name);

	if (strv_has(to, name) || map_has(&k->builtin, name))
		return 0;
	if (!m || depth > 32)
		return error_set(err, ERR_FAILED, "kernel module %s: %s", name,
			m ? "its dependencies form a cycle" : "not in the package");
	for (size_t i = 0; i < m->depends.len; i++)
		/* softdeps may name what this kernel doesn't have (crypto backends of other
		 * machines). */
		if (map_has(&k->all, m->depends.v[i]) &&
			order(k, m->depends.v[i], depth + 1, to, err) < 0)
			return -1;
	strv_add(to, name);
	return 0;
}

int kmods_order(struct kmods *k, const char *name, struct strv *to, struct error **err)
{
	return order(k, name, 0, to, err);
}

void kmods_install(
	struct kmods *k, const struct strv *names, const char *release, struct initramfs *i)
{
	_cleanup_buf_ struct buf dep = BUF_INIT, alias = BUF_INIT;
	_cleanup_free_ char *dir = xasprintf("lib/modules/%s", release);
	_cleanup_free_ char *dep_path = path_join(dir, "modules.dep"),
			    *alias_path = path_join(dir, "modules.alias");

	for (size_t n = 0; n < names->len; n++) {
		struct kmod *m = map_get(&k->all, names->v[n]);
		_cleanup_strv_ struct strv needs = STRV_INIT;
		_cleanup_error_ struct error *e = NULL;
		_cleanup_free_ char *path = path_join(dir, m->path);

		initramfs_file(i, path, m->data.data, m->data.len, 0644);
		buf_addf(&dep, "%s:", m->path);
		kmods_order(k, m->name, &needs, &e);
		/* modprobe loads from the end of the line to its beginning. */
		for (size_t d = needs.len ? needs.len - 1 : 0; d-- > 0;)
			buf_addf(&dep, " %s", ((struct kmod *)map_get(&k->all, needs.v[d]))->path);
		buf_addc(&dep, '\n');
		for (size_t a = 0; a < m->aliases.len; a++)
			buf_addf(&alias, "alias %s %s\n", m->aliases.v[a], m->name);
	}
	initramfs_file(i, dep_path, buf_str(&dep), dep.len, 0644);
	initramfs_file(i, alias_path, buf_str(&alias), alias.len, 0644);
}
