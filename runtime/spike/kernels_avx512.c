/* SPDX-License-Identifier: Apache-2.0 */
/*
 * AVX-512 with VNNI. Bytes: vpdpbusd multiplies an unsigned with a signed byte, so a packed weight
 * is w + 128, and a sum starts at -128 Σ level. Words: vpdpwssd. Both take 4 bytes of a row of
 * levels a step, so that one register block serves both.
 */
#include "runtime/spike/kernels_avx512.h"

#if TSPK_HAVE_X86
#include <string.h>

/* A register block: 6 rows of two vectors of int32 sums, as many of float sums, two vectors of
 * weights and one of levels. */
#define BLOCK_ROWS  6
#define BLOCK_TILES 2

/* Rows that pass by a pair of tiles before the next pair is loaded; what of it stays in the
 * first cache meanwhile is NEAR_BYTES. */
#define PANEL_ROWS   48
#define PANEL_BLOCKS (PANEL_ROWS / BLOCK_ROWS)

/* A panel holds the levels of some rows: [block][chunk][BLOCK_ROWS][CHUNK_BYTES], so that a row is
 * a constant distance from the next. Groups begin with a chunk; missing rows are silent. */
#define PANEL_CHUNK (BLOCK_ROWS * CHUNK_BYTES)

static const tspk_packing words = {TSPK_WIDTH_WORD, 2, 0};

/* Levels of some rows, where their sums start, and Σ_g of a pair of tiles so far. */
typedef struct row_panel {
    uint8_t *level; /* [blocks][chunks of all groups][PANEL_CHUNK] */
    int32_t *start; /* [blocks][n_groups][START_ROWS] */
    float *z;       /* [blocks][BLOCK_ROWS][BLOCK_TILES][LANES] */
    size_t block_bytes;
} row_panel;

/* Rows of a block, padded for what is computed by fours. */
#define START_ROWS 8

static size_t chunks_of(bool is_byte, size_t group)
{
    const size_t positions = CHUNK_STEPS * step_of(is_byte);

    return (group + positions - 1) / positions;
}

static size_t z_bytes(void)
{
    return PANEL_ROWS * BLOCK_TILES * TSPK_LANES * sizeof(float);
}

static size_t panel_bytes(bool is_byte, size_t n_groups, size_t group)
{
    return PANEL_BLOCKS * n_groups * chunks_of(is_byte, group) * PANEL_CHUNK;
}

static row_panel carve_panel(bool is_byte, size_t n_groups, size_t group, void *scratch)
{
    const size_t bytes = panel_bytes(is_byte, n_groups, group);
    const row_panel panel = {(uint8_t *)scratch + z_bytes(),
                             (int32_t *)((uint8_t *)scratch + z_bytes() + bytes), scratch,
                             bytes / PANEL_BLOCKS};

    return panel;
}

