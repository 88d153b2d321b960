/* SPDX-License-Identifier: Apache-2.0 */
/* The integer products of every instruction set of this machine, bit by bit against plain sums of
 * 64 bits on random shapes: dense and from events, scratch and results within their bounds. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "core/compiler.h"
#include "core/cpu.h"
#include "core/rng.h"
#include "runtime/spike/kernels.h"

enum { MOST_ROWS = 40, MOST_COLUMNS = 150, MOST_GROUPS = 5, CLASSES = 3, GUARD = 64 };

static const uint64_t SEED = 20240607;
static tspk_rng rng;
static const tspk_kernels *tables[4];
static size_t n_tables;

static int set_up(void **state)
{
    static const tspk_isa isas[] = {TSPK_ISA_SCALAR, TSPK_ISA_AVX2, TSPK_ISA_AVX512VNNI,
                                    TSPK_ISA_NEON};

    (void)state;
    for (size_t i = 0; i < TSPK_COUNT_OF(isas); i++)
        if (tspk_kernels_select(isas[i], &tables[n_tables], NULL) == TSPK_OK)
            printf("seed %llu, %s\n", (unsigned long long)SEED, tables[n_tables++]->name);
    rng.state = SEED;
    return 0;
}

static uint32_t below(uint32_t n)
{
    return (uint32_t)(tspk_rng_next(&rng) >> 32) % n;
}

static float real(void)
{
    return (float)((double)(tspk_rng_next(&rng) >> 11) / 9007199254740992.0 * 2.0 - 1.0);
}

static void *take(size_t bytes)
{
    void *const memory = aligned_alloc(64, (bytes + 63) / 64 * 64 + 64);

    assert_non_null(memory);
    return memory;
}

/* Scratch that ends where it must. */
static uint8_t *take_scratch(size_t bytes)
{
    uint8_t *const scratch = take(bytes + GUARD);

    memset(scratch + bytes, 0x5a, GUARD);
    return scratch;
}

static void give_scratch(uint8_t *scratch, size_t bytes)
{
    for (size_t i = 0; i < GUARD; i++)
        assert_int_equal(scratch[bytes + i], 0x5a);
    free(scratch);
}

typedef enum level_kind { MIXED, HIGHEST, LOWEST, SILENT, SPARSE, KINDS } level_kind;

static int make_level(level_kind kind, int bound)
{
    switch (kind) {
    case HIGHEST:
        return bound;
    case LOWEST:
        return -bound;
    case SILENT:
        return 0;
    case SPARSE:
        return below(20) ? 0 : (int)below(2u * (unsigned)bound + 1) - bound;
    default:
        return below(3) ? (int)below(2u * (unsigned)bound + 1) - bound : 0;
    }
}

/* --- Linear --- */

typedef struct linear_case {
    tspk_width width;
    uint32_t weight_bits;
    size_t rows, n, n_groups, group_size, group, ldl, ldo;
    int16_t *level;
    void *weight;
    float *scale, *bias, *y, *wanted_y, *wanted_out;
    float rho[CLASSES];
    uint8_t row_class[MOST_ROWS];
    float divisor;
    bool is_first;
} linear_case;

static int weight_at(const linear_case *c, size_t o, size_t p)
{
    const size_t at = o * c->n_groups * c->group_size + p;

    return c->weight_bits == 8 ? ((const int8_t *)c->weight)[at] : ((const int16_t *)c->weight)[at];
}

