/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Under emulation most of a module's loading time is work for tools that the tiny guest doesn't have: sorting the
 * unwinder's tables, checking type information and a signature, registering each function with ftrace. Without those
 * sections ext4 and its like load in less than half the time and the initramfs is a third smaller. The kernel takes a module
 * without a signature as long as it is not locked down, which a kernel started by QEMU is not.
 */
#include "base/cleanup.h"
#include "base/mem.h"
#include "image/kmod.h"

#include <elf.h>
#include <string.h>

static const char *const dropped[] = { ".BTF", ".orc_unwind", ".orc_unwind_ip", "__mcount_loc" };

/* Section headers, checked: contents lie within the file. NULL: not such a file. */
static Elf64_Shdr *read_sections(const struct buf *b, Elf64_Ehdr *eh)
{
	_cleanup_free_ Elf64_Shdr *sh = NULL;

	if (b->len < sizeof(*eh))
		return NULL;
	memcpy(eh, b->data, sizeof(*eh));
	if (memcmp(b->data, ELFMAG, SELFMAG) || b->data[EI_CLASS] != ELFCLASS64 || b->data[EI_DATA] != ELFDATA2LSB ||
		eh->e_type != ET_REL || eh->e_shentsize != sizeof(*sh) || eh->e_shstrndx >= eh->e_shnum ||
		eh->e_shoff > b->len || (b->len - eh->e_shoff) / sizeof(*sh) < eh->e_shnum)
		return NULL;
	sh = xcalloc(eh->e_shnum, sizeof(*sh));
	memcpy(sh, b->data + eh->e_shoff, eh->e_shnum * sizeof(*sh));
	for (unsigned i = 0; i < eh->e_shnum; i++)
		if (sh[i].sh_type != SHT_NOBITS && sh[i].sh_type != SHT_NULL &&
			(sh[i].sh_offset > b->len || sh[i].sh_size > b->len - sh[i].sh_offset || sh[i].sh_addralign > 4096 ||
				(sh[i].sh_addralign & (sh[i].sh_addralign - 1))))
			return NULL;
	return STEAL(sh);
}

static bool is_dropped(const struct buf *b, const Elf64_Shdr *names, const Elf64_Shdr *s)
{
	const char *p = b->data + names->sh_offset + s->sh_name;

	for (size_t i = 0; i < ARRAY_SIZE(dropped) && s->sh_name < names->sh_size; i++) {
		size_t n = strlen(dropped[i]) + 1;

		if (n <= names->sh_size - s->sh_name && !memcmp(p, dropped[i], n))
			return true;
	}
	return false;
}

/* Indexes stay, because symbols and relocations hold them: the section is left, empty and without a name. */
static void make_empty(Elf64_Shdr *s)
{
	*s = (Elf64_Shdr){ .sh_type = SHT_PROGBITS, .sh_addralign = 1 };
}

static void pad(struct buf *b, uint64_t align)
{
	while (align > 1 && b->len % align)
		buf_addc(b, '\0');
}

void kmod_strip(struct buf *data)
{
	_cleanup_free_ Elf64_Shdr *sh = NULL;
	_cleanup_buf_ struct buf out = BUF_INIT;
	_cleanup_free_ bool *drop = NULL;
	Elf64_Ehdr eh;

	sh = read_sections(data, &eh);
	if (!sh)
		return;
	drop = xcalloc(eh.e_shnum, sizeof(*drop));
	for (unsigned i = 1; i < eh.e_shnum; i++)
		drop[i] = is_dropped(data, &sh[eh.e_shstrndx], &sh[i]);
	for (unsigned i = 1; i < eh.e_shnum; i++)
		if (sh[i].sh_type == SHT_RELA && sh[i].sh_info < eh.e_shnum && drop[sh[i].sh_info])
			drop[i] = true;
	buf_add(&out, &eh, sizeof(eh));
	for (unsigned i = 1; i < eh.e_shnum; i++) {
		if (drop[i]) {
			make_empty(&sh[i]);
			sh[i].sh_offset = out.len;
		} else if (sh[i].sh_type != SHT_NULL) {
			uint64_t from = sh[i].sh_offset;

			pad(&out, sh[i].sh_addralign);
			sh[i].sh_offset = out.len;
			if (sh[i].sh_type != SHT_NOBITS)
				buf_add(&out, data->data + from, sh[i].sh_size);
		}
	}
	pad(&out, 8);
	eh.e_shoff = out.len;
	buf_add(&out, sh, eh.e_shnum * sizeof(*sh));
	memcpy(out.data, &eh, sizeof(eh));
	buf_free(data);
	*data = out;
	out = (struct buf)BUF_INIT;
}
