/* SPDX-License-Identifier: Apache-2.0 */
#include "calib/quantise.h"

#include <math.h>
#include <stdlib.h>

#include "core/fail.h"

typedef struct sort_key {
    float unit;
    uint32_t channel;
} sort_key;

static int compare_keys(const void *a, const void *b)
{
    const sort_key *x = a, *y = b;

    if (x->unit != y->unit)
        return x->unit < y->unit ? 1 : -1;
    return (x->channel > y->channel) - (x->channel < y->channel);
}

tspk_status tspk_sort_channels(tspk_arena *arena, tspk_site *site, tspk_error *err)
{
    const uint32_t positions = site->n_groups * site->group_size;
    sort_key *key = malloc(site->channels * sizeof *key);

    site->order = tspk_arena_array(arena, positions, sizeof *site->order);
    if (!key || !site->order) {
        free(key);
        return TSPK_FAIL(err, TSPK_NOMEM, "no memory to sort %u channels", site->channels);
    }
    for (uint32_t c = 0; c < site->channels; c++)
        key[c] = (sort_key){site->unit[c], c};
    qsort(key, site->channels, sizeof *key, compare_keys);
    for (uint32_t p = 0; p < positions; p++)
        site->order[p] = p < site->channels ? key[p].channel : UINT32_MAX;
    free(key);
    return TSPK_OK;
}

tspk_status tspk_quantise_weights(tspk_arena *arena, const tspk_site *site, const float *weight,
                                  const float *row_scale, tspk_spike_linear *linear,
                                  tspk_error *err)
{
    const size_t positions = (size_t)site->n_groups * site->group_size;
    int8_t *to = tspk_arena_array(arena, linear->n_out * positions, sizeof *to);

    linear->scale =
        tspk_arena_array(arena, (size_t)site->n_groups * linear->n_out, sizeof *linear->scale);
    if (!to || !linear->scale)
        return TSPK_FAIL(err, TSPK_NOMEM, "no memory for %u x %zu weights", linear->n_out,
                         positions);
    linear->weight = to;
    linear->weight_bits = 8;
    for (size_t o = 0; o < linear->n_out; o++) {
        const double factor = row_scale ? (double)row_scale[o] : 1;

        for (size_t g = 0; g < site->n_groups; g++) {
            const uint32_t *order = site->order + g * site->group_size;
            double largest = 0;
            float scale;

            for (uint32_t i = 0; i < site->group_size && order[i] != UINT32_MAX; i++)
                largest =
                    fmax(largest, fabs(factor * (double)weight[o * site->channels + order[i]] *
                                       (double)site->unit[order[i]]));
            scale = largest > 0 ? (float)(largest / 127) : 1.0f;
            linear->scale[g * linear->n_out + o] = scale;
            for (uint32_t i = 0; i < site->group_size && order[i] != UINT32_MAX; i++) {
                const double w = factor * (double)weight[o * site->channels + order[i]] *
                                 (double)site->unit[order[i]];

                to[o * positions + g * site->group_size + i] =
                    (int8_t)fmax(-127, fmin(127, rint(w / (double)scale)));
            }
        }
    }
    return TSPK_OK;
}

void tspk_dequantise_weights(const tspk_site *site, const tspk_spike_linear *linear, float *out)
{
    const size_t positions = (size_t)site->n_groups * site->group_size;
    const int8_t *bytes = linear->weight;
    const int16_t *words = linear->weight;

    for (size_t o = 0; o < linear->n_out; o++)
        for (size_t p = 0; p < positions; p++) {
            const uint32_t c = site->order[p];
            const size_t g = p / site->group_size, at = o * positions + p;

            if (c != UINT32_MAX)
                out[o * site->channels + c] =
                    (float)((double)(linear->weight_bits == 8 ? bytes[at] : words[at]) *
                            (double)linear->scale[g * linear->n_out + o] / (double)site->unit[c]);
        }
}
