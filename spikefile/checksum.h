/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TSPK_SPIKEFILE_CHECKSUM_H
#define TSPK_SPIKEFILE_CHECKSUM_H

#include <stdint.h>

#include "core/sha256.h"

/** SHA-256 of two stretches of bytes after one another. */
static inline void tspk_checksum(const void *a, size_t n_a, const void *b, size_t n_b,
                                 uint8_t digest_out[TSPK_SHA256_BYTES])
{
    tspk_sha256 state;

    tspk_sha256_begin(&state);
    tspk_sha256_add(&state, a, n_a);
    tspk_sha256_add(&state, b, n_b);
    tspk_sha256_end(&state, digest_out);
}

/** The checksum member: "<64 hex digits>  transpike.pb\n". */
#define TSPK_CHECKSUM_TEXT_BYTES (2 * TSPK_SHA256_BYTES + 2 + 12 + 1)
static inline void tspk_checksum_text(const uint8_t digest[TSPK_SHA256_BYTES],
                                      char text_out[TSPK_CHECKSUM_TEXT_BYTES])
{
    static const char digits[] = "0123456789abcdef", tail[] = "  transpike.pb\n";

    for (int i = 0; i < TSPK_SHA256_BYTES; i++) {
        text_out[2 * i] = digits[digest[i] >> 4];
        text_out[2 * i + 1] = digits[digest[i] & 15];
    }
    for (int i = 0; i < (int)sizeof tail - 1; i++)
        text_out[2 * TSPK_SHA256_BYTES + i] = tail[i];
}

#endif
