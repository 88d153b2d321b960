/* SPDX-License-Identifier: Apache-2.0 */
#include <stdio.h>

#include "core/fail.h"
#include "spikefile/sections.h"

/* The tensors of a site and of a linear: name, type and shape in one place for both directions. */
typedef struct slot {
    char member[TSPK_MAX_MEMBER_NAME];
    tspk_npy_type type;
    tspk_shape shape;
} slot;

static slot site_slot(uint32_t site, const char *what, tspk_npy_type type, tspk_shape shape)
{
    slot s = {.type = type, .shape = shape};

    snprintf(s.member, sizeof s.member, "site/%u/%s.npy", site, what);
    return s;
}

static slot row_class_slot(uint32_t i, const tspk_site *site)
{
    return site_slot(i, "row_class", TSPK_NPY_U1, (tspk_shape){1, {site->rows}});
}

static slot unit_slot(uint32_t i, const tspk_site *site)
{
    return site_slot(i, "unit", TSPK_NPY_F4, (tspk_shape){1, {site->channels}});
}

static slot order_slot(uint32_t i, const tspk_site *site)
{
    return site_slot(i, "order", TSPK_NPY_U4, (tspk_shape){2, {site->n_groups, site->group_size}});
}

static slot weight_slot(uint32_t i, const tspk_spike_linear *linear, const tspk_site *site)
{
    slot s = {.type = linear->weight_bits == 8 ? TSPK_NPY_I1 : TSPK_NPY_I2,
              .shape = {2, {linear->n_out, (int64_t)site->n_groups * site->group_size}}};

    snprintf(s.member, sizeof s.member, "linear/%u/weight.npy", i);
    return s;
}

static slot scale_slot(uint32_t i, const tspk_spike_linear *linear, const tspk_site *site)
{
    slot s = {.type = TSPK_NPY_F4, .shape = {2, {site->n_groups, linear->n_out}}};

    snprintf(s.member, sizeof s.member, "linear/%u/scale.npy", i);
    return s;
}

static tspk_status put(tspk_members *members, slot s, const void *data, Spike__Tensor **tensor_out,
                       tspk_error *err)
{
    return tspk_members_add(members, s.member, s.type, &s.shape, data, tensor_out, err);
}

static tspk_status take(tspk_container *container, slot s, const Spike__Tensor *tensor,
                        tspk_arena *arena, void **data_out, tspk_error *err)
{
    return tspk_container_take(container, tensor, s.member, s.type, &s.shape, arena, data_out, err);
}

/* --- writing --- */

static tspk_status write_sites(const tspk_spikegraph *spikes, tspk_members *members,
                               Spike__File *file, tspk_error *err)
{
    Spike__Site *const to = tspk_arena_array(members->arena, spikes->n_sites, sizeof *to);

    file->sites = tspk_arena_array(members->arena, spikes->n_sites, sizeof *file->sites);
    if (!to || !file->sites)
        return TSPK_NO_SECTION_MEMORY(err);
    file->n_sites = spikes->n_sites;
    for (uint32_t i = 0; i < spikes->n_sites; i++) {
        const tspk_site *const site = &spikes->site[i];

        spike__site__init(&to[i]);
        to[i].name = tspk_unconst(site->name);
        to[i].kind = (Spike__SiteKind)site->kind;
        to[i].input = site->input;
        to[i].node = site->node;
        to[i].rows = site->rows;
        to[i].channels = site->channels;
        to[i].keys = site->keys;
        to[i].is_head = site->is_head;
        to[i].groups = site->n_groups;
        to[i].group_size = site->group_size;
        to[i].source_rows = site->source_rows;
        to[i].n_source_row = site->source_row ? site->rows : 0;
        to[i].source_row = tspk_unconst(site->source_row);
        file->sites[i] = &to[i];
        TSPK_TRY(put(members, row_class_slot(i, site), site->row_class, &to[i].row_class, err));
        TSPK_TRY(put(members, unit_slot(i, site), site->unit, &to[i].unit, err));
        if (site->kind == TSPK_SITE_LINEAR)
            TSPK_TRY(put(members, order_slot(i, site), site->order, &to[i].order, err));
    }
    return TSPK_OK;
}

