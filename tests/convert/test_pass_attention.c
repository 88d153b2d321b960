/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "graph_fixture.h"

enum { TOKENS = 7, HEADS = 3, WIDTH = 4, CHANNELS = HEADS * WIDTH };

static const int64_t heads_first[] = {0, 2, 1, 3};
static const int64_t swap_last[] = {0, 1, 3, 2};

static tspk_value_id times(fixture *f, tspk_value_id x, double c)
{
    return fixture_binary(f, TSPK_OP_MUL, x, fixture_scalar(f, c));
}

/* [1, N, H D] -> [1, H, N, D] */
static tspk_value_id split_heads(fixture *f, tspk_value_id x)
{
    return fixture_transpose(f, fixture_reshape(f, x, DIMS(1, TOKENS, HEADS, WIDTH)), heads_first);
}

/* softmax(q kT ...) v [1, H, N, D] -> [1, N, H D] */
static tspk_value_id join_heads(fixture *f, tspk_value_id x)
{
    return fixture_reshape(f, fixture_transpose(f, x, heads_first), DIMS(1, TOKENS, CHANNELS));
}

static tspk_value_id attend(fixture *f, tspk_value_id q, tspk_value_id kt, tspk_value_id v,
                            double scale)
{
    return fixture_matmul(f, fixture_softmax(f, times(f, fixture_matmul(f, q, kt), scale)), v);
}

static void check_attention(fixture *f, size_t n_linears, double scale)
{
    const tspk_node *node = fixture_find(f, TSPK_OP_ATTENTION, 0);

    assert_int_equal(fixture_count(f, TSPK_OP_ATTENTION), 1);
    assert_int_equal(fixture_count(f, TSPK_OP_SOFTMAX), 0);
    assert_int_equal(fixture_count(f, TSPK_OP_MATMUL), 0);
    assert_int_equal(fixture_count(f, TSPK_OP_TRANSPOSE), 0);
    assert_int_equal(fixture_count(f, TSPK_OP_LINEAR), n_linears);
    assert_int_equal(node->attr.heads, HEADS);
    assert_true(node->attr.scale > (float)scale * 0.999f);
    assert_true(node->attr.scale < (float)scale * 1.001f);
}

/* Three products, the scale after the product. */
static void three_linears(void **state)
{
    fixture f = fixture_new(300);
    const tspk_value_id x = fixture_layer_norm(&f, fixture_input(&f, DIMS(1, TOKENS, 8)));
    const tspk_value_id q = split_heads(&f, fixture_linear(&f, "a.q", x, CHANNELS));
    const tspk_value_id k = split_heads(&f, fixture_linear(&f, "a.k", x, CHANNELS));
    const tspk_value_id v = split_heads(&f, fixture_linear(&f, "a.v", x, CHANNELS));
    const tspk_value_id kt = fixture_transpose(&f, k, swap_last);

    (void)state;
    fixture_output(&f, fixture_linear(&f, "a.proj", join_heads(&f, attend(&f, q, kt, v, 0.5)), 8));
    fixture_check(&f, NULL, 3e-6);
    check_attention(&f, 4, 0.5);
    assert_string_equal(fixture_find(&f, TSPK_OP_ATTENTION, 0)->name, "a");
    assert_int_equal(fixture_count(&f, TSPK_OP_RESHAPE), 0);
    fixture_free(&f);
}

