/* SPDX-License-Identifier: Apache-2.0 */
/* Products from the list of what fired, with AVX-512 and VNNI. */
#include "runtime/spike/kernels_avx512.h"

#if TSPK_HAVE_X86
#include <string.h>

/* Tiles that an event reaches at once; rows whose lists are made before any weight is read; events
 * a group is filled up to a multiple of, so that the loop's end can be foreseen; groups whose sums
 * of levels are added up together. */
#define EVENT_TILES 8
#define EVENT_ROWS  24
#define EVENT_FILL  4
#define SUM_GROUPS  4

/* What of the tiles stays near while rows pass by. */
#define EVENT_NEAR (48u << 10)

typedef struct event_list {
    uint32_t *at;   /* [most] offset of the step's weights in a tile [bytes] */
    int32_t *value; /* [most] its levels as bytes or words; 0 fills up */
    uint32_t *end;  /* [n_groups] events up to the end of each group */
    int32_t *start; /* [n_groups] bytes: where the sums start */
} event_list;

static size_t most_events(size_t n_groups, size_t group)
{
    const size_t steps = tspk_pad_step(group) / 2;

    return n_groups * ((steps + EVENT_FILL - 1) / EVENT_FILL * EVENT_FILL) + CHUNK_STEPS;
}

static size_t event_bytes(size_t n_groups, size_t group)
{
    return (2 * most_events(n_groups, group) + 2 * (n_groups + SUM_GROUPS)) * sizeof(uint32_t);
}

static event_list carve_events(size_t n_groups, size_t group, void *scratch, size_t row)
{
    const size_t most = most_events(n_groups, group);
    event_list events;

    events.at = (uint32_t *)((uint8_t *)scratch + row * event_bytes(n_groups, group));
    events.value = (int32_t *)(events.at + most);
    events.end = (uint32_t *)(events.value + most);
    events.start = (int32_t *)(events.end + n_groups + SUM_GROUPS);
    return events;
}

/* The steps of one group that are not silent; returns the events so far. */
static AVX512 TSPK_ALWAYS_INLINE uint32_t list_group(const bool is_byte, size_t group,
                                                     const int16_t *level, uint32_t at, uint32_t n,
                                                     const event_list *events, __m512i *sum)
{
    const size_t positions = CHUNK_STEPS * step_of(is_byte);
    const __m512i step = _mm512_slli_epi32(
        _mm512_set_epi32(15, 14, 13, 12, 11, 10, 9, 8, 7, 6, 5, 4, 3, 2, 1, 0), 6);
    const uint32_t before = n;

    *sum = _mm512_setzero_si512();
    for (size_t from = 0; from < group; from += positions, at += CHUNK_STEPS * CHUNK_BYTES) {
        const size_t left = group - from < positions ? group - from : positions;
        const __m512i v = is_byte ? load_bytes(level + from, left) : load_words(level + from, left);
        const __mmask16 fired = _mm512_test_epi32_mask(v, v);

        if (!fired)
            continue;
        if (is_byte)
            *sum = _mm512_dpbusd_epi32(*sum, _mm512_set1_epi8(1), v);
        _mm512_storeu_si512(
            events->at + n,
            _mm512_maskz_compress_epi32(fired, _mm512_add_epi32(step, _mm512_set1_epi32((int)at))));
        _mm512_storeu_si512(events->value + n, _mm512_maskz_compress_epi32(fired, v));
        n += (uint32_t)__builtin_popcount(fired);
    }
    /* nothing from the first step's weights fills up */
    _mm_storeu_si128((__m128i *)(events->at + n), _mm_setzero_si128());
    _mm_storeu_si128((__m128i *)(events->value + n), _mm_setzero_si128());
    return before + (n - before + EVENT_FILL - 1) / EVENT_FILL * EVENT_FILL;
}

static AVX512 TSPK_ALWAYS_INLINE void list_events(const bool is_byte, size_t n_groups, size_t group,
                                                  const int16_t *level, const event_list *events)
{
    const size_t group_bytes = tspk_pad_step(group) / step_of(is_byte) * CHUNK_BYTES;
    const __m128i factor = _mm_set1_epi32(is_byte ? -BYTE_OFFSET : 0);
    uint32_t n = 0;

    for (size_t first = 0; first < n_groups; first += SUM_GROUPS) {
        __m512i sum[SUM_GROUPS];

#pragma GCC unroll 4
        for (size_t i = 0; i < SUM_GROUPS; i++) {
            sum[i] = _mm512_setzero_si512();
            if (first + i < n_groups)
                n = list_group(is_byte, group, level + (first + i) * group,
                               (uint32_t)((first + i) * group_bytes), n, events, &sum[i]);
            events->end[first + i] = n;
        }
        _mm_storeu_si128((__m128i *)(events->start + first),
                         _mm_mullo_epi32(add_lanes(sum), factor));
    }
}

