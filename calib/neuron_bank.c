/* SPDX-License-Identifier: Apache-2.0 */
#include "calib/neuron_bank.h"

#include <math.h>
#include <stdlib.h>

#include "core/fail.h"

/* Neurons are fired in blocks that stay in the first cache. */
#define BLOCK 256u

static tspk_status reserve(tspk_neuron_bank *bank, uint32_t channels, uint32_t n_positive,
                           uint32_t n_negative, tspk_error *err)
{
    const size_t c = channels;
    const size_t cells = c * (2 * (size_t)n_positive + 2 * (size_t)n_negative + 2);

    bank->memory = calloc(cells, sizeof(float));
    if (!bank->memory)
        return TSPK_FAIL(err, TSPK_NOMEM, "no memory for the thresholds of %u channels", channels);
    bank->channels = channels;
    bank->n_positive = n_positive;
    bank->n_negative = n_negative;
    bank->step = bank->memory;
    bank->reciprocal = bank->step + c;
    bank->positive_threshold = bank->reciprocal + c;
    bank->positive_level = bank->positive_threshold + c * n_positive;
    bank->negative_threshold = bank->positive_level + c * n_positive;
    bank->negative_level = bank->negative_threshold + c * n_negative;
    for (size_t i = 0; i < c * n_positive; i++)
        bank->positive_threshold[i] = INFINITY;
    for (size_t i = 0; i < c * n_negative; i++)
        bank->negative_threshold[i] = -INFINITY;
    return TSPK_OK;
}

static void fill_side(const double *level, uint32_t n, int sign, double scale, tspk_fire_rule rule,
                      double dead_zone, uint32_t channels, uint32_t c, float *threshold,
                      float *value)
{
    double before = 0;

    for (uint32_t i = 0; i < n; i++) {
        const double bound =
            rule == TSPK_FIRE_NEAREST ? 0.5 * (before + level[i]) : level[i] - 0.5 * level[0];

        const double zone = i ? 1 : 1 + dead_zone;

        threshold[(size_t)i * channels + c] = (float)(sign * scale * bound * zone);
        value[(size_t)i * channels + c] = (float)(sign * scale * level[i]);
        before = level[i];
    }
}

tspk_status tspk_neuron_bank_real(tspk_neuron_bank *bank, uint32_t channels,
                                  const tspk_ladder_values *ladder, const double *scale,
                                  tspk_fire_rule rule, tspk_error *err)
{
    double positive[2 * TSPK_MAX_LEVELS], negative[2 * TSPK_MAX_LEVELS];
    uint32_t n_positive = 0, n_negative = 0;

    for (uint32_t i = 0; i < ladder->n; i++)
        if (ladder->value[i] > 0)
            positive[n_positive++] = ladder->value[i];
    for (uint32_t i = ladder->n; i-- > 0;)
        if (ladder->value[i] < 0)
            negative[n_negative++] = -ladder->value[i];
    TSPK_TRY(reserve(bank, channels, n_positive, n_negative, err));
    for (uint32_t c = 0; c < channels; c++) {
        if (!(scale[c] > 0))
            continue;
        bank->step[c] = bank->reciprocal[c] = 1.0f;
        fill_side(positive, n_positive, 1, scale[c], rule, ladder->dead_zone, channels, c,
                  bank->positive_threshold, bank->positive_level);
        fill_side(negative, n_negative, -1, scale[c], rule, ladder->dead_zone, channels, c,
                  bank->negative_threshold, bank->negative_level);
    }
    return TSPK_OK;
}

