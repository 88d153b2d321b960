/* SPDX-License-Identifier: Apache-2.0 */
/* Dense products with VNNI: levels in panels, sums in a register block. */
#ifndef TSPK_RUNTIME_SPIKE_KERNELS_AVX512_DENSE_H
#define TSPK_RUNTIME_SPIKE_KERNELS_AVX512_DENSE_H

#include "runtime/spike/kernels_avx512.h"

#if TSPK_HAVE_X86
#include <string.h>

/* A register block: 6 rows of two vectors of int32 sums, as many of float sums, two vectors of
 * weights and one of levels. */
#define BLOCK_ROWS  6
#define BLOCK_TILES 2

/* A product of planes keeps no float sums in registers: up to four tiles. */
#define MOST_TILES 4

/* Rows that pass by a pair of tiles before the next pair is loaded; what of it stays in the
 * first cache meanwhile is NEAR_BYTES. */
#define PANEL_ROWS   48
#define PANEL_BLOCKS (PANEL_ROWS / BLOCK_ROWS)

/* A panel holds the levels of some rows: [block][chunk][BLOCK_ROWS][CHUNK_BYTES], so that a row is
 * a constant distance from the next. Groups begin with a chunk; missing rows are silent. */
#define PANEL_CHUNK (BLOCK_ROWS * CHUNK_BYTES)

/* Levels of some rows, where their sums start, and Σ_g of a pair of tiles so far. */
typedef struct row_panel {
    uint8_t *level; /* [blocks][chunks of all groups][PANEL_CHUNK] */
    int32_t *start; /* [blocks][n_groups][START_ROWS] */
    float *z;       /* [blocks][BLOCK_ROWS][BLOCK_TILES][LANES] */
    size_t block_bytes;
} row_panel;

/* Rows of a block, padded for what is computed by fours. */
#define START_ROWS 8

static inline size_t chunks_of(bool is_byte, size_t group)
{
    const size_t positions = CHUNK_STEPS * step_of(is_byte);

    return (group + positions - 1) / positions;
}

static inline size_t z_bytes(void)
{
    return PANEL_ROWS * BLOCK_TILES * TSPK_LANES * sizeof(float);
}

static inline size_t panel_bytes(bool is_byte, size_t n_groups, size_t group)
{
    return PANEL_BLOCKS * n_groups * chunks_of(is_byte, group) * PANEL_CHUNK;
}

static inline row_panel carve_panel(bool is_byte, size_t n_groups, size_t group, void *scratch)
{
    const size_t bytes = panel_bytes(is_byte, n_groups, group);
    const row_panel panel = {(uint8_t *)scratch + z_bytes(),
                             (int32_t *)((uint8_t *)scratch + z_bytes() + bytes), scratch,
                             bytes / PANEL_BLOCKS};

    return panel;
}

/* One group of a block of rows. */
static AVX512 TSPK_ALWAYS_INLINE void make_block(const bool is_byte, size_t rows, size_t group,
                                                 const int16_t *level, size_t ldl, uint8_t *to,
                                                 int32_t *start)
{
    const size_t positions = CHUNK_STEPS * step_of(is_byte);
    __m512i sum[START_ROWS];

#pragma GCC unroll 8
    for (size_t r = 0; r < START_ROWS; r++)
        sum[r] = _mm512_setzero_si512();
    for (size_t from = 0; from < group; from += positions, to += PANEL_CHUNK) {
        const size_t n = group - from < positions ? group - from : positions;

#pragma GCC unroll 6
        for (size_t r = 0; r < BLOCK_ROWS; r++) {
            __m512i v = _mm512_setzero_si512();

            if (r < rows)
                v = is_byte ? load_bytes(level + r * ldl + from, n)
                            : load_words(level + r * ldl + from, n);
            if (is_byte)
                sum[r] = _mm512_dpbusd_epi32(sum[r], _mm512_set1_epi8(1), v);
            _mm512_storeu_si512(to + r * CHUNK_BYTES, v);
        }
    }
    if (is_byte) {
        const __m128i factor = _mm_set1_epi32(-BYTE_OFFSET);

        _mm_storeu_si128((__m128i *)start, _mm_mullo_epi32(add_lanes(sum), factor));
        _mm_storeu_si128((__m128i *)(start + 4), _mm_mullo_epi32(add_lanes(sum + 4), factor));
    }
}

