/* SPDX-License-Identifier: Apache-2.0 */
/*
 * AVX-512 with VNNI. Bytes: vpdpbusd multiplies an unsigned with a signed byte, so a packed weight
 * is w + 128, and a sum starts at -128 Σ level. Words: vpdpwssd. Both take 4 bytes of a row of
 * levels a step, so that one register block serves both.
 */
#include "runtime/spike/kernels_avx512_dense.h"

#if TSPK_HAVE_X86

/* A block of rows and the tiles of one pass, where it is in the memory of each operand. */
typedef struct linear_block {
    const uint8_t *level, *weight;
    const int32_t *start;
    const float *scale;
    float *z;
    size_t row, rows, column; /* first row, those that are there, first column */
    size_t n_groups;          /* of this pass */
    bool is_first, is_last;   /* pass over the groups */
    __mmask16 mask[BLOCK_TILES];
} linear_block;

/* Some groups of a block; after the last its rows are finished. */
static AVX512 TSPK_ALWAYS_INLINE void sum_block(const size_t tiles, const bool is_byte,
                                                const size_t whole, const tspk_linear_args *args,
                                                const linear_block *block)
{
    const size_t steps = args->group / step_of(is_byte), group_bytes = steps * CHUNK_BYTES;
    const size_t tile_bytes = args->n_groups * group_bytes;
    const size_t panel_group = chunks_of(is_byte, args->group) * PANEL_CHUNK;
    const uint8_t *level = block->level, *weight = block->weight;
    const int32_t *start = block->start, *const end = start + block->n_groups * START_ROWS;
    const float *scale = block->scale;
    __m512i sum[BLOCK_ROWS * BLOCK_TILES];
    __m512 z[BLOCK_ROWS * BLOCK_TILES];

#pragma GCC unroll 12
    for (size_t i = 0; i < BLOCK_ROWS * tiles; i++)
        z[i] = _mm512_setzero_ps();
    if (!block->is_first) {
#pragma GCC unroll 12
        for (size_t i = 0; i < BLOCK_ROWS * tiles; i++)
            z[i] = _mm512_loadu_ps(block->z + i * TSPK_LANES);
    }
    for (; start < end; start += START_ROWS) {
        sum_group(tiles, is_byte, whole, steps, level, start, weight, tile_bytes, sum);
#pragma GCC unroll 2
        for (size_t c = 0; c < tiles; c++) {
            const __m512 s = _mm512_loadu_ps(scale + c * args->n_groups * TSPK_LANES);

#pragma GCC unroll 6
            for (size_t r = 0; r < BLOCK_ROWS; r++) {
                const size_t i = r * tiles + c;

                z[i] = _mm512_fmadd_ps(s, _mm512_cvtepi32_ps(sum[i]), z[i]);
            }
        }
        level += panel_group;
        weight += group_bytes;
        scale += TSPK_LANES;
    }
    if (!block->is_last) {
#pragma GCC unroll 12
        for (size_t i = 0; i < BLOCK_ROWS * tiles; i++)
            _mm512_storeu_ps(block->z + i * TSPK_LANES, z[i]);
        return;
    }
    if (args->y || args->divisor > 0.0f) {
#pragma GCC unroll 6
        for (size_t r = 0; r < BLOCK_ROWS; r++)
            if (r < block->rows)
                finish(tiles, args, block->row + r, block->column, block->mask, z + r * tiles);
    } else {
        const uint8_t *const class = args->row_class + block->row;
        const float *const bias = args->bias + block->column;
        float *const out = args->out + block->row * args->ldo + block->column;

#pragma GCC unroll 6
        for (size_t r = 0; r < BLOCK_ROWS; r++)
            if (r < block->rows)
                finish_once(tiles, args->rho + class[r], bias + class[r] * args->ldbias,
                            out + r * args->ldo, block->mask, z + r * tiles);
    }
}

