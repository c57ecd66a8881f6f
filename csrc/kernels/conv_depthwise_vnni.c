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

INLINE void fill_nothing(uint8_t *to, int64_t n, __m512i nothing)
{
    for (int64_t i = 0; i < n; ++i)
        _mm512_store_si512(to + i * COLUMN, nothing);
}

/* Columns [x, x + n) of the image, from one quad of rows. */
INLINE void fill_quad(const tt_conv_depthwise_row *row, int64_t quad, int64_t x,
                      int64_t n, uint8_t *to, const bool is_full, const bool is_one)
{
    const tt_conv_depthwise *k = row->kernel;
    const int64_t *step = row->steps + quad * QUAD;
    const int64_t step_a = step[0], step_b = step[1], step_c = step[2],
                  step_d = step[3];
    const __m512i nothing = _mm512_set1_epi8((char)k->src_zero_point);
    const __mmask16 mask = (__mmask16)((1u << row->n_channels) - 1);
    int64_t first = x < 0 ? -x : 0, last = k->src_w - x;
    const uint8_t *a, *b, *c, *d;
    if (first > n) first = n;
    if (last > n) last = n;
    if (last < first) last = first;
    a = row->rows[quad * QUAD] + (x + first) * step_a;
    b = row->rows[quad * QUAD + 1] + (x + first) * step_b;
    c = row->rows[quad * QUAD + 2] + (x + first) * step_c;
    d = row->rows[quad * QUAD + 3] + (x + first) * step_d;
    fill_nothing(to, first, nothing);
    for (int64_t i = first; i < last; ++i) {
        __m512i made;
        if (is_one)
            made = _mm512_cvtepu8_epi32(load(a, mask, is_full));
        else
            made = interleave(load(a, mask, is_full), load(b, mask, is_full),
                              load(c, mask, is_full), load(d, mask, is_full));
        _mm512_store_si512(to + i * COLUMN, made);
        a += step_a;
        b += step_b;
        c += step_c;
        d += step_d;
    }
    fill_nothing(to + last * COLUMN, n - last, nothing);
}

INLINE void fill(const tt_conv_depthwise_row *row, int64_t quad, int64_t x, int64_t n,
                 uint8_t *to, const bool is_full)
{
    if (row->kernel->kernel_h - quad * QUAD == 1)
        fill_quad(row, quad, x, n, to, is_full, /*is_one=*/true);
    else
        fill_quad(row, quad, x, n, to, is_full, /*is_one=*/false);
}

/* ---- sums ------------------------------------------------------------------------- */

/* What is the same for all tiles of a row. */
typedef struct {
    __m512 multiplier, offset, low, high;
    __mmask16 mask;
    int64_t step; /* bytes from pixel to pixel of dst */
    int64_t n_quads, quad_bytes;
    const int8_t *weights;
} constants;

INLINE void store(const constants *c, __m512i total, char *to, const tt_dtype dst,
                  const bool is_full)
{
    __m512 x = _mm512_fmadd_ps(_mm512_cvtepi32_ps(total), c->multiplier, c->offset);
    __m128i bytes;
    x = _mm512_min_ps(_mm512_max_ps(x, c->low), c->high);
    if (dst == TT_F32) {
        _mm512_mask_storeu_ps(to, c->mask, x);
        return;
    }
    total = _mm512_cvtps_epi32(x);
    bytes = dst == TT_U8 ? _mm512_cvtusepi32_epi8(total) : _mm512_cvtsepi32_epi8(total);
    if (is_full)
        _mm_storeu_si128((__m128i *)(void *)to, bytes);
    else
        _mm_mask_storeu_epi8(to, c->mask, bytes);
}

/* `n` pixels that begin at `from` in the buffer. */
INLINE void tile(const constants *c, const uint8_t *from, char *to, const int n,
                 const int64_t kernel_w, const int64_t stride, const tt_dtype dst,
                 const bool is_full)
{
    const int8_t *weights = c->weights;
    __m512i total[TILE];
#pragma GCC unroll 8
    for (int i = 0; i < n; ++i)
        total[i] = _mm512_setzero_si512();
    for (int64_t quad = 0; quad < c->n_quads; ++quad, from += c->quad_bytes)
#pragma GCC unroll 5
        for (int64_t j = 0; j < kernel_w; ++j, weights += COLUMN) {
            __m512i w = _mm512_loadu_si512(weights);
#pragma GCC unroll 8
            for (int i = 0; i < n; ++i)
                total[i] = _mm512_dpbusd_epi32(
                    total[i], _mm512_load_si512(from + (i * stride + j) * COLUMN), w);
        }
#pragma GCC unroll 8
    for (int i = 0; i < n; ++i)
        store(c, total[i], to + i * c->step, dst, is_full);
}

INLINE void run_tiles(const tt_conv_depthwise_row *row, const constants *c,
                      const int64_t kernel_w, const int64_t stride, const tt_dtype dst,
                      const bool is_full)
{
    const uint8_t *from = row->buffer;
    char *to = row->dst;
    int64_t left = row->n;
    for (; left >= TILE; left -= TILE) {
        tile(c, from, to, TILE, kernel_w, stride, dst, is_full);
        from += TILE * stride * COLUMN;
        to += TILE * c->step;
    }
    for (; left > 0; --left) {
        tile(c, from, to, 1, kernel_w, stride, dst, is_full);
        from += stride * COLUMN;
        to += c->step;
    }
}

INLINE void run(const tt_conv_depthwise_row *row, const int64_t kernel_w,
                const int64_t stride)
{
    const tt_conv_depthwise *k = row->kernel;
    const bool is_full = row->n_channels == TT_CONV_DEPTHWISE_LANES;
    int64_t n = (row->n - 1) * stride + kernel_w;
    constants c = {.multiplier = _mm512_loadu_ps(row->multiplier),
                   .offset = _mm512_loadu_ps(row->offset),
                   .low = _mm512_set1_ps(k->low),
                   .high = _mm512_set1_ps(k->high),
                   .mask = (__mmask16)((1u << row->n_channels) - 1),
                   .step = k->channels * (k->dst == TT_F32 ? 4 : 1),
                   .n_quads = (k->kernel_h + QUAD - 1) / QUAD,
                   .quad_bytes = n * COLUMN,
                   .weights = row->weights};
    for (int64_t quad = 0; quad < c.n_quads; ++quad) {
        uint8_t *to = row->buffer + quad * c.quad_bytes;
        int64_t first = row->x * stride - k->pad_w;
        if (is_full)
            fill(row, quad, first, n, to, /*is_full=*/true);
        else
            fill(row, quad, first, n, to, /*is_full=*/false);
    }
    if (is_full && k->dst == TT_U8)
        run_tiles(row, &c, kernel_w, stride, TT_U8, /*is_full=*/true);
    else
        run_tiles(row, &c, kernel_w, stride, k->dst, /*is_full=*/false);
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
