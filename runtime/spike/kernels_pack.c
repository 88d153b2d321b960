/* SPDX-License-Identifier: Apache-2.0 */
#include "runtime/spike/kernels_pack.h"

size_t tspk_packed_bytes(tspk_width width, size_t n_groups, size_t group, size_t columns)
{
    return tspk_pad_lanes(columns) * n_groups * tspk_pad_step(group) * tspk_elem_bytes(width);
}

/* A column of a group: `step` positions side by side, then the next step's. */
static void pack_bytes(size_t step, uint8_t offset, size_t group_size, const int8_t *weight,
                       uint8_t *to)
{
    size_t p = 0;

    /* adding 0 or 128 to a byte is an exclusive or, which has no carry into the next byte */
    for (; step == 4 && offset % 128 == 0 && p + 4 <= group_size; p += 4, to += TSPK_LANES * 4) {
        uint32_t four;

        memcpy(&four, weight + p, sizeof four);
        four ^= offset * 0x01010101u;
        memcpy(to, &four, sizeof four);
    }
    for (; p < group_size; p += step, to += TSPK_LANES * step)
        for (size_t i = 0; i < step && p + i < group_size; i++)
            to[i] = (uint8_t)(weight[p + i] + offset);
}

static void pack_words(size_t step, size_t group_size, const void *weight, uint32_t weight_bits,
                       int16_t *to)
{
    for (size_t p = 0; p < group_size; p += step, to += TSPK_LANES * step)
        for (size_t i = 0; i < step && p + i < group_size; i++)
            to[i] = weight_bits == 8 ? ((const int8_t *)weight)[p + i]
                                     : ((const int16_t *)weight)[p + i];
}

void tspk_pack_weights(const tspk_kernels *kernels, tspk_width width, size_t n,
                       const uint32_t *output, size_t n_groups, size_t group_size,
                       const void *weight, uint32_t weight_bits, const float *scale, void *packed,
                       float *scale_tiles)
{
    const size_t group = tspk_pad_step(group_size), step = kernels->step[width];
    const size_t bytes = tspk_packed_bytes(width, n_groups, group, n);

    memset(packed, width == TSPK_WIDTH_BYTE ? kernels->byte_offset : 0, bytes);
    memset(scale_tiles, 0, tspk_pad_lanes(n) * n_groups * sizeof *scale_tiles);
    for (size_t o = 0; o < n; o++)
        for (size_t g = 0; g < n_groups; g++) {
            const size_t tile = o / TSPK_LANES * n_groups + g, lane = o % TSPK_LANES;
            const size_t to = tile * group * TSPK_LANES + lane * step;
            const size_t row = output ? output[o] : o;
            const size_t from = (row * n_groups + g) * group_size * (weight_bits / 8);

            scale_tiles[tile * TSPK_LANES + lane] = scale[g * n + row];
            if (width == TSPK_WIDTH_BYTE)
                pack_bytes(step, kernels->byte_offset, group_size, (const int8_t *)weight + from,
                           (uint8_t *)packed + to);
            else
                pack_words(step, group_size, (const uint8_t *)weight + from, weight_bits,
                           (int16_t *)packed + to);
        }
}
