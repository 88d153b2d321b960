/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the dense and the event-driven products with AVX2 share. A step is 4 bytes of a row of
 * levels. Words: two positions, vpmaddwd. Bytes: four positions; vpmaddubsw adds pairs of
 * products (unsigned, signed) to int16, so a packed weight is w + 128, and a sum starts at
 * -128 Σ level. A pair is exact when its levels' sum is within ±128: 255 * 128 < 2^15. Where it is
 * not, the levels of the pair are limited to ±64 and what is left of them makes a second step.
 */
#ifndef TSPK_RUNTIME_SPIKE_KERNELS_AVX2_H
#define TSPK_RUNTIME_SPIKE_KERNELS_AVX2_H

#include "core/compiler.h"
#include "runtime/spike/kernels_pack.h"

#if TSPK_HAVE_X86
#include <immintrin.h>
#include <string.h>

#define AVX2 TSPK_TARGET("avx2,fma")

/* A chunk of a row of levels: so many steps of 4 bytes. */
#define CHUNK_BYTES 64
#define CHUNK_STEPS 16

/* The packed weights of a step of a tile. */
#define STEP_BYTES 64

/* What of a tile stays in the first cache while rows pass by. */
#define NEAR_BYTES (16u << 10)

/* A packed byte weight is w + 128. */
#define BYTE_OFFSET 128

/* Positions of a row of levels that one step takes. */
static inline size_t step_of(bool is_byte)
{
    return is_byte ? 4 : 2;
}

static inline size_t chunks_of(bool is_byte, size_t group)
{
    const size_t positions = CHUNK_STEPS * step_of(is_byte);

    return (group + positions - 1) / positions;
}

/* 32 levels as bytes. */
static AVX2 TSPK_ALWAYS_INLINE __m256i load_bytes(const int16_t *level)
{
    const __m256i a = _mm256_loadu_si256((const __m256i *)level);
    const __m256i b = _mm256_loadu_si256((const __m256i *)(level + 16));

    return _mm256_permute4x64_epi64(_mm256_packs_epi16(a, b), 0xd8);
}

/* A half chunk of a row as a step takes it; the group's end is `left` positions away. */
static AVX2 TSPK_ALWAYS_INLINE __m256i load_half(const bool is_byte, const int16_t *level,
                                                 size_t left)
{
    const size_t most = CHUNK_STEPS / 2 * step_of(is_byte);
    int16_t part[CHUNK_STEPS / 2 * 4] = {0};

    if (left < most) {
        memcpy(part, level, left * sizeof *level);
        level = part;
    }
    return is_byte ? load_bytes(level) : _mm256_loadu_si256((const __m256i *)level);
}

/* A half chunk of bytes whose pairs are exact, and what is left of the others. */
typedef struct half_chunk {
    __m256i level, rest;
    __m256i sum;     /* int32: of the levels, by steps */
    __m256i is_over; /* int16: the pair has a rest */
} half_chunk;

static AVX2 TSPK_ALWAYS_INLINE half_chunk split_levels(__m256i v)
{
    const __m256i most = _mm256_set1_epi8(64);
    const __m256i pair = _mm256_maddubs_epi16(_mm256_set1_epi8(1), v);
    const __m256i limited =
        _mm256_max_epi8(_mm256_min_epi8(v, most), _mm256_sub_epi8(_mm256_setzero_si256(), most));
    half_chunk found;

    found.sum = _mm256_madd_epi16(pair, _mm256_set1_epi16(1));
    found.is_over = _mm256_cmpgt_epi16(_mm256_abs_epi16(pair), _mm256_set1_epi16(128));
    found.level = _mm256_blendv_epi8(v, limited, found.is_over);
    found.rest = _mm256_sub_epi8(v, found.level);
    return found;
}

/* Bit 4 i: step i of a half chunk has a byte whose top bit is set. */
static AVX2 TSPK_ALWAYS_INLINE uint32_t steps_with(__m256i bytes)
{
    uint32_t mask = (uint32_t)_mm256_movemask_epi8(bytes);

    mask |= mask >> 2;
    return (mask | mask >> 1) & 0x11111111u;
}

