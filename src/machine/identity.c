/* SPDX-License-Identifier: Apache-2.0 */
#include "identity.h"
#include "base/blake2b.h"

#include <string.h>

void identity_digest(const char *text, unsigned char ret[32])
{
	blake2b(text, strlen(text), ret);
}
