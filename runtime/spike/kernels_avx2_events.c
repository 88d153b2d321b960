/* SPDX-License-Identifier: Apache-2.0 */
/* Products from the list of what fired, with AVX2. */
#include "runtime/spike/kernels_avx2.h"

#if TSPK_HAVE_X86

/* Tiles that an event reaches at once; rows whose lists are made before any weight is read. */
#define EVENT_TILES 6
#define EVENT_ROWS  24

/* What of the tiles stays near while rows pass by. */
#define EVENT_NEAR (48u << 10)

typedef struct event_list {
    uint32_t *at;   /* [most] offset of the step's weights in a tile [bytes] */
    int32_t *value; /* [most] its levels as bytes or words */
    uint32_t *end;  /* [n_groups] events up to the end of each group */
    int32_t *start; /* [n_groups] bytes: where the sums start */
} event_list;

/* Every step of bytes may be there twice; a list is written by eights. */
static size_t most_events(size_t n_groups, size_t group)
{
    return n_groups * tspk_pad_step(group) / 2 + CHUNK_STEPS;
}

static size_t event_bytes(size_t n_groups, size_t group)
{
    return (2 * most_events(n_groups, group) + 2 * n_groups) * sizeof(uint32_t);
}

static event_list carve_events(size_t n_groups, size_t group, void *scratch, size_t row)
{
    const size_t most = most_events(n_groups, group);
    event_list events;

    events.at = (uint32_t *)((uint8_t *)scratch + row * event_bytes(n_groups, group));
    events.value = (int32_t *)(events.at + most);
    events.end = (uint32_t *)(events.value + most);
    events.start = (int32_t *)(events.end + n_groups);
    return events;
}

/* The steps of half a chunk that are not silent; returns the events so far. */
static AVX2 TSPK_ALWAYS_INLINE uint32_t list_steps(__m256i v, uint32_t at, uint32_t n,
                                                   const event_list *events)
{
    int32_t step[CHUNK_STEPS / 2];

    if (_mm256_testz_si256(v, v))
        return n;
    _mm256_storeu_si256((__m256i *)step, v);
#pragma GCC unroll 8
    for (uint32_t i = 0; i < CHUNK_STEPS / 2; i++) {
        events->at[n] = at + i * STEP_BYTES;
        events->value[n] = step[i];
        n += step[i] != 0;
    }
    return n;
}

static AVX2 TSPK_ALWAYS_INLINE void list_events(const bool is_byte, size_t n_groups, size_t group,
                                                const int16_t *level, const event_list *events)
{
    const size_t half = CHUNK_STEPS / 2 * step_of(is_byte);
    const size_t group_bytes = tspk_pad_step(group) / step_of(is_byte) * STEP_BYTES;
    uint32_t n = 0;

    for (size_t g = 0; g < n_groups; g++) {
        __m256i sum = _mm256_setzero_si256();

        for (size_t from = 0; from < group; from += half) {
            const __m256i v = load_half(is_byte, level + g * group + from, group - from);
            const uint32_t at = (uint32_t)(g * group_bytes + from / step_of(is_byte) * STEP_BYTES);

            if (is_byte) {
                const half_chunk split = split_levels(v);

                n = list_steps(split.level, at, n, events);
                n = list_steps(split.rest, at, n, events);
                sum = _mm256_add_epi32(sum, split.sum);
            } else {
                n = list_steps(v, at, n, events);
            }
        }
        events->end[g] = n;
        events->start[g] = is_byte ? -BYTE_OFFSET * add_lanes(sum) : 0;
    }
}

/* Where each tile's weights begin. */
static AVX2 TSPK_ALWAYS_INLINE void tile_weights(const size_t tiles, const uint8_t *weight,
                                                 size_t tile_bytes, const uint8_t **tile)
{
#pragma GCC unroll 6
    for (size_t c = 0; c < tiles; c++) {
        tile[c] = weight + c * tile_bytes;
        TSPK_OPAQUE(tile[c]);
    }
}

