/* Matrix transposition blocks with AVX2: square tiles in registers.
 *
 * Tiles: 8x8 of 4 bytes, 4x4 of 8 bytes, 8x8 of 2 bytes, 16x16 of 1 byte.  A
 * remainder is covered by a last tile that is moved back over the one before it.
 * Matrices with 2 to 4 rows or columns (pixels) have paths of their own; three
 * interleaved channels are the common case of images. */
#ifdef __x86_64__

#pragma GCC push_options
#pragma GCC target("avx2")

#include <immintrin.h>
#include <string.h>

#include "kernels/copy_transpose.h"

/* Calls tile(src, dst) for tiles of side x side items that cover the block. */
#define TILES(side, item_bytes, tile)                              \
    for (int64_t a0 = 0; a0 < n_a; a0 += (side)) {                 \
        int64_t a = a0 + (side) <= n_a ? a0 : n_a - (side);        \
        for (int64_t b0 = 0; b0 < n_b; b0 += (side)) {             \
            int64_t b = b0 + (side) <= n_b ? b0 : n_b - (side);    \
            tile(src + b * src_step + a * (item_bytes), src_step,  \
                 dst + a * dst_step + b * (item_bytes), dst_step); \
        }                                                          \
    }

static inline __m128i load_16(const char *p)
{
    return _mm_loadu_si128((const __m128i *)(const void *)p);
}

static inline void store_16(char *p, __m128i v)
{
    _mm_storeu_si128((__m128i *)(void *)p, v);
}

static inline __m128i load_8(const char *p)
{
    return _mm_loadl_epi64((const __m128i *)(const void *)p);
}

static inline void store_8(char *p, __m128i v)
{
    _mm_storel_epi64((__m128i *)(void *)p, v);
}

static inline void store_4(char *p, int v)
{
    memcpy(p, &v, 4);
}

/* 8 and 4 bytes. */
static inline __m128i load_12(const char *p)
{
    int last;
    memcpy(&last, p + 8, 4);
    return _mm_insert_epi32(load_8(p), last, 2);
}

static inline void store_12(char *p, __m128i v)
{
    store_8(p, v);
    store_4(p + 8, _mm_extract_epi32(v, 2));
}

/* ---- 4 bytes ------------------------------------------------------------- */

static inline void tile_4x8x8(const char *src, int64_t ss, char *dst, int64_t ds)
{
    for (int half = 0; half < 2; ++half, src += 16, dst += 4 * ds) {
        __m256 r[4], t[4], c[4];
        for (int i = 0; i < 4; ++i)
            r[i] = _mm256_insertf128_ps(
                _mm256_castps128_ps256(
                    _mm_loadu_ps((const float *)(const void *)(src + i * ss))),
                _mm_loadu_ps((const float *)(const void *)(src + (i + 4) * ss)), 1);
        t[0] = _mm256_unpacklo_ps(r[0], r[1]);
        t[1] = _mm256_unpackhi_ps(r[0], r[1]);
        t[2] = _mm256_unpacklo_ps(r[2], r[3]);
        t[3] = _mm256_unpackhi_ps(r[2], r[3]);
        c[0] = _mm256_shuffle_ps(t[0], t[2], 0x44);
        c[1] = _mm256_shuffle_ps(t[0], t[2], 0xee);
        c[2] = _mm256_shuffle_ps(t[1], t[3], 0x44);
        c[3] = _mm256_shuffle_ps(t[1], t[3], 0xee);
        for (int i = 0; i < 4; ++i)
            _mm256_storeu_ps((float *)(void *)(dst + i * ds), c[i]);
    }
}

