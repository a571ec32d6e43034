/* SPDX-License-Identifier: Apache-2.0 */
/*
 * BLAKE2b over LANES messages at once, as the function NAME compiled with the attribute TARGET. Included by blake2b.c once for
 * each width; word i of all messages is one vector.
 */
#define PASTE_(a, b) a##b
#define PASTE(a, b) PASTE_(a, b)
#define VEC PASTE(NAME, _vec)
#define COMPRESS PASTE(NAME, _compress)

typedef uint64_t VEC __attribute__((vector_size(8 * LANES)));

#define ROR(x, n) ((x) >> (n) | (x) << (64 - (n)))
#define G(a, b, c, d, x, y)                                                                        \
	do {                                                                                       \
		v[a] = v[a] + v[b] + m[x];                                                         \
		v[d] = ROR(v[d] ^ v[a], 32);                                                       \
		v[c] = v[c] + v[d];                                                                \
		v[b] = ROR(v[b] ^ v[c], 24);                                                       \
		v[a] = v[a] + v[b] + m[y];                                                         \
		v[d] = ROR(v[d] ^ v[a], 16);                                                       \
		v[c] = v[c] + v[d];                                                                \
		v[b] = ROR(v[b] ^ v[c], 63);                                                       \
	} while (0)
#define ROUND(a, b, c, d, e, f, g, h, i, j, k, l, n, o, p, q)                                      \
	do {                                                                                       \
		G(0, 4, 8, 12, a, b);                                                              \
		G(1, 5, 9, 13, c, d);                                                              \
		G(2, 6, 10, 14, e, f);                                                             \
		G(3, 7, 11, 15, g, h);                                                             \
		G(0, 5, 10, 15, i, j);                                                             \
		G(1, 6, 11, 12, k, l);                                                             \
		G(2, 7, 8, 13, n, o);                                                              \
		G(3, 4, 9, 14, p, q);                                                              \
	} while (0)

#if LANES == 8
/* Eight words of eight blocks, turned so that word i of all is m[i]: pairs of words, then of pairs, then halves change places. */
PLAIN TARGET static inline void PASTE(NAME, _load)(const uint8_t *const *block, size_t off, VEC *m)
{
	VEC r[8], a[8], b[8];

#pragma GCC unroll 8
	for (int k = 0; k < 8; k++)
		memcpy(&r[k], block[k] + off, 64);
#pragma GCC unroll 8
	for (int k = 0; k < 8; k += 2) {
		a[k] = __builtin_shufflevector(r[k], r[k + 1], 0, 8, 2, 10, 4, 12, 6, 14);
		a[k + 1] = __builtin_shufflevector(r[k], r[k + 1], 1, 9, 3, 11, 5, 13, 7, 15);
	}
#pragma GCC unroll 8
	for (int k = 0; k < 8; k += 4)
#pragma GCC unroll 8
		for (int i = k; i < k + 2; i++) {
			b[i] = __builtin_shufflevector(a[i], a[i + 2], 0, 1, 8, 9, 4, 5, 12, 13);
			b[i + 2] = __builtin_shufflevector(a[i], a[i + 2], 2, 3, 10, 11, 6, 7, 14, 15);
		}
#pragma GCC unroll 8
	for (int k = 0; k < 4; k++) {
		m[k] = __builtin_shufflevector(b[k], b[k + 4], 0, 1, 2, 3, 8, 9, 10, 11);
		m[k + 4] = __builtin_shufflevector(b[k], b[k + 4], 4, 5, 6, 7, 12, 13, 14, 15);
	}
}
#endif

