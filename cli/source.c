/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/source.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cli/refuse.h"

tspk_status tspk_cli_refuse_preprocess(const tspk_cli_args *args, const char *operand,
                                       tspk_error *err)
{
    if (args->resize >= 0 || args->crop >= 0 || args->interpolation >= 0 || args->mean.n > 0 ||
        args->std.n > 0)
        return tspk_cli_fail(
            err, TSPK_USAGE,
            "%s: a .npy batch is preprocessed already; leave out --resize, --crop, "
            "--mean, --std and --interpolation",
            operand);
    return TSPK_OK;
}

static tspk_status take_numbers(const char *flag, const tspk_cli_numbers *numbers,
                                uint32_t channels, float *out, tspk_error *err)
{
    if (numbers->n == 0)
        return TSPK_OK;
    if (numbers->n != 1 && channels > 0 && numbers->n != (int)channels)
        return tspk_cli_fail(err, TSPK_USAGE, "--%s: %d numbers for %u channels", flag, numbers->n,
                             channels);
    for (int i = 0; i < 4; i++)
        out[i] = numbers->value[numbers->n == 1 ? 0 : (i < numbers->n ? i : numbers->n - 1)];
    return TSPK_OK;
}

tspk_status tspk_cli_take_preprocess(const tspk_cli_args *args, tspk_preprocess_settings *settings,
                                     tspk_error *err)
{
    for (int i = 0; i < args->std.n; i++)
        if (!(args->std.value[i] > 0))
            return tspk_cli_fail(err, TSPK_USAGE, "--std: %g is not above 0",
                                 (double)args->std.value[i]);
    if (args->resize >= 0)
        settings->resize = (uint32_t)args->resize;
    if (args->crop >= 0)
        settings->crop = (uint32_t)args->crop;
    if (args->interpolation >= 0)
        settings->interpolation = (tspk_interpolation)args->interpolation;
    TSPK_CLI_TRY(take_numbers("mean", &args->mean, settings->channels, settings->mean, err));
    return take_numbers("std", &args->std, settings->channels, settings->std, err);
}

/* "0.5", or "0.485,0.456,0.406" when the channels differ. */
static void print_channels(const float *value, uint32_t channels, char *buf, size_t size)
{
    size_t used = (size_t)snprintf(buf, size, "%g", (double)value[0]);
    bool are_equal = true;

    for (uint32_t c = 1; c < channels && c < 4; c++)
        are_equal = are_equal && value[c] == value[0];
    for (uint32_t c = 1; c < channels && c < 4 && !are_equal && used < size; c++)
        used += (size_t)snprintf(buf + used, size - used, ",%g", (double)value[c]);
}

/* On fewer images than this a guess of mean and deviation is a matter of luck. */
#define FEW_IMAGES 8

static void write_note(const tspk_preprocess_guess *guess, char *note)
{
    const tspk_preprocess_settings *settings = &guess->preprocess;
    char mean[64], std[64], size[96] = "", normalisation[320] = "";

    if (!guess->is_size_given && settings->crop)
        snprintf(size, sizeof size, "--resize %u --crop %u (from the input's size)",
                 settings->resize, settings->crop);
    else if (!guess->is_size_given)
        snprintf(size, sizeof size, "no resizing (the images are as large as the input)");
    print_channels(settings->mean, settings->channels, mean, sizeof mean);
    print_channels(settings->std, settings->channels, std, sizeof std);
    if (!guess->is_normalisation_given && guess->images)
        snprintf(normalisation, sizeof normalisation,
                 "--mean %s --std %s (of those tried, the network is surest with these, on "
                 "%zu image%s%s)",
                 mean, std, guess->images, guess->images == 1 ? "" : "s",
                 guess->images < FEW_IMAGES ? ": too few to rely on, so give them" : "");
    else if (!guess->is_normalisation_given)
        snprintf(normalisation, sizeof normalisation, "--mean %s --std %s", mean, std);
    snprintf(note, TSPK_CLI_NOTE_BYTES, "preprocessing guessed: %s%s%s", size,
             size[0] && normalisation[0] ? ", " : "", normalisation);
}