static inline void transpose_4x4(__m128i *r)
{
    __m128i t0 = _mm_unpacklo_epi32(r[0], r[1]), t1 = _mm_unpackhi_epi32(r[0], r[1]);
    __m128i t2 = _mm_unpacklo_epi32(r[2], r[3]), t3 = _mm_unpackhi_epi32(r[2], r[3]);
    r[0] = _mm_unpacklo_epi64(t0, t2);
    r[1] = _mm_unpackhi_epi64(t0, t2);
    r[2] = _mm_unpacklo_epi64(t1, t3);
    r[3] = _mm_unpackhi_epi64(t1, t3);
}

static inline void tile_4x4x4(const char *src, int64_t ss, char *dst, int64_t ds)
{
    __m128i r[4];
    for (int i = 0; i < 4; ++i)
        r[i] = load_16(src + i * ss);
    transpose_4x4(r);
    for (int i = 0; i < 4; ++i)
        store_16(dst + i * ds, r[i]);
}

/* Three planes of 8 items <-> 24 interleaved items.  Item i of channel c stands at
 * 3 i + c, so inside a group of four each channel is one permutation, its own
 * inverse, and each vector takes its lanes by blending. */
static inline void interleave_4x3(const char *src, int64_t ss, char *dst)
{
    __m256 r = _mm256_loadu_ps((const float *)(const void *)src);
    __m256 g = _mm256_loadu_ps((const float *)(const void *)(src + ss));
    __m256 b = _mm256_loadu_ps((const float *)(const void *)(src + 2 * ss));
    __m256 o0, o1, o2;
    r = _mm256_permute_ps(r, 0x6c);
    g = _mm256_permute_ps(g, 0xb1);
    b = _mm256_permute_ps(b, 0xc6);
    o0 = _mm256_blend_ps(_mm256_blend_ps(r, g, 0x22), b, 0x44);
    o1 = _mm256_blend_ps(_mm256_blend_ps(g, b, 0x22), r, 0x44);
    o2 = _mm256_blend_ps(_mm256_blend_ps(b, r, 0x22), g, 0x44);
    _mm256_storeu_ps((float *)(void *)dst, _mm256_permute2f128_ps(o0, o1, 0x20));
    _mm256_storeu_ps((float *)(void *)(dst + 32), _mm256_permute2f128_ps(o2, o0, 0x30));
    _mm256_storeu_ps((float *)(void *)(dst + 64), _mm256_permute2f128_ps(o1, o2, 0x31));
}

static inline void deinterleave_4x3(const char *src, char *dst, int64_t ds)
{
    __m256 v0 = _mm256_loadu_ps((const float *)(const void *)src);
    __m256 v1 = _mm256_loadu_ps((const float *)(const void *)(src + 32));
    __m256 v2 = _mm256_loadu_ps((const float *)(const void *)(src + 64));
    __m256 o0 = _mm256_permute2f128_ps(v0, v1, 0x30);
    __m256 o1 = _mm256_permute2f128_ps(v0, v2, 0x21);
    __m256 o2 = _mm256_permute2f128_ps(v1, v2, 0x30);
    __m256 r = _mm256_blend_ps(_mm256_blend_ps(o0, o2, 0x22), o1, 0x44);
    __m256 g = _mm256_blend_ps(_mm256_blend_ps(o1, o0, 0x22), o2, 0x44);
    __m256 b = _mm256_blend_ps(_mm256_blend_ps(o2, o1, 0x22), o0, 0x44);
    _mm256_storeu_ps((float *)(void *)dst, _mm256_permute_ps(r, 0x6c));
    _mm256_storeu_ps((float *)(void *)(dst + ds), _mm256_permute_ps(g, 0xb1));
    _mm256_storeu_ps((float *)(void *)(dst + 2 * ds), _mm256_permute_ps(b, 0xc6));
}

