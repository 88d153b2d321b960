/* SPDX-License-Identifier: Apache-2.0 */
/* Dense products with AVX2 and FMA, kernels_avx2.h. */
#include "runtime/spike/kernels_avx2.h"

#if TSPK_HAVE_X86

/* A register block: 4 rows of two vectors of sums, two vectors of weights, one of levels. */
#define BLOCK_ROWS 4

/* Rows that pass by a tile before the next is loaded. */
#define PANEL_ROWS   48
#define PANEL_BLOCKS (PANEL_ROWS / BLOCK_ROWS)

/* A panel holds the levels of some rows: [block][chunk][BLOCK_ROWS][CHUNK_BYTES], so that a row is
 * a constant distance from the next. Groups begin with a chunk; missing rows are silent. */
#define PANEL_CHUNK (BLOCK_ROWS * CHUNK_BYTES)
#define EXTRA_BYTES (BLOCK_ROWS * 4)

static const tspk_packing words = {TSPK_WIDTH_WORD, 2, 0};

/* Levels of some rows; bytes: the second steps of pairs that exceed ±128, and where sums start. */
typedef struct row_panel {
    float *z;       /* [blocks][BLOCK_ROWS][LANES] Σ_g of a tile so far */
    int32_t *start; /* [blocks][n_groups][BLOCK_ROWS] */
    uint32_t *end;  /* [blocks][n_groups] second steps of a block up to the end of each group */
    uint32_t *at;   /* [blocks][steps of all groups] where a second step's weights are in a tile */
    uint8_t *extra; /* [blocks][steps of all groups][EXTRA_BYTES] its levels */
    uint8_t *level; /* [blocks][chunks of all groups][PANEL_CHUNK] */
    size_t steps, block_bytes; /* of a block */
} row_panel;

static size_t whole_lines(size_t bytes)
{
    return (bytes + 63) / 64 * 64;
}

/* The parts of a panel one after another; returns their bytes. */
static size_t carve_panel(bool is_byte, size_t n_groups, size_t group, void *scratch,
                          row_panel *panel)
{
    const size_t steps = n_groups * (tspk_pad_step(group) / step_of(is_byte));
    const size_t block_bytes = n_groups * chunks_of(is_byte, group) * PANEL_CHUNK;
    const size_t start = PANEL_ROWS * TSPK_LANES * sizeof(float);
    const size_t end = start + whole_lines(PANEL_ROWS * n_groups * sizeof(int32_t));
    const size_t at = end + whole_lines(PANEL_BLOCKS * n_groups * sizeof(uint32_t));
    const size_t extra = at + whole_lines(PANEL_BLOCKS * steps * sizeof(uint32_t));
    const size_t level = extra + whole_lines(PANEL_BLOCKS * steps * EXTRA_BYTES);
    uint8_t *const from = scratch;

    if (panel) {
        panel->z = scratch;
        panel->start = (int32_t *)(from + start);
        panel->end = (uint32_t *)(from + end);
        panel->at = (uint32_t *)(from + at);
        panel->extra = from + extra;
        panel->level = from + level;
        panel->steps = steps;
        panel->block_bytes = block_bytes;
    }
    return level + PANEL_BLOCKS * block_bytes;
}

/* Half a chunk of a block of rows as bytes; the steps in which a row has a rest, by bits of 4. */
static AVX2 TSPK_ALWAYS_INLINE uint32_t split_rows(size_t rows, const int16_t *level, size_t ldl,
                                                   size_t left, uint8_t *to, uint8_t *rest,
                                                   __m256i *sum)
{
    __m256i is_over = _mm256_setzero_si256();

#pragma GCC unroll 4
    for (size_t r = 0; r < BLOCK_ROWS; r++) {
        const __m256i v =
            r < rows ? load_half(true, level + r * ldl, left) : _mm256_setzero_si256();
        const half_chunk half = split_levels(v);

        _mm256_storeu_si256((__m256i *)(to + r * CHUNK_BYTES), half.level);
        _mm256_storeu_si256((__m256i *)(rest + r * CHUNK_BYTES / 2), half.rest);
        is_over = _mm256_or_si256(is_over, half.is_over);
        sum[r] = _mm256_add_epi32(sum[r], half.sum);
    }
    return steps_with(is_over);
}

