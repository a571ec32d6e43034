/* SPDX-License-Identifier: Apache-2.0 */
/* Lines of a Dockerfile that change a container image's settings, as `docker import --change` takes them. */
#ifndef CROFT_IMAGE_CHANGES_H
#define CROFT_IMAGE_CHANGES_H

#include "base/error.h"
#include "base/strv.h"

#include <jansson.h>

/*
 * Into the "config" object of an image's configuration (image-spec, config.md): CMD, ENTRYPOINT, ENV, EXPOSE, LABEL, STOPSIGNAL, USER, VOLUME,
 * WORKDIR. ERR_USAGE with the line for others, and for wrong ones.
 */
int changes_apply(json_t *config, const struct strv *lines, struct error **err);

#endif
