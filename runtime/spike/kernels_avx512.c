/* SPDX-License-Identifier: Apache-2.0 */
/*
 * AVX-512 with VNNI. Bytes: vpdpbusd multiplies an unsigned with a signed byte, so a packed weight
 * is w + 128, and a sum starts at -128 Σ level. Words: vpdpwssd. Both take 4 bytes of a row of
 * levels a step, so that one register block serves both.
 */
#include "runtime/spike/kernels_pack.h"

#include "core/compiler.h"

#if TSPK_HAVE_X86
#include <immintrin.h>
#include <string.h>

#define AVX512 TSPK_TARGET("avx512f,avx512bw,avx512dq,avx512vl,avx512vnni,avx2,fma")

/* Rows of a register block: 12 rows of two vectors of sums, two of weights, one of levels. */
#define BLOCK_ROWS  12
#define BLOCK_TILES 2

/* A panel holds the levels of a block of rows: [chunk][BLOCK_ROWS][CHUNK_BYTES], so that a row is
 * a constant distance from the next. Groups begin with a chunk. */
#define CHUNK_BYTES 64
#define CHUNK_STEPS 16
#define PANEL_CHUNK (BLOCK_ROWS * CHUNK_BYTES)

#define BYTE_OFFSET 128

static const tspk_packing packing[2] = {{TSPK_WIDTH_BYTE, 4, BYTE_OFFSET}, {TSPK_WIDTH_WORD, 2, 0}};

/* Levels of a block of rows, and where its sums start: [n_groups][BLOCK_ROWS]. */
typedef struct row_panel {
    uint8_t *level;
    int32_t *start;
} row_panel;

static size_t step_of(bool is_byte)
{
    return is_byte ? 4 : 2;
}

static size_t chunks_of(bool is_byte, size_t group)
{
    const size_t positions = CHUNK_STEPS * step_of(is_byte);

    return (group + positions - 1) / positions;
}

static size_t panel_bytes(size_t n_groups, size_t group)
{
    return n_groups * chunks_of(false, group) * PANEL_CHUNK;
}

static row_panel carve_panel(size_t n_groups, size_t group, void *scratch)
{
    const row_panel panel = {scratch,
                             (int32_t *)((uint8_t *)scratch + panel_bytes(n_groups, group))};

    return panel;
}

/* 64 levels or fewer as bytes. */
static AVX512 TSPK_ALWAYS_INLINE __m512i load_bytes(const int16_t *level, size_t n)
{
    const __mmask32 low = n >= 32 ? 0xffffffffu : (1u << n) - 1;
    const __mmask32 high = n >= 64 ? 0xffffffffu : n > 32 ? (1u << (n - 32)) - 1 : 0;
    const __m256i a = _mm512_cvtepi16_epi8(_mm512_maskz_loadu_epi16(low, level));
    const __m256i b = _mm512_cvtepi16_epi8(_mm512_maskz_loadu_epi16(high, level + 32));

    return _mm512_inserti64x4(_mm512_castsi256_si512(a), b, 1);
}

