/* SPDX-License-Identifier: Apache-2.0 */
/* The kernels' definition. */
#include "runtime/spike/kernels.h"

#include "core/compiler.h"

#define KERNEL static
#include "runtime/spike/kernels_body.h"

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

static void linear_i8(size_t rows, size_t n_groups, size_t pairs, const int16_t *level, size_t ldl,
                      const int8_t *weight, const float *scale, float *z, size_t ldz)
{
    for (size_t r = 0; r < rows; r++) {
        float *const sum = z + r * ldz;

        memset(sum, 0, TSPK_LANES * sizeof *sum);
        for (size_t g = 0; g < n_groups; g++) {
            int32_t a[TSPK_LANES] = {0};

            for (size_t p = g * pairs; p < (g + 1) * pairs; p++) {
                const int32_t first = level[r * ldl + 2 * p], second = level[r * ldl + 2 * p + 1];
                const int8_t *const w = weight + p * TSPK_LANES * 2;

                for (size_t lane = 0; lane < TSPK_LANES; lane++)
                    a[lane] += first * w[2 * lane] + second * w[2 * lane + 1];
            }
            for (size_t lane = 0; lane < TSPK_LANES; lane++)
                sum[lane] = fmaf(scale[g * TSPK_LANES + lane], (float)a[lane], sum[lane]);
        }
    }
}

static void linear_i16(size_t rows, size_t n_groups, size_t pairs, const int16_t *level, size_t ldl,
                       const int16_t *weight, const float *scale, float *z, size_t ldz)
{
    for (size_t r = 0; r < rows; r++) {
        float *const sum = z + r * ldz;

        memset(sum, 0, TSPK_LANES * sizeof *sum);
        for (size_t g = 0; g < n_groups; g++) {
            int32_t a[TSPK_LANES] = {0};

            for (size_t p = g * pairs; p < (g + 1) * pairs; p++) {
                const int32_t first = level[r * ldl + 2 * p], second = level[r * ldl + 2 * p + 1];
                const int16_t *const w = weight + p * TSPK_LANES * 2;

                for (size_t lane = 0; lane < TSPK_LANES; lane++)
                    a[lane] += first * w[2 * lane] + second * w[2 * lane + 1];
            }
            for (size_t lane = 0; lane < TSPK_LANES; lane++)
                sum[lane] = fmaf(scale[g * TSPK_LANES + lane], (float)a[lane], sum[lane]);
        }
    }
}

/* The two levels of an event, as they stand in memory. */
static void split_event(int32_t value, int32_t *first, int32_t *second)
{
    int16_t both[2];

    memcpy(both, &value, sizeof both);
    *first = both[0];
    *second = both[1];
}

static void linear_events_i8(size_t n_groups, const tspk_events *events, const int8_t *weight,
                             const float *scale, float *z)
{
    uint32_t e = 0;

    memset(z, 0, TSPK_LANES * sizeof *z);
    for (size_t g = 0; g < n_groups; g++) {
        int32_t a[TSPK_LANES] = {0};

        if (e == events->end[g])
            continue;
        for (; e < events->end[g]; e++) {
            const int8_t *const w = weight + (size_t)events->pair[e] * TSPK_LANES * 2;
            int32_t first, second;

            split_event(events->value[e], &first, &second);
            for (size_t lane = 0; lane < TSPK_LANES; lane++)
                a[lane] += first * w[2 * lane] + second * w[2 * lane + 1];
        }
        for (size_t lane = 0; lane < TSPK_LANES; lane++)
            z[lane] = fmaf(scale[g * TSPK_LANES + lane], (float)a[lane], z[lane]);
    }
}

static void linear_events_i16(size_t n_groups, const tspk_events *events, const int16_t *weight,
                              const float *scale, float *z)
{
    uint32_t e = 0;

    memset(z, 0, TSPK_LANES * sizeof *z);
    for (size_t g = 0; g < n_groups; g++) {
        int32_t a[TSPK_LANES] = {0};

        if (e == events->end[g])
            continue;
        for (; e < events->end[g]; e++) {
            const int16_t *const w = weight + (size_t)events->pair[e] * TSPK_LANES * 2;
            int32_t first, second;

            split_event(events->value[e], &first, &second);
            for (size_t lane = 0; lane < TSPK_LANES; lane++)
                a[lane] += first * w[2 * lane] + second * w[2 * lane + 1];
        }
        for (size_t lane = 0; lane < TSPK_LANES; lane++)
            z[lane] = fmaf(scale[g * TSPK_LANES + lane], (float)a[lane], z[lane]);
    }
}

static void product(size_t rows, size_t pairs, const int16_t *a, size_t lda, const int16_t *b,
                    float factor, bool is_first, float *out, size_t ldo)
{
    for (size_t r = 0; r < rows; r++) {
        int32_t sum[TSPK_LANES] = {0};

        for (size_t p = 0; p < pairs; p++) {
            const int32_t first = a[r * lda + 2 * p], second = a[r * lda + 2 * p + 1];
            const int16_t *const two = b + p * TSPK_LANES * 2;

            for (size_t lane = 0; lane < TSPK_LANES; lane++)
                sum[lane] += first * two[2 * lane] + second * two[2 * lane + 1];
        }
        for (size_t lane = 0; lane < TSPK_LANES; lane++)
            out[r * ldo + lane] =
                fmaf((float)sum[lane], factor, is_first ? 0.0f : out[r * ldo + lane]);
    }
}

static void product_events(size_t n_events, const tspk_events *events, const int16_t *b,
                           float factor, bool is_first, float *out)
{
    int32_t sum[TSPK_LANES] = {0};

    for (size_t e = 0; e < n_events; e++) {
        const int16_t *const two = b + (size_t)events->pair[e] * TSPK_LANES * 2;
        int32_t first, second;

        split_event(events->value[e], &first, &second);
        for (size_t lane = 0; lane < TSPK_LANES; lane++)
            sum[lane] += first * two[2 * lane] + second * two[2 * lane + 1];
    }
    for (size_t lane = 0; lane < TSPK_LANES; lane++)
        out[lane] = fmaf((float)sum[lane], factor, is_first ? 0.0f : out[lane]);
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

static const tspk_kernels table = {
    .name = "scalar",
    .fire = fire,
    .fire_alike = fire_alike,
    .count = count,
    .linear_i8 = linear_i8,
    .linear_i16 = linear_i16,
    .linear_events_i8 = linear_events_i8,
    .linear_events_i16 = linear_events_i16,
    .product = product,
    .product_events = product_events,
    .finish = finish,
    .gemm_f32 = gemm_f32,
    .logits = logits,
    .scale_out = scale_out,
    .add_scaled = add_scaled,
    .dot = dot,
    .decode = decode,
    .pack = pack,
    .pack_rows = pack_rows,
};

const tspk_kernels *tspk_kernels_scalar(void)
{
    return &table;
}
