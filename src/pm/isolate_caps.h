/* SPDX-License-Identifier: Apache-2.0 */
/* Capabilities by name (capabilities(7)), and the system calls that libcap wraps. */
#ifndef CROFT_PM_ISOLATE_CAPS_H
#define CROFT_PM_ISOLATE_CAPS_H

#include <stddef.h>
#include <stdint.h>

#define CAP_SETPCAP_NR 8
#define CAPS_ALL UINT64_MAX

/* "chown,cap_kill", "all", "none", "~sys_admin,sys_ptrace" (all but). -1: why names the word that is wrong. */
int caps_parse(const char *text, uint64_t *ret, char *why, size_t size);
const char *caps_name(unsigned n); /* NULL: unknown */

/* In a child: -1 with errno, and the number that failed in *which. */
int caps_bound(uint64_t keep, uint16_t *which);
/* Permitted and effective become exactly the first set, inheritable the second. */
int caps_set(uint64_t permitted, uint64_t inheritable);
int caps_get(uint64_t *permitted);
int caps_ambient(uint64_t caps, uint16_t *which);

#endif
