/* SPDX-License-Identifier: Apache-2.0 */
/* Conv, two-dimensional, NCHW: im2col of one image and group, then a product with the BLAS. */
#include <inttypes.h>

#include "core/checked.h"
#include "core/fail.h"
#include "core/parallel.h"
#include "runtime/ann/blas.h"
#include "runtime/ann/op_impl.h"

typedef struct conv_size {
    size_t images, channels, height, width;             /* of x */
    size_t filters, group_channels, kernel_h, kernel_w; /* of w */
    size_t out_h, out_w, groups;
} conv_size;

static conv_size size_of(const tspk_node *node, const tspk_tensor *in, const tspk_tensor *out)
{
    const int64_t *const x = in[0].shape.dim, *const w = in[1].shape.dim;

    return (conv_size){
        .images = (size_t)x[0],
        .channels = (size_t)x[1],
        .height = (size_t)x[2],
        .width = (size_t)x[3],
        .filters = (size_t)w[0],
        .group_channels = (size_t)w[1],
        .kernel_h = (size_t)w[2],
        .kernel_w = (size_t)w[3],
        .out_h = (size_t)out[0].shape.dim[2],
        .out_w = (size_t)out[0].shape.dim[3],
        .groups = (size_t)node->attr.groups,
    };
}

/* A 1 x 1 kernel with stride 1 reads the image as it lies. */
static bool is_pointwise(const tspk_attr *attr, const conv_size *s)
{
    return s->kernel_h == 1 && s->kernel_w == 1 && attr->strides[0] == 1 && attr->strides[1] == 1 &&
           !attr->pads[0] && !attr->pads[1] && s->out_h == s->height && s->out_w == s->width;
}

TSPK_OP_SCRATCH_FN(tspk_scratch_conv)
{
    const conv_size s = size_of(node, in, out);
    size_t bytes;

    if (in[0].shape.rank != 4 || is_pointwise(&node->attr, &s))
        return 0;
    if (!tspk_checked_mul(s.group_channels * s.kernel_h * s.kernel_w, s.out_h * s.out_w, &bytes) ||
        !tspk_checked_mul(bytes, sizeof(float), &bytes))
        return SIZE_MAX;
    return bytes;
}

/* One image and group. */
typedef struct conv_job {
    const tspk_attr *attr;
    const conv_size *size;
    const float *x, *weight, *bias;
    float *col; /* or x itself */
    float *y;
    size_t filters, block, inner, pixels; /* block: filters a call */
} conv_job;

/* Rows (c, ky, kx) of channel c of col: what that weight sees at each output position; 0 in the
 * padding. */
static void im2col(void *context, size_t c, int worker)
{
    const conv_job *const job = context;
    const conv_size *const s = job->size;
    const tspk_attr *const attr = job->attr;
    float *col = job->col + c * s->kernel_h * s->kernel_w * job->pixels;

    (void)worker;
    for (size_t ky = 0; ky < s->kernel_h; ky++)
        for (size_t kx = 0; kx < s->kernel_w; kx++)
            for (size_t oy = 0; oy < s->out_h; oy++) {
                const int64_t iy = (int64_t)oy * attr->strides[0] - attr->pads[0] +
                                   (int64_t)ky * attr->dilations[0];
                int64_t ix = (int64_t)kx * attr->dilations[1] - attr->pads[1];
                const bool is_inside = iy >= 0 && iy < (int64_t)s->height;
                const float *const row =
                    is_inside ? job->x + (c * s->height + (size_t)iy) * s->width : job->x;

                for (size_t ox = 0; ox < s->out_w; ox++, ix += attr->strides[1])
                    *col++ = is_inside && ix >= 0 && ix < (int64_t)s->width ? row[ix] : 0.0f;
            }
}

static void filter_block(void *context, size_t i, int worker)
{
    const conv_job *const job = context;
    const size_t first = i * job->block, left = job->filters - first;
    const size_t n = left < job->block ? left : job->block;
    float *const y = job->y + first * job->pixels;

    (void)worker;
    for (size_t f = 0; job->bias && f < n; f++)
        for (size_t p = 0; p < job->pixels; p++)
            y[f * job->pixels + p] = job->bias[first + f];
    tspk_sgemm(false, n, job->pixels, job->inner, 1.0f, job->weight + first * job->inner,
               job->inner, job->col, job->pixels, job->bias ? 1.0f : 0.0f, y, job->pixels);
}

/* Filters that one call of the BLAS computes; depends on the sizes alone. */
#define BLOCK_FILTERS 96

TSPK_OP_FN(tspk_eval_conv)
{
    const tspk_attr *const attr = &node->attr;
    const float *const weight = in[1].data;
    const float *const bias = node->n_in > 2 ? in[2].data : NULL;
    conv_size s;
    size_t filters, inner, pixels;

    if (in[0].dtype != TSPK_DTYPE_F32)
        return tspk_op_refuse_dtype(node, in[0].dtype, err);
    if (in[0].shape.rank != 4 || in[1].shape.rank != 4)
        return TSPK_FAIL(err, TSPK_UNSUPPORTED,
                         "input of rank %d and kernel of rank %d, expected 4", in[0].shape.rank,
                         in[1].shape.rank);
    s = size_of(node, in, out);
    if (!s.groups || s.filters % s.groups || s.group_channels * s.groups != s.channels)
        return TSPK_FAIL(err, TSPK_SHAPE,
                         "%zu channels and %zu filters do not fit %" PRId64
                         " groups of %zu channels",
                         s.channels, s.filters, attr->groups, s.group_channels);
    filters = s.filters / s.groups;
    inner = s.group_channels * s.kernel_h * s.kernel_w;
    pixels = s.out_h * s.out_w;
    if (!tspk_sgemm_fits(filters, pixels, inner))
        return TSPK_FAIL(err, TSPK_LIMIT, "a product of %zu x %zu x %zu is too large for the BLAS",
                         filters, pixels, inner);
    for (size_t i = 0; i < s.images * s.groups; i++) {
        const size_t group = i % s.groups;
        conv_job job = {
            .attr = attr,
            .size = &s,
            .x = (const float *)in[0].data + i * s.group_channels * s.height * s.width,
            .weight = weight + group * filters * inner,
            .bias = bias ? bias + group * filters : NULL,
            .y = (float *)out[0].data + i * filters * pixels,
            .filters = filters,
            .block = BLOCK_FILTERS,
            .inner = inner,
            .pixels = pixels,
        };
        const int threads = inner * pixels < TSPK_PARALLEL_ELEMS ? 1 : tools->threads;

        if (is_pointwise(attr, &s)) {
            job.col = (float *)(uintptr_t)job.x;
        } else {
            job.col = tools->scratch;
            tspk_parallel_for(threads, s.group_channels, im2col, &job);
        }
        tspk_parallel_for(threads, (filters + BLOCK_FILTERS - 1) / BLOCK_FILTERS, filter_block,
                          &job);
    }
    return TSPK_OK;
}
