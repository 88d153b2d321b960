/* SPDX-License-Identifier: Apache-2.0 */
/* tspk_spikegraph_verify(): the toy network passes, and every rule is seen to be broken. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "core/point_graph.h"
#include "tests/spikefile/tiny_spikegraph.h"

static void expect_valid(const tiny_settings *settings)
{
    tspk_spikegraph *spikes = tiny_spikegraph_new(settings, NULL);
    tspk_error err;
    char line[512];

    tspk_error_init(&err);
    if (tspk_graph_verify(spikes->graph, &err) != TSPK_OK ||
        tspk_spikegraph_verify(spikes, &err) != TSPK_OK) {
        tspk_error_format(&err, line, sizeof line);
        fail_msg("%s", line);
    }
    assert_int_equal(spikes->n_sites + spikes->n_analog_sites, TINY_SITES);
    assert_int_equal(spikes->n_analog_sites, settings->has_analog ? TINY_ANALOG_SITES : 0);
    assert_int_equal(spikes->n_linears, TINY_LINEARS - settings->has_analog);
    tspk_spikegraph_free(spikes);
}

static void toy_networks_are_valid(void **state)
{
    tiny_settings settings = tiny_default_settings(1);

    (void)state;
    expect_valid(&settings);
    settings.n_points = 2;
    settings.weight_bits = 16;
    settings.is_quotient = true;
    expect_valid(&settings);
    settings.coding = TSPK_CODING_RATE;
    settings.is_exponent = true;
    settings.is_max_fixed = true;
    expect_valid(&settings);
    settings.has_analog = true;
    expect_valid(&settings);
    settings.has_exits = true;
    expect_valid(&settings);
}

static void fan_out_follows_the_design(void **state)
{
    const tiny_settings settings = tiny_default_settings(2);
    tspk_spikegraph *spikes = tiny_spikegraph_new(&settings, NULL);

    (void)state;
    /* block 0: q, k, v read every row; block 1: q reads the class token's row only */
    assert_int_equal(tspk_site_fan_out(spikes, 0, 0), 3 * TINY_WIDTH);
    assert_int_equal(tspk_site_fan_out(spikes, 0, 4), 3 * TINY_WIDTH);
    assert_int_equal(tspk_site_fan_out(spikes, 8, 0), 3 * TINY_WIDTH);
    assert_int_equal(tspk_site_fan_out(spikes, 8, 4), 2 * TINY_WIDTH);
    assert_int_equal(tspk_site_fan_out(spikes, 9, 0), TINY_TOKENS); /* query: keys */
    assert_int_equal(tspk_site_fan_out(spikes, 10, 3), 1);          /* key: queries */
    assert_int_equal(tspk_site_fan_out(spikes, 11, 3), 1);          /* value: queries */
    assert_int_equal(tspk_site_fan_out(spikes, 12, 0), TINY_WIDTH / TINY_HEADS);
    assert_int_equal(tspk_site_fan_out(spikes, 2, 0), TINY_TOKENS);
    assert_int_equal(tspk_site_fan_out(spikes, 6, 0), TINY_HIDDEN);
    assert_int_equal(tspk_site_fan_out(spikes, 16, 0), TINY_CLASSES);
    tspk_spikegraph_free(spikes);
}

/* One broken rule each. */
typedef struct damage {
    const char *what;
    tspk_status status;
    void (*apply)(tspk_spikegraph *spikes);
} damage;

#define DAMAGE(name, code)                                                                         \
    static void name(tspk_spikegraph *s)                                                           \
    {                                                                                              \
        code;                                                                                      \
    }
