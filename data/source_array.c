/* SPDX-License-Identifier: Apache-2.0 */
/* Samples that are slices of one array, in memory or in a file. */
#include "data/source.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "core/checked.h"
#include "core/fail.h"

typedef struct array_source {
    tspk_source base;
    tspk_array_layout layout; /* labels moved into the items */
    size_t sample_bytes;
    int64_t dim[3]; /* pixels: height, width, channels; values: channels, height, width */
} array_source;

static tspk_status read_at(int descriptor, uint8_t *bytes, size_t n, size_t offset, tspk_error *err)
{
    while (n) {
        const ssize_t got = pread(descriptor, bytes, n, (off_t)offset);

        if (got < 0 && errno == EINTR)
            continue;
        if (got < 0)
            return TSPK_FAIL(err, TSPK_IO, "cannot be read: %s", strerror(errno));
        if (got == 0)
            return TSPK_FAIL(err, TSPK_FORMAT, "%zu bytes are missing", n);
        bytes += got;
        n -= (size_t)got;
        offset += (size_t)got;
    }
    return TSPK_OK;
}

static tspk_status load_bytes(const array_source *array, size_t i, uint8_t *bytes, tspk_error *err)
{
    const size_t offset = array->layout.offset + i * array->sample_bytes;

    if (!array->layout.memory)
        return read_at(array->layout.descriptor, bytes, array->sample_bytes, offset, err);
    memcpy(bytes, array->layout.memory + offset, array->sample_bytes);
    return TSPK_OK;
}

static tspk_status load_pixels(const array_source *array, size_t i, tspk_content *content,
                               tspk_error *err)
{
    TSPK_TRY(tspk_image_init(&content->image, (uint64_t)array->dim[1], (uint64_t)array->dim[0],
                             (uint32_t)array->dim[2], err));
    return load_bytes(array, i, content->image.pixels, err);
}

static tspk_status check_finite(const float *values, size_t n, tspk_error *err)
{
    for (size_t i = 0; i < n; i++)
        if (!isfinite(values[i]))
            return TSPK_FAIL(err, TSPK_RANGE, "element %zu is %g, expected a finite number", i,
                             (double)values[i]);
    return TSPK_OK;
}

static tspk_status load_values(const array_source *array, size_t i, tspk_content *content,
                               tspk_error *err)
{
    const size_t elems = array->sample_bytes / tspk_npy_type_bytes(array->layout.type);
    uint8_t *raw = NULL;
    tspk_status status;

    content->is_float = true;
    memcpy(content->dim, array->dim, sizeof content->dim);
    content->values = malloc(elems ? elems * sizeof *content->values : 1);
    if (array->layout.type != TSPK_NPY_F4)
        raw = malloc(array->sample_bytes ? array->sample_bytes : 1);
    if (!content->values || (array->layout.type != TSPK_NPY_F4 && !raw)) {
        free(raw);
        return TSPK_FAIL(err, TSPK_NOMEM, "no memory for %zu elements", elems);
    }
    status = load_bytes(array, i, raw ? raw : (uint8_t *)content->values, err);
    if (status == TSPK_OK && raw)
        status =
            tspk_npy_convert(array->layout.type, raw, elems, TSPK_NPY_F4, content->values, err);
    free(raw);
    return status == TSPK_OK ? check_finite(content->values, elems, err) : status;
}

static tspk_status load(const tspk_source *source, size_t i, tspk_content *content_out,
                        tspk_error *err)
{
    const array_source *array = (const array_source *)source;
    tspk_content content = {0};
    const tspk_status status = array->layout.type == TSPK_NPY_U1
                                   ? load_pixels(array, i, &content, err)
                                   : load_values(array, i, &content, err);

    if (status != TSPK_OK) {
        tspk_content_done(&content);
        return status;
    }
    *content_out = content;
    return TSPK_OK;
}

