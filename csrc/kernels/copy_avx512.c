/* Matrix transposition blocks with AVX-512: 16x16 tiles of 4 bytes, 8x8 of 8 bytes.
 * Four 128-bit pieces of four rows are loaded into one register, so that only two
 * steps of in-lane shuffles remain (32 for a 4-byte tile, 16 for an 8-byte one).
 * Smaller blocks and other item sizes are AVX2's. */
#ifdef __x86_64__

#pragma GCC push_options
#pragma GCC target("avx512f,avx512bw,avx512vl,avx512dq")

#include <immintrin.h>

#include "kernels/copy_transpose.h"

#define TILES(side, item_bytes, tile)                              \
    for (int64_t a0 = 0; a0 < n_a; a0 += (side)) {                 \
        int64_t a = a0 + (side) <= n_a ? a0 : n_a - (side);        \
        for (int64_t b0 = 0; b0 < n_b; b0 += (side)) {             \
            int64_t b = b0 + (side) <= n_b ? b0 : n_b - (side);    \
            tile(src + b * src_step + a * (item_bytes), src_step,  \
                 dst + a * dst_step + b * (item_bytes), dst_step); \
        }                                                          \
    }

/* 16 bytes of each of four rows that are `step` apart. */
static inline __m512i load_lanes(const char *p, int64_t step)
{
    __m512i v =
        _mm512_castsi128_si512(_mm_loadu_si128((const __m128i *)(const void *)p));
    v = _mm512_inserti32x4(
        v, _mm_loadu_si128((const __m128i *)(const void *)(p + step)), 1);
    v = _mm512_inserti32x4(
        v, _mm_loadu_si128((const __m128i *)(const void *)(p + 2 * step)), 2);
    return _mm512_inserti32x4(
        v, _mm_loadu_si128((const __m128i *)(const void *)(p + 3 * step)), 3);
}

static inline void tile_4x16x16(const char *src, int64_t ss, char *dst, int64_t ds)
{
    for (int quarter = 0; quarter < 4; ++quarter, src += 16, dst += 4 * ds) {
        __m512i r0 = load_lanes(src, 4 * ss), r1 = load_lanes(src + ss, 4 * ss);
        __m512i r2 = load_lanes(src + 2 * ss, 4 * ss);
        __m512i r3 = load_lanes(src + 3 * ss, 4 * ss);
        __m512i t0 = _mm512_unpacklo_epi32(r0, r1), t1 = _mm512_unpackhi_epi32(r0, r1);
        __m512i t2 = _mm512_unpacklo_epi32(r2, r3), t3 = _mm512_unpackhi_epi32(r2, r3);
        _mm512_storeu_si512(dst, _mm512_unpacklo_epi64(t0, t2));
        _mm512_storeu_si512(dst + ds, _mm512_unpackhi_epi64(t0, t2));
        _mm512_storeu_si512(dst + 2 * ds, _mm512_unpacklo_epi64(t1, t3));
        _mm512_storeu_si512(dst + 3 * ds, _mm512_unpackhi_epi64(t1, t3));
    }
}

static inline void tile_8x8x8(const char *src, int64_t ss, char *dst, int64_t ds)
{
    for (int quarter = 0; quarter < 4; ++quarter, src += 16, dst += 2 * ds) {
        __m512i even = load_lanes(src, 2 * ss), odd = load_lanes(src + ss, 2 * ss);
        _mm512_storeu_si512(dst, _mm512_unpacklo_epi64(even, odd));
        _mm512_storeu_si512(dst + ds, _mm512_unpackhi_epi64(even, odd));
    }
}

static void transpose_4(const char *src, int64_t src_step, char *dst, int64_t dst_step,
                        int64_t n_a, int64_t n_b)
{
    if (n_a >= 16 && n_b >= 16) {
        TILES(16, 4, tile_4x16x16)
    } else {
        tt_transpose_avx2(4)(src, src_step, dst, dst_step, n_a, n_b);
    }
}

static void transpose_8(const char *src, int64_t src_step, char *dst, int64_t dst_step,
                        int64_t n_a, int64_t n_b)
{
    if (n_a >= 8 && n_b >= 8) {
        TILES(8, 8, tile_8x8x8)
    } else {
        tt_transpose_avx2(8)(src, src_step, dst, dst_step, n_a, n_b);
    }
}

tt_transpose tt_transpose_avx512(int item_bytes)
{
    if (item_bytes == 4) return transpose_4;
    if (item_bytes == 8) return transpose_8;
    return tt_transpose_avx2(item_bytes);
}

#pragma GCC pop_options

#endif
