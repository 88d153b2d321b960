/* SPDX-License-Identifier: Apache-2.0 */
#include <string.h>

#include "core/fail.h"
#include "spikefile/sections.h"

/* A member of site `site`, or of linear `site`, in operating point `point`. */
static void member_name(uint32_t point, const char *kind, uint32_t index, const char *what,
                        char name[TSPK_MAX_MEMBER_NAME])
{
    snprintf(name, TSPK_MAX_MEMBER_NAME, "point/%u/%s/%u/%s.npy", point, kind, index, what);
}

/* Shape [steps, classes, last]. */
static tspk_shape step_shape(const tspk_spikegraph *spikes, const tspk_point *point, uint32_t last)
{
    return (tspk_shape){3, {point->n_steps, spikes->n_classes, last}};
}

/* --- writing --- */

static tspk_status put(tspk_members *members, uint32_t point, const char *kind, uint32_t index,
                       const char *what, tspk_shape shape, const void *data,
                       Spike__Tensor **tensor_out, tspk_error *err)
{
    char name[TSPK_MAX_MEMBER_NAME];

    member_name(point, kind, index, what, name);
    return tspk_members_add(members, name, TSPK_NPY_F4, &shape, data, tensor_out, err);
}

static tspk_status write_step(const tspk_spikegraph *spikes, const tspk_site_step *step,
                              tspk_arena *arena, Spike__Step **step_out, tspk_error *err)
{
    Spike__Step *const to = tspk_arena_alloc(arena, sizeof *to);
    Spike__LadderKind *kinds = tspk_arena_array(arena, spikes->n_classes, sizeof *kinds);
    uint32_t *levels = tspk_arena_array(arena, spikes->n_classes, sizeof *levels);

    if (!to || !kinds || !levels)
        return TSPK_NO_SECTION_MEMORY(err);
    for (uint32_t k = 0; k < spikes->n_classes; k++) {
        kinds[k] = (Spike__LadderKind)step->ladder[k].kind;
        levels[k] = step->ladder[k].n_values;
    }
    spike__step__init(to);
    to->n_scale = to->n_ladder_kind = to->n_ladder_levels = to->n_dead_zone = spikes->n_classes;
    to->scale = tspk_unconst(step->scale);
    to->dead_zone = tspk_unconst(step->dead_zone);
    to->shift = (uint32_t)step->shift;
    to->ladder_kind = kinds;
    to->ladder_levels = levels;
    *step_out = to;
    return TSPK_OK;
}

/* Ladders side by side, zeros after each one's last. */
static float *join_ladders(const tspk_spikegraph *spikes, const tspk_point *point, uint32_t site,
                           tspk_arena *arena, uint32_t *width_out)
{
    const tspk_site_step *const step = point->site[site].step;
    uint32_t width = 0;
    float *joined;

    for (uint32_t t = 0; t < point->n_steps; t++)
        for (uint32_t k = 0; k < spikes->n_classes; k++)
            if (step[t].ladder[k].n_values > width)
                width = step[t].ladder[k].n_values;
    joined =
        tspk_arena_array(arena, (size_t)point->n_steps * spikes->n_classes * width, sizeof *joined);
    for (uint32_t t = 0; joined && t < point->n_steps; t++)
        for (uint32_t k = 0; k < spikes->n_classes; k++)
            if (step[t].ladder[k].n_values)
                memcpy(joined + ((size_t)t * spikes->n_classes + k) * width,
                       step[t].ladder[k].value, step[t].ladder[k].n_values * sizeof *joined);
    *width_out = width;
    return joined;
}

