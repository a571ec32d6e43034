/* SPDX-License-Identifier: Apache-2.0 */
/* What the files that read templates share among themselves. */
#ifndef CROFT_BUILD_TEMPLATEINT_H
#define CROFT_BUILD_TEMPLATEINT_H

#include "build/template.h"

int template_variables(struct template *t, const struct template_opts *o, struct error **err);

#endif
