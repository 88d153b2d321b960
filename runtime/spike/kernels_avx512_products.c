/* SPDX-License-Identifier: Apache-2.0 */
/* Products of planes of levels with VNNI, and the packing of their right operands. */
#include "runtime/spike/kernels_avx512_dense.h"

#if TSPK_HAVE_X86
static const tspk_packing words = {TSPK_WIDTH_WORD, 2, 0};

/* Left operands of a product: a panel each, terms of the same operand share it. */
typedef struct left_panels {
    row_panel panel[TSPK_MAX_TERMS];
    size_t of_term[TSPK_MAX_TERMS];
} left_panels;

static AVX512 TSPK_ALWAYS_INLINE void make_left(const bool is_byte, const tspk_product_args *args,
                                                size_t first, size_t rows, left_panels *left)
{
    const size_t a_panel = tspk_avx512_panel_bytes(1, args->inner);
    size_t n = 0;

    for (size_t i = 0; i < args->n_terms; i++) {
        size_t same = 0;

        while (same < i && args->term[same].a != args->term[i].a)
            same++;
        if (same < i) {
            left->of_term[i] = left->of_term[same];
            continue;
        }
        left->of_term[i] = n;
        left->panel[n] =
            carve_panel(is_byte, 1, args->inner, (uint8_t *)args->scratch + n * a_panel);
        make_panel(is_byte, rows, 1, args->inner, args->term[i].a + first * args->lda, args->lda,
                   &left->panel[n]);
        n++;
    }
}

/* Terms are added in the output, which stays in the first cache. */
static AVX512 TSPK_ALWAYS_INLINE void product_block(const size_t tiles, const bool is_byte,
                                                    const size_t whole,
                                                    const tspk_product_args *args,
                                                    const left_panels *left, size_t first,
                                                    size_t row, size_t column)
{
    const size_t steps =
        whole ? whole * CHUNK_STEPS : tspk_pad_step(args->inner) / step_of(is_byte);
    const size_t tile_bytes = steps * CHUNK_BYTES, block = row / BLOCK_ROWS, ldo = args->ldo;
    const size_t rows = args->rows - first - row, n_terms = args->n_terms;
    const tspk_product_term *const term = args->term;
    float *const out = args->out + (first + row) * ldo + column;
    bool is_first = args->is_first;

    for (size_t i = 0; i < n_terms; i++, is_first = false) {
        const row_panel *const panel = &left->panel[left->of_term[i]];
        const __m512 factor = _mm512_set1_ps(term[i].factor);
        __m512i sum[BLOCK_ROWS * MOST_TILES];

        sum_group(tiles, is_byte, whole, steps, panel->level + block * panel->block_bytes,
                  panel->start + block * START_ROWS,
                  (const uint8_t *)term[i].b + column / TSPK_LANES * tile_bytes, tile_bytes, sum);
#pragma GCC unroll 6
        for (size_t r = 0; r < BLOCK_ROWS; r++) {
            if (r >= rows)
                break;
#pragma GCC unroll 4
            for (size_t c = 0; c < tiles; c++) {
                float *const to = out + r * ldo + c * TSPK_LANES;
                const __m512 before = is_first ? _mm512_setzero_ps() : _mm512_loadu_ps(to);

                _mm512_storeu_ps(
                    to, _mm512_fmadd_ps(_mm512_cvtepi32_ps(sum[r * tiles + c]), factor, before));
            }
        }
    }
}

/* Some tiles of all rows of the panels. */
static AVX512 TSPK_ALWAYS_INLINE void product_tiles(const size_t tiles, const bool is_byte,
                                                    const size_t whole,
                                                    const tspk_product_args *args,
                                                    const left_panels *left, size_t first,
                                                    size_t rows, size_t tile)
{
    for (size_t row = 0; row < rows; row += BLOCK_ROWS)
        product_block(tiles, is_byte, whole, args, left, first, row, tile * TSPK_LANES);
}

/* By threes, and by fours where threes would leave one tile or two. */
static AVX512 TSPK_ALWAYS_INLINE void product_rows(const bool is_byte, const size_t whole,
                                                   const tspk_product_args *args)
{
    const size_t tiles = args->columns / TSPK_LANES;
    left_panels left;

    for (size_t first = 0; first < args->rows; first += PANEL_ROWS) {
        const size_t most = args->rows - first, rows = most < PANEL_ROWS ? most : PANEL_ROWS;
        size_t tile = 0;

        make_left(is_byte, args, first, rows, &left);
        while (tiles - tile >= 3) {
            const size_t n = tiles - tile;

            if (n % 3 == 1 || (n % 3 == 2 && n >= 8)) {
                product_tiles(4, is_byte, whole, args, &left, first, rows, tile);
                tile += 4;
            } else {
                product_tiles(3, is_byte, whole, args, &left, first, rows, tile);
                tile += 3;
            }
        }
        if (tiles - tile == 2)
            product_tiles(2, is_byte, whole, args, &left, first, rows, tile);
        else if (tiles > tile)
            product_tiles(1, is_byte, whole, args, &left, first, rows, tile);
    }
}

AVX512 void tspk_avx512_product(const tspk_product_args *args)
{
    const bool is_byte = args->width == TSPK_WIDTH_BYTE;

    if (is_byte && tspk_pad_step(args->inner) == 64)
        product_rows(true, 1, args);
    else if (is_byte)
        product_rows(true, 0, args);
    else
        product_rows(false, 0, args);
}

/* --- right operands made of levels --- */

/* Bytes of 16 columns at four positions: the words of two positions become one word of two bytes.
 */
