/* SPDX-License-Identifier: Apache-2.0 */
#include "validate/outcomes.h"

#include <math.h>
#include <stdlib.h>

#include "core/fail.h"
#include "core/logits.h"

#define MOST_PAIRS    20 /* of confused classes */
#define MOST_CLASSES  100
#define MOST_WORST    24
#define MOST_EXAMPLES 24

/* Probability of a class by the softmax of logits. */
static float probability_of(const float *logits, size_t classes, size_t class)
{
    const size_t top = tspk_find_largest(logits, classes);
    double sum = 0;

    for (size_t i = 0; i < classes; i++)
        sum += exp((double)logits[i] - (double)logits[top]);
    return (float)(exp((double)logits[class] - (double)logits[top]) / sum);
}

tspk_status tspk_outcomes_add(tspk_outcomes *outcomes, size_t sample, int64_t label,
                              const float *source, const float *spiking, size_t classes,
                              tspk_error *err)
{
    tspk_outcome *image;

    if (outcomes->n == outcomes->room) {
        const size_t room = outcomes->room ? 2 * outcomes->room : 256;
        tspk_outcome *const more = realloc(outcomes->image, room * sizeof *more);

        if (!more)
            return TSPK_FAIL(err, TSPK_NOMEM, "no memory for the outcomes of %zu images", room);
        outcomes->image = more;
        outcomes->room = room;
    }
    image = &outcomes->image[outcomes->n++];
    image->sample = sample;
    image->label = label;
    image->source = (uint32_t)tspk_find_largest(source, classes);
    image->spiking = (uint32_t)tspk_find_largest(spiking, classes);
    image->p_source = probability_of(source, classes, image->source);
    image->p_spiking = probability_of(spiking, classes, image->spiking);
    image->kl = tspk_kl_of_logits(source, spiking, classes);
    return TSPK_OK;
}

void tspk_outcomes_done(tspk_outcomes *outcomes)
{
    free(outcomes->image);
    *outcomes = (tspk_outcomes){0};
}

/* What the JSON is made from. */
typedef struct telling {
    const tspk_outcomes *outcomes;
    const tspk_spike *spike;
    const tspk_dataset *data;
    bool is_labelled;
} telling;

/* The file's name for a class, else the data set's; null when there is none. */
static bool add_class_name(const telling *t, const char *key, int64_t class, cJSON *json)
{
    const char *name = class >= 0 ? tspk_spike_class_name(t->spike, (uint32_t) class) : NULL;

    if (!name)
        name = tspk_dataset_class_name(t->data, class);
    return name ? cJSON_AddStringToObject(json, key, name) != NULL
                : cJSON_AddNullToObject(json, key) != NULL;
}

/* --- confusion --- */

typedef struct pair {
    int64_t from, to;
    size_t images;
} pair;

static int compare_classes(const void *a, const void *b)
{
    const pair *const x = a, *const y = b;

    if (x->from != y->from)
        return (x->from > y->from) - (x->from < y->from);
    return (x->to > y->to) - (x->to < y->to);
}

static int compare_counts(const void *a, const void *b)
{
    const pair *const x = a, *const y = b;

    if (x->images != y->images)
        return (x->images < y->images) - (x->images > y->images);
    return compare_classes(a, b);
}

typedef enum comparison { SOURCE_WITH_LABEL, SPIKING_WITH_LABEL, SPIKING_WITH_SOURCE } comparison;

static pair pair_of(const tspk_outcome *image, comparison what)
{
    const int64_t from = what == SPIKING_WITH_SOURCE ? (int64_t)image->source : image->label;

    return (pair){from, what == SOURCE_WITH_LABEL ? image->source : image->spiking, 1};
}

/* Pairs of different classes, the most frequent ones first. */
static size_t count_pairs(const tspk_outcomes *outcomes, comparison what, pair *pairs)
{
    size_t n = 0, kept = 0;

    for (size_t i = 0; i < outcomes->n; i++) {
        const pair here = pair_of(&outcomes->image[i], what);

        if (here.from >= 0 && here.from != here.to)
            pairs[n++] = here;
    }
    qsort(pairs, n, sizeof *pairs, compare_classes);
    for (size_t i = 0; i < n; i++)
        if (kept && compare_classes(&pairs[kept - 1], &pairs[i]) == 0)
            pairs[kept - 1].images++;
        else
            pairs[kept++] = pairs[i];
    qsort(pairs, kept, sizeof *pairs, compare_counts);
    return kept;
}

static bool add_pairs(const telling *t, const char *key, comparison what, pair *pairs, cJSON *json)
{
    const size_t n = count_pairs(t->outcomes, what, pairs);
    cJSON *const array = cJSON_AddArrayToObject(json, key);

    for (size_t i = 0; array && i < n && i < MOST_PAIRS; i++) {
        cJSON *const item = cJSON_CreateObject();

        if (!item || !cJSON_AddItemToArray(array, item) ||
            !cJSON_AddNumberToObject(item, "from", (double)pairs[i].from) ||
            !add_class_name(t, "from_name", pairs[i].from, item) ||
            !cJSON_AddNumberToObject(item, "to", (double)pairs[i].to) ||
            !add_class_name(t, "to_name", pairs[i].to, item) ||
            !cJSON_AddNumberToObject(item, "images", (double)pairs[i].images))
            return false;
    }
    return array != NULL;
}

static bool add_confusion(const telling *t, cJSON *json)
{
    pair *const pairs = malloc(t->outcomes->n * sizeof *pairs);
    cJSON *const confusion = cJSON_AddObjectToObject(json, "confusion");
    const bool is_whole =
        pairs && confusion &&
        (!t->is_labelled || (add_pairs(t, "ann", SOURCE_WITH_LABEL, pairs, confusion) &&
                             add_pairs(t, "snn", SPIKING_WITH_LABEL, pairs, confusion))) &&
        add_pairs(t, "ann_snn", SPIKING_WITH_SOURCE, pairs, confusion);

    free(pairs);
    return is_whole;
}

