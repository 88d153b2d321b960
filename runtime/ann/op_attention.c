/* SPDX-License-Identifier: Apache-2.0 */
/* Attention over packed heads (core/op.h): one head at a time, logits in scratch; the rows are
 * divided by their sum after the product with v. */
#include <string.h>

#include "core/checked.h"
#include "core/fail.h"
#include "core/parallel.h"
#include "core/vecmath.h"
#include "runtime/ann/blas.h"
#include "runtime/ann/op_impl.h"

typedef struct attention_size {
    size_t images, heads, queries, keys;
    size_t q_width, v_width; /* channels of all heads */
} attention_size;

static size_t tokens_of(const tspk_shape *shape)
{
    return shape->rank > 1 ? (size_t)shape->dim[shape->rank - 2] : 1;
}

static attention_size size_of(const tspk_node *node, const tspk_tensor *in)
{
    const size_t queries = tokens_of(&in[0].shape);

    return (attention_size){
        .images = queries ? tspk_shape_rows(&in[0].shape) / queries : 0,
        .heads = node->attr.heads,
        .queries = queries,
        .keys = tokens_of(&in[1].shape),
        .q_width = tspk_shape_last(&in[0].shape),
        .v_width = tspk_shape_last(&in[2].shape),
    };
}

/* logits of one head, and the sums that its rows are divided by */
TSPK_OP_SCRATCH_FN(tspk_scratch_attention)
{
    const attention_size s = size_of(node, in);
    size_t bytes;

    (void)out;
    if (!tspk_checked_mul(s.queries, s.keys + 1, &bytes) ||
        !tspk_checked_mul(bytes, sizeof(float), &bytes))
        return SIZE_MAX;
    return bytes;
}

/* The bias [heads or 1, queries or 1, keys] of one head, spread over the logits. */
static void spread_bias(const tspk_tensor *bias, const attention_size *s, size_t head,
                        float *logits)
{
    const size_t heads = (size_t)bias->shape.dim[0], rows = (size_t)bias->shape.dim[1];
    const float *const from = (const float *)bias->data + (heads > 1 ? head * rows * s->keys : 0);

    for (size_t i = 0; i < s->queries; i++)
        memcpy(logits + i * s->keys, from + (rows > 1 ? i * s->keys : 0), s->keys * sizeof *logits);
}

static void eval_head(const tspk_node *node, const tspk_vecmath *vec, const attention_size *s,
                      const float *q, const float *k, const float *v, bool has_bias, float *logits,
                      float *out)
{
    const size_t q_head = s->q_width / s->heads, v_head = s->v_width / s->heads;
    float *const sum = logits + s->queries * s->keys;

    tspk_sgemm(true, s->queries, s->keys, q_head, node->attr.scale, q, s->q_width, k, s->q_width,
               has_bias ? 1.0f : 0.0f, logits, s->keys);
    for (size_t i = 0; i < s->queries; i++) {
        float *const row = logits + i * s->keys;

        sum[i] = vec->exp_minus(s->keys, vec->max(s->keys, row), row, row);
    }
    tspk_sgemm(false, s->queries, v_head, s->keys, 1.0f, logits, s->keys, v, s->v_width, 0.0f, out,
               s->v_width);
    for (size_t i = 0; i < s->queries; i++)
        vec->scale(v_head, 1.0f / sum[i], out + i * s->v_width, out + i * s->v_width);
}

typedef struct attention_job {
    const tspk_node *node;
    const tspk_tensor *in;
    const tspk_op_tools *tools;
    attention_size size;
    float *out;
} attention_job;

/* Head i % heads of image i / heads. */
static void eval_item(void *context, size_t i, int worker)
{
    const attention_job *const job = context;
    const attention_size *const s = &job->size;
    const tspk_tensor *const in = job->in;
    const size_t image = i / s->heads, head = i % s->heads;
    const size_t q_at = head * (s->q_width / s->heads), v_at = head * (s->v_width / s->heads);
    const bool has_bias = job->node->n_in > 3 && in[3].data;
    float *const logits =
        (void *)((char *)job->tools->scratch + (size_t)worker * job->tools->scratch_bytes);

    if (has_bias)
        spread_bias(&in[3], s, head, logits);
    eval_head(job->node, job->tools->math, s,
              (const float *)in[0].data + image * s->queries * s->q_width + q_at,
              (const float *)in[1].data + image * s->keys * s->q_width + q_at,
              (const float *)in[2].data + image * s->keys * s->v_width + v_at, has_bias, logits,
              job->out + image * s->queries * s->v_width + v_at);
}

TSPK_OP_FN(tspk_eval_attention)
{
    attention_job job = {node, in, tools, size_of(node, in), out[0].data};
    const attention_size *const s = &job.size;

    if (in[0].dtype != TSPK_DTYPE_F32)
        return tspk_op_refuse_dtype(node, in[0].dtype, err);
    if (!tspk_sgemm_fits(s->queries, s->keys, s->q_width) || !tspk_sgemm_fits(1, 1, s->v_width))
        return TSPK_FAIL(err, TSPK_LIMIT, "a product of %zu x %zu x %zu is too large for the BLAS",
                         s->queries, s->keys, s->q_width);
    tspk_parallel_for(s->queries * s->keys < TSPK_PARALLEL_ELEMS / 8 ? 1 : tools->threads,
                      s->images * s->heads, eval_item, &job);
    return TSPK_OK;
}