/* sum[2 c], sum[2 c + 1]: 16 columns of tile c. */
static AVX2 TSPK_ALWAYS_INLINE void sum_events(const bool is_byte, const size_t tiles,
                                               uint32_t from, uint32_t to, const event_list *events,
                                               int32_t start, const uint8_t *const *tile,
                                               __m256i *sum)
{
#pragma GCC unroll 12
    for (size_t i = 0; i < 2 * tiles; i++)
        sum[i] = _mm256_set1_epi32(start);
    for (uint32_t e = from; e < to; e++) {
        const size_t at = events->at[e];
        const __m256i x = _mm256_set1_epi32(events->value[e]);

#pragma GCC unroll 12
        for (size_t i = 0; i < 2 * tiles; i++) {
            const uint8_t *const w = tile[i / 2] + at + i % 2 * (STEP_BYTES / 2);

            sum[i] = multiply_add(is_byte, sum[i], _mm256_loadu_si256((const __m256i *)w), x);
            TSPK_IN_REGISTER(sum[i]);
        }
    }
}

/* Some groups of one row in some tiles; z is kept in memory. */
static AVX2 TSPK_ALWAYS_INLINE void linear_event_row(const bool is_byte, const size_t tiles,
                                                     const tspk_linear_args *args,
                                                     const event_list *events, size_t r,
                                                     size_t tile, size_t first, size_t end,
                                                     float *z)
{
    const size_t n_groups = args->n_groups;
    const size_t tile_bytes = n_groups * (args->group / step_of(is_byte)) * STEP_BYTES;
    const float *const scale = args->scale + tile * n_groups * TSPK_LANES;
    const uint8_t *weight[EVENT_TILES];
    uint32_t from = first ? events->end[first - 1] : 0;

    tile_weights(tiles, (const uint8_t *)args->weight + tile * tile_bytes, tile_bytes, weight);
    if (!first)
        memset(z, 0, tiles * TSPK_LANES * sizeof *z);
    for (size_t g = first; g < end; from = events->end[g++]) {
        __m256i sum[2 * EVENT_TILES];

        if (from == events->end[g])
            continue;
        sum_events(is_byte, tiles, from, events->end[g], events, events->start[g], weight, sum);
#pragma GCC unroll 12
        for (size_t i = 0; i < 2 * tiles; i++) {
            const float *const s = scale + (i / 2 * n_groups + g) * TSPK_LANES + i % 2 * 8;

            _mm256_storeu_ps(z + 8 * i,
                             _mm256_fmadd_ps(_mm256_loadu_ps(s), _mm256_cvtepi32_ps(sum[i]),
                                             _mm256_loadu_ps(z + 8 * i)));
        }
    }
    if (end < n_groups)
        return;
    if (args->y || args->divisor > 0.0f || args->n < (tile + tiles) * TSPK_LANES) {
        for (size_t c = 0; c < tiles; c++)
            finish_tile(args, r, (tile + c) * TSPK_LANES, _mm256_loadu_ps(z + c * TSPK_LANES),
                        _mm256_loadu_ps(z + c * TSPK_LANES + 8));
    } else {
        const size_t class = args->row_class[r];
        const float *const bias = args->bias + class * args->ldbias + tile * TSPK_LANES;
        float *const out = args->out + r * args->ldo + tile * TSPK_LANES;

#pragma GCC unroll 6
        for (size_t at = 0; at < tiles * TSPK_LANES; at += TSPK_LANES)
            finish_once(args->rho[class], bias + at, out + at, _mm256_loadu_ps(z + at),
                        _mm256_loadu_ps(z + at + 8));
    }
}

