/* SPDX-License-Identifier: Apache-2.0 */
/* Identity is a pure function of names. */
#ifndef CROFT_MACHINE_IDENTITY_H
#define CROFT_MACHINE_IDENTITY_H

/* BLAKE2b-256 of a text. */
void identity_digest(const char *text, unsigned char ret[32]);

#endif