/* Gains or offsets of all steps; *joined_out NULL where no step has any. */
static tspk_status join_steps(const tspk_spikegraph *spikes, const tspk_point *point, uint32_t site,
                              bool is_gain, tspk_arena *arena, float **joined_out, tspk_error *err)
{
    const size_t n = (size_t)spikes->n_classes * spikes->site[site].channels;
    float *joined = NULL;

    for (uint32_t t = 0; t < point->n_steps; t++) {
        const tspk_site_step *const step = &point->site[site].step[t];
        const float *const from = is_gain ? step->gain : step->offset;

        if (!from)
            continue;
        if (!joined)
            joined = tspk_arena_array(arena, n * point->n_steps, sizeof *joined);
        if (!joined)
            return TSPK_NO_SECTION_MEMORY(err);
        memcpy(joined + t * n, from, n * sizeof *joined);
    }
    *joined_out = joined;
    return TSPK_OK;
}

static tspk_status write_tensors(const tspk_spikegraph *spikes, uint32_t p, uint32_t site,
                                 tspk_members *members, Spike__SiteParams *to, tspk_error *err)
{
    const tspk_point *const point = &spikes->point[p];
    const uint32_t channels = spikes->site[site].channels;
    const tspk_shape all_steps = step_shape(spikes, point, channels);
    uint32_t width;
    float *const ladders = join_ladders(spikes, point, site, members->arena, &width);
    float *gains = NULL, *offsets = NULL;

    if (!ladders)
        return TSPK_NO_SECTION_MEMORY(err);
    TSPK_TRY(join_steps(spikes, point, site, true, members->arena, &gains, err));
    TSPK_TRY(join_steps(spikes, point, site, false, members->arena, &offsets, err));
    TSPK_TRY(put(members, p, "site", site, "ladder", step_shape(spikes, point, width), ladders,
                 &to->ladder, err));
    TSPK_TRY(put(members, p, "site", site, "gain", all_steps, gains, &to->gain, err));
    if (point->site[site].prior)
        TSPK_TRY(put(members, p, "site", site, "prior",
                     (tspk_shape){2, {spikes->n_classes, channels}}, point->site[site].prior,
                     &to->prior, err));
    if (offsets)
        TSPK_TRY(put(members, p, "site", site, "offset", all_steps, offsets, &to->offset, err));
    return TSPK_OK;
}

static tspk_status write_params(const tspk_spikegraph *spikes, uint32_t p, uint32_t site,
                                tspk_members *members, Spike__SiteParams **params_out,
                                tspk_error *err)
{
    const tspk_point *const point = &spikes->point[p];
    const tspk_site_params *const params = &point->site[site];
    Spike__SiteParams *const to = tspk_arena_alloc(members->arena, sizeof *to);
    Spike__Step **steps = tspk_arena_array(members->arena, point->n_steps, sizeof *steps);

    if (!to || !steps)
        return TSPK_NO_SECTION_MEMORY(err);
    spike__site_params__init(to);
    to->fire_rule = (Spike__FireRule)params->fire_rule;
    to->code_form = (Spike__CodeForm)params->code_form;
    to->n_steps = point->n_steps;
    to->steps = steps;
    for (uint32_t t = 0; t < point->n_steps; t++)
        TSPK_TRY(write_step(spikes, &params->step[t], members->arena, &steps[t], err));
    *params_out = to;
    return write_tensors(spikes, p, site, members, to, err);
}

static tspk_status write_point(const tspk_spikegraph *spikes, uint32_t p, tspk_members *members,
                               Spike__Point *to, tspk_error *err)
{
    const tspk_point *const point = &spikes->point[p];

    spike__point__init(to);
    to->name = tspk_unconst(point->name);
    to->coding = (Spike__Coding)point->coding;
    to->steps = point->n_steps;
    to->levels = point->n_levels;
    to->n_merged_pairs = point->merging.n_attentions;
    to->merged_pairs = tspk_unconst(point->merging.n_pairs);
    to->special_tokens = point->merging.n_special;
    to->refine_share = point->refine_share;
    to->n_sites = spikes->n_sites;
    to->sites = tspk_arena_array(members->arena, spikes->n_sites, sizeof *to->sites);
    to->n_biases = spikes->n_linears;
    to->biases = tspk_arena_array(members->arena, spikes->n_linears, sizeof *to->biases);
    if (!to->sites || !to->biases)
        return TSPK_NO_SECTION_MEMORY(err);
    for (uint32_t i = 0; i < spikes->n_sites; i++)
        TSPK_TRY(write_params(spikes, p, i, members, &to->sites[i], err));
    for (uint32_t i = 0; i < spikes->n_linears; i++)
        TSPK_TRY(put(members, p, "linear", i, "bias",
                     step_shape(spikes, point, spikes->linear[i].n_out), point->bias[i],
                     &to->biases[i], err));
    return tspk_section_exits_write(point, p, members, to, err);
}