/* The rows whose lists are there, in some tiles: as many groups at a time as stay near. */
static AVX2 TSPK_ALWAYS_INLINE void linear_event_tiles(const bool is_byte, const size_t tiles,
                                                       const tspk_linear_args *args, uint8_t *lists,
                                                       float *z, size_t first, size_t rows,
                                                       size_t tile)
{
    const size_t n_groups = args->n_groups;
    const size_t a_group = tiles * (args->group / step_of(is_byte)) * STEP_BYTES;
    const size_t near = a_group < EVENT_NEAR ? EVENT_NEAR / a_group : 1;

    for (size_t g = 0; g < n_groups; g += near)
        for (size_t r = 0; r < rows; r++) {
            const event_list events = carve_events(n_groups, args->group, lists, r);

            linear_event_row(is_byte, tiles, args, &events, first + r, tile, g,
                             g + near < n_groups ? g + near : n_groups,
                             z + r * EVENT_TILES * TSPK_LANES);
        }
}

static AVX2 TSPK_ALWAYS_INLINE void linear_from_events(const bool is_byte,
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

AVX2 void tspk_avx2_linear_events(const tspk_linear_args *args)
{
    if (args->width == TSPK_WIDTH_BYTE)
        linear_from_events(true, args);
    else
        linear_from_events(false, args);
}

static AVX2 TSPK_ALWAYS_INLINE void product_event_tiles(const bool is_byte, const size_t tiles,
                                                        const tspk_product_args *args,
                                                        const tspk_product_term *term,
                                                        bool is_first,
                                                        const event_list *events, size_t r,
                                                        size_t column)
{
    const size_t tile_bytes = tspk_pad_step(args->inner) / step_of(is_byte) * STEP_BYTES;
    const __m256 factor = _mm256_set1_ps(term->factor);
    float *const out = args->out + r * args->ldo + column;
    const uint8_t *tile[EVENT_TILES];
    __m256i sum[2 * EVENT_TILES];

    tile_weights(tiles, (const uint8_t *)term->b + column / TSPK_LANES * tile_bytes, tile_bytes,
                 tile);
    sum_events(is_byte, tiles, 0, events->end[0], events, events->start[0], tile, sum);
#pragma GCC unroll 12
    for (size_t i = 0; i < 2 * tiles; i++) {
        const __m256 before = is_first ? _mm256_setzero_ps() : _mm256_loadu_ps(out + 8 * i);

        _mm256_storeu_ps(out + 8 * i, _mm256_fmadd_ps(_mm256_cvtepi32_ps(sum[i]), factor, before));
    }
}

static AVX2 TSPK_ALWAYS_INLINE void term_from_events(const bool is_byte,
                                                     const tspk_product_args *args,
                                                     const tspk_product_term *term,
                                                     bool is_first)
{
    const event_list events = carve_events(1, args->inner, args->scratch, 0);
    const size_t most = EVENT_TILES * TSPK_LANES, four = 4 * TSPK_LANES;

    for (size_t r = 0; r < args->rows; r++) {
        size_t column = 0;

        list_events(is_byte, 1, args->inner, term->a + r * args->lda, &events);
        if (!events.end[0] && !is_first)
            continue;
        for (; column + most <= args->columns; column += most)
            product_event_tiles(is_byte, EVENT_TILES, args, term, is_first, &events, r, column);
        for (; column + four <= args->columns; column += four)
            product_event_tiles(is_byte, 4, args, term, is_first, &events, r, column);
        for (; column < args->columns; column += TSPK_LANES)
            product_event_tiles(is_byte, 1, args, term, is_first, &events, r, column);
    }
}

AVX2 void tspk_avx2_product_events(const tspk_product_args *args)
{
    for (size_t i = 0; i < args->n_terms; i++)
        if (args->width == TSPK_WIDTH_BYTE)
            term_from_events(true, args, &args->term[i], args->is_first && i == 0);
        else
            term_from_events(false, args, &args->term[i], args->is_first && i == 0);
}

size_t tspk_avx2_event_bytes(size_t n_groups, size_t group)
{
    return EVENT_ROWS * (event_bytes(n_groups, group) + EVENT_TILES * TSPK_LANES * sizeof(float));
}
#endif
