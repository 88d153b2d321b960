/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "graph_fixture.h"

static tspk_value_id times(fixture *f, tspk_value_id x, double c)
{
    return fixture_binary(f, TSPK_OP_MUL, x, fixture_scalar(f, c));
}

static tspk_value_id plus(fixture *f, tspk_value_id x, double c)
{
    return fixture_binary(f, TSPK_OP_ADD, fixture_scalar(f, c), x);
}

static tspk_value_id gelu_half_last(fixture *f, tspk_value_id x)
{
    const tspk_value_id u =
        fixture_binary(f, TSPK_OP_DIV, x, fixture_scalar(f, 1.4142135381698608));
    const tspk_value_id e = plus(f, fixture_unary(f, TSPK_OP_ERF, u), 1.0);

    return times(f, fixture_binary(f, TSPK_OP_MUL, x, e), 0.5);
}

static tspk_value_id gelu_half_first(fixture *f, tspk_value_id x)
{
    const tspk_value_id half = times(f, x, 0.5);
    const tspk_value_id e = fixture_unary(f, TSPK_OP_ERF, times(f, x, 0.70710678));

    return fixture_binary(f, TSPK_OP_MUL, plus(f, e, 1.0), half);
}

/* Constants as float16 keeps them. */
static tspk_value_id gelu_of_half_constants(fixture *f, tspk_value_id x)
{
    const tspk_value_id e = fixture_unary(f, TSPK_OP_ERF, times(f, x, 0.70703125));

    return times(f, fixture_binary(f, TSPK_OP_MUL, plus(f, e, 1.0), x), 0.5);
}

static tspk_value_id gelu_tanh(fixture *f, tspk_value_id x)
{
    const tspk_value_id cube = fixture_binary(f, TSPK_OP_POW, x, fixture_scalar(f, 3.0));
    const tspk_value_id inner = fixture_binary(f, TSPK_OP_ADD, x, times(f, cube, 0.044715));
    const tspk_value_id t = fixture_unary(f, TSPK_OP_TANH, times(f, inner, 0.7978845608));

    return times(f, fixture_binary(f, TSPK_OP_MUL, x, plus(f, t, 1.0)), 0.5);
}

static tspk_value_id gelu_tanh_by_products(fixture *f, tspk_value_id x)
{
    const tspk_value_id square = fixture_binary(f, TSPK_OP_MUL, x, x);
    const tspk_value_id inner = plus(f, times(f, square, 0.044715), 1.0);
    const tspk_value_id u = fixture_binary(f, TSPK_OP_MUL, times(f, x, 0.7978845608), inner);
    const tspk_value_id t = plus(f, fixture_unary(f, TSPK_OP_TANH, u), 1.0);

    return fixture_binary(f, TSPK_OP_MUL, times(f, x, 0.5), t);
}

static tspk_value_id silu(fixture *f, tspk_value_id x)
{
    return fixture_binary(f, TSPK_OP_MUL, x, fixture_unary(f, TSPK_OP_SIGMOID, x));
}

static tspk_value_id quick_gelu(fixture *f, tspk_value_id x)
{
    return fixture_binary(f, TSPK_OP_MUL, fixture_unary(f, TSPK_OP_SIGMOID, times(f, x, 1.702)), x);
}

static tspk_value_id half_silu(fixture *f, tspk_value_id x)
{
    return times(f, silu(f, x), 0.25);
}

static tspk_value_id erf_alone(fixture *f, tspk_value_id x)
{
    return plus(f, fixture_unary(f, TSPK_OP_ERF, times(f, x, 0.70710678)), 1.0);
}

/* Another constant in the middle: close to GELU, but not it. */
static tspk_value_id nearly_gelu(fixture *f, tspk_value_id x)
{
    const tspk_value_id e = fixture_unary(f, TSPK_OP_ERF, times(f, x, 0.74));

    return times(f, fixture_binary(f, TSPK_OP_MUL, plus(f, e, 1.0), x), 0.5);
}

typedef struct spelling {
    const char *name;
    tspk_value_id (*spell)(fixture *f, tspk_value_id x);
    tspk_op expected;
    int64_t mode;
    float alpha;
    size_t n_nodes; /* left */
    double tolerance;
} spelling;

static const spelling spellings[] = {
    {"erf, half last", gelu_half_last, TSPK_OP_GELU, TSPK_GELU_ERF, 0, 1, 1e-6},
    {"erf, half first", gelu_half_first, TSPK_OP_GELU, TSPK_GELU_ERF, 0, 1, 1e-6},
    {"half-precision constants", gelu_of_half_constants, TSPK_OP_GELU, TSPK_GELU_ERF, 0, 1, 1e-4},
    {"tanh, pow", gelu_tanh, TSPK_OP_GELU, TSPK_GELU_TANH, 0, 1, 1e-6},
    {"tanh, products", gelu_tanh_by_products, TSPK_OP_GELU, TSPK_GELU_TANH, 0, 1, 1e-6},
    {"silu", silu, TSPK_OP_SILU, 0, 1.0f, 1, 1e-6},
    {"quick gelu", quick_gelu, TSPK_OP_SILU, 0, 1.702f, 1, 1e-6},
    {"silu times a constant", half_silu, TSPK_OP_SILU, 0, 1.0f, 2, 1e-6},
    {"erf alone", erf_alone, TSPK_OP_COUNT, 0, 0, 3, 1e-6},
    {"nearly gelu", nearly_gelu, TSPK_OP_COUNT, 0, 0, 5, 1e-6},
};

static void every_spelling(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof spellings / sizeof spellings[0]; i++) {
        const spelling *s = &spellings[i];
        fixture f = fixture_new(200 + i);
        const tspk_value_id x = fixture_input(&f, DIMS(1, 40, 16));

        print_message("%s\n", s->name);
        fixture_output(&f, s->spell(&f, times(&f, x, 2.0)));
        fixture_check(&f, tspk_pass_fuse_activation, s->tolerance);
        assert_int_equal(f.graph->n_nodes, s->n_nodes + 1);
        if (s->expected != TSPK_OP_COUNT) {
            const tspk_node *node = fixture_find(&f, s->expected, 0);

            assert_int_equal(node->attr.mode, s->mode);
            assert_true(node->attr.alpha == s->alpha);
        }
        fixture_free(&f);
    }
}

/* x sigmoid(y) is a gate, not an activation of one value. */
static void gate_stays(void **state)
{
    fixture f = fixture_new(220);
    const tspk_value_id x = fixture_input(&f, DIMS(1, 4, 8));
    const tspk_value_id y = fixture_matmul(&f, x, fixture_random(&f, "", DIMS(8, 8), 1.0));

    (void)state;
    fixture_output(&f, fixture_binary(&f, TSPK_OP_MUL, x, fixture_unary(&f, TSPK_OP_SIGMOID, y)));
    assert_int_equal(fixture_check(&f, tspk_pass_fuse_activation, 1e-6), 0);
    fixture_free(&f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_spelling),
        cmocka_unit_test(gate_stays),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