static tspk_status write_linears(const tspk_spikegraph *spikes, tspk_members *members,
                                 Spike__File *file, tspk_error *err)
{
    Spike__Linear *const to = tspk_arena_array(members->arena, spikes->n_linears, sizeof *to);

    file->linears = tspk_arena_array(members->arena, spikes->n_linears, sizeof *file->linears);
    if (!to || !file->linears)
        return TSPK_NO_SECTION_MEMORY(err);
    file->n_linears = spikes->n_linears;
    for (uint32_t i = 0; i < spikes->n_linears; i++) {
        const tspk_spike_linear *const linear = &spikes->linear[i];
        const tspk_site *const site = &spikes->site[linear->site];

        spike__linear__init(&to[i]);
        to[i].node = linear->node;
        to[i].site = linear->site;
        to[i].outputs = linear->n_out;
        to[i].weight_bits = linear->weight_bits;
        file->linears[i] = &to[i];
        TSPK_TRY(put(members, weight_slot(i, linear, site), linear->weight, &to[i].weight, err));
        TSPK_TRY(put(members, scale_slot(i, linear, site), linear->scale, &to[i].scale, err));
    }
    return TSPK_OK;
}

static tspk_status write_attentions(const tspk_spikegraph *spikes, tspk_arena *arena,
                                    Spike__File *file, tspk_error *err)
{
    Spike__Attention *const to = tspk_arena_array(arena, spikes->n_attentions, sizeof *to);

    file->attentions = tspk_arena_array(arena, spikes->n_attentions, sizeof *file->attentions);
    if (!to || !file->attentions)
        return TSPK_NO_SECTION_MEMORY(err);
    file->n_attentions = spikes->n_attentions;
    for (uint32_t i = 0; i < spikes->n_attentions; i++) {
        const tspk_spike_attention *const attention = &spikes->attention[i];

        spike__attention__init(&to[i]);
        to[i].node = attention->node;
        to[i].query = attention->query;
        to[i].key = attention->key;
        to[i].value = attention->value;
        to[i].numerator = attention->numerator;
        to[i].is_quotient = attention->is_quotient;
        to[i].is_max_fixed = attention->is_max_fixed;
        file->attentions[i] = &to[i];
    }
    return TSPK_OK;
}

static tspk_status write_analog_sites(const tspk_spikegraph *spikes, tspk_arena *arena,
                                      Spike__File *file, tspk_error *err)
{
    Spike__AnalogSite *const to = tspk_arena_array(arena, spikes->n_analog_sites, sizeof *to);

    file->analog_sites =
        tspk_arena_array(arena, spikes->n_analog_sites, sizeof *file->analog_sites);
    if (!to || !file->analog_sites)
        return TSPK_NO_SECTION_MEMORY(err);
    file->n_analog_sites = spikes->n_analog_sites;
    for (uint32_t i = 0; i < spikes->n_analog_sites; i++) {
        const tspk_analog_site *const site = &spikes->analog_site[i];

        spike__analog_site__init(&to[i]);
        to[i].name = tspk_unconst(site->name);
        to[i].kind = (Spike__SiteKind)site->kind;
        to[i].input = site->input;
        to[i].node = site->node;
        to[i].rows = site->rows;
        to[i].channels = site->channels;
        to[i].keys = site->keys;
        file->analog_sites[i] = &to[i];
    }
    return TSPK_OK;
}

