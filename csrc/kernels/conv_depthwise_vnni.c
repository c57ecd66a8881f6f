/* Depthwise convolution of u8 for AVX-512 with VNNI: see conv_depthwise.h. */
#include "kernels/conv_depthwise.h"

#ifdef __x86_64__
#pragma GCC target("avx2,fma,avx512f,avx512bw,avx512dq,avx512vl,avx512vnni")
#include <immintrin.h>

enum {
    QUAD = TT_CONV_DEPTHWISE_QUAD,
    VECTOR_BYTES = 64,
    MAX_VECTORS = 4,
    MAX_TILE = 8
};

#define INLINE static inline __attribute__((always_inline))
/* Loops of their own: together they would not leave registers for the pointers. */
#define LOOP static __attribute__((noinline))

/* ---- the buffer ------------------------------------------------------------------- */

/* 64 bytes of each of four rows -> per channel the four bytes. */
INLINE void interleave_wide(__m512i a, __m512i b, __m512i c, __m512i d, uint8_t *to)
{
    __m512i ab_low = _mm512_unpacklo_epi8(a, b), ab_high = _mm512_unpackhi_epi8(a, b);
    __m512i cd_low = _mm512_unpacklo_epi8(c, d), cd_high = _mm512_unpackhi_epi8(c, d);
    _mm512_store_si512(to, _mm512_unpacklo_epi16(ab_low, cd_low));
    _mm512_store_si512(to + VECTOR_BYTES, _mm512_unpackhi_epi16(ab_low, cd_low));
    _mm512_store_si512(to + 2 * VECTOR_BYTES, _mm512_unpacklo_epi16(ab_high, cd_high));
    _mm512_store_si512(to + 3 * VECTOR_BYTES, _mm512_unpackhi_epi16(ab_high, cd_high));
}

/* The same of 16 bytes. */
INLINE void interleave_narrow(__m128i a, __m128i b, __m128i c, __m128i d, uint8_t *to)
{
    const __m512i across =
        _mm512_setr_epi32(0, 4, 8, 12, 1, 5, 9, 13, 2, 6, 10, 14, 3, 7, 11, 15);
    const __m512i within = _mm512_broadcast_i32x4(
        _mm_setr_epi8(0, 4, 8, 12, 1, 5, 9, 13, 2, 6, 10, 14, 3, 7, 11, 15));
    __m512i all = _mm512_castsi128_si512(a);
    all = _mm512_inserti32x4(all, b, 1);
    all = _mm512_inserti32x4(all, c, 2);
    all = _mm512_inserti32x4(all, d, 3);
    all = _mm512_permutexvar_epi32(across, all);
    _mm512_store_si512(to, _mm512_shuffle_epi8(all, within));
}

INLINE __m128i load(const uint8_t *from, __mmask16 mask, const bool is_full)
{
    if (is_full) return _mm_loadu_si128((const __m128i *)(const void *)from);
    return _mm_maskz_loadu_epi8(mask, from);
}

/* One column of a block; vectors: 4 of a wide one, 1 of a narrow one. */
INLINE void fill_column(const uint8_t *a, const uint8_t *b, const uint8_t *c,
                        const uint8_t *d, uint8_t *to, __mmask16 mask,
                        const int vectors, const bool is_full)
{
    if (vectors == 1)
        interleave_narrow(load(a, mask, is_full), load(b, mask, is_full),
                          load(c, mask, is_full), load(d, mask, is_full), to);
    else
        interleave_wide(_mm512_loadu_si512(a), _mm512_loadu_si512(b),
                        _mm512_loadu_si512(c), _mm512_loadu_si512(d), to);
}

INLINE void fill_nothing(uint8_t *to, int64_t n_vectors, uint8_t zero_point)
{
    for (int64_t i = 0; i < n_vectors; ++i)
        _mm512_store_si512(to + i * VECTOR_BYTES, _mm512_set1_epi8((char)zero_point));
}

