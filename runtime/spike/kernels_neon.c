/* SPDX-License-Identifier: Apache-2.0 */
/*
 * NEON with dot products. Bytes: sdot, four positions of four columns at once. Words: widening
 * multiply-adds of two positions. Events are the dense order with silent steps left out.
 */
#include "runtime/spike/kernels_pack.h"

#if TSPK_HAVE_NEON
#include <arm_neon.h>

#if defined(__clang__)
#define NEON TSPK_TARGET("dotprod")
#else
#define NEON TSPK_TARGET("arch=armv8.2-a+dotprod")
#endif

/* Rows of a register block: 4 rows of 16 sums, 16 columns of weights, 4 levels of each row. */
#define BLOCK_ROWS 4
#define QUADS      (TSPK_LANES / 4)

static const tspk_packing bytes = {TSPK_WIDTH_BYTE, 4, 0}, words = {TSPK_WIDTH_WORD, 2, 0};

/* The levels of a block of rows as bytes or words: [BLOCK_ROWS][n_groups * padded group]. */
static size_t scratch_bytes(size_t n_groups, size_t group)
{
    return BLOCK_ROWS * n_groups * tspk_pad_step(group) * sizeof(int16_t);
}

static void make_panel(tspk_width width, size_t rows, size_t n_groups, size_t group,
                       const int16_t *level, size_t ldl, void *panel)
{
    const size_t padded = tspk_pad_step(group);

    for (size_t r = 0; r < BLOCK_ROWS; r++)
        for (size_t g = 0; g < n_groups; g++)
            for (size_t p = 0; p < padded; p++) {
                const int16_t m =
                    r < rows && p < group ? level[r * ldl + g * group + p] : (int16_t)0;
                const size_t at = (r * n_groups + g) * padded + p;

                if (width == TSPK_WIDTH_BYTE)
                    ((int8_t *)panel)[at] = (int8_t)m;
                else
                    ((int16_t *)panel)[at] = m;
            }
}

/* sum[r * QUADS + q]: columns 4 q to 4 q + 3 of row r over the positions of a group. */
static NEON TSPK_ALWAYS_INLINE void sum_bytes(bool is_sparse, size_t positions,
                                              const int8_t *level, size_t ldl,
                                              const int8_t *weight, int32x4_t *sum)
{
    for (size_t p = 0; p < positions; p += 4, weight += 4 * TSPK_LANES) {
        int32_t step[BLOCK_ROWS], fired = 0;

        for (size_t r = 0; r < BLOCK_ROWS; r++) {
            memcpy(&step[r], level + r * ldl + p, sizeof step[r]);
            fired |= step[r];
        }
        if (is_sparse && !fired)
            continue;
        for (size_t q = 0; q < QUADS; q++) {
            const int8x16_t w = vld1q_s8(weight + 16 * q);

            for (size_t r = 0; r < BLOCK_ROWS; r++)
                sum[r * QUADS + q] = vdotq_s32(sum[r * QUADS + q], w,
                                               vreinterpretq_s8_s32(vdupq_n_s32(step[r])));
        }
    }
}

static NEON TSPK_ALWAYS_INLINE void sum_words(bool is_sparse, size_t positions,
                                              const int16_t *level, size_t ldl,
                                              const int16_t *weight, int32x4_t *sum)
{
    for (size_t p = 0; p < positions; p += 2, weight += 2 * TSPK_LANES) {
        int16_t fired = 0;

        for (size_t r = 0; r < BLOCK_ROWS; r++)
            fired = (int16_t)(fired | level[r * ldl + p] | level[r * ldl + p + 1]);
        if (is_sparse && !fired)
            continue;
        for (size_t q = 0; q < QUADS; q++) {
            const int16x4x2_t w = vld2_s16(weight + 8 * q);

            for (size_t r = 0; r < BLOCK_ROWS; r++) {
                int32x4_t *const to = &sum[r * QUADS + q];

                *to = vmlal_n_s16(*to, w.val[0], level[r * ldl + p]);
                *to = vmlal_n_s16(*to, w.val[1], level[r * ldl + p + 1]);
            }
        }
    }
}

/* One group of a block of rows in one tile; `at` counts elements of the packed operand. */
static NEON void sum_group(tspk_width width, bool is_sparse, size_t positions, const void *panel,
                           size_t from, size_t ldl, const void *packed, size_t at, int32x4_t *sum)
{
    for (size_t i = 0; i < BLOCK_ROWS * QUADS; i++)
        sum[i] = vdupq_n_s32(0);
    if (width == TSPK_WIDTH_BYTE)
        sum_bytes(is_sparse, positions, (const int8_t *)panel + from, ldl,
                  (const int8_t *)packed + at, sum);
    else
        sum_words(is_sparse, positions, (const int16_t *)panel + from, ldl,
                  (const int16_t *)packed + at, sum);
}

/* Up to four columns that are there, through a whole vector. */
static NEON float32x4_t load_some(const float *from, size_t n)
{
    float four[4] = {0};

    if (n >= 4)
        return vld1q_f32(from);
    memcpy(four, from, n * sizeof *four);
    return vld1q_f32(four);
}

static NEON void store_some(float *to, size_t n, float32x4_t value)
{
    float four[4];

    if (n >= 4) {
        vst1q_f32(to, value);
        return;
    }
    vst1q_f32(four, value);
    memcpy(to, four, n * sizeof *four);
}