DAMAGE(batch_2, s->graph->batch = 2)
DAMAGE(no_classes, s->n_classes = 0)
DAMAGE(many_classes, s->n_classes = 9)
DAMAGE(pairs_many, ((uint32_t *)(uintptr_t)s->point[1].merging.n_pairs)[0] = 3)
DAMAGE(pairs_of_one_query, ((uint32_t *)(uintptr_t)s->point[1].merging.n_pairs)[1] = 1)
DAMAGE(pairs_of_others, s->point[1].merging.n_attentions = 1)
DAMAGE(refined_all, s->point[1].refine_share = 1.0f)
DAMAGE(refined_nan, s->point[1].refine_share = NAN)
DAMAGE(class_token_merges, s->point[1].merging.n_special = 0)
DAMAGE(no_points, s->n_points = 0)
DAMAGE(first_point_name, s->point[0].name = "fast")
DAMAGE(same_point_name, s->point[1].name = "exact")
DAMAGE(steps_17, s->point[0].n_steps = 17)
DAMAGE(levels_65, s->point[0].n_levels = 65)
DAMAGE(coding_2, s->point[0].coding = (tspk_coding)2)
DAMAGE(exit_steps, s->point[1].n_steps = 1)
DAMAGE(exit_kind_5, s->point[1].exit[0].kind = (tspk_exit_kind)5)
DAMAGE(exit_kind_none, s->point[1].exit[0].kind = TSPK_EXIT_NONE)
DAMAGE(exit_twice, s->point[1].exit[1].kind = TSPK_EXIT_CONFIDENCE)
DAMAGE(exit_absent, s->point[1].n_exits = 2)
DAMAGE(exit_many, s->point[1].n_exits = 5)
DAMAGE(exit_threshold_nan, s->point[1].exit[1].threshold[0] = NAN)
DAMAGE(exit_temperature_zero, s->point[0].exit[2].temperature[2] = 0.0f)
DAMAGE(exit_net_inputs, s->point[1].exit[3].net.n_in = TINY_CLASSES + 1)
DAMAGE(exit_net_hidden, s->point[1].exit[3].net.n_hidden = 0)
DAMAGE(exit_net_weight, s->point[1].exit[3].net.weight_in[4] = INFINITY)
DAMAGE(exit_net_missing, s->point[1].exit[3].net.bias_out = NULL)
DAMAGE(unit_zero, s->site[0].unit[3] = 0.0f)
DAMAGE(unit_nan, s->site[2].unit[0] = NAN)
DAMAGE(unit_within_head, s->site[1].unit[1] *= 1.5f)
DAMAGE(rows_wrong, s->site[0].rows = 4)
DAMAGE(channels_wrong, s->site[4].channels = 1)
DAMAGE(class_out_of_range, ((uint8_t *)(uintptr_t)s->site[0].row_class)[2] = 2)
DAMAGE(source_rows_alone, s->site[0].source_rows = 9)
DAMAGE(source_rows_few, s->site[13].source_rows = 1)
DAMAGE(source_rows_many, s->site[13].source_rows = UINT32_MAX)
DAMAGE(source_row_out_of_range, ((uint32_t *)(uintptr_t)s->site[13].source_row)[0] = 5)
DAMAGE(source_row_twice, s->site[0].source_row = s->site[0].order; s->site[0].source_rows = 99;
       s->site[0].order[0] = s->site[0].order[1])
