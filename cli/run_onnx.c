/* SPDX-License-Identifier: Apache-2.0 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "cli/commands.h"
#include "cli/interrupt.h"
#include "cli/progress.h"
#include "cli/refuse.h"
#include "cli/report.h"
#include "cli/source.h"

#define MAX_PORTS     64
#define DEFAULT_BATCH 16

/* Everything that one `run` of a source network holds. */
typedef struct onnx_run {
    const tspk_cli_args *args;
    tspk_model *model;
    tspk_ann *ann;
    size_t n_inputs, n_outputs;
    tspk_port input[MAX_PORTS], output[MAX_PORTS];
    tspk_array array[MAX_PORTS]; /* what each input is fed, when not with images */
    bool is_repeated[MAX_PORTS]; /* one run's worth, fed to every run */
    const char *name;            /* operand after which results are named */
    bool has_images;
    tspk_cli_source source;
    tspk_cli_report report;
    tspk_cli_progress progress;
    size_t batch;              /* images a pass */
    size_t n_runs;             /* passes in all */
    size_t chunk;              /* passes at a time */
    size_t shown;              /* output whose classes are shown; n_outputs: none */
    float *images;             /* [chunk, elements of the input] */
    void *in_chunk[MAX_PORTS]; /* repeated inputs: [chunk, elements]; else NULL */
    void *result[MAX_PORTS];   /* [n_runs, elements] with --output, else [chunk, elements] */
} onnx_run;

static size_t port_elems(const tspk_port *port)
{
    size_t elems = 1;

    for (int i = 0; i < port->rank; i++)
        elems *= (size_t)port->dim[i];
    return elems;
}

static size_t element_bytes(int dtype)
{
    return dtype == 2 ? 8 : dtype == 3 ? 1 : 4;
}

static void done(onnx_run *run)
{
    for (size_t i = 0; i < run->n_outputs; i++)
        free(run->result[i]);
    for (size_t i = 0; i < run->n_inputs; i++) {
        free(run->in_chunk[i]);
        tspk_array_done(&run->array[i]);
    }
    free(run->images);
    tspk_cli_report_done(&run->report);
    tspk_cli_source_done(&run->source);
    tspk_ann_close(run->ann);
    tspk_model_close(run->model);
}

static char *shape_text(const int64_t *dim, int rank, char *buf, size_t size)
{
    size_t used = (size_t)snprintf(buf, size, "[");

    for (int i = 0; i < rank && used < size; i++)
        used +=
            (size_t)snprintf(buf + used, size - used, "%s%lld", i ? ", " : "", (long long)dim[i]);
    if (used < size)
        snprintf(buf + used, size - used, "]");
    return buf;
}

static tspk_status read_ports(onnx_run *run, tspk_error *err)
{
    const char *path = run->args->inputs[0];

    run->batch = (size_t)tspk_model_batch(run->model);
    run->n_inputs = tspk_model_count_inputs(run->model);
    run->n_outputs = tspk_model_count_outputs(run->model);
    if (run->n_inputs > MAX_PORTS || run->n_outputs > MAX_PORTS) {
        const size_t inputs = run->n_inputs, outputs = run->n_outputs;

        run->n_inputs = run->n_outputs = 0;
        return tspk_cli_fail(err, TSPK_LIMIT, "%s: %zu inputs and %zu outputs, %d at most", path,
                             inputs, outputs, MAX_PORTS);
    }
    for (size_t i = 0; i < run->n_inputs; i++)
        TSPK_CLI_TRY(tspk_model_input(run->model, i, &run->input[i]));
    run->shown = run->n_outputs;
    for (size_t i = 0; i < run->n_outputs; i++) {
        const tspk_port *port = &run->output[i];

        TSPK_CLI_TRY(tspk_model_output(run->model, i, &run->output[i]));
        if (run->shown == run->n_outputs && port->dtype == 1 && port->rank == 2 &&
            (size_t)port->dim[0] == run->batch)
            run->shown = i;
    }
    return TSPK_OK;
}

/* An array feeds an input [b, rest] when it is [n b, rest] (n passes), or of the input's own shape.
 */
