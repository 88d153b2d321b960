/* SPDX-License-Identifier: Apache-2.0 */
/* AVX-512 (F, BW, DQ, VL): every float operation is the scalar one per lane. */
#include "runtime/spike/row_kernels.h"

#include "core/compiler.h"

#if TSPK_HAVE_X86
#include <immintrin.h>

#define AVX512 TSPK_TARGET(TSPK_AVX512_FEATURES)
#define KERNEL static AVX512
#define TSPK_OWN_DOT
#include "runtime/spike/row_kernels_body.h"

/* The lanes pairwise: upper half to lower half, four times. */
static AVX512 TSPK_ALWAYS_INLINE float add_float_lanes(__m512 v)
{
    const __m256 eight = _mm256_add_ps(_mm512_castps512_ps256(v), _mm512_extractf32x8_ps(v, 1));
    const __m128 four = _mm_add_ps(_mm256_castps256_ps128(eight), _mm256_extractf128_ps(eight, 1));
    const __m128 two = _mm_add_ps(four, _mm_movehl_ps(four, four));

    return _mm_cvtss_f32(_mm_add_ss(two, _mm_movehdup_ps(two)));
}

/* Element i goes to lane i mod 16 in rising order. */
static AVX512 float dot(size_t n, const float *a, const float *b)
{
    __m512 sum = _mm512_setzero_ps();
    size_t i = 0;

    for (; i + TSPK_LANES <= n; i += TSPK_LANES)
        sum = _mm512_fmadd_ps(_mm512_loadu_ps(a + i), _mm512_loadu_ps(b + i), sum);
    if (i < n) {
        const __mmask16 there = (__mmask16)((1u << (n - i)) - 1);

        sum = _mm512_mask3_fmadd_ps(_mm512_maskz_loadu_ps(there, a + i),
                                    _mm512_maskz_loadu_ps(there, b + i), sum, there);
    }
    return add_float_lanes(sum);
}

/* Rows of a register block of gemm_f32: sums and parts of them. */
#define BLOCK_ROWS 12

/* The entries of a table for one block. */
typedef struct block_table {
    const float *step, *reciprocal;
    const uint8_t *side[2];
} block_table;

/* Potentials of a block as bytes, and which are negative. */
typedef struct potential {
    __m512i byte;
    __mmask64 negative;
} potential;

/* The four dwords of a lane of a packed vector come from four vectors. */
static AVX512 TSPK_ALWAYS_INLINE __m512i unpacked_order(__m512i v)
{
    return _mm512_permutexvar_epi32(
        _mm512_setr_epi32(0, 4, 8, 12, 1, 5, 9, 13, 2, 6, 10, 14, 3, 7, 11, 15), v);
}

static AVX512 TSPK_ALWAYS_INLINE potential load_potential(const block_table *at, float factor,
                                                          const float *x, const float *o,
                                                          size_t vectors)
{
    const __m512 t = _mm512_set1_ps(factor), limit = _mm512_set1_ps(256.0f);
    const __m512i shift = _mm512_set1_epi16(129);
    __m512i up[4], bits[4];
    potential found;

#pragma GCC unroll 4
    for (size_t j = 0; j < 4; j++) {
        __m512 p;

        up[j] = bits[j] = _mm512_setzero_si512();
        if (j >= vectors)
            continue;
        p = _mm512_loadu_ps(x + 16 * j);
        if (factor != 1.0f)
            p = _mm512_mul_ps(t, p);
        if (o)
            p = _mm512_sub_ps(p, _mm512_loadu_ps(o + 16 * j));
        p = _mm512_mul_ps(p, _mm512_loadu_ps(at->reciprocal + 16 * j));
        bits[j] = _mm512_castps_si512(p);
        /* the second operand passes when one is a NaN, which becomes the least integer */
        p = _mm512_min_ps(limit, _mm512_abs_ps(p));
        up[j] = _mm512_cvt_roundps_epi32(p, _MM_FROUND_TO_POS_INF | _MM_FROUND_NO_EXC);
    }
    found.byte = unpacked_order(
        _mm512_packs_epi16(_mm512_subs_epi16(_mm512_packs_epi32(up[0], up[1]), shift),
                           _mm512_subs_epi16(_mm512_packs_epi32(up[2], up[3]), shift)));
    found.negative = _mm512_movepi8_mask(unpacked_order(_mm512_packs_epi16(
        _mm512_packs_epi32(bits[0], bits[1]), _mm512_packs_epi32(bits[2], bits[3]))));
    return found;
}