DAMAGE(order_twice, s->site[0].order[0] = s->site[0].order[1])
DAMAGE(order_missing, s->site[0].order[0] = UINT32_MAX)
DAMAGE(order_out_of_range, s->site[0].order[0] = 99)
DAMAGE(groups_short, s->site[0].n_groups = 1)
DAMAGE(input_wrong, s->site[5].input = s->site[6].input)
DAMAGE(input_out_of_range, s->site[5].input = 1u << 30)
DAMAGE(node_wrong, s->site[1].node = 0)
DAMAGE(keys_wrong, s->site[4].keys = 4)
DAMAGE(same_site_name, s->site[3].name = s->site[2].name)
DAMAGE(record_twice, s->linear[1].node = s->linear[0].node)
DAMAGE(record_node, s->linear[1].node = 0)
DAMAGE(record_site, s->linear[1].site = 1)
DAMAGE(record_other_site, s->linear[0].site = 5)
DAMAGE(record_outputs, s->linear[1].n_out = 11)
DAMAGE(record_lost, s->n_linears--)
DAMAGE(weight_bits_4, s->linear[1].weight_bits = 4)
DAMAGE(weight_low, ((int8_t *)s->linear[1].weight)[5] = -128)
DAMAGE(weight_in_padding, ((int8_t *)s->linear[1].weight)[15] = 1)
DAMAGE(weight_scale, s->linear[1].scale[1] = -1.0f)
DAMAGE(attention_lost, s->n_attentions--)
DAMAGE(attention_sites, s->attention[0].query = s->attention[0].key)
DAMAGE(attention_other_node, s->attention[0].node = s->attention[1].node)
DAMAGE(ladder_descends, s->point[0].site[0].step[1].ladder[0].value[2] = -1e6f)
DAMAGE(ladder_zero, s->point[0].site[0].step[1].ladder[1].value[8] = 0.0f)
DAMAGE(ladder_long, s->point[0].site[0].step[1].ladder[1].n_values = 129)
DAMAGE(ladder_kind, s->point[0].site[0].step[1].ladder[1].kind = (tspk_ladder_kind)5)
DAMAGE(gain_negative, s->point[0].site[0].step[2].gain[7] = -1.0f)
DAMAGE(gain_missing, s->point[0].site[0].step[2].gain = NULL)
DAMAGE(scale_zero, s->point[0].site[0].step[2].scale[1] = 0.0f)
DAMAGE(scale_not_power, s->point[0].site[1].step[2].scale[1] *= 1.1f)
DAMAGE(value_scale, for (int t = 0; t < 4; t++) s->point[0].site[3].step[t].scale[1] *= 2.0f)
DAMAGE(shift_at_linear, s->point[0].site[0].step[2].shift = 1)
DAMAGE(shift_41, s->point[0].site[1].step[2].shift = 41)
DAMAGE(offset_at_linear, s->point[0].site[0].step[2].offset = s->point[0].site[0].step[2].gain)
DAMAGE(prior_at_numerator, s->point[0].site[4].prior = s->point[0].site[4].step[2].gain)
DAMAGE(prior_nan, s->point[0].site[0].prior[3] = NAN)
DAMAGE(bias_infinite, s->point[0].bias[4][17] = INFINITY)
DAMAGE(bias_missing, s->point[0].bias[4] = NULL)
DAMAGE(exponent_levels, s->point[0].site[0].code_form = TSPK_CODE_EXPONENT)
DAMAGE(deviation_zero, s->preprocess.std[0] = 0.0f)
DAMAGE(interpolation_3, s->preprocess.interpolation = 3)

/* With sites that were kept from spiking: query, key, value and numerator of block 0, then its fc1.
 */
DAMAGE(analog_unnamed, s->analog_site[0].name = "")
DAMAGE(analog_kind, s->analog_site[0].kind = (tspk_site_kind)5)
DAMAGE(analog_and_spiking, s->analog_site[0].name = s->site[0].name)
DAMAGE(analog_twice, s->analog_site[1].name = s->analog_site[0].name)
DAMAGE(analog_same_operand, s->analog_site[1] = s->analog_site[0];
       s->analog_site[1].name = "another")
DAMAGE(analog_node, s->analog_site[0].node = 0)
DAMAGE(analog_node_with_record, s->analog_site[0].node = s->attention[0].node)
DAMAGE(analog_input, s->analog_site[0].input = s->analog_site[1].input)
DAMAGE(analog_input_missing, s->analog_site[4].input = 1u << 30)
DAMAGE(analog_input_spikes, s->analog_site[4].input = s->site[0].input)
DAMAGE(analog_rows, s->analog_site[4].rows++)
DAMAGE(analog_heads, s->analog_site[3].channels++)
DAMAGE(analog_keys, s->analog_site[4].keys = 5)

enum { WIDE = 600 };

