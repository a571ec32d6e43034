/* SPDX-License-Identifier: Apache-2.0 */
#include "image/vmlinux.h"
#include "base/cleanup.h"

#include <archive.h>
#include <archive_entry.h>
#include <elf.h>
#include <endian.h>
#include <stdbool.h>
#include <string.h>

#define ELF_MAX ((size_t)512 << 20)
#define XEN_ELFNOTE_PHYS32_ENTRY                                                                   \
	18 /* xen/include/public/elfnote.h: where PVH starts the kernel                            \
	    */

static uint32_t le32(const unsigned char *p)
{
	uint32_t v;

	memcpy(&v, p, sizeof(v));
	return le32toh(v);
}

/* Finds the compressed kernel; the last four of its bytes are its size unpacked, which the filters
 * don't expect. */
static int find_payload(
	const unsigned char *bz, size_t len, const unsigned char **p, size_t *n, struct error **err)
{
	uint64_t start;

	if (len < 0x260 || memcmp(bz + 0x202, "HdrS", 4) || (bz[0x206] | bz[0x207] << 8) < 0x208)
		return error_set(
			err, ERR_FAILED, "not an x86 bzImage of boot protocol 2.08 or later");
	start = ((uint64_t)(bz[0x1f1] ? bz[0x1f1] : 4) + 1) * 512 + le32(bz + 0x248);
	*n = le32(bz + 0x24c);
	if (*n < 8 || start + *n > len)
		return error_set(err, ERR_FAILED, "bzImage: its payload lies outside of the file");
	*p = bz + start;
	*n -= 4;
	return 0;
}

static int unpack(const void *p, size_t n, struct buf *out, struct error **err)
{
	struct archive *a = archive_read_new();
	struct archive_entry *entry;
	la_ssize_t got = -1;

	archive_read_support_filter_all(a);
	archive_read_support_format_raw(a);
	if (archive_read_open_memory(a, p, n) == ARCHIVE_OK &&
		archive_read_next_header(a, &entry) == ARCHIVE_OK)
		while ((got = archive_read_data(a, buf_reserve(out, 1 << 20), 1 << 20)) > 0) {
			out->len += (size_t)got;
			if (out->len > ELF_MAX)
				break;
		}
	if (got != 0)
		error_set(err, ERR_FAILED, "bzImage: cannot unpack the kernel: %s",
			got > 0                   ? "too large"
			: archive_error_string(a) ? archive_error_string(a)
						  : "unknown compression");
	archive_read_free(a);
	return got == 0 ? 0 : -1;
}

static bool note_is_pvh(const unsigned char *p, size_t n)
{
	while (n >= sizeof(Elf64_Nhdr)) {
		Elf64_Nhdr h;
		size_t size;

		memcpy(&h, p, sizeof(h));
		size = sizeof(h) + (((size_t)h.n_namesz + 3) & ~(size_t)3) +
		       (((size_t)h.n_descsz + 3) & ~(size_t)3);
		if (size > n)
			return false;
		if (h.n_type == XEN_ELFNOTE_PHYS32_ENTRY && h.n_namesz == 4 &&
			!memcmp(p + sizeof(h), "Xen", 4))
			return true;
		p += size;
		n -= size;
	}
	return false;
}

/* The i-th program header; false behind the last one and where the file ends before it. */
static bool program_header(const struct buf *elf, unsigned i, Elf64_Phdr *ph)
{
	Elf64_Ehdr eh;
	uint64_t at;

	if (elf->len < sizeof(eh) || memcmp(elf->data, ELFMAG, SELFMAG) || elf->data[EI_CLASS] != ELFCLASS64)
		return false;
	memcpy(&eh, elf->data, sizeof(eh));
	at = eh.e_phoff + (uint64_t)i * sizeof(*ph);
	if (i >= eh.e_phnum || at > elf->len || elf->len - at < sizeof(*ph))
		return false;
	memcpy(ph, elf->data + at, sizeof(*ph));
	return true;
}

static bool has_pvh_note(const struct buf *elf)
{
	Elf64_Phdr ph;

	for (unsigned i = 0; program_header(elf, i, &ph); i++)
		if (ph.p_type == PT_NOTE && ph.p_offset <= elf->len && ph.p_filesz <= elf->len - ph.p_offset &&
			note_is_pvh((unsigned char *)elf->data + ph.p_offset, ph.p_filesz))
			return true;
	return false;
}

uint64_t vmlinux_end(const struct buf *elf)
{
	uint64_t end = 0;
	Elf64_Phdr ph;

	for (unsigned i = 0; program_header(elf, i, &ph); i++)
		if (ph.p_type == PT_LOAD && ph.p_paddr + ph.p_memsz > end)
			end = ph.p_paddr + ph.p_memsz;
	return end;
}

int vmlinux_extract(const void *bz, size_t len, struct buf *elf, struct error **err)
{
	const unsigned char *p = NULL;
	size_t n = 0;

	if (find_payload(bz, len, &p, &n, err) < 0 || unpack(p, n, elf, err) < 0)
		return -1;
	if (!has_pvh_note(elf))
		return error_set(
			err, ERR_FAILED, "bzImage: the kernel in it has no PVH entry (CONFIG_PVH)");
	return 0;
}
