/* SPDX-License-Identifier: Apache-2.0 */
/* MatMul and Linear: float products through the BLAS. */
#include <string.h>

#include "core/fail.h"
#include "core/parallel.h"
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

/* A Linear is computed in blocks of these many outputs and rows, or a little more or less, so that
 * threads have something to share; they depend on the sizes alone, as do the bytes of the result.
 */
#define BLOCK_OUTPUTS  192
#define BLOCK_ROWS     256
#define BLOCK_PRODUCTS ((size_t)1 << 20) /* a node of fewer is one block */

typedef struct linear_job {
    size_t m, n, k;
    size_t block_m, block_n, n_blocks; /* n_blocks: along n */
    const float *x, *weight, *bias;
    float *y;
} linear_job;

static void linear_block(void *context, size_t i, int worker)
{
    const linear_job *const job = context;
    const size_t row = i / job->n_blocks * job->block_m, at = i % job->n_blocks * job->block_n;
    const size_t m = job->m - row < job->block_m ? job->m - row : job->block_m;
    const size_t n = job->n - at < job->block_n ? job->n - at : job->block_n;
    float *const y = job->y + row * job->n + at;

    (void)worker;
    for (size_t r = 0; job->bias && r < m; r++)
        memcpy(y + r * job->n, job->bias + at, n * sizeof *y);
    tspk_sgemm(true, m, n, job->k, 1.0f, job->x + row * job->k, job->k, job->weight + at * job->k,
               job->k, job->bias ? 1.0f : 0.0f, y, job->n);
}

/* Length of blocks of about `wanted` that share out `n`; an even number of them, so that two
 * threads finish together, in whole tiles of the BLAS. */
static size_t block_length(size_t n, size_t wanted)
{
    const size_t pairs = (n + wanted) / (2 * wanted), blocks = pairs ? 2 * pairs : 2;

    return ((n + blocks - 1) / blocks + 15) / 16 * 16;
}

TSPK_OP_FN(tspk_eval_linear)
{
    const uint32_t *const rows = node->attr.rows;
    linear_job job = {
        .m = node->attr.n_rows ? node->attr.n_rows : tspk_shape_rows(&in[0].shape),
        .n = tspk_shape_last(&out[0].shape),
        .k = tspk_shape_last(&in[0].shape),
        .n_blocks = 1,
        .x = in[0].data,
        .bias = node->n_in > 2 ? in[2].data : NULL,
        .y = out[0].data,
    };
    size_t m_blocks = 1;

    if (in[0].dtype != TSPK_DTYPE_F32)
        return tspk_op_refuse_dtype(node, in[0].dtype, err);
    if (node->n_in < 2)
        return TSPK_FAIL(err, TSPK_UNSUPPORTED, "no float weight: spikes alone drive this node");
    if (!tspk_sgemm_fits(job.m, job.n, job.k))
        return refuse_size(job.m, job.n, job.k, err);
    if (!job.m || !job.n)
        return TSPK_OK;
    job.weight = in[1].data;
    if (node->attr.n_rows && is_run(rows, node->attr.n_rows)) {
        job.x += rows[0] * job.k;
    } else if (node->attr.n_rows) {
        float *const gathered = tools->scratch;

        for (size_t r = 0; job.k && r < job.m; r++)
            memcpy(gathered + r * job.k, job.x + rows[r] * job.k, job.k * sizeof *gathered);
        job.x = gathered;
    }
    job.block_m = job.m;
    job.block_n = job.n;
    if (job.m * job.k >= BLOCK_PRODUCTS / job.n) {
        job.block_n = block_length(job.n, BLOCK_OUTPUTS);
        job.n_blocks = (job.n + job.block_n - 1) / job.block_n;
        if (job.m > 3 * BLOCK_ROWS / 2)
            job.block_m = block_length(job.m, BLOCK_ROWS);
        m_blocks = (job.m + job.block_m - 1) / job.block_m;
    }
    tspk_parallel_for(tools->threads, m_blocks * job.n_blocks, linear_block, &job);
    return TSPK_OK;
}