tspk_status tspk_section_sites_write(const tspk_spikegraph *spikes, tspk_members *members,
                                     Spike__File *file, tspk_error *err)
{
    file->token_classes = spikes->n_classes;
    TSPK_TRY(write_sites(spikes, members, file, err));
    TSPK_TRY(write_linears(spikes, members, file, err));
    TSPK_TRY(write_attentions(spikes, members->arena, file, err));
    return write_analog_sites(spikes, members->arena, file, err);
}

/* --- reading --- */

static tspk_status read_source_rows(const Spike__Site *from, tspk_arena *arena, tspk_site *site,
                                    tspk_error *err)
{
    uint32_t *rows;

    site->source_rows = from->source_rows;
    if (!from->n_source_row)
        return TSPK_OK;
    if (from->n_source_row != site->rows)
        return TSPK_FAIL(err, TSPK_FORMAT, "%zu source rows are named, expected %u",
                         from->n_source_row, site->rows);
    rows = tspk_arena_copy(arena, from->source_row, site->rows * sizeof *rows);
    if (!rows)
        return TSPK_NO_SECTION_MEMORY(err);
    site->source_row = rows;
    return TSPK_OK;
}

static tspk_status read_site(const Spike__Site *from, uint32_t i, tspk_container *container,
                             tspk_spikegraph *spikes, tspk_error *err)
{
    tspk_site *const site = &spikes->site[i];
    void *data;

    if (from->kind < SPIKE__SITE_KIND__LINEAR || from->kind > SPIKE__SITE_KIND__NUMERATOR)
        return TSPK_FAIL(err, TSPK_FORMAT, "site kind %d is unknown", (int)from->kind);
    TSPK_TRY(tspk_section_text(spikes->arena, from->name, TSPK_MAX_NAME_BYTES, "a site's name",
                               &site->name, err));
    site->kind = (tspk_site_kind)from->kind;
    site->input = from->input;
    site->node = from->node;
    site->rows = from->rows;
    site->channels = from->channels;
    site->keys = from->keys;
    site->is_head = from->is_head;
    site->n_groups = from->groups;
    site->group_size = from->group_size;
    TSPK_TRY(read_source_rows(from, spikes->arena, site, err));
    TSPK_TRY(take(container, row_class_slot(i, site), from->row_class, spikes->arena, &data, err));
    site->row_class = data;
    TSPK_TRY(take(container, unit_slot(i, site), from->unit, spikes->arena, &data, err));
    site->unit = data;
    if (site->kind == TSPK_SITE_LINEAR) {
        TSPK_TRY(take(container, order_slot(i, site), from->order, spikes->arena, &data, err));
        site->order = data;
    } else if (from->order) {
        return TSPK_FAIL(err, TSPK_FORMAT, "only a linear site has an order of channels");
    }
    return TSPK_OK;
}

static tspk_status read_linear(const Spike__Linear *from, uint32_t i, tspk_container *container,
                               tspk_spikegraph *spikes, tspk_error *err)
{
    tspk_spike_linear *const linear = &spikes->linear[i];
    const tspk_site *site;
    void *data;

    if (from->site >= spikes->n_sites)
        return TSPK_FAIL(err, TSPK_FORMAT, "linear %u: site %u of %u", i, from->site,
                         spikes->n_sites);
    if (from->weight_bits != 8 && from->weight_bits != 16)
        return TSPK_FAIL(err, TSPK_UNSUPPORTED, "linear %u: weights of %u bits", i,
                         from->weight_bits);
    site = &spikes->site[from->site];
    linear->node = from->node;
    linear->site = from->site;
    linear->n_out = from->outputs;
    linear->weight_bits = from->weight_bits;
    TSPK_TRY(
        take(container, weight_slot(i, linear, site), from->weight, spikes->arena, &data, err));
    linear->weight = data;
    TSPK_TRY(take(container, scale_slot(i, linear, site), from->scale, spikes->arena, &data, err));
    linear->scale = data;
    return TSPK_OK;
}

