/* SPDX-License-Identifier: Apache-2.0 */
/* AVX2 with FMA. The integers are the scalar ones; every float operation is the scalar one per
 * lane. Levels and weights are multiplied as int16 pairs (vpmaddwd): exact for every level up to
 * 128 and every weight, int8 or int16, so that no saturating byte product has to be guarded. */
#include "runtime/spike/kernels.h"

#include "core/compiler.h"

#if TSPK_HAVE_X86
#include <immintrin.h>

#define AVX2   TSPK_TARGET("avx2,fma")
#define KERNEL static AVX2
#include "runtime/spike/kernels_body.h"

/* Rows of a register block: 6 rows of two vectors of sums, two of weights, one of levels. */
#define BLOCK_ROWS 6

/* 16 int16: 8 lanes of one pair of positions. */
static AVX2 TSPK_ALWAYS_INLINE __m256i load_weights(const void *weight, size_t at, bool is_byte)
{
    if (is_byte)
        return _mm256_cvtepi8_epi16(
            _mm_loadu_si128((const __m128i *)((const int8_t *)weight + at)));
    return _mm256_loadu_si256((const __m256i *)((const int16_t *)weight + at));
}

static AVX2 TSPK_ALWAYS_INLINE __m256i load_pair(const int16_t *level)
{
    int32_t both;

    memcpy(&both, level, sizeof both);
    return _mm256_set1_epi32(both);
}

/* sum[2 r], sum[2 r + 1]: 16 lanes of row r over `pairs` pairs from `first` on. */
static AVX2 TSPK_ALWAYS_INLINE void sum_block(size_t rows, size_t first, size_t pairs,
                                              const int16_t *level, size_t ldl, const void *weight,
                                              bool is_byte, __m256i *sum)
{
    size_t p = first;

#pragma GCC unroll 12
    for (size_t r = 0; r < 2 * rows; r++)
        sum[r] = _mm256_setzero_si256();
    do {
        const __m256i w0 = load_weights(weight, p * 32, is_byte);
        const __m256i w1 = load_weights(weight, p * 32 + 16, is_byte);

#pragma GCC unroll 6
        for (size_t r = 0; r < rows; r++) {
            const __m256i two = load_pair(level + r * ldl + 2 * p);

            sum[2 * r] = _mm256_add_epi32(sum[2 * r], _mm256_madd_epi16(two, w0));
            sum[2 * r + 1] = _mm256_add_epi32(sum[2 * r + 1], _mm256_madd_epi16(two, w1));
            TSPK_IN_REGISTER(sum[2 * r]);
            TSPK_IN_REGISTER(sum[2 * r + 1]);
        }
    } while (++p < first + pairs);
}

static AVX2 TSPK_ALWAYS_INLINE void linear_block(size_t rows, size_t n_groups, size_t pairs,
                                                 const int16_t *level, size_t ldl,
                                                 const void *weight, bool is_byte,
                                                 const float *scale, float *z, size_t ldz)
{
    __m256i sum[2 * BLOCK_ROWS];

    for (size_t g = 0; g < n_groups; g++) {
        const __m256 s0 = _mm256_loadu_ps(scale + g * 16);
        const __m256 s1 = _mm256_loadu_ps(scale + g * 16 + 8);

        sum_block(rows, g * pairs, pairs, level, ldl, weight, is_byte, sum);
#pragma GCC unroll 6
        for (size_t r = 0; r < rows; r++) {
            float *const at = z + r * ldz;
            const __m256 z0 = g ? _mm256_loadu_ps(at) : _mm256_setzero_ps();
            const __m256 z1 = g ? _mm256_loadu_ps(at + 8) : _mm256_setzero_ps();

            _mm256_storeu_ps(at, _mm256_fmadd_ps(s0, _mm256_cvtepi32_ps(sum[2 * r]), z0));
            _mm256_storeu_ps(at + 8, _mm256_fmadd_ps(s1, _mm256_cvtepi32_ps(sum[2 * r + 1]), z1));
        }
    }
}

static AVX2 TSPK_ALWAYS_INLINE void linear_rows(size_t rows, size_t n_groups, size_t pairs,
                                                const int16_t *level, size_t ldl,
                                                const void *weight, bool is_byte,
                                                const float *scale, float *z, size_t ldz)
{
    size_t r = 0;

    for (; r + BLOCK_ROWS <= rows; r += BLOCK_ROWS)
        linear_block(BLOCK_ROWS, n_groups, pairs, level + r * ldl, ldl, weight, is_byte, scale,
                     z + r * ldz, ldz);
    for (; r + 2 <= rows; r += 2)
        linear_block(2, n_groups, pairs, level + r * ldl, ldl, weight, is_byte, scale, z + r * ldz,
                     ldz);
    if (r < rows)
        linear_block(1, n_groups, pairs, level + r * ldl, ldl, weight, is_byte, scale, z + r * ldz,
                     ldz);
}

static AVX2 void linear_i8(size_t rows, size_t n_groups, size_t pairs, const int16_t *level,
                           size_t ldl, const int8_t *weight, const float *scale, float *z,
                           size_t ldz)
{
    linear_rows(rows, n_groups, pairs, level, ldl, weight, true, scale, z, ldz);
}