static AVX512 TSPK_ALWAYS_INLINE __m512i load_words(const int16_t *level, size_t n)
{
    return _mm512_maskz_loadu_epi16(n >= 32 ? 0xffffffffu : (1u << n) - 1, level);
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

static AVX512 TSPK_ALWAYS_INLINE void make_panel(const size_t rows, const bool is_byte,
                                                 size_t n_groups, size_t group,
                                                 const int16_t *level, size_t ldl, row_panel panel)
{
    const size_t positions = CHUNK_STEPS * step_of(is_byte);
    uint8_t *to = panel.level;

    for (size_t g = 0; g < n_groups; g++) {
        __m512i sum[BLOCK_ROWS];

        for (size_t r = 0; r < BLOCK_ROWS; r++)
            sum[r] = _mm512_setzero_si512();
        for (size_t from = 0; from < group; from += positions, to += PANEL_CHUNK) {
            const size_t n = group - from < positions ? group - from : positions;

            for (size_t r = 0; r < rows; r++) {
                const int16_t *const row = level + r * ldl + g * group + from;
                const __m512i v = is_byte ? load_bytes(row, n) : load_words(row, n);

                if (is_byte)
                    sum[r] = _mm512_dpbusd_epi32(sum[r], _mm512_set1_epi8(1), v);
                _mm512_storeu_si512(to + r * CHUNK_BYTES, v);
            }
        }
        for (size_t r = 0; is_byte && r < rows; r += 4)
            _mm_storeu_si128((__m128i *)(panel.start + g * BLOCK_ROWS + r),
                             _mm_mullo_epi32(add_lanes(sum + r), _mm_set1_epi32(-BYTE_OFFSET)));
    }
}

static AVX512 TSPK_ALWAYS_INLINE __m512i broadcast_step(const uint8_t *from)
{
    int32_t step;

    memcpy(&step, from, sizeof step);
    return _mm512_set1_epi32(step);
}

static AVX512 TSPK_ALWAYS_INLINE __m512i multiply_add(const bool is_byte, __m512i sum,
                                                      __m512i weight, __m512i level)
{
    return is_byte ? _mm512_dpbusd_epi32(sum, weight, level)
                   : _mm512_dpwssd_epi32(sum, weight, level);
}

/* sum[r * BLOCK_TILES + c]: 16 columns of tile c of row r over the steps of a group. */
static AVX512 TSPK_ALWAYS_INLINE void sum_group(const size_t rows, const size_t tiles,
                                                const bool is_byte, size_t steps,
                                                const uint8_t *level, const int32_t *start,
                                                const uint8_t *weight, size_t tile_bytes,
                                                __m512i *sum)
{
    const uint8_t *const end = weight + steps * CHUNK_BYTES;

#pragma GCC unroll 12
    for (size_t r = 0; r < rows; r++)
#pragma GCC unroll 2
        for (size_t c = 0; c < tiles; c++)
            sum[r * BLOCK_TILES + c] =
                is_byte ? _mm512_set1_epi32(start[r]) : _mm512_setzero_si512();
    for (; weight < end; level += PANEL_CHUNK) {
        const size_t left = (size_t)(end - weight) / CHUNK_BYTES;
        const uint8_t *const stop = level + 4 * (left < CHUNK_STEPS ? left : CHUNK_STEPS);

        for (const uint8_t *from = level; from < stop; from += 4, weight += CHUNK_BYTES) {
            __m512i w[BLOCK_TILES];

#pragma GCC unroll 2
            for (size_t c = 0; c < tiles; c++)
                w[c] = _mm512_loadu_si512(weight + c * tile_bytes);
#pragma GCC unroll 12
            for (size_t r = 0; r < rows; r++) {
                const __m512i x = broadcast_step(from + r * CHUNK_BYTES);

#pragma GCC unroll 2
                for (size_t c = 0; c < tiles; c++) {
                    sum[r * BLOCK_TILES + c] =
                        multiply_add(is_byte, sum[r * BLOCK_TILES + c], w[c], x);
                    TSPK_IN_REGISTER(sum[r * BLOCK_TILES + c]);
                }
            }
        }
    }
}

static AVX512 TSPK_ALWAYS_INLINE void finish(const tspk_linear_args *args, size_t r, size_t column,
                                             __m512 z)
{
    const size_t class = args->row_class[r], at = r * args->ldo + column, n = args->n - column;
    const __mmask16 mask = n >= 16 ? 0xffff : (__mmask16)((1u << n) - 1);
    const __m512 bias = _mm512_maskz_loadu_ps(mask, args->bias + class * args->ldbias + column);
    const __m512 before = args->y && !args->is_first ? _mm512_maskz_loadu_ps(mask, args->y + at)
                                                     : _mm512_setzero_ps();
    __m512 y = _mm512_fmadd_ps(_mm512_set1_ps(args->rho[class]), z, before);

    if (args->y)
        _mm512_mask_storeu_ps(args->y + at, mask, y);
    if (args->divisor > 0.0f)
        y = _mm512_div_ps(y, _mm512_set1_ps(args->divisor));
    _mm512_mask_storeu_ps(args->out + at, mask, _mm512_add_ps(y, bias));
}

static AVX512 TSPK_ALWAYS_INLINE void linear_block(const size_t rows, const size_t tiles,
                                                   const bool is_byte, const tspk_linear_args *args,
                                                   row_panel panel, size_t first, size_t tile)
{
    const size_t n_groups = args->n_groups, steps = args->group / step_of(is_byte);
    const size_t group_bytes = steps * CHUNK_BYTES, tile_bytes = n_groups * group_bytes;
    const size_t panel_group = chunks_of(is_byte, args->group) * PANEL_CHUNK;
    const uint8_t *const weight = (const uint8_t *)args->weight + tile * tile_bytes;
    const float *const scale = args->scale + tile * n_groups * TSPK_LANES;
    __m512i sum[BLOCK_ROWS * BLOCK_TILES];
    __m512 z[BLOCK_ROWS * BLOCK_TILES];

    for (size_t i = 0; i < rows * BLOCK_TILES; i++)
        z[i] = _mm512_setzero_ps();
    for (size_t g = 0; g < n_groups; g++) {
        sum_group(rows, tiles, is_byte, steps, panel.level + g * panel_group,
                  panel.start + g * BLOCK_ROWS, weight + g * group_bytes, tile_bytes, sum);
#pragma GCC unroll 2
        for (size_t c = 0; c < tiles; c++) {
            const __m512 s = _mm512_loadu_ps(scale + (c * n_groups + g) * TSPK_LANES);

#pragma GCC unroll 12
            for (size_t r = 0; r < rows; r++) {
                const size_t i = r * BLOCK_TILES + c;

                z[i] = _mm512_fmadd_ps(s, _mm512_cvtepi32_ps(sum[i]), z[i]);
            }
        }
    }
    for (size_t r = 0; r < rows; r++)
        for (size_t c = 0; c < tiles; c++)
            finish(args, first + r, (tile + c) * TSPK_LANES, z[r * BLOCK_TILES + c]);
}

static AVX512 TSPK_ALWAYS_INLINE size_t linear_rows(const size_t rows, const bool is_byte,
                                                    const tspk_linear_args *args, row_panel panel,
                                                    size_t first)
{
    const size_t tiles = tspk_pad_lanes(args->n) / TSPK_LANES;

    for (; first + rows <= args->rows; first += rows) {
        size_t tile = 0;

        make_panel(rows, is_byte, args->n_groups, args->group, args->level + first * args->ldl,
                   args->ldl, panel);
        for (; tile + BLOCK_TILES <= tiles; tile += BLOCK_TILES)
            linear_block(rows, BLOCK_TILES, is_byte, args, panel, first, tile);
        if (tile < tiles)
            linear_block(rows, 1, is_byte, args, panel, first, tile);
    }
    return first;
}

static AVX512 void linear(const tspk_linear_args *args)
{
    const row_panel panel = carve_panel(args->n_groups, args->group, args->scratch);
    const bool is_byte = args->width == TSPK_WIDTH_BYTE;
    size_t first = 0;

    if (is_byte) {
        first = linear_rows(BLOCK_ROWS, true, args, panel, first);
        first = linear_rows(4, true, args, panel, first);
        linear_rows(1, true, args, panel, first);
    } else {
        first = linear_rows(BLOCK_ROWS, false, args, panel, first);
        first = linear_rows(4, false, args, panel, first);
        linear_rows(1, false, args, panel, first);
    }
}

static AVX512 TSPK_ALWAYS_INLINE void product_block(const size_t rows, const size_t tiles,
                                                    const bool is_byte,
                                                    const tspk_product_args *args, row_panel panel,
                                                    size_t first, size_t column)
{
    const size_t steps = tspk_pad_step(args->inner) / step_of(is_byte);
    const size_t tile_bytes = steps * CHUNK_BYTES;
    const __m512 factor = _mm512_set1_ps(args->factor);
    __m512i sum[BLOCK_ROWS * BLOCK_TILES];

    sum_group(rows, tiles, is_byte, steps, panel.level, panel.start,
              (const uint8_t *)args->b + column / TSPK_LANES * tile_bytes, tile_bytes, sum);
#pragma GCC unroll 12
    for (size_t r = 0; r < rows; r++)
#pragma GCC unroll 2
        for (size_t c = 0; c < tiles; c++) {
            float *const out = args->out + (first + r) * args->ldo + column + c * TSPK_LANES;
            const __m512 before = args->is_first ? _mm512_setzero_ps() : _mm512_loadu_ps(out);

            _mm512_storeu_ps(
                out, _mm512_fmadd_ps(_mm512_cvtepi32_ps(sum[r * BLOCK_TILES + c]), factor, before));
        }
}

static AVX512 TSPK_ALWAYS_INLINE size_t product_rows(const size_t rows, const bool is_byte,
                                                     const tspk_product_args *args, row_panel panel,
                                                     size_t first)
{
    for (; first + rows <= args->rows; first += rows) {
        size_t column = 0;

        make_panel(rows, is_byte, 1, args->inner, args->a + first * args->lda, args->lda, panel);
        for (; column + BLOCK_TILES * TSPK_LANES <= args->columns;
             column += BLOCK_TILES * TSPK_LANES)
            product_block(rows, BLOCK_TILES, is_byte, args, panel, first, column);
        if (column < args->columns)
            product_block(rows, 1, is_byte, args, panel, first, column);
    }
    return first;
}

static AVX512 void product(const tspk_product_args *args)
{
    const row_panel panel = carve_panel(1, args->inner, args->scratch);
    const bool is_byte = args->width == TSPK_WIDTH_BYTE;
    size_t first = 0;

    if (is_byte) {
        first = product_rows(BLOCK_ROWS, true, args, panel, first);
        first = product_rows(4, true, args, panel, first);
        product_rows(1, true, args, panel, first);
    } else {
        first = product_rows(BLOCK_ROWS, false, args, panel, first);
        first = product_rows(4, false, args, panel, first);
        product_rows(1, false, args, panel, first);
    }
}

/* --- from the list of what fired --- */

#define EVENT_TILES 4

typedef struct event_list {
    uint32_t *at;    /* [steps + 16] offset of the step's weights in a tile [bytes] */
    int32_t *value;  /* [steps + 16] its levels as bytes or words */
    uint32_t *end;   /* [n_groups] events up to the end of each group */
    int32_t *start;  /* [n_groups] bytes: where the sums start */
} event_list;

static size_t event_bytes(size_t n_groups, size_t group)
{
    return (n_groups * (tspk_pad_step(group) / 2) + 16) * 8 + n_groups * 8;
}

static event_list carve_events(size_t n_groups, size_t group, void *scratch)
{
    const size_t most = n_groups * (tspk_pad_step(group) / 2) + 16;
    event_list events;

    events.at = scratch;
    events.value = (int32_t *)(events.at + most);
    events.end = (uint32_t *)(events.value + most);
    events.start = (int32_t *)(events.end + n_groups);
    return events;
}

static AVX512 TSPK_ALWAYS_INLINE void list_events(const bool is_byte, size_t n_groups, size_t group,
                                                  const int16_t *level, event_list *events)
{
    const size_t positions = CHUNK_STEPS * step_of(is_byte);
    const size_t group_bytes = tspk_pad_step(group) / step_of(is_byte) * CHUNK_BYTES;
    const __m512i step = _mm512_mullo_epi32(
        _mm512_set_epi32(15, 14, 13, 12, 11, 10, 9, 8, 7, 6, 5, 4, 3, 2, 1, 0),
        _mm512_set1_epi32(CHUNK_BYTES));
    uint32_t n = 0;

    for (size_t g = 0; g < n_groups; g++) {
        const uint32_t before = n;
        __m512i sum = _mm512_setzero_si512();

        for (size_t from = 0; from < group; from += positions) {
            const size_t left = group - from < positions ? group - from : positions;
            const int16_t *const row = level + g * group + from;
            const __m512i v = is_byte ? load_bytes(row, left) : load_words(row, left);
            const __mmask16 fired = _mm512_test_epi32_mask(v, v);
            const size_t at = g * group_bytes + from / positions * CHUNK_STEPS * CHUNK_BYTES;

            if (is_byte)
                sum = _mm512_dpbusd_epi32(sum, _mm512_set1_epi8(1), v);
            _mm512_storeu_si512(
                events->at + n,
                _mm512_maskz_compress_epi32(fired,
                                            _mm512_add_epi32(step, _mm512_set1_epi32((int)at))));
            _mm512_storeu_si512(events->value + n, _mm512_maskz_compress_epi32(fired, v));
            n += (uint32_t)__builtin_popcount(fired);
        }
        events->end[g] = n;
        events->start[g] = is_byte && n > before ? -BYTE_OFFSET * _mm512_reduce_add_epi32(sum) : 0;
    }
}

static AVX512 TSPK_ALWAYS_INLINE void sum_events(const bool is_byte, const size_t tiles,
                                                 uint32_t from, uint32_t to,
                                                 const event_list *events, int32_t start,
                                                 const uint8_t *weight, size_t tile_bytes,
                                                 __m512i *sum)
{
#pragma GCC unroll 4
    for (size_t c = 0; c < tiles; c++)
        sum[c] = _mm512_set1_epi32(start);
    for (uint32_t e = from; e < to; e++) {
        const uint8_t *const w = weight + events->at[e];
        const __m512i x = _mm512_set1_epi32(events->value[e]);

#pragma GCC unroll 4
        for (size_t c = 0; c < tiles; c++)
            sum[c] = multiply_add(is_byte, sum[c], _mm512_loadu_si512(w + c * tile_bytes), x);
    }
}

static AVX512 TSPK_ALWAYS_INLINE void linear_event_tiles(const bool is_byte, const size_t tiles,
                                                         const tspk_linear_args *args,
                                                         const event_list *events, size_t r,
                                                         size_t tile)
{
    const size_t n_groups = args->n_groups;
    const size_t tile_bytes = n_groups * (args->group / step_of(is_byte)) * CHUNK_BYTES;
    const uint8_t *const weight = (const uint8_t *)args->weight + tile * tile_bytes;
    const float *const scale = args->scale + tile * n_groups * TSPK_LANES;
    __m512 z[EVENT_TILES];
    uint32_t from = 0;

#pragma GCC unroll 4
    for (size_t c = 0; c < tiles; c++)
        z[c] = _mm512_setzero_ps();
    for (size_t g = 0; g < n_groups; from = events->end[g++]) {
        __m512i sum[EVENT_TILES];

        if (from == events->end[g])
            continue;
        sum_events(is_byte, tiles, from, events->end[g], events, events->start[g], weight,
                   tile_bytes, sum);
#pragma GCC unroll 4
        for (size_t c = 0; c < tiles; c++)
            z[c] = _mm512_fmadd_ps(_mm512_loadu_ps(scale + (c * n_groups + g) * TSPK_LANES),
                                   _mm512_cvtepi32_ps(sum[c]), z[c]);
    }
#pragma GCC unroll 4
    for (size_t c = 0; c < tiles; c++)
        finish(args, r, (tile + c) * TSPK_LANES, z[c]);
}

static AVX512 TSPK_ALWAYS_INLINE void linear_from_events(const bool is_byte,
                                                         const tspk_linear_args *args)
{
    const size_t tiles = tspk_pad_lanes(args->n) / TSPK_LANES;
    event_list events = carve_events(args->n_groups, args->group, args->scratch);

    for (size_t r = 0; r < args->rows; r++) {
        size_t tile = 0;

        list_events(is_byte, args->n_groups, args->group, args->level + r * args->ldl, &events);
        for (; tile + EVENT_TILES <= tiles; tile += EVENT_TILES)
            linear_event_tiles(is_byte, EVENT_TILES, args, &events, r, tile);
        for (; tile < tiles; tile++)
            linear_event_tiles(is_byte, 1, args, &events, r, tile);
    }
}

static AVX512 void linear_events(const tspk_linear_args *args)
{
    if (args->width == TSPK_WIDTH_BYTE)
        linear_from_events(true, args);
    else
        linear_from_events(false, args);
}

static AVX512 TSPK_ALWAYS_INLINE void product_event_tiles(const bool is_byte, const size_t tiles,
                                                          const tspk_product_args *args,
                                                          const event_list *events, size_t r,
                                                          size_t column)
{
    const size_t tile_bytes =
        tspk_pad_step(args->inner) / step_of(is_byte) * CHUNK_BYTES;
    const __m512 factor = _mm512_set1_ps(args->factor);
    float *const out = args->out + r * args->ldo + column;
    __m512i sum[EVENT_TILES];

    sum_events(is_byte, tiles, 0, events->end[0], events, events->start[0],
               (const uint8_t *)args->b + column / TSPK_LANES * tile_bytes, tile_bytes, sum);
#pragma GCC unroll 4
    for (size_t c = 0; c < tiles; c++) {
        const __m512 before =
            args->is_first ? _mm512_setzero_ps() : _mm512_loadu_ps(out + c * TSPK_LANES);

        _mm512_storeu_ps(out + c * TSPK_LANES,
                         _mm512_fmadd_ps(_mm512_cvtepi32_ps(sum[c]), factor, before));
    }
}

static AVX512 TSPK_ALWAYS_INLINE void product_from_events(const bool is_byte,
                                                          const tspk_product_args *args)
{
    event_list events = carve_events(1, args->inner, args->scratch);

    for (size_t r = 0; r < args->rows; r++) {
        size_t column = 0;

        list_events(is_byte, 1, args->inner, args->a + r * args->lda, &events);
        if (!events.end[0] && !args->is_first)
            continue;
        for (; column + EVENT_TILES * TSPK_LANES <= args->columns;
             column += EVENT_TILES * TSPK_LANES)
            product_event_tiles(is_byte, EVENT_TILES, args, &events, r, column);
        for (; column < args->columns; column += TSPK_LANES)
            product_event_tiles(is_byte, 1, args, &events, r, column);
    }
}

static AVX512 void product_events(const tspk_product_args *args)
{
    if (args->width == TSPK_WIDTH_BYTE)
        product_from_events(true, args);
    else
        product_from_events(false, args);
}

static size_t scratch_bytes(size_t n_groups, size_t group)
{
    const size_t panel =
        panel_bytes(n_groups, group) + n_groups * BLOCK_ROWS * sizeof(int32_t);
    const size_t events = event_bytes(n_groups, group);

    return panel > events ? panel : events;
}

static void pack_columns(tspk_width width, size_t inner, size_t columns, const int16_t *level,
                         size_t ldl, void *packed)
{
    tspk_pack_levels(packing[width], inner, columns, level, ldl, 1, packed);
}

static void pack_rows(tspk_width width, size_t inner, size_t columns, const int16_t *level,
                      size_t ldl, void *packed)
{
    tspk_pack_levels(packing[width], inner, columns, level, 1, ldl, packed);
}

const tspk_kernels tspk_kernels_avx512vnni = {
    .name = "avx512vnni",
    .step = {4, 2},
    .byte_offset = BYTE_OFFSET,
    .event_rate = 0.1f,
    .scratch_bytes = scratch_bytes,
    .linear = linear,
    .linear_events = linear_events,
    .product = product,
    .product_events = product_events,
    .pack_columns = pack_columns,
    .pack_rows = pack_rows,
};
#endif