/* n_b is 2 or 3: four rows of dst at a time. */
static void few_items_4(const char *src, int64_t ss, char *dst, int64_t ds, int64_t n_a,
                        int64_t n_b)
{
    int64_t a = 0;
    if (n_b == 3 && ds == 12)
        for (; a + 8 <= n_a; a += 8)
            interleave_4x3(src + a * 4, ss, dst + a * 12);
    for (; a + 4 <= n_a; a += 4) {
        __m128i r[4] = {load_16(src + a * 4), load_16(src + a * 4 + ss),
                        _mm_setzero_si128(), _mm_setzero_si128()};
        if (n_b == 3) r[2] = load_16(src + a * 4 + 2 * ss);
        transpose_4x4(r);
        for (int i = 0; i < 4; ++i)
            if (n_b == 3)
                store_12(dst + (a + i) * ds, r[i]);
            else
                store_8(dst + (a + i) * ds, r[i]);
    }
    tt_transpose_scalar(4)(src + a * 4, ss, dst + a * ds, ds, n_a - a, n_b);
}

/* n_a is 2 or 3: four rows of src at a time. */
static void few_rows_4(const char *src, int64_t ss, char *dst, int64_t ds, int64_t n_a,
                       int64_t n_b)
{
    int64_t b = 0;
    if (n_a == 3 && ss == 12)
        for (; b + 8 <= n_b; b += 8)
            deinterleave_4x3(src + b * 12, dst + b * 4, ds);
    for (; b + 4 <= n_b; b += 4) {
        __m128i r[4];
        for (int i = 0; i < 4; ++i)
            r[i] = n_a == 3 ? load_12(src + (b + i) * ss) : load_8(src + (b + i) * ss);
        transpose_4x4(r);
        for (int i = 0; i < n_a; ++i)
            store_16(dst + i * ds + b * 4, r[i]);
    }
    tt_transpose_scalar(4)(src + b * ss, ss, dst + b * 4, ds, n_a, n_b - b);
}

static void transpose_4(const char *src, int64_t src_step, char *dst, int64_t dst_step,
                        int64_t n_a, int64_t n_b)
{
    if (n_a >= 8 && n_b >= 8) {
        TILES(8, 4, tile_4x8x8)
    } else if (n_a >= 4 && n_b >= 4) {
        TILES(4, 4, tile_4x4x4)
    } else if (n_a >= 4 && n_b >= 2) {
        few_items_4(src, src_step, dst, dst_step, n_a, n_b);
    } else if (n_b >= 4 && n_a >= 2) {
        few_rows_4(src, src_step, dst, dst_step, n_a, n_b);
    } else {
        tt_transpose_scalar(4)(src, src_step, dst, dst_step, n_a, n_b);
    }
}

/* ---- 8 bytes ------------------------------------------------------------- */

static inline void tile_8x4x4(const char *src, int64_t ss, char *dst, int64_t ds)
{
    for (int half = 0; half < 2; ++half, src += 16, dst += 2 * ds) {
        __m256i r[2];
        __m256i even = _mm256_inserti128_si256(_mm256_castsi128_si256(load_16(src)),
                                               load_16(src + 2 * ss), 1);
        __m256i odd = _mm256_inserti128_si256(_mm256_castsi128_si256(load_16(src + ss)),
                                              load_16(src + 3 * ss), 1);
        r[0] = _mm256_unpacklo_epi64(even, odd);
        r[1] = _mm256_unpackhi_epi64(even, odd);
        for (int i = 0; i < 2; ++i)
            _mm256_storeu_si256((__m256i *)(void *)(dst + i * ds), r[i]);
    }
}

static void transpose_8(const char *src, int64_t src_step, char *dst, int64_t dst_step,
                        int64_t n_a, int64_t n_b)
{
    if (n_a >= 4 && n_b >= 4) {
        TILES(4, 8, tile_8x4x4)
    } else {
        tt_transpose_scalar(8)(src, src_step, dst, dst_step, n_a, n_b);
    }
}

/* ---- 1 and 2 bytes ------------------------------------------------------- */

/* Three vectors of whole pixels <-> three planes, for 16 items of 1 byte or 8 of
 * 2 bytes.  As 3 and the number of items have no common factor, moving item i of
 * channel c to place (3 i + c) mod n is a permutation: one shuffle per channel,
 * and blends. */