tspk_status tspk_section_points_write(const tspk_spikegraph *spikes, tspk_members *members,
                                      Spike__File *file, tspk_error *err)
{
    Spike__Point *const to = tspk_arena_array(members->arena, spikes->n_points, sizeof *to);

    file->points = tspk_arena_array(members->arena, spikes->n_points, sizeof *file->points);
    if (!to || !file->points)
        return TSPK_NO_SECTION_MEMORY(err);
    file->n_points = spikes->n_points;
    for (uint32_t i = 0; i < spikes->n_points; i++) {
        file->points[i] = &to[i];
        TSPK_TRY(write_point(spikes, i, members, &to[i], err));
    }
    return TSPK_OK;
}

/* --- reading --- */

/* Where a tensor of an operating point is read from and kept. */
typedef struct reader {
    tspk_container *container;
    tspk_spikegraph *spikes;
    uint32_t point;
} reader;

static tspk_status take(const reader *r, const char *kind, uint32_t index, const char *what,
                        tspk_shape shape, const Spike__Tensor *tensor, float **data_out,
                        tspk_error *err)
{
    char name[TSPK_MAX_MEMBER_NAME];
    void *data;

    member_name(r->point, kind, index, what, name);
    TSPK_TRY(tspk_container_take(r->container, tensor, name, TSPK_NPY_F4, &shape, r->spikes->arena,
                                 &data, err));
    *data_out = data;
    return TSPK_OK;
}

static tspk_status read_step(const Spike__Step *from, uint32_t n_classes, tspk_site_step *step,
                             tspk_error *err)
{
    if (from->n_scale != n_classes || from->n_ladder_kind != n_classes ||
        from->n_ladder_levels != n_classes || from->n_dead_zone != n_classes)
        return TSPK_FAIL(err, TSPK_SHAPE,
                         "%zu scales, %zu ladder kinds, %zu ladders, %zu dead zones; %u classes",
                         from->n_scale, from->n_ladder_kind, from->n_ladder_levels,
                         from->n_dead_zone, n_classes);
    if (from->shift > TSPK_MAX_SHIFT)
        return TSPK_FAIL(err, TSPK_RANGE, "shift %u, at most %d", from->shift, TSPK_MAX_SHIFT);
    step->shift = (int32_t)from->shift;
    for (uint32_t k = 0; k < n_classes; k++) {
        if (from->ladder_kind[k] < SPIKE__LADDER_KIND__POW2 ||
            from->ladder_kind[k] > SPIKE__LADDER_KIND__SIGNED)
            return TSPK_FAIL(err, TSPK_FORMAT, "ladder kind %d is unknown",
                             (int)from->ladder_kind[k]);
        if (from->ladder_levels[k] > 2 * TSPK_MAX_LEVELS)
            return TSPK_FAIL(err, TSPK_LIMIT, "%u levels, at most %u", from->ladder_levels[k],
                             2 * TSPK_MAX_LEVELS);
        step->scale[k] = from->scale[k];
        step->dead_zone[k] = from->dead_zone[k];
        step->ladder[k].kind = (tspk_ladder_kind)from->ladder_kind[k];
        step->ladder[k].n_values = from->ladder_levels[k];
    }
    return TSPK_OK;
}

