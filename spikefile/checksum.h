/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TSPK_SPIKEFILE_CHECKSUM_H
#define TSPK_SPIKEFILE_CHECKSUM_H

#include <stdint.h>

#include <nettle/sha2.h>

/** SHA-256 of two stretches of bytes after one another. */
static inline void tspk_checksum(const void *a, size_t n_a, const void *b, size_t n_b,
                                 uint8_t digest_out[SHA256_DIGEST_SIZE])
{
    struct sha256_ctx context;

    sha256_init(&context);
    sha256_update(&context, n_a, a);
    sha256_update(&context, n_b, b);
    sha256_digest(&context, SHA256_DIGEST_SIZE, digest_out);
}

/** The checksum member: "<64 hex digits>  transpike.pb\n". */
#define TSPK_CHECKSUM_TEXT_BYTES (2 * SHA256_DIGEST_SIZE + 2 + 12 + 1)
static inline void tspk_checksum_text(const uint8_t digest[SHA256_DIGEST_SIZE],
                                      char text_out[TSPK_CHECKSUM_TEXT_BYTES])
{
    static const char digits[] = "0123456789abcdef", tail[] = "  transpike.pb\n";

    for (int i = 0; i < SHA256_DIGEST_SIZE; i++) {
        text_out[2 * i] = digits[digest[i] >> 4];
        text_out[2 * i + 1] = digits[digest[i] & 15];
    }
    for (int i = 0; i < (int)sizeof tail - 1; i++)
        text_out[2 * SHA256_DIGEST_SIZE + i] = tail[i];
}

#endif
