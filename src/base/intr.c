/* SPDX-License-Identifier: Apache-2.0 */
#include "base/intr.h"

volatile sig_atomic_t intr_signal;

int intr_check(struct error **err)
{
	return intr_signal ? error_set(err, ERR_INTR, "interrupted") : 0;
}
