/* SPDX-License-Identifier: Apache-2.0 */
/*
 * AVX2 with FMA. Levels and weights are multiplied as int16 pairs (vpmaddwd): exact for every
 * level up to 128 and every weight. A byte product (vpmaddubsw) needs the levels' signs moved to
 * the weights and its pair sums widened: four instructions for what two of int16 take twice.
 */
#include "runtime/spike/kernels_pack.h"

#include "core/compiler.h"

#if TSPK_HAVE_X86
#include <immintrin.h>
#include <string.h>

#define AVX2 TSPK_TARGET("avx2,fma")

/* Rows of a register block: 6 rows of two vectors of sums, two of weights, one of levels. */
#define BLOCK_ROWS 6

/* A panel holds the levels of a block of rows: [chunk][BLOCK_ROWS][CHUNK], so that a row is a
 * constant distance from the next. Groups begin with a chunk. */
#define CHUNK 32

static const tspk_packing bytes = {TSPK_WIDTH_BYTE, 2, 0}, words = {TSPK_WIDTH_WORD, 2, 0};

typedef struct event_list {
    uint32_t *at;   /* [pairs] offset of the pair's weights in elements */
    int32_t *value; /* [pairs] both levels */
    uint32_t *end;  /* [n_groups] events up to the end of each group */
} event_list;

static size_t chunks_of(size_t group)
{
    return (group + CHUNK - 1) / CHUNK;
}

static size_t scratch_bytes(size_t n_groups, size_t group)
{
    const size_t panel = n_groups * chunks_of(group) * BLOCK_ROWS * CHUNK * sizeof(int16_t);
    const size_t events = n_groups * (tspk_pad_step(group) / 2 * 8 + sizeof(uint32_t));

    return panel > events ? panel : events;
}

static void make_panel(size_t rows, size_t n_groups, size_t group, const int16_t *level, size_t ldl,
                       int16_t *panel)
{
    for (size_t g = 0; g < n_groups; g++)
        for (size_t from = 0; from < group; from += CHUNK, panel += BLOCK_ROWS * CHUNK)
            for (size_t r = 0; r < rows; r++) {
                const size_t n = group - from < CHUNK ? group - from : CHUNK;
                const int16_t *const row = level + r * ldl + g * group + from;

                if (n == CHUNK) {
                    memcpy(panel + r * CHUNK, row, CHUNK * sizeof *row);
                    continue;
                }
                memset(panel + r * CHUNK, 0, CHUNK * sizeof *row);
                memcpy(panel + r * CHUNK, row, n * sizeof *row);
            }
}

/* 8 lanes of one pair of positions, as int16. */
static AVX2 TSPK_ALWAYS_INLINE __m256i load_weights(const void *weight, size_t at, bool is_byte)
{
    if (is_byte)
        return _mm256_cvtepi8_epi16(
            _mm_loadu_si128((const __m128i *)((const int8_t *)weight + at)));
    return _mm256_loadu_si256((const __m256i *)((const int16_t *)weight + at));
}

static AVX2 TSPK_ALWAYS_INLINE __m256i load_pair(const int16_t *level)
{
    int32_t both;

    memcpy(&both, level, sizeof both);
    return _mm256_set1_epi32(both);
}

/* One pair of positions of a block of rows and a tile. */
static AVX2 TSPK_ALWAYS_INLINE void sum_pair(const size_t rows, const bool is_byte,
                                             const int16_t *panel, const void *weight, size_t at,
                                             __m256i *sum)
{
    const __m256i w0 = load_weights(weight, at, is_byte);
    const __m256i w1 = load_weights(weight, at + TSPK_LANES, is_byte);

#pragma GCC unroll 6
    for (size_t r = 0; r < rows; r++) {
        const __m256i two = load_pair(panel + r * CHUNK);

        sum[2 * r] = _mm256_add_epi32(sum[2 * r], _mm256_madd_epi16(two, w0));
        sum[2 * r + 1] = _mm256_add_epi32(sum[2 * r + 1], _mm256_madd_epi16(two, w1));
        TSPK_IN_REGISTER(sum[2 * r]);
        TSPK_IN_REGISTER(sum[2 * r + 1]);
    }
}

