/* SPDX-License-Identifier: Apache-2.0 */
/* Identity is a pure function of names. Apart from the rest, since OpenSSL's headers claim the name ERR_STATE. */
#ifndef CROFT_MACHINE_IDENTITY_H
#define CROFT_MACHINE_IDENTITY_H

/* SHA-256 of a text. */
void identity_digest(const char *text, unsigned char ret[32]);

#endif