/* --- by class --- */

typedef struct class_tally {
    size_t images, source, spiking, agreed;
} class_tally;

static bool add_class(const telling *t, uint32_t class, const class_tally *tally, cJSON *array)
{
    const double images = (double)tally->images;
    cJSON *const item = cJSON_CreateObject();

    return item && cJSON_AddItemToArray(array, item) &&
           cJSON_AddNumberToObject(item, "class", class) &&
           add_class_name(t, "name", class, item) &&
           cJSON_AddNumberToObject(item, "images", images) &&
           (tally->images
                ? cJSON_AddNumberToObject(item, "ann_top1", (double)tally->source / images) &&
                      cJSON_AddNumberToObject(item, "snn_top1", (double)tally->spiking / images) &&
                      cJSON_AddNumberToObject(item, "agreement", (double)tally->agreed / images)
                : cJSON_AddNullToObject(item, "ann_top1") &&
                      cJSON_AddNullToObject(item, "snn_top1") &&
                      cJSON_AddNullToObject(item, "agreement"));
}

static bool add_classes(const telling *t, uint32_t classes, cJSON *json)
{
    class_tally tally[MOST_CLASSES] = {{0}};
    cJSON *array;

    if (!t->is_labelled || classes > MOST_CLASSES)
        return cJSON_AddNullToObject(json, "classes") != NULL;
    array = cJSON_AddArrayToObject(json, "classes");
    for (size_t i = 0; i < t->outcomes->n; i++) {
        const tspk_outcome *const image = &t->outcomes->image[i];
        class_tally *const own = &tally[image->label];

        own->images++;
        own->source += image->source == (uint32_t)image->label;
        own->spiking += image->spiking == (uint32_t)image->label;
        own->agreed += image->source == image->spiking;
    }
    for (uint32_t class = 0; array && class < classes; class++)
        if (!add_class(t, class, &tally[class], array))
            return false;
    return array != NULL;
}

/* --- by image --- */

static bool add_answer(const telling *t, const char *key, uint32_t class, float p, cJSON *json)
{
    cJSON *const answer = cJSON_AddObjectToObject(json, key);

    return answer && cJSON_AddNumberToObject(answer, "class", class) &&
           add_class_name(t, "name", class, answer) &&
           cJSON_AddNumberToObject(answer, "p", (double)p);
}

static bool add_image(const telling *t, const tspk_outcome *image, cJSON *array)
{
    cJSON *const item = cJSON_CreateObject();

    return item && cJSON_AddItemToArray(array, item) &&
           cJSON_AddNumberToObject(item, "sample", (double)image->sample) &&
           cJSON_AddStringToObject(item, "name", tspk_dataset_name(t->data, image->sample)) &&
           (image->label < 0
                ? cJSON_AddNullToObject(item, "label") && cJSON_AddNullToObject(item, "label_name")
                : cJSON_AddNumberToObject(item, "label", (double)image->label) &&
                      add_class_name(t, "label_name", image->label, item)) &&
           add_answer(t, "ann", image->source, image->p_source, item) &&
           add_answer(t, "snn", image->spiking, image->p_spiking, item) &&
           cJSON_AddNumberToObject(item, "kl", image->kl);
}

/* By falling divergence. */
static int compare_divergence(const void *a, const void *b)
{
    const tspk_outcome *const x = *(const tspk_outcome *const *)a;
    const tspk_outcome *const y = *(const tspk_outcome *const *)b;

    if (x->kl != y->kl)
        return (x->kl < y->kl) - (x->kl > y->kl);
    return (x->sample > y->sample) - (x->sample < y->sample);
}

static bool add_disagreements(const telling *t, cJSON *json)
{
    const tspk_outcome **const found = malloc(t->outcomes->n * sizeof *found);
    cJSON *const object = cJSON_AddObjectToObject(json, "disagreements");
    cJSON *const worst = object ? cJSON_AddArrayToObject(object, "worst") : NULL;
    bool is_whole = found && worst;
    size_t n = 0;

    for (size_t i = 0; is_whole && i < t->outcomes->n; i++)
        if (t->outcomes->image[i].source != t->outcomes->image[i].spiking)
            found[n++] = &t->outcomes->image[i];
    if (n)
        qsort(found, n, sizeof *found, compare_divergence);
    is_whole = is_whole && cJSON_AddNumberToObject(object, "images", (double)n);
    for (size_t i = 0; is_whole && i < n && i < MOST_WORST; i++)
        is_whole = add_image(t, found[i], worst);
    free(found);
    return is_whole;
}

static bool add_examples(const telling *t, cJSON *json)
{
    cJSON *const array = cJSON_AddArrayToObject(json, "examples");
    bool is_whole = array != NULL;

    for (size_t i = 0; is_whole && i < t->outcomes->n && i < MOST_EXAMPLES; i++)
        is_whole = add_image(t, &t->outcomes->image[i], array);
    return is_whole;
}

bool tspk_outcomes_json(const tspk_outcomes *outcomes, const tspk_spike *spike,
                        const tspk_dataset *data, bool is_labelled, cJSON *json)
{
    const telling t = {outcomes, spike, data, is_labelled};
    tspk_spike_info info;

    tspk_spike_info_get(spike, &info);
    return add_confusion(&t, json) && add_classes(&t, info.classes, json) &&
           add_disagreements(&t, json) && add_examples(&t, json);
}