/* One group of a block of rows, bytes. `n`: second steps of the block before this group. Returns
 * those up to its end. */
static AVX2 uint32_t make_byte_block(size_t rows, size_t group, const int16_t *level, size_t ldl,
                                     uint8_t *to, uint32_t weight_at, uint32_t n, uint32_t *at,
                                     uint8_t *extra, int32_t *start)
{
    const size_t half = CHUNK_STEPS / 2 * 4;
    __m256i sum[BLOCK_ROWS];

#pragma GCC unroll 4
    for (size_t r = 0; r < BLOCK_ROWS; r++)
        sum[r] = _mm256_setzero_si256();
    for (size_t from = 0; from < group; from += half) {
        uint8_t *const here = to + from / half / 2 * PANEL_CHUNK + from / half % 2 * half;
        uint8_t rest[BLOCK_ROWS * CHUNK_BYTES / 2];
        uint32_t mask = split_rows(rows, level + from, ldl, group - from, here, rest, sum);

        for (; mask; mask &= mask - 1, n++) {
            const uint32_t byte = (uint32_t)__builtin_ctz(mask);

            at[n] = weight_at + ((uint32_t)from + byte) / 4 * STEP_BYTES;
            for (size_t r = 0; r < BLOCK_ROWS; r++)
                memcpy(extra + n * EXTRA_BYTES + 4 * r, rest + r * CHUNK_BYTES / 2 + byte, 4);
        }
    }
    for (size_t r = 0; r < BLOCK_ROWS; r++)
        start[r] = -BYTE_OFFSET * add_lanes(sum[r]);
    return n;
}

static AVX2 TSPK_ALWAYS_INLINE void make_word_block(size_t rows, size_t group, const int16_t *level,
                                                    size_t ldl, uint8_t *to)
{
    const size_t half = CHUNK_STEPS / 2 * 2;

    for (size_t from = 0; from < group; from += half)
        for (size_t r = 0; r < BLOCK_ROWS; r++) {
            const __m256i v = r < rows ? load_half(false, level + r * ldl + from, group - from)
                                       : _mm256_setzero_si256();

            _mm256_storeu_si256((__m256i *)(to + from / half / 2 * PANEL_CHUNK +
                                            from / half % 2 * CHUNK_BYTES / 2 + r * CHUNK_BYTES),
                                v);
        }
}

static AVX2 TSPK_ALWAYS_INLINE void make_panel(const bool is_byte, size_t rows, size_t n_groups,
                                               size_t group, const int16_t *level, size_t ldl,
                                               const row_panel *panel)
{
    const size_t group_bytes = chunks_of(is_byte, group) * PANEL_CHUNK;
    const size_t weight_bytes = tspk_pad_step(group) / step_of(is_byte) * STEP_BYTES;

    for (size_t first = 0, block = 0; first < rows; first += BLOCK_ROWS, block++) {
        uint32_t n = 0;

        for (size_t g = 0; g < n_groups; g++) {
            const int16_t *const from = level + first * ldl + g * group;
            uint8_t *const to = panel->level + block * panel->block_bytes + g * group_bytes;

            if (is_byte) {
                n = make_byte_block(rows - first, group, from, ldl, to,
                                    (uint32_t)(g * weight_bytes), n,
                                    panel->at + block * panel->steps,
                                    panel->extra + block * panel->steps * EXTRA_BYTES,
                                    panel->start + (block * n_groups + g) * BLOCK_ROWS);
                panel->end[block * n_groups + g] = n;
            } else {
                make_word_block(rows - first, group, from, ldl, to);
            }
        }
    }
}

static AVX2 TSPK_ALWAYS_INLINE __m256i broadcast_step(const uint8_t *from)
{
    int32_t step;

    memcpy(&step, from, sizeof step);
    return _mm256_set1_epi32(step);
}