/* Points every ladder into the joined array, whose rest must be zeros. */
static tspk_status split_ladders(tspk_site_step *step, uint32_t n_steps, uint32_t n_classes,
                                 uint32_t width, float *joined, tspk_error *err)
{
    for (uint32_t t = 0; t < n_steps; t++)
        for (uint32_t k = 0; k < n_classes; k++) {
            tspk_ladder *const ladder = &step[t].ladder[k];

            ladder->value = joined + ((size_t)t * n_classes + k) * width;
            for (uint32_t i = ladder->n_values; i < width; i++)
                if (ladder->value[i] != 0.0f)
                    return TSPK_FAIL(err, TSPK_FORMAT,
                                     "step %u, class %u: a value after the ladder's last", t + 1,
                                     k);
        }
    return TSPK_OK;
}

static tspk_status read_tensors(const reader *r, const Spike__SiteParams *from, uint32_t site,
                                tspk_site_params *params, tspk_error *err)
{
    const tspk_spikegraph *const spikes = r->spikes;
    const tspk_point *const point = &spikes->point[r->point];
    const uint32_t channels = spikes->site[site].channels;
    const tspk_shape all_steps = step_shape(spikes, point, channels);
    uint32_t width = 0;
    float *ladders, *gains, *offsets = NULL;

    for (uint32_t t = 0; t < point->n_steps; t++)
        for (uint32_t k = 0; k < spikes->n_classes; k++)
            if (params->step[t].ladder[k].n_values > width)
                width = params->step[t].ladder[k].n_values;
    TSPK_TRY(take(r, "site", site, "ladder", step_shape(spikes, point, width), from->ladder,
                  &ladders, err));
    TSPK_TRY(split_ladders(params->step, point->n_steps, spikes->n_classes, width, ladders, err));
    TSPK_TRY(take(r, "site", site, "gain", all_steps, from->gain, &gains, err));
    if (from->prior)
        TSPK_TRY(take(r, "site", site, "prior", (tspk_shape){2, {spikes->n_classes, channels}},
                      from->prior, &params->prior, err));
    if (from->offset)
        TSPK_TRY(take(r, "site", site, "offset", all_steps, from->offset, &offsets, err));
    for (uint32_t t = 0; t < point->n_steps; t++) {
        const size_t at = (size_t)t * spikes->n_classes * channels;

        params->step[t].gain = gains + at;
        params->step[t].offset = offsets ? offsets + at : NULL;
    }
    return TSPK_OK;
}

static tspk_status read_params(const reader *r, const Spike__SiteParams *from, uint32_t site,
                               tspk_error *err)
{
    const tspk_point *const point = &r->spikes->point[r->point];
    tspk_site_params *const params = &point->site[site];

    if (from->fire_rule < SPIKE__FIRE_RULE__NEAREST || from->fire_rule > SPIKE__FIRE_RULE__ECMT ||
        from->code_form < SPIKE__CODE_FORM__LEVEL || from->code_form > SPIKE__CODE_FORM__EXPONENT)
        return TSPK_FAIL(err, TSPK_FORMAT, "fire rule %d or code form %d is unknown",
                         (int)from->fire_rule, (int)from->code_form);
    if (from->n_steps != point->n_steps)
        return TSPK_FAIL(err, TSPK_SHAPE, "%zu steps, the operating point has %u", from->n_steps,
                         point->n_steps);
    params->fire_rule = (tspk_fire_rule)from->fire_rule;
    params->code_form = (tspk_code_form)from->code_form;
    params->step = tspk_arena_array(r->spikes->arena, point->n_steps, sizeof *params->step);
    if (!params->step)
        return TSPK_NO_SECTION_MEMORY(err);
    for (uint32_t t = 0; t < point->n_steps; t++)
        TSPK_TRY(read_step(from->steps[t], r->spikes->n_classes, &params->step[t], err));
    return read_tensors(r, from, site, params, err);
}

