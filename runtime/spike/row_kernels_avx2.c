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

/* Neurons of a block: four vectors, or two at the end of a row. */
#define BLOCK 32

/* The entries of a table for one block. */
typedef struct block_table {
    const float *step, *reciprocal;
    const uint8_t *side[2];
} block_table;

/* Potentials as bytes, and their signs as bytes' top bits. */
typedef struct potential {
    __m256i byte, sign;
} potential;

/* The four dwords of a lane of a packed vector come from four vectors. */
static AVX2 TSPK_ALWAYS_INLINE __m256i unpacked_order(__m256i v)
{
    return _mm256_permutevar8x32_epi32(v, _mm256_setr_epi32(0, 4, 1, 5, 2, 6, 3, 7));
}

static AVX2 TSPK_ALWAYS_INLINE potential load_potential(const block_table *at, const bool is_scaled,
                                                        float factor, const float *x,
                                                        const float *o, size_t vectors)
{
    const __m256 t = _mm256_set1_ps(factor), limit = _mm256_set1_ps(256.0f);
    const __m256 magnitude_bits = _mm256_castsi256_ps(_mm256_set1_epi32(0x7fffffff));
    const __m256i shift = _mm256_set1_epi16(129);
    __m256i up[4], bits[4];
    potential found;

#pragma GCC unroll 4
    for (size_t j = 0; j < 4; j++) {
        __m256 p;

        up[j] = bits[j] = _mm256_setzero_si256();
        if (j >= vectors)
            continue;
        p = _mm256_loadu_ps(x + 8 * j);
        if (is_scaled)
            p = _mm256_mul_ps(t, p);
        if (o)
            p = _mm256_sub_ps(p, _mm256_loadu_ps(o + 8 * j));
        p = _mm256_mul_ps(p, _mm256_loadu_ps(at->reciprocal + 8 * j));
        bits[j] = _mm256_castps_si256(p);
        /* the second operand passes when one is a NaN, which becomes the least integer */
        p = _mm256_min_ps(limit, _mm256_and_ps(p, magnitude_bits));
        up[j] = _mm256_cvtps_epi32(_mm256_ceil_ps(p));
    }
    found.byte = unpacked_order(
        _mm256_packs_epi16(_mm256_subs_epi16(_mm256_packs_epi32(up[0], up[1]), shift),
                           _mm256_subs_epi16(_mm256_packs_epi32(up[2], up[3]), shift)));
    found.sign = unpacked_order(_mm256_packs_epi16(_mm256_packs_epi32(bits[0], bits[1]),
                                                   _mm256_packs_epi32(bits[2], bits[3])));
    return found;
}

static AVX2 TSPK_ALWAYS_INLINE __m256i reach_one(const uint8_t *side, __m256i byte, __m256i m)
{
    const __m256i bound = _mm256_loadu_si256((const __m256i *)side);
    const __m256i rise = _mm256_loadu_si256((const __m256i *)(side + TSPK_FIRE_LANES));

    return _mm256_add_epi8(m, _mm256_and_si256(_mm256_cmpgt_epi8(byte, bound), rise));
}

/* The levels' magnitudes that one or two rows reach on one side. */
static AVX2 TSPK_ALWAYS_INLINE void reach(const size_t rows, const uint8_t *side, uint32_t n,
                                          const potential *p, __m256i *m)
{
    const uint8_t *const end = side + (size_t)n * 2 * TSPK_FIRE_LANES;
    __m256i second[2];

    for (size_t r = 0; r < rows; r++)
        m[r] = second[r] = _mm256_setzero_si256();
    for (; side < end; side += 4 * TSPK_FIRE_LANES)
#pragma GCC unroll 2
        for (size_t r = 0; r < rows; r++) {
            m[r] = reach_one(side, p[r].byte, m[r]);
            TSPK_IN_REGISTER(m[r]);
            second[r] = reach_one(side + 2 * TSPK_FIRE_LANES, p[r].byte, second[r]);
            TSPK_IN_REGISTER(second[r]);
        }
    for (size_t r = 0; r < rows; r++)
        m[r] = _mm256_add_epi8(m[r], second[r]);
}

/* Levels as dwords or words, from magnitudes and masks of negative ones. */
static AVX2 TSPK_ALWAYS_INLINE __m256i widen(__m128i magnitude, __m128i negative)
{
    const __m256i s = _mm256_cvtepi8_epi32(negative);

    return _mm256_sub_epi32(_mm256_xor_si256(_mm256_cvtepu8_epi32(magnitude), s), s);
}

static AVX2 TSPK_ALWAYS_INLINE __m256i widen_words(__m128i magnitude, __m128i negative)
{
    const __m256i s = _mm256_cvtepi8_epi16(negative);

    return _mm256_sub_epi16(_mm256_xor_si256(_mm256_cvtepu8_epi16(magnitude), s), s);
}