/* One step of a block of rows; `row_bytes` from one row's levels to the next's. */
static AVX2 TSPK_ALWAYS_INLINE void sum_step(const bool is_byte, const uint8_t *level,
                                             const size_t row_bytes, const uint8_t *weight,
                                             __m256i *sum)
{
    __m256i w0 = _mm256_loadu_si256((const __m256i *)weight);
    __m256i w1 = _mm256_loadu_si256((const __m256i *)(weight + STEP_BYTES / 2));

    TSPK_IN_REGISTER(w0);
    TSPK_IN_REGISTER(w1);
#pragma GCC unroll 4
    for (size_t r = 0; r < BLOCK_ROWS; r++) {
        __m256i x = broadcast_step(level + r * row_bytes);

        TSPK_IN_REGISTER(x);
        sum[2 * r] = multiply_add(is_byte, sum[2 * r], w0, x);
        sum[2 * r + 1] = multiply_add(is_byte, sum[2 * r + 1], w1, x);
        TSPK_IN_REGISTER(sum[2 * r]);
        TSPK_IN_REGISTER(sum[2 * r + 1]);
    }
}

/* A block of rows in a panel, from one of its groups on. */
typedef struct panel_block {
    const uint8_t *level, *extra;
    const int32_t *start;
    const uint32_t *end, *at;
    uint32_t n; /* second steps before the group */
} panel_block;

static AVX2 TSPK_ALWAYS_INLINE panel_block block_of(const row_panel *panel, size_t block,
                                                    size_t n_groups, size_t first_group,
                                                    size_t panel_group)
{
    const panel_block found = {panel->level + block * panel->block_bytes +
                                   first_group * panel_group,
                               panel->extra + block * panel->steps * EXTRA_BYTES,
                               panel->start + (block * n_groups + first_group) * BLOCK_ROWS,
                               panel->end + block * n_groups + first_group,
                               panel->at + block * panel->steps,
                               first_group ? panel->end[block * n_groups + first_group - 1] : 0};

    return found;
}

/* sum[2 r], sum[2 r + 1]: 16 columns of row r over the steps of a group of the tile `tile`.
 * `whole`: as many whole chunks, known to the compiler; 0: any number of steps. */
static AVX2 TSPK_ALWAYS_INLINE void sum_group(const bool is_byte, const size_t whole, size_t steps,
                                              panel_block *block, const uint8_t *tile,
                                              const uint8_t *weight, __m256i *sum)
{
    const size_t chunks = whole ? whole : steps / CHUNK_STEPS;
    const uint8_t *level = block->level;

#pragma GCC unroll 4
    for (size_t r = 0; r < BLOCK_ROWS; r++)
        sum[2 * r] = sum[2 * r + 1] =
            is_byte ? _mm256_set1_epi32(block->start[r]) : _mm256_setzero_si256();
    for (size_t chunk = 0; chunk < chunks; chunk++) {
#pragma GCC unroll 16
        for (size_t step = 0; step < CHUNK_STEPS; step++)
            sum_step(is_byte, level + 4 * step, CHUNK_BYTES, weight + step * STEP_BYTES, sum);
        level += PANEL_CHUNK;
        weight += CHUNK_STEPS * STEP_BYTES;
    }
    for (size_t step = chunks * CHUNK_STEPS; !whole && step < steps;
         step++, level += 4, weight += STEP_BYTES)
        sum_step(is_byte, level, CHUNK_BYTES, weight, sum);
    for (; is_byte && block->n < *block->end; block->n++)
        sum_step(true, block->extra + block->n * EXTRA_BYTES, 4, tile + block->at[block->n], sum);
}