static NEON void finish(const tspk_linear_args *args, size_t r, size_t column, float32x4_t z)
{
    const size_t class = args->row_class[r], at = r * args->ldo + column;
    const size_t n = args->n - column < 4 ? args->n - column : 4;
    float32x4_t y = vdupq_n_f32(0.0f);

    if (args->y && !args->is_first)
        y = load_some(args->y + at, n);
    y = vfmaq_f32(y, vdupq_n_f32(args->rho[class]), z);
    if (args->y && !args->is_last)
        store_some(args->y + at, n, y);
    if (args->divisor > 0.0f)
        y = vdivq_f32(y, vdupq_n_f32(args->divisor));
    y = vaddq_f32(y, load_some(args->bias + class * args->ldbias + column, n));
    store_some(args->out + at, n, y);
}

static NEON void linear_tile(const tspk_linear_args *args, bool is_sparse, size_t first,
                             size_t tile)
{
    const size_t n_groups = args->n_groups, group = args->group;
    int32x4_t sum[BLOCK_ROWS * QUADS];
    float32x4_t z[BLOCK_ROWS * QUADS];

    for (size_t i = 0; i < BLOCK_ROWS * QUADS; i++)
        z[i] = vdupq_n_f32(0.0f);
    for (size_t g = 0; g < n_groups; g++) {
        const float *const scale = args->scale + (tile * n_groups + g) * TSPK_LANES;

        sum_group(args->width, is_sparse, group, args->scratch, g * group, n_groups * group,
                  args->weight, (tile * n_groups + g) * group * TSPK_LANES, sum);
        for (size_t i = 0; i < BLOCK_ROWS * QUADS; i++)
            z[i] = vfmaq_f32(z[i], vld1q_f32(scale + i % QUADS * 4), vcvtq_f32_s32(sum[i]));
    }
    for (size_t i = 0; i < BLOCK_ROWS * QUADS; i++) {
        const size_t r = first + i / QUADS, column = tile * TSPK_LANES + i % QUADS * 4;

        if (r < args->rows && column < args->n)
            finish(args, r, column, z[i]);
    }
}

static void linear_rows(const tspk_linear_args *args, bool is_sparse)
{
    for (size_t first = 0; first < args->rows; first += BLOCK_ROWS) {
        make_panel(args->width, args->rows - first, args->n_groups, args->group,
                   args->level + first * args->ldl, args->ldl, args->scratch);
        for (size_t tile = 0; tile * TSPK_LANES < args->n; tile++)
            linear_tile(args, is_sparse, first, tile);
    }
}

static void linear(const tspk_linear_args *args)
{
    linear_rows(args, false);
}

static void linear_events(const tspk_linear_args *args)
{
    linear_rows(args, true);
}

static NEON void add_term(const tspk_product_args *args, const tspk_product_term *term,
                          bool is_first, bool is_sparse)
{
    const size_t padded = tspk_pad_step(args->inner);
    int32x4_t sum[BLOCK_ROWS * QUADS];

    for (size_t first = 0; first < args->rows; first += BLOCK_ROWS) {
        make_panel(args->width, args->rows - first, 1, args->inner, term->a + first * args->lda,
                   args->lda, args->scratch);
        for (size_t column = 0; column < args->columns; column += TSPK_LANES) {
            sum_group(args->width, is_sparse, padded, args->scratch, 0, padded, term->b,
                      column * padded, sum);
            for (size_t i = 0; i < BLOCK_ROWS * QUADS && first + i / QUADS < args->rows; i++) {
                float *const out =
                    args->out + (first + i / QUADS) * args->ldo + column + i % QUADS * 4;
                const float32x4_t before = is_first ? vdupq_n_f32(0.0f) : vld1q_f32(out);

                vst1q_f32(out, vfmaq_f32(before, vcvtq_f32_s32(sum[i]), vdupq_n_f32(term->factor)));
            }
        }
    }
}

static void product_terms(const tspk_product_args *args, bool is_sparse)
{
    for (size_t i = 0; i < args->n_terms; i++)
        add_term(args, &args->term[i], args->is_first && i == 0, is_sparse);
}

static void product(const tspk_product_args *args)
{
    product_terms(args, false);
}

static void product_events(const tspk_product_args *args)
{
    product_terms(args, true);
}

static void pack_columns(tspk_width width, size_t inner, size_t columns, const int16_t *level,
                         size_t ldl, void *packed)
{
    if (width == TSPK_WIDTH_BYTE)
        tspk_pack_levels(bytes, inner, columns, level, ldl, 1, packed);
    else
        tspk_pack_levels(words, inner, columns, level, ldl, 1, packed);
}

static void pack_rows(tspk_width width, size_t inner, size_t columns, const int16_t *level,
                      size_t ldl, void *packed)
{
    if (width == TSPK_WIDTH_BYTE)
        tspk_pack_levels(bytes, inner, columns, level, 1, ldl, packed);
    else
        tspk_pack_levels(words, inner, columns, level, 1, ldl, packed);
}

const tspk_kernels tspk_kernels_neon = {
    .name = "neon",
    .step = {4, 2},
    .linear_event_rate = 0.1f,
    .product_event_rate = 0.1f,
    .scratch_bytes = scratch_bytes,
    .linear = linear,
    .linear_events = linear_events,
    .product = product,
    .product_events = product_events,
    .pack_columns = pack_columns,
    .pack_rows = pack_rows,
};
#endif