static AVX2 TSPK_ALWAYS_INLINE void keep_state(const block_table *at, size_t j, __m256i level,
                                               const float *o, float *o_out)
{
    const __m256 fired =
        _mm256_mul_ps(_mm256_cvtepi32_ps(level), _mm256_loadu_ps(at->step + 8 * j));
    const __m256 before = o ? _mm256_loadu_ps(o + 8 * j) : _mm256_setzero_ps();

    _mm256_storeu_ps(o_out + 8 * j, _mm256_add_ps(before, fired));
}

static AVX2 TSPK_ALWAYS_INLINE __m128i half(__m256i v, size_t j)
{
    return j ? _mm256_extracti128_si256(v, 1) : _mm256_castsi256_si128(v);
}

static AVX2 TSPK_ALWAYS_INLINE __m128i quarter(__m256i v, size_t j)
{
    return j % 2 ? _mm_srli_si128(half(v, j / 2), 8) : half(v, j / 2);
}

static AVX2 TSPK_ALWAYS_INLINE void store_levels(const tspk_fire_args *args, size_t r, size_t first,
                                                 const size_t vectors, __m256i m, __m256i negative)
{
    if (!args->is_wide) {
        const __m256i level = _mm256_sub_epi8(_mm256_xor_si256(m, negative), negative);
        int8_t *const to = (int8_t *)args->level + r * args->ldl + first;

        if (vectors == 4)
            _mm256_storeu_si256((__m256i *)to, level);
        else
            _mm_storeu_si128((__m128i *)to, _mm256_castsi256_si128(level));
        return;
    }
#pragma GCC unroll 2
    for (size_t j = 0; j < vectors / 2; j++)
        _mm256_storeu_si256((__m256i *)((int16_t *)args->level + r * args->ldl + first + 16 * j),
                            widen_words(half(m, j), half(negative, j)));
}

/* One block of one or two rows; o and o_out: of the first. */
static AVX2 TSPK_ALWAYS_INLINE void fire_rows(const size_t rows, const bool is_scaled,
                                              const tspk_fire_args *args, const block_table *at,
                                              size_t row, size_t first, const size_t vectors,
                                              const float *o, float *o_out)
{
    const tspk_fire_table *const table = args->table;
    potential p[2];
    __m256i m[2], other[2], negative[2];

#pragma GCC unroll 2
    for (size_t r = 0; r < rows; r++) {
        p[r] = load_potential(at, is_scaled, args->t, args->x + (row + r) * args->ldx + first,
                              o ? o + r * args->ldo_in : NULL, vectors);
        negative[r] = _mm256_cmpgt_epi8(_mm256_setzero_si256(), p[r].sign);
    }
    reach(rows, at->side[0], table->n_side[0], p, m);
    if (!table->is_mirrored) {
        reach(rows, at->side[1], table->n_side[1], p, other);
#pragma GCC unroll 2
        for (size_t r = 0; r < rows; r++)
            m[r] = _mm256_blendv_epi8(m[r], other[r], negative[r]);
    }
#pragma GCC unroll 2
    for (size_t r = 0; r < rows; r++) {
        store_levels(args, row + r, first, vectors, m[r], negative[r]);
        if (!o_out)
            continue;
#pragma GCC unroll 4
        for (size_t j = 0; j < vectors; j++)
            keep_state(at, j, widen(quarter(m[r], j), quarter(negative[r], j)),
                       o ? o + r * args->ldo_in : NULL, o_out + r * args->ldo_out);
    }
}

/* All rows of a whole block, two at a time. */
static AVX2 TSPK_ALWAYS_INLINE void fire_whole(const bool has_state, const bool is_kept,
                                               const tspk_fire_args *args, const block_table *at,
                                               size_t first)
{
    const float *const o = has_state ? args->o_in + first : NULL;
    float *const o_out = is_kept ? args->o_out + first : NULL;
    size_t r = 0;

    for (; r + 2 <= args->rows; r += 2)
        fire_rows(2, false, args, at, r, first, 4, has_state ? o + r * args->ldo_in : NULL,
                  is_kept ? o_out + r * args->ldo_out : NULL);
    if (r < args->rows)
        fire_rows(1, false, args, at, r, first, 4, has_state ? o + r * args->ldo_in : NULL,
                  is_kept ? o_out + r * args->ldo_out : NULL);
}

/* Any block, row by row. */
static AVX2 TSPK_ALWAYS_INLINE void fire_part(const bool is_scaled, const tspk_fire_args *args,
                                              const block_table *at, size_t first,
                                              const size_t vectors)
{
    for (size_t r = 0; r < args->rows; r++)
        fire_rows(1, is_scaled, args, at, r, first, vectors,
                  args->o_in ? args->o_in + first + r * args->ldo_in : NULL,
                  args->o_out ? args->o_out + first + r * args->ldo_out : NULL);
}

