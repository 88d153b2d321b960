/* SPDX-License-Identifier: Apache-2.0 */
/* Contractions that stay analog: Linear, Conv, MatMul and Attention in float32. One accumulator an
 * output, fused multiply-adds in rising order of the inner index, whatever the instruction set. */
#include <string.h>

#include "runtime/spike/spike_exec.h"

typedef struct analog_job {
    const tspk_spike_run *run;
    const tspk_node *node;
    const tspk_gemm_plan *gemm;
    const float *in[4];
    float *out;
    size_t rows, inner, n; /* of one product */
    size_t blocks;         /* of rows */
    size_t heads, depth;   /* Attention */
    size_t bias_head, bias_row;
} analog_job;

typedef struct analog_memory {
    float *tile;  /* [inner, LANES] packed operand */
    float *patch; /* Conv: [GEMM_ROWS, inner]; Attention: logits [GEMM_ROWS, keys] */
    float *line;  /* Conv: [GEMM_ROWS, LANES] */
} analog_memory;

static const tspk_shape *in_shape(const analog_job *job, int i)
{
    return &job->run->plan->graph->value[job->node->in[i]].shape;
}

static size_t smaller(size_t a, size_t b)
{
    return a < b ? a : b;
}

static size_t carve(size_t inner, size_t patch, uint8_t *scratch, analog_memory *memory)
{
    tspk_carver carver = {scratch, 0};

    memory->tile = tspk_carve(&carver, inner * TSPK_LANES * sizeof(float));
    memory->patch = tspk_carve(&carver, TSPK_GEMM_ROWS * patch * sizeof(float));
    memory->line = tspk_carve(&carver, TSPK_GEMM_ROWS * TSPK_LANES * sizeof(float));
    return carver.used;
}

/* Inner sizes that the scratch of a node must hold. */
static void inner_sizes(const tspk_spike_plan *plan, tspk_node_id id, size_t *inner, size_t *patch)
{
    const tspk_node *const node = &plan->graph->node[id];
    const tspk_gemm_plan *const gemm = plan->node[id].record;

    *inner = *patch = 0;
    if (plan->node[id].kind == TSPK_NODE_CONV) {
        *patch = gemm->inner;
    } else if (plan->node[id].kind == TSPK_NODE_MATMUL) {
        *inner = tspk_shape_last(&plan->graph->value[node->in[0]].shape);
    } else if (plan->node[id].kind == TSPK_NODE_ATTENTION) {
        const size_t depth =
            tspk_shape_last(&plan->graph->value[node->in[0]].shape) / node->attr.heads;

        *patch = tspk_shape_rows(&plan->graph->value[node->in[1]].shape);
        *inner = depth > *patch ? depth : *patch;
    }
}

size_t tspk_analog_scratch_bytes(const tspk_spike_plan *plan, tspk_node_id node)
{
    size_t inner, patch;
    analog_memory memory;

    inner_sizes(plan, node, &inner, &patch);
    return carve(inner, patch, NULL, &memory);
}

/* --- Linear --- */

static void linear_block(void *context, size_t block, int worker)
{
    const analog_job *const job = context;
    const tspk_gemm_plan *const gemm = job->gemm;
    const uint32_t *const picked = job->node->attr.n_rows ? job->node->attr.rows : NULL;
    const size_t tile = block % gemm->tiles, first = block / gemm->tiles * TSPK_GEMM_ROWS;
    const size_t end = smaller(first + TSPK_GEMM_ROWS, job->rows);
    const size_t column = tile * TSPK_LANES, n = smaller(TSPK_LANES, gemm->n - column);

    (void)worker;
    for (size_t r = first, rows; r < end; r += rows) {
        const size_t from = picked ? picked[r] : r;

        rows = 1;
        while (r + rows < end && (!picked || picked[r + rows] == from + rows))
            rows++;
        job->run->plan->row_kernels->gemm_f32(
            rows, gemm->inner, job->in[0] + from * gemm->inner, gemm->inner,
            gemm->weight + tile * gemm->inner * TSPK_LANES, gemm->bias ? gemm->bias + column : NULL,
            n, job->out + r * gemm->n + column, gemm->n);
    }
}

static void run_linear(analog_job *job)
{
    const tspk_node *const node = job->node;

    job->rows = node->attr.n_rows ? node->attr.n_rows : tspk_shape_rows(in_shape(job, 0));
    tspk_run_blocks(job->run, (job->rows + TSPK_GEMM_ROWS - 1) / TSPK_GEMM_ROWS * job->gemm->tiles,
                    linear_block, job);
}

/* --- Conv --- */