/* n blocks of each message, `step` bytes from one to the next. t: bytes up to the end of the first; f: all ones in a message's last. */
PLAIN TARGET static void COMPRESS(VEC *h, const uint8_t *const *block, const size_t *step, size_t n, const uint64_t *t, const uint64_t *f)
{
	VEC v[16], m[16], tv, fv;

	memcpy(&tv, t, sizeof(tv));
	memcpy(&fv, f, sizeof(fv));
	for (size_t at = 0; at < n; at++) {
		const uint8_t *p[LANES];

		for (int k = 0; k < LANES; k++)
			p[k] = block[k] + at * step[k];
#if LANES == 8
		PASTE(NAME, _load)(p, 0, m);
		PASTE(NAME, _load)(p, 64, m + 8);
#else
		for (int i = 0; i < 16; i++) {
			uint64_t w[LANES];

			for (int k = 0; k < LANES; k++)
				memcpy(&w[k], p[k] + 8 * i, 8);
			memcpy(&m[i], w, sizeof(w));
		}
#endif
#pragma GCC unroll 8
		for (int i = 0; i < 8; i++) {
			v[i] = h[i];
			v[i + 8] = (VEC){ 0 } + blake2b_iv[i];
		}
		v[12] ^= tv;
		v[14] ^= fv;
		/* RFC 7693, 2.7: the schedule; rounds 10 and 11 are 0 and 1 again. */
		ROUND(0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15);
		ROUND(14, 10, 4, 8, 9, 15, 13, 6, 1, 12, 0, 2, 11, 7, 5, 3);
		ROUND(11, 8, 12, 0, 5, 2, 15, 13, 10, 14, 3, 6, 7, 1, 9, 4);
		ROUND(7, 9, 3, 1, 13, 12, 11, 14, 2, 6, 5, 10, 4, 0, 15, 8);
		ROUND(9, 0, 5, 7, 2, 4, 10, 15, 14, 1, 11, 12, 6, 8, 3, 13);
		ROUND(2, 12, 6, 10, 0, 11, 8, 3, 4, 13, 7, 5, 15, 14, 1, 9);
		ROUND(12, 5, 1, 15, 14, 13, 4, 10, 0, 7, 6, 3, 9, 2, 8, 11);
		ROUND(13, 11, 7, 14, 12, 1, 3, 9, 5, 0, 15, 4, 8, 6, 2, 10);
		ROUND(6, 15, 14, 9, 11, 3, 0, 8, 12, 2, 13, 7, 1, 4, 10, 5);
		ROUND(10, 2, 8, 4, 7, 6, 1, 5, 15, 11, 9, 14, 3, 12, 13, 0);
		ROUND(0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15);
		ROUND(14, 10, 4, 8, 9, 15, 13, 6, 1, 12, 0, 2, 11, 7, 5, 3);
#pragma GCC unroll 8
		for (int i = 0; i < 8; i++)
			h[i] ^= v[i] ^ v[i + 8];
		tv += BLOCK;
	}
}

PLAIN TARGET static void NAME(const struct blake2b_job *jobs, size_t n)
{
	static const uint8_t zeros[BLOCK];
	const struct blake2b_job *job[LANES] = { 0 };
	const uint8_t *block[LANES], *data[LANES] = { 0 };
	uint64_t t[LANES] = { 0 }, f[LANES] = { 0 };
	size_t left[LANES] = { 0 }, step[LANES], next = 0, busy = 0;
	uint8_t tail[LANES][BLOCK];
	VEC h[8] = { 0 };

	for (;;) {
		size_t run = SIZE_MAX; /* blocks until the first message comes to its last one */

		for (int k = 0; k < LANES; k++) {
			if (!job[k] && next < n) {
				job[k] = &jobs[next++];
				data[k] = job[k]->data;
				left[k] = job[k]->len;
				t[k] = 0;
				for (int i = 0; i < 8; i++)
					h[i][k] = blake2b_iv[i] ^ (i ? 0 : 0x01010000 ^ BLAKE2B_LEN);
				busy++;
			}
			if (job[k] && run > (left[k] + BLOCK - 1) / BLOCK)
				run = (left[k] + BLOCK - 1) / BLOCK;
		}
		if (!busy)
			return;
		run = run > 1 ? run - 1 : 1;
		for (int k = 0; k < LANES; k++) {
			block[k] = zeros;
			step[k] = f[k] = 0;
			if (!job[k])
				continue;
			block[k] = data[k];
			step[k] = BLOCK;
			if (left[k] > BLOCK) {
				data[k] += run * BLOCK;
				left[k] -= run * BLOCK;
				t[k] += BLOCK;
			} else { /* the last one, padded; an empty message has one as well */
				memset(tail[k], 0, BLOCK);
				if (left[k])
					memcpy(tail[k], data[k], left[k]);
				block[k] = tail[k];
				t[k] += left[k];
				f[k] = ~0ull;
			}
		}
		COMPRESS(h, block, step, run, t, f);
		for (int k = 0; k < LANES; k++) {
			t[k] += (run - 1) * BLOCK;
			if (!f[k])
				continue;
			for (int i = 0; i < BLAKE2B_LEN / 8; i++) {
				uint64_t w = h[i][k];

				memcpy(job[k]->ret + 8 * i, &w, 8);
			}
			job[k] = NULL;
			busy--;
		}
	}
}

#undef ROUND
#undef G
#undef ROR
#undef COMPRESS
#undef VEC
#undef PASTE
#undef PASTE_
#undef NAME
#undef LANES
#undef TARGET