static tspk_status check_array(onnx_run *run, size_t i, const char *path, size_t *n_runs_out,
                               tspk_error *err)
{
    const tspk_port *port = &run->input[i];
    const tspk_array *array = &run->array[i];
    const bool is_same = array->rank == port->rank &&
                         memcmp(array->dim, port->dim, port->rank * sizeof port->dim[0]) == 0;
    const bool is_batched = port->rank > 0 && (size_t)port->dim[0] == run->batch;
    char found[128], wanted[128];

    if (is_same && !is_batched) {
        *n_runs_out = 0; /* any number */
        return TSPK_OK;
    }
    shape_text(array->dim, array->rank, found, sizeof found);
    shape_text(port->dim, port->rank, wanted, sizeof wanted);
    if (!is_batched || array->rank != port->rank ||
        memcmp(array->dim + 1, port->dim + 1, (port->rank - 1u) * sizeof port->dim[0]) != 0)
        return tspk_cli_fail(err, TSPK_SHAPE, "%s: shape %s, input \"%s\" takes %s%s", path, found,
                             port->name, wanted, is_batched ? ", any number of times" : "");
    if (array->dim[0] == 0)
        return tspk_cli_fail(err, TSPK_RANGE, "%s: no images", path);
    if ((size_t)array->dim[0] % run->batch != 0)
        return tspk_cli_fail(
            err, TSPK_SHAPE, "%s: %lld images, the network runs %zu at a time: %zu are left over",
            path, (long long)array->dim[0], run->batch, (size_t)array->dim[0] % run->batch);
    *n_runs_out = (size_t)array->dim[0] / run->batch;
    return TSPK_OK;
}

static tspk_status feed_array(onnx_run *run, size_t i, const char *path, tspk_error *err)
{
    size_t n_runs;

    TSPK_CLI_TRY(tspk_array_read(path, run->input[i].dtype, &run->array[i], err));
    TSPK_CLI_TRY(check_array(run, i, path, &n_runs, err));
    run->is_repeated[i] = n_runs == 0;
    if (n_runs > 0 && run->n_runs > 0 && n_runs != run->n_runs)
        return tspk_cli_fail(err, TSPK_SHAPE, "%s: %zu passes, another input has %zu", path, n_runs,
                             run->n_runs);
    if (n_runs > 0) {
        run->n_runs = n_runs;
        if (!run->name)
            run->name = path;
    }
    return TSPK_OK;
}

/* The input that "NAME=FILE" names; n_inputs when there is none. */
static size_t find_input(const onnx_run *run, const char *operand, const char **file_out)
{
    for (size_t i = 0; i < run->n_inputs; i++) {
        const size_t length = strlen(run->input[i].name);

        if (strncmp(operand, run->input[i].name, length) == 0 && operand[length] == '=') {
            *file_out = operand + length + 1;
            return i;
        }
    }
    return run->n_inputs;
}

/* Does the operand have the form NAME=FILE, and is not a file itself? */
static bool is_assignment(const char *operand)
{
    return strchr(operand, '=') && access(operand, F_OK) != 0;
}

static tspk_status fail_name(const onnx_run *run, const char *operand, tspk_error *err)
{
    char names[160] = "";

    for (size_t i = 0; i < run->n_inputs; i++) {
        const size_t used = strlen(names);

        snprintf(names + used, sizeof names - used, "%s\"%s\"", i ? ", " : "", run->input[i].name);
    }
    return tspk_cli_fail(err, TSPK_USAGE, "\"%s\" names no input of the network; it has %s",
                         operand, names);
}

static tspk_status feed_named(onnx_run *run, tspk_error *err)
{
    const tspk_cli_args *args = run->args;
    bool is_fed[MAX_PORTS] = {false};

    for (int k = 1; k < args->n_inputs; k++) {
        const char *file = NULL;
        const size_t i = find_input(run, args->inputs[k], &file);

        if (i == run->n_inputs)
            return fail_name(run, args->inputs[k], err);
        if (is_fed[i])
            return tspk_cli_fail(err, TSPK_USAGE, "input \"%s\" is given twice",
                                 run->input[i].name);
        is_fed[i] = true;
        TSPK_CLI_TRY(feed_array(run, i, file, err));
    }
    for (size_t i = 0; i < run->n_inputs; i++)
        if (!is_fed[i])
            return tspk_cli_fail(err, TSPK_USAGE, "input \"%s\" is missing: %s=FILE.npy",
                                 run->input[i].name, run->input[i].name);
    if (run->n_runs == 0)
        run->n_runs = 1;
    if (!run->name)
        run->name = args->inputs[1];
    return TSPK_OK;
}

