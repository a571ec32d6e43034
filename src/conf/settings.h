/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Settings, in layers; what stands later wins: defaults, /etc/croft/croft.yaml, ~/.config/croft/croft.yaml, ./croft.yaml,
 * CROFT_* variables (image.default is CROFT_IMAGE_DEFAULT), options. Each value knows where it came from. One set a process.
 */
#ifndef CROFT_CONF_SETTINGS_H
#define CROFT_CONF_SETTINGS_H

#include "base/error.h"
#include <stdbool.h>
#include <stdint.h>

enum setting_type { SETTING_STRING, SETTING_NUMBER, SETTING_SIZE, SETTING_DURATION };
struct setting {
	const char *name;
	enum setting_type type;
	const char *fallback; /* default, or NULL: none */
	const char *help;
};
extern const struct setting settings_table[]; /* ends with a NULL name */

/*
 * Reads all layers again. options: NULL-terminated "name=value", or NULL. Unknown names and wrong values are errors with place and the
 * nearest name; the values are then those from before.
 */
int settings_load(const char *const *options, struct error **err);
/* Value as text, or NULL when it has none. The default when nothing is loaded. name must be in the table. */
const char *settings_get(const char *name);
/* "/etc/croft/croft.yaml:3", "CROFT_ACCEL", "option", "default". */
const char *settings_origin(const char *name);
/* Typed values (numbers, bytes, ms); checked when loaded, so they cannot fail. Without a value: 0. */
uint64_t settings_number(const char *name);
void settings_free(void);

#endif