typedef struct {
    char scatter[3][16]; /* shuffle of each channel before blending */
    char gather[3][16];  /* and its inverse */
    char from[3][3][16]; /* [v][c]: bytes of vector v that come from channel c */
} pixel_tables;

static void build_tables(int item_bytes, pixel_tables *tables)
{
    int n = 16 / item_bytes;
    memset(tables, 0, sizeof *tables);
    for (int c = 0; c < 3; ++c)
        for (int i = 0; i < n; ++i)
            for (int k = 0; k < item_bytes; ++k) {
                int place = (3 * i + c) % n * item_bytes + k;
                tables->scatter[c][place] = (char)(i * item_bytes + k);
                tables->gather[c][i * item_bytes + k] = (char)place;
                tables->from[(3 * i + c) / n][c][place] = -1;
            }
}

static inline __m128i pick(const pixel_tables *tables, int v, const __m128i *in)
{
    __m128i x = _mm_blendv_epi8(in[0], in[1], load_16(tables->from[v][1]));
    return _mm_blendv_epi8(x, in[2], load_16(tables->from[v][2]));
}

/* The channel c out of three vectors. */
static inline __m128i pick_back(const pixel_tables *tables, int c, const __m128i *in)
{
    __m128i x = _mm_blendv_epi8(in[0], in[1], load_16(tables->from[1][c]));
    return _mm_blendv_epi8(x, in[2], load_16(tables->from[2][c]));
}

static int64_t interleave_small(int item_bytes, const char *src, int64_t ss, char *dst,
                                int64_t n_a)
{
    int64_t n = 16 / item_bytes, a = 0;
    pixel_tables tables;
    if (n_a < 2 * n) return 0;
    build_tables(item_bytes, &tables);
    for (; a + n <= n_a; a += n) {
        __m128i in[3];
        for (int c = 0; c < 3; ++c)
            in[c] = _mm_shuffle_epi8(load_16(src + a * item_bytes + c * ss),
                                     load_16(tables.scatter[c]));
        for (int v = 0; v < 3; ++v)
            store_16(dst + a * 3 * item_bytes + 16 * v, pick(&tables, v, in));
    }
    return a;
}

static int64_t deinterleave_small(int item_bytes, const char *src, char *dst,
                                  int64_t ds, int64_t n_b)
{
    int64_t n = 16 / item_bytes, b = 0;
    pixel_tables tables;
    if (n_b < 2 * n) return 0;
    build_tables(item_bytes, &tables);
    for (; b + n <= n_b; b += n) {
        __m128i in[3];
        for (int v = 0; v < 3; ++v)
            in[v] = load_16(src + b * 3 * item_bytes + 16 * v);
        for (int c = 0; c < 3; ++c)
            store_16(
                dst + b * item_bytes + c * ds,
                _mm_shuffle_epi8(pick_back(&tables, c, in), load_16(tables.gather[c])));
    }
    return b;
}

/* What tiles do not cover: pixels of three channels, else item by item. */
static void transpose_small(int item_bytes, const char *src, int64_t ss, char *dst,
                            int64_t ds, int64_t n_a, int64_t n_b)
{
    int64_t a = 0, b = 0;
    if (n_b == 3 && ds == 3 * item_bytes)
        a = interleave_small(item_bytes, src, ss, dst, n_a);
    else if (n_a == 3 && ss == 3 * item_bytes)
        b = deinterleave_small(item_bytes, src, dst, ds, n_b);
    tt_transpose_scalar(item_bytes)(src + a * item_bytes + b * ss, ss,
                                    dst + a * ds + b * item_bytes, ds, n_a - a,
                                    n_b - b);
}