/* Rows that go through a block's table together: it is loaded once, and their chains of operations
 * overlap. */
#define FIRE_TOGETHER 2

/* Rows whose counts are kept in registers' width until the last block. */
#define COUNTED_ROWS 32

/* Magnitudes that potentials reach, of all rows; the table's levels in two chains. */
static AVX512 TSPK_ALWAYS_INLINE void reach(const uint8_t *side, uint32_t n, size_t rows,
                                            const potential *p, __m512i *m)
{
    const uint8_t *const end = side + (size_t)n * 2 * TSPK_FIRE_LANES;
    __m512i chain[2][FIRE_TOGETHER];

#pragma GCC unroll 2
    for (size_t r = 0; r < rows; r++)
        chain[0][r] = chain[1][r] = _mm512_setzero_si512();
    for (; side < end; side += 4 * TSPK_FIRE_LANES)
#pragma GCC unroll 2
        for (size_t k = 0; k < 2; k++) {
            const uint8_t *const level = side + k * 2 * TSPK_FIRE_LANES;
            const __m512i bound = _mm512_loadu_si512(level);
            const __m512i rise = _mm512_loadu_si512(level + TSPK_FIRE_LANES);

#pragma GCC unroll 2
            for (size_t r = 0; r < rows; r++) {
                chain[k][r] = _mm512_mask_add_epi8(
                    chain[k][r], _mm512_cmpgt_epi8_mask(p[r].byte, bound), chain[k][r], rise);
                TSPK_IN_REGISTER(chain[k][r]);
            }
        }
#pragma GCC unroll 2
    for (size_t r = 0; r < rows; r++)
        m[r] = _mm512_add_epi8(chain[0][r], chain[1][r]);
}

static AVX512 TSPK_ALWAYS_INLINE __m128i quarter(__m512i v, size_t j)
{
    switch (j) {
    case 0:
        return _mm512_castsi512_si128(v);
    case 1:
        return _mm512_extracti32x4_epi32(v, 1);
    case 2:
        return _mm512_extracti32x4_epi32(v, 2);
    default:
        return _mm512_extracti32x4_epi32(v, 3);
    }
}

static AVX512 TSPK_ALWAYS_INLINE void keep_states(const block_table *at, size_t vectors, __m512i m,
                                                  __mmask64 negative, const float *o, float *o_out)
{
#pragma GCC unroll 4
    for (size_t j = 0; j < vectors; j++) {
        const __m512i magnitude = _mm512_cvtepu8_epi32(quarter(m, j));
        const __m512i level = _mm512_mask_sub_epi32(magnitude, (__mmask16)(negative >> (16 * j)),
                                                    _mm512_setzero_si512(), magnitude);
        const __m512 fired =
            _mm512_mul_ps(_mm512_cvtepi32_ps(level), _mm512_loadu_ps(at->step + 16 * j));
        const __m512 before = o ? _mm512_loadu_ps(o + 16 * j) : _mm512_setzero_ps();

        _mm512_storeu_ps(o_out + 16 * j, _mm512_add_ps(before, fired));
    }
}

/* The block's lanes that are there, 16 a vector. */
static AVX512 TSPK_ALWAYS_INLINE __mmask64 lanes_of(size_t vectors)
{
    return ~(__mmask64)0 >> (64 - 16 * vectors);
}

static AVX512 TSPK_ALWAYS_INLINE void store_levels(const tspk_fire_args *args, size_t at,
                                                   size_t vectors, __m512i m, __mmask64 negative)
{
    const __mmask64 there = lanes_of(vectors);

    if (!args->is_wide) {
        _mm512_mask_storeu_epi8((int8_t *)args->level + at, there,
                                _mm512_mask_sub_epi8(m, negative, _mm512_setzero_si512(), m));
        return;
    }
#pragma GCC unroll 2
    for (size_t half = 0; half < 2; half++) {
        const __m512i magnitude = _mm512_cvtepu8_epi16(half ? _mm512_extracti64x4_epi64(m, 1)
                                                            : _mm512_castsi512_si256(m));

        if (2 * half < vectors)
            _mm512_mask_storeu_epi16(
                (int16_t *)args->level + at + 32 * half, (__mmask32)(there >> (32 * half)),
                _mm512_mask_sub_epi16(magnitude, (__mmask32)(negative >> (32 * half)),
                                      _mm512_setzero_si512(), magnitude));
    }
}

