/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TESTS_FUZZ_H
#define TESTS_FUZZ_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/** What libFuzzer, or standalone.c, calls with each input. Returns 0. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/** What must hold whatever the input; also where NDEBUG is defined. */
#define fuzz_assert(x)                                                          \
	do {                                                                    \
		if (!(x)) {                                                     \
			fprintf(stderr, "%s:%d: %s\n", __FILE__, __LINE__, #x); \
			abort();                                                \
		}                                                               \
	} while (0)

/** The input, taken piece by piece; what is not there reads as 0. */
struct fuzz_input {
	const uint8_t *at;
	size_t left;
};

static inline void fuzz_bytes(struct fuzz_input *in, void *to, size_t len)
{
	size_t n = len < in->left ? len : in->left;

	memset(to, 0, len);
	if (n) {
		memcpy(to, in->at, n);
		in->at += n;
		in->left -= n;
	}
}

static inline uint8_t fuzz_u8(struct fuzz_input *in)
{
	uint8_t v;

	fuzz_bytes(in, &v, sizeof(v));
	return v;
}

static inline uint16_t fuzz_u16(struct fuzz_input *in)
{
	uint16_t v;

	fuzz_bytes(in, &v, sizeof(v));
	return v;
}

/* Writes up to 32 bytes somewhere into memory. */
static inline void fuzz_scribble(struct fuzz_input *in, uint8_t *mem, uint32_t size)
{
	uint32_t at = fuzz_u16(in) % size;
	uint8_t len = fuzz_u8(in) % 33;

	fuzz_bytes(in, mem + at, len < size - at ? len : size - at);
}

#endif