/* The sums over the lanes of four vectors. */
static AVX512 TSPK_ALWAYS_INLINE __m128i add_lanes(const __m512i *v)
{
    const __m512i ab =
        _mm512_add_epi32(_mm512_unpacklo_epi32(v[0], v[1]), _mm512_unpackhi_epi32(v[0], v[1]));
    const __m512i cd =
        _mm512_add_epi32(_mm512_unpacklo_epi32(v[2], v[3]), _mm512_unpackhi_epi32(v[2], v[3]));
    const __m512i all =
        _mm512_add_epi32(_mm512_unpacklo_epi64(ab, cd), _mm512_unpackhi_epi64(ab, cd));
    const __m256i two =
        _mm256_add_epi32(_mm512_castsi512_si256(all), _mm512_extracti64x4_epi64(all, 1));

    return _mm_add_epi32(_mm256_castsi256_si128(two), _mm256_extracti128_si256(two, 1));
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

/* One step of a block of rows and one or two tiles. */
static AVX512 TSPK_ALWAYS_INLINE void sum_step(const size_t tiles, const bool is_byte,
                                               const uint8_t *level, const uint8_t *weight,
                                               size_t tile_bytes, __m512i *sum)
{
    __m512i w[BLOCK_TILES];

#pragma GCC unroll 2
    for (size_t c = 0; c < tiles; c++)
        w[c] = _mm512_loadu_si512(weight + c * tile_bytes);
#pragma GCC unroll 6
    for (size_t r = 0; r < BLOCK_ROWS; r++) {
        const __m512i x = broadcast_step(level + r * CHUNK_BYTES);

#pragma GCC unroll 2
        for (size_t c = 0; c < tiles; c++) {
            sum[r * BLOCK_TILES + c] = multiply_add(is_byte, sum[r * BLOCK_TILES + c], w[c], x);
            TSPK_IN_REGISTER(sum[r * BLOCK_TILES + c]);
        }
    }
}

/* sum[r * BLOCK_TILES + c]: 16 columns of tile c of row r over the steps of a group. `whole`: as
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
#pragma GCC unroll 2
        for (size_t c = 0; c < tiles; c++)
            sum[r * BLOCK_TILES + c] =
                is_byte ? _mm512_set1_epi32(start[r]) : _mm512_setzero_si512();
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

/* The common case: nothing is kept, nothing is divided. */
static AVX512 TSPK_ALWAYS_INLINE void finish_once(const size_t tiles, const float *rho,
                                                  const float *bias, float *out,
                                                  const __mmask16 *mask, const __m512 *z)
{
#pragma GCC unroll 2
    for (size_t c = 0; c < tiles; c++) {
        const __m512 y = _mm512_fmadd_ps(_mm512_set1_ps(*rho), z[c], _mm512_setzero_ps());
        const __m512 b = _mm512_maskz_loadu_ps(mask[c], bias + c * TSPK_LANES);

        _mm512_mask_storeu_ps(out + c * TSPK_LANES, mask[c], _mm512_add_ps(y, b));
    }
}

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
    for (size_t i = 0; i < BLOCK_ROWS * BLOCK_TILES; i++)
        z[i] = _mm512_setzero_ps();
    if (!block->is_first) {
#pragma GCC unroll 12
        for (size_t i = 0; i < BLOCK_ROWS * BLOCK_TILES; i++)
            z[i] = _mm512_loadu_ps(block->z + i * TSPK_LANES);
    }
    for (; start < end; start += START_ROWS) {
        sum_group(tiles, is_byte, whole, steps, level, start, weight, tile_bytes, sum);
#pragma GCC unroll 2
        for (size_t c = 0; c < tiles; c++) {
            const __m512 s = _mm512_loadu_ps(scale + c * args->n_groups * TSPK_LANES);

#pragma GCC unroll 6
            for (size_t r = 0; r < BLOCK_ROWS; r++) {
                const size_t i = r * BLOCK_TILES + c;

                z[i] = _mm512_fmadd_ps(s, _mm512_cvtepi32_ps(sum[i]), z[i]);
            }
        }
        level += panel_group;
        weight += group_bytes;
        scale += TSPK_LANES;
    }
    if (!block->is_last) {
#pragma GCC unroll 12
        for (size_t i = 0; i < BLOCK_ROWS * BLOCK_TILES; i++)
            _mm512_storeu_ps(block->z + i * TSPK_LANES, z[i]);
        return;
    }
    if (args->y || args->divisor > 0.0f) {
#pragma GCC unroll 6
        for (size_t r = 0; r < BLOCK_ROWS; r++)
            if (r < block->rows)
                finish(tiles, args, block->row + r, block->column, block->mask,
                       z + r * BLOCK_TILES);
    } else {
        const uint8_t *const class = args->row_class + block->row;
        const float *const bias = args->bias + block->column;
        float *const out = args->out + block->row * args->ldo + block->column;

#pragma GCC unroll 6
        for (size_t r = 0; r < BLOCK_ROWS; r++)
            if (r < block->rows)
                finish_once(tiles, args->rho + class[r], bias + class[r] * args -> ldbias,
                            out + r * args -> ldo, block -> mask, z + r * BLOCK_TILES);
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

static AVX512 TSPK_ALWAYS_INLINE void product_block(const size_t tiles, const bool is_byte,
                                                    const size_t whole,
                                                    const tspk_product_args *args,
                                                    const row_panel *panel, size_t first,
                                                    size_t row, size_t column)
{
    const size_t steps = tspk_pad_step(args->inner) / step_of(is_byte);
    const size_t tile_bytes = steps * CHUNK_BYTES, block = row / BLOCK_ROWS;
    const __m512 factor = _mm512_set1_ps(args->factor);
    __m512i sum[BLOCK_ROWS * BLOCK_TILES];

    sum_group(tiles, is_byte, whole, steps, panel->level + block * panel->block_bytes,
              panel->start + block * START_ROWS,
              (const uint8_t *)args->b + column / TSPK_LANES * tile_bytes, tile_bytes, sum);
#pragma GCC unroll 6
    for (size_t r = 0; r < BLOCK_ROWS; r++) {
        if (first + row + r >= args->rows)
            return;
#pragma GCC unroll 2
        for (size_t c = 0; c < tiles; c++) {
            float *const out = args->out + (first + row + r) * args->ldo + column + c * TSPK_LANES;
            const __m512 before = args->is_first ? _mm512_setzero_ps() : _mm512_loadu_ps(out);

            _mm512_storeu_ps(
                out, _mm512_fmadd_ps(_mm512_cvtepi32_ps(sum[r * BLOCK_TILES + c]), factor, before));
        }
    }
}

static AVX512 TSPK_ALWAYS_INLINE void product_rows(const bool is_byte, const size_t whole,
                                                   const tspk_product_args *args)
{
    const row_panel panel = carve_panel(is_byte, 1, args->inner, args->scratch);
    const size_t pair = BLOCK_TILES * TSPK_LANES;

    for (size_t first = 0; first < args->rows; first += PANEL_ROWS) {
        const size_t left = args->rows - first, rows = left < PANEL_ROWS ? left : PANEL_ROWS;
        size_t column = 0;

        make_panel(is_byte, rows, 1, args->inner, args->a + first * args->lda, args->lda, &panel);
        for (; column + pair <= args->columns; column += pair)
            for (size_t row = 0; row < rows; row += BLOCK_ROWS)
                product_block(BLOCK_TILES, is_byte, whole, args, &panel, first, row, column);
        for (size_t row = 0; column < args->columns && row < rows; row += BLOCK_ROWS)
            product_block(1, is_byte, whole, args, &panel, first, row, column);
    }
}

static AVX512 void product(const tspk_product_args *args)
{
    const bool is_byte = args->width == TSPK_WIDTH_BYTE;

    if (is_byte && tspk_pad_step(args->inner) == 64)
        product_rows(true, 1, args);
    else if (is_byte)
        product_rows(true, 0, args);
    else
        product_rows(false, 0, args);
}

static size_t scratch_bytes(size_t n_groups, size_t group)
{
    const size_t panel = z_bytes() + panel_bytes(false, n_groups, group) +
                         PANEL_BLOCKS * n_groups * START_ROWS * sizeof(int32_t);
    const size_t events = tspk_avx512_event_bytes(n_groups, group);

    return panel > events ? panel : events;
}

/* --- right operands made of levels --- */

/* Bytes of 16 columns at four positions: the words of two positions become one word of two bytes.
 */
static AVX512 TSPK_ALWAYS_INLINE __m512i join_positions(__m256i a, __m256i b, __m256i c, __m256i d)
{
    const __m256i low = _mm256_set1_epi16(0xff);
    const __m256i first = _mm256_or_si256(_mm256_and_si256(a, low), _mm256_slli_epi16(b, 8));
    const __m256i second = _mm256_or_si256(_mm256_and_si256(c, low), _mm256_slli_epi16(d, 8));
    const __m512i joined = _mm512_or_si512(_mm512_cvtepu16_epi32(first),
                                           _mm512_slli_epi32(_mm512_cvtepu16_epi32(second), 16));

    return _mm512_xor_si512(joined, _mm512_set1_epi8((char)BYTE_OFFSET));
}

static AVX512 void pack_byte_columns(size_t inner, size_t columns, const int16_t *level, size_t ldl,
                                     uint8_t *packed)
{
    for (size_t column = 0; column < columns; column += TSPK_LANES) {
        const __mmask16 mask = mask_of(columns, column);

        for (size_t p = 0; p < inner; p += 4, packed += CHUNK_BYTES) {
            __m256i row[4];

#pragma GCC unroll 4
            for (size_t i = 0; i < 4; i++)
                row[i] = _mm256_maskz_loadu_epi16(p + i < inner ? mask : 0,
                                                  level + (p + i) * ldl + column);
            _mm512_storeu_si512(packed, join_positions(row[0], row[1], row[2], row[3]));
        }
    }
}

/* 16 rows of 16 double words become their columns. */
static AVX512 TSPK_ALWAYS_INLINE void transpose_steps(__m512i *row)
{
    __m512i part[16];

#pragma GCC unroll 8
    for (size_t i = 0; i < 16; i += 2) {
        part[i] = _mm512_unpacklo_epi32(row[i], row[i + 1]);
        part[i + 1] = _mm512_unpackhi_epi32(row[i], row[i + 1]);
    }
#pragma GCC unroll 4
    for (size_t i = 0; i < 16; i += 4)
#pragma GCC unroll 2
        for (size_t k = 0; k < 2; k++) {
            row[i + 2 * k] = _mm512_unpacklo_epi64(part[i + k], part[i + k + 2]);
            row[i + 2 * k + 1] = _mm512_unpackhi_epi64(part[i + k], part[i + k + 2]);
        }
        /* row[4 i + j]: column 4 l + j of rows 4 i to 4 i + 3 in 128-bit lane l */
#pragma GCC unroll 4
    for (size_t j = 0; j < 4; j++) {
        part[j] = _mm512_shuffle_i32x4(row[j], row[4 + j], 0x88);
        part[4 + j] = _mm512_shuffle_i32x4(row[j], row[4 + j], 0xdd);
        part[8 + j] = _mm512_shuffle_i32x4(row[8 + j], row[12 + j], 0x88);
        part[12 + j] = _mm512_shuffle_i32x4(row[8 + j], row[12 + j], 0xdd);
    }
#pragma GCC unroll 4
    for (size_t j = 0; j < 4; j++) {
        row[j] = _mm512_shuffle_i32x4(part[j], part[8 + j], 0x88);
        row[8 + j] = _mm512_shuffle_i32x4(part[j], part[8 + j], 0xdd);
        row[4 + j] = _mm512_shuffle_i32x4(part[4 + j], part[12 + j], 0x88);
        row[12 + j] = _mm512_shuffle_i32x4(part[4 + j], part[12 + j], 0xdd);
    }
}

static AVX512 void pack_byte_rows(size_t inner, size_t columns, const int16_t *level, size_t ldl,
                                  uint8_t *packed)
{
    const size_t steps = tspk_pad_step(inner) / 4;
    const __m512i offset = _mm512_set1_epi8((char)BYTE_OFFSET);

    for (size_t column = 0; column < columns; column += TSPK_LANES)
        for (size_t first = 0; first < steps; first += CHUNK_STEPS) {
            const size_t left = steps - first, p = 4 * first;
            __m512i row[TSPK_LANES];

#pragma GCC unroll 16
            for (size_t i = 0; i < TSPK_LANES; i++) {
                row[i] = offset;
                if (column + i < columns)
                    row[i] = _mm512_xor_si512(offset, load_bytes(level + (column + i) * ldl + p,
                                                                 inner - p < 64 ? inner - p : 64));
            }
            transpose_steps(row);
#pragma GCC unroll 16
            for (size_t i = 0; i < TSPK_LANES; i++)
                if (i < left)
                    _mm512_storeu_si512(packed + i * CHUNK_BYTES, row[i]);
            packed += (left < CHUNK_STEPS ? left : CHUNK_STEPS) * CHUNK_BYTES;
        }
}

static AVX512 void pack_columns(tspk_width width, size_t inner, size_t columns,
                                const int16_t *level, size_t ldl, void *packed)
{
    if (width == TSPK_WIDTH_BYTE)
        pack_byte_columns(inner, columns, level, ldl, packed);
    else
        tspk_pack_levels(words, inner, columns, level, ldl, 1, packed);
}

static AVX512 void pack_rows(tspk_width width, size_t inner, size_t columns, const int16_t *level,
                             size_t ldl, void *packed)
{
    if (width == TSPK_WIDTH_BYTE)
        pack_byte_rows(inner, columns, level, ldl, packed);
    else
        tspk_pack_levels(words, inner, columns, level, 1, ldl, packed);
}

const tspk_kernels tspk_kernels_avx512vnni = {
    .name = "avx512vnni",
    .step = {4, 2},
    .byte_offset = BYTE_OFFSET,
    .event_rate = 0.04f,
    .scratch_bytes = scratch_bytes,
    .linear = linear,
    .linear_events = tspk_avx512_linear_events,
    .product = product,
    .product_events = tspk_avx512_product_events,
    .pack_columns = pack_columns,
    .pack_rows = pack_rows,
};
#endif
