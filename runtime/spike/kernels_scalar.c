/* SPDX-License-Identifier: Apache-2.0 */
/* The kernels' definition. */
#include "runtime/spike/kernels.h"

#include <math.h>

#include "core/compiler.h"

#define KERNEL static
#include "runtime/spike/kernels_body.h"

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

static const tspk_kernels table = {
    .name = "scalar",
    .linear_i8 = linear_i8,
    .linear_i16 = linear_i16,
    .linear_events_i8 = linear_events_i8,
    .linear_events_i16 = linear_events_i16,
    .product = product,
    .product_events = product_events,
    .pack = pack,
    .pack_rows = pack_rows,
};

const tspk_kernels *tspk_kernels_scalar(void)
{
    return &table;
}
