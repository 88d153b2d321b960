/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Resize: nearest, linear and cubic, one axis after the other (the interpolations are separable).
 * Coordinates and weights as in the ONNX reference, in double; pixels outside repeat the border.
 * attr.starts[0] = 1: antialias (the kernel is stretched when shrinking, weights sum to 1);
 * attr.starts[1], nearest: 0 round_prefer_floor, 1 round_prefer_ceil, 2 floor, 3 ceil;
 * attr.starts[2] = 1: pixels outside are left out, the other weights sum to 1.
 */
#include <math.h>
#include <string.h>

#include "core/checked.h"
#include "core/fail.h"
#include "runtime/ann/op_impl.h"

enum { NEAREST = 0, LINEAR = 1, CUBIC = 2 };
enum {
    HALF_PIXEL = 0,
    PYTORCH_HALF_PIXEL = 1,
    ALIGN_CORNERS = 2,
    ASYMMETRIC = 3,
    HALF_PIXEL_SYMMETRIC = 4
};
enum { PREFER_FLOOR = 0, PREFER_CEIL = 1, FLOOR = 2, CEIL = 3 };

static double factor_of(const tspk_attr *attr, int axis, int64_t n_in, int64_t n_out)
{
    return attr->factor[axis] > 0.0f ? (double)attr->factor[axis] : (double)n_out / (double)n_in;
}

/* Where output position i lies in the input. */
static double source_of(int64_t i, int64_t coordinates, double factor, int64_t n_in, int64_t n_out)
{
    const double at = (double)i, length = factor * (double)n_in; /* n_out, not rounded */

    switch (coordinates) {
    case ALIGN_CORNERS:
        return n_out == 1 || length <= 1.0 ? 0.0 : at * (double)(n_in - 1) / (length - 1.0);
    case HALF_PIXEL_SYMMETRIC:
        return (double)n_in / 2.0 * (1.0 - (double)n_out / length) + (at + 0.5) / factor - 0.5;
    case ASYMMETRIC:
        return at / factor;
    case PYTORCH_HALF_PIXEL:
        return n_out == 1 ? 0.0 : (at + 0.5) / factor - 0.5;
    default:
        return (at + 0.5) / factor - 0.5;
    }
}

static double cubic(double x, double a)
{
    x = fabs(x);
    if (x <= 1.0)
        return ((a + 2.0) * x - (a + 3.0)) * x * x + 1.0;
    return x < 2.0 ? ((a * x - 5.0 * a) * x + 8.0 * a) * x - 4.0 * a : 0.0;
}

static double tap(const tspk_attr *attr, double x)
{
    if (attr->mode == CUBIC)
        return cubic(x, (double)attr->alpha);
    x = fabs(x);
    return x < 1.0 ? 1.0 - x : 0.0;
}

/* Half the width of the kernel in input elements. */
static double reach_of(const tspk_attr *attr, double factor)
{
    const double plain = attr->mode == CUBIC ? 2.0 : 1.0;

    return attr->starts[0] && factor < 1.0 ? plain / factor : plain;
}

static int64_t clamp(int64_t i, int64_t n)
{
    return i < 0 ? 0 : i < n ? i : n - 1;
}

static int64_t nearest_of(double x, int64_t rule)
{
    switch (rule) {
    case PREFER_CEIL:
        return (int64_t)floor(x + 0.5);
    case FLOOR:
        return (int64_t)floor(x);
    case CEIL:
        return (int64_t)ceil(x);
    default:
        return (int64_t)ceil(x - 0.5);
    }
}

/* y[i, :] = x[nearest, :] for rows of `inner` elements */
static void nearest_axis(const tspk_attr *attr, double factor, int64_t n_in, int64_t n_out,
                         size_t outer, size_t inner, const float *x, float *y)
{
    for (size_t o = 0; o < outer; o++)
        for (int64_t i = 0; i < n_out; i++, y += inner) {
            const double at = source_of(i, attr->axis, factor, n_in, n_out);
            const int64_t from = clamp(nearest_of(at, attr->starts[1]), n_in);

            memcpy(y, x + (o * (size_t)n_in + (size_t)from) * inner, inner * sizeof *y);
        }
}

/* Pixels outside count with their border's value, or not at all. */
static bool is_inside(const tspk_attr *attr, int64_t j, int64_t n)
{
    return !attr->starts[2] || (j >= 0 && j < n);
}

