/* SPDX-License-Identifier: Apache-2.0 */
/* This computer's tar, packing what is in a folder for a copy into another folder, whose own mode and owner stay. */
#ifndef CROFT_GUEST_TARUP_H
#define CROFT_GUEST_TARUP_H

#include "base/error.h"
#include "base/strv.h"

/* The command line that writes them to its stdout, appended; an empty folder gives an empty archive. */
int tarup_argv(const char *src, struct strv *argv, struct error **err);

#endif