/* The inputs under one output position, [channels of the group, kernel height, kernel width]. */
static void gather_patch(const analog_job *job, const tspk_shape *in, const tspk_shape *kernel,
                         size_t channel, int64_t y, int64_t x, float *patch)
{
    const tspk_attr *const attr = &job->node->attr;
    const int64_t top = y * attr->strides[0] - attr->pads[0];
    const int64_t left = x * attr->strides[1] - attr->pads[1];

    for (int64_t c = 0; c < kernel->dim[1]; c++)
        for (int64_t ky = 0; ky < kernel->dim[2]; ky++) {
            const int64_t iy = top + ky * attr->dilations[0];
            const float *const line =
                job->in[0] + (((int64_t)channel + c) * in->dim[2] + (iy < 0 ? 0 : iy)) * in->dim[3];

            for (int64_t kx = 0; kx < kernel->dim[3]; kx++) {
                const int64_t ix = left + kx * attr->dilations[1];
                const bool is_inside = iy >= 0 && iy < in->dim[2] && ix >= 0 && ix < in->dim[3];

                *patch++ = is_inside ? line[ix] : 0.0f;
            }
        }
}

static void conv_block(void *context, size_t block, int worker)
{
    const analog_job *const job = context;
    const tspk_gemm_plan *const gemm = job->gemm;
    const tspk_shape *const in = in_shape(job, 0), *const kernel = in_shape(job, 1);
    const tspk_shape *const out = &job->run->plan->graph->value[job->node->out[0]].shape;
    const size_t group = block / job->blocks, first = block % job->blocks * TSPK_GEMM_ROWS;
    const size_t rows = smaller(TSPK_GEMM_ROWS, job->rows - first);
    analog_memory memory;

    carve(0, gemm->inner, tspk_run_scratch(job->run, worker), &memory);
    for (size_t r = 0; r < rows; r++)
        gather_patch(job, in, kernel, group * (size_t)kernel->dim[1],
                     (int64_t)(first + r) / out->dim[3], (int64_t)(first + r) % out->dim[3],
                     memory.patch + r * gemm->inner);
    for (size_t tile = 0; tile < gemm->tiles; tile++) {
        const size_t column = tile * TSPK_LANES, n = smaller(TSPK_LANES, gemm->n - column);
        const size_t channel = group * gemm->n + column;

        job->run->plan->row_kernels->gemm_f32(
            rows, gemm->inner, memory.patch, gemm->inner,
            gemm->weight + (group * gemm->tiles + tile) * gemm->inner * TSPK_LANES,
            gemm->bias ? gemm->bias + channel : NULL, n, memory.line, TSPK_LANES);
        for (size_t j = 0; j < n; j++)
            for (size_t r = 0; r < rows; r++)
                job->out[(channel + j) * job->rows + first + r] = memory.line[r * TSPK_LANES + j];
    }
}

static void run_conv(analog_job *job)
{
    const tspk_shape *const out = &job->run->plan->graph->value[job->node->out[0]].shape;

    job->rows = (size_t)(out->dim[2] * out->dim[3]);
    job->blocks = (job->rows + TSPK_GEMM_ROWS - 1) / TSPK_GEMM_ROWS;
    tspk_run_blocks(job->run, job->gemm->groups * job->blocks, conv_block, job);
}

/* --- MatMul --- */

static void pack_tile(const float *b, size_t inner, size_t column, size_t n, size_t step_inner,
                      size_t step_column, float *tile)
{
    memset(tile, 0, inner * TSPK_LANES * sizeof *tile);
    for (size_t k = 0; k < inner; k++)
        for (size_t j = 0; j < n; j++)
            tile[k * TSPK_LANES + j] = b[k * step_inner + (column + j) * step_column];
}

/* Index of the matrix that broadcasts to batch index `index` of shapes a and b. */
static size_t batch_index(const tspk_shape *own, const tspk_shape *other, size_t index)
{
    const int a = own->rank > 2 ? own->rank - 2 : 0, b = other->rank > 2 ? other->rank - 2 : 0;
    const int rank = a > b ? a : b;
    size_t at = 0, stride = 1;

    for (int i = 0; i < rank; i++) {
        const size_t mine = i < a ? (size_t)own->dim[a - 1 - i] : 1;
        const size_t theirs = i < b ? (size_t)other->dim[b - 1 - i] : 1;
        const size_t n = mine > theirs ? mine : theirs;

        at += mine > 1 ? index % n * stride : 0;
        stride *= mine;
        index /= n;
    }
    return at;
}

static void matmul_block(void *context, size_t block, int worker)
{
    const analog_job *const job = context;
    const size_t batch = block / job->blocks, first = block % job->blocks * TSPK_GEMM_ROWS;
    const size_t rows = smaller(TSPK_GEMM_ROWS, job->rows - first);
    const float *const a = job->in[0] + batch_index(in_shape(job, 0), in_shape(job, 1), batch) *
                                            job->rows * job->inner;
    const float *const b =
        job->in[1] + batch_index(in_shape(job, 1), in_shape(job, 0), batch) * job->inner * job->n;
    analog_memory memory;

    carve(job->inner, 0, tspk_run_scratch(job->run, worker), &memory);
    for (size_t column = 0; column < job->n; column += TSPK_LANES) {
        const size_t n = smaller(TSPK_LANES, job->n - column);

        pack_tile(b, job->inner, column, n, job->n, 1, memory.tile);
        job->run->plan->row_kernels->gemm_f32(
            rows, job->inner, a + first * job->inner, job->inner, memory.tile, NULL, n,
            job->out + (batch * job->rows + first) * job->n + column, job->n);
    }
}