static tspk_status read_analog_site(const Spike__AnalogSite *from, tspk_arena *arena,
                                    tspk_analog_site *site, tspk_error *err)
{
    if (from->kind < SPIKE__SITE_KIND__LINEAR || from->kind > SPIKE__SITE_KIND__NUMERATOR)
        return TSPK_FAIL(err, TSPK_FORMAT, "site kind %d is unknown", (int)from->kind);
    TSPK_TRY(tspk_section_text(arena, from->name, TSPK_MAX_NAME_BYTES, "a site's name", &site->name,
                               err));
    site->kind = (tspk_site_kind)from->kind;
    site->input = from->input;
    site->node = from->node;
    site->rows = from->rows;
    site->channels = from->channels;
    site->keys = from->keys;
    return TSPK_OK;
}

static tspk_status allocate(const Spike__File *file, tspk_spikegraph *spikes, tspk_error *err)
{
    if (!file->token_classes || file->token_classes > TSPK_MAX_TOKEN_CLASSES)
        return TSPK_FAIL(err, TSPK_LIMIT, "%u token classes, expected 1 to %u", file->token_classes,
                         TSPK_MAX_TOKEN_CLASSES);
    if (file->n_sites > TSPK_MAX_SITES || file->n_analog_sites > TSPK_MAX_SITES ||
        file->n_linears > TSPK_MAX_NODES || file->n_attentions > TSPK_MAX_NODES)
        return TSPK_FAIL(err, TSPK_LIMIT,
                         "%zu sites, %zu analog sites, %zu linears, %zu attentions", file->n_sites,
                         file->n_analog_sites, file->n_linears, file->n_attentions);
    spikes->n_classes = file->token_classes;
    spikes->n_sites = (uint32_t)file->n_sites;
    spikes->n_analog_sites = (uint32_t)file->n_analog_sites;
    spikes->n_linears = (uint32_t)file->n_linears;
    spikes->n_attentions = (uint32_t)file->n_attentions;
    spikes->site = tspk_arena_array(spikes->arena, file->n_sites, sizeof *spikes->site);
    spikes->linear = tspk_arena_array(spikes->arena, file->n_linears, sizeof *spikes->linear);
    spikes->attention =
        tspk_arena_array(spikes->arena, file->n_attentions, sizeof *spikes->attention);
    spikes->analog_site =
        tspk_arena_array(spikes->arena, file->n_analog_sites, sizeof *spikes->analog_site);
    if (!spikes->site || !spikes->linear || !spikes->attention || !spikes->analog_site)
        return TSPK_NO_SECTION_MEMORY(err);
    return TSPK_OK;
}

tspk_status tspk_section_sites_read(const Spike__File *file, tspk_container *container,
                                    tspk_spikegraph *spikes, tspk_error *err)
{
    TSPK_TRY(allocate(file, spikes, err));
    for (uint32_t i = 0; i < spikes->n_sites; i++)
        TSPK_TRY(tspk_at_tensor(err, read_site(file->sites[i], i, container, spikes, err),
                                file->sites[i]->name));
    for (uint32_t i = 0; i < spikes->n_linears; i++)
        TSPK_TRY(read_linear(file->linears[i], i, container, spikes, err));
    for (uint32_t i = 0; i < spikes->n_attentions; i++) {
        const Spike__Attention *const from = file->attentions[i];

        spikes->attention[i] = (tspk_spike_attention){.node = from->node,
                                                      .query = from->query,
                                                      .key = from->key,
                                                      .value = from->value,
                                                      .numerator = from->numerator,
                                                      .is_quotient = from->is_quotient,
                                                      .is_max_fixed = from->is_max_fixed};
    }
    for (uint32_t i = 0; i < spikes->n_analog_sites; i++)
        TSPK_TRY(tspk_at_tensor(
            err,
            read_analog_site(file->analog_sites[i], spikes->arena, &spikes->analog_site[i], err),
            file->analog_sites[i]->name));
    return TSPK_OK;
}