static void layout_done(tspk_array_layout *layout)
{
    if (!layout->is_borrowed)
        free(layout->memory);
    free(layout->labels);
    if (!layout->memory && layout->descriptor >= 0)
        close(layout->descriptor);
    layout->memory = NULL;
    layout->labels = NULL;
    layout->descriptor = -1;
}

static void done(tspk_source *source)
{
    layout_done(&((array_source *)source)->layout);
}

static const tspk_source_ops ops = {load, done};

/* What a sample is, from the array's type and shape. */
static tspk_status describe(array_source *array, tspk_error *err)
{
    const tspk_shape *shape = &array->layout.shape;
    const bool is_pixels = array->layout.type == TSPK_NPY_U1;
    size_t elems;
    char text[128];

    if (!is_pixels && array->layout.type != TSPK_NPY_F4 && array->layout.type != TSPK_NPY_F8 &&
        array->layout.type != TSPK_NPY_F2)
        return TSPK_FAIL(err, TSPK_UNSUPPORTED,
                         "images are neither uint8 [N, H, W, C] nor float32 [N, C, H, W]");
    if (shape->rank != 3 && shape->rank != 4)
        return TSPK_FAIL(err, TSPK_SHAPE, "images are %s, expected %s",
                         tspk_shape_text(shape, text, sizeof text),
                         is_pixels ? "[N, H, W, C] or [N, H, W]" : "[N, C, H, W]");
    if (is_pixels) {
        array->dim[0] = shape->dim[1];
        array->dim[1] = shape->dim[2];
        array->dim[2] = shape->rank == 4 ? shape->dim[3] : 1;
        if (array->dim[2] < 1 || array->dim[2] > (int64_t)TSPK_MAX_IMAGE_CHANNELS)
            return TSPK_FAIL(err, TSPK_SHAPE, "uint8 images are %s, expected [N, H, W, C], C ≤ %u",
                             tspk_shape_text(shape, text, sizeof text), TSPK_MAX_IMAGE_CHANNELS);
    } else {
        array->dim[0] = shape->rank == 4 ? shape->dim[1] : 1;
        array->dim[1] = shape->dim[shape->rank - 2];
        array->dim[2] = shape->dim[shape->rank - 1];
    }
    if (!tspk_checked_elems(array->dim, 3, TSPK_MAX_TENSOR_ELEMS, &elems))
        return TSPK_FAIL(err, TSPK_LIMIT, "images are %s",
                         tspk_shape_text(shape, text, sizeof text));
    /* Else a header alone could name millions of samples. */
    if (!elems && shape->dim[0])
        return TSPK_FAIL(err, TSPK_SHAPE, "images are %s, which have no elements",
                         tspk_shape_text(shape, text, sizeof text));
    array->sample_bytes = elems * tspk_npy_type_bytes(array->layout.type);
    return TSPK_OK;
}

tspk_status tspk_source_open_array(tspk_array_layout *layout, tspk_source **source_out,
                                   tspk_error *err)
{
    tspk_source *source;
    tspk_status status = tspk_source_new(sizeof(array_source), &ops, &source, err);

    if (status != TSPK_OK) {
        layout_done(layout);
        return status;
    }
    ((array_source *)source)->layout = *layout;
    status = describe((array_source *)source, err);
    if (status == TSPK_OK)
        status = tspk_source_add_indices(source, (size_t)layout->shape.dim[0], layout->labels, err);
    if (status != TSPK_OK) {
        tspk_source_free(source);
        return status;
    }
    *source_out = source;
    return TSPK_OK;
}

tspk_status tspk_labels_check(const tspk_shape *shape, size_t n, const char *name, tspk_error *err)
{
    const size_t elems = tspk_shape_elems(shape);
    char text[128];

    if (elems != n || !(shape->rank == 1 || (shape->rank == 2 && shape->dim[1] == 1)))
        return TSPK_FAIL(err, TSPK_SHAPE, "%s: labels are %s, expected [%zu]", name,
                         tspk_shape_text(shape, text, sizeof text), n);
    return TSPK_OK;
}