static tspk_status feed_images(onnx_run *run, tspk_error *err)
{
    const tspk_port *port = &run->input[0];
    char shape[128];

    if (port->dtype != 1 || port->rank != 4 || (size_t)port->dim[0] != run->batch ||
        (port->dim[1] != 1 && port->dim[1] != 3))
        return tspk_cli_fail(err, TSPK_SHAPE,
                             "images need a float input [N, 1 or 3, H, W], input \"%s\" is %s %s; "
                             "give %s=FILE.npy",
                             port->name, port->dtype == 1 ? "float" : "not float,",
                             shape_text(port->dim, port->rank, shape, sizeof shape), port->name);
    TSPK_CLI_TRY(tspk_cli_source_open(run->args, run->args->inputs + 1, run->args->n_inputs - 1,
                                      port->dim + 1, NULL, run->model, &run->source, err));
    run->has_images = true;
    if (run->source.n_images % run->batch != 0)
        return tspk_cli_fail(err, TSPK_SHAPE,
                             "%zu images, the network runs %zu at a time: %zu are left over",
                             run->source.n_images, run->batch, run->source.n_images % run->batch);
    run->n_runs = run->source.n_images / run->batch;
    return TSPK_OK;
}

static tspk_status feed(onnx_run *run, tspk_error *err)
{
    const char *first = run->args->inputs[1], *file;

    if (run->n_inputs == 0)
        return tspk_cli_fail(err, TSPK_UNSUPPORTED, "%s: a network without inputs",
                             run->args->inputs[0]);
    if (find_input(run, first, &file) < run->n_inputs)
        return feed_named(run, err);
    if (is_assignment(first))
        return fail_name(run, first, err);
    if (run->n_inputs > 1)
        return tspk_cli_fail(
            err, TSPK_USAGE,
            "the network has %zu inputs (\"%s\", \"%s\"%s); give NAME=FILE.npy for "
            "each",
            run->n_inputs, run->input[0].name, run->input[1].name, run->n_inputs > 2 ? " ..." : "");
    if (run->args->n_inputs == 2 && tspk_cli_is_npy(first)) {
        TSPK_CLI_TRY(tspk_cli_refuse_preprocess(run->args, first, err));
        TSPK_CLI_TRY(feed_array(run, 0, first, err));
        run->n_runs = run->n_runs ? run->n_runs : 1;
        run->name = first;
        return TSPK_OK;
    }
    return feed_images(run, err);
}

static tspk_status allocate(onnx_run *run, tspk_error *err)
{
    const size_t batch = run->args->batch > 0 ? (size_t)run->args->batch : DEFAULT_BATCH;

    run->chunk = (batch + run->batch - 1) / run->batch;
    if (run->chunk > run->n_runs)
        run->chunk = run->n_runs;
    for (size_t i = 0; i < run->n_outputs; i++) {
        const size_t bytes = port_elems(&run->output[i]) * element_bytes(run->output[i].dtype);

        run->result[i] = calloc(run->args->output ? run->n_runs : run->chunk, bytes ? bytes : 1);
        if (!run->result[i])
            return tspk_cli_fail(err, TSPK_NOMEM, "no memory for output \"%s\" of %zu passes",
                                 run->output[i].name, run->n_runs);
    }
    for (size_t i = 0; i < run->n_inputs; i++) {
        const size_t bytes = port_elems(&run->input[i]) * element_bytes(run->input[i].dtype);

        if (!run->is_repeated[i])
            continue;
        run->in_chunk[i] = calloc(run->chunk, bytes ? bytes : 1);
        if (!run->in_chunk[i])
            return tspk_cli_fail(err, TSPK_NOMEM, "no memory for input \"%s\"", run->input[i].name);
        for (size_t k = 0; k < run->chunk; k++)
            memcpy((char *)run->in_chunk[i] + k * bytes, run->array[i].data, bytes);
    }
    if (run->has_images)
        run->images = calloc(run->chunk, port_elems(&run->input[0]) * sizeof *run->images);
    if (run->has_images && !run->images)
        return tspk_cli_fail(err, TSPK_NOMEM, "no memory for %zu images", run->chunk * run->batch);
    return TSPK_OK;
}

static tspk_status report_chunk(onnx_run *run, size_t first, size_t n, const void *logits,
                                tspk_error *err)
{
    const size_t classes = (size_t)run->output[run->shown].dim[1];

    for (size_t i = 0; i < n * run->batch; i++) {
        const size_t image = first * run->batch + i;
        char name[4096];

        if (run->has_images)
            tspk_cli_source_name(&run->source, image, name, sizeof name);
        else
            snprintf(name, sizeof name, "%s[%zu]", run->name, image);
        TSPK_CLI_TRY(tspk_cli_report_add(&run->report, name, (const float *)logits + i * classes,
                                         classes, NULL, err));
    }
    return TSPK_OK;
}

