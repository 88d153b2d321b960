/* SPDX-License-Identifier: Apache-2.0 */
/* The public handle of a spike graph: opening, saving, what it remembers. */
#include <stdlib.h>
#include <string.h>

#include "core/fail.h"
#include "core/spike_handle.h"
#include "spikefile/spikefile.h"

tspk_status tspk_spike_open(const char *path, tspk_spike **spike_out, tspk_error *err)
{
    tspk_spike *spike = calloc(1, sizeof *spike);
    tspk_status status;

    if (!spike)
        return TSPK_FAIL(err, TSPK_NOMEM, "%s: no memory to open it", path);
    status = tspk_spikefile_read(path, &spike->graph, err);
    if (status != TSPK_OK) {
        free(spike);
        return status;
    }
    *spike_out = spike;
    return TSPK_OK;
}

tspk_status tspk_spike_save(const tspk_spike *spike, const char *path, tspk_error *err)
{
    return tspk_spikefile_write(spike->graph, path, err);
}

void tspk_spike_close(tspk_spike *spike)
{
    if (!spike)
        return;
    tspk_spikegraph_free(spike->graph);
    free(spike);
}

static tspk_preprocess_settings public_preprocess(const tspk_preprocess *stored)
{
    tspk_preprocess_settings settings = {0};

    settings.resize = stored->resize;
    settings.crop = stored->crop_height;
    settings.interpolation = (tspk_interpolation)stored->interpolation;
    settings.channels = stored->channels;
    memcpy(settings.mean, stored->mean, sizeof settings.mean);
    memcpy(settings.std, stored->std, sizeof settings.std);
    return settings;
}

void tspk_spike_info_get(const tspk_spike *spike, tspk_spike_info *info_out)
{
    const tspk_spikegraph *spikes = spike->graph;
    const tspk_graph *graph = spikes->graph;
    const tspk_shape *image = &graph->value[graph->input[0]].shape;
    const tspk_shape *logits = &graph->value[graph->output[0]].shape;
    tspk_spike_info info = {0};

    if (spikes->n_points > 0) {
        info.steps = spikes->point[0].n_steps;
        info.levels = spikes->point[0].n_levels;
    }
    info.classes = (uint32_t)tspk_shape_last(logits);
    for (int i = 0; i < 3 && image->rank >= 3; i++)
        info.image_dim[i] = (uint32_t)image->dim[image->rank - 3 + i];
    info.seed = spikes->provenance.seed;
    info.preprocess = public_preprocess(&spikes->preprocess);
    info.source_sha256 = graph->source_sha256;
    info.calibration_images = spikes->provenance.n_calibration;
    *info_out = info;
}

tspk_status tspk_spike_mode_steps(const tspk_spike *spike, const char *mode, uint32_t *steps_out,
                                  tspk_error *err)
{
    uint32_t index;

    TSPK_TRY(tspk_find_point(spike->graph, mode, &index, err));
    *steps_out = spike->graph->point[index].n_steps;
    return TSPK_OK;
}

bool tspk_spike_merges_tokens(const tspk_spike *spike, const char *mode)
{
    uint32_t index;

    return tspk_find_point(spike->graph, mode, &index, NULL) == TSPK_OK &&
           spike->graph->point[index].merging.n_attentions > 0;
}

bool tspk_spike_refines_tokens(const tspk_spike *spike, const char *mode)
{
    uint32_t index;

    return tspk_find_point(spike->graph, mode, &index, NULL) == TSPK_OK &&
           spike->graph->point[index].refine_share > 0.0f;
}

const char *tspk_spike_class_name(const tspk_spike *spike, uint32_t i)
{
    return i < spike->graph->n_class_names ? spike->graph->class_name[i] : NULL;
}

tspk_status tspk_spike_set_class_names(tspk_spike *spike, const char *const *names, uint32_t n,
                                       tspk_error *err)
{
    tspk_spikegraph *spikes = spike->graph;
    const char **copies;
    tspk_spike_info info;

    tspk_spike_info_get(spike, &info);
    if (n != info.classes)
        return TSPK_FAIL(err, TSPK_RANGE, "%u class names for %u classes", n, info.classes);
    copies = tspk_arena_array(spikes->arena, n, sizeof *copies);
    if (!copies)
        return TSPK_FAIL(err, TSPK_NOMEM, "no memory for %u class names", n);
    for (uint32_t i = 0; i < n; i++) {
        if (strlen(names[i]) > TSPK_MAX_NAME_BYTES)
            return TSPK_FAIL(err, TSPK_LIMIT, "class name %u has %zu bytes, %u at most", i,
                             strlen(names[i]), TSPK_MAX_NAME_BYTES);
        copies[i] = tspk_arena_text(spikes->arena, names[i]);
        if (!copies[i])
            return TSPK_FAIL(err, TSPK_NOMEM, "no memory for %u class names", n);
    }
    spikes->class_name = copies;
    spikes->n_class_names = n;
    return TSPK_OK;
}

bool tspk_spike_has_calibrated_on(const tspk_spike *spike, const uint8_t hash[32])
{
    const tspk_provenance *provenance = &spike->graph->provenance;

    for (uint32_t i = 0; i < provenance->n_calibration; i++)
        if (memcmp(provenance->calibration_hash[i], hash, 32) == 0)
            return true;
    return false;
}