static linear_case make_linear(int round)
{
    linear_case c = {.width = round & 1 ? TSPK_WIDTH_WORD : TSPK_WIDTH_BYTE,
                     .weight_bits = (round & 3) == 3 ? 16 : 8,
                     .rows = 1 + below(MOST_ROWS),
                     .n = 1 + below(MOST_COLUMNS),
                     .n_groups = 1 + below(MOST_GROUPS),
                     .group_size = below(3) ? 1 + below(150) : 64,
                     .divisor = round & 4 ? 3.0f : 0.0f,
                     .is_first = round & 8};
    const bool is_extreme = round % 7 == 0;
    const int most = c.weight_bits == 8 ? 127 : 32767;
    const int bound = c.width == TSPK_WIDTH_WORD && round & 16 ? 128 : 127;
    size_t n_weights;

    if (is_extreme && c.weight_bits == 16) {
        c.group_size = 512; /* 128 * 32767 * 512 < 2^31 */
        c.n_groups = 1 + below(2);
    }
    c.group = tspk_pad_step(c.group_size);
    c.ldl = c.n_groups * c.group + below(5);
    c.ldo = c.n + below(9);
    n_weights = c.n * c.n_groups * c.group_size;
    c.weight = take(n_weights * 2);
    c.scale = take(c.n * c.n_groups * sizeof(float));
    c.bias = take(CLASSES * c.ldo * sizeof(float));
    c.y = take(MOST_ROWS * c.ldo * sizeof(float));
    c.level = take(c.rows * c.ldl * sizeof(int16_t));
    for (size_t i = 0; i < n_weights; i++) {
        const int w = is_extreme ? (below(9) ? most : -most)
                                 : (int)below(2u * (unsigned)most + 1) - most;

        if (c.weight_bits == 8)
            ((int8_t *)c.weight)[i] = (int8_t)w;
        else
            ((int16_t *)c.weight)[i] = (int16_t)(is_extreme ? w : w / 8);
    }
    for (size_t i = 0; i < c.n * c.n_groups; i++)
        c.scale[i] = fabsf(real());
    for (size_t i = 0; i < CLASSES * c.ldo; i++)
        c.bias[i] = real();
    for (size_t i = 0; i < MOST_ROWS * c.ldo; i++)
        c.y[i] = 1000.0f * real();
    for (size_t r = 0; r < c.rows; r++) {
        const level_kind kind = is_extreme ? (level_kind)(HIGHEST + below(2)) : below(KINDS);

        c.row_class[r] = (uint8_t)below(CLASSES);
        for (size_t i = 0; i < c.ldl; i++) {
            const bool is_padding = i / c.group >= c.n_groups || i % c.group >= c.group_size;

            c.level[r * c.ldl + i] = (int16_t)(is_padding ? 0 : make_level(kind, bound));
        }
    }
    for (size_t k = 0; k < CLASSES; k++)
        c.rho[k] = fabsf(real());
    return c;
}

static void compute_linear(linear_case *c)
{
    const size_t bytes = MOST_ROWS * c->ldo * sizeof(float);

    c->wanted_y = take(bytes);
    c->wanted_out = take(bytes);
    memcpy(c->wanted_y, c->y, bytes);
    memset(c->wanted_out, 0x77, bytes);
    for (size_t r = 0; r < c->rows; r++)
        for (size_t o = 0; o < c->n; o++) {
            const size_t k = c->row_class[r], at = r * c->ldo + o;
            float z = 0.0f, y;

            for (size_t g = 0; g < c->n_groups; g++) {
                int64_t sum = 0;

                for (size_t p = 0; p < c->group_size; p++)
                    sum += (int64_t)c->level[r * c->ldl + g * c->group + p] *
                           weight_at(c, o, g * c->group_size + p);
                z = fmaf(c->scale[g * c->n + o], (float)sum, z);
            }
            y = fmaf(c->rho[k], z, c->is_first ? 0.0f : c->y[at]);
            c->wanted_y[at] = y;
            c->wanted_out[at] = (c->divisor > 0.0f ? y / c->divisor : y) + c->bias[k * c->ldo + o];
        }
}

