/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the Python checks drive.
 *
 *   onnx_tool open MODEL…                 a line a model: "MODEL: OK" or the refusal
 *   onnx_tool check MODEL…                the same after the passes, with the convertibility check
 *   onnx_tool run MODEL PREFIX IN.npy…    raw, executed once a batch; output i goes to PREFIXi.npy
 *   onnx_tool hash MODEL                  the SHA-256 of the model and its external data
 *   onnx_tool serve                       `run` for each line MODEL<tab>PREFIX<tab>IN.npy… of the
 *                                         standard input; answers "OK" or the refusal
 *   onnx_tool registry                    a row an operator form: domain, name, first and last
 * opset, inputs at least and at most, types, operator of the graph onnx_tool opsets the oldest and
 * the newest opset that are read onnx_tool mutate MODEL SEED N FILE    opens N damaged copies
 * (written to FILE), counts refusals
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "convert/onnx_ops.h"
#include "core/rng.h"
#include "data/npy.h"
#include "transpike/transpike.h"

#define MAX_PORTS 16

static void print_refusal(FILE *to, const tspk_error *err)
{
    char line[1200];

    tspk_error_format(err, line, sizeof line);
    fprintf(to, "%s\n", line);
}

static int open_all(char **paths, int n, bool is_raw)
{
    const tspk_model_settings settings = {.is_raw = is_raw};

    for (int i = 0; i < n; i++) {
        tspk_model *model = NULL;
        tspk_error err = {0};
        tspk_status status = tspk_model_open(paths[i], &settings, &model, &err);

        if (status == TSPK_OK && !is_raw)
            status = tspk_model_check_convertible(model, &err);
        printf("%s: ", paths[i]);
        if (status == TSPK_OK)
            printf("OK\n");
        else
            print_refusal(stdout, &err);
        tspk_model_close(model);
    }
    return 0;
}

static int print_hash(const char *path)
{
    const tspk_model_settings settings = {.is_raw = true};
    tspk_model *model = NULL;
    tspk_error err = {0};

    if (tspk_model_open(path, &settings, &model, &err) != TSPK_OK) {
        print_refusal(stderr, &err);
        return 1;
    }
    printf("%s\n", tspk_model_sha256(model));
    tspk_model_close(model);
    return 0;
}

static size_t elems_of(const tspk_port *port)
{
    size_t n = 1;

    for (int i = 0; i < port->rank; i++)
        n *= (size_t)port->dim[i];
    return n;
}

static tspk_npy_type npy_of(int dtype)
{
    return dtype == 1 ? TSPK_NPY_F4 : dtype == 2 ? TSPK_NPY_I8 : TSPK_NPY_B1;
}

static tspk_status run_ports(const tspk_model *model, const char *prefix, char **inputs, int n_in,
                             void **in, void **out, tspk_error *err)
{
    const size_t n_out = tspk_model_count_outputs(model);
    tspk_status status = TSPK_OK;
    tspk_ann *ann = NULL;
    tspk_port port;

    if (tspk_model_count_inputs(model) > (size_t)n_in || n_out > MAX_PORTS)
        return TSPK_USAGE;
    for (size_t i = 0; i < tspk_model_count_inputs(model) && status == TSPK_OK; i++) {
        tspk_shape shape;

        tspk_model_input(model, i, &port);
        status = tspk_npy_read_file(inputs[i], npy_of(port.dtype), &shape, &in[i], NULL, err);
        if (status == TSPK_OK && tspk_shape_elems(&shape) != elems_of(&port))
            status = TSPK_SHAPE;
    }
    for (size_t i = 0; i < n_out; i++) {
        tspk_model_output(model, i, &port);
        out[i] = calloc(elems_of(&port) + 1, 8);
    }
    if (status == TSPK_OK)
        status = tspk_ann_open(model, 1, &ann, err);
    if (status == TSPK_OK)
        status = tspk_ann_run(ann, 1, (const void *const *)in, out, err);
    tspk_ann_close(ann);
    for (size_t i = 0; i < n_out && status == TSPK_OK; i++) {
        tspk_shape shape;
        char path[1024];

        tspk_model_output(model, i, &port);
        shape.rank = port.rank;
        memcpy(shape.dim, port.dim, sizeof shape.dim);
        snprintf(path, sizeof path, "%s%zu.npy", prefix, i);
        status = tspk_npy_write_file(path, npy_of(port.dtype), &shape, out[i], err);
    }
    return status;
}

static tspk_status run(const char *path, const char *prefix, char **inputs, int n_in,
                       FILE *refusals)
{
    const tspk_model_settings settings = {.is_raw = true};
    void *in[MAX_PORTS] = {0}, *out[MAX_PORTS] = {0};
    tspk_model *model = NULL;
    tspk_error err = {0};
    tspk_status status = tspk_model_open(path, &settings, &model, &err);

    if (status == TSPK_OK)
        status =
            run_ports(model, prefix, inputs, n_in < MAX_PORTS ? n_in : MAX_PORTS, in, out, &err);
    if (status != TSPK_OK) {
        err.status = status;
        print_refusal(refusals, &err);
    }
    for (int i = 0; i < MAX_PORTS; i++) {
        free(in[i]);
        free(out[i]);
    }
    tspk_model_close(model);
    return status;
}

