/* SPDX-License-Identifier: Apache-2.0 */
/* AVX2 with FMA: every float operation is the scalar one per lane. */
#include "runtime/spike/row_kernels.h"

#include "core/compiler.h"

#if TSPK_HAVE_X86
#include <immintrin.h>

#define AVX2   TSPK_TARGET("avx2,fma")
#define KERNEL static AVX2
#include "runtime/spike/row_kernels_body.h"

/* Rows of a register block of gemm_f32: 6 rows of two vectors of sums. */
#define BLOCK_ROWS 6

#define FIRE_CHANNELS 64

static AVX2 TSPK_ALWAYS_INLINE __m256 blend_levels(__m256 p, const tspk_fire_table *table, size_t c)
{
    __m256 m = _mm256_setzero_ps();

    for (uint32_t i = 0; i < table->n_positive; i++) {
        const size_t at = i * table->stride + c;
        const __m256 passed =
            _mm256_cmp_ps(p, _mm256_loadu_ps(table->positive_threshold + at), _CMP_GT_OQ);

        m = _mm256_blendv_ps(m, _mm256_loadu_ps(table->positive_level + at), passed);
    }
    for (uint32_t i = 0; i < table->n_negative; i++) {
        const size_t at = i * table->stride + c;
        const __m256 passed =
            _mm256_cmp_ps(p, _mm256_loadu_ps(table->negative_threshold + at), _CMP_LT_OQ);

        m = _mm256_blendv_ps(m, _mm256_loadu_ps(table->negative_level + at), passed);
    }
    return m;
}

/* Every lane has the same thresholds: the first that no lane passes ends the search. */
static AVX2 TSPK_ALWAYS_INLINE __m256 blend_alike(__m256 p, const tspk_fire_table *table, size_t c)
{
    __m256 m = _mm256_setzero_ps();

    for (uint32_t i = 0; i < table->n_positive; i++) {
        const size_t at = i * table->stride + c;
        const __m256 passed =
            _mm256_cmp_ps(p, _mm256_broadcast_ss(table->positive_threshold + at), _CMP_GT_OQ);

        if (!_mm256_movemask_ps(passed))
            break;
        m = _mm256_blendv_ps(m, _mm256_broadcast_ss(table->positive_level + at), passed);
    }
    for (uint32_t i = 0; i < table->n_negative; i++) {
        const size_t at = i * table->stride + c;
        const __m256 passed =
            _mm256_cmp_ps(p, _mm256_broadcast_ss(table->negative_threshold + at), _CMP_LT_OQ);

        if (!_mm256_movemask_ps(passed))
            break;
        m = _mm256_blendv_ps(m, _mm256_broadcast_ss(table->negative_level + at), passed);
    }
    return m;
}

static AVX2 TSPK_ALWAYS_INLINE void fire_vector(const tspk_fire_args *args, size_t r, size_t i,
                                                bool is_alike)
{
    const tspk_fire_table *const table = args->table;
    const size_t c = is_alike ? args->neuron : i;
    const __m256 step =
        is_alike ? _mm256_broadcast_ss(table->step + c) : _mm256_loadu_ps(table->step + c);
    const __m256 reciprocal = is_alike ? _mm256_broadcast_ss(table->reciprocal + c)
                                       : _mm256_loadu_ps(table->reciprocal + c);
    const __m256 o =
        args->o_in ? _mm256_loadu_ps(args->o_in + r * args->ldo_in + i) : _mm256_setzero_ps();
    __m256 x = _mm256_loadu_ps(args->x + r * args->ldx + i);
    __m256 p, m;
    __m256i level;

    if (args->is_rate)
        x = _mm256_mul_ps(_mm256_set1_ps(args->t), x);
    p = _mm256_mul_ps(_mm256_sub_ps(x, o), reciprocal);
    m = is_alike ? blend_alike(p, table, c) : blend_levels(p, table, c);
    if (args->o_out)
        _mm256_storeu_ps(args->o_out + r * args->ldo_out + i,
                         _mm256_add_ps(o, _mm256_mul_ps(m, step)));
    level = _mm256_cvtps_epi32(m);
    _mm_storeu_si128(
        (__m128i *)(args->level + r * args->ldl + i),
        _mm_packs_epi32(_mm256_castsi256_si128(level), _mm256_extracti128_si256(level, 1)));
}

/* Blocks of channels outside, rows inside: the thresholds of a block stay in the first cache. */
static AVX2 void fire(const tspk_fire_args *args)
{
    for (size_t first = 0; first < args->n; first += FIRE_CHANNELS) {
        const size_t end = first + FIRE_CHANNELS < args->n ? first + FIRE_CHANNELS : args->n;

        for (size_t r = 0; r < args->rows; r++)
            for (size_t i = first; i < end; i += 8)
                fire_vector(args, r, i, false);
    }
}

static AVX2 void fire_alike(const tspk_fire_args *args)
{
    for (size_t r = 0; r < args->rows; r++)
        for (size_t i = 0; i < args->n; i += 8)
            fire_vector(args, r, i, true);
}

