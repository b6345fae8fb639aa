// SipHash-2-4 (Aumasson and Bernstein) over whole 64-bit words, as inline code that also compiles for BPF: the
// tag of a packet is computed by clients, by the relay and by its programs in the kernel.
// SPDX-License-Identifier: Apache-2.0
#ifndef BASE_SIPHASH_H
#define BASE_SIPHASH_H

#include <stdint.h>

struct siphash {
	uint64_t v0, v1, v2, v3;
};

static inline __attribute__((always_inline)) uint64_t siphash_rotate(uint64_t v, unsigned bits) { return v << bits | v >> (64 - bits); }

static inline __attribute__((always_inline)) void siphash_round(struct siphash *s)
{
	s->v0 += s->v1;
	s->v2 += s->v3;
	s->v1 = siphash_rotate(s->v1, 13) ^ s->v0;
	s->v3 = siphash_rotate(s->v3, 16) ^ s->v2;
	s->v0 = siphash_rotate(s->v0, 32);
	s->v2 += s->v1;
	s->v0 += s->v3;
	s->v1 = siphash_rotate(s->v1, 17) ^ s->v2;
	s->v3 = siphash_rotate(s->v3, 21) ^ s->v0;
	s->v2 = siphash_rotate(s->v2, 32);
}

// `k0`, `k1`: the key's bytes as two little-endian words.
static inline __attribute__((always_inline)) struct siphash siphash_begin(uint64_t k0, uint64_t k1)
{
	return (struct siphash){ k0 ^ 0x736f6d6570736575, k1 ^ 0x646f72616e646f6d, k0 ^ 0x6c7967656e657261, k1 ^ 0x7465646279746573 };
}

// Eight bytes of input as a little-endian word.
static inline __attribute__((always_inline)) void siphash_word(struct siphash *s, uint64_t word)
{
	s->v3 ^= word;
	siphash_round(s);
	siphash_round(s);
	s->v0 ^= word;
}

// `last`: the input's size in bytes in the top byte, below it the bytes that did not fill a word.
static inline __attribute__((always_inline)) uint64_t siphash_end(struct siphash *s, uint64_t last)
{
	siphash_word(s, last);
	s->v2 ^= 0xff;
	siphash_round(s);
	siphash_round(s);
	siphash_round(s);
	siphash_round(s);
	return s->v0 ^ s->v1 ^ s->v2 ^ s->v3;
}

#endif
