/* SPDX-License-Identifier: Apache-2.0 */
/* MergeMap, MergeSizes and Merge against loops in double precision. */
#include <math.h>

#include "ann_test.h"

#define F32 TSPK_DTYPE_F32
#define I64 TSPK_DTYPE_I64

static tspk_attr merging(int64_t special, int64_t pairs)
{
    return (tspk_attr){.starts = {special}, .steps = {pairs}};
}

static double cosine(const float *a, const float *b, size_t depth)
{
    double ab = 0, aa = 0, bb = 0;

    for (size_t d = 0; d < depth; d++) {
        ab += (double)a[d] * (double)b[d];
        aa += (double)a[d] * (double)a[d];
        bb += (double)b[d] * (double)b[d];
    }
    return ab / sqrt(aa * bb);
}

/* Rows in order, each special token alone, `pairs` even patches at the row of the odd one that is
 * nearest, none of which is farther than an even patch that stays. */
static void expect_map(const int64_t *map, const float *metric, size_t tokens, size_t depth,
                       size_t special, size_t pairs)
{
    int64_t next = 0;
    size_t merged = 0;
    double least_merged = INFINITY, most_left = -INFINITY;

    for (size_t i = 0; i < tokens; i++) {
        const bool is_even = i >= special && (i - special) % 2 == 0;
        double best = -INFINITY;

        if (map[i] == next && !(is_even && i + 1 < tokens && map[i + 1] == next)) {
            next++;
        } else {
            assert_true(is_even);
            merged++;
        }
        for (size_t j = special + 1; is_even && j < tokens; j += 2)
            best = fmax(best, cosine(metric + i * depth, metric + j * depth, depth));
        if (!is_even)
            continue;
        for (size_t j = special + 1; j < tokens; j += 2)
            if (map[j] == map[i]) {
                const double own = cosine(metric + i * depth, metric + j * depth, depth);

                assert_true(own >= best - 1e-5);
                least_merged = fmin(least_merged, own);
                best = -INFINITY;
            }
        most_left = fmax(most_left, best);
    }
    assert_int_equal(merged, pairs);
    assert_int_equal(next, tokens - pairs);
    assert_true(least_merged >= most_left - 1e-5);
}

static void nearest_pairs_merge(void **state)
{
    tspk_rng rng = {test_seed()};

    (void)state;
    for (int trial = 0; trial < 200; trial++) {
        const size_t tokens = 1 + (size_t)tspk_rng_below(&rng, 40);
        const size_t special = (size_t)tspk_rng_below(&rng, tokens < 3 ? tokens + 1 : 4);
        const size_t depth = 2 + (size_t)tspk_rng_below(&rng, 9);
        const size_t pairs = (size_t)tspk_rng_below(&rng, (tokens - special) / 2 + 1);
        const tspk_attr attr = merging((int64_t)special, (int64_t)pairs);
        tspk_tensor in[1] = {tensor_random(SHAPE(1, (int64_t)tokens, (int64_t)depth), &rng)};
        float *const metric = malloc(tokens * depth * sizeof *metric);
        tspk_tensor map;

        memcpy(metric, in[0].data, tokens * depth * sizeof *metric);
        map = eval_ok(TSPK_OP_MERGE_MAP, &attr, 1, in, I64, SHAPE((int64_t)tokens));
        expect_map(map.data, metric, tokens, depth, special, pairs);
        tensor_free(&map);
        free(metric);
    }
}

static void of_equals_the_first_merge(void **state)
{
    const tspk_attr attr = merging(1, 2);
    tspk_tensor in[1];

    (void)state;
    /* one special token, then patches 0 … 6; the even ones are equally near to every odd one */
    in[0] =
        tensor_f32(SHAPE(8, 2), (const float[]){1, 0, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1});
    expect_i64(eval_ok(TSPK_OP_MERGE_MAP, &attr, 1, in, I64, SHAPE(8)),
               (const int64_t[]){0, 1, 1, 1, 2, 3, 4, 5});
    /* a vector of zeros has cosine 0 with everything */
    in[0] =
        tensor_f32(SHAPE(8, 2), (const float[]){1, 0, 0, 0, 1, 0, -1, 0, 0, 1, 1, 1, 0, 2, 0, 0});
    expect_i64(eval_ok(TSPK_OP_MERGE_MAP, &attr, 1, in, I64, SHAPE(8)),
               (const int64_t[]){0, 1, 1, 2, 3, 1, 4, 5});
}