static AVX2 TSPK_ALWAYS_INLINE uint64_t sum_words(__m256i words)
{
    const __m256i pairs = _mm256_madd_epi16(words, _mm256_set1_epi16(1));
    const __m128i four =
        _mm_add_epi32(_mm256_castsi256_si128(pairs), _mm256_extracti128_si256(pairs, 1));
    const __m128i two = _mm_add_epi32(four, _mm_shuffle_epi32(four, 0x4e));

    return (uint64_t)(uint32_t)(_mm_cvtsi128_si32(two) + _mm_extract_epi32(two, 1));
}

/* 16 levels at a time; a lane's bits stay below 8 * 1024 between two sums. */
static AVX2 tspk_level_count count(size_t n, const int16_t *level)
{
    const __m256i zero = _mm256_setzero_si256(), one = _mm256_set1_epi16(1);
    tspk_level_count counted = {0, 0};
    size_t i = 0;

    while (i + 16 <= n) {
        const size_t stop = n - i > 16 * 1024 ? i + 16 * 1024 : n;
        __m256i spikes = zero, bits = zero;

        for (; i + 16 <= stop; i += 16) {
            const __m256i m = _mm256_abs_epi16(_mm256_loadu_si256((const __m256i *)(level + i)));
            const __m256i is_power =
                _mm256_cmpeq_epi16(_mm256_and_si256(m, _mm256_sub_epi16(m, one)), zero);
            __m256i length = zero;

            spikes = _mm256_sub_epi16(spikes, _mm256_cmpgt_epi16(m, zero));
            for (int bit = 0; bit < 8; bit++)
                length = _mm256_sub_epi16(
                    length, _mm256_cmpgt_epi16(m, _mm256_set1_epi16((short)((1 << bit) - 1))));
            bits = _mm256_add_epi16(bits, _mm256_andnot_si256(is_power, length));
        }
        counted.spikes += sum_words(spikes);
        counted.bits += sum_words(bits);
    }
    for (; i < n; i++) {
        const unsigned magnitude = (unsigned)(level[i] < 0 ? -level[i] : level[i]);

        counted.spikes += magnitude != 0;
        if (magnitude & (magnitude - 1))
            for (unsigned rest = magnitude; rest; rest >>= 1)
                counted.bits++;
    }
    return counted;
}

static AVX2 TSPK_ALWAYS_INLINE void gemm_block(size_t rows, size_t inner, const float *a,
                                               size_t lda, const float *b, const float *bias,
                                               size_t n, float *out, size_t ldo)
{
    __m256 sum[2 * BLOCK_ROWS], part[2 * BLOCK_ROWS];

    for (size_t r = 0; r < 2 * rows; r++)
        sum[r] = _mm256_setzero_ps();
    for (size_t from = 0; from < inner; from += TSPK_GEMM_BLOCK) {
        const size_t to = inner - from < TSPK_GEMM_BLOCK ? inner : from + TSPK_GEMM_BLOCK;

#pragma GCC unroll 12
        for (size_t r = 0; r < 2 * rows; r++)
            part[r] = _mm256_setzero_ps();
        for (size_t k = from; k < to; k++) {
            const __m256 b0 = _mm256_loadu_ps(b + k * 16), b1 = _mm256_loadu_ps(b + k * 16 + 8);

#pragma GCC unroll 6
            for (size_t r = 0; r < rows; r++) {
                const __m256 one = _mm256_broadcast_ss(a + r * lda + k);

                part[2 * r] = _mm256_fmadd_ps(one, b0, part[2 * r]);
                part[2 * r + 1] = _mm256_fmadd_ps(one, b1, part[2 * r + 1]);
                TSPK_IN_REGISTER(part[2 * r]);
                TSPK_IN_REGISTER(part[2 * r + 1]);
            }
        }
        for (size_t r = 0; r < 2 * rows; r++)
            sum[r] = _mm256_add_ps(sum[r], part[r]);
    }
    for (size_t r = 0; r < rows; r++) {
        float line[16];

        _mm256_storeu_ps(line, sum[2 * r]);
        _mm256_storeu_ps(line + 8, sum[2 * r + 1]);
        for (size_t j = 0; j < n; j++)
            out[r * ldo + j] = bias ? line[j] + bias[j] : line[j];
    }
}

static AVX2 void gemm_f32(size_t rows, size_t inner, const float *a, size_t lda, const float *b,
                          const float *bias, size_t n, float *out, size_t ldo)
{
    size_t r = 0;

    for (; r + BLOCK_ROWS <= rows; r += BLOCK_ROWS)
        gemm_block(BLOCK_ROWS, inner, a + r * lda, lda, b, bias, n, out + r * ldo, ldo);
    for (; r + 2 <= rows; r += 2)
        gemm_block(2, inner, a + r * lda, lda, b, bias, n, out + r * ldo, ldo);
    if (r < rows)
        gemm_block(1, inner, a + r * lda, lda, b, bias, n, out + r * ldo, ldo);
}

const tspk_row_kernels tspk_row_kernels_avx2 = {
    .name = "avx2",
    .fire = fire,
    .fire_alike = fire_alike,
    .count = count,
    .finish = finish,
    .gemm_f32 = gemm_f32,
    .logits = logits,
    .scale_out = scale_out,
    .add_scaled = add_scaled,
    .dot = dot,
    .decode = decode,
};

#endif