/* Where each tile's weights begin. */
static AVX512 TSPK_ALWAYS_INLINE void tile_weights(const size_t tiles, const uint8_t *weight,
                                                   size_t tile_bytes, const uint8_t **tile)
{
#pragma GCC unroll 8
    for (size_t c = 0; c < tiles; c++) {
        tile[c] = weight + c * tile_bytes;
        TSPK_OPAQUE(tile[c]);
    }
}

static AVX512 TSPK_ALWAYS_INLINE void sum_events(const bool is_byte, const size_t tiles,
                                                 uint32_t from, uint32_t to,
                                                 const event_list *events, int32_t start,
                                                 const uint8_t *const *tile, __m512i *sum)
{
#pragma GCC unroll 8
    for (size_t c = 0; c < tiles; c++)
        sum[c] = _mm512_set1_epi32(start);
    for (uint32_t e = from; e < to; e += EVENT_FILL)
#pragma GCC unroll 4
        for (uint32_t i = 0; i < EVENT_FILL; i++) {
            const size_t at = events->at[e + i];
            const __m512i x = _mm512_set1_epi32(events->value[e + i]);

#pragma GCC unroll 8
            for (size_t c = 0; c < tiles; c++)
                sum[c] = multiply_add(is_byte, sum[c], _mm512_loadu_si512(tile[c] + at), x);
        }
}

/* Some groups of one row in some tiles; z is kept in memory between passes over the groups. */
static AVX512 TSPK_ALWAYS_INLINE void linear_event_row(const bool is_byte, const size_t tiles,
                                                       const tspk_linear_args *args,
                                                       const event_list *events, size_t r,
                                                       size_t tile, size_t first, size_t end,
                                                       const __mmask16 *mask, float *kept)
{
    const size_t n_groups = args->n_groups;
    const size_t tile_bytes = n_groups * (args->group / step_of(is_byte)) * CHUNK_BYTES;
    const float *const scale = args->scale + tile * n_groups * TSPK_LANES;
    const uint8_t *weight[EVENT_TILES];
    uint32_t from = first ? events->end[first - 1] : 0;
    __m512 z[EVENT_TILES];

    tile_weights(tiles, (const uint8_t *)args->weight + tile * tile_bytes, tile_bytes, weight);
#pragma GCC unroll 8
    for (size_t c = 0; c < tiles; c++)
        z[c] = first ? _mm512_loadu_ps(kept + c * TSPK_LANES) : _mm512_setzero_ps();
    for (size_t g = first; g < end; from = events->end[g++]) {
        __m512i sum[EVENT_TILES];

        if (from == events->end[g])
            continue;
        sum_events(is_byte, tiles, from, events->end[g], events, events->start[g], weight, sum);
#pragma GCC unroll 8
        for (size_t c = 0; c < tiles; c++)
            z[c] = _mm512_fmadd_ps(_mm512_loadu_ps(scale + (c * n_groups + g) * TSPK_LANES),
                                   _mm512_cvtepi32_ps(sum[c]), z[c]);
    }
    if (end == n_groups) {
        const size_t class = args->row_class[r], column = tile * TSPK_LANES;

        if (args->y || args->divisor > 0.0f)
            finish(tiles, args, r, column, mask, z);
        else
            finish_once(tiles, args->rho + class, args->bias + class * args->ldbias + column,
                        args->out + r * args->ldo + column, mask, z);
        return;
    }
#pragma GCC unroll 8
    for (size_t c = 0; c < tiles; c++)
        _mm512_storeu_ps(kept + c * TSPK_LANES, z[c]);
}

/* The rows whose lists are there, in some tiles: as many groups at a time as stay near. */
static AVX512 TSPK_ALWAYS_INLINE void linear_event_tiles(const bool is_byte, const size_t tiles,
                                                         const tspk_linear_args *args,
                                                         uint8_t *lists, float *z, size_t first,
                                                         size_t rows, size_t tile)
{
    const size_t n_groups = args->n_groups;
    const size_t a_group = tiles * (args->group / step_of(is_byte)) * CHUNK_BYTES;
    const size_t near = a_group < EVENT_NEAR ? EVENT_NEAR / a_group : 1;
    __mmask16 mask[EVENT_TILES];

#pragma GCC unroll 8
    for (size_t c = 0; c < tiles; c++)
        mask[c] = mask_of(args->n, (tile + c) * TSPK_LANES);
    for (size_t g = 0; g < n_groups; g += near)
        for (size_t r = 0; r < rows; r++) {
            const event_list events = carve_events(n_groups, args->group, lists, r);

            linear_event_row(is_byte, tiles, args, &events, first + r, tile, g,
                             g + near < n_groups ? g + near : n_groups, mask,
                             z + r * EVENT_TILES * TSPK_LANES);
        }
}

