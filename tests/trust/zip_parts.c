/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/trust/zip_parts.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <zlib.h>

#define LOCAL_BYTES   30u
#define CENTRAL_BYTES 46u
#define END_BYTES     22u
#define LOCAL_MARK    0x04034b50u
#define CENTRAL_MARK  0x02014b50u
#define END_MARK      0x06054b50u

static uint32_t get(const uint8_t *at, int n)
{
    uint32_t x = 0;

    for (int i = n - 1; i >= 0; i--)
        x = x << 8 | at[i];
    return x;
}

static void *need(void *p)
{
    if (!p) {
        fprintf(stderr, "zip_parts: no memory\n");
        exit(2);
    }
    return p;
}

static bool find_member(zip_member *m, const uint8_t *bytes, size_t n, size_t *at)
{
    const uint8_t *const central = bytes + *at;
    const uint8_t *local;
    size_t n_name;

    if (*at + CENTRAL_BYTES > n || get(central, 4) != CENTRAL_MARK || get(central + 10, 2) != 0)
        return false;
    n_name = get(central + 28, 2);
    m->central = *at;
    m->n_central = CENTRAL_BYTES + n_name + get(central + 30, 2) + get(central + 32, 2);
    m->n = get(central + 24, 4);
    m->head = get(central + 42, 4);
    if (n_name > ZIP_MAX_NAME || *at + m->n_central > n || m->head + LOCAL_BYTES > n)
        return false;
    memcpy(m->name, central + CENTRAL_BYTES, n_name);
    m->name[n_name] = '\0';
    local = bytes + m->head;
    m->data = m->head + LOCAL_BYTES + get(local + 26, 2) + get(local + 28, 2);
    *at += m->n_central;
    return get(local, 4) == LOCAL_MARK && m->data <= n && m->n <= n - m->data;
}

bool zip_parts_init(zip_parts *parts, const uint8_t *bytes, size_t n)
{
    bool is_fine = true;
    size_t at;

    if (n < END_BYTES || get(bytes + n - END_BYTES, 4) != END_MARK)
        return false;
    parts->end = n - END_BYTES;
    parts->n_members = get(bytes + parts->end + 10, 2);
    parts->directory = at = get(bytes + parts->end + 16, 4);
    parts->member = need(calloc(parts->n_members + 1, sizeof *parts->member));
    for (size_t i = 0; is_fine && i < parts->n_members; i++)
        is_fine = find_member(&parts->member[i], bytes, n, &at);
    for (size_t i = 0; is_fine && i < parts->n_members; i++) {
        zip_member *const m = &parts->member[i];

        m->behind = i + 1 < parts->n_members ? parts->member[i + 1].head : parts->directory;
        is_fine = m->behind >= m->data + m->n;
    }
    if (!is_fine || at != parts->end)
        zip_parts_done(parts);
    return is_fine && at == parts->end;
}

void zip_parts_done(zip_parts *parts)
{
    free(parts->member);
    parts->member = NULL;
}

typedef struct buffer {
    uint8_t *bytes;
    size_t n, cap;
} buffer;

static void add(buffer *to, const void *bytes, size_t n)
{
    if (to->cap - to->n < n) {
        to->cap = 2 * to->cap + n + 4096;
        to->bytes = need(realloc(to->bytes, to->cap));
    }
    if (n)
        memcpy(to->bytes + to->n, bytes, n);
    to->n += n;
}

static void add_number(buffer *to, uint32_t x, size_t n)
{
    const uint8_t bytes[4] = {(uint8_t)x, (uint8_t)(x >> 8), (uint8_t)(x >> 16),
                              (uint8_t)(x >> 24)};

    add(to, bytes, n);
}

/* What the two headers of a member have in common, from "version needed" on. */
static void add_common(buffer *to, const zip_entry *e, uint32_t crc, size_t n_packed)
{
    add_number(to, 20, 2);
    add_number(to, 0, 2);
    add_number(to, e->is_deflated ? 8 : 0, 2);
    add_number(to, 0x00210000u, 4); /* 1 January 1980 */
    add_number(to, crc, 4);
    add_number(to, (uint32_t)n_packed + e->n_shared, 4);
    add_number(to, (e->claimed_size ? e->claimed_size : (uint32_t)e->n) + e->n_shared, 4);
    add_number(to, (uint32_t)strlen(e->name), 2);
    add_number(to, 0, 2);
}

static size_t pack(const zip_entry *e, uint8_t **packed_out)
{
    z_stream stream = {0};
    size_t n = compressBound((uLong)e->n) + 64;

    *packed_out = need(malloc(n));
    if (deflateInit2(&stream, 1, Z_DEFLATED, -15, 9, Z_DEFAULT_STRATEGY) != Z_OK)
        need(NULL);
    stream.next_in = (Bytef *)(uintptr_t)e->data;
    stream.avail_in = (uInt)e->n;
    stream.next_out = *packed_out;
    stream.avail_out = (uInt)n;
    (void)deflate(&stream, Z_FINISH);
    n = stream.total_out;
    deflateEnd(&stream);
    return n;
}

static void add_member(buffer *file, buffer *directory, const zip_entry *e)
{
    const uint32_t crc = (uint32_t)crc32(0, e->n ? e->data : (const Bytef *)"", (uInt)e->n);
    const uint32_t head = (uint32_t)file->n;
    uint8_t *packed = NULL;
    size_t n_packed = e->n;

    if (e->is_deflated)
        n_packed = pack(e, &packed);
    add_number(file, LOCAL_MARK, 4);
    add_common(file, e, crc, n_packed);
    add(file, e->name, strlen(e->name));
    add(file, packed ? packed : e->data, n_packed);
    add_number(directory, CENTRAL_MARK, 4);
    add_number(directory, 3u << 8 | 20, 2); /* made on Unix: the mode counts */
    add_common(directory, e, crc, n_packed);
    add_number(directory, 0, 4); /* comment, disk */
    add_number(directory, 0, 2);
    add_number(directory, (e->mode ? e->mode : 0100644u) << 16, 4);
    add_number(directory, head, 4);
    add(directory, e->name, strlen(e->name));
    free(packed);
}

void zip_write(const zip_entry *entry, size_t n, uint8_t **bytes_out, size_t *n_bytes_out)
{
    buffer file = {0}, directory = {0};
    uint32_t start;

    for (size_t i = 0; i < n; i++)
        add_member(&file, &directory, &entry[i]);
    start = (uint32_t)file.n;
    add(&file, directory.bytes, directory.n);
    add_number(&file, END_MARK, 4);
    add_number(&file, 0, 4);
    add_number(&file, (uint32_t)n, 2);
    add_number(&file, (uint32_t)n, 2);
    add_number(&file, (uint32_t)directory.n, 4);
    add_number(&file, start, 4);
    add_number(&file, 0, 2);
    free(directory.bytes);
    *bytes_out = file.bytes;
    *n_bytes_out = file.n;
}