/* What --verbose adds: how sure the network is with each mean and standard deviation tried. */
static void add_entropies(const tspk_preprocess_guess *guess, char *note)
{
    const char *const names[3] = {"0.5 and 0.5", "0 and 1",
                                  guess->preprocess.channels == 1 ? "the samples'" : "ImageNet's"};
    size_t used = strlen(note);

    for (size_t i = 0, n = 0; i < 3 && used < TSPK_CLI_NOTE_BYTES; i++)
        if (guess->entropy[i] >= 0)
            used +=
                (size_t)snprintf(note + used, TSPK_CLI_NOTE_BYTES - used, "%s %.3f nats with %s",
                                 n++ ? "," : "; mean entropy", guess->entropy[i], names[i]);
}

tspk_status tspk_cli_guess_preprocess(const tspk_cli_args *args, const tspk_model *model,
                                      tspk_dataset *data, tspk_preprocess_settings *settings,
                                      char *note_out, tspk_error *err)
{
    tspk_preprocess_guess guess = {.is_size_given = args->resize >= 0 || args->crop >= 0,
                                   .is_normalisation_given = args->mean.n > 0 || args->std.n > 0,
                                   .preprocess = *settings};

    TSPK_CLI_TRY(tspk_dataset_guess_preprocess(
        data, model, args->threads > 0 ? (int)args->threads : 0, &guess, err));
    *settings = guess.preprocess;
    note_out[0] = '\0';
    if (guess.are_pixels && ((!guess.is_size_given && guess.preprocess.crop) ||
                             !guess.is_normalisation_given)) /* else images are used as they are */
        write_note(&guess, note_out);
    if (args->is_verbose && guess.images)
        add_entropies(&guess, note_out);
    return TSPK_OK;
}

bool tspk_cli_is_npy(const char *operand)
{
    const size_t length = strlen(operand);

    return length > 4 && strcmp(operand + length - 4, ".npy") == 0;
}

static tspk_status check_finite(const char *path, const tspk_array *array, tspk_error *err)
{
    const float *values = array->data;
    const size_t elems = (size_t)(array->dim[1] * array->dim[2] * array->dim[3]);

    for (size_t i = 0; i < (size_t)array->dim[0] * elems; i++)
        if (!isfinite(values[i]))
            return tspk_cli_fail(err, TSPK_RANGE,
                                 "%s: image %zu: element %zu is %g, expected a finite number", path,
                                 i / elems, i % elems, (double)values[i]);
    return TSPK_OK;
}

static tspk_status open_array(const char *path, const int64_t dim[3], tspk_cli_source *source,
                              tspk_error *err)
{
    tspk_array *array = &source->array;

    TSPK_CLI_TRY(tspk_array_read(path, 1, array, err));
    source->array_path = path;
    if (!array->is_from_floats)
        return tspk_cli_fail(err, TSPK_FORMAT,
                             "%s: whole numbers, expected a preprocessed float32 batch", path);
    if (array->rank != 4 || array->dim[1] != dim[0] || array->dim[2] != dim[1] ||
        array->dim[3] != dim[2]) {
        char shape[96] = "";

        for (int i = 0; i < array->rank; i++)
            snprintf(shape + strlen(shape), sizeof shape - strlen(shape), "%s%lld", i ? ", " : "",
                     (long long)array->dim[i]);
        return tspk_cli_fail(err, TSPK_SHAPE,
                             "%s: shape [%s], the network takes [N, %lld, %lld, %lld]", path, shape,
                             (long long)dim[0], (long long)dim[1], (long long)dim[2]);
    }
    if (array->dim[0] == 0)
        return tspk_cli_fail(err, TSPK_RANGE, "%s: no images", path);
    source->n_images = (size_t)array->dim[0];
    return check_finite(path, array, err);
}

