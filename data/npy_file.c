/* SPDX-License-Identifier: Apache-2.0 */
/* Whole .npy files: read with conversion, written atomically. */
#include "data/npy.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "core/atomic_file.h"
#include "core/fail.h"

/* IEEE 754 binary16 to binary32; exact. */
static float half_to_float(uint16_t half)
{
    const uint32_t sign = (uint32_t)(half >> 15) << 31;
    uint32_t exponent = (half >> 10) & 0x1f, fraction = half & 0x3ff, bits;
    float value;

    if (exponent == 0x1f) {
        bits = sign | 0x7f800000u | fraction << 13;
    } else if (exponent == 0 && fraction == 0) {
        bits = sign;
    } else {
        exponent += 127 - 15;
        if ((half & 0x7c00) == 0) {
            exponent++;
            while (!(fraction & 0x400)) {
                fraction <<= 1;
                exponent--;
            }
            fraction &= 0x3ff;
        }
        bits = sign | exponent << 23 | fraction << 13;
    }
    memcpy(&value, &bits, sizeof value);
    return value;
}

#define LOAD(name, ctype)                                                                          \
    static ctype name(const uint8_t *bytes, size_t i)                                              \
    {                                                                                              \
        ctype value;                                                                               \
        memcpy(&value, bytes + i * sizeof value, sizeof value);                                    \
        return value;                                                                              \
    }
LOAD(load_f4, float)
LOAD(load_f8, double)
LOAD(load_u2, uint16_t)
LOAD(load_i2, int16_t)
LOAD(load_u4, uint32_t)
LOAD(load_i4, int32_t)
LOAD(load_u8, uint64_t)
LOAD(load_i8, int64_t)

static double element_as_double(tspk_npy_type type, const uint8_t *bytes, size_t i)
{
    switch (type) {
    case TSPK_NPY_F4:
        return (double)load_f4(bytes, i);
    case TSPK_NPY_F8:
        return load_f8(bytes, i);
    case TSPK_NPY_F2:
        return (double)half_to_float(load_u2(bytes, i));
    case TSPK_NPY_I1:
        return (double)(int8_t)bytes[i];
    case TSPK_NPY_U1:
        return (double)bytes[i];
    case TSPK_NPY_I2:
        return (double)load_i2(bytes, i);
    case TSPK_NPY_U2:
        return (double)load_u2(bytes, i);
    case TSPK_NPY_I4:
        return (double)load_i4(bytes, i);
    case TSPK_NPY_U4:
        return (double)load_u4(bytes, i);
    case TSPK_NPY_I8:
        return (double)load_i8(bytes, i);
    case TSPK_NPY_U8:
        return (double)load_u8(bytes, i);
    case TSPK_NPY_B1:
        return bytes[i] ? 1.0 : 0.0;
    }
    return 0.0;
}

static tspk_status element_as_int64(tspk_npy_type type, const uint8_t *bytes, size_t i,
                                    int64_t *value_out, tspk_error *err)
{
    if (type == TSPK_NPY_I8) {
        *value_out = load_i8(bytes, i);
    } else if (type == TSPK_NPY_U8) {
        const uint64_t value = load_u8(bytes, i);

        if (value > (uint64_t)INT64_MAX)
            return TSPK_FAIL(err, TSPK_RANGE, "element %zu does not fit an int64", i);
        *value_out = (int64_t)value;
    } else {
        const double value = element_as_double(type, bytes, i);

        if (!(value >= -0x1p63 && value < 0x1p63))
            return TSPK_FAIL(err, TSPK_RANGE, "element %zu (%g) does not fit an int64", i, value);
        *value_out = (int64_t)value;
    }
    return TSPK_OK;
}

tspk_status tspk_npy_convert(tspk_npy_type type, const void *data, size_t n, tspk_npy_type want,
                             void *out, tspk_error *err)
{
    const uint8_t *bytes = data;

    switch (want) {
    case TSPK_NPY_F4:
        for (size_t i = 0; i < n; i++)
            ((float *)out)[i] = type == TSPK_NPY_I8   ? (float)load_i8(bytes, i)
                                : type == TSPK_NPY_U8 ? (float)load_u8(bytes, i)
                                                      : (float)element_as_double(type, bytes, i);
        return TSPK_OK;
    case TSPK_NPY_I8:
        for (size_t i = 0; i < n; i++)
            TSPK_TRY(element_as_int64(type, bytes, i, (int64_t *)out + i, err));
        return TSPK_OK;
    case TSPK_NPY_B1:
        for (size_t i = 0; i < n; i++)
            ((uint8_t *)out)[i] = element_as_double(type, bytes, i) != 0.0;
        return TSPK_OK;
    default:
        return TSPK_FAIL(err, TSPK_USAGE, "npy: conversion to type %d", (int)want);
    }
}

static tspk_status read_exactly(FILE *file, uint8_t *bytes, size_t n, size_t *got_out,
                                tspk_error *err)
{
    *got_out = fread(bytes, 1, n, file);
    if (*got_out < n && ferror(file))
        return TSPK_FAIL(err, TSPK_IO, "cannot be read: %s", strerror(errno));
    return TSPK_OK;
}

