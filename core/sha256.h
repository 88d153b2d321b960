/* SPDX-License-Identifier: Apache-2.0 */
/* SHA-256 by libcrypto, which has code for every kind of processor. These calls take no memory and
 * cannot fail, unlike those of its newer interface. */
#ifndef TSPK_CORE_SHA256_H
#define TSPK_CORE_SHA256_H

#include <stddef.h>
#include <stdint.h>

#define OPENSSL_SUPPRESS_DEPRECATED
#include <openssl/sha.h>

#define TSPK_SHA256_BYTES 32

typedef SHA256_CTX tspk_sha256;

static inline void tspk_sha256_begin(tspk_sha256 *state)
{
    (void)SHA256_Init(state);
}

/** Hashes n more bytes; data may be NULL for n = 0. */
static inline void tspk_sha256_add(tspk_sha256 *state, const void *data, size_t n)
{
    if (n)
        (void)SHA256_Update(state, data, n);
}

static inline void tspk_sha256_end(tspk_sha256 *state, uint8_t digest_out[TSPK_SHA256_BYTES])
{
    (void)SHA256_Final(digest_out, state);
}

#endif
