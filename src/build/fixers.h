/* SPDX-License-Identifier: Apache-2.0 */
/* Old spellings that `packer fix` mends; croft mends them when it reads a template, too. */
#ifndef CROFT_BUILD_FIXERS_H
#define CROFT_BUILD_FIXERS_H

#include "base/strv.h"
#include "build/val.h"

/* Changes the document. Each change is told in notes ("FILE:LINE:COLUMN: ..."). */
void fixers_apply(struct val *root, struct strv *notes);

#endif
