/* SPDX-License-Identifier: Apache-2.0 */
#include "image/export/ustar.h"

#include <stdio.h>
#include <string.h>

#define OCTAL_MAX ((uint64_t)1 << 33)

static void octal(char *p, int digits, uint64_t v)
{
	char text[24];

	snprintf(text, sizeof(text), "%0*llo", digits, (unsigned long long)v);
	memcpy(p, text, (size_t)digits + 1);
}

void ustar_header(char h[USTAR_BLOCK], const char *name, uint64_t size, time_t mtime)
{
	unsigned sum = 0;

	memset(h, 0, USTAR_BLOCK);
	snprintf(h, 100, "%s", name);
	octal(h + 100, 7, 0644);
	octal(h + 108, 7, 0);
	octal(h + 116, 7, 0);
	if (size < OCTAL_MAX) {
		octal(h + 124, 11, size);
	} else {
		h[124] = (char)0x80;
		for (int i = 0; i < 8; i++)
			h[135 - i] = (char)(size >> (8 * i));
	}
	octal(h + 136, 11, mtime > 0 ? (uint64_t)mtime : 0);
	memset(h + 148, ' ', 8);
	h[156] = '0';
	memcpy(h + 257, "ustar\0" "00", 8);
	memcpy(h + 265, "root", 4);
	memcpy(h + 297, "root", 4);
	octal(h + 329, 7, 0);
	octal(h + 337, 7, 0);
	for (int i = 0; i < USTAR_BLOCK; i++)
		sum += (unsigned char)h[i];
	octal(h + 148, 6, sum);
}

uint64_t ustar_room(uint64_t size)
{
	return USTAR_BLOCK + (size + USTAR_BLOCK - 1) / USTAR_BLOCK * USTAR_BLOCK;
}