/* One fused product, cut by Gather; the root of the scale on both q and k. */
static void fused_qkv_and_split_scale(void **state)
{
    static const int64_t turn[] = {2, 0, 3, 1, 4};
    fixture f = fixture_new(301);
    tspk_value_id x = fixture_layer_norm(&f, fixture_input(&f, DIMS(1, TOKENS, 8))), part[3], o;

    (void)state;
    x = fixture_linear(&f, "blocks.0.attn.qkv", x, 3 * CHANNELS);
    x = fixture_transpose(&f, fixture_reshape(&f, x, DIMS(1, TOKENS, 3, HEADS, WIDTH)), turn);
    for (int64_t i = 0; i < 3; i++)
        part[i] = fixture_node(&f, TSPK_OP_GATHER, x, fixture_indices(&f, (tspk_shape){0}, &i),
                               TSPK_ID_NONE, DIMS(1, HEADS, TOKENS, WIDTH), (tspk_attr){.axis = 0});
    o = attend(&f, times(&f, part[0], 0.70710678),
               times(&f, fixture_transpose(&f, part[1], swap_last), 0.70710678), part[2], 1.0);
    fixture_output(&f, fixture_linear(&f, "", join_heads(&f, o), 8));
    fixture_check(&f, NULL, 3e-6);
    check_attention(&f, 4, 0.5);
    for (size_t i = 0; i < 3; i++)
        assert_string_equal(fixture_find(&f, TSPK_OP_LINEAR, i)->name, "blocks.0.attn.qkv");
    assert_string_equal(fixture_find(&f, TSPK_OP_ATTENTION, 0)->name, "blocks.0.attn");
    assert_string_equal(fixture_find(&f, TSPK_OP_LINEAR, 3)->name, "head");
    fixture_free(&f);
}

/* nn.MultiheadAttention: tokens first, batch and heads merged, a scale on q. */
static void tokens_first_and_merged_heads(void **state)
{
    static const int64_t to_front[] = {1, 0, 2}, turn_k[] = {0, 2, 1};
    fixture f = fixture_new(302);
    tspk_value_id x = fixture_layer_norm(&f, fixture_input(&f, DIMS(1, TOKENS, 8))), part[3], o;

    (void)state;
    x = fixture_linear(&f, "", fixture_transpose(&f, x, to_front), 3 * CHANNELS);
    for (int i = 0; i < 3; i++) {
        part[i] = fixture_slice(&f, x, 2, i * CHANNELS, CHANNELS);
        part[i] = fixture_reshape(&f, part[i], DIMS(TOKENS, HEADS, WIDTH));
        part[i] = fixture_transpose(&f, part[i], to_front);
    }
    o = attend(&f, times(&f, part[0], 0.5), fixture_transpose(&f, part[1], turn_k), part[2], 1.0);
    o = fixture_reshape(&f, fixture_transpose(&f, o, to_front), DIMS(TOKENS, CHANNELS));
    o = fixture_reshape(&f, fixture_linear(&f, "", o, 8), DIMS(TOKENS, 1, 8));
    fixture_output(&f, fixture_transpose(&f, o, to_front));
    fixture_check(&f, NULL, 3e-6);
    check_attention(&f, 4, 0.5);
    fixture_free(&f);
}