/* Bit lengths of the bytes that are no powers of two. */
static AVX512 TSPK_ALWAYS_INLINE __m512i bit_lengths(__m512i m)
{
    const __m512i low = _mm512_set1_epi8(15);
    const __m512i below =
        _mm512_broadcast_i32x4(_mm_setr_epi8(0, 1, 2, 2, 3, 3, 3, 3, 4, 4, 4, 4, 4, 4, 4, 4));
    const __m512i above =
        _mm512_broadcast_i32x4(_mm_setr_epi8(0, 5, 6, 6, 7, 7, 7, 7, 8, 8, 8, 8, 8, 8, 8, 8));
    const __m512i length =
        _mm512_max_epu8(_mm512_shuffle_epi8(below, _mm512_and_si512(m, low)),
                        _mm512_shuffle_epi8(above, _mm512_and_si512(_mm512_srli_epi16(m, 4), low)));

    return _mm512_maskz_mov_epi8(_mm512_test_epi8_mask(m, _mm512_sub_epi8(m, _mm512_set1_epi8(1))),
                                 length);
}

static AVX512 TSPK_ALWAYS_INLINE void count_levels(size_t vectors, __m512i m,
                                                   tspk_level_count *count, __m512i *bits)
{
    const __mmask64 there = lanes_of(vectors);

    count->spikes += (uint64_t)__builtin_popcountll(_mm512_mask_test_epi8_mask(there, m, m));
    *bits = _mm512_add_epi64(*bits, _mm512_sad_epu8(_mm512_maskz_mov_epi8(there, bit_lengths(m)),
                                                    _mm512_setzero_si512()));
}

/* One block of `rows` rows from row `first` on. */
static AVX512 TSPK_ALWAYS_INLINE void fire_rows(const tspk_fire_args *args, const block_table *at,
                                                size_t first, size_t rows, size_t column,
                                                size_t vectors, bool has_state, bool is_kept,
                                                __m512i *bits)
{
    const tspk_fire_table *const table = args->table;
    potential p[FIRE_TOGETHER];
    __m512i m[FIRE_TOGETHER], below[FIRE_TOGETHER];

#pragma GCC unroll 2
    for (size_t r = 0; r < rows; r++)
        p[r] = load_potential(at, args->t, args->x + (first + r) * args->ldx + column,
                              has_state ? args->o_in + (first + r) * args->ldo_in + column : NULL,
                              vectors);
    reach(at->side[0], table->n_side[0], rows, p, m);
    if (!table->is_mirrored) {
        reach(at->side[1], table->n_side[1], rows, p, below);
#pragma GCC unroll 2
        for (size_t r = 0; r < rows; r++)
            m[r] = _mm512_mask_mov_epi8(m[r], p[r].negative, below[r]);
    }
#pragma GCC unroll 2
    for (size_t r = 0; r < rows; r++) {
        const size_t row = first + r;

        store_levels(args, row * args->ldl + column, vectors, m[r], p[r].negative);
        if (is_kept)
            keep_states(at, vectors, m[r], p[r].negative,
                        has_state ? args->o_in + row * args->ldo_in + column : NULL,
                        args->o_out + row * args->ldo_out + column);
        count_levels(vectors, m[r], &args->count[row], &bits[row]);
    }
}

static AVX512 TSPK_ALWAYS_INLINE void fire_block(const tspk_fire_args *args, size_t column,
                                                 size_t vectors, bool has_state, bool is_kept,
                                                 __m512i *bits)
{
    const tspk_fire_table *const table = args->table;
    const size_t block = args->is_alike ? args->block : column / TSPK_FIRE_LANES;
    const block_table at = {table->step + block * TSPK_FIRE_LANES,
                            table->reciprocal + block * TSPK_FIRE_LANES,
                            {table->side[0] + block * 2 * TSPK_FIRE_LANES * table->n_side[0],
                             table->side[1] + block * 2 * TSPK_FIRE_LANES * table->n_side[1]}};
    size_t r = 0;

    for (; r + FIRE_TOGETHER <= args->rows; r += FIRE_TOGETHER)
        fire_rows(args, &at, r, FIRE_TOGETHER, column, vectors, has_state, is_kept, bits);
    for (; r < args->rows; r++)
        fire_rows(args, &at, r, 1, column, vectors, has_state, is_kept, bits);
}

