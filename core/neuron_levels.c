/* SPDX-License-Identifier: Apache-2.0 */
/* docs/spikefile.md, section "Neuron": the one place where ladders and gains become integers. */
#include <math.h>

#include "core/spikegraph.h"

/* Levels of one sign by rising magnitude: magnitudes in `level`, `sign` times them in the outputs.
 */
static uint32_t derive_side(const tspk_ladder *ladder, float gain, int sign, int most,
                            tspk_fire_rule rule, float dead_zone, int16_t *level_out,
                            float *threshold_out)
{
    uint32_t n = 0;
    int before = 0;

    for (uint32_t i = 0; i < ladder->n_values; i++) {
        const uint32_t at = sign > 0 ? i : ladder->n_values - 1 - i;
        const float value = ladder->value[at];
        const float scaled = gain * (sign > 0 ? value : -value);
        float rounded;
        int m;

        if (!(scaled > 0.0f))
            continue;
        rounded = rintf(scaled);
        m = rounded < (float)most ? (int)rounded : most;
        if (m <= before)
            continue;
        level_out[n] = (int16_t)(sign * m);
        if (rule == TSPK_FIRE_NEAREST)
            threshold_out[n] = (float)sign * 0.5f * (float)(before + m);
        else
            threshold_out[n] =
                (float)sign * ((float)m - 0.5f * (float)(n ? sign * level_out[0] : m));
        before = m;
        n++;
    }
    if (n > 0)
        threshold_out[0] =
            (float)sign * 0.5f * rintf(fabsf((float)level_out[0]) * (1.0f + dead_zone));
    if (n > 1 && fabsf(threshold_out[0]) > fabsf(threshold_out[1]))
        threshold_out[0] = threshold_out[1];
    return n;
}

void tspk_derive_channel_levels(float unit, float gain, const tspk_site_params *params,
                                uint32_t step, uint32_t row_class, tspk_channel_levels *levels_out)
{
    const int most = params->code_form == TSPK_CODE_EXPONENT ? 128 : TSPK_MAX_CODE;
    const tspk_ladder *ladder = &params->step[step].ladder[row_class];
    const float dead_zone = params->step[step].dead_zone[row_class];

    levels_out->step = unit * params->step[step].scale[row_class];
    levels_out->reciprocal = 0.0f;
    levels_out->n_positive = levels_out->n_negative = 0;
    if (!(gain > 0.0f))
        return;
    levels_out->n_positive = derive_side(ladder, gain, 1, most, params->fire_rule, dead_zone,
                                         levels_out->positive, levels_out->positive_threshold);
    levels_out->n_negative = derive_side(ladder, gain, -1, most, params->fire_rule, dead_zone,
                                         levels_out->negative, levels_out->negative_threshold);
    if (levels_out->n_positive + levels_out->n_negative > 0 && levels_out->step > 0.0f)
        levels_out->reciprocal = 1.0f / levels_out->step;
}