static AVX2 void linear_i16(size_t rows, size_t n_groups, size_t pairs, const int16_t *level,
                            size_t ldl, const int16_t *weight, const float *scale, float *z,
                            size_t ldz)
{
    linear_rows(rows, n_groups, pairs, level, ldl, weight, false, scale, z, ldz);
}

static AVX2 TSPK_ALWAYS_INLINE void sum_events(uint32_t from, uint32_t to,
                                               const tspk_events *events, const void *weight,
                                               bool is_byte, __m256i *sum0, __m256i *sum1)
{
    __m256i a = _mm256_setzero_si256(), b = a;

    for (uint32_t e = from; e < to; e++) {
        const __m256i two = _mm256_set1_epi32(events->value[e]);
        const size_t at = (size_t)events->pair[e] * 32;

        a = _mm256_add_epi32(a, _mm256_madd_epi16(two, load_weights(weight, at, is_byte)));
        b = _mm256_add_epi32(b, _mm256_madd_epi16(two, load_weights(weight, at + 16, is_byte)));
    }
    *sum0 = a;
    *sum1 = b;
}

static AVX2 TSPK_ALWAYS_INLINE void linear_events(size_t n_groups, const tspk_events *events,
                                                  const void *weight, bool is_byte,
                                                  const float *scale, float *z)
{
    __m256 z0 = _mm256_setzero_ps(), z1 = z0;
    uint32_t from = 0;

    for (size_t g = 0; g < n_groups; from = events->end[g++]) {
        __m256i a, b;

        if (from == events->end[g])
            continue;
        sum_events(from, events->end[g], events, weight, is_byte, &a, &b);
        z0 = _mm256_fmadd_ps(_mm256_loadu_ps(scale + g * 16), _mm256_cvtepi32_ps(a), z0);
        z1 = _mm256_fmadd_ps(_mm256_loadu_ps(scale + g * 16 + 8), _mm256_cvtepi32_ps(b), z1);
    }
    _mm256_storeu_ps(z, z0);
    _mm256_storeu_ps(z + 8, z1);
}

static AVX2 void linear_events_i8(size_t n_groups, const tspk_events *events, const int8_t *weight,
                                  const float *scale, float *z)
{
    linear_events(n_groups, events, weight, true, scale, z);
}

static AVX2 void linear_events_i16(size_t n_groups, const tspk_events *events,
                                   const int16_t *weight, const float *scale, float *z)
{
    linear_events(n_groups, events, weight, false, scale, z);
}

static AVX2 TSPK_ALWAYS_INLINE void store_product(__m256i sum, __m256 factor, bool is_first,
                                                  float *out)
{
    const __m256 before = is_first ? _mm256_setzero_ps() : _mm256_loadu_ps(out);

    _mm256_storeu_ps(out, _mm256_fmadd_ps(_mm256_cvtepi32_ps(sum), factor, before));
}

static AVX2 TSPK_ALWAYS_INLINE void product_block(size_t rows, size_t pairs, const int16_t *a,
                                                  size_t lda, const int16_t *b, __m256 factor,
                                                  bool is_first, float *out, size_t ldo)
{
    __m256i sum[2 * BLOCK_ROWS];

    sum_block(rows, 0, pairs, a, lda, b, false, sum);
#pragma GCC unroll 6
    for (size_t r = 0; r < rows; r++) {
        store_product(sum[2 * r], factor, is_first, out + r * ldo);
        store_product(sum[2 * r + 1], factor, is_first, out + r * ldo + 8);
    }
}

static AVX2 void product(size_t rows, size_t pairs, const int16_t *a, size_t lda, const int16_t *b,
                         float factor, bool is_first, float *out, size_t ldo)
{
    const __m256 scale = _mm256_set1_ps(factor);
    size_t r = 0;

    for (; r + BLOCK_ROWS <= rows; r += BLOCK_ROWS)
        product_block(BLOCK_ROWS, pairs, a + r * lda, lda, b, scale, is_first, out + r * ldo, ldo);
    for (; r + 2 <= rows; r += 2)
        product_block(2, pairs, a + r * lda, lda, b, scale, is_first, out + r * ldo, ldo);
    if (r < rows)
        product_block(1, pairs, a + r * lda, lda, b, scale, is_first, out + r * ldo, ldo);
}

static AVX2 void product_events(size_t n_events, const tspk_events *events, const int16_t *b,
                                float factor, bool is_first, float *out)
{
    __m256i low, high;

    sum_events(0, (uint32_t)n_events, events, b, false, &low, &high);
    store_product(low, _mm256_set1_ps(factor), is_first, out);
    store_product(high, _mm256_set1_ps(factor), is_first, out + 8);
}

static const tspk_kernels table = {
    .name = "avx2",
    .linear_i8 = linear_i8,
    .linear_i16 = linear_i16,
    .linear_events_i8 = linear_events_i8,
    .linear_events_i16 = linear_events_i16,
    .product = product,
    .product_events = product_events,
    .pack = pack,
    .pack_rows = pack_rows,
};

const tspk_kernels *tspk_kernels_avx2(void)
{
    return &table;
}

#else

const tspk_kernels *tspk_kernels_avx2(void)
{
    return NULL;
}

#endif