static AVX512 TSPK_ALWAYS_INLINE void make_panel(const bool is_byte, size_t rows, size_t n_groups,
                                                 size_t group, const int16_t *level, size_t ldl,
                                                 const row_panel *panel)
{
    const size_t group_bytes = chunks_of(is_byte, group) * PANEL_CHUNK;

    for (size_t first = 0, block = 0; first < rows; first += BLOCK_ROWS, block++)
        for (size_t g = 0; g < n_groups; g++)
            make_block(is_byte, rows - first, group, level + first * ldl + g * group, ldl,
                       panel->level + block * panel->block_bytes + g * group_bytes,
                       panel->start + (block * n_groups + g) * START_ROWS);
}

static AVX512 TSPK_ALWAYS_INLINE __m512i broadcast_step(const uint8_t *from)
{
    int32_t step;

    memcpy(&step, from, sizeof step);
    return _mm512_set1_epi32(step);
}

/* One step of a block of rows and some tiles. */
static AVX512 TSPK_ALWAYS_INLINE void sum_step(const size_t tiles, const bool is_byte,
                                               const uint8_t *level, const uint8_t *weight,
                                               size_t tile_bytes, __m512i *sum)
{
    __m512i w[MOST_TILES];

#pragma GCC unroll 4
    for (size_t c = 0; c < tiles; c++)
        w[c] = _mm512_loadu_si512(weight + c * tile_bytes);
#pragma GCC unroll 6
    for (size_t r = 0; r < BLOCK_ROWS; r++) {
        const __m512i x = broadcast_step(level + r * CHUNK_BYTES);

#pragma GCC unroll 4
        for (size_t c = 0; c < tiles; c++) {
            sum[r * tiles + c] = multiply_add(is_byte, sum[r * tiles + c], w[c], x);
            TSPK_IN_REGISTER(sum[r * tiles + c]);
        }
    }
}

/* sum[r * tiles + c]: 16 columns of tile c of row r over the steps of a group. `whole`: as
 * many whole chunks, known to the compiler; 0: any number of steps. */
static AVX512 TSPK_ALWAYS_INLINE void sum_group(const size_t tiles, const bool is_byte,
                                                const size_t whole, size_t steps,
                                                const uint8_t *level, const int32_t *start,
                                                const uint8_t *weight, size_t tile_bytes,
                                                __m512i *sum)
{
    const size_t chunks = whole ? whole : steps / CHUNK_STEPS;

#pragma GCC unroll 6
    for (size_t r = 0; r < BLOCK_ROWS; r++)
#pragma GCC unroll 4
        for (size_t c = 0; c < tiles; c++)
            sum[r * tiles + c] = is_byte ? _mm512_set1_epi32(start[r]) : _mm512_setzero_si512();
    for (size_t chunk = 0; chunk < chunks; chunk++) {
#pragma GCC unroll 16
        for (size_t step = 0; step < CHUNK_STEPS; step++)
            sum_step(tiles, is_byte, level + 4 * step, weight + step * CHUNK_BYTES, tile_bytes,
                     sum);
        level += PANEL_CHUNK;
        weight += CHUNK_STEPS * CHUNK_BYTES;
    }
    for (size_t step = chunks * CHUNK_STEPS; !whole && step < steps;
         step++, level += 4, weight += CHUNK_BYTES)
        sum_step(tiles, is_byte, level, weight, tile_bytes, sum);
}

/** Bytes of a panel of either width, and of what goes with it. */
static inline size_t tspk_avx512_panel_bytes(size_t n_groups, size_t group)
{
    return z_bytes() + panel_bytes(false, n_groups, group) +
           PANEL_BLOCKS * n_groups * START_ROWS * sizeof(int32_t);
}

/* Entries of the table, kernels_avx512_products.c. */
void tspk_avx512_product(const tspk_product_args *args);
void tspk_avx512_pack_columns(tspk_width width, size_t inner, size_t columns, const int16_t *level,
                              size_t ldl, void *packed);
void tspk_avx512_pack_rows(tspk_width width, size_t inner, size_t columns, const int16_t *level,
                           size_t ldl, void *packed);

#endif
#endif