tspk_status tspk_npy_read_header(FILE *file, tspk_npy_header *header_out, tspk_error *err)
{
    uint8_t *bytes = malloc(TSPK_NPY_READ_MAX);
    tspk_status status;
    size_t got = 0, more = 0, length;

    if (!bytes)
        return TSPK_FAIL(err, TSPK_NOMEM, "no memory for the header");
    status = read_exactly(file, bytes, 12, &got, err);
    if (status != TSPK_OK)
        goto done;
    if (got == 12 && memcmp(bytes, "\x93NUMPY", 6) == 0) {
        length = (size_t)bytes[8] | (size_t)bytes[9] << 8;
        if (bytes[6] == 1)
            length = length > 2 ? length - 2 : 0;
        else
            length |= (size_t)bytes[10] << 16 | (size_t)bytes[11] << 24;
        if (length <= TSPK_NPY_READ_MAX - 12)
            status = read_exactly(file, bytes + 12, length, &more, err);
        if (status != TSPK_OK)
            goto done;
    }
    status = tspk_npy_parse(bytes, got + more, header_out, err);
    if (status == TSPK_OK && header_out->data_offset != got + more)
        status = TSPK_FAIL(err, TSPK_FORMAT, "npy: header of %zu bytes", header_out->data_offset);
done:
    free(bytes);
    return status;
}

/* Reads `n` bytes, growing with what really comes, so that a short file cannot ask for much. */
static tspk_status read_grown(FILE *file, size_t n, uint8_t **bytes_out, tspk_error *err)
{
    uint8_t *bytes = NULL;
    size_t have = 0, size = 0;

    while (have < n || !bytes) {
        const size_t step = (size_t)16 << 20;
        size_t got;
        uint8_t *grown;

        size = size < step ? step : size * 2;
        if (size > n)
            size = n;
        grown = realloc(bytes, size ? size : 1);
        if (!grown) {
            free(bytes);
            return TSPK_FAIL(err, TSPK_NOMEM, "no memory for %zu bytes", size);
        }
        bytes = grown;
        if (read_exactly(file, bytes + have, size - have, &got, err) != TSPK_OK) {
            free(bytes);
            return TSPK_IO;
        }
        have += got;
        if (have < size) {
            free(bytes);
            return TSPK_FAIL(err, TSPK_FORMAT, "npy: truncated, %zu of %zu data bytes", have, n);
        }
    }
    *bytes_out = bytes;
    return TSPK_OK;
}

static tspk_status read_converted(FILE *file, tspk_npy_type want, tspk_shape *shape_out,
                                  void **data_out, tspk_npy_type *stored_out, tspk_error *err)
{
    tspk_npy_header header;
    uint8_t *raw = NULL;
    void *converted;
    tspk_status status;
    size_t elems;

    TSPK_TRY(tspk_npy_read_header(file, &header, err));
    TSPK_TRY(read_grown(file, header.data_bytes, &raw, err));
    if (fgetc(file) != EOF) {
        free(raw);
        return TSPK_FAIL(err, TSPK_FORMAT, "npy: more than its %zu data bytes", header.data_bytes);
    }
    if (stored_out)
        *stored_out = header.type;
    if (header.type == want) {
        *data_out = raw;
        *shape_out = header.shape;
        return TSPK_OK;
    }
    elems = tspk_shape_elems(&header.shape);
    converted = malloc(elems ? elems * tspk_npy_type_bytes(want) : 1);
    if (!converted) {
        free(raw);
        return TSPK_FAIL(err, TSPK_NOMEM, "no memory for %zu elements", elems);
    }
    status = tspk_npy_convert(header.type, raw, elems, want, converted, err);
    free(raw);
    if (status != TSPK_OK) {
        free(converted);
        return status;
    }
    *data_out = converted;
    *shape_out = header.shape;
    return TSPK_OK;
}

tspk_status tspk_npy_read_file(const char *path, tspk_npy_type want, tspk_shape *shape_out,
                               void **data_out, tspk_npy_type *stored_out, tspk_error *err)
{
    FILE *file = fopen(path, "rb");
    tspk_status status;

    if (!file)
        return TSPK_FAIL(err, TSPK_IO, "%s: cannot be opened: %s", path, strerror(errno));
    status = read_converted(file, want, shape_out, data_out, stored_out, err);
    fclose(file);
    return tspk_in_file(err, status, path);
}

tspk_status tspk_npy_write_file(const char *path, tspk_npy_type type, const tspk_shape *shape,
                                const void *data, tspk_error *err)
{
    uint8_t header[TSPK_NPY_HEADER_MAX];
    const size_t length = tspk_npy_format(type, shape, header);
    tspk_atomic_file *file;
    tspk_status status;

    TSPK_TRY(tspk_atomic_file_open(path, &file, err));
    status = tspk_atomic_file_write(file, header, length, err);
    if (status == TSPK_OK)
        status = tspk_atomic_file_write(file, data,
                                        tspk_shape_elems(shape) * tspk_npy_type_bytes(type), err);
    if (status != TSPK_OK) {
        tspk_atomic_file_close(file, false, NULL);
        return status;
    }
    return tspk_atomic_file_close(file, true, err);
}
