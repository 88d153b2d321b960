/* SPDX-License-Identifier: Apache-2.0 */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>
#include <cjson/cJSON.h>

#include "core/spike_handle.h"
#include "tests/spikefile/tiny_spikegraph.h"
#include "validate/metrics.h"
#include "validate/validate_json.h"

static void largest_is_the_first_of_equals(void **state)
{
    const float logits[] = {1, 5, 5, 2};

    (void)state;
    assert_int_equal(tspk_find_largest(logits, 4), 1);
    assert_true(tspk_is_among_top(logits, 4, 1, 1));
    assert_false(tspk_is_among_top(logits, 4, 2, 1));
    assert_true(tspk_is_among_top(logits, 4, 2, 2));
    assert_false(tspk_is_among_top(logits, 4, 7, 5));
}

static void divergence_matches_its_definition(void **state)
{
    /* softmax p = (1/4, 3/4), q = (1/2, 1/2); KL = log 2 + 1/4 log 1/4 + 3/4 log 3/4 */
    const float p[] = {0, (float)1.0986122886681098}, q[] = {1000, 1000};
    const double expected = log(2) + 0.25 * log(0.25) + 0.75 * log(0.75);

    (void)state;
    assert_true(fabs(tspk_kl_of_logits(p, q, 2) - expected) < 1e-7);
    assert_true(tspk_kl_of_logits(p, p, 2) == 0);
}

static void tallies_become_shares(void **state)
{
    const float source[2][3] = {{3, 1, 0}, {0, 1, 2}}, logits[2][3] = {{2, 1, 0}, {0, 3, 2}};
    const int64_t label[2] = {0, 1};
    const float image[2 * TINY_IMAGE_ELEMS] = {0};
    const tspk_sample_arrays arrays = {
        .are_floats = true, .n = 2, .dim = {1, 1, TINY_IMAGE_ELEMS}, .images = image};
    const tiny_settings tiny = tiny_default_settings(1);
    const tspk_validate_settings settings = {.exit = -1};
    tspk_spike spike = {tiny_spikegraph_new(&tiny, NULL)};
    tspk_dataset *data = NULL;
    tspk_validation result = {.n_steps = 1,
                              .batch = 2,
                              .threads = 1,
                              .is_labelled = true,
                              .spike = &spike,
                              .settings = &settings,
                              .network_sha256 = ""};
    const cJSON *step;
    char *text = NULL;
    cJSON *json;

    (void)state;
    assert_int_equal(tspk_dataset_from_arrays(&arrays, NULL, &data, NULL), TSPK_OK);
    result.data = data;
    for (int i = 0; i < 2; i++) {
        tspk_tally_label(&result.ann, source[i], 3, label[i]);
        tspk_tally_label(&result.step[0], logits[i], 3, label[i]);
        tspk_tally_compare(&result.step[0], source[i], logits[i], 3);
    }
    result.step[0].kl = NAN;
    assert_int_equal(tspk_validation_json(&result, &text, NULL), TSPK_OK);
    json = cJSON_Parse(text);
    assert_non_null(json);
    step = cJSON_GetArrayItem(cJSON_GetObjectItem(cJSON_GetObjectItem(json, "snn"), "steps"), 0);
    assert_true(cJSON_GetObjectItem(step, "top1")->valuedouble == 1.0);
    assert_true(cJSON_GetObjectItem(step, "agreement")->valuedouble == 0.5);
    assert_true(cJSON_IsNull(cJSON_GetObjectItem(step, "kl")));
    assert_true(cJSON_GetObjectItem(cJSON_GetObjectItem(json, "ann"), "top1")->valuedouble == 0.5);
    assert_true(
        cJSON_IsNull(cJSON_GetObjectItem(cJSON_GetObjectItem(json, "ann"), "ms_per_image")));
    cJSON_Delete(json);
    free(text);
    result.is_labelled = false;
    assert_int_equal(tspk_validation_json(&result, &text, NULL), TSPK_OK);
    json = cJSON_Parse(text);
    assert_true(cJSON_IsNull(cJSON_GetObjectItem(cJSON_GetObjectItem(json, "ann"), "top1")));
    cJSON_Delete(json);
    free(text);
    tspk_dataset_close(data);
    tspk_spikegraph_free(spike.graph);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(largest_is_the_first_of_equals),
        cmocka_unit_test(divergence_matches_its_definition),
        cmocka_unit_test(tallies_become_shares),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