static int serve(void)
{
    char line[8192];

    while (fgets(line, sizeof line, stdin)) {
        char *word[2 + MAX_PORTS], *rest = NULL;
        int n = 0;

        line[strcspn(line, "\n")] = '\0';
        for (char *p = strtok_r(line, "\t", &rest); p && n < 2 + MAX_PORTS;
             p = strtok_r(NULL, "\t", &rest))
            word[n++] = p;
        if (n < 2)
            return 2;
        if (run(word[0], word[1], word + 2, n - 2, stdout) == TSPK_OK)
            printf("OK\n");
        fflush(stdout);
    }
    return 0;
}

static int print_registry(void)
{
    size_t n;
    const tspk_onnx_op *const ops = tspk_onnx_ops(&n);

    for (size_t i = 0; i < n; i++)
        printf("%s\t%s\t%d\t%d\t%u\t%u\t%s\t%s\n", ops[i].domain, ops[i].name, (int)ops[i].since,
               (int)ops[i].until, ops[i].n_least, ops[i].n_most, ops[i].types,
               ops[i].core ? tspk_op_name(ops[i].core) : "");
    return 0;
}

static uint8_t *read_whole(const char *path, size_t *n_out)
{
    FILE *const file = fopen(path, "rb");
    uint8_t *bytes = NULL;
    long n;

    if (!file)
        return NULL;
    if (!fseek(file, 0, SEEK_END) && (n = ftell(file)) > 0 && (bytes = malloc((size_t)n))) {
        rewind(file);
        *n_out = fread(bytes, 1, (size_t)n, file);
    }
    fclose(file);
    return bytes;
}

/* Cuts, or changes up to eight bytes. */
static size_t damage(tspk_rng *rng, uint8_t *bytes, size_t n)
{
    const uint64_t changes = 1 + tspk_rng_below(rng, 8);

    if (tspk_rng_below(rng, 16) == 0)
        return (size_t)tspk_rng_below(rng, n);
    for (uint64_t i = 0; i < changes; i++)
        bytes[tspk_rng_below(rng, n)] = tspk_rng_below(rng, 3)
                                            ? (uint8_t)tspk_rng_next(rng)
                                            : (uint8_t)(0xff * tspk_rng_below(rng, 2));
    return n;
}

static int mutate(const char *path, const char *seed, const char *count, const char *to)
{
    tspk_rng rng = {strtoull(seed, NULL, 10)};
    size_t n = 0, refused = 0;
    uint8_t *const bytes = read_whole(path, &n);
    uint8_t *const copy = malloc(n + 1);
    const long total = strtol(count, NULL, 10);

    printf("seed %" PRIu64 "\n", rng.state);
    for (long i = 0; bytes && copy && i < total; i++) {
        tspk_model *model = NULL;
        tspk_error err = {0};
        FILE *const file = fopen(to, "wb");
        size_t n_kept;

        if (!file)
            return 1;
        memcpy(copy, bytes, n);
        n_kept = damage(&rng, copy, n);
        fwrite(copy, 1, n_kept, file);
        fclose(file);
        refused += tspk_model_open(to, NULL, &model, &err) != TSPK_OK;
        tspk_model_close(model);
    }
    printf("%ld opened, %zu refused\n", total, refused);
    free(copy);
    free(bytes);
    return 0;
}

int main(int argc, char **argv)
{
    if (argc > 2 && !strcmp(argv[1], "open"))
        return open_all(argv + 2, argc - 2, true);
    if (argc > 2 && !strcmp(argv[1], "check"))
        return open_all(argv + 2, argc - 2, false);
    if (argc > 3 && !strcmp(argv[1], "run"))
        return (int)run(argv[2], argv[3], argv + 4, argc - 4, stderr);
    if (argc == 3 && !strcmp(argv[1], "hash"))
        return print_hash(argv[2]);
    if (argc == 2 && !strcmp(argv[1], "serve"))
        return serve();
    if (argc == 2 && !strcmp(argv[1], "registry"))
        return print_registry();
    if (argc == 2 && !strcmp(argv[1], "opsets"))
        return printf("%d %d\n", TSPK_ONNX_OPSET_LEAST, TSPK_ONNX_OPSET_MOST) < 0;
    if (argc == 6 && !strcmp(argv[1], "mutate"))
        return mutate(argv[2], argv[3], argv[4], argv[5]);
    fprintf(stderr, "usage: see the head of onnx_tool.c\n");
    return 2;
}