/* Blocks of neurons outside, rows inside: the tables of a block stay in the first cache. */
static AVX512 TSPK_ALWAYS_INLINE void fire_blocks(const tspk_fire_args *args, bool has_state,
                                                  bool is_kept)
{
    __m512i bits[COUNTED_ROWS];

    for (size_t r = 0; r < args->rows; r++) {
        bits[r] = _mm512_setzero_si512();
        args->count[r] = (tspk_level_count){0, 0};
    }
    for (size_t i = 0; i < args->n; i += TSPK_FIRE_LANES)
        switch ((args->n - i) / TSPK_LANES) {
        case 1:
            fire_block(args, i, 1, has_state, is_kept, bits);
            break;
        case 2:
            fire_block(args, i, 2, has_state, is_kept, bits);
            break;
        case 3:
            fire_block(args, i, 3, has_state, is_kept, bits);
            break;
        default:
            fire_block(args, i, 4, has_state, is_kept, bits);
            break;
        }
    for (size_t r = 0; r < args->rows; r++)
        args->count[r].bits = (uint64_t)_mm512_reduce_add_epi64(bits[r]);
}

static AVX512 void fire(const tspk_fire_args *all)
{
    const size_t a_level = all->is_wide ? sizeof(int16_t) : sizeof(int8_t);
    tspk_fire_args args = *all;

    for (size_t left = all->rows; left; left -= args.rows) {
        args.rows = left < COUNTED_ROWS ? left : COUNTED_ROWS;
        if (args.o_in && args.o_out)
            fire_blocks(&args, true, true);
        else if (args.o_in)
            fire_blocks(&args, true, false);
        else if (args.o_out)
            fire_blocks(&args, false, true);
        else
            fire_blocks(&args, false, false);
        args.x += args.rows * args.ldx;
        args.level = (uint8_t *)args.level + args.rows * args.ldl * a_level;
        args.count += args.rows;
        if (args.o_in)
            args.o_in += args.rows * args.ldo_in;
        if (args.o_out)
            args.o_out += args.rows * args.ldo_out;
    }
}

/* Rows that are brought into order together. */
#define ORDER_ROWS 8

/* Channels up to which permutations of whole vectors beat a load and a store an element. */
#define MOST_PERMUTED 1024

static AVX512 TSPK_ALWAYS_INLINE __m512i load_words(const void *from, size_t at, bool is_wide)
{
    if (is_wide)
        return _mm512_loadu_si512((const int16_t *)from + at);
    return _mm512_cvtepi8_epi16(_mm256_loadu_si256((const __m256i *)((const int8_t *)from + at)));
}

static AVX512 TSPK_ALWAYS_INLINE __m512i join_words(__m512i low, __m512i high)
{
    return _mm512_inserti64x4(_mm512_castsi256_si512(_mm512_cvtepi32_epi16(low)),
                              _mm512_cvtepi32_epi16(high), 1);
}

/* 32 positions of some rows, as words: from every 64 channels those that belong here. */
static AVX512 TSPK_ALWAYS_INLINE void reorder_block(size_t rows, size_t lanes, size_t channels,
                                                    const uint32_t *order, bool is_wide,
                                                    const void *from, size_t ldf, void *to,
                                                    size_t ldt)
{
    const __mmask32 there = lanes == 32 ? ~(__mmask32)0 : ((__mmask32)1 << lanes) - 1;
    const __m512i low = _mm512_maskz_loadu_epi32((__mmask16)there, order);
    const __m512i high = _mm512_maskz_loadu_epi32((__mmask16)(there >> 16), order + 16);
    const __m512i index = join_words(low, high);
    const __m512i block = join_words(_mm512_srli_epi32(low, 6), _mm512_srli_epi32(high, 6));
    __m512i sum[ORDER_ROWS];

#pragma GCC unroll 8
    for (size_t r = 0; r < rows; r++)
        sum[r] = _mm512_setzero_si512();
    for (size_t c = 0; c < channels; c += TSPK_FIRE_LANES) {
        const __mmask32 here =
            _mm512_cmpeq_epi16_mask(block, _mm512_set1_epi16((short)(c / TSPK_FIRE_LANES)));

#pragma GCC unroll 8
        for (size_t r = 0; r < rows; r++)
            sum[r] = _mm512_mask_mov_epi16(
                sum[r], here,
                _mm512_permutex2var_epi16(load_words(from, r * ldf + c, is_wide), index,
                                          load_words(from, r * ldf + c + 32, is_wide)));
    }
#pragma GCC unroll 8
    for (size_t r = 0; r < rows; r++)
        if (is_wide)
            _mm512_mask_storeu_epi16((int16_t *)to + r * ldt, there, sum[r]);
        else
            _mm256_mask_storeu_epi8((int8_t *)to + r * ldt, there, _mm512_cvtepi16_epi8(sum[r]));
}