/* Constant biases before and after the scale, a mask, and the guard against whole rows of it. */
static void biases_masks_and_guards(void **state)
{
    fixture f = fixture_new(303);
    const tspk_value_id x = fixture_layer_norm(&f, fixture_input(&f, DIMS(1, TOKENS, 8)));
    const tspk_value_id q = split_heads(&f, fixture_linear(&f, "", x, CHANNELS));
    const tspk_value_id k = split_heads(&f, fixture_linear(&f, "", x, CHANNELS));
    const tspk_value_id v = split_heads(&f, fixture_linear(&f, "", x, CHANNELS));
    const tspk_value_id kt = fixture_transpose(&f, k, swap_last);
    const tspk_shape logits = DIMS(1, HEADS, TOKENS, TOKENS);
    tspk_value_id l = fixture_matmul(&f, q, kt), p, nan;
    uint8_t *mask;
    const tspk_tensor mask_tensor = {TSPK_DTYPE_BOOL, DIMS(TOKENS),
                                     tspk_arena_alloc(f.graph->arena, TOKENS)};
    tspk_value_id mask_id;

    (void)state;
    mask = mask_tensor.data;
    for (int i = 0; i < TOKENS; i++)
        mask[i] = i != 2;
    assert_int_equal(tspk_graph_add_constant(f.graph, "mask", &mask_tensor, &mask_id, NULL),
                     TSPK_OK);
    l = fixture_binary(&f, TSPK_OP_ADD, fixture_random(&f, "", DIMS(HEADS, 1, TOKENS), 1.0), l);
    l = times(&f, l, 0.5);
    l = fixture_binary(&f, TSPK_OP_ADD, l, fixture_random(&f, "", DIMS(TOKENS, TOKENS), 1.0));
    l = fixture_node(&f, TSPK_OP_WHERE, mask_id, l, fixture_scalar(&f, -1e30), logits,
                     (tspk_attr){0});
    p = fixture_softmax(&f, l);
    nan = fixture_node(&f, TSPK_OP_IS_NAN, p, TSPK_ID_NONE, TSPK_ID_NONE, logits, (tspk_attr){0});
    f.graph->value[nan].dtype = TSPK_DTYPE_BOOL;
    p = fixture_node(&f, TSPK_OP_WHERE, nan, fixture_scalar(&f, 0.0), p, logits, (tspk_attr){0});
    fixture_output(&f, fixture_linear(&f, "", join_heads(&f, fixture_matmul(&f, p, v)), 8));
    fixture_check(&f, NULL, 3e-6);
    check_attention(&f, 4, 0.5);
    assert_int_equal(fixture_find(&f, TSPK_OP_ATTENTION, 0)->n_in, 4);
    fixture_free(&f);
}

/* A zero mask is dropped. */
static void zero_bias_is_dropped(void **state)
{
    fixture f = fixture_new(304);
    const tspk_value_id x = fixture_layer_norm(&f, fixture_input(&f, DIMS(1, TOKENS, 8)));
    const tspk_value_id q = split_heads(&f, fixture_linear(&f, "", x, CHANNELS));
    const tspk_value_id k = split_heads(&f, fixture_linear(&f, "", x, CHANNELS));
    const tspk_value_id v = split_heads(&f, fixture_linear(&f, "", x, CHANNELS));
    tspk_value_id l = fixture_matmul(&f, q, fixture_transpose(&f, k, swap_last));

    (void)state;
    l = fixture_binary(&f, TSPK_OP_ADD, l, fixture_filled(&f, DIMS(1, 1, TOKENS, TOKENS), 0.0));
    l = fixture_matmul(&f, fixture_softmax(&f, times(&f, l, 0.5)), v);
    fixture_output(&f, fixture_linear(&f, "", join_heads(&f, l), 8));
    fixture_check(&f, NULL, 3e-6);
    check_attention(&f, 4, 0.5);
    assert_int_equal(fixture_find(&f, TSPK_OP_ATTENTION, 0)->n_in, 3);
    fixture_free(&f);
}

/* Norms on q and k: they are packed by a Transpose, v comes from its Linear. */
static void norms_on_query_and_key(void **state)
{
    fixture f = fixture_new(305);
    const tspk_value_id x = fixture_layer_norm(&f, fixture_input(&f, DIMS(1, TOKENS, 8)));
    const tspk_value_id q = split_heads(&f, fixture_linear(&f, "", x, CHANNELS));
    const tspk_value_id k = split_heads(&f, fixture_linear(&f, "", x, CHANNELS));
    const tspk_value_id v = split_heads(&f, fixture_linear(&f, "", x, CHANNELS));
    const tspk_value_id kt = fixture_transpose(&f, fixture_layer_norm(&f, k), swap_last);

    (void)state;
    fixture_output(
        &f, fixture_linear(&f, "",
                           join_heads(&f, attend(&f, fixture_layer_norm(&f, q), kt, v, 0.5)), 8));
    fixture_check(&f, NULL, 3e-6);
    assert_int_equal(fixture_count(&f, TSPK_OP_ATTENTION), 1);
    assert_int_equal(fixture_count(&f, TSPK_OP_LINEAR), 4);
    fixture_free(&f);
}

