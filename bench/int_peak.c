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

typedef struct loop {
    void (*pass)(void *sums); /* NULL: no such loop */
    double products;          /* of a pass */
} loop;

static loop loop_for(tspk_isa isa, tspk_width width)
{
#if TSPK_HAVE_X86
    if (isa == TSPK_ISA_AVX2)
        return width == TSPK_WIDTH_BYTE ? (loop){pass_avx2_bytes, 12.0 * 32 * PASSES}
                                        : (loop){pass_avx2_words, 12.0 * 16 * PASSES};
    if (isa == TSPK_ISA_AVX512VNNI)
        return width == TSPK_WIDTH_BYTE ? (loop){pass_bytes, 24.0 * 64 * PASSES}
                                        : (loop){pass_words, 24.0 * 32 * PASSES};
#endif
    (void)isa;
    (void)width;
    return (loop){NULL, 0.0};
}

double tspk_int_peak(tspk_isa isa, tspk_width width, double seconds)
{
    const loop peak = loop_for(isa, width);
    uint8_t sums[24 * 64];
    double done = 0.0, start, spent;

    if (!peak.pass)
        return 0.0;
    start = now();
    do {
        peak.pass(sums);
        done += peak.products;
        spent = now() - start;
    } while (spent < seconds);
    return done / spent;
}

bool tspk_int_peak_work(tspk_isa isa, tspk_width width, double products)
{
    const loop peak = loop_for(isa, width);
    uint8_t sums[24 * 64];

    for (double done = 0.0; peak.pass && done < products; done += peak.products)
        peak.pass(sums);
    return peak.pass != NULL;
}