static AVX2 TSPK_ALWAYS_INLINE int32_t add_lanes(__m256i v)
{
    __m128i two = _mm_add_epi32(_mm256_castsi256_si128(v), _mm256_extracti128_si256(v, 1));

    two = _mm_add_epi32(two, _mm_shuffle_epi32(two, 0x4e));
    return _mm_cvtsi128_si32(_mm_add_epi32(two, _mm_shuffle_epi32(two, 0xb1)));
}

/* The sum, and one step of 8 columns. */
static AVX2 TSPK_ALWAYS_INLINE __m256i multiply_add(const bool is_byte, __m256i sum, __m256i weight,
                                                    __m256i level)
{
    const __m256i ones = _mm256_set1_epi16(1);
    const __m256i products = is_byte ? _mm256_madd_epi16(_mm256_maddubs_epi16(weight, level), ones)
                                     : _mm256_madd_epi16(weight, level);

    return _mm256_add_epi32(sum, products);
}

/* Eight columns at the end of a row of n; only those that are there are read and written. */
static AVX2 TSPK_ALWAYS_INLINE __m256i mask_of(size_t n)
{
    return _mm256_cmpgt_epi32(_mm256_set1_epi32(n < 8 ? (int)n : 8),
                              _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7));
}

static AVX2 TSPK_ALWAYS_INLINE void finish_masked(const tspk_linear_args *args, size_t r,
                                                  size_t column, __m256 z)
{
    const size_t class = args->row_class[r], at = r * args->ldo + column;
    const __m256i mask = mask_of(args->n - column);
    const __m256 bias = _mm256_maskload_ps(args->bias + class * args->ldbias + column, mask);
    const __m256 before =
        args->y && !args->is_first ? _mm256_maskload_ps(args->y + at, mask) : _mm256_setzero_ps();
    __m256 y = _mm256_fmadd_ps(_mm256_set1_ps(args->rho[class]), z, before);

    if (args->y && !args->is_last)
        _mm256_maskstore_ps(args->y + at, mask, y);
    if (args->divisor > 0.0f)
        y = _mm256_div_ps(y, _mm256_set1_ps(args->divisor));
    _mm256_maskstore_ps(args->out + at, mask, _mm256_add_ps(y, bias));
}

static AVX2 TSPK_ALWAYS_INLINE void finish_whole(const tspk_linear_args *args, size_t r,
                                                 size_t column, __m256 z)
{
    const size_t class = args->row_class[r], at = r * args->ldo + column;
    const __m256 before =
        args->y && !args->is_first ? _mm256_loadu_ps(args->y + at) : _mm256_setzero_ps();
    __m256 y = _mm256_fmadd_ps(_mm256_set1_ps(args->rho[class]), z, before);

    if (args->y && !args->is_last)
        _mm256_storeu_ps(args->y + at, y);
    if (args->divisor > 0.0f)
        y = _mm256_div_ps(y, _mm256_set1_ps(args->divisor));
    _mm256_storeu_ps(args->out + at,
                     _mm256_add_ps(y, _mm256_loadu_ps(args->bias + class * args->ldbias + column)));
}

/* From z to the outputs of one row in one tile. */
static AVX2 TSPK_ALWAYS_INLINE void finish_tile(const tspk_linear_args *args, size_t r,
                                                size_t column, __m256 z0, __m256 z1)
{
    if (args->n - column >= TSPK_LANES) {
        finish_whole(args, r, column, z0);
        finish_whole(args, r, column + 8, z1);
        return;
    }
    finish_masked(args, r, column, z0);
    if (column + 8 < args->n)
        finish_masked(args, r, column + 8, z1);
}

/* The common case: nothing is kept, nothing is divided, every column is there. */
static AVX2 TSPK_ALWAYS_INLINE void finish_once(float rho, const float *bias, float *out, __m256 z0,
                                                __m256 z1)
{
    const __m256 zero = _mm256_setzero_ps(), factor = _mm256_set1_ps(rho);

    _mm256_storeu_ps(out, _mm256_add_ps(_mm256_fmadd_ps(factor, z0, zero), _mm256_loadu_ps(bias)));
    _mm256_storeu_ps(out + 8,
                     _mm256_add_ps(_mm256_fmadd_ps(factor, z1, zero), _mm256_loadu_ps(bias + 8)));
}

/* Entries of the table; scratch for either. */
void tspk_avx2_linear_events(const tspk_linear_args *args);
void tspk_avx2_product_events(const tspk_product_args *args);
size_t tspk_avx2_event_bytes(size_t n_groups, size_t group);

#endif
#endif