/* Some groups of a block of rows in one tile; after the last its rows are finished. */
static AVX2 TSPK_ALWAYS_INLINE void sum_block(const bool is_byte, const size_t whole,
                                              const tspk_linear_args *args, panel_block block,
                                              size_t first_group, size_t end, size_t tile,
                                              size_t row, size_t rows, float *kept)
{
    const size_t n_groups = args->n_groups;
    const size_t steps = whole ? whole * CHUNK_STEPS : args->group / step_of(is_byte);
    const size_t panel_group =
        whole ? whole * PANEL_CHUNK : chunks_of(is_byte, args->group) * PANEL_CHUNK;
    const uint8_t *const weight =
        (const uint8_t *)args->weight + tile * n_groups * steps * STEP_BYTES;
    const uint8_t *here = weight + first_group * steps * STEP_BYTES;
    const float *scale = args->scale + (tile * n_groups + first_group) * TSPK_LANES;
    __m256i sum[2 * BLOCK_ROWS];
    __m256 z[2 * BLOCK_ROWS];

#pragma GCC unroll 8
    for (size_t i = 0; i < 2 * BLOCK_ROWS; i++)
        z[i] = first_group ? _mm256_loadu_ps(kept + 8 * i) : _mm256_setzero_ps();
    for (size_t g = first_group; g < end; g++) {
        __m256 s0, s1;

        sum_group(is_byte, whole, steps, &block, weight, here, sum);
        s0 = _mm256_loadu_ps(scale);
        s1 = _mm256_loadu_ps(scale + 8);
#pragma GCC unroll 4
        for (size_t r = 0; r < BLOCK_ROWS; r++) {
            z[2 * r] = _mm256_fmadd_ps(s0, _mm256_cvtepi32_ps(sum[2 * r]), z[2 * r]);
            z[2 * r + 1] = _mm256_fmadd_ps(s1, _mm256_cvtepi32_ps(sum[2 * r + 1]), z[2 * r + 1]);
        }
        here += steps * STEP_BYTES;
        scale += TSPK_LANES;
        block.level += panel_group;
        block.start += BLOCK_ROWS;
        block.end++;
    }
    if (end < n_groups) {
#pragma GCC unroll 8
        for (size_t i = 0; i < 2 * BLOCK_ROWS; i++)
            _mm256_storeu_ps(kept + 8 * i, z[i]);
        return;
    }
    if (!args->y && !(args->divisor > 0.0f) && args->n - tile * TSPK_LANES >= TSPK_LANES) {
        const uint8_t *const class = args->row_class + row;
        const float *const bias = args->bias + tile * TSPK_LANES;
        float *const out = args->out + row * args->ldo + tile * TSPK_LANES;

#pragma GCC unroll 4
        for (size_t r = 0; r < BLOCK_ROWS; r++)
            if (r < rows)
                finish_once(args->rho[class[r]], bias + class[r] * args -> ldbias,
                            out + r * args -> ldo, z[2 * r], z[2 * r + 1]);
        return;
    }
#pragma GCC unroll 4
    for (size_t r = 0; r < BLOCK_ROWS; r++)
        if (r < rows)
            finish_tile(args, row + r, tile * TSPK_LANES, z[2 * r], z[2 * r + 1]);
}

static AVX2 TSPK_ALWAYS_INLINE void linear_rows(const bool is_byte, const size_t whole,
                                                const tspk_linear_args *args)
{
    const size_t tiles = tspk_pad_lanes(args->n) / TSPK_LANES, n_groups = args->n_groups;
    const size_t group_bytes = args->group / step_of(is_byte) * STEP_BYTES;
    const size_t panel_group = chunks_of(is_byte, args->group) * PANEL_CHUNK;
    const size_t near = group_bytes < NEAR_BYTES ? NEAR_BYTES / group_bytes : 1;
    row_panel panel;

    carve_panel(is_byte, n_groups, args->group, args->scratch, &panel);
    for (size_t first = 0; first < args->rows; first += PANEL_ROWS) {
        const size_t left = args->rows - first, rows = left < PANEL_ROWS ? left : PANEL_ROWS;

        make_panel(is_byte, rows, n_groups, args->group, args->level + first * args->ldl, args->ldl,
                   &panel);
        for (size_t tile = 0; tile < tiles; tile++)
            for (size_t g = 0; g < n_groups; g += near)
                for (size_t row = 0; row < rows; row += BLOCK_ROWS)
                    sum_block(is_byte, whole, args,
                              block_of(&panel, row / BLOCK_ROWS, n_groups, g, panel_group), g,
                              g + near < n_groups ? g + near : n_groups, tile, first + row,
                              rows - row, panel.z + row * TSPK_LANES);
    }
}

static AVX2 void linear(const tspk_linear_args *args)
{
    const bool is_byte = args->width == TSPK_WIDTH_BYTE;

    if (is_byte && args->group == 64)
        linear_rows(true, 1, args);
    else if (is_byte)
        linear_rows(true, 0, args);
    else
        linear_rows(false, 0, args);
}

