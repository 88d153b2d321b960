/* SPDX-License-Identifier: Apache-2.0 */
#include <string.h>

#include "core/fail.h"
#include "spikefile/sections.h"

#define CALIBRATION_MEMBER "provenance/calibration.npy"

/* --- writing --- */

static void describe_cost(const tspk_ann_cost *cost, Spike__Cost *to)
{
    spike__cost__init(to);
    to->linear = cost->linear;
    to->product = cost->product;
    to->stem = cost->stem;
    to->head = cost->head;
}

static void describe_preprocess(const tspk_preprocess *preprocess, Spike__Preprocess *to)
{
    spike__preprocess__init(to);
    to->resize = preprocess->resize;
    to->crop_height = preprocess->crop_height;
    to->crop_width = preprocess->crop_width;
    to->interpolation = preprocess->interpolation;
    to->channels = preprocess->channels;
    to->n_mean = to->n_std = 4;
    to->mean = tspk_unconst(preprocess->mean);
    to->std = tspk_unconst(preprocess->std);
}

static tspk_status write_provenance(const tspk_provenance *provenance, tspk_members *members,
                                    Spike__Provenance *to, tspk_error *err)
{
    const tspk_shape shape = {2, {provenance->n_calibration, 32}};

    spike__provenance__init(to);
    to->tool = tspk_unconst(provenance->tool ? provenance->tool : "");
    to->settings = tspk_unconst(provenance->settings ? provenance->settings : "");
    to->seed = provenance->seed;
    if (!provenance->n_calibration)
        return TSPK_OK;
    return tspk_members_add(members, CALIBRATION_MEMBER, TSPK_NPY_U1, &shape,
                            provenance->calibration_hash, &to->calibration, err);
}

tspk_status tspk_section_meta_write(const tspk_spikegraph *spikes, tspk_members *members,
                                    Spike__File *file, tspk_error *err)
{
    file->ann_cost = tspk_arena_alloc(members->arena, sizeof *file->ann_cost);
    file->preprocess = tspk_arena_alloc(members->arena, sizeof *file->preprocess);
    file->provenance = tspk_arena_alloc(members->arena, sizeof *file->provenance);
    if (!file->ann_cost || !file->preprocess || !file->provenance)
        return TSPK_NO_SECTION_MEMORY(err);
    describe_cost(&spikes->ann_cost, file->ann_cost);
    describe_preprocess(&spikes->preprocess, file->preprocess);
    file->n_class_names = spikes->n_class_names;
    file->class_names = tspk_unconst(spikes->class_name);
    return write_provenance(&spikes->provenance, members, file->provenance, err);
}

/* --- reading --- */

static tspk_status read_preprocess(const Spike__Preprocess *from, tspk_preprocess *to,
                                   tspk_error *err)
{
    if (from->n_mean != 4 || from->n_std != 4)
        return TSPK_FAIL(err, TSPK_SHAPE, "preprocessing: %zu means, %zu deviations, expected 4",
                         from->n_mean, from->n_std);
    to->resize = from->resize;
    to->crop_height = from->crop_height;
    to->crop_width = from->crop_width;
    to->interpolation = from->interpolation;
    to->channels = from->channels;
    memcpy(to->mean, from->mean, sizeof to->mean);
    memcpy(to->std, from->std, sizeof to->std);
    return TSPK_OK;
}

static tspk_status read_class_names(const Spike__File *file, tspk_spikegraph *spikes,
                                    tspk_error *err)
{
    if (file->n_class_names > TSPK_MAX_CLASS_NAMES)
        return TSPK_FAIL(err, TSPK_LIMIT, "%zu class names, at most %u", file->n_class_names,
                         TSPK_MAX_CLASS_NAMES);
    spikes->class_name =
        tspk_arena_array(spikes->arena, file->n_class_names, sizeof *spikes->class_name);
    if (!spikes->class_name)
        return TSPK_NO_SECTION_MEMORY(err);
    for (size_t i = 0; i < file->n_class_names; i++)
        TSPK_TRY(tspk_section_text(spikes->arena, file->class_names[i], TSPK_MAX_NAME_BYTES,
                                   "a class name", &spikes->class_name[i], err));
    spikes->n_class_names = (uint32_t)file->n_class_names;
    return TSPK_OK;
}

static tspk_status read_provenance(const Spike__Provenance *from, tspk_container *container,
                                   tspk_spikegraph *spikes, tspk_error *err)
{
    tspk_provenance *const to = &spikes->provenance;
    tspk_shape shape = {2, {0, 32}};
    void *data;

    TSPK_TRY(tspk_section_text(spikes->arena, from->tool, TSPK_MAX_NAME_BYTES, "the tool's name",
                               &to->tool, err));
    TSPK_TRY(tspk_section_text(spikes->arena, from->settings, TSPK_MAX_TEXT_BYTES, "the settings",
                               &to->settings, err));
    to->seed = from->seed;
    if (!from->calibration)
        return TSPK_OK;
    if (from->calibration->n_shape != 2 ||
        from->calibration->shape[0] > TSPK_MAX_CALIBRATION_IMAGES)
        return TSPK_FAIL(err, TSPK_LIMIT, "more than %u calibration images",
                         TSPK_MAX_CALIBRATION_IMAGES);
    shape.dim[0] = (int64_t)from->calibration->shape[0];
    TSPK_TRY(tspk_container_take(container, from->calibration, "calibration", TSPK_NPY_U1, &shape,
                                 spikes->arena, &data, err));
    to->calibration_hash = data;
    to->n_calibration = (uint32_t)shape.dim[0];
    return TSPK_OK;
}

tspk_status tspk_section_meta_read(const Spike__File *file, tspk_container *container,
                                   tspk_spikegraph *spikes, tspk_error *err)
{
    if (!file->ann_cost || !file->preprocess || !file->provenance)
        return TSPK_FAIL(err, TSPK_FORMAT,
                         "the description lacks costs, preprocessing or provenance");
    spikes->ann_cost = (tspk_ann_cost){.linear = file->ann_cost->linear,
                                       .product = file->ann_cost->product,
                                       .stem = file->ann_cost->stem,
                                       .head = file->ann_cost->head};
    TSPK_TRY(read_preprocess(file->preprocess, &spikes->preprocess, err));
    TSPK_TRY(read_class_names(file, spikes, err));
    return read_provenance(file->provenance, container, spikes, err);
}