static inline void tile_2x8x8(const char *src, int64_t ss, char *dst, int64_t ds)
{
    __m128i r[8], t[8];
    for (int i = 0; i < 8; ++i)
        r[i] = load_16(src + i * ss);
    for (int i = 0; i < 4; ++i) { /* rows i and i + 4: bit 2 of the row goes lowest */
        t[2 * i] = _mm_unpacklo_epi16(r[i], r[i + 4]);
        t[2 * i + 1] = _mm_unpackhi_epi16(r[i], r[i + 4]);
    }
    for (int i = 0; i < 4; ++i) {
        r[2 * i] = _mm_unpacklo_epi16(t[i], t[i + 4]);
        r[2 * i + 1] = _mm_unpackhi_epi16(t[i], t[i + 4]);
    }
    for (int i = 0; i < 4; ++i) {
        store_16(dst + 2 * i * ds, _mm_unpacklo_epi16(r[i], r[i + 4]));
        store_16(dst + (2 * i + 1) * ds, _mm_unpackhi_epi16(r[i], r[i + 4]));
    }
}

static void transpose_2(const char *src, int64_t src_step, char *dst, int64_t dst_step,
                        int64_t n_a, int64_t n_b)
{
    if (n_a >= 8 && n_b >= 8) {
        TILES(8, 2, tile_2x8x8)
    } else {
        transpose_small(2, src, src_step, dst, dst_step, n_a, n_b);
    }
}

static inline void tile_1x16x16(const char *src, int64_t ss, char *dst, int64_t ds)
{
    __m128i r[16], t[16];
    for (int i = 0; i < 16; ++i)
        r[i] = load_16(src + i * ss);
    for (int stage = 0; stage < 4; ++stage) {
        for (int i = 0; i < 8; ++i) {
            t[2 * i] = _mm_unpacklo_epi8(r[i], r[i + 8]);
            t[2 * i + 1] = _mm_unpackhi_epi8(r[i], r[i + 8]);
        }
        memcpy(r, t, sizeof r);
    }
    for (int i = 0; i < 16; ++i)
        store_16(dst + i * ds, r[i]);
}

static inline void tile_1x8x8(const char *src, int64_t ss, char *dst, int64_t ds)
{
    __m128i r[4], t[4];
    for (int i = 0; i < 4; ++i) /* rows i and i + 4 side by side */
        r[i] = _mm_unpacklo_epi8(load_8(src + i * ss), load_8(src + (i + 4) * ss));
    for (int i = 0; i < 2; ++i) {
        t[2 * i] = _mm_unpacklo_epi8(r[i], r[i + 2]);
        t[2 * i + 1] = _mm_unpackhi_epi8(r[i], r[i + 2]);
    }
    for (int i = 0; i < 2; ++i) {
        r[2 * i] = _mm_unpacklo_epi8(t[i], t[i + 2]);
        r[2 * i + 1] = _mm_unpackhi_epi8(t[i], t[i + 2]);
    }
    for (int i = 0; i < 4; ++i) {
        store_8(dst + 2 * i * ds, r[i]);
        store_8(dst + (2 * i + 1) * ds, _mm_unpackhi_epi64(r[i], r[i]));
    }
}

static void transpose_1(const char *src, int64_t src_step, char *dst, int64_t dst_step,
                        int64_t n_a, int64_t n_b)
{
    if (n_a >= 16 && n_b >= 16) {
        TILES(16, 1, tile_1x16x16)
    } else if (n_a >= 8 && n_b >= 8) {
        TILES(8, 1, tile_1x8x8)
    } else {
        transpose_small(1, src, src_step, dst, dst_step, n_a, n_b);
    }
}

tt_transpose tt_transpose_avx2(int item_bytes)
{
    switch (item_bytes) {
    case 1:
        return transpose_1;
    case 2:
        return transpose_2;
    case 4:
        return transpose_4;
    case 8:
        return transpose_8;
    default:
        return tt_transpose_scalar(item_bytes);
    }
}

#pragma GCC pop_options

#endif
