/* Depthwise convolution of u8 for AVX-512 with VNNI: see conv_depthwise.h. */
#include "kernels/conv_depthwise.h"

#ifdef __x86_64__
#pragma GCC target("avx2,fma,avx512f,avx512bw,avx512dq,avx512vl,avx512vnni")
#include <immintrin.h>

enum { QUAD = 4, COLUMN = 64, TILE = 8 };

#define INLINE static inline __attribute__((always_inline))

/* ---- the buffer ------------------------------------------------------------------- */

/* 16 bytes of each of four rows -> per channel the four bytes. */
INLINE __m512i interleave(__m128i a, __m128i b, __m128i c, __m128i d)
{
    const __m512i across =
        _mm512_setr_epi32(0, 4, 8, 12, 1, 5, 9, 13, 2, 6, 10, 14, 3, 7, 11, 15);
    const __m512i within = _mm512_broadcast_i32x4(
        _mm_setr_epi8(0, 4, 8, 12, 1, 5, 9, 13, 2, 6, 10, 14, 3, 7, 11, 15));
    __m512i all = _mm512_castsi128_si512(a);
    all = _mm512_inserti32x4(all, b, 1);
    all = _mm512_inserti32x4(all, c, 2);
    all = _mm512_inserti32x4(all, d, 3);
    return _mm512_shuffle_epi8(_mm512_permutexvar_epi32(across, all), within);
}

INLINE __m128i load(const uint8_t *from, __mmask16 mask, const bool is_full)
{
    if (is_full) return _mm_loadu_si128((const __m128i *)(const void *)from);
    return _mm_maskz_loadu_epi8(mask, from);
}

/* Columns [x, x + n) of the image, from one quad of rows. */
INLINE void fill_quad(const tt_conv_depthwise_row *row, int64_t quad, int64_t x,
                      int64_t n, uint8_t *to, const bool is_full)
{
    const tt_conv_depthwise *k = row->kernel;
    const uint8_t *const *from = row->rows + quad * QUAD;
    const int64_t *step = row->steps + quad * QUAD;
    const __m512i nothing = _mm512_set1_epi8((char)k->src_zero_point);
    const __mmask16 mask = (__mmask16)((1u << row->n_channels) - 1);
    bool is_one = k->kernel_h - quad * QUAD == 1;
    for (int64_t end = x + n; x < end; ++x, to += COLUMN) {
        __m512i made = nothing;
        if (x >= 0 && x < k->src_w) {
            __m128i a = load(from[0] + x * step[0], mask, is_full);
            if (is_one)
                made = _mm512_cvtepu8_epi32(a);
            else
                made = interleave(a, load(from[1] + x * step[1], mask, is_full),
                                  load(from[2] + x * step[2], mask, is_full),
                                  load(from[3] + x * step[3], mask, is_full));
        }
        _mm512_store_si512(to, made);
    }
}

/* ---- sums ------------------------------------------------------------------------- */

INLINE void store(const tt_conv_depthwise_row *row, __m512i total, char *to,
                  __mmask16 mask, __m512 multiplier, __m512 offset)
{
    const tt_conv_depthwise *k = row->kernel;
    __m512 x = _mm512_fmadd_ps(_mm512_cvtepi32_ps(total), multiplier, offset);
    x = _mm512_max_ps(x, _mm512_set1_ps(k->low));
    x = _mm512_min_ps(x, _mm512_set1_ps(k->high));
    if (k->dst == TT_F32) {
        _mm512_mask_storeu_ps(to, mask, x);
        return;
    }
    total = _mm512_cvtps_epi32(x);
    if (k->dst == TT_U8)
        _mm512_mask_cvtusepi32_storeu_epi8(to, mask, total);
    else
        _mm512_mask_cvtsepi32_storeu_epi8(to, mask, total);
}

/* `n` pixels that begin at `from` in the buffer. */
INLINE void tile(const tt_conv_depthwise_row *row, const uint8_t *from, char *to,
                 const int n, const int64_t kernel_w, const int64_t stride,
                 int64_t n_quads, int64_t quad_bytes)
{
    const tt_conv_depthwise *k = row->kernel;
    const int8_t *weights = row->weights;
    const __mmask16 mask = (__mmask16)((1u << row->n_channels) - 1);
    const __m512 multiplier = _mm512_loadu_ps(row->multiplier);
    const __m512 offset = _mm512_loadu_ps(row->offset);
    int64_t step = k->channels * (k->dst == TT_F32 ? 4 : 1);
    __m512i total[TILE];
#pragma GCC unroll 8
    for (int i = 0; i < n; ++i)
        total[i] = _mm512_setzero_si512();
    for (int64_t quad = 0; quad < n_quads; ++quad, from += quad_bytes)
        for (int64_t j = 0; j < kernel_w; ++j, weights += COLUMN) {
            __m512i w = _mm512_loadu_si512(weights);
#pragma GCC unroll 8
            for (int i = 0; i < n; ++i)
                total[i] = _mm512_dpbusd_epi32(
                    total[i], _mm512_load_si512(from + (i * stride + j) * COLUMN), w);
        }
#pragma GCC unroll 8
    for (int i = 0; i < n; ++i)
        store(row, total[i], to + i * step, mask, multiplier, offset);
}

INLINE void run(const tt_conv_depthwise_row *row, const int64_t kernel_w,
                const int64_t stride)
{
    const tt_conv_depthwise *k = row->kernel;
    int64_t n_quads = (k->kernel_h + QUAD - 1) / QUAD;
    int64_t n = (row->n - 1) * stride + kernel_w, quad_bytes = n * COLUMN, x = 0;
    int64_t step = k->channels * (k->dst == TT_F32 ? 4 : 1);
    for (int64_t quad = 0; quad < n_quads; ++quad) {
        uint8_t *to = row->buffer + quad * quad_bytes;
        int64_t first = row->x * stride - k->pad_w;
        if (row->n_channels == TT_CONV_DEPTHWISE_LANES)
            fill_quad(row, quad, first, n, to, /*is_full=*/true);
        else
            fill_quad(row, quad, first, n, to, /*is_full=*/false);
    }
    for (; x + TILE <= row->n; x += TILE)
        tile(row, row->buffer + x * stride * COLUMN, row->dst + x * step, TILE,
             kernel_w, stride, n_quads, quad_bytes);
    for (; x + 4 <= row->n; x += 4)
        tile(row, row->buffer + x * stride * COLUMN, row->dst + x * step, 4, kernel_w,
             stride, n_quads, quad_bytes);
    for (; x < row->n; ++x)
        tile(row, row->buffer + x * stride * COLUMN, row->dst + x * step, 1, kernel_w,
             stride, n_quads, quad_bytes);
}

static void run_any(const tt_conv_depthwise_row *row)
{
    const tt_conv_depthwise *k = row->kernel;
    if (k->kernel_w == 3 && k->stride_w == 1)
        run(row, 3, 1);
    else if (k->kernel_w == 3 && k->stride_w == 2)
        run(row, 3, 2);
    else if (k->kernel_w == 5 && k->stride_w == 1)
        run(row, 5, 1);
    else
        run(row, k->kernel_w, k->stride_w);
}

const tt_conv_depthwise_table tt_conv_depthwise_vnni = {.name = "conv_depthwise:vnni",
                                                        .run = run_any};
#endif
