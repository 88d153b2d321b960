/* SPDX-License-Identifier: Apache-2.0 */
/* MatMul and Linear: float products through the BLAS. */
#include <string.h>

#include "core/fail.h"
#include "runtime/ann/blas.h"
#include "runtime/ann/op_impl.h"
#include "runtime/ann/strided.h"

static tspk_status refuse_size(size_t m, size_t n, size_t k, tspk_error *err)
{
    return TSPK_FAIL(err, TSPK_LIMIT, "a product of %zu x %zu x %zu is too large for the BLAS", m,
                     n, k);
}

/* The axes before the matrix, as a tensor of one "element" a matrix. */
static tspk_tensor batch_axes(const tspk_tensor *tensor, int matrix_rank)
{
    tspk_tensor batch = *tensor;

    batch.shape.rank =
        (uint8_t)(tensor->shape.rank > matrix_rank ? tensor->shape.rank - matrix_rank : 0);
    return batch;
}

TSPK_OP_FN(tspk_eval_matmul)
{
    const bool is_a_vector = in[0].shape.rank == 1, is_b_vector = in[1].shape.rank == 1;
    const size_t k = tspk_shape_last(&in[0].shape);
    const size_t n = is_b_vector ? 1 : tspk_shape_last(&in[1].shape);
    size_t m = is_a_vector ? 1 : (size_t)in[0].shape.dim[in[0].shape.rank - 2];
    const tspk_tensor batch[2] = {batch_axes(&in[0], 2), batch_axes(&in[1], 2)};
    tspk_shape out_batch = out[0].shape;
    tspk_broadcast plan;
    tspk_broadcast_row row = {0};
    int last;

    (void)tools;
    if (in[0].dtype != TSPK_DTYPE_F32 || in[1].dtype != TSPK_DTYPE_F32)
        return tspk_op_refuse_dtype(node, in[in[0].dtype == TSPK_DTYPE_F32].dtype, err);
    if (!tspk_shape_elems(&out[0].shape))
        return TSPK_OK;
    out_batch.rank = (uint8_t)(out_batch.rank - !is_a_vector - !is_b_vector);
    if (in[1].shape.rank <= 2 && !is_a_vector) {
        /* one matrix for all: the batch is more rows */
        m = tspk_shape_rows(&in[0].shape);
        out_batch.rank = 0;
    }
    if (!tspk_sgemm_fits(m, n, k))
        return refuse_size(m, n, k, err);
    tspk_broadcast_plan(&out_batch, 2, batch, &plan);
    last = plan.rank - 1;
    do {
        for (size_t i = 0; i < plan.dim[last]; i++) {
            const size_t a = row.at[0] + i * (size_t)plan.stride[0][last];
            const size_t b = row.at[1] + i * (size_t)plan.stride[1][last];
            const size_t rows_a = is_a_vector ? 1 : m;

            tspk_sgemm(false, m, n, k, 1.0f, (const float *)in[0].data + a * rows_a * k, k,
                       (const float *)in[1].data + b * k * n, n, 0.0f,
                       (float *)out[0].data + (row.out + i) * m * n, n);
        }
    } while (tspk_broadcast_next(&plan, &row));
    return TSPK_OK;
}

/* True when the rows are one after the other: then x can be read where it lies. */
static bool is_run(const uint32_t *rows, uint32_t n)
{
    for (uint32_t i = 1; i < n; i++)
        if (rows[i] != rows[0] + i)
            return false;
    return true;
}

TSPK_OP_SCRATCH_FN(tspk_scratch_linear)
{
    (void)out;
    if (!node->attr.n_rows || is_run(node->attr.rows, node->attr.n_rows))
        return 0;
    return node->attr.n_rows * tspk_shape_last(&in[0].shape) * sizeof(float);
}

TSPK_OP_FN(tspk_eval_linear)
{
    const size_t k = tspk_shape_last(&in[0].shape), n = tspk_shape_last(&out[0].shape);
    const uint32_t *const rows = node->attr.rows;
    const size_t m = node->attr.n_rows ? node->attr.n_rows : tspk_shape_rows(&in[0].shape);
    const float *const bias = node->n_in > 2 ? in[2].data : NULL;
    const float *x = in[0].data;
    float *const y = out[0].data;

    if (in[0].dtype != TSPK_DTYPE_F32)
        return tspk_op_refuse_dtype(node, in[0].dtype, err);
    if (node->n_in < 2)
        return TSPK_FAIL(err, TSPK_UNSUPPORTED, "no float weight: spikes alone drive this node");
    if (!tspk_sgemm_fits(m, n, k))
        return refuse_size(m, n, k, err);
    if (node->attr.n_rows && is_run(rows, node->attr.n_rows)) {
        x += rows[0] * k;
    } else if (node->attr.n_rows) {
        float *const gathered = tools->scratch;

        for (size_t r = 0; k && r < m; r++)
            memcpy(gathered + r * k, x + rows[r] * k, k * sizeof *x);
        x = gathered;
    }
    for (size_t r = 0; bias && n && r < m; r++)
        memcpy(y + r * n, bias, n * sizeof *y);
    tspk_sgemm(true, m, n, k, 1.0f, x, k, in[1].data, k, bias ? 1.0f : 0.0f, y, n);
    return TSPK_OK;
}