/* One or two tiles of all rows of a panel, as many groups at a time as stay near. */
static AVX512 TSPK_ALWAYS_INLINE void linear_tiles(const size_t tiles, const bool is_byte,
                                                   const size_t whole, const tspk_linear_args *args,
                                                   const row_panel *panel, size_t first,
                                                   size_t tile)
{
    const size_t n_groups = args->n_groups;
    const size_t group_bytes = args->group / step_of(is_byte) * CHUNK_BYTES;
    const size_t panel_group = chunks_of(is_byte, args->group) * PANEL_CHUNK;
    const size_t pair = BLOCK_TILES * group_bytes, near = pair < NEAR_BYTES ? NEAR_BYTES / pair : 1;
    const size_t rows = args->rows - first < PANEL_ROWS ? args->rows - first : PANEL_ROWS;
    const size_t last = (tile + tiles - 1) * TSPK_LANES;
    linear_block block = {
        .column = tile * TSPK_LANES,
        .mask = {tiles > 1 ? 0xffff : mask_of(args->n, last), mask_of(args->n, last)}};

    for (size_t g = 0; g < n_groups; g += near) {
        block.weight = (const uint8_t *)args->weight + (tile * n_groups + g) * group_bytes;
        block.scale = args->scale + (tile * n_groups + g) * TSPK_LANES;
        block.level = panel->level + g * panel_group;
        block.start = panel->start + g * START_ROWS;
        block.z = panel->z;
        block.n_groups = n_groups - g < near ? n_groups - g : near;
        block.is_first = g == 0;
        block.is_last = g + near >= n_groups;
        for (size_t row = 0; row < rows; row += BLOCK_ROWS) {
            block.row = first + row;
            block.rows = rows - row < BLOCK_ROWS ? rows - row : BLOCK_ROWS;
            sum_block(tiles, is_byte, whole, args, &block);
            block.level += panel->block_bytes;
            block.start += n_groups * START_ROWS;
            block.z += BLOCK_ROWS * BLOCK_TILES * TSPK_LANES;
        }
    }
}

static AVX512 TSPK_ALWAYS_INLINE void linear_rows(const bool is_byte, const size_t whole,
                                                  const tspk_linear_args *args)
{
    const row_panel panel = carve_panel(is_byte, args->n_groups, args->group, args->scratch);
    const size_t tiles = tspk_pad_lanes(args->n) / TSPK_LANES;

    for (size_t first = 0; first < args->rows; first += PANEL_ROWS) {
        const size_t left = args->rows - first;
        size_t tile = 0;

        make_panel(is_byte, left < PANEL_ROWS ? left : PANEL_ROWS, args->n_groups, args->group,
                   args->level + first * args->ldl, args->ldl, &panel);
        for (; tile + BLOCK_TILES <= tiles; tile += BLOCK_TILES)
            linear_tiles(BLOCK_TILES, is_byte, whole, args, &panel, first, tile);
        if (tile < tiles)
            linear_tiles(1, is_byte, whole, args, &panel, first, tile);
    }
}

static AVX512 void linear(const tspk_linear_args *args)
{
    const bool is_byte = args->width == TSPK_WIDTH_BYTE;

    if (is_byte && args->group == 64)
        linear_rows(true, 1, args);
    else if (is_byte)
        linear_rows(true, 0, args);
    else if (args->group == 64)
        linear_rows(false, 2, args);
    else
        linear_rows(false, 0, args);
}

static size_t scratch_bytes(size_t n_groups, size_t group)
{
    const size_t panel = tspk_avx512_panel_bytes(n_groups, group);
    const size_t events = tspk_avx512_event_bytes(n_groups, group);

    return panel > events ? panel : events;
}

const tspk_kernels tspk_kernels_avx512vnni = {
    .name = "avx512vnni",
    .step = {4, 2},
    .byte_offset = BYTE_OFFSET,
    .linear_event_rate = 0.008f,
    .product_event_rate = 0.05f,
    .scratch_bytes = scratch_bytes,
    .linear = linear,
    .linear_events = tspk_avx512_linear_events,
    .product = tspk_avx512_product,
    .product_events = tspk_avx512_product_events,
    .pack_columns = tspk_avx512_pack_columns,
    .pack_rows = tspk_avx512_pack_rows,
};
#endif