/* y[i, :] = Σ weight x[j, :]; total is scratch of `inner` doubles. */
static void weighted_axis(const tspk_attr *attr, double factor, int64_t n_in, int64_t n_out,
                          size_t outer, size_t inner, const float *x, float *y, double *total)
{
    const double stretch = attr->starts[0] && factor < 1.0 ? factor : 1.0;
    const double reach = reach_of(attr, factor);

    for (int64_t i = 0; i < n_out; i++) {
        const double at = source_of(i, attr->axis, factor, n_in, n_out);
        const int64_t first = (int64_t)floor(at - reach) + 1, last = (int64_t)ceil(at + reach) - 1;
        double sum = 0.0;

        for (int64_t j = first; j <= last; j++)
            if (is_inside(attr, j, n_in))
                sum += tap(attr, ((double)j - at) * stretch);
        for (size_t o = 0; o < outer; o++) {
            float *const to = y + (o * (size_t)n_out + (size_t)i) * inner;

            memset(total, 0, inner * sizeof *total);
            for (int64_t j = first; j <= last; j++) {
                if (!is_inside(attr, j, n_in))
                    continue;
                const float *const from = x + (o * (size_t)n_in + (size_t)clamp(j, n_in)) * inner;
                const double weight = tap(attr, ((double)j - at) * stretch) / sum;

                for (size_t c = 0; c < inner; c++)
                    total[c] += weight * (double)from[c];
            }
            for (size_t c = 0; c < inner; c++)
                to[c] = (float)total[c];
        }
    }
}

/* Elements when axes before `axis` have the output's length and the others the input's; SIZE_MAX
 * when they cannot be counted in bytes. */
static size_t elems_at(const tspk_shape *from, const tspk_shape *to, int axis)
{
    int64_t dim[TSPK_MAX_RANK];
    size_t elems;

    for (int i = 0; i < from->rank; i++)
        dim[i] = i < axis ? to->dim[i] : from->dim[i];
    return tspk_checked_elems(dim, from->rank, SIZE_MAX / 64, &elems) ? elems : SIZE_MAX;
}

static size_t largest_between(const tspk_shape *from, const tspk_shape *to)
{
    size_t largest = 0;

    for (int axis = 0; axis <= from->rank; axis++) {
        const size_t elems = elems_at(from, to, axis);

        largest = elems > largest ? elems : largest;
    }
    return largest;
}

static size_t aligned(size_t bytes)
{
    return (bytes + 63) / 64 * 64;
}

/* two intermediate results and one row of sums */
TSPK_OP_SCRATCH_FN(tspk_scratch_resize)
{
    const size_t largest = largest_between(&in[0].shape, &out[0].shape);

    (void)node;
    if (largest == SIZE_MAX)
        return SIZE_MAX;
    return 2 * aligned(largest * sizeof(float)) + aligned(largest * sizeof(double));
}

static bool is_kept(const tspk_attr *attr, int axis, int64_t n_in, int64_t n_out)
{
    return n_in == n_out && (attr->factor[axis] == 0.0f || attr->factor[axis] == 1.0f);
}

TSPK_OP_FN(tspk_eval_resize)
{
    const tspk_attr *const attr = &node->attr;
    const tspk_shape *const from = &in[0].shape, *const to = &out[0].shape;
    const size_t bytes = aligned(largest_between(from, to) * sizeof(float));
    float *const buffer[2] = {tools->scratch, (float *)((char *)tools->scratch + bytes)};
    double *const total = (double *)((char *)tools->scratch + 2 * bytes);
    const float *x = in[0].data;
    int turn = 0;

    if (in[0].dtype != TSPK_DTYPE_F32)
        return tspk_op_refuse_dtype(node, in[0].dtype, err);
    if (attr->mode < NEAREST || attr->mode > CUBIC || attr->axis < HALF_PIXEL ||
        attr->axis > HALF_PIXEL_SYMMETRIC)
        return TSPK_FAIL(err, TSPK_UNSUPPORTED, "interpolation %d with coordinates %d",
                         (int)attr->mode, (int)attr->axis);
    if (!tspk_shape_elems(from) || !tspk_shape_elems(to))
        return TSPK_OK;
    for (int axis = 0; axis < from->rank; axis++) {
        const int64_t n_in = from->dim[axis], n_out = to->dim[axis];
        const double factor = factor_of(attr, axis, n_in, n_out);
        size_t outer = 1, inner = 1;

        if (is_kept(attr, axis, n_in, n_out))
            continue;
        for (int i = 0; i < axis; i++)
            outer *= (size_t)to->dim[i];
        for (int i = axis + 1; i < from->rank; i++)
            inner *= (size_t)from->dim[i];
        if (attr->mode == NEAREST)
            nearest_axis(attr, factor, n_in, n_out, outer, inner, x, buffer[turn]);
        else
            weighted_axis(attr, factor, n_in, n_out, outer, inner, x, buffer[turn], total);
        x = buffer[turn];
        turn = !turn;
    }
    memcpy(out[0].data, x, tspk_shape_elems(to) * sizeof *x);
    return TSPK_OK;
}