static void check_linear(const linear_case *c, const tspk_kernels *kernels, bool is_sparse,
                         bool is_kept)
{
    const size_t bytes = MOST_ROWS * c->ldo * sizeof(float);
    const size_t scratch = kernels->scratch_bytes(c->n_groups, c->group);
    const size_t packed = tspk_packed_bytes(c->width, c->n_groups, c->group_size, c->n);
    float *const scale = take(tspk_pad_lanes(c->n) * c->n_groups * sizeof *scale);
    float *const y = take(bytes), *const out = take(bytes);
    uint8_t *const weight = take_scratch(packed);
    tspk_linear_args args = {.width = c->width,
                             .rows = c->rows,
                             .n = c->n,
                             .n_groups = c->n_groups,
                             .group = c->group,
                             .level = c->level,
                             .ldl = c->ldl,
                             .weight = weight,
                             .scale = scale,
                             .row_class = c->row_class,
                             .rho = c->rho,
                             .bias = c->bias,
                             .ldbias = c->ldo,
                             .divisor = c->divisor,
                             .is_first = c->is_first,
                             .y = is_kept ? y : NULL,
                             .out = out,
                             .ldo = c->ldo,
                             .scratch = take_scratch(scratch)};

    memcpy(y, c->y, bytes);
    memset(out, 0x77, bytes);
    tspk_pack_weights(kernels, c->width, c->n, NULL, c->n_groups, c->group_size, c->weight,
                      c->weight_bits, c->scale, weight, scale);
    (is_sparse ? kernels->linear_events : kernels->linear)(&args);
    assert_memory_equal(y, is_kept ? c->wanted_y : c->y, bytes);
    assert_memory_equal(out, c->wanted_out, bytes);
    give_scratch(args.scratch, scratch);
    give_scratch(weight, packed);
    free(scale);
    free(y);
    free(out);
}

static void test_linear(void **state)
{
    (void)state;
    for (int round = 0; round < 224; round++) {
        linear_case c = make_linear(round);

        compute_linear(&c);
        for (size_t i = 0; i < n_tables; i++)
            for (int is_sparse = 0; is_sparse < 2; is_sparse++) {
                check_linear(&c, tables[i], is_sparse, true);
                if (c.is_first)
                    check_linear(&c, tables[i], is_sparse, false);
            }
        free(c.level);
        free(c.weight);
        free(c.scale);
        free(c.bias);
        free(c.y);
        free(c.wanted_y);
        free(c.wanted_out);
    }
}

/* --- products of planes --- */

enum { PLANES = 2, MOST_TERMS = 5 };

typedef struct product_case {
    tspk_width width;
    size_t rows, inner, columns, lda, ldb, ldo;
    bool is_transposed, is_first;
    int16_t *a[PLANES], *b[PLANES];
    size_t n_terms, left[MOST_TERMS], right[MOST_TERMS]; /* planes of a term */
    float factor[MOST_TERMS];
    float *before, *wanted;
} product_case;

static int64_t plain_sum(const product_case *c, size_t term, size_t row, size_t column)
{
    const int16_t *const a = c->a[c->left[term]] + row * c->lda;
    const int16_t *const b = c->b[c->right[term]];
    int64_t sum = 0;

    for (size_t p = 0; p < c->inner; p++)
        sum += (int64_t)a[p] * b[c->is_transposed ? column * c->ldb + p : p * c->ldb + column];
    return sum;
}

static product_case make_product(int round)
{
    product_case c = {.width = round & 1 ? TSPK_WIDTH_WORD : TSPK_WIDTH_BYTE,
                      .rows = 1 + below(MOST_ROWS),
                      .inner = 1 + below(220),
                      .columns = 1 + below(MOST_COLUMNS),
                      .is_transposed = round & 2,
                      .is_first = round & 4,
                      .n_terms = 1 + below(MOST_TERMS)};
    const int bound = c.width == TSPK_WIDTH_WORD ? 128 : 127;
    const size_t b_rows = c.is_transposed ? c.columns : c.inner;

    c.lda = c.inner + below(4);
    c.ldb = (c.is_transposed ? c.inner : c.columns) + below(4);
    c.ldo = tspk_pad_lanes(c.columns) + below(3);
    for (size_t plane = 0; plane < PLANES; plane++) {
        const level_kind b_kind = below(3);

        c.a[plane] = take(c.rows * c.lda * sizeof *c.a[plane]);
        c.b[plane] = take(b_rows * c.ldb * sizeof *c.b[plane]);
        for (size_t i = 0; i < b_rows * c.ldb; i++)
            c.b[plane][i] = (int16_t)make_level(b_kind, bound);
        for (size_t r = 0; r < c.rows; r++) {
            const level_kind kind = below(KINDS);

            for (size_t i = 0; i < c.lda; i++)
                c.a[plane][r * c.lda + i] = (int16_t)make_level(kind, bound);
        }
    }
    for (size_t i = 0; i < c.n_terms; i++) {
        c.left[i] = below(PLANES);
        c.right[i] = below(PLANES);
        c.factor[i] = ldexpf(1.0f, -(int)below(20));
    }
    c.before = take(c.rows * c.ldo * sizeof(float));
    c.wanted = take(c.rows * c.ldo * sizeof(float));
    for (size_t r = 0; r < c.rows; r++)
        for (size_t j = 0; j < c.ldo; j++) {
            const size_t at = r * c.ldo + j;

            c.wanted[at] = c.before[at] = real();
            if (j < tspk_pad_lanes(c.columns) && c.is_first)
                c.wanted[at] = 0.0f;
            for (size_t i = 0; j < tspk_pad_lanes(c.columns) && i < c.n_terms; i++)
                c.wanted[at] = fmaf(j < c.columns ? (float)plain_sum(&c, i, r, j) : 0.0f,
                                    c.factor[i], c.wanted[at]);
        }
    return c;
}