/* sum[2 r], sum[2 r + 1]: 16 lanes of row r over the pairs of a group. */
static AVX2 TSPK_ALWAYS_INLINE void sum_group(const size_t rows, const bool is_byte, size_t pairs,
                                              const int16_t *panel, const void *weight, size_t at,
                                              __m256i *sum)
{
#pragma GCC unroll 12
    for (size_t r = 0; r < 2 * rows; r++)
        sum[r] = _mm256_setzero_si256();
    for (; pairs >= CHUNK / 2; pairs -= CHUNK / 2, at += CHUNK * TSPK_LANES) {
#pragma GCC unroll 16
        for (size_t p = 0; p < CHUNK / 2; p++)
            sum_pair(rows, is_byte, panel + 2 * p, weight, at + 2 * p * TSPK_LANES, sum);
        panel += BLOCK_ROWS * CHUNK;
    }
    for (size_t p = 0; p < pairs; p++)
        sum_pair(rows, is_byte, panel + 2 * p, weight, at + 2 * p * TSPK_LANES, sum);
}

/* Eight columns at the end of a row of n; only those that are there are read and written. */
static AVX2 TSPK_ALWAYS_INLINE __m256i mask_of(size_t n)
{
    return _mm256_cmpgt_epi32(_mm256_set1_epi32(n < 8 ? (int)n : 8),
                              _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7));
}

static AVX2 TSPK_ALWAYS_INLINE void finish(const tspk_linear_args *args, size_t r, size_t column,
                                           __m256 z)
{
    const size_t class = args->row_class[r], at = r * args->ldo + column;
    const __m256i mask = mask_of(args->n - column);
    const __m256 bias = _mm256_maskload_ps(args->bias + class * args->ldbias + column, mask);
    const __m256 before =
        args->y && !args->is_first ? _mm256_maskload_ps(args->y + at, mask) : _mm256_setzero_ps();
    __m256 y = _mm256_fmadd_ps(_mm256_set1_ps(args->rho[class]), z, before);

    if (args->y && !args->is_last)
        _mm256_maskstore_ps(args->y + at, mask, y);
    if (args->divisor > 0.0f)
        y = _mm256_div_ps(y, _mm256_set1_ps(args->divisor));
    _mm256_maskstore_ps(args->out + at, mask, _mm256_add_ps(y, bias));
}

static AVX2 TSPK_ALWAYS_INLINE void finish_tile(const tspk_linear_args *args, size_t r,
                                                size_t column, __m256 z0, __m256 z1)
{
    finish(args, r, column, z0);
    if (column + 8 < args->n)
        finish(args, r, column + 8, z1);
}

static AVX2 TSPK_ALWAYS_INLINE void linear_tile(const size_t rows, const bool is_byte,
                                                const tspk_linear_args *args, size_t first,
                                                size_t tile)
{
    const size_t n_groups = args->n_groups, group = args->group;
    const size_t panel_group = chunks_of(group) * BLOCK_ROWS * CHUNK;
    const float *scale = args->scale + tile * n_groups * TSPK_LANES;
    __m256i sum[2 * BLOCK_ROWS];
    __m256 z[2 * BLOCK_ROWS];

    for (size_t r = 0; r < 2 * rows; r++)
        z[r] = _mm256_setzero_ps();
    for (size_t g = 0; g < n_groups; g++, scale += TSPK_LANES) {
        const __m256 s0 = _mm256_loadu_ps(scale), s1 = _mm256_loadu_ps(scale + 8);

        sum_group(rows, is_byte, group / 2, (const int16_t *)args->scratch + g * panel_group,
                  args->weight, (tile * n_groups + g) * group * TSPK_LANES, sum);
#pragma GCC unroll 6
        for (size_t r = 0; r < rows; r++) {
            z[2 * r] = _mm256_fmadd_ps(s0, _mm256_cvtepi32_ps(sum[2 * r]), z[2 * r]);
            z[2 * r + 1] = _mm256_fmadd_ps(s1, _mm256_cvtepi32_ps(sum[2 * r + 1]), z[2 * r + 1]);
        }
    }
    for (size_t r = 0; r < rows; r++)
        finish_tile(args, first + r, tile * TSPK_LANES, z[2 * r], z[2 * r + 1]);
}