static void run_matmul(analog_job *job)
{
    const tspk_shape *const a = in_shape(job, 0), *const b = in_shape(job, 1);
    const tspk_shape *const out = &job->run->plan->graph->value[job->node->out[0]].shape;
    size_t batches;

    job->rows = a->rank > 1 ? (size_t)a->dim[a->rank - 2] : 1;
    job->inner = tspk_shape_last(a);
    job->n = b->rank > 1 ? tspk_shape_last(b) : 1;
    if (!job->rows || !job->n)
        return;
    batches = tspk_shape_elems(out) / (job->rows * job->n);
    job->blocks = (job->rows + TSPK_GEMM_ROWS - 1) / TSPK_GEMM_ROWS;
    tspk_run_blocks(job->run, batches * job->blocks, matmul_block, job);
}

/* --- Attention --- */

static void attention_block(void *context, size_t block, int worker)
{
    const analog_job *const job = context;
    const tspk_spike_plan *const plan = job->run->plan;
    const size_t head = block / job->blocks, first = block % job->blocks * TSPK_GEMM_ROWS;
    const size_t rows = smaller(TSPK_GEMM_ROWS, job->rows - first);
    const size_t keys = job->n, width = tspk_shape_last(in_shape(job, 2)) / job->heads;
    const size_t ldq = job->heads * job->depth, ldv = job->heads * width;
    analog_memory memory;

    carve(job->inner, keys, tspk_run_scratch(job->run, worker), &memory);
    for (size_t column = 0; column < keys; column += TSPK_LANES) {
        const size_t n = smaller(TSPK_LANES, keys - column);

        pack_tile(job->in[1] + head * job->depth, job->depth, column, n, 1, ldq, memory.tile);
        plan->row_kernels->gemm_f32(rows, job->depth, job->in[0] + first * ldq + head * job->depth, ldq,
                                memory.tile, NULL, n, memory.patch + column, keys);
    }
    for (size_t r = 0; r < rows; r++) {
        float *const l = memory.patch + r * keys;
        const float *const bias =
            job->in[3] ? job->in[3] + head * job->bias_head + (first + r) * job->bias_row : NULL;

        for (size_t j = 0; j < keys; j++) {
            const float scaled = job->node->attr.scale * l[j];

            l[j] = bias ? scaled + bias[j] : scaled;
        }
        plan->math->softmax(keys, l, l);
    }
    for (size_t column = 0; column < width; column += TSPK_LANES) {
        const size_t n = smaller(TSPK_LANES, width - column);

        pack_tile(job->in[2] + head * width, keys, column, n, ldv, 1, memory.tile);
        plan->row_kernels->gemm_f32(rows, keys, memory.patch, keys, memory.tile, NULL, n,
                                job->out + first * ldv + head * width + column, ldv);
    }
}

static void run_attention(analog_job *job)
{
    job->heads = job->node->attr.heads;
    job->depth = tspk_shape_last(in_shape(job, 0)) / job->heads;
    job->rows = tspk_shape_rows(in_shape(job, 0));
    job->n = tspk_shape_rows(in_shape(job, 1));
    job->inner = job->depth > job->n ? job->depth : job->n;
    job->blocks = (job->rows + TSPK_GEMM_ROWS - 1) / TSPK_GEMM_ROWS;
    if (job->in[3])
        tspk_bias_strides(in_shape(job, 3), &job->bias_head, &job->bias_row);
    tspk_run_blocks(job->run, job->heads * job->blocks, attention_block, job);
}

void tspk_run_analog(const tspk_spike_run *run, tspk_node_id id, uint32_t t)
{
    const tspk_node *const node = &run->plan->graph->node[id];
    analog_job job = {.run = run,
                      .node = node,
                      .gemm = run->plan->node[id].record,
                      .out = tspk_run_value(run, node->out[0], t)};

    for (uint32_t i = 0; i < node->n_in && i < 4; i++)
        if (node->in[i] != TSPK_ID_NONE)
            job.in[i] = tspk_run_value(run, node->in[i], t);
    switch (run->plan->node[id].kind) {
    case TSPK_NODE_LINEAR:
        run_linear(&job);
        break;
    case TSPK_NODE_CONV:
        run_conv(&job);
        break;
    case TSPK_NODE_MATMUL:
        run_matmul(&job);
        break;
    case TSPK_NODE_ATTENTION:
        run_attention(&job);
        break;
    case TSPK_NODE_EVAL:
    case TSPK_NODE_ALIAS:
    case TSPK_NODE_SPIKE_LINEAR:
    case TSPK_NODE_SPIKE_ATTENTION:
        break;
    }
}