/* One Linear of 600 channels in one group, int16 weights of the given magnitude. */
static tspk_spikegraph *make_wide(int magnitude)
{
    const tspk_shape in = {2, {1, WIDE}}, out = {2, {1, 1}};
    tspk_spikegraph *s;
    tspk_graph *graph;
    tspk_value_id ids[2];
    tspk_site_step *step;

    assert_int_equal(tspk_graph_new(0, &graph, NULL), TSPK_OK);
    assert_int_equal(tspk_graph_add_value(graph, "x", TSPK_DTYPE_F32, &in, &ids[0], NULL), TSPK_OK);
    assert_int_equal(tspk_graph_add_value(graph, "y", TSPK_DTYPE_F32, &out, &ids[1], NULL),
                     TSPK_OK);
    assert_int_equal(tspk_graph_insert_node(graph, 0, TSPK_OP_LINEAR, "wide", "Gemm", &ids[0], 1,
                                            &ids[1], 1, NULL, NULL, NULL),
                     TSPK_OK);
    graph->input = tspk_arena_copy(graph->arena, &ids[0], sizeof ids[0]);
    graph->output = tspk_arena_copy(graph->arena, &ids[1], sizeof ids[1]);
    graph->n_inputs = graph->n_outputs = 1;
    assert_int_equal(tspk_spikegraph_new(graph, &s, NULL), TSPK_OK);
    s->n_sites = s->n_linears = s->n_points = 1;
    s->site = tspk_arena_array(s->arena, 1, sizeof *s->site);
    s->site[0] = (tspk_site){.name = "wide.input",
                             .input = ids[0],
                             .node = TSPK_ID_NONE,
                             .rows = 1,
                             .channels = WIDE,
                             .group_size = WIDE,
                             .n_groups = 1};
    s->site[0].row_class = tspk_arena_array(s->arena, 1, 1);
    s->site[0].unit = tspk_arena_array(s->arena, WIDE, sizeof(float));
    s->site[0].order = tspk_arena_array(s->arena, WIDE, sizeof(uint32_t));
    s->linear = tspk_arena_array(s->arena, 1, sizeof *s->linear);
    s->linear[0] = (tspk_spike_linear){.n_out = 1, .weight_bits = 16};
    s->linear[0].weight = tspk_arena_array(s->arena, WIDE, sizeof(int16_t));
    s->linear[0].scale = tspk_arena_array(s->arena, 1, sizeof(float));
    s->point = tspk_arena_array(s->arena, 1, sizeof *s->point);
    s->point[0] = (tspk_point){.name = "exact", .n_steps = 1, .n_levels = 1};
    s->point[0].site = tspk_arena_array(s->arena, 1, sizeof *s->point[0].site);
    s->point[0].bias = tspk_arena_array(s->arena, 1, sizeof *s->point[0].bias);
    s->point[0].bias[0] = tspk_arena_array(s->arena, 1, sizeof(float));
    step = s->point[0].site[0].step = tspk_arena_array(s->arena, 1, sizeof *step);
    step->scale[0] = 1.0f;
    step->gain = tspk_arena_array(s->arena, WIDE, sizeof(float));
    for (uint32_t c = 0; c < WIDE; c++) {
        s->site[0].unit[c] = 1.0f;
        s->site[0].order[c] = c;
        ((int16_t *)s->linear[0].weight)[c] = (int16_t)(c & 1 ? magnitude : -magnitude);
    }
    return s;
}

static void sums_of_weights_stay_within_int32(void **state)
{
    const int most = INT32_MAX / 127 / WIDE; /* 28182 */
    tspk_spikegraph *spikes = make_wide(most);

    (void)state;
    assert_int_equal(tspk_graph_verify(spikes->graph, NULL), TSPK_OK);
    assert_int_equal(tspk_spikegraph_verify(spikes, NULL), TSPK_OK);
    tspk_spikegraph_free(spikes);
    spikes = make_wide(most + 1);
    assert_int_equal(tspk_spikegraph_verify(spikes, NULL), TSPK_RANGE);
    tspk_spikegraph_free(spikes);
}