static AVX2 TSPK_ALWAYS_INLINE size_t linear_rows(const size_t rows, const tspk_linear_args *args,
                                                  size_t first)
{
    const size_t tiles = tspk_pad_lanes(args->n) / TSPK_LANES;

    for (; first + rows <= args->rows; first += rows) {
        make_panel(rows, args->n_groups, args->group, args->level + first * args->ldl, args->ldl,
                   args->scratch);
        if (args->width == TSPK_WIDTH_BYTE)
            for (size_t tile = 0; tile < tiles; tile++)
                linear_tile(rows, true, args, first, tile);
        else
            for (size_t tile = 0; tile < tiles; tile++)
                linear_tile(rows, false, args, first, tile);
    }
    return first;
}

static AVX2 void linear(const tspk_linear_args *args)
{
    size_t first = linear_rows(BLOCK_ROWS, args, 0);

    first = linear_rows(3, args, first);
    linear_rows(1, args, first);
}

static AVX2 TSPK_ALWAYS_INLINE void product_tile(const size_t rows, const bool is_byte,
                                                 const tspk_product_args *args, size_t first,
                                                 size_t column)
{
    const size_t padded = tspk_pad_step(args->inner);
    const __m256 factor = _mm256_set1_ps(args->factor);
    __m256i sum[2 * BLOCK_ROWS];

    sum_group(rows, is_byte, padded / 2, args->scratch, args->b, column * padded, sum);
#pragma GCC unroll 6
    for (size_t r = 0; r < rows; r++)
        for (size_t half = 0; half < 2; half++) {
            float *const out = args->out + (first + r) * args->ldo + column + 8 * half;
            const __m256 before = args->is_first ? _mm256_setzero_ps() : _mm256_loadu_ps(out);

            _mm256_storeu_ps(
                out, _mm256_fmadd_ps(_mm256_cvtepi32_ps(sum[2 * r + half]), factor, before));
        }
}

static AVX2 TSPK_ALWAYS_INLINE size_t product_rows(const size_t rows, const tspk_product_args *args,
                                                   size_t first)
{
    for (; first + rows <= args->rows; first += rows) {
        make_panel(rows, 1, args->inner, args->a + first * args->lda, args->lda, args->scratch);
        if (args->width == TSPK_WIDTH_BYTE)
            for (size_t column = 0; column < args->columns; column += TSPK_LANES)
                product_tile(rows, true, args, first, column);
        else
            for (size_t column = 0; column < args->columns; column += TSPK_LANES)
                product_tile(rows, false, args, first, column);
    }
    return first;
}

static AVX2 void product(const tspk_product_args *args)
{
    size_t first = product_rows(BLOCK_ROWS, args, 0);

    first = product_rows(3, args, first);
    product_rows(1, args, first);
}

/* --- from the list of what fired --- */

static event_list carve_events(size_t n_groups, size_t group, void *scratch)
{
    const size_t most = n_groups * (tspk_pad_step(group) / 2);
    event_list events;

    events.at = scratch;
    events.value = (int32_t *)(events.at + most);
    events.end = (uint32_t *)(events.value + most);
    return events;
}

/* The pairs of a row in which anything fired; `group` need not be whole steps when there is one. */
static void list_events(size_t n_groups, size_t group, const int16_t *level, event_list *events)
{
    uint32_t n = 0;

    for (size_t g = 0; g < n_groups; g++) {
        for (size_t p = g * group; p < (g + 1) * group; p += 2) {
            int32_t both = (uint16_t)level[p];

            if (p + 1 < (g + 1) * group)
                memcpy(&both, level + p, sizeof both);
            events->at[n] = (uint32_t)(p * TSPK_LANES);
            events->value[n] = both;
            n += both != 0;
        }
        events->end[g] = n;
    }
}

static AVX2 TSPK_ALWAYS_INLINE void sum_events(uint32_t from, uint32_t to, const event_list *events,
                                               const void *weight, size_t at, const bool is_byte,
                                               __m256i *sum0, __m256i *sum1)
{
    __m256i a = _mm256_setzero_si256(), b = a;

    for (uint32_t e = from; e < to; e++) {
        const __m256i two = _mm256_set1_epi32(events->value[e]);
        const size_t w = at + events->at[e];

        a = _mm256_add_epi32(a, _mm256_madd_epi16(two, load_weights(weight, w, is_byte)));
        b = _mm256_add_epi32(
            b, _mm256_madd_epi16(two, load_weights(weight, w + TSPK_LANES, is_byte)));
    }
    *sum0 = a;
    *sum1 = b;
}

