/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Real exports through the public interface: opened raw, executed in float, compared with what
 * onnxruntime made of them (output.npy in each folder of $TRANSPIKE_DATA/onnx-vit). Prints a table.
 *
 * Tolerance: 1e-4 of the largest reference value; 2e-2 for files computed in half precision.
 */
#include <dirent.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "data/npy.h"
#include "transpike/transpike.h"

#define MAX_CASES   512
#define MAX_OUTPUTS 8
#define SKIPPED     77

/* Files that are refused, and why. */
static const char *const refused[] = {
    "hand-min__legacy+ortall__op17__b1", /* bound to one CPU by onnxruntime */
};

static size_t elems_of(const tspk_port *port)
{
    size_t n = 1;

    for (int i = 0; i < port->rank; i++)
        n *= (size_t)port->dim[i];
    return n;
}

static size_t bytes_of(int dtype)
{
    return dtype == 1 ? 4 : dtype == 2 ? 8 : 1;
}

static tspk_npy_type npy_of(int dtype)
{
    return dtype == 1 ? TSPK_NPY_F4 : dtype == 2 ? TSPK_NPY_I8 : TSPK_NPY_B1;
}

typedef struct run {
    tspk_model *model;
    size_t n_runs, n_outputs;
    tspk_port output[MAX_OUTPUTS];
    void *out[MAX_OUTPUTS];
} run;

static void done(run *r)
{
    for (size_t i = 0; i < r->n_outputs; i++)
        free(r->out[i]);
    tspk_model_close(r->model);
}

static tspk_status execute(run *r, const char *input_path, tspk_error *err)
{
    tspk_port input;
    tspk_shape shape;
    void *data = NULL;
    tspk_ann *ann = NULL;
    tspk_status status = tspk_model_input(r->model, 0, &input);

    if (status == TSPK_OK)
        status = tspk_npy_read_file(input_path, npy_of(input.dtype), &shape, &data, NULL, err);
    if (status == TSPK_OK && (tspk_shape_elems(&shape) % elems_of(&input) ||
                              tspk_model_count_outputs(r->model) > MAX_OUTPUTS))
        status = TSPK_SHAPE;
    if (status == TSPK_OK) {
        const void *in[1] = {data};

        r->n_runs = tspk_shape_elems(&shape) / elems_of(&input);
        r->n_outputs = tspk_model_count_outputs(r->model);
        for (size_t i = 0; i < r->n_outputs; i++) {
            tspk_model_output(r->model, i, &r->output[i]);
            r->out[i] = calloc(r->n_runs * elems_of(&r->output[i]), bytes_of(r->output[i].dtype));
        }
        status = tspk_ann_open(r->model, 1, &ann, err);
        if (status == TSPK_OK)
            status = tspk_ann_run(ann, r->n_runs, in, r->out, err);
        tspk_ann_close(ann);
    }
    free(data);
    return status;
}

/* Largest difference, as a share of the largest reference value. */
static double compare(const run *r, size_t i, const char *path, tspk_error *err)
{
    double largest = 0, difference = 0;
    tspk_shape shape;
    void *data = NULL;
    size_t n = r->n_runs * elems_of(&r->output[i]);

    if (tspk_npy_read_file(path, npy_of(r->output[i].dtype), &shape, &data, NULL, err) != TSPK_OK)
        return INFINITY;
    if (tspk_shape_elems(&shape) != n)
        difference = INFINITY;
    for (size_t k = 0; k < n && difference < INFINITY; k++) {
        const double want =
            r->output[i].dtype == 1 ? (double)((float *)data)[k] : (double)((int64_t *)data)[k];
        const double have = r->output[i].dtype == 1 ? (double)((float *)r->out[i])[k]
                                                    : (double)((int64_t *)r->out[i])[k];

        largest = fabs(want) > largest ? fabs(want) : largest;
        if (!(fabs(want - have) <= difference))
            difference = isnan(have) ? INFINITY : fabs(want - have);
    }
    free(data);
    return largest > 0 ? difference / largest : difference;
}

static bool is_half(const char *name)
{
    return strstr(name, "half") || strstr(name, "+f16");
}

static bool is_refused(const char *name)
{
    for (size_t i = 0; i < sizeof refused / sizeof refused[0]; i++)
        if (!strcmp(refused[i], name))
            return true;
    return false;
}

/* True when the case does what it should. */
static bool check_case(const char *folder, const char *name)
{
    const tspk_model_settings settings = {.is_raw = true};
    const double tolerance = is_half(name) ? 2e-2 : 1e-4;
    double worst = 0;
    char path[1024], line[1024];
    tspk_error err = {0};
    tspk_status status;
    run r = {0};

    snprintf(path, sizeof path, "%s/%s/model.onnx", folder, name);
    status = tspk_model_open(path, &settings, &r.model, &err);
    if (status == TSPK_OK) {
        snprintf(path, sizeof path, "%s/%s/inputs.npy", folder, name);
        status = execute(&r, path, &err);
    }
    if (status != TSPK_OK) {
        tspk_error_format(&err, line, sizeof line);
        printf("%-52s %s\n", name, line);
        done(&r);
        return status == TSPK_UNSUPPORTED || status == TSPK_SHAPE ? is_refused(name) : false;
    }
    for (size_t i = 0; i < r.n_outputs; i++) {
        double one;

        if (i == 0)
            snprintf(path, sizeof path, "%s/%s/output.npy", folder, name);
        else
            snprintf(path, sizeof path, "%s/%s/output_%zu.npy", folder, name, i);
        one = compare(&r, i, path, &err);
        worst = one > worst ? one : worst;
    }
    printf("%-52s %zu x %lld  %.2e%s\n", name, r.n_runs, (long long)tspk_model_batch(r.model),
           worst, worst <= tolerance ? "" : "  TOO LARGE");
    done(&r);
    return worst <= tolerance && !is_refused(name);
}

static int compare_names(const void *a, const void *b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

static int check_all(const char *data)
{
    char folder[512], *names[MAX_CASES];
    size_t n = 0, n_wrong = 0;
    struct dirent *entry;
    DIR *dir;

    snprintf(folder, sizeof folder, "%s/onnx-vit", data);
    dir = opendir(folder);
    if (!dir) {
        printf("skipped: no %s\n", folder);
        return SKIPPED;
    }
    while (n < MAX_CASES && (entry = readdir(dir)))
        if (strstr(entry->d_name, "__"))
            names[n++] = strdup(entry->d_name);
    closedir(dir);
    qsort(names, n, sizeof *names, compare_names);
    printf("%-52s runs x batch, largest difference / largest reference\n", "case");
    for (size_t i = 0; i < n; i++) {
        n_wrong += !check_case(folder, names[i]);
        free(names[i]);
    }
    printf("%zu cases, %zu wrong\n", n, n_wrong);
    return n == 0 || n_wrong > 0;
}

int main(void)
{
    const char *const data = getenv("TRANSPIKE_DATA");

    if (!data || !data[0]) {
        printf("skipped: TRANSPIKE_DATA is not set\n");
        return SKIPPED;
    }
    return check_all(data);
}
