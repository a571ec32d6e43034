/* SPDX-License-Identifier: Apache-2.0 */
/* What croft tells a machine that boots by itself: OEM strings of the firmware's SMBIOS table (DMTF DSP0134, 6.1 and 7.12). */
#include "guest.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define TABLE "/sys/firmware/dmi/tables/DMI"
#define OEM_STRINGS 11
#define END_OF_TABLE 127

/* The strings behind a structure: each ends with a NUL, the last with one more. */
static const uint8_t *past_strings(const uint8_t *p, const uint8_t *end)
{
	while (end - p >= 2 && (p[0] || p[1]))
		p++;
	return end - p >= 2 ? p + 2 : end;
}

static bool look(const uint8_t *p, const uint8_t *end, const char *name, char *out, size_t size)
{
	size_t n = strlen(name);

	while (p < end && *p) {
		size_t len = strnlen((const char *)p, (size_t)(end - p));

		if (len > n && memcmp(p, name, n) == 0 && p[n] == '=') {
			snprintf(out, size, "%.*s", (int)(len - n - 1), (const char *)p + n + 1);
			return true;
		}
		p += len + 1;
	}
	return false;
}

bool identity_find(const uint8_t *table, size_t n, const char *name, char *out, size_t size)
{
	const uint8_t *p = table, *end = table + n;

	/* type, length of the formatted part, handle */
	while (end - p >= 4 && p[1] >= 4 && p[1] <= end - p && p[0] != END_OF_TABLE) {
		const uint8_t *strings = p + p[1], *next = past_strings(strings, end);

		if (p[0] == OEM_STRINGS && look(strings, next, name, out, size))
			return true;
		p = next;
	}
	return false;
}

int identity_main(void)
{
	static uint8_t table[65536];
	char name[80];
	int fd = open(TABLE, O_RDONLY | O_CLOEXEC);
	ssize_t n = 0;
	size_t have = 0;

	while (fd >= 0 && have < sizeof(table) && (n = read(fd, table + have, sizeof(table) - have)) > 0)
		have += (size_t)n;
	if (fd >= 0)
		close(fd);
	if (!identity_find(table, have, "croft.hostname", name, sizeof(name)))
		return 0; /* not started by croft, or it gave none */
	if (net_set_hostname(name) == 0)
		return 0;
	fprintf(stderr, "croft-guest: host name %s: %s\n", name, strerror(errno));
	return 1;
}