static AVX512 TSPK_ALWAYS_INLINE void reorder_rows(size_t rows, size_t n, size_t channels,
                                                   const uint32_t *order, bool is_wide,
                                                   const uint8_t *from, size_t ldf, uint8_t *to,
                                                   size_t ldt)
{
    const size_t bytes = is_wide ? 2 : 1;

    for (size_t i = 0; i < n; i += 32) {
        const size_t lanes = n - i < 32 ? n - i : 32;
        size_t r = 0;

        for (; r + ORDER_ROWS <= rows; r += ORDER_ROWS)
            reorder_block(ORDER_ROWS, lanes, channels, order + i, is_wide, from + r * ldf * bytes,
                          ldf, to + (r * ldt + i) * bytes, ldt);
        for (; r < rows; r++)
            reorder_block(1, lanes, channels, order + i, is_wide, from + r * ldf * bytes, ldf,
                          to + (r * ldt + i) * bytes, ldt);
    }
}

static AVX512 void reorder(size_t rows, size_t n, size_t channels, const uint32_t *order,
                           bool is_wide, const void *from, size_t ldf, void *to, size_t ldt)
{
    if (channels > MOST_PERMUTED)
        tspk_reorder_levels(rows, n, channels, order, is_wide, from, ldf, to, ldt);
    else if (is_wide)
        reorder_rows(rows, n, channels, order, true, from, ldf, to, ldt);
    else
        reorder_rows(rows, n, channels, order, false, from, ldf, to, ldt);
}

static AVX512 TSPK_ALWAYS_INLINE void gemm_block(size_t rows, size_t inner, const float *a,
                                                 size_t lda, const float *b, const float *bias,
                                                 size_t n, float *out, size_t ldo)
{
    const __mmask16 lanes = (__mmask16)((1u << n) - 1);
    const __m512 offset = bias ? _mm512_maskz_loadu_ps(lanes, bias) : _mm512_setzero_ps();
    __m512 sum[BLOCK_ROWS], part[BLOCK_ROWS];

#pragma GCC unroll 12
    for (size_t r = 0; r < rows; r++)
        sum[r] = _mm512_setzero_ps();
    for (size_t from = 0; from < inner; from += TSPK_GEMM_BLOCK) {
        const size_t to = inner - from < TSPK_GEMM_BLOCK ? inner : from + TSPK_GEMM_BLOCK;

#pragma GCC unroll 12
        for (size_t r = 0; r < rows; r++)
            part[r] = _mm512_setzero_ps();
        for (size_t k = from; k < to; k++) {
            const __m512 line = _mm512_loadu_ps(b + k * 16);

#pragma GCC unroll 12
            for (size_t r = 0; r < rows; r++)
                part[r] = _mm512_fmadd_ps(_mm512_set1_ps(a[r * lda + k]), line, part[r]);
        }
#pragma GCC unroll 12
        for (size_t r = 0; r < rows; r++)
            sum[r] = _mm512_add_ps(sum[r], part[r]);
    }
#pragma GCC unroll 12
    for (size_t r = 0; r < rows; r++)
        _mm512_mask_storeu_ps(out + r * ldo, lanes, bias ? _mm512_add_ps(sum[r], offset) : sum[r]);
}

static AVX512 void gemm_f32(size_t rows, size_t inner, const float *a, size_t lda, const float *b,
                            const float *bias, size_t n, float *out, size_t ldo)
{
    size_t r = 0;

    for (; r + BLOCK_ROWS <= rows; r += BLOCK_ROWS)
        gemm_block(BLOCK_ROWS, inner, a + r * lda, lda, b, bias, n, out + r * ldo, ldo);
    for (; r + 4 <= rows; r += 4)
        gemm_block(4, inner, a + r * lda, lda, b, bias, n, out + r * ldo, ldo);
    for (; r < rows; r++)
        gemm_block(1, inner, a + r * lda, lda, b, bias, n, out + r * ldo, ldo);
}

const tspk_row_kernels tspk_row_kernels_avx512 = {
    .name = "avx512",
    .fire = fire,
    .reorder = reorder,
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
