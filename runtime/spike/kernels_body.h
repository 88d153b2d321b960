/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The kernels that a compiler vectorises well by itself, compiled once per instruction set: the
 * file that includes this defines KERNEL, the prefix of every function (`static`, a target
 * attribute).
 */
#include <string.h>

KERNEL void pack_rows(size_t inner, size_t width, const int16_t *level, size_t ldl, int16_t *tiles)
{
    const size_t pairs = (inner + 1) / 2;

    for (size_t row = 0; row < width; row += TSPK_LANES, tiles += pairs * 2 * TSPK_LANES) {
        const size_t n = width - row < TSPK_LANES ? width - row : TSPK_LANES;

        memset(tiles, 0, pairs * 2 * TSPK_LANES * sizeof *tiles);
        for (size_t lane = 0; lane < n; lane++) {
            const int16_t *const from = level + (row + lane) * ldl;

            for (size_t p = 0; p < pairs; p++) {
                tiles[(p * TSPK_LANES + lane) * 2] = from[2 * p];
                if (2 * p + 1 < inner)
                    tiles[(p * TSPK_LANES + lane) * 2 + 1] = from[2 * p + 1];
            }
        }
    }
}

KERNEL void pack(size_t inner, size_t width, const int16_t *level, size_t ldl, int16_t *tiles)
{
    const size_t pairs = (inner + 1) / 2;

    for (size_t column = 0; column < width; column += TSPK_LANES) {
        const size_t n = width - column < TSPK_LANES ? width - column : TSPK_LANES;

        for (size_t p = 0; p < pairs; p++, tiles += 2 * TSPK_LANES) {
            const int16_t *const first = level + 2 * p * ldl + column;
            const int16_t *const second = 2 * p + 1 < inner ? first + ldl : NULL;

            if (n < TSPK_LANES || !second)
                memset(tiles, 0, 2 * TSPK_LANES * sizeof *tiles);
            if (second)
                for (size_t lane = 0; lane < n; lane++) {
                    tiles[2 * lane] = first[lane];
                    tiles[2 * lane + 1] = second[lane];
                }
            else
                for (size_t lane = 0; lane < n; lane++)
                    tiles[2 * lane] = first[lane];
        }
    }
}
