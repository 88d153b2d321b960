/* SPDX-License-Identifier: Apache-2.0 */
/* The definition of the integer products. */
#include <math.h>
#include <string.h>

#include "runtime/spike/kernels_pack.h"

static const tspk_packing bytes = {TSPK_WIDTH_BYTE, 2, 0}, words = {TSPK_WIDTH_WORD, 2, 0};

static size_t scratch_bytes(size_t n_groups, size_t group)
{
    (void)n_groups;
    (void)group;
    return 0;
}

/* sum[lane] of a row over `group` positions from `at` on; a silent pair is skipped. */
static void sum_group(tspk_width width, size_t group, const int16_t *level, const void *packed,
                      size_t at, int32_t *sum)
{
    memset(sum, 0, TSPK_LANES * sizeof *sum);
    for (size_t p = 0; p < group; p += 2) {
        const int32_t first = level[p], second = p + 1 < group ? level[p + 1] : 0;
        const size_t from = at + p * TSPK_LANES;

        if (!first && !second)
            continue;
        if (width == TSPK_WIDTH_BYTE) {
            const int8_t *const w = (const int8_t *)packed + from;

            for (size_t lane = 0; lane < TSPK_LANES; lane++)
                sum[lane] += first * w[2 * lane] + second * w[2 * lane + 1];
        } else {
            const int16_t *const w = (const int16_t *)packed + from;

            for (size_t lane = 0; lane < TSPK_LANES; lane++)
                sum[lane] += first * w[2 * lane] + second * w[2 * lane + 1];
        }
    }
}

static void finish(const tspk_linear_args *args, size_t r, size_t column, size_t n, const float *z)
{
    const float rho = args->rho[args->row_class[r]];
    const float *const bias = args->bias + args->row_class[r] * args->ldbias + column;
    float *const out = args->out + r * args->ldo + column;
    float *const kept = args->y ? args->y + r * args->ldo + column : NULL;

    for (size_t i = 0; i < n; i++) {
        const float y = fmaf(rho, z[i], kept && !args->is_first ? kept[i] : 0.0f);

        if (kept && !args->is_last)
            kept[i] = y;
        out[i] = (args->divisor > 0.0f ? y / args->divisor : y) + bias[i];
    }
}

static void linear(const tspk_linear_args *args)
{
    for (size_t r = 0; r < args->rows; r++)
        for (size_t column = 0; column < args->n; column += TSPK_LANES) {
            const size_t left = args->n - column;
            float z[TSPK_LANES] = {0};

            for (size_t g = 0; g < args->n_groups; g++) {
                const size_t tile = column / TSPK_LANES * args->n_groups + g;
                int32_t sum[TSPK_LANES];

                sum_group(args->width, args->group, args->level + r * args->ldl + g * args->group,
                          args->weight, tile * args->group * TSPK_LANES, sum);
                for (size_t lane = 0; lane < TSPK_LANES; lane++)
                    z[lane] =
                        fmaf(args->scale[tile * TSPK_LANES + lane], (float)sum[lane], z[lane]);
            }
            finish(args, r, column, left < TSPK_LANES ? left : TSPK_LANES, z);
        }
}

static void add_term(const tspk_product_args *args, const tspk_product_term *term, bool is_first)
{
    const size_t padded = tspk_pad_step(args->inner);

    for (size_t r = 0; r < args->rows; r++)
        for (size_t column = 0; column < args->columns; column += TSPK_LANES) {
            float *const out = args->out + r * args->ldo + column;
            int32_t sum[TSPK_LANES];

            sum_group(args->width, args->inner, term->a + r * args->lda, term->b, column * padded,
                      sum);
            for (size_t lane = 0; lane < TSPK_LANES; lane++)
                out[lane] = fmaf((float)sum[lane], term->factor, is_first ? 0.0f : out[lane]);
        }
}

static void product(const tspk_product_args *args)
{
    for (size_t i = 0; i < args->n_terms; i++)
        add_term(args, &args->term[i], args->is_first && i == 0);
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

const tspk_kernels tspk_kernels_scalar = {
    .name = "scalar",
    .step = {2, 2},
    .linear_event_rate = 1.0f,
    .product_event_rate = 1.0f,
    .scratch_bytes = scratch_bytes,
    .linear = linear,
    .linear_events = linear,
    .product = product,
    .product_events = product,
    .pack_columns = pack_columns,
    .pack_rows = pack_rows,
};