static AVX2 TSPK_ALWAYS_INLINE void product_block(const bool is_byte, const tspk_product_args *args,
                                                  const tspk_product_term *term, bool is_first,
                                                  panel_block block, size_t row, size_t rows,
                                                  size_t column)
{
    const size_t steps = tspk_pad_step(args->inner) / step_of(is_byte);
    const uint8_t *const tile = (const uint8_t *)term->b + column / TSPK_LANES * steps * STEP_BYTES;
    const size_t ldo = args->ldo;
    const __m256 factor = _mm256_set1_ps(term->factor);
    float *out = args->out + row * ldo + column;
    __m256i sum[2 * BLOCK_ROWS];

    sum_group(is_byte, 0, steps, &block, tile, tile, sum);
#pragma GCC unroll 4
    for (size_t r = 0; r < BLOCK_ROWS; r++, out += ldo) {
        __m256 a = _mm256_setzero_ps(), b = a;

        if (r >= rows)
            return;
        if (!is_first) {
            a = _mm256_loadu_ps(out);
            b = _mm256_loadu_ps(out + 8);
        }
        _mm256_storeu_ps(out, _mm256_fmadd_ps(_mm256_cvtepi32_ps(sum[2 * r]), factor, a));
        _mm256_storeu_ps(out + 8, _mm256_fmadd_ps(_mm256_cvtepi32_ps(sum[2 * r + 1]), factor, b));
    }
}

static AVX2 TSPK_ALWAYS_INLINE void add_term(const bool is_byte, const tspk_product_args *args,
                                             const tspk_product_term *term, bool is_first)
{
    row_panel panel;

    carve_panel(is_byte, 1, args->inner, args->scratch, &panel);
    for (size_t first = 0; first < args->rows; first += PANEL_ROWS) {
        const size_t left = args->rows - first, rows = left < PANEL_ROWS ? left : PANEL_ROWS;

        make_panel(is_byte, rows, 1, args->inner, term->a + first * args->lda, args->lda, &panel);
        for (size_t column = 0; column < args->columns; column += TSPK_LANES)
            for (size_t row = 0; row < rows; row += BLOCK_ROWS)
                product_block(is_byte, args, term, is_first,
                              block_of(&panel, row / BLOCK_ROWS, 1, 0, 0), first + row, rows - row,
                              column);
    }
}

static AVX2 void product(const tspk_product_args *args)
{
    for (size_t i = 0; i < args->n_terms; i++)
        if (args->width == TSPK_WIDTH_BYTE)
            add_term(true, args, &args->term[i], args->is_first && i == 0);
        else
            add_term(false, args, &args->term[i], args->is_first && i == 0);
}

static size_t scratch_bytes(size_t n_groups, size_t group)
{
    const size_t as_bytes = carve_panel(true, n_groups, group, NULL, NULL);
    const size_t as_words = carve_panel(false, n_groups, group, NULL, NULL);
    const size_t events = tspk_avx2_event_bytes(n_groups, group);
    const size_t most = as_bytes > as_words ? as_bytes : as_words;

    return most > events ? most : events;
}

/* --- right operands made of levels --- */

/* Bytes of 16 columns at four positions: 8 columns with their four positions, twice. */
static AVX2 TSPK_ALWAYS_INLINE void join_positions(const __m256i *row, uint8_t *packed)
{
    const __m256i offset = _mm256_set1_epi8((char)BYTE_OFFSET);
    const __m256i low = _mm256_set1_epi16(0xff);
    /* words of two positions: columns 0 to 15 */
    const __m256i ab = _mm256_or_si256(_mm256_and_si256(row[0], low), _mm256_slli_epi16(row[1], 8));
    const __m256i cd = _mm256_or_si256(_mm256_and_si256(row[2], low), _mm256_slli_epi16(row[3], 8));
    const __m256i even = _mm256_unpacklo_epi16(ab, cd), odd = _mm256_unpackhi_epi16(ab, cd);

    _mm256_storeu_si256((__m256i *)packed,
                        _mm256_xor_si256(offset, _mm256_permute2x128_si256(even, odd, 0x20)));
    _mm256_storeu_si256((__m256i *)(packed + STEP_BYTES / 2),
                        _mm256_xor_si256(offset, _mm256_permute2x128_si256(even, odd, 0x31)));
}

static AVX2 void pack_byte_columns(size_t inner, size_t columns, const int16_t *level, size_t ldl,
                                   uint8_t *packed)
{
    for (size_t column = 0; column < columns; column += TSPK_LANES)
        for (size_t p = 0; p < inner; p += 4, packed += STEP_BYTES) {
            __m256i row[4];

            for (size_t i = 0; i < 4; i++) {
                const int16_t *const from = level + (p + i) * ldl + column;
                int16_t part[TSPK_LANES] = {0};

                if (p + i < inner && columns - column >= TSPK_LANES) {
                    row[i] = _mm256_loadu_si256((const __m256i *)from);
                    continue;
                }
                if (p + i < inner)
                    memcpy(part, from, (columns - column) * sizeof *from);
                row[i] = _mm256_loadu_si256((const __m256i *)part);
            }
            join_positions(row, packed);
        }
}

