/* SPDX-License-Identifier: Apache-2.0 */
#include <stdio.h>

#include "core/fail.h"
#include "spikefile/sections.h"

/* The tensors of a policy net in the order of their members. */
typedef enum net_part { WEIGHT_IN, BIAS_IN, WEIGHT_OUT, BIAS_OUT, NET_PARTS } net_part;

static const char *const part_name[NET_PARTS] = {"weight_in", "bias_in", "weight_out", "bias_out"};

static tspk_shape part_shape(const tspk_exit_net *net, uint32_t n_steps, net_part part)
{
    switch (part) {
    case WEIGHT_IN:
        return (tspk_shape){2, {net->n_hidden, net->n_in}};
    case BIAS_IN:
        return (tspk_shape){1, {net->n_hidden}};
    case WEIGHT_OUT:
        return (tspk_shape){2, {n_steps, net->n_hidden}};
    case BIAS_OUT:
    case NET_PARTS:
        break;
    }
    return (tspk_shape){1, {n_steps}};
}

static void part_member(uint32_t point, net_part part, char name[TSPK_MAX_MEMBER_NAME])
{
    snprintf(name, TSPK_MAX_MEMBER_NAME, "point/%u/exit/%s.npy", point, part_name[part]);
}

/* --- writing --- */

static tspk_status write_net(const tspk_exit_net *net, uint32_t n_steps, uint32_t point,
                             tspk_members *members, Spike__Exit *exit, tspk_error *err)
{
    const float *const data[NET_PARTS] = {net->weight_in, net->bias_in, net->weight_out,
                                          net->bias_out};
    Spike__ExitNet *const to = tspk_arena_alloc(members->arena, sizeof *to);
    Spike__Tensor **tensor[NET_PARTS];

    if (!to)
        return TSPK_NO_SECTION_MEMORY(err);
    spike__exit_net__init(to);
    to->inputs = net->n_in;
    to->hidden = net->n_hidden;
    tensor[WEIGHT_IN] = &to->weight_in;
    tensor[BIAS_IN] = &to->bias_in;
    tensor[WEIGHT_OUT] = &to->weight_out;
    tensor[BIAS_OUT] = &to->bias_out;
    for (net_part i = WEIGHT_IN; i < NET_PARTS; i++) {
        const tspk_shape shape = part_shape(net, n_steps, i);
        char name[TSPK_MAX_MEMBER_NAME];

        part_member(point, i, name);
        TSPK_TRY(tspk_members_add(members, name, TSPK_NPY_F4, &shape, data[i], tensor[i], err));
    }
    exit->net = to;
    return TSPK_OK;
}

tspk_status tspk_section_exits_write(const tspk_point *point, uint32_t index, tspk_members *members,
                                     Spike__Point *to, tspk_error *err)
{
    Spike__Exit *const exits = tspk_arena_array(members->arena, point->n_exits, sizeof *exits);

    to->exit_kind = (Spike__ExitKind)point->exit_kind;
    to->n_exits = point->n_exits;
    to->exits = tspk_arena_array(members->arena, point->n_exits, sizeof *to->exits);
    if (!exits || !to->exits)
        return TSPK_NO_SECTION_MEMORY(err);
    for (uint32_t i = 0; i < point->n_exits; i++) {
        const tspk_exit_policy *const policy = &point->exit[i];

        to->exits[i] = &exits[i];
        spike__exit__init(&exits[i]);
        exits[i].kind = (Spike__ExitKind)policy->kind;
        exits[i].n_temperature = exits[i].n_threshold =
            tspk_exit_decisions(policy->kind, point->n_steps);
        exits[i].temperature = policy->temperature;
        exits[i].threshold = policy->threshold;
        if (policy->kind == TSPK_EXIT_NET)
            TSPK_TRY(write_net(&policy->net, point->n_steps, index, members, &exits[i], err));
    }
    return TSPK_OK;
}

/* --- reading --- */