static tspk_status run_chunk(onnx_run *run, size_t first, size_t n, tspk_error *err)
{
    const void *in[MAX_PORTS];
    void *out[MAX_PORTS];

    if (run->has_images)
        TSPK_CLI_TRY(tspk_cli_source_read(&run->source, first * run->batch, n * run->batch,
                                          run->images, err));
    for (size_t i = 0; i < run->n_inputs; i++) {
        const size_t bytes = port_elems(&run->input[i]) * element_bytes(run->input[i].dtype);

        if (run->has_images)
            in[i] = run->images;
        else if (run->is_repeated[i])
            in[i] = run->in_chunk[i];
        else
            in[i] = (const char *)run->array[i].data + first * bytes;
    }
    for (size_t i = 0; i < run->n_outputs; i++) {
        const size_t bytes = port_elems(&run->output[i]) * element_bytes(run->output[i].dtype);

        out[i] = (char *)run->result[i] + (run->args->output ? first * bytes : 0);
    }
    TSPK_CLI_TRY(tspk_ann_run(run->ann, n, in, out, err));
    if (run->shown < run->n_outputs)
        TSPK_CLI_TRY(report_chunk(run, first, n, out[run->shown], err));
    return TSPK_OK;
}

/* OUT.npy, or OUT_0.npy, OUT_1.npy … of several outputs. */
static tspk_status write_outputs(const onnx_run *run, tspk_error *err)
{
    const char *path = run->args->output;
    const int stem = (int)strlen(path) - (tspk_cli_is_npy(path) ? 4 : 0);

    for (size_t i = 0; path && i < run->n_outputs; i++) {
        const tspk_port *port = &run->output[i];
        const bool is_batched = port->rank > 0 && (size_t)port->dim[0] == run->batch;
        tspk_array array = {.dtype = port->dtype, .rank = port->rank, .data = run->result[i]};
        char name[4096];

        memcpy(array.dim, port->dim, sizeof array.dim);
        if (is_batched) {
            array.dim[0] = (int64_t)(run->n_runs * run->batch);
        } else if (run->n_runs > 1 && port->rank < 8) {
            memcpy(array.dim + 1, port->dim, port->rank * sizeof port->dim[0]);
            array.dim[0] = (int64_t)run->n_runs;
            array.rank++;
        }
        if (snprintf(name, sizeof name, "%.*s_%zu%s", stem, path, i, path + stem) >=
            (int)sizeof name)
            return tspk_cli_fail(err, TSPK_LIMIT, "%.64s...: the path is too long", path);
        TSPK_CLI_TRY(tspk_array_write(run->n_outputs == 1 ? path : name, &array, err));
    }
    return TSPK_OK;
}

static tspk_status open_all(onnx_run *run, tspk_error *err)
{
    const tspk_cli_args *args = run->args;

    TSPK_CLI_TRY(tspk_cli_name_file(err, tspk_model_open(args->inputs[0], NULL, &run->model, err),
                                    args->inputs[0]));
    TSPK_CLI_TRY(read_ports(run, err));
    TSPK_CLI_TRY(tspk_cli_report_init(&run->report, args, "float", NULL, err));
    if (run->shown < run->n_outputs)
        TSPK_CLI_TRY(tspk_cli_report_check_names(&run->report, args,
                                                 (size_t)run->output[run->shown].dim[1], err));
    TSPK_CLI_TRY(feed(run, err));
    TSPK_CLI_TRY(
        tspk_ann_open(run->model, args->threads > 0 ? (int)args->threads : 0, &run->ann, err));
    return allocate(run, err);
}

static tspk_status run_all(onnx_run *run, tspk_error *err)
{
    if (run->source.note[0])
        tspk_cli_note(run->args, "%s", run->source.note);
    tspk_cli_progress_init(&run->progress, run->args);
    for (size_t first = 0; first < run->n_runs; first += run->chunk) {
        const size_t here = run->n_runs - first < run->chunk ? run->n_runs - first : run->chunk;
        const tspk_status status =
            tspk_cli_progress_step(&run->progress, "run", first, run->n_runs)
                ? tspk_cli_fail(err, TSPK_INTERRUPTED, "stopped after %zu of %zu images",
                                first * run->batch, run->n_runs * run->batch)
                : run_chunk(run, first, here, err);

        if (status != TSPK_OK) {
            tspk_cli_progress_done(&run->progress);
            return status;
        }
    }
    tspk_cli_progress_done(&run->progress);
    if (run->args->output)
        TSPK_CLI_TRY(write_outputs(run, err));
    return tspk_cli_report_finish(&run->report, run->args, err);
}

tspk_status tspk_cli_run_onnx(const tspk_cli_args *args, tspk_error *err)
{
    onnx_run *run = calloc(1, sizeof *run);
    tspk_status status;

    if (!run)
        return tspk_cli_fail(err, TSPK_NOMEM, "no memory to run %s", args->inputs[0]);
    run->args = args;
    status = open_all(run, err);
    if (status == TSPK_OK)
        status = run_all(run, err);
    done(run);
    free(run);
    return status;
}