/* Opens operand i. What is guessed for the first one is said; mean and std hold for all. */
static tspk_status open_set(const tspk_cli_args *args, const char *operand, size_t i,
                            const tspk_preprocess_settings *stored, const tspk_model *model,
                            tspk_preprocess_settings *guessed, tspk_cli_source *source,
                            tspk_error *err)
{
    tspk_dataset_settings settings;
    tspk_cli_args known = *args;
    char note[TSPK_CLI_NOTE_BYTES];

    tspk_dataset_default_settings(&settings);
    settings.is_shuffled = false;
    if (stored)
        settings.preprocess = *stored;
    else
        settings.preprocess.channels = (uint32_t)source->dim[0];
    TSPK_CLI_TRY(tspk_cli_take_preprocess(args, &settings.preprocess, err));
    if (i > 0 && !stored) {
        memcpy(settings.preprocess.mean, guessed->mean, sizeof guessed->mean);
        memcpy(settings.preprocess.std, guessed->std, sizeof guessed->std);
        known.mean.n = known.std.n = 1;
    }
    TSPK_CLI_TRY(tspk_dataset_open(operand, &settings, &source->set[i], err));
    source->n_sets = i + 1;
    source->n_images += tspk_dataset_count(source->set[i]);
    if (stored)
        return TSPK_OK;
    TSPK_CLI_TRY(tspk_cli_guess_preprocess(&known, model, source->set[i], &settings.preprocess,
                                           i ? note : source->note, err));
    *guessed = settings.preprocess;
    return TSPK_OK;
}

static tspk_status open_sets(const tspk_cli_args *args, char *const *operands, int n_operands,
                             const tspk_preprocess_settings *stored, const tspk_model *model,
                             tspk_cli_source *source, tspk_error *err)
{
    tspk_preprocess_settings guessed;

    tspk_preprocess_default_settings(&guessed);
    source->set = calloc(n_operands > 0 ? (size_t)n_operands : 1, sizeof(tspk_dataset *));
    if (!source->set)
        return tspk_cli_fail(err, TSPK_NOMEM, "no memory for %d operands", n_operands);
    source->operand = (const char *const *)operands;
    for (int i = 0; i < n_operands; i++)
        TSPK_CLI_TRY(open_set(args, operands[i], (size_t)i, stored, model, &guessed, source, err));
    if (source->n_images == 0)
        return tspk_cli_fail(err, TSPK_RANGE, "%s: no images", operands[0]);
    return TSPK_OK;
}

tspk_status tspk_cli_source_open(const tspk_cli_args *args, char *const *operands, int n_operands,
                                 const int64_t dim[3], const tspk_preprocess_settings *stored,
                                 const tspk_model *model, tspk_cli_source *source_out,
                                 tspk_error *err)
{
    tspk_cli_source source = {0};
    tspk_status status;

    memcpy(source.dim, dim, sizeof source.dim);
    if (n_operands == 1 && tspk_cli_is_npy(operands[0])) {
        status = tspk_cli_refuse_preprocess(args, operands[0], err);
        if (status == TSPK_OK)
            status = open_array(operands[0], dim, &source, err);
    } else {
        status = TSPK_OK;
        for (int i = 0; i < n_operands && status == TSPK_OK; i++)
            if (tspk_cli_is_npy(operands[i]))
                status = tspk_cli_fail(err, TSPK_USAGE, "%s: a .npy batch must be the only operand",
                                       operands[i]);
        if (status == TSPK_OK)
            status = open_sets(args, operands, n_operands, stored, model, &source, err);
    }
    if (status != TSPK_OK) {
        tspk_cli_source_done(&source);
        return status;
    }
    *source_out = source;
    return TSPK_OK;
}

void tspk_cli_source_done(tspk_cli_source *source)
{
    tspk_reader_close(source->reader);
    tspk_array_done(&source->array);
    for (size_t i = 0; i < source->n_sets; i++)
        tspk_dataset_close(source->set[i]);
    free(source->set);
    memset(source, 0, sizeof *source);
}

/* The set that holds image i, and its index there. */
static size_t find_set(const tspk_cli_source *source, size_t *i)
{
    size_t s = 0;

    while (s + 1 < source->n_sets && *i >= tspk_dataset_count(source->set[s])) {
        *i -= tspk_dataset_count(source->set[s]);
        s++;
    }
    return s;
}