static tspk_status read_merging(const reader *r, const Spike__Point *from, tspk_merging *merging,
                                tspk_error *err)
{
    const uint32_t attentions = tspk_graph_count_attentions(r->spikes->graph);

    if (from->n_merged_pairs && from->n_merged_pairs != attentions)
        return TSPK_FAIL(err, TSPK_SHAPE, "%zu numbers of merged pairs, expected %u",
                         from->n_merged_pairs, attentions);
    if (!from->n_merged_pairs) {
        if (from->special_tokens)
            return TSPK_FAIL(err, TSPK_FORMAT, "%u special tokens where none merge",
                             from->special_tokens);
        return TSPK_OK;
    }
    merging->n_special = from->special_tokens;
    merging->n_attentions = attentions;
    merging->n_pairs = tspk_arena_copy(r->spikes->arena, from->merged_pairs,
                                       attentions * sizeof *from->merged_pairs);
    return merging->n_pairs ? TSPK_OK : TSPK_NO_SECTION_MEMORY(err);
}

static tspk_status read_point(const reader *r, const Spike__Point *from, tspk_error *err)
{
    tspk_spikegraph *const spikes = r->spikes;
    tspk_point *const point = &spikes->point[r->point];

    if (!from->steps || from->steps > TSPK_MAX_STEPS || from->n_sites != spikes->n_sites ||
        from->n_biases != spikes->n_linears)
        return TSPK_FAIL(err, TSPK_SHAPE,
                         "%u steps, %zu sites, %zu biases; expected 1 to %u, %u and %u",
                         from->steps, from->n_sites, from->n_biases, TSPK_MAX_STEPS,
                         spikes->n_sites, spikes->n_linears);
    if (from->coding < SPIKE__CODING__DIFFERENTIAL || from->coding > SPIKE__CODING__RATE)
        return TSPK_FAIL(err, TSPK_FORMAT, "coding %d is unknown", (int)from->coding);
    TSPK_TRY(tspk_section_text(spikes->arena, from->name, TSPK_MAX_NAME_BYTES,
                               "an operating point's name", &point->name, err));
    point->coding = (tspk_coding)from->coding;
    point->n_steps = from->steps;
    point->n_levels = from->levels;
    TSPK_TRY(read_merging(r, from, &point->merging, err));
    point->refine_share = from->refine_share;
    point->site = tspk_arena_array(spikes->arena, spikes->n_sites, sizeof *point->site);
    point->bias = tspk_arena_array(spikes->arena, spikes->n_linears, sizeof *point->bias);
    if (!point->site || !point->bias)
        return TSPK_NO_SECTION_MEMORY(err);
    for (uint32_t i = 0; i < spikes->n_sites; i++)
        TSPK_TRY(tspk_at_tensor(err, read_params(r, from->sites[i], i, err), spikes->site[i].name));
    for (uint32_t i = 0; i < spikes->n_linears; i++)
        TSPK_TRY(take(r, "linear", i, "bias", step_shape(spikes, point, spikes->linear[i].n_out),
                      from->biases[i], &point->bias[i], err));
    return tspk_section_exits_read(from, r->point, r->container, spikes->arena, point, err);
}

tspk_status tspk_section_points_read(const Spike__File *file, tspk_container *container,
                                     tspk_spikegraph *spikes, tspk_error *err)
{
    if (!file->n_points || file->n_points > TSPK_MAX_POINTS)
        return TSPK_FAIL(err, TSPK_LIMIT, "%zu operating points, expected 1 to %u", file->n_points,
                         TSPK_MAX_POINTS);
    spikes->point = tspk_arena_array(spikes->arena, file->n_points, sizeof *spikes->point);
    if (!spikes->point)
        return TSPK_NO_SECTION_MEMORY(err);
    spikes->n_points = (uint32_t)file->n_points;
    for (uint32_t i = 0; i < spikes->n_points; i++) {
        const reader r = {container, spikes, i};

        TSPK_TRY(read_point(&r, file->points[i], err));
    }
    return TSPK_OK;
}