static void sizes_add_up(void **state)
{
    tspk_tensor in[2];

    (void)state;
    in[0] = tensor_i64(SHAPE(4), (const int64_t[]){0, 1, 1, 2});
    expect_f32(eval_ok(TSPK_OP_MERGE_SIZES, NULL, 1, in, F32, SHAPE(1, 3, 1)),
               (const float[]){1, 2, 1}, 0);
    in[0] = tensor_i64(SHAPE(4), (const int64_t[]){0, 1, 1, 2});
    in[1] = tensor_f32(SHAPE(1, 4, 1), (const float[]){1, 2, 3, 5});
    expect_f32(eval_ok(TSPK_OP_MERGE_SIZES, NULL, 2, in, F32, SHAPE(1, 3, 1)),
               (const float[]){1, 5, 5}, 0);
}

static void means_are_weighted(void **state)
{
    tspk_tensor in[3];

    (void)state;
    in[0] = tensor_f32(SHAPE(1, 4, 2), (const float[]){1, 2, 3, 4, 5, 8, 7, 9});
    in[1] = tensor_i64(SHAPE(4), (const int64_t[]){0, 1, 1, 2});
    expect_f32(eval_ok(TSPK_OP_MERGE, NULL, 2, in, F32, SHAPE(1, 3, 2)),
               (const float[]){1, 2, 4, 6, 7, 9}, 0);
    in[0] = tensor_f32(SHAPE(1, 4, 2), (const float[]){1, 2, 3, 4, 5, 8, 7, 9});
    in[1] = tensor_i64(SHAPE(4), (const int64_t[]){0, 1, 1, 2});
    in[2] = tensor_f32(SHAPE(1, 4, 1), (const float[]){1, 3, 1, 7});
    expect_f32(eval_ok(TSPK_OP_MERGE, NULL, 3, in, F32, SHAPE(1, 3, 2)),
               (const float[]){1, 2, 3.5f, 5, 7, 9}, 0);
}

static void bad_operands_are_refused(void **state)
{
    const tspk_attr many = merging(1, 3), none = merging(7, 0);
    tspk_tensor in[2];

    (void)state;
    in[0] = tensor_f32(SHAPE(6, 2), NULL);
    eval_fails(TSPK_OP_MERGE_MAP, &many, 1, in, I64, SHAPE(6), TSPK_RANGE);
    in[0] = tensor_f32(SHAPE(6, 2), NULL);
    eval_fails(TSPK_OP_MERGE_MAP, &none, 1, in, I64, SHAPE(6), TSPK_RANGE);
    in[0] = tensor_f32(SHAPE(1, 2, 2), NULL);
    in[1] = tensor_i64(SHAPE(2), (const int64_t[]){0, 2});
    eval_fails(TSPK_OP_MERGE, NULL, 2, in, F32, SHAPE(1, 2, 2), TSPK_RANGE);
    in[0] = tensor_i64(SHAPE(2), (const int64_t[]){0, -1});
    eval_fails(TSPK_OP_MERGE_SIZES, NULL, 1, in, F32, SHAPE(1, 2, 1), TSPK_RANGE);
    in[0] = tensor_f32(SHAPE(1, 2, 2), NULL);
    in[1] = tensor_i64(SHAPE(3), (const int64_t[]){0, 1, 1});
    eval_fails(TSPK_OP_MERGE, NULL, 2, in, F32, SHAPE(1, 2, 2), TSPK_SHAPE);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(nearest_pairs_merge),
        cmocka_unit_test(of_equals_the_first_merge),
        cmocka_unit_test(sizes_add_up),
        cmocka_unit_test(means_are_weighted),
        cmocka_unit_test(bad_operands_are_refused),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