/* 8 rows of 8 double words become their columns. */
static AVX2 TSPK_ALWAYS_INLINE void transpose_steps(__m256i *row)
{
    __m256i part[8];

#pragma GCC unroll 4
    for (size_t i = 0; i < 8; i += 2) {
        part[i] = _mm256_unpacklo_epi32(row[i], row[i + 1]);
        part[i + 1] = _mm256_unpackhi_epi32(row[i], row[i + 1]);
    }
#pragma GCC unroll 2
    for (size_t i = 0; i < 8; i += 4)
#pragma GCC unroll 2
        for (size_t k = 0; k < 2; k++) {
            row[i + 2 * k] = _mm256_unpacklo_epi64(part[i + k], part[i + k + 2]);
            row[i + 2 * k + 1] = _mm256_unpackhi_epi64(part[i + k], part[i + k + 2]);
        }
#pragma GCC unroll 4
    for (size_t j = 0; j < 4; j++) {
        const __m256i upper = row[j], lower = row[4 + j];

        row[j] = _mm256_permute2x128_si256(upper, lower, 0x20);
        row[4 + j] = _mm256_permute2x128_si256(upper, lower, 0x31);
    }
}

static AVX2 void pack_byte_rows(size_t inner, size_t columns, const int16_t *level, size_t ldl,
                                uint8_t *packed)
{
    const size_t steps = tspk_pad_step(inner) / 4, half = TSPK_LANES / 2;
    const __m256i offset = _mm256_set1_epi8((char)BYTE_OFFSET);

    for (size_t column = 0; column < columns; column += half) {
        uint8_t *const tile =
            packed + column / TSPK_LANES * steps * STEP_BYTES + column % TSPK_LANES * 4;

        for (size_t first = 0; first < steps; first += 8) {
            __m256i row[8];

#pragma GCC unroll 8
            for (size_t i = 0; i < 8; i++) {
                row[i] = offset;
                if (column + i < columns)
                    row[i] = _mm256_xor_si256(
                        offset,
                        load_half(true, level + (column + i) * ldl + 4 * first, inner - 4 * first));
            }
            transpose_steps(row);
#pragma GCC unroll 8
            for (size_t i = 0; i < 8; i++)
                if (first + i < steps)
                    _mm256_storeu_si256((__m256i *)(tile + (first + i) * STEP_BYTES), row[i]);
        }
    }
    /* the last tile's second half may be without columns */
    for (size_t step = 0; (columns + half - 1) / half % 2 && step < steps; step++)
        _mm256_storeu_si256((__m256i *)(packed +
                                        (columns / TSPK_LANES * steps + step) * STEP_BYTES +
                                        STEP_BYTES / 2),
                            offset);
}

static AVX2 void pack_columns(tspk_width width, size_t inner, size_t columns, const int16_t *level,
                              size_t ldl, void *packed)
{
    if (width == TSPK_WIDTH_BYTE)
        pack_byte_columns(inner, columns, level, ldl, packed);
    else
        tspk_pack_levels(words, inner, columns, level, ldl, 1, packed);
}

static AVX2 void pack_rows(tspk_width width, size_t inner, size_t columns, const int16_t *level,
                           size_t ldl, void *packed)
{
    if (width == TSPK_WIDTH_BYTE)
        pack_byte_rows(inner, columns, level, ldl, packed);
    else
        tspk_pack_levels(words, inner, columns, level, 1, ldl, packed);
}

const tspk_kernels tspk_kernels_avx2 = {
    .name = "avx2",
    .step = {4, 2},
    .byte_offset = BYTE_OFFSET,
    .linear_event_rate = 0.08f,
    .product_event_rate = 0.2f,
    .scratch_bytes = scratch_bytes,
    .linear = linear,
    .linear_events = tspk_avx2_linear_events,
    .product = product,
    .product_events = tspk_avx2_product_events,
    .pack_columns = pack_columns,
    .pack_rows = pack_rows,
};
#endif