/* Columns [x, x + n) of the image, from one quad of rows. */
INLINE void fill_quad(const tt_conv_depthwise_row *row, int64_t quad, int64_t x,
                      int64_t n, uint8_t *to, const int vectors, const bool is_full)
{
    const tt_conv_depthwise *k = row->kernel;
    const __mmask16 mask = (__mmask16)((1u << row->n_channels % 32) - 1);
    const int column = vectors * VECTOR_BYTES;
    int64_t first = x < 0 ? -x : 0, last = k->src_w - x;
    const uint8_t *const *rows = row->rows + quad * QUAD;
    const uint8_t *a = rows[0], *b = rows[1], *c = rows[2], *d = rows[3];
    int64_t channels = k->channels, at;
    if (first > n) first = n;
    if (last > n) last = n;
    if (last < first) last = first;
    at = (x + first) * channels + row->channel;
    fill_nothing(to, first * vectors, k->src_zero_point);
    for (int64_t i = first; i < last; ++i, at += channels)
        fill_column(a + at, b + at, c + at, d + at, to + i * column, mask, vectors,
                    is_full);
    fill_nothing(to + last * column, (n - last) * vectors, k->src_zero_point);
}

/* The same from four neighbours in a single row; behind the last one are none. */
INLINE void fill_single(const tt_conv_depthwise_row *row, int64_t quad, int64_t x,
                        int64_t n, uint8_t *to, const int vectors, const bool is_full)
{
    const tt_conv_depthwise *k = row->kernel;
    const __mmask16 mask = (__mmask16)((1u << row->n_channels % 32) - 1);
    const uint8_t *const *rows = row->rows + quad * QUAD;
    const uint8_t *nothing = rows[1] + row->channel;
    const uint8_t *four[QUAD] = {nothing, nothing, nothing, nothing};
    for (int64_t i = 1 - QUAD; i < n; ++i) {
        int64_t at = x + i + QUAD - 1;
        bool is_there = at >= 0 && at < k->src_w && i + QUAD - 1 < n;
        for (int j = 1; j < QUAD; ++j)
            four[j - 1] = four[j];
        four[QUAD - 1] = is_there ? rows[0] + at * k->channels + row->channel : nothing;
        if (i >= 0)
            fill_column(four[0], four[1], four[2], four[3],
                        to + i * vectors * VECTOR_BYTES, mask, vectors, is_full);
    }
}

#define FILL(name, vectors, is_full)                                          \
    LOOP void name(const tt_conv_depthwise_row *row, int64_t quad, int64_t x, \
                   int64_t n, uint8_t *to)                                    \
    {                                                                         \
        if (row->kernel->kernel_h - quad * QUAD == 1)                         \
            fill_single(row, quad, x, n, to, vectors, is_full);               \
        else                                                                  \
            fill_quad(row, quad, x, n, to, vectors, is_full);                 \
    }
FILL(fill_wide, MAX_VECTORS, true)
FILL(fill_narrow, 1, true)
FILL(fill_rest, 1, false)

INLINE void fill(const tt_conv_depthwise_row *row, int64_t n, const int vectors,
                 const bool is_full)
{
    const tt_conv_depthwise *k = row->kernel;
    int64_t first = row->x * k->stride_w - k->pad_w;
    uint8_t *to = row->buffer;
    for (int64_t quad = 0; quad * QUAD < k->kernel_h; ++quad) {
        if (vectors > 1)
            fill_wide(row, quad, first, n, to);
        else if (is_full)
            fill_narrow(row, quad, first, n, to);
        else
            fill_rest(row, quad, first, n, to);
        to += n * vectors * VECTOR_BYTES;
    }
}

/* ---- sums ------------------------------------------------------------------------- */

/* What is the same for all tiles of a row. */
typedef struct {
    const float *multiplier, *offset;
    __m512 low, high;
    __mmask16 mask; /* of a narrow block */
    int64_t step;   /* bytes from pixel to pixel of dst */
    int64_t quad_bytes;
    const int8_t *weights;
} constants;

INLINE __m512 scale(const constants *c, __m512i total, int vector, const bool is_plain)
{
    __m512 x = _mm512_fmadd_ps(_mm512_cvtepi32_ps(total),
                               _mm512_loadu_ps(c->multiplier + vector * 16),
                               _mm512_loadu_ps(c->offset + vector * 16));
    return is_plain ? x : _mm512_min_ps(_mm512_max_ps(x, c->low), c->high);
}