tspk_status tspk_cli_source_read(const tspk_cli_source *source, size_t first, size_t n, float *out,
                                 tspk_error *err)
{
    const size_t elems = (size_t)(source->dim[0] * source->dim[1] * source->dim[2]);

    if (source->array.data) {
        memcpy(out, (const float *)source->array.data + first * elems, n * elems * sizeof *out);
        return TSPK_OK;
    }
    for (size_t i = 0; i < n; i++) {
        size_t at = first + i;
        const size_t s = find_set(source, &at);

        TSPK_CLI_TRY(
            tspk_dataset_read(source->set[s], at, source->dim, out + i * elems, NULL, err));
    }
    return TSPK_OK;
}

static tspk_status open_reader(tspk_cli_source *source, tspk_error *err)
{
    const tspk_reader_settings settings = {
        .threads = source->threads,
        .is_strict = source->is_strict,
        .broken = source->broken ? tspk_cli_broken_add : NULL,
        .broken_context = source->broken,
    };

    return source->reader ? TSPK_OK
                          : tspk_reader_open(source->set[source->at_set], source->dim, &settings,
                                             &source->reader, err);
}

static void end_set(tspk_cli_source *source)
{
    tspk_reader_close(source->reader);
    source->reader = NULL;
    source->base += tspk_dataset_count(source->set[source->at_set]);
    source->at_set++;
}

/* Is nothing of the set readable? Then the others may be. */
static bool is_all_broken(tspk_cli_source *source, float *scratch)
{
    const tspk_dataset *const set = source->set[source->at_set];

    if (source->is_strict || !source->reader ||
        tspk_reader_count_broken(source->reader) < tspk_dataset_count(set))
        return false;
    if (source->first_broken.status == TSPK_OK)
        (void)tspk_dataset_read(set, 0, source->dim, scratch, NULL, &source->first_broken);
    return true;
}

static tspk_status next_of_array(tspk_cli_source *source, size_t most, float *out, size_t *index,
                                 size_t *n_out, tspk_error *err)
{
    const size_t first = source->n_delivered, left = source->n_images - first;
    const size_t n = most < left ? most : left;

    for (size_t i = 0; i < n; i++)
        index[i] = first + i;
    source->n_delivered += n;
    *n_out = n;
    return tspk_cli_source_read(source, first, n, out, err);
}

tspk_status tspk_cli_source_next(tspk_cli_source *source, size_t most, float *out, size_t *index,
                                 size_t *n_out, tspk_error *err)
{
    const size_t elems = (size_t)(source->dim[0] * source->dim[1] * source->dim[2]);
    size_t n = 0;

    if (source->array.data)
        return next_of_array(source, most, out, index, n_out, err);
    while (n < most && source->at_set < source->n_sets) {
        size_t here = 0;
        tspk_status status = open_reader(source, err);

        if (status == TSPK_OK)
            status = tspk_reader_next(source->reader, most - n, out + n * elems, NULL, index + n,
                                      &here, err);
        if (status != TSPK_OK && !is_all_broken(source, out + n * elems))
            return status;
        if (status != TSPK_OK)
            tspk_error_init(err);
        for (size_t i = 0; i < here; i++)
            index[n + i] += source->base;
        n += here;
        if (!here)
            end_set(source);
    }
    source->n_delivered += n;
    if (!source->n_delivered) {
        *err = source->first_broken;
        return err->status;
    }
    *n_out = n;
    return TSPK_OK;
}

char *tspk_cli_source_name(const tspk_cli_source *source, size_t i, char *buf, size_t size)
{
    size_t at = i, s, length;

    if (source->array.data) {
        snprintf(buf, size, "%s[%zu]", source->array_path, i);
        return buf;
    }
    s = find_set(source, &at);
    length = strlen(source->operand[s]);
    if (tspk_dataset_count(source->set[s]) == 1 && length > 0 &&
        source->operand[s][length - 1] != '/' &&
        strstr(source->operand[s], tspk_dataset_name(source->set[s], at)))
        snprintf(buf, size, "%s", source->operand[s]);
    else if (source->n_sets == 1)
        snprintf(buf, size, "%s", tspk_dataset_name(source->set[s], at));
    else
        snprintf(buf, size, "%s%s%s", source->operand[s],
                 length > 0 && source->operand[s][length - 1] == '/' ? "" : "/",
                 tspk_dataset_name(source->set[s], at));
    return buf;
}
