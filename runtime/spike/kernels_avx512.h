/* SPDX-License-Identifier: Apache-2.0 */
/* What the dense and the event-driven products with AVX-512 and VNNI share. */
#ifndef TSPK_RUNTIME_SPIKE_KERNELS_AVX512_H
#define TSPK_RUNTIME_SPIKE_KERNELS_AVX512_H

#include "core/compiler.h"
#include "runtime/spike/kernels_pack.h"

#if TSPK_HAVE_X86
#include <immintrin.h>

#define AVX512 TSPK_TARGET("avx512f,avx512bw,avx512dq,avx512vl,avx512vnni,avx2,fma")

/* A chunk of a row of levels: so many steps of 4 bytes. */
#define CHUNK_BYTES 64
#define CHUNK_STEPS 16

/* What of some tiles stays in the first cache while rows pass by. */
#define NEAR_BYTES (24u << 10)

/* A packed byte weight is w + 128. */
#define BYTE_OFFSET 128

/* Positions of a row of levels that one step takes. */
static inline size_t step_of(bool is_byte)
{
    return is_byte ? 4 : 2;
}

/* 64 levels or fewer as bytes. */
static AVX512 TSPK_ALWAYS_INLINE __m512i load_bytes(const int16_t *level, size_t n)
{
    const __mmask32 low = n >= 32 ? 0xffffffffu : (1u << n) - 1;
    const __mmask32 high = n >= 64 ? 0xffffffffu : n > 32 ? (1u << (n - 32)) - 1 : 0;
    const __m256i a = _mm512_cvtepi16_epi8(_mm512_maskz_loadu_epi16(low, level));
    const __m256i b = _mm512_cvtepi16_epi8(_mm512_maskz_loadu_epi16(high, level + 32));

    return _mm512_inserti64x4(_mm512_castsi256_si512(a), b, 1);
}

static AVX512 TSPK_ALWAYS_INLINE __m512i load_words(const int16_t *level, size_t n)
{
    return _mm512_maskz_loadu_epi16(n >= 32 ? 0xffffffffu : (1u << n) - 1, level);
}

static AVX512 TSPK_ALWAYS_INLINE __m512i multiply_add(const bool is_byte, __m512i sum,
                                                      __m512i weight, __m512i level)
{
    return is_byte ? _mm512_dpbusd_epi32(sum, weight, level)
                   : _mm512_dpwssd_epi32(sum, weight, level);
}

/* The sums over the lanes of four vectors. */
static AVX512 TSPK_ALWAYS_INLINE __m128i add_lanes(const __m512i *v)
{
    const __m512i ab =
        _mm512_add_epi32(_mm512_unpacklo_epi32(v[0], v[1]), _mm512_unpackhi_epi32(v[0], v[1]));
    const __m512i cd =
        _mm512_add_epi32(_mm512_unpacklo_epi32(v[2], v[3]), _mm512_unpackhi_epi32(v[2], v[3]));
    const __m512i all =
        _mm512_add_epi32(_mm512_unpacklo_epi64(ab, cd), _mm512_unpackhi_epi64(ab, cd));
    const __m256i two =
        _mm256_add_epi32(_mm512_castsi512_si256(all), _mm512_extracti64x4_epi64(all, 1));

    return _mm_add_epi32(_mm256_castsi256_si128(two), _mm256_extracti128_si256(two, 1));
}

/* The columns of a tile that are there. */
static inline __mmask16 mask_of(size_t n, size_t column)
{
    return n - column >= TSPK_LANES ? 0xffff : (__mmask16)((1u << (n - column)) - 1);
}

/* From z to the outputs of one row in some tiles. */
static AVX512 TSPK_ALWAYS_INLINE void finish(const size_t tiles, const tspk_linear_args *args,
                                             size_t r, size_t column, const __mmask16 *mask,
                                             const __m512 *z)
{
    /* copies, which the stores cannot change */
    const size_t class = args->row_class[r], at = r * args->ldo + column;
    const bool is_first = args->is_first, is_last = args->is_last;
    const float *const bias = args->bias + class * args->ldbias + column;
    const float divisor = args->divisor;
    const __m512 rho = _mm512_set1_ps(args->rho[class]);
    float *const kept = args->y ? args->y + at : NULL, *const out = args->out + at;

#pragma GCC unroll 8
    for (size_t c = 0; c < tiles; c++) {
        __m512 y = _mm512_setzero_ps();

        if (kept && !is_first)
            y = _mm512_maskz_loadu_ps(mask[c], kept + c * TSPK_LANES);
        y = _mm512_fmadd_ps(rho, z[c], y);
        if (kept && !is_last)
            _mm512_mask_storeu_ps(kept + c * TSPK_LANES, mask[c], y);
        if (divisor > 0.0f)
            y = _mm512_div_ps(y, _mm512_set1_ps(divisor));
        y = _mm512_add_ps(y, _mm512_maskz_loadu_ps(mask[c], bias + c * TSPK_LANES));
        _mm512_mask_storeu_ps(out + c * TSPK_LANES, mask[c], y);
    }
}

/* The common case: nothing is kept, nothing is divided. */
static AVX512 TSPK_ALWAYS_INLINE void finish_once(const size_t tiles, const float *rho,
                                                  const float *bias, float *out,
                                                  const __mmask16 *mask, const __m512 *z)
{
#pragma GCC unroll 8
    for (size_t c = 0; c < tiles; c++) {
        const __m512 y = _mm512_fmadd_ps(_mm512_set1_ps(*rho), z[c], _mm512_setzero_ps());
        const __m512 b = _mm512_maskz_loadu_ps(mask[c], bias + c * TSPK_LANES);

        _mm512_mask_storeu_ps(out + c * TSPK_LANES, mask[c], _mm512_add_ps(y, b));
    }
}

/* Entries of the table; scratch for either. */
void tspk_avx512_linear_events(const tspk_linear_args *args);
void tspk_avx512_product_events(const tspk_product_args *args);
size_t tspk_avx512_event_bytes(size_t n_groups, size_t group);

#endif
#endif