tspk_status tspk_neuron_bank_integer(tspk_neuron_bank *bank, const tspk_site *site,
                                     const tspk_site_params *params, uint32_t step,
                                     uint32_t row_class, tspk_error *err)
{
    const tspk_site_step *s = &params->step[step];
    const tspk_ladder *ladder = &s->ladder[row_class];
    const float *gain = s->gain + (size_t)row_class * site->channels;
    uint32_t n_positive = 0;

    for (uint32_t i = 0; i < ladder->n_values; i++)
        n_positive += ladder->value[i] > 0;
    TSPK_TRY(reserve(bank, site->channels, n_positive, ladder->n_values - n_positive, err));
    for (uint32_t c = 0; c < site->channels; c++) {
        tspk_channel_levels levels;

        tspk_derive_channel_levels(site->unit[c], gain[c], params, step, row_class, &levels);
        bank->step[c] = levels.step;
        bank->reciprocal[c] = levels.reciprocal;
        for (uint32_t i = 0; i < levels.n_positive; i++) {
            bank->positive_threshold[(size_t)i * site->channels + c] = levels.positive_threshold[i];
            bank->positive_level[(size_t)i * site->channels + c] = levels.positive[i];
        }
        for (uint32_t i = 0; i < levels.n_negative; i++) {
            bank->negative_threshold[(size_t)i * site->channels + c] = levels.negative_threshold[i];
            bank->negative_level[(size_t)i * site->channels + c] = levels.negative[i];
        }
    }
    return TSPK_OK;
}

void tspk_neuron_bank_done(tspk_neuron_bank *bank)
{
    free(bank->memory);
    bank->memory = NULL;
}

static float potential_of(tspk_coding coding, float t, float x, float o)
{
    return coding == TSPK_CODING_DIFFERENTIAL ? x - o : t * x - o;
}

TSPK_VECTOR_CLONES
void tspk_neuron_bank_fire_row(const tspk_neuron_bank *bank, tspk_coding coding, uint32_t t,
                               const float *x, float *o)
{
    float p[BLOCK], level[BLOCK];

    for (uint32_t from = 0; from < bank->channels; from += BLOCK) {
        const uint32_t n = bank->channels - from < BLOCK ? bank->channels - from : BLOCK;

        for (uint32_t i = 0; i < n; i++) {
            p[i] = potential_of(coding, (float)t, x[from + i], o[from + i]) *
                   bank->reciprocal[from + i];
            level[i] = 0;
        }
        for (uint32_t k = 0; k < bank->n_positive; k++) {
            const float *threshold = bank->positive_threshold + (size_t)k * bank->channels + from;
            const float *value = bank->positive_level + (size_t)k * bank->channels + from;

            for (uint32_t i = 0; i < n; i++)
                level[i] = p[i] > threshold[i] ? value[i] : level[i];
        }
        for (uint32_t k = 0; k < bank->n_negative; k++) {
            const float *threshold = bank->negative_threshold + (size_t)k * bank->channels + from;
            const float *value = bank->negative_level + (size_t)k * bank->channels + from;

            for (uint32_t i = 0; i < n; i++)
                level[i] = p[i] < threshold[i] ? value[i] : level[i];
        }
        for (uint32_t i = 0; i < n; i++)
            o[from + i] += level[i] * bank->step[from + i];
    }
}

TSPK_VECTOR_CLONES
void tspk_neuron_bank_fire_channel(const tspk_neuron_bank *bank, tspk_coding coding, uint32_t t,
                                   uint32_t channel, const float *x, float *o, size_t n_neurons)
{
    const float reciprocal = bank->reciprocal[channel], step = bank->step[channel];
    float p[BLOCK], level[BLOCK];

    for (size_t from = 0; from < n_neurons; from += BLOCK) {
        const uint32_t n = n_neurons - from < BLOCK ? (uint32_t)(n_neurons - from) : BLOCK;

        for (uint32_t i = 0; i < n; i++) {
            p[i] = potential_of(coding, (float)t, x[from + i], o[from + i]) * reciprocal;
            level[i] = 0;
        }
        for (uint32_t k = 0; k < bank->n_positive; k++) {
            const float threshold = bank->positive_threshold[(size_t)k * bank->channels + channel];
            const float value = bank->positive_level[(size_t)k * bank->channels + channel];

            for (uint32_t i = 0; i < n; i++)
                level[i] = p[i] > threshold ? value : level[i];
        }
        for (uint32_t k = 0; k < bank->n_negative; k++) {
            const float threshold = bank->negative_threshold[(size_t)k * bank->channels + channel];
            const float value = bank->negative_level[(size_t)k * bank->channels + channel];

            for (uint32_t i = 0; i < n; i++)
                level[i] = p[i] < threshold ? value : level[i];
        }
        for (uint32_t i = 0; i < n; i++)
            o[from + i] += level[i] * step;
    }
}