static AVX2 void linear_events(const tspk_linear_args *args)
{
    const size_t n_groups = args->n_groups, group = args->group;
    const size_t tiles = tspk_pad_lanes(args->n) / TSPK_LANES;
    event_list events = carve_events(n_groups, group, args->scratch);

    for (size_t r = 0; r < args->rows; r++) {
        list_events(n_groups, group, args->level + r * args->ldl, &events);
        for (size_t tile = 0; tile < tiles; tile++) {
            const float *const scale = args->scale + tile * n_groups * TSPK_LANES;
            const size_t at = tile * n_groups * group * TSPK_LANES;
            __m256 z0 = _mm256_setzero_ps(), z1 = z0;
            uint32_t from = 0;

            for (size_t g = 0; g < n_groups; from = events.end[g++]) {
                const float *const s = scale + g * TSPK_LANES;
                __m256i a, b;

                if (from == events.end[g])
                    continue;
                if (args->width == TSPK_WIDTH_BYTE)
                    sum_events(from, events.end[g], &events, args->weight, at, true, &a, &b);
                else
                    sum_events(from, events.end[g], &events, args->weight, at, false, &a, &b);
                z0 = _mm256_fmadd_ps(_mm256_loadu_ps(s), _mm256_cvtepi32_ps(a), z0);
                z1 = _mm256_fmadd_ps(_mm256_loadu_ps(s + 8), _mm256_cvtepi32_ps(b), z1);
            }
            finish_tile(args, r, tile * TSPK_LANES, z0, z1);
        }
    }
}

static AVX2 void product_events(const tspk_product_args *args)
{
    const size_t padded = tspk_pad_step(args->inner);
    const __m256 factor = _mm256_set1_ps(args->factor);
    event_list events = carve_events(1, args->inner, args->scratch);

    for (size_t r = 0; r < args->rows; r++) {
        list_events(1, args->inner, args->a + r * args->lda, &events);
        if (!events.end[0] && !args->is_first)
            continue;
        for (size_t column = 0; column < args->columns; column += TSPK_LANES) {
            float *const out = args->out + r * args->ldo + column;
            const __m256 zero = _mm256_setzero_ps();
            __m256i a, b;

            if (args->width == TSPK_WIDTH_BYTE)
                sum_events(0, events.end[0], &events, args->b, column * padded, true, &a, &b);
            else
                sum_events(0, events.end[0], &events, args->b, column * padded, false, &a, &b);
            _mm256_storeu_ps(out, _mm256_fmadd_ps(_mm256_cvtepi32_ps(a), factor,
                                                  args->is_first ? zero : _mm256_loadu_ps(out)));
            _mm256_storeu_ps(
                out + 8, _mm256_fmadd_ps(_mm256_cvtepi32_ps(b), factor,
                                         args->is_first ? zero : _mm256_loadu_ps(out + 8)));
        }
    }
}

static AVX2 void pack_columns(tspk_width width, size_t inner, size_t columns, const int16_t *level,
                         size_t ldl, void *packed)
{
    if (width == TSPK_WIDTH_BYTE)
        tspk_pack_levels(bytes, inner, columns, level, ldl, 1, packed);
    else
        tspk_pack_levels(words, inner, columns, level, ldl, 1, packed);
}

static AVX2 void pack_rows(tspk_width width, size_t inner, size_t columns, const int16_t *level,
                      size_t ldl, void *packed)
{
    if (width == TSPK_WIDTH_BYTE)
        tspk_pack_levels(bytes, inner, columns, level, 1, ldl, packed);
    else
        tspk_pack_levels(words, inner, columns, level, 1, ldl, packed);
}

const tspk_kernels tspk_kernels_avx2 = {
    .name = "avx2",
    .step = {2, 2},
    .event_rate = 0.2f,
    .scratch_bytes = scratch_bytes,
    .linear = linear,
    .linear_events = linear_events,
    .product = product,
    .product_events = product_events,
    .pack_columns = pack_columns,
    .pack_rows = pack_rows,
};
#endif
