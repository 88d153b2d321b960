/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Property: any bytes parse as an .npy header or are refused with a message; a header that parsed
 * is consistent, within limits, and equal after it was written and parsed again; data that follow
 * it convert to each element type or are refused.
 */
#include <stdlib.h>
#include <string.h>

#include "data/npy.h"
#include "tests/fuzz/fuzz_file.h"

static void check_round_trip(const tspk_npy_header *header)
{
    uint8_t text[TSPK_NPY_HEADER_MAX];
    const size_t n = tspk_npy_format(header->type, &header->shape, text);
    tspk_npy_header again;
    tspk_error err;

    tspk_error_init(&err);
    if (!n || n > sizeof text || tspk_npy_parse(text, n, &again, &err) != TSPK_OK ||
        again.type != header->type || !tspk_shape_equal(&again.shape, &header->shape) ||
        again.data_bytes != header->data_bytes || again.data_offset != n)
        abort();
}

static void convert(const tspk_npy_header *header, const uint8_t *data, size_t n)
{
    static const tspk_npy_type wanted[] = {TSPK_NPY_F4, TSPK_NPY_I8, TSPK_NPY_B1};

    for (size_t i = 0; i < sizeof wanted / sizeof wanted[0]; i++) {
        void *const out = malloc(n ? n * tspk_npy_type_bytes(wanted[i]) : 1);
        tspk_error err;

        tspk_error_init(&err);
        if (out && tspk_npy_convert(header->type, data, n, wanted[i], out, &err) != TSPK_OK &&
            !err.message[0])
            abort();
        free(out);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    tspk_npy_header header;
    tspk_error err;
    size_t n;

    tspk_error_init(&err);
    if (tspk_npy_parse(data, size, &header, &err) != TSPK_OK) {
        if (!err.message[0])
            abort();
        return 0;
    }
    if (header.data_offset > size || header.shape.rank > TSPK_MAX_RANK ||
        header.data_bytes != tspk_shape_elems(&header.shape) * tspk_npy_type_bytes(header.type))
        abort();
    check_round_trip(&header);
    n = header.data_bytes < size - header.data_offset ? header.data_bytes
                                                      : size - header.data_offset;
    convert(&header, data + header.data_offset, n / tspk_npy_type_bytes(header.type));
    return 0;
}
