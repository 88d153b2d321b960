/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The image size that a file with symbolic height and width was trained for: its position
 * embedding has a row for each patch of a square grid, and a few for class and register tokens.
 *
 *   Conv(image), stride p, kernel k, D channels;  table [.., s + g*g, D]  ->  (g - 1) p + k pixels
 *
 * An exporter that traces such a network most often keeps that one size in constants anyway.
 */
#include <math.h>
#include <string.h>

#include "convert/onnx_importer.h"

#define MAX_SPECIAL_TOKENS 8
#define MAX_PIXELS         16384
#define MAX_ROWS           ((int64_t)MAX_PIXELS * MAX_PIXELS + MAX_SPECIAL_TOKENS)

typedef struct stem {
    int64_t channels, stride, kernel;
} stem;

static const onnx_tensor *find_tensor(const onnx_graph *graph, const char *name)
{
    for (size_t i = 0; i < graph->n_initializer; i++)
        if (graph->initializer[i]->name && !strcmp(graph->initializer[i]->name, name))
            return graph->initializer[i];
    return NULL;
}

static const onnx_attribute *find_attr(const onnx_node *node, const char *name)
{
    for (size_t i = 0; i < node->n_attribute; i++)
        if (node->attribute[i]->name && !strcmp(node->attribute[i]->name, name))
            return node->attribute[i];
    return NULL;
}

/* The convolution that reads the image, square and without pads. */
static bool find_stem(const onnx_graph *graph, const char *image, stem *stem_out)
{
    for (size_t i = 0; i < graph->n_node; i++) {
        const onnx_node *const node = graph->node[i];
        const onnx_attribute *strides;
        const onnx_tensor *w;

        if (node->n_input < 1 || strcmp(node->input[0], image) != 0 || !node->op_type)
            continue;
        if ((!strcmp(node->op_type, "Cast") || !strcmp(node->op_type, "Identity")) &&
            node->n_output == 1) {
            image = node->output[0];
            continue;
        }
        if (strcmp(node->op_type, "Conv") != 0 || node->n_input < 2)
            continue;
        w = find_tensor(graph, node->input[1]);
        strides = find_attr(node, "strides");
        if (!w || w->n_dims != 4 || w->dims[2] != w->dims[3] || w->dims[2] < 1 || !strides ||
            strides->n_ints != 2 || strides->ints[0] != strides->ints[1] || strides->ints[0] < 1)
            return false;
        *stem_out = (stem){w->dims[0], strides->ints[0], w->dims[2]};
        return stem_out->stride <= MAX_PIXELS && stem_out->kernel <= MAX_PIXELS;
    }
    return false;
}

static size_t add_size(int64_t pixels, int64_t *size, size_t n, size_t most)
{
    for (size_t i = 0; i < n; i++)
        if (size[i] == pixels)
            return n;
    if (n < most)
        size[n++] = pixels;
    return n;
}

static size_t add_sizes(const onnx_tensor *table, size_t rank, const stem *s, int64_t *size,
                        size_t n, size_t most)
{
    int64_t rows;

    if (table->n_dims != rank || table->dims[rank - 1] != s->channels ||
        (rank == 3 && table->dims[0] != 1))
        return n;
    rows = table->dims[rank - 2];
    if (rows < 1 || rows > MAX_ROWS)
        return n;
    for (int64_t special = 0; special <= MAX_SPECIAL_TOKENS; special++) {
        const int64_t patches = rows - special;
        const int64_t grid = patches > 3 ? (int64_t)lround(sqrt((double)patches)) : 0;

        if (grid < 2 || grid > MAX_PIXELS || grid * grid != patches ||
            (grid - 1) * s->stride + s->kernel > MAX_PIXELS)
            continue;
        n = add_size((grid - 1) * s->stride + s->kernel, size, n, most);
    }
    return n;
}

size_t tspk_onnx_guess_image_sizes(const onnx_graph *graph, const char *image, size_t rank,
                                   int64_t *size, size_t most)
{
    size_t n = 0;
    stem s;

    if (!find_stem(graph, image, &s))
        return 0;
    for (size_t i = 0; i < graph->n_initializer; i++)
        n = add_sizes(graph->initializer[i], rank, &s, size, n, most);
    return n;
}
