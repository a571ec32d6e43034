/* SPDX-License-Identifier: Apache-2.0 */
/*
 * VMDK in its stream form (Virtual Disk Format 5.0, "Stream-Optimized Compressed Sparse Extents"): written from front to end without
 * seeking, grains compressed by all cores. The same disk gives the same bytes.
 */
#ifndef CROFT_IMAGE_VMDK_H
#define CROFT_IMAGE_VMDK_H

#include "base/progress.h"
#include "image/export/sink.h"
#include "image/export/origin.h"

struct vmdk_opts {
	const char *name;    /* that the descriptor gives to the file itself */
	const char *adapter; /* lsilogic, ide, buslogic */
	int level;	     /* of deflate, 1 to 12; 0: 6 */
};
int vmdk_write(struct origin *s, const struct vmdk_opts *o, struct sink *to, struct progress *p, struct error **err);

#endif
