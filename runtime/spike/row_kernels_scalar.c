/* SPDX-License-Identifier: Apache-2.0 */
/* The row kernels' definition. */
#include "runtime/spike/row_kernels.h"

#include "core/compiler.h"

#define KERNEL static
#include "runtime/spike/row_kernels_body.h"

static float fire_one(const tspk_fire_table *table, size_t c, float x, float o, bool is_rate,
                      float t, float *o_out)
{
    const float scaled = is_rate ? t * x : x;
    const float u = scaled - o;
    const float p = u * table->reciprocal[c];
    float m = 0.0f;

    for (uint32_t i = 0; i < table->n_positive; i++)
        if (p > table->positive_threshold[i * table->stride + c])
            m = table->positive_level[i * table->stride + c];
    for (uint32_t i = 0; i < table->n_negative; i++)
        if (p < table->negative_threshold[i * table->stride + c])
            m = table->negative_level[i * table->stride + c];
    *o_out = o + m * table->step[c];
    return m;
}

static void fire_rows(const tspk_fire_args *args, size_t first, size_t advance)
{
    for (size_t r = 0; r < args->rows; r++)
        for (size_t i = 0; i < args->n; i++) {
            const float o = args->o_in ? args->o_in[r * args->ldo_in + i] : 0.0f;
            float kept;
            const float m = fire_one(args->table, first + i * advance, args->x[r * args->ldx + i],
                                     o, args->is_rate, args->t, &kept);

            if (args->o_out)
                args->o_out[r * args->ldo_out + i] = kept;
            args->level[r * args->ldl + i] = (int16_t)m;
        }
}

static void fire(const tspk_fire_args *args)
{
    fire_rows(args, 0, 1);
}

static void fire_alike(const tspk_fire_args *args)
{
    fire_rows(args, args->neuron, 0);
}

static tspk_level_count count(size_t n, const int16_t *level)
{
    tspk_level_count counted = {0, 0};

    for (size_t i = 0; i < n; i++) {
        const unsigned magnitude = (unsigned)(level[i] < 0 ? -level[i] : level[i]);

        counted.spikes += magnitude != 0;
        if (magnitude & (magnitude - 1))
            for (unsigned rest = magnitude; rest; rest >>= 1)
                counted.bits++;
    }
    return counted;
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
    .fire_alike = fire_alike,
    .count = count,
    .finish = finish,
    .gemm_f32 = gemm_f32,
    .logits = logits,
    .scale_out = scale_out,
    .add_scaled = add_scaled,
    .dot = dot,
    .decode = decode,
};

const tspk_row_kernels *tspk_row_kernels_for(tspk_isa isa)
{
#if TSPK_HAVE_X86
    if (tspk_isa_resolve(isa) != TSPK_ISA_SCALAR)
        return &tspk_row_kernels_avx2;
#endif
    (void)isa;
    return &tspk_row_kernels_scalar;
}