static tspk_status read_net(const Spike__ExitNet *from, uint32_t n_steps, uint32_t point,
                            tspk_container *container, tspk_arena *arena, tspk_exit_net *net,
                            tspk_error *err)
{
    float **const data[NET_PARTS] = {&net->weight_in, &net->bias_in, &net->weight_out,
                                     &net->bias_out};
    const Spike__Tensor *tensor[NET_PARTS];

    if (!from)
        return TSPK_FAIL(err, TSPK_FORMAT, "the policy net is missing");
    if (from->inputs > TSPK_MAX_EXIT_INPUTS || from->hidden > TSPK_MAX_EXIT_HIDDEN)
        return TSPK_FAIL(err, TSPK_LIMIT,
                         "a policy net with %u inputs and %u hidden units, at most %u and %u",
                         from->inputs, from->hidden, TSPK_MAX_EXIT_INPUTS, TSPK_MAX_EXIT_HIDDEN);
    net->n_in = from->inputs;
    net->n_hidden = from->hidden;
    tensor[WEIGHT_IN] = from->weight_in;
    tensor[BIAS_IN] = from->bias_in;
    tensor[WEIGHT_OUT] = from->weight_out;
    tensor[BIAS_OUT] = from->bias_out;
    for (net_part i = WEIGHT_IN; i < NET_PARTS; i++) {
        const tspk_shape shape = part_shape(net, n_steps, i);
        char name[TSPK_MAX_MEMBER_NAME];
        void *found;

        part_member(point, i, name);
        TSPK_TRY(tspk_container_take(container, tensor[i], name, TSPK_NPY_F4, &shape, arena, &found,
                                     err));
        *data[i] = found;
    }
    return TSPK_OK;
}

static tspk_status read_exit(const Spike__Exit *from, uint32_t index, tspk_container *container,
                             tspk_arena *arena, uint32_t n_steps, tspk_exit_policy *policy,
                             tspk_error *err)
{
    size_t n;

    if (from->kind <= SPIKE__EXIT_KIND__EXIT_NONE || from->kind > SPIKE__EXIT_KIND__NET)
        return TSPK_FAIL(err, TSPK_FORMAT, "exit policy %d is unknown", (int)from->kind);
    policy->kind = (tspk_exit_kind)from->kind;
    n = tspk_exit_decisions(policy->kind, n_steps);
    if (!n || from->n_temperature != n || from->n_threshold != n)
        return TSPK_FAIL(err, TSPK_SHAPE, "%s: %zu temperatures and %zu thresholds; %u steps",
                         tspk_exit_kind_name(policy->kind), from->n_temperature, from->n_threshold,
                         n_steps);
    policy->temperature = tspk_arena_copy(arena, from->temperature, n * sizeof(float));
    policy->threshold = tspk_arena_copy(arena, from->threshold, n * sizeof(float));
    if (!policy->temperature || !policy->threshold)
        return TSPK_NO_SECTION_MEMORY(err);
    if (policy->kind != TSPK_EXIT_NET)
        return from->net ? TSPK_FAIL(err, TSPK_FORMAT, "a policy net, but the policy is %s",
                                     tspk_exit_kind_name(policy->kind))
                         : TSPK_OK;
    return read_net(from->net, n_steps, index, container, arena, &policy->net, err);
}

tspk_status tspk_section_exits_read(const Spike__Point *from, uint32_t index,
                                    tspk_container *container, tspk_arena *arena, tspk_point *point,
                                    tspk_error *err)
{
    bool has_net = false;

    if (from->n_exits >= TSPK_EXIT_KINDS)
        return TSPK_FAIL(err, TSPK_LIMIT, "%zu exit policies, at most %d", from->n_exits,
                         TSPK_EXIT_KINDS - 1);
    if (from->exit_kind < SPIKE__EXIT_KIND__EXIT_NONE || from->exit_kind > SPIKE__EXIT_KIND__NET)
        return TSPK_FAIL(err, TSPK_FORMAT, "exit policy %d is unknown", (int)from->exit_kind);
    point->exit_kind = (tspk_exit_kind)from->exit_kind;
    if (!from->n_exits)
        return TSPK_OK;
    point->n_exits = (uint32_t)from->n_exits;
    point->exit = tspk_arena_array(arena, from->n_exits, sizeof *point->exit);
    if (!point->exit)
        return TSPK_NO_SECTION_MEMORY(err);
    for (uint32_t i = 0; i < point->n_exits; i++) {
        if (has_net && from->exits[i]->kind == SPIKE__EXIT_KIND__NET)
            return TSPK_FAIL(err, TSPK_FORMAT, "two policy nets");
        has_net |= from->exits[i]->kind == SPIKE__EXIT_KIND__NET;
        TSPK_TRY(read_exit(from->exits[i], index, container, arena, point->n_steps, &point->exit[i],
                           err));
    }
    return TSPK_OK;
}