static AVX512 TSPK_ALWAYS_INLINE void linear_from_events(const bool is_byte,
                                                         const tspk_linear_args *args)
{
    const size_t tiles = tspk_pad_lanes(args->n) / TSPK_LANES;
    float *const z = args->scratch;
    uint8_t *const lists = (uint8_t *)(z + EVENT_ROWS * EVENT_TILES * TSPK_LANES);

    for (size_t first = 0; first < args->rows; first += EVENT_ROWS) {
        const size_t left = args->rows - first, rows = left < EVENT_ROWS ? left : EVENT_ROWS;
        size_t tile = 0;

        for (size_t r = 0; r < rows; r++) {
            const event_list events = carve_events(args->n_groups, args->group, lists, r);

            list_events(is_byte, args->n_groups, args->group, args->level + (first + r) * args->ldl,
                        &events);
        }
        for (; tile + EVENT_TILES <= tiles; tile += EVENT_TILES)
            linear_event_tiles(is_byte, EVENT_TILES, args, lists, z, first, rows, tile);
        for (; tile + EVENT_TILES / 2 <= tiles; tile += EVENT_TILES / 2)
            linear_event_tiles(is_byte, EVENT_TILES / 2, args, lists, z, first, rows, tile);
        for (; tile < tiles; tile++)
            linear_event_tiles(is_byte, 1, args, lists, z, first, rows, tile);
    }
}

AVX512 void tspk_avx512_linear_events(const tspk_linear_args *args)
{
    if (args->width == TSPK_WIDTH_BYTE)
        linear_from_events(true, args);
    else
        linear_from_events(false, args);
}

static AVX512 TSPK_ALWAYS_INLINE void product_event_tiles(const bool is_byte, const size_t tiles,
                                                          const tspk_product_args *args,
                                                          const tspk_product_term *term,
                                                          bool is_first,
                                                          const event_list *events, size_t r,
                                                          size_t column)
{
    const size_t tile_bytes = tspk_pad_step(args->inner) / step_of(is_byte) * CHUNK_BYTES;
    const __m512 factor = _mm512_set1_ps(term->factor);
    float *const out = args->out + r * args->ldo + column;
    const uint8_t *tile[EVENT_TILES];
    __m512i sum[EVENT_TILES];

    tile_weights(tiles, (const uint8_t *)term->b + column / TSPK_LANES * tile_bytes, tile_bytes,
                 tile);
    sum_events(is_byte, tiles, 0, events->end[0], events, events->start[0], tile, sum);
#pragma GCC unroll 8
    for (size_t c = 0; c < tiles; c++) {
        const __m512 before =
            is_first ? _mm512_setzero_ps() : _mm512_loadu_ps(out + c * TSPK_LANES);

        _mm512_storeu_ps(out + c * TSPK_LANES,
                         _mm512_fmadd_ps(_mm512_cvtepi32_ps(sum[c]), factor, before));
    }
}

static AVX512 TSPK_ALWAYS_INLINE void term_from_events(const bool is_byte,
                                                       const tspk_product_args *args,
                                                       const tspk_product_term *term,
                                                       bool is_first)
{
    const event_list events = carve_events(1, args->inner, args->scratch, 0);
    const size_t most = EVENT_TILES * TSPK_LANES, half = most / 2;

    for (size_t r = 0; r < args->rows; r++) {
        size_t column = 0;

        list_events(is_byte, 1, args->inner, term->a + r * args->lda, &events);
        if (!events.end[0] && !is_first)
            continue;
        for (; column + most <= args->columns; column += most)
            product_event_tiles(is_byte, EVENT_TILES, args, term, is_first, &events, r, column);
        for (; column + half <= args->columns; column += half)
            product_event_tiles(is_byte, EVENT_TILES / 2, args, term, is_first, &events, r, column);
        for (; column < args->columns; column += TSPK_LANES)
            product_event_tiles(is_byte, 1, args, term, is_first, &events, r, column);
    }
}

AVX512 void tspk_avx512_product_events(const tspk_product_args *args)
{
    for (size_t i = 0; i < args->n_terms; i++)
        if (args->width == TSPK_WIDTH_BYTE)
            term_from_events(true, args, &args->term[i], args->is_first && i == 0);
        else
            term_from_events(false, args, &args->term[i], args->is_first && i == 0);
}

size_t tspk_avx512_event_bytes(size_t n_groups, size_t group)
{
    return EVENT_ROWS * (event_bytes(n_groups, group) + EVENT_TILES * TSPK_LANES * sizeof(float));
}
#endif
