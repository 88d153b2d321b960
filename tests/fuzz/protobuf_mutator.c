/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/fuzz/protobuf_mutator.h"

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#define MOST_DEPTH   12
#define VARINT_BYTES 10u

enum { WIRE_VARINT = 0, WIRE_FIXED64 = 1, WIRE_BYTES = 2, WIRE_FIXED32 = 5 };

/* A field: its key, then its value; the length of WIRE_BYTES stands between them. */
typedef struct field {
    size_t begin, key_end, data, end;
    unsigned wire;
} field;

static unsigned pick(uint64_t *state, unsigned n)
{
    *state = *state * 6364136223846793005u + 1442695040888963407u;
    return (unsigned)(*state >> 33) % n;
}

static bool read_varint(const uint8_t *in, size_t n, size_t *at, uint64_t *value_out)
{
    uint64_t value = 0;

    for (unsigned shift = 0; shift < 70; shift += 7) {
        if (*at >= n)
            return false;
        value |= (uint64_t)(in[*at] & 127) << (shift < 64 ? shift : 63);
        if (in[(*at)++] < 128) {
            *value_out = value;
            return true;
        }
    }
    return false;
}

static size_t write_varint(uint8_t *out, uint64_t value)
{
    size_t n = 0;

    for (; value > 127; value >>= 7)
        out[n++] = (uint8_t)(value | 128);
    out[n++] = (uint8_t)value;
    return n;
}

static bool read_field(const uint8_t *in, size_t n, size_t at, field *field_out)
{
    field f = {.begin = at};
    uint64_t key, length;

    if (!read_varint(in, n, &at, &key) || key < 8)
        return false;
    f.wire = key & 7;
    f.key_end = f.data = at;
    if (f.wire == WIRE_VARINT) {
        if (!read_varint(in, n, &at, &length))
            return false;
        f.end = at;
    } else {
        length = f.wire == WIRE_FIXED64 ? 8 : 4;
        if (f.wire == WIRE_BYTES && !read_varint(in, n, &at, &length))
            return false;
        if ((f.wire != WIRE_BYTES && f.wire != WIRE_FIXED64 && f.wire != WIRE_FIXED32) ||
            length > n - at)
            return false;
        f.data = at;
        f.end = at + (size_t)length;
    }
    *field_out = f;
    return true;
}

/* Number of fields, 0 when the bytes are no message. */
static unsigned count_fields(const uint8_t *in, size_t n)
{
    unsigned count = 0;
    field f = {0};

    while (f.end < n) {
        if (!read_field(in, n, f.end, &f))
            return 0;
        count++;
    }
    return count;
}

/* Mostly the field at a random byte, so that what is long and deep is changed most. */
static void choose_field(const uint8_t *in, size_t n, unsigned count, field *f, uint64_t *state)
{
    const bool is_by_byte = pick(state, 4) > 0;
    const unsigned choice = pick(state, is_by_byte ? (unsigned)n : count);

    for (unsigned i = 0; f->end < n && (is_by_byte ? f->end <= choice : i <= choice); i++)
        (void)read_field(in, n, f->end, f);
}

static uint64_t other_number(uint64_t number, uint64_t *state)
{
    switch (pick(state, 6)) {
    case 0:
        return number + 1;
    case 1:
        return number - 1;
    case 2:
        return pick(state, 32);
    case 3:
        return (uint64_t)1 << pick(state, 64);
    case 4:
        return 0 - number;
    default:
        return ((uint64_t)1 << pick(state, 64)) - 1;
    }
}

static size_t change(const uint8_t *in, size_t n, uint8_t *out, size_t room, int depth,
                     uint64_t *state);

/* The new value of f, its length in front of it where it has one; 0 when it does not fit. */
static size_t change_value(const uint8_t *in, const field *f, uint8_t *out, size_t room, int depth,
                           uint64_t *state)
{
    const size_t n = f->end - f->data;
    size_t at = f->data, n_changed, n_length;
    uint8_t length[VARINT_BYTES];
    uint64_t number = 0;

    if (room < n + 2 * VARINT_BYTES)
        return 0;
    if (f->wire == WIRE_VARINT) {
        (void)read_varint(in, f->end, &at, &number);
        return write_varint(out, other_number(number, state));
    }
    if (f->wire != WIRE_BYTES) {
        memcpy(out, in + f->data, n);
        (void)LLVMFuzzerMutate(out, n, n);
        return n;
    }
    n_changed = change(in + f->data, n, out + VARINT_BYTES, room - VARINT_BYTES, depth - 1, state);
    n_length = write_varint(length, n_changed);
    memmove(out + n_length, out + VARINT_BYTES, n_changed);
    memcpy(out, length, n_length);
    return n_length + n_changed;
}

/* Changes in[0, n) into out[0, room), room >= n; answers the new size. */
static size_t change(const uint8_t *in, size_t n, uint8_t *out, size_t room, int depth,
                     uint64_t *state)
{
    const unsigned count = depth > 0 ? count_fields(in, n) : 0;
    const unsigned action = pick(state, 16);
    field f = {0};
    size_t at, n_value;

    if (room < n)
        return 0;
    if (!count) {
        memcpy(out, in, n);
        return room ? LLVMFuzzerMutate(out, n, room) : 0;
    }
    choose_field(in, n, count, &f, state);
    memcpy(out, in, n);
    if (action == 0) { /* erase */
        memcpy(out + f.begin, in + f.end, n - f.end);
        return n - (f.end - f.begin);
    }
    if (action == 1) { /* double */
        if (room - n < f.end - f.begin)
            return n;
        memcpy(out + f.end, in + f.begin, n - f.begin);
        return n + f.end - f.begin;
    }
    n_value = change_value(in, &f, out + f.key_end, room - f.key_end - (n - f.end), depth, state);
    at = f.key_end + n_value;
    if (!n_value) {
        memcpy(out, in, n);
        return n;
    }
    memcpy(out + at, in + f.end, n - f.end);
    return at + n - f.end;
}

size_t fuzz_mutate_protobuf(uint8_t *data, size_t size, size_t max_size, unsigned seed)
{
    uint8_t *const out = malloc(max_size ? max_size : 1);
    uint64_t state = seed;
    size_t n = 0;

    if (out)
        n = change(data, size, out, max_size, MOST_DEPTH, &state);
    if (n)
        memcpy(data, out, n);
    free(out);
    return n ? n : size;
}