static void check_product(const product_case *c, const tspk_kernels *kernels, bool is_sparse)
{
    const size_t scratch = PLANES * kernels->scratch_bytes(1, c->inner);
    const size_t packed = tspk_packed_bytes(c->width, 1, c->inner, c->columns);
    uint8_t *b[PLANES];
    float *const out = take(c->rows * c->ldo * sizeof *out);
    tspk_product_term term[MOST_TERMS];
    const tspk_product_args args = {.width = c->width,
                                    .rows = c->rows,
                                    .inner = c->inner,
                                    .columns = tspk_pad_lanes(c->columns),
                                    .lda = c->lda,
                                    .term = term,
                                    .n_terms = c->n_terms,
                                    .is_first = c->is_first,
                                    .out = out,
                                    .ldo = c->ldo,
                                    .scratch = take_scratch(scratch)};

    for (size_t plane = 0; plane < PLANES; plane++) {
        b[plane] = take_scratch(packed);
        memset(b[plane], 0x55, packed);
        (c->is_transposed ? kernels->pack_rows : kernels->pack_columns)(
            c->width, c->inner, c->columns, c->b[plane], c->ldb, b[plane]);
    }
    for (size_t i = 0; i < c->n_terms; i++)
        term[i] = (tspk_product_term){c->a[c->left[i]], b[c->right[i]], c->factor[i]};
    memcpy(out, c->before, c->rows * c->ldo * sizeof *out);
    (is_sparse ? kernels->product_events : kernels->product)(&args);
    assert_memory_equal(out, c->wanted, c->rows * c->ldo * sizeof *out);
    give_scratch(args.scratch, scratch);
    for (size_t plane = 0; plane < PLANES; plane++)
        give_scratch(b[plane], packed);
    free(out);
}

static void test_product(void **state)
{
    (void)state;
    for (int round = 0; round < 200; round++) {
        product_case c = make_product(round);

        for (size_t i = 0; i < n_tables; i++)
            for (int is_sparse = 0; is_sparse < 2; is_sparse++)
                check_product(&c, tables[i], is_sparse);
        for (size_t plane = 0; plane < PLANES; plane++) {
            free(c.a[plane]);
            free(c.b[plane]);
        }
        free(c.before);
        free(c.wanted);
    }
}

/* A forced level is that level, and no level that the machine lacks is given out. */
static void test_select(void **state)
{
    const tspk_kernels *kernels = NULL;

    (void)state;
    for (int isa = TSPK_ISA_SCALAR; isa <= TSPK_ISA_NEON; isa++) {
        const tspk_status status = tspk_kernels_select((tspk_isa)isa, &kernels, NULL);

        assert_int_equal(status,
                         tspk_isa_is_supported((tspk_isa)isa) ? TSPK_OK : TSPK_UNSUPPORTED);
        if (status == TSPK_OK)
            assert_string_equal(kernels->name, tspk_isa_name((tspk_isa)isa));
    }
    assert_int_equal(tspk_kernels_select(TSPK_ISA_AUTO, &kernels, NULL), TSPK_OK);
    assert_ptr_equal(kernels, tables[n_tables - 1]);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_linear),
        cmocka_unit_test(test_product),
        cmocka_unit_test(test_select),
    };

    return cmocka_run_group_tests(tests, set_up, NULL);
}