static AVX2 TSPK_ALWAYS_INLINE void fire_block(const tspk_fire_args *args, size_t first,
                                               const size_t vectors)
{
    const tspk_fire_table *const table = args->table;
    const size_t entry = args->is_alike ? args->block * TSPK_FIRE_LANES : first;
    const size_t block = entry / TSPK_FIRE_LANES * 2 * TSPK_FIRE_LANES;
    const size_t within = entry % TSPK_FIRE_LANES;
    const block_table at = {table->step + entry,
                            table->reciprocal + entry,
                            {table->side[0] + block * table->n_side[0] + within,
                             table->side[1] + block * table->n_side[1] + within}};

    if (args->t != 1.0f)
        fire_part(true, args, &at, first, vectors);
    else if (vectors < 4)
        fire_part(false, args, &at, first, vectors);
    else if (args->o_in && args->o_out)
        fire_whole(true, true, args, &at, first);
    else if (args->o_in)
        fire_whole(true, false, args, &at, first);
    else if (args->o_out)
        fire_whole(false, true, args, &at, first);
    else
        fire_whole(false, false, args, &at, first);
}

/* Magnitudes of 32 levels from `i` on, zeros beyond n. */
static AVX2 TSPK_ALWAYS_INLINE __m256i magnitudes(const void *level, size_t i, size_t n,
                                                  bool is_wide)
{
    const __m256i zero = _mm256_setzero_si256();
    const bool is_half = n - i < BLOCK;

    if (is_wide) {
        const int16_t *const at = (const int16_t *)level + i;
        const __m256i first = _mm256_abs_epi16(_mm256_loadu_si256((const __m256i *)at));
        const __m256i second =
            is_half ? zero : _mm256_abs_epi16(_mm256_loadu_si256((const __m256i *)(at + 16)));

        return _mm256_packus_epi16(first, second);
    }
    if (is_half)
        return _mm256_abs_epi8(
            _mm256_castsi128_si256(_mm_loadu_si128((const __m128i *)((const int8_t *)level + i))));
    return _mm256_abs_epi8(_mm256_loadu_si256((const __m256i *)((const int8_t *)level + i)));
}

/* Bit lengths of the bytes that are no powers of two. */
static AVX2 TSPK_ALWAYS_INLINE __m256i bit_lengths(__m256i m)
{
    const __m256i low = _mm256_set1_epi8(15);
    const __m256i below =
        _mm256_broadcastsi128_si256(_mm_setr_epi8(0, 1, 2, 2, 3, 3, 3, 3, 4, 4, 4, 4, 4, 4, 4, 4));
    const __m256i above =
        _mm256_broadcastsi128_si256(_mm_setr_epi8(0, 5, 6, 6, 7, 7, 7, 7, 8, 8, 8, 8, 8, 8, 8, 8));
    const __m256i length =
        _mm256_max_epu8(_mm256_shuffle_epi8(below, _mm256_and_si256(m, low)),
                        _mm256_shuffle_epi8(above, _mm256_and_si256(_mm256_srli_epi16(m, 4), low)));
    const __m256i rest = _mm256_and_si256(m, _mm256_sub_epi8(m, _mm256_set1_epi8(1)));

    return _mm256_andnot_si256(_mm256_cmpeq_epi8(rest, _mm256_setzero_si256()), length);
}

static AVX2 TSPK_ALWAYS_INLINE uint64_t sum_quads(__m256i v)
{
    const __m128i two = _mm_add_epi64(_mm256_castsi256_si128(v), _mm256_extracti128_si256(v, 1));

    return (uint64_t)_mm_cvtsi128_si64(two) + (uint64_t)_mm_extract_epi64(two, 1);
}

static AVX2 TSPK_ALWAYS_INLINE tspk_level_count count_row(const void *level, size_t n, bool is_wide)
{
    const __m256i zero = _mm256_setzero_si256();
    __m256i bits = zero, silent = zero;

    for (size_t i = 0; i < n; i += BLOCK) {
        const __m256i m = magnitudes(level, i, n, is_wide);
        const __m256i is_silent = _mm256_cmpeq_epi8(m, zero);

        bits = _mm256_add_epi64(bits, _mm256_sad_epu8(bit_lengths(m), zero));
        silent = _mm256_add_epi64(silent, _mm256_sad_epu8(_mm256_abs_epi8(is_silent), zero));
    }
    return (tspk_level_count){(n + BLOCK - 1) / BLOCK * BLOCK - sum_quads(silent), sum_quads(bits)};
}

/* Blocks of neurons outside, rows inside: the tables of a block stay in the first cache. */
static AVX2 void fire(const tspk_fire_args *args)
{
    for (size_t i = 0; i < args->n; i += BLOCK)
        if (args->n - i >= BLOCK)
            fire_block(args, i, 4);
        else
            fire_block(args, i, 2);
    for (size_t r = 0; r < args->rows; r++)
        if (args->is_wide)
            args->count[r] = count_row((const int16_t *)args->level + r * args->ldl, args->n, true);
        else
            args->count[r] = count_row((const int8_t *)args->level + r * args->ldl, args->n, false);
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
    .reorder = tspk_reorder_levels,
    .finish = finish,
    .gemm_f32 = gemm_f32,
    .logits = logits,
    .add_codes = add_codes,
    .encode = encode,
    .scale_out = scale_out,
    .add_scaled = add_scaled,
    .dot = dot,
    .decode = decode,
};

#endif