static AVX512 TSPK_ALWAYS_INLINE __m512i join_positions(__m256i a, __m256i b, __m256i c, __m256i d)
{
    const __m256i low = _mm256_set1_epi16(0xff);
    const __m256i first = _mm256_or_si256(_mm256_and_si256(a, low), _mm256_slli_epi16(b, 8));
    const __m256i second = _mm256_or_si256(_mm256_and_si256(c, low), _mm256_slli_epi16(d, 8));
    const __m512i joined = _mm512_or_si512(_mm512_cvtepu16_epi32(first),
                                           _mm512_slli_epi32(_mm512_cvtepu16_epi32(second), 16));

    return _mm512_xor_si512(joined, _mm512_set1_epi8((char)BYTE_OFFSET));
}

static AVX512 void pack_byte_columns(size_t inner, size_t columns, const int16_t *level, size_t ldl,
                                     uint8_t *packed)
{
    for (size_t column = 0; column < columns; column += TSPK_LANES) {
        const __mmask16 mask = mask_of(columns, column);

        for (size_t p = 0; p < inner; p += 4, packed += CHUNK_BYTES) {
            __m256i row[4];

#pragma GCC unroll 4
            for (size_t i = 0; i < 4; i++)
                row[i] = _mm256_maskz_loadu_epi16(p + i < inner ? mask : 0,
                                                  level + (p + i) * ldl + column);
            _mm512_storeu_si512(packed, join_positions(row[0], row[1], row[2], row[3]));
        }
    }
}

/* 16 rows of 16 double words become their columns. */
static AVX512 TSPK_ALWAYS_INLINE void transpose_steps(__m512i *row)
{
    __m512i part[16];

#pragma GCC unroll 8
    for (size_t i = 0; i < 16; i += 2) {
        part[i] = _mm512_unpacklo_epi32(row[i], row[i + 1]);
        part[i + 1] = _mm512_unpackhi_epi32(row[i], row[i + 1]);
    }
#pragma GCC unroll 4
    for (size_t i = 0; i < 16; i += 4)
#pragma GCC unroll 2
        for (size_t k = 0; k < 2; k++) {
            row[i + 2 * k] = _mm512_unpacklo_epi64(part[i + k], part[i + k + 2]);
            row[i + 2 * k + 1] = _mm512_unpackhi_epi64(part[i + k], part[i + k + 2]);
        }
        /* row[4 i + j]: column 4 l + j of rows 4 i to 4 i + 3 in 128-bit lane l */
#pragma GCC unroll 4
    for (size_t j = 0; j < 4; j++) {
        part[j] = _mm512_shuffle_i32x4(row[j], row[4 + j], 0x88);
        part[4 + j] = _mm512_shuffle_i32x4(row[j], row[4 + j], 0xdd);
        part[8 + j] = _mm512_shuffle_i32x4(row[8 + j], row[12 + j], 0x88);
        part[12 + j] = _mm512_shuffle_i32x4(row[8 + j], row[12 + j], 0xdd);
    }
#pragma GCC unroll 4
    for (size_t j = 0; j < 4; j++) {
        row[j] = _mm512_shuffle_i32x4(part[j], part[8 + j], 0x88);
        row[8 + j] = _mm512_shuffle_i32x4(part[j], part[8 + j], 0xdd);
        row[4 + j] = _mm512_shuffle_i32x4(part[4 + j], part[12 + j], 0x88);
        row[12 + j] = _mm512_shuffle_i32x4(part[4 + j], part[12 + j], 0xdd);
    }
}

static AVX512 void pack_byte_rows(size_t inner, size_t columns, const int16_t *level, size_t ldl,
                                  uint8_t *packed)
{
    const size_t steps = tspk_pad_step(inner) / 4;
    const __m512i offset = _mm512_set1_epi8((char)BYTE_OFFSET);

    for (size_t column = 0; column < columns; column += TSPK_LANES)
        for (size_t first = 0; first < steps; first += CHUNK_STEPS) {
            const size_t left = steps - first, p = 4 * first;
            __m512i row[TSPK_LANES];

#pragma GCC unroll 16
            for (size_t i = 0; i < TSPK_LANES; i++) {
                row[i] = offset;
                if (column + i < columns)
                    row[i] = _mm512_xor_si512(offset, load_bytes(level + (column + i) * ldl + p,
                                                                 inner - p < 64 ? inner - p : 64));
            }
            transpose_steps(row);
#pragma GCC unroll 16
            for (size_t i = 0; i < TSPK_LANES; i++)
                if (i < left)
                    _mm512_storeu_si512(packed + i * CHUNK_BYTES, row[i]);
            packed += (left < CHUNK_STEPS ? left : CHUNK_STEPS) * CHUNK_BYTES;
        }
}

AVX512 void tspk_avx512_pack_columns(tspk_width width, size_t inner, size_t columns,
                                     const int16_t *level, size_t ldl, void *packed)
{
    if (width == TSPK_WIDTH_BYTE)
        pack_byte_columns(inner, columns, level, ldl, packed);
    else
        tspk_pack_levels(words, inner, columns, level, ldl, 1, packed);
}

AVX512 void tspk_avx512_pack_rows(tspk_width width, size_t inner, size_t columns,
                                  const int16_t *level, size_t ldl, void *packed)
{
    if (width == TSPK_WIDTH_BYTE)
        pack_byte_rows(inner, columns, level, ldl, packed);
    else
        tspk_pack_levels(words, inner, columns, level, 1, ldl, packed);
}
#endif