INLINE void store_narrow(const constants *c, __m512i total, char *to,
                         const tt_dtype dst, const bool is_full)
{
    __m512 x = scale(c, total, 0, /*is_plain=*/false);
    __m128i bytes;
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

/* The same for four pixels of a whole block, in bytes. */
INLINE void store_narrow4(const constants *c, const __m512i *total, char *to,
                          const tt_dtype dst, const bool is_plain)
{
    const __m512i by_pixel =
        _mm512_setr_epi32(0, 4, 8, 12, 1, 5, 9, 13, 2, 6, 10, 14, 3, 7, 11, 15);
    __m512i x[4], low, high, bytes;
#pragma GCC unroll 4
    for (int i = 0; i < 4; ++i)
        x[i] = _mm512_cvtps_epi32(scale(c, total[i], 0, is_plain));
    low = _mm512_packs_epi32(x[0], x[1]);
    high = _mm512_packs_epi32(x[2], x[3]);
    bytes =
        dst == TT_U8 ? _mm512_packus_epi16(low, high) : _mm512_packs_epi16(low, high);
    bytes = _mm512_permutexvar_epi32(by_pixel, bytes);
    _mm_storeu_si128((__m128i *)(void *)to, _mm512_castsi512_si128(bytes));
    _mm_storeu_si128((__m128i *)(void *)(to + c->step),
                     _mm512_extracti32x4_epi32(bytes, 1));
    _mm_storeu_si128((__m128i *)(void *)(to + 2 * c->step),
                     _mm512_extracti32x4_epi32(bytes, 2));
    _mm_storeu_si128((__m128i *)(void *)(to + 3 * c->step),
                     _mm512_extracti32x4_epi32(bytes, 3));
}

/* The four vectors of a pixel, in the order of the channels. */
INLINE void store_wide(const constants *c, const __m512i *total, char *to,
                       const tt_dtype dst, const bool is_plain)
{
    const __m512i channels =
        _mm512_setr_epi32(0, 1, 2, 3, 16, 17, 18, 19, 32, 33, 34, 35, 48, 49, 50, 51);
    __m512 x0 = scale(c, total[0], 0, is_plain), x1 = scale(c, total[1], 1, is_plain);
    __m512 x2 = scale(c, total[2], 2, is_plain), x3 = scale(c, total[3], 3, is_plain);
    __m512i low, high;
    if (dst == TT_F32) {
        _mm512_i32scatter_ps(to, channels, x0, sizeof(float));
        _mm512_i32scatter_ps(to + 16, channels, x1, sizeof(float));
        _mm512_i32scatter_ps(to + 32, channels, x2, sizeof(float));
        _mm512_i32scatter_ps(to + 48, channels, x3, sizeof(float));
        return;
    }
    low = _mm512_packs_epi32(_mm512_cvtps_epi32(x0), _mm512_cvtps_epi32(x1));
    high = _mm512_packs_epi32(_mm512_cvtps_epi32(x2), _mm512_cvtps_epi32(x3));
    _mm512_storeu_si512(to, dst == TT_U8 ? _mm512_packus_epi16(low, high)
                                         : _mm512_packs_epi16(low, high));
}

/* The intrinsic copies the sums when registers are short. */
INLINE __m512i dot(__m512i sums, const uint8_t *src, __m512i weights)
{
    __asm__("vpdpbusd %2, %1, %0"
            : "+v"(sums)
            : "v"(_mm512_load_si512(src)), "v"(weights));
    return sums;
}

/* Adds a dot product of n pixels, `apart` bytes from one to the next. */
INLINE void add_products(__m512i (*total)[MAX_VECTORS], const uint8_t *from,
                         const int8_t *weights, const int n, const int vectors,
                         const int64_t apart)
{
#pragma GCC unroll 4
    for (int v = 0; v < vectors; ++v) {
        __m512i w = _mm512_loadu_si512(weights + v * VECTOR_BYTES);
#pragma GCC unroll 8
        for (int i = 0; i < n; ++i)
            total[i][v] = dot(total[i][v], from + i * apart + v * VECTOR_BYTES, w);
    }
}

/* `n` pixels that begin at `from` in the buffer. */
INLINE void tile(const constants *c, const uint8_t *from, char *to, const int n,
                 const int vectors, const int64_t kernel_h, const int64_t kernel_w,
                 const int64_t stride, const tt_dtype dst, const bool is_full,
                 const bool is_plain)
{
    const bool has_single = tt_conv_depthwise_has_single(kernel_h);
    const int64_t n_quads = tt_conv_depthwise_quads(kernel_h - has_single);
    const int column = vectors * VECTOR_BYTES;
    const int8_t *weights = c->weights;
    __m512i total[MAX_TILE][MAX_VECTORS];
#pragma GCC unroll 8
    for (int i = 0; i < n; ++i)
#pragma GCC unroll 4
        for (int v = 0; v < vectors; ++v)
            total[i][v] = _mm512_setzero_si512();
    for (int64_t quad = 0; quad < n_quads; ++quad, from += c->quad_bytes)
        for (int64_t j = 0; j < kernel_w; ++j, weights += column)
            add_products(total, from + j * column, weights, n, vectors,
                         stride * column);
    if (has_single)
        for (int64_t j = 0; j < kernel_w; j += QUAD, weights += column)
            add_products(total, from + j * column, weights, n, vectors,
                         stride * column);
    if (vectors == 1 && is_full && dst != TT_F32 && n % 4 == 0) {
#pragma GCC unroll 2
        for (int i = 0; i < n; i += 4) {
            const __m512i four[4] = {total[i][0], total[i + 1][0], total[i + 2][0],
                                     total[i + 3][0]};
            store_narrow4(c, four, to + i * c->step, dst, is_plain);
        }
        return;
    }
#pragma GCC unroll 8
    for (int i = 0; i < n; ++i)
        if (vectors == 1)
            store_narrow(c, total[i][0], to + i * c->step, dst, is_full);
        else
            store_wide(c, total[i], to + i * c->step, dst, is_plain);
}

INLINE void run_tiles(const tt_conv_depthwise_row *row, const constants *c,
                      const int vectors, const int64_t kernel_h, const int64_t kernel_w,
                      const int64_t stride, const tt_dtype dst, const bool is_full,
                      const bool is_plain)
{
    const int n = vectors == 1 ? 8 : 4;
    const uint8_t *from = row->buffer;
    char *to = row->dst;
    int64_t left = row->n;
    for (; left >= n; left -= n) {
        tile(c, from, to, n, vectors, kernel_h, kernel_w, stride, dst, is_full,
             is_plain);
        from += n * stride * vectors * VECTOR_BYTES;
        to += n * c->step;
    }
    for (; left > 0; --left) {
        tile(c, from, to, 1, vectors, kernel_h, kernel_w, stride, dst, is_full,
             is_plain);
        from += stride * vectors * VECTOR_BYTES;
        to += c->step;
    }
}

/* u8 of whole blocks is what matters; the rest shares one body. */
INLINE void run_block(const tt_conv_depthwise_row *row, const int vectors,
                      const int64_t kernel_h, const int64_t kernel_w,
                      const int64_t stride, const bool is_full)
{
    const tt_conv_depthwise *k = row->kernel;
    int64_t n = (row->n - 1) * stride + kernel_w;
    constants c = {.multiplier = row->multiplier,
                   .offset = row->offset,
                   .low = _mm512_set1_ps(k->low),
                   .high = _mm512_set1_ps(k->high),
                   .mask = (__mmask16)((1u << row->n_channels % 32) - 1),
                   .step = k->channels * (k->dst == TT_F32 ? 4 : 1),
                   .quad_bytes = n * vectors * VECTOR_BYTES,
                   .weights = row->weights};
    fill(row, n, vectors, is_full);
    if (tt_conv_depthwise_is_plain(k))
        run_tiles(row, &c, vectors, kernel_h, kernel_w, stride, TT_U8, is_full,
                  /*is_plain=*/true);
    else
        run_tiles(row, &c, vectors, kernel_h, kernel_w, stride, k->dst, is_full,
                  /*is_plain=*/false);
}

INLINE void run(const tt_conv_depthwise_row *row, const int64_t kernel_h,
                const int64_t kernel_w, const int64_t stride)
{
    if (row->n_channels == TT_CONV_DEPTHWISE_WIDE)
        run_block(row, MAX_VECTORS, kernel_h, kernel_w, stride, /*is_full=*/true);
    else if (row->n_channels == TT_CONV_DEPTHWISE_NARROW)
        run_block(row, 1, kernel_h, kernel_w, stride, /*is_full=*/true);
    else
        run_block(row, 1, kernel_h, kernel_w, stride, /*is_full=*/false);
}

static void run_any(const tt_conv_depthwise_row *row)
{
    const tt_conv_depthwise *k = row->kernel;
    const bool is_square = k->kernel_h == k->kernel_w;
    if (is_square && k->kernel_w == 3 && k->stride_w == 1)
        run(row, 3, 3, 1);
    else if (is_square && k->kernel_w == 3 && k->stride_w == 2)
        run(row, 3, 3, 2);
    else if (is_square && k->kernel_w == 5 && k->stride_w == 1)
        run(row, 5, 5, 1);
    else
        run(row, k->kernel_h, k->kernel_w, k->stride_w);
}

const tt_conv_depthwise_table tt_conv_depthwise_vnni = {.name = "conv_depthwise:vnni",
                                                        .run = run_any};
#endif
