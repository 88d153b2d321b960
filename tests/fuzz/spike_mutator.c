/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Changes a .spike below its checksums: the description, or the elements of a tensor, after which
 * the digests that stand for them are renewed and the zip's offsets follow. One change in eight,
 * and every change of a file that is not laid out as a .spike is, is of the raw bytes.
 */
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>


#include "core/sha256.h"
#include "tests/fuzz/protobuf_mutator.h"

#define LOCAL_BYTES   30u /* before the name, PKWARE APPNOTE 4.3.7 */
#define CENTRAL_BYTES 46u /* 4.3.12 */
#define END_BYTES     22u /* 4.3.16 */
#define DIGEST_TEXT   79u /* of transpike.pb.sha256 */

typedef struct member {
    size_t head, data, n; /* [bytes] */
} member;

static uint32_t get(const uint8_t *at, int n)
{
    uint32_t x = 0;

    for (int i = n - 1; i >= 0; i--)
        x = x << 8 | at[i];
    return x;
}

static void put(uint8_t *at, uint32_t x)
{
    for (int i = 0; i < 4; i++)
        at[i] = (uint8_t)(x >> (8 * i));
}

/* The stored member whose local header begins at `head`; its sizes must stand there. */
static bool find_member(const uint8_t *data, size_t size, size_t head, member *member_out)
{
    member m = {.head = head};

    if (head > size || size - head < LOCAL_BYTES || get(data + head, 4) != 0x04034b50u ||
        get(data + head + 6, 2) & 8 || get(data + head + 8, 2) != 0)
        return false;
    m.data = head + LOCAL_BYTES + get(data + head + 26, 2) + get(data + head + 28, 2);
    m.n = get(data + head + 18, 4);
    if (m.data > size || m.n > size - m.data)
        return false;
    *member_out = m;
    return true;
}

static void digest_of(const uint8_t *data, size_t n, uint8_t digest_out[TSPK_SHA256_BYTES])
{
    tspk_sha256 state;

    tspk_sha256_begin(&state);
    tspk_sha256_add(&state, data, n);
    tspk_sha256_end(&state, digest_out);
}

/* The description's checksum, in the member behind it. */
static void renew_checksum(uint8_t *data, const member *description, const member *checksum)
{
    static const char hex[] = "0123456789abcdef";
    uint8_t digest[TSPK_SHA256_BYTES];

    digest_of(data + description->data, description->n, digest);
    for (size_t i = 0; i < sizeof digest; i++) {
        data[checksum->data + 2 * i] = (uint8_t)hex[digest[i] >> 4];
        data[checksum->data + 2 * i + 1] = (uint8_t)hex[digest[i] & 15];
    }
}

/* The central directory, after the description went from `before` to `after` bytes. */
static bool renew_directory(uint8_t *data, size_t size, size_t before, size_t after)
{
    uint8_t *const end = data + size - END_BYTES;
    const uint32_t moved = (uint32_t)after - (uint32_t)before;
    const uint32_t n = get(end + 10, 2);
    size_t at;

    if (get(end, 4) != 0x06054b50u)
        return false;
    at = (size_t)get(end + 16, 4) + after - before;
    put(end + 16, (uint32_t)at);
    for (uint32_t i = 0; i < n; i++) {
        if (at > size - END_BYTES || size - END_BYTES - at < CENTRAL_BYTES)
            return false;
        if (i == 0) {
            put(data + at + 20, (uint32_t)after);
            put(data + at + 24, (uint32_t)after);
        } else {
            put(data + at + 42, get(data + at + 42, 4) + moved);
        }
        at += CENTRAL_BYTES + get(data + at + 28, 2) + get(data + at + 30, 2) +
              get(data + at + 32, 2);
    }
    return true;
}

static size_t change_description(uint8_t *data, size_t size, size_t max_size, member description,
                                 member checksum, unsigned seed)
{
    const size_t room = description.n + (max_size - size < 4096 ? max_size - size : 4096);
    uint8_t *const changed = malloc(room + 1);
    const size_t behind = description.data + description.n;
    size_t n;

    if (!changed)
        return 0;
    memcpy(changed, data + description.data, description.n);
    n = fuzz_mutate_protobuf(changed, description.n, room, seed);
    memmove(data + description.data + n, data + behind, size - behind);
    memcpy(data + description.data, changed, n);
    free(changed);
    put(data + description.head + 18, (uint32_t)n);
    put(data + description.head + 22, (uint32_t)n);
    size = size - description.n + n;
    checksum.data = checksum.data - description.n + n;
    if (!renew_directory(data, size, description.n, n))
        return size;
    description.n = n;
    renew_checksum(data, &description, &checksum);
    return size;
}

/* Changes tensor number `index` behind the checksum, its length kept. */
static size_t change_tensor(uint8_t *data, size_t size, unsigned index, const member *description,
                            const member *checksum)
{
    uint8_t before[TSPK_SHA256_BYTES], *digest;
    member tensor = *checksum;

    for (unsigned i = 0; i <= index; i++)
        if (!find_member(data, size, tensor.data + tensor.n, &tensor))
            break;
    if (tensor.data == checksum->data || !tensor.n)
        return 0;
    digest_of(data + tensor.data, tensor.n, before);
    digest = memmem(data + description->data, description->n, before, sizeof before);
    (void)LLVMFuzzerMutate(data + tensor.data, tensor.n, tensor.n);
    if (digest)
        digest_of(data + tensor.data, tensor.n, digest);
    renew_checksum(data, description, checksum);
    return size;
}

size_t LLVMFuzzerCustomMutator(uint8_t *data, size_t size, size_t max_size, unsigned seed)
{
    member description, checksum;
    size_t changed = 0;

    if (seed % 8 && size > END_BYTES && find_member(data, size, 0, &description) && description.n &&
        find_member(data, size, description.data + description.n, &checksum) &&
        checksum.n == DIGEST_TEXT) {
        if (seed / 8 % 4)
            changed = change_description(data, size, max_size, description, checksum, seed);
        else
            changed = change_tensor(data, size, seed / 32 % 16, &description, &checksum);
    }
    return changed ? changed : LLVMFuzzerMutate(data, size, max_size);
}
