/* SPDX-License-Identifier: Apache-2.0 */
#include "bench/int_peak.h"

#include <time.h>

#include "core/compiler.h"

enum { PASSES = 1024 };

static double now(void)
{
    struct timespec at;

    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &at);
    return (double)at.tv_sec + 1e-9 * (double)at.tv_nsec;
}

#if TSPK_HAVE_X86
#include <immintrin.h>

/* As many sums as registers allow; an unknown value in each register keeps the compiler from
 * computing anything ahead. */
#define AVX2 TSPK_TARGET("avx2,fma")

AVX2 static TSPK_ALWAYS_INLINE void pass_avx2(const bool is_byte, void *sums)
{
    __m256i sum[12], x = is_byte ? _mm256_set1_epi8(1) : _mm256_set1_epi16(3);
    const __m256i ones = _mm256_set1_epi16(1);

#pragma GCC unroll 12
    for (int i = 0; i < 12; i++)
        sum[i] = _mm256_setzero_si256();
    for (int pass = 0; pass < PASSES; pass++)
#pragma GCC unroll 12
        for (int i = 0; i < 12; i++) {
            TSPK_IN_REGISTER(x);
            sum[i] = _mm256_add_epi32(
                sum[i], is_byte ? _mm256_madd_epi16(_mm256_maddubs_epi16(x, x), ones)
                                : _mm256_madd_epi16(x, x));
            TSPK_IN_REGISTER(sum[i]);
        }
#pragma GCC unroll 12
    for (int i = 0; i < 12; i++)
        _mm256_storeu_si256((__m256i *)sums + i, sum[i]);
}

AVX2 static void pass_avx2_bytes(void *sums)
{
    pass_avx2(true, sums);
}

AVX2 static void pass_avx2_words(void *sums)
{
    pass_avx2(false, sums);
}

#define VNNI TSPK_TARGET("avx512f,avx512bw,avx512vl,avx512vnni")

VNNI static TSPK_ALWAYS_INLINE void pass_vnni(const bool is_byte, void *sums)
{
    __m512i sum[24], x = is_byte ? _mm512_set1_epi8(3) : _mm512_set1_epi16(3);

#pragma GCC unroll 24
    for (int i = 0; i < 24; i++)
        sum[i] = _mm512_setzero_si512();
    for (int pass = 0; pass < PASSES; pass++)
#pragma GCC unroll 24
        for (int i = 0; i < 24; i++) {
            sum[i] = is_byte ? _mm512_dpbusd_epi32(sum[i], x, x)
                             : _mm512_dpwssd_epi32(sum[i], x, x);
            TSPK_IN_REGISTER(sum[i]);
        }
#pragma GCC unroll 24
    for (int i = 0; i < 24; i++)
        _mm512_storeu_si512((__m512i *)sums + i, sum[i]);
}

VNNI static void pass_bytes(void *sums)
{
    pass_vnni(true, sums);
}

VNNI static void pass_words(void *sums)
{
    pass_vnni(false, sums);
}
#endif

double tspk_int_peak(tspk_isa isa, tspk_width width, double seconds)
{
    void (*pass)(void *sums) = NULL;
    uint8_t sums[24 * 64];
    double products = 0.0, done = 0.0, start, spent;

#if TSPK_HAVE_X86
    if (isa == TSPK_ISA_AVX2) {
        pass = width == TSPK_WIDTH_BYTE ? pass_avx2_bytes : pass_avx2_words;
        products = 12.0 * (width == TSPK_WIDTH_BYTE ? 32 : 16) * PASSES;
    } else if (isa == TSPK_ISA_AVX512VNNI) {
        pass = width == TSPK_WIDTH_BYTE ? pass_bytes : pass_words;
        products = 24.0 * (width == TSPK_WIDTH_BYTE ? 64 : 32) * PASSES;
    }
#endif
    if (!pass)
        return 0.0;
    start = now();
    do {
        pass(sums);
        done += products;
        spent = now() - start;
    } while (spent < seconds);
    return done / spent;
}