static void expect_refusal(const tiny_settings *settings, const damage *broken)
{
    tspk_spikegraph *spikes = tiny_spikegraph_new(settings, NULL);
    tspk_error err;
    tspk_status status;

    tspk_error_init(&err);
    broken->apply(spikes);
    status = tspk_spikegraph_verify(spikes, &err);
    if (status != broken->status || err.status != status || !err.message[0])
        fail_msg("%s: %s, expected %s: %s", broken->what, tspk_status_name(status),
                 tspk_status_name(broken->status), err.message);
    tspk_spikegraph_free(spikes);
}

static void every_rule_is_checked(void **state)
{
#define CASE(name, status)                                                                         \
    {                                                                                              \
#name, status, name                                                                        \
    }
    static const damage damages[] = {CASE(batch_2, TSPK_UNSUPPORTED),
                                     CASE(no_classes, TSPK_LIMIT),
                                     CASE(many_classes, TSPK_LIMIT),
                                     CASE(no_points, TSPK_LIMIT),
                                     CASE(first_point_name, TSPK_FORMAT),
                                     CASE(same_point_name, TSPK_FORMAT),
                                     CASE(steps_17, TSPK_LIMIT),
                                     CASE(levels_65, TSPK_LIMIT),
                                     CASE(coding_2, TSPK_FORMAT),
                                     CASE(exit_steps, TSPK_FORMAT),
                                     CASE(exit_kind_5, TSPK_FORMAT),
                                     CASE(exit_kind_none, TSPK_FORMAT),
                                     CASE(exit_twice, TSPK_FORMAT),
                                     CASE(exit_absent, TSPK_FORMAT),
                                     CASE(exit_many, TSPK_LIMIT),
                                     CASE(exit_threshold_nan, TSPK_RANGE),
                                     CASE(exit_temperature_zero, TSPK_RANGE),
                                     CASE(exit_net_inputs, TSPK_LIMIT),
                                     CASE(exit_net_hidden, TSPK_LIMIT),
                                     CASE(exit_net_weight, TSPK_RANGE),
                                     CASE(exit_net_missing, TSPK_FORMAT),
                                     CASE(unit_zero, TSPK_RANGE),
                                     CASE(unit_nan, TSPK_RANGE),
                                     CASE(unit_within_head, TSPK_RANGE),
                                     CASE(rows_wrong, TSPK_SHAPE),
                                     CASE(channels_wrong, TSPK_SHAPE),
                                     CASE(class_out_of_range, TSPK_RANGE),
                                     CASE(source_rows_alone, TSPK_FORMAT),
                                     CASE(source_rows_few, TSPK_RANGE),
                                     CASE(source_rows_many, TSPK_RANGE),
                                     CASE(source_row_out_of_range, TSPK_RANGE),
                                     CASE(source_row_twice, TSPK_RANGE),
                                     CASE(order_twice, TSPK_RANGE),
                                     CASE(order_missing, TSPK_RANGE),
                                     CASE(order_out_of_range, TSPK_RANGE),
                                     CASE(groups_short, TSPK_SHAPE),
                                     CASE(input_wrong, TSPK_FORMAT),
                                     CASE(input_out_of_range, TSPK_FORMAT),
                                     CASE(node_wrong, TSPK_FORMAT),
                                     CASE(keys_wrong, TSPK_SHAPE),
                                     CASE(same_site_name, TSPK_FORMAT),
                                     CASE(record_twice, TSPK_FORMAT),
                                     CASE(record_node, TSPK_FORMAT),
                                     CASE(record_site, TSPK_FORMAT),
                                     CASE(record_other_site, TSPK_FORMAT),
                                     CASE(record_outputs, TSPK_SHAPE),
                                     CASE(record_lost, TSPK_FORMAT),
                                     CASE(weight_bits_4, TSPK_UNSUPPORTED),
                                     CASE(weight_low, TSPK_RANGE),
                                     CASE(weight_in_padding, TSPK_RANGE),
                                     CASE(weight_scale, TSPK_RANGE),
                                     CASE(attention_lost, TSPK_FORMAT),
                                     CASE(attention_sites, TSPK_FORMAT),
                                     CASE(attention_other_node, TSPK_FORMAT),
                                     CASE(ladder_descends, TSPK_RANGE),
                                     CASE(ladder_zero, TSPK_RANGE),
                                     CASE(ladder_long, TSPK_LIMIT),
                                     CASE(ladder_kind, TSPK_FORMAT),
                                     CASE(gain_negative, TSPK_RANGE),
                                     CASE(gain_missing, TSPK_FORMAT),
                                     CASE(scale_zero, TSPK_RANGE),
                                     CASE(scale_not_power, TSPK_RANGE),
                                     CASE(value_scale, TSPK_RANGE),
                                     CASE(shift_at_linear, TSPK_RANGE),
                                     CASE(shift_41, TSPK_RANGE),
                                     CASE(pairs_many, TSPK_RANGE),
                                     CASE(pairs_of_one_query, TSPK_UNSUPPORTED),
                                     CASE(pairs_of_others, TSPK_RANGE),
                                     CASE(class_token_merges, TSPK_RANGE),
                                     CASE(refined_all, TSPK_RANGE),
                                     CASE(refined_nan, TSPK_RANGE),
                                     CASE(offset_at_linear, TSPK_FORMAT),
                                     CASE(prior_at_numerator, TSPK_FORMAT),
                                     CASE(prior_nan, TSPK_RANGE),
                                     CASE(bias_infinite, TSPK_RANGE),
                                     CASE(bias_missing, TSPK_FORMAT),
                                     CASE(exponent_levels, TSPK_RANGE),
                                     CASE(deviation_zero, TSPK_RANGE),
                                     CASE(interpolation_3, TSPK_RANGE)};
    static const damage analog_damages[] = {CASE(analog_unnamed, TSPK_FORMAT),
                                            CASE(analog_kind, TSPK_FORMAT),
                                            CASE(analog_and_spiking, TSPK_FORMAT),
                                            CASE(analog_twice, TSPK_FORMAT),
                                            CASE(analog_same_operand, TSPK_FORMAT),
                                            CASE(analog_node, TSPK_FORMAT),
                                            CASE(analog_node_with_record, TSPK_FORMAT),
                                            CASE(analog_input, TSPK_FORMAT),
                                            CASE(analog_input_missing, TSPK_FORMAT),
                                            CASE(analog_input_spikes, TSPK_FORMAT),
                                            CASE(analog_rows, TSPK_SHAPE),
                                            CASE(analog_heads, TSPK_SHAPE),
                                            CASE(analog_keys, TSPK_FORMAT)};
    tiny_settings settings = tiny_default_settings(3);

    (void)state;
    settings.n_points = 2;
    settings.has_exits = true;
    settings.n_pairs = 2;
    for (size_t i = 0; i < sizeof damages / sizeof *damages; i++)
        expect_refusal(&settings, &damages[i]);
    settings.has_analog = true;
    for (size_t i = 0; i < sizeof analog_damages / sizeof *analog_damages; i++)
        expect_refusal(&settings, &analog_damages[i]);
}

/* What a merging point executes is consistent, but for the merges, which no file may hold. */
static void a_merged_graph_is_not_stored(void **state)
{
    tiny_settings settings = tiny_default_settings(3);
    tspk_spikegraph *spikes, *merged = NULL;
    tspk_error err;

    (void)state;
    settings.n_pairs = 2;
    spikes = tiny_spikegraph_new(&settings, NULL);
    tspk_error_init(&err);
    assert_int_equal(tspk_point_graph(spikes, &spikes->point[0].merging, &merged, &err), TSPK_OK);
    assert_int_equal(tspk_spikegraph_verify(merged, &err), TSPK_FORMAT);
    assert_non_null(strstr(err.message, "operating points alone"));
    tspk_spikegraph_free(merged);
    tspk_spikegraph_free(spikes);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(toy_networks_are_valid),
        cmocka_unit_test(fan_out_follows_the_design),
        cmocka_unit_test(sums_of_weights_stay_within_int32),
        cmocka_unit_test(every_rule_is_checked),
        cmocka_unit_test(a_merged_graph_is_not_stored),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
