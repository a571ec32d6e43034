/* SPDX-License-Identifier: Apache-2.0 */
/*
 * STORE/listing.json: the names and indexes of a store for readers that cannot list its folders, over http. It is there once somebody has
 * published the store; from then on whatever changes names or indexes writes it anew.
 */
#ifndef CROFT_STORE_LISTING_H
#define CROFT_STORE_LISTING_H

#define LISTING "listing.json"

struct store;
void listing_refresh(struct store *s); /* when there is one; failing is a warning */

#endif