/* Not attention: a softmax over the queries, a bias that is computed. */
static void others_stay(void **state)
{
    for (int kind = 0; kind < 2; kind++) {
        fixture f = fixture_new(306);
        const tspk_value_id x = fixture_input(&f, DIMS(1, TOKENS, 8));
        const tspk_value_id q = split_heads(&f, fixture_linear(&f, "", x, CHANNELS));
        const tspk_value_id k = split_heads(&f, fixture_linear(&f, "", x, CHANNELS));
        tspk_value_id l = fixture_matmul(&f, q, fixture_transpose(&f, k, swap_last));

        (void)state;
        if (kind == 0)
            l = fixture_node(&f, TSPK_OP_SOFTMAX, l, TSPK_ID_NONE, TSPK_ID_NONE,
                             f.graph->value[l].shape, (tspk_attr){.axis = 2});
        else
            l = fixture_softmax(
                &f, fixture_binary(&f, TSPK_OP_ADD, l, fixture_unary(&f, TSPK_OP_TANH, l)));
        fixture_output(&f, fixture_matmul(&f, l, q));
        fixture_check(&f, NULL, 3e-6);
        assert_int_equal(fixture_count(&f, TSPK_OP_ATTENTION), 0);
        assert_int_equal(fixture_count(&f, TSPK_OP_MATMUL), 2);
        fixture_free(&f);
    }
}

static tspk_value_id reduced(fixture *f, tspk_op op, tspk_value_id x)
{
    tspk_shape shape = f->graph->value[x].shape;
    const tspk_attr attr = {.n_axes = 1, .axes = {shape.rank - 1}};

    shape.dim[shape.rank - 1] = 1;
    return fixture_node(f, op, x, TSPK_ID_NONE, TSPK_ID_NONE, shape, attr);
}

/* exp(l - max l) / sum, and exp(l) / sum. */
static void softmax_written_out(void **state)
{
    for (int with_max = 0; with_max < 2; with_max++) {
        fixture f = fixture_new(307);
        tspk_value_id l = fixture_input(&f, DIMS(1, TOKENS, 8)), e;

        (void)state;
        if (with_max)
            e = fixture_binary(&f, TSPK_OP_SUB, l, reduced(&f, TSPK_OP_REDUCE_MAX, l));
        else
            e = l;
        e = fixture_unary(&f, TSPK_OP_EXP, e);
        l = fixture_binary(&f, TSPK_OP_DIV, e, reduced(&f, TSPK_OP_REDUCE_SUM, e));
        fixture_output(&f, l);
        assert_int_equal(fixture_check(&f, tspk_pass_fuse_softmax, 2e-6), 1);
        assert_int_equal(f.graph->n_nodes, 1);
        fixture_free(&f);
    }
}

/* Two windows of tokens that attend to themselves look like heads, but are none. */
static void windows_stay(void **state)
{
    static const int64_t turn[] = {0, 2, 1};
    fixture f = fixture_new(308);
    const tspk_value_id x = fixture_input(&f, DIMS(1, 6, 8));
    tspk_value_id part[3];

    (void)state;
    for (int i = 0; i < 3; i++)
        part[i] = fixture_reshape(&f, fixture_linear(&f, "", x, 4), DIMS(2, 3, 4));
    fixture_output(&f, attend(&f, part[0], fixture_transpose(&f, part[1], turn), part[2], 0.5));
    fixture_check(&f, NULL, 3e-6);
    assert_int_equal(fixture_count(&f, TSPK_OP_ATTENTION), 0);
    assert_int_equal(fixture_count(&f, TSPK_OP_MATMUL), 2);
    fixture_free(&f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(three_linears),
        cmocka_unit_test(fused_qkv_and_split_scale),
        cmocka_unit_test(tokens_first_and_merged_heads),
        cmocka_unit_test(biases_masks_and_guards),
        cmocka_unit_test(zero_bias_is_dropped),
        cmocka_unit_test(norms_on_query_and_key),
        cmocka_unit_test(others_stay),
        cmocka_unit_test(softmax_written_out),
        cmocka_unit_test(windows_stay),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
