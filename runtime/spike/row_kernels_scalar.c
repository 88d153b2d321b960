/* SPDX-License-Identifier: Apache-2.0 */
/* The row kernels' definition. */
#include "runtime/spike/row_kernels.h"

#include "core/compiler.h"

#define KERNEL static
#include "runtime/spike/row_kernels_body.h"

/* Potentials of up to TSPK_FIRE_LANES neurons, as the bytes that bounds are compared with. */
static void potentials(const tspk_fire_args *args, size_t r, size_t first, size_t n, size_t entry,
                       int8_t *potential, bool *is_negative)
{
    const float *const x = args->x + r * args->ldx;

    for (size_t i = 0; i < n; i++) {
        const size_t at = first + i;
        const float o = args->o_in ? args->o_in[r * args->ldo_in + at] : 0.0f;
        const float u = args->t * x[at] - o;
        const float p = u * args->table->reciprocal[entry + i];
        const float magnitude = fabsf(p);
        /* a NaN fires nothing */
        const float up = magnitude >= 0.0f ? ceilf(magnitude < 256.0f ? magnitude : 256.0f) : 0.0f;
        const float shifted = up - 129.0f;

        potential[i] = (int8_t)(shifted > -128.0f ? shifted : -128.0f);
        is_negative[i] = signbit(p);
    }
}

/* The level of one side that a potential reaches. */
static int reached(const tspk_fire_table *table, int side, size_t entry, int potential)
{
    const uint8_t *at = table->side[side] +
                        entry / TSPK_FIRE_LANES * table->n_side[side] * 2 * TSPK_FIRE_LANES +
                        entry % TSPK_FIRE_LANES;
    int m = 0;

    for (uint32_t i = 0; i < table->n_side[side]; i++, at += 2 * TSPK_FIRE_LANES)
        if (potential > (int8_t)at[0])
            m += at[TSPK_FIRE_LANES];
    return m;
}

static void fire_block(const tspk_fire_args *args, size_t r, size_t first, size_t n)
{
    const tspk_fire_table *const table = args->table;
    const size_t entry = args->is_alike ? args->block * TSPK_FIRE_LANES : first;
    int8_t potential[TSPK_FIRE_LANES];
    bool is_negative[TSPK_FIRE_LANES];

    potentials(args, r, first, n, entry, potential, is_negative);
    for (size_t i = 0; i < n; i++) {
        const size_t at = first + i;
        const int side = is_negative[i] && !table->is_mirrored;
        const int magnitude = reached(table, side, entry + i, potential[i]);
        const int m = is_negative[i] ? -magnitude : magnitude;

        if (args->is_wide)
            ((int16_t *)args->level)[r * args->ldl + at] = (int16_t)m;
        else
            ((int8_t *)args->level)[r * args->ldl + at] = (int8_t)m;
        if (args->o_out) {
            const float o = args->o_in ? args->o_in[r * args->ldo_in + at] : 0.0f;

            args->o_out[r * args->ldo_out + at] = o + (float)m * table->step[entry + i];
        }
        args->count[r].spikes += magnitude != 0;
        if (magnitude & (magnitude - 1))
            for (int rest = magnitude; rest; rest >>= 1)
                args->count[r].bits++;
    }
}

static void fire(const tspk_fire_args *args)
{
    for (size_t r = 0; r < args->rows; r++) {
        args->count[r] = (tspk_level_count){0, 0};
        for (size_t i = 0; i < args->n; i += TSPK_FIRE_LANES)
            fire_block(args, r, i, args->n - i < TSPK_FIRE_LANES ? args->n - i : TSPK_FIRE_LANES);
    }
}

static void reorder_bytes(size_t n, const uint32_t *order, const int8_t *from, int8_t *to)
{
#pragma GCC unroll 8
    for (size_t i = 0; i < n; i++)
        to[i] = from[order[i]];
}

static void reorder_words(size_t n, const uint32_t *order, const int16_t *from, int16_t *to)
{
#pragma GCC unroll 8
    for (size_t i = 0; i < n; i++)
        to[i] = from[order[i]];
}

void tspk_reorder_levels(size_t rows, size_t n, size_t channels, const uint32_t *order,
                         bool is_wide, const void *from, size_t ldf, void *to, size_t ldt)
{
    (void)channels;
    for (size_t r = 0; r < rows; r++)
        if (is_wide)
            reorder_words(n, order, (const int16_t *)from + r * ldf, (int16_t *)to + r * ldt);
        else
            reorder_bytes(n, order, (const int8_t *)from + r * ldf, (int8_t *)to + r * ldt);
}

static void gemm_f32(size_t rows, size_t inner, const float *a, size_t lda, const float *b,
                     const float *bias, size_t n, float *out, size_t ldo)
{
    for (size_t r = 0; r < rows; r++) {
        float sum[TSPK_LANES] = {0};

        for (size_t from = 0; from < inner; from += TSPK_GEMM_BLOCK) {
            const size_t to = inner - from < TSPK_GEMM_BLOCK ? inner : from + TSPK_GEMM_BLOCK;
            float part[TSPK_LANES] = {0};

            for (size_t k = from; k < to; k++)
                for (size_t j = 0; j < TSPK_LANES; j++)
                    part[j] = fmaf(a[r * lda + k], b[k * TSPK_LANES + j], part[j]);
            for (size_t j = 0; j < TSPK_LANES; j++)
                sum[j] += part[j];
        }
        for (size_t j = 0; j < n; j++)
            out[r * ldo + j] = bias ? sum[j] + bias[j] : sum[j];
    }
}

const tspk_row_kernels tspk_row_kernels_scalar = {
    .name = "scalar",
    .fire = fire,
    .reorder = tspk_reorder_levels,
    .finish = finish,
    .gemm_f32 = gemm_f32,
    .logits = logits,
    .add_codes = add_codes,
    .encode = encode,
    .scale_out = scale_out,
    .add_scaled = add_scaled,
    .dot = dot,
    .decode = decode,
};

const tspk_row_kernels *tspk_row_kernels_for(tspk_isa isa)
{
#if TSPK_HAVE_X86
    const tspk_isa resolved = tspk_isa_resolve(isa);

    if (resolved == TSPK_ISA_AVX512VNNI)
        return &tspk_row_kernels_avx512;
    if (resolved == TSPK_ISA_AVX2)
        return &tspk_row_kernels_avx2;
#endif
    (void)isa;
    return &tspk_row_kernels_scalar;
}
