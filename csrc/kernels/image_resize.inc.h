/* Weighted sums of pixels, compiled once per instruction set.
 *
 * Across: 16 rows are turned so that one vector holds the same sample of each; then
 * every tap is one multiplication whatever the number of channels.  Down: rows are
 * added up 64 samples at a time.  Vectors are GCC's portable ones; integers are
 * unsigned where they may wrap. */
#include <string.h>

#include "kernels/image_resize.h"

#if defined(__AVX2__)
#include <immintrin.h>
#endif

#define LANES TT_IMAGE_LANES

typedef uint8_t vb __attribute__((vector_size(16)));
typedef int32_t vi4 __attribute__((vector_size(16)));

/* Vectors of the width that the processor has; GROUPS of them are 16 lanes. */
#if defined(__AVX512F__)
enum { WIDTH = 16 };
#elif defined(__AVX2__)
enum { WIDTH = 8 };
#else
enum { WIDTH = 4 };
#endif
enum { GROUPS = LANES / WIDTH };
typedef int32_t vi __attribute__((vector_size(4 * WIDTH)));
typedef uint32_t vu __attribute__((vector_size(4 * WIDTH)));
typedef float vf __attribute__((vector_size(4 * WIDTH)));

/* Bytes to words and back, the words being 0 to 255.  GCC would convert item by item. */
#if defined(__AVX512F__)
static inline vi load_bytes(const uint8_t *p)
{
    return (vi)_mm512_cvtepu8_epi32(_mm_loadu_si128((const void *)p));
}
static inline void store_bytes(uint8_t *p, vi v)
{
    _mm_storeu_si128((void *)p, _mm512_cvtepi32_epi8((__m512i)v));
}
#elif defined(__AVX2__)
static inline vi load_bytes(const uint8_t *p)
{
    return (vi)_mm256_cvtepu8_epi32(_mm_loadl_epi64((const void *)p));
}
static inline void store_bytes(uint8_t *p, vi v)
{
    __m128i low = _mm256_castsi256_si128((__m256i)v);
    __m128i words = _mm_packs_epi32(low, _mm256_extracti128_si256((__m256i)v, 1));
    _mm_storel_epi64((void *)p, _mm_packus_epi16(words, words));
}
#else
static inline vi load_bytes(const uint8_t *p)
{
    return (vi){p[0], p[1], p[2], p[3]};
}
static inline void store_bytes(uint8_t *p, vi v)
{
    for (int i = 0; i < WIDTH; ++i)
        p[i] = (uint8_t)v[i];
}
#endif

static inline vu load_words(const void *p)
{
    vu v;
    memcpy(&v, p, sizeof v);
    return v;
}
static inline vf load_floats(const float *p)
{
    vf v;
    memcpy(&v, p, sizeof v);
    return v;
}
static inline vb load_b(const uint8_t *p)
{
    vb v;
    memcpy(&v, p, sizeof v);
    return v;
}

/* Each (sum + half) >> bits, clipped to a byte. */
static inline void store_rounded(uint8_t *p, const vu *sum, int bits)
{
    for (int g = 0; g < GROUPS; ++g) {
        vi v = (vi)(sum[g] + (1u << (bits - 1))) >> bits;
        v &= ~(v < 0);
        v = (v & (v <= 255)) | ((v > 255) & 255);
        store_bytes(p + g * WIDTH, v);
    }
}

/* Each clipped to 0..255 (NaN to 0) and rounded, halves to even, by adding 1.5 * 2^23. */
static inline void store_nearest(uint8_t *p, const vf *sum)
{
    const vf zero = {0}, high = zero + 255.0f;
    for (int g = 0; g < GROUPS; ++g) {
        vi above = sum[g] > zero, below = sum[g] < high;
        vi v = (vi)sum[g] & above;
        v = (v & below) | ((vi)high & above & ~below);
        store_bytes(p + g * WIDTH, (vi)((vf)v + 12582912.0f) & 255);
    }
}

/* ---- turning ---------------------------------------------------------------- */

/* 16 x 16 bytes, in place: four rounds that interleave v[i] and v[i + 8]. */
static inline void turn_bytes(vb *v)
{
    for (int round = 0; round < 4; ++round) {
        vb w[LANES];
        for (int i = 0; i < 8; ++i) {
            w[2 * i] = __builtin_shuffle(
                v[i], v[i + 8],
                (vb){0, 16, 1, 17, 2, 18, 3, 19, 4, 20, 5, 21, 6, 22, 7, 23});
            w[2 * i + 1] = __builtin_shuffle(
                v[i], v[i + 8],
                (vb){8, 24, 9, 25, 10, 26, 11, 27, 12, 28, 13, 29, 14, 30, 15, 31});
        }
        memcpy(v, w, sizeof w);
    }
}

/* n bytes of 16 rows -> n x 16 */
static void tile_of_bytes(const void *const *rows, int64_t n, uint8_t *tile)
{
    int64_t i = 0;
    for (; i + LANES <= n; i += LANES) {
        vb v[LANES];
        for (int r = 0; r < LANES; ++r)
            v[r] = load_b((const uint8_t *)rows[r] + i);
        turn_bytes(v);
        memcpy(tile + i * LANES, v, sizeof v);
    }
    for (; i < n; ++i)
        for (int r = 0; r < LANES; ++r)
            tile[i * LANES + r] = ((const uint8_t *)rows[r])[i];
}

/* n x 16 bytes -> 16 rows; n is a multiple of 16 */
static void rows_of_bytes(const uint8_t *sums, int64_t n, void *const *dst)
{
    for (int64_t i = 0; i < n; i += LANES) {
        vb v[LANES];
        memcpy(v, sums + i * LANES, sizeof v);
        turn_bytes(v);
        for (int r = 0; r < LANES; ++r)
            memcpy((uint8_t *)dst[r] + i, &v[r], sizeof v[r]);
    }
}

/* 4 x 4 words */
static inline void turn_words(vi4 *v)
{
    vi4 a = __builtin_shuffle(v[0], v[2], (vi4){0, 4, 1, 5});
    vi4 b = __builtin_shuffle(v[1], v[3], (vi4){0, 4, 1, 5});
    vi4 c = __builtin_shuffle(v[0], v[2], (vi4){2, 6, 3, 7});
    vi4 d = __builtin_shuffle(v[1], v[3], (vi4){2, 6, 3, 7});
    v[0] = __builtin_shuffle(a, b, (vi4){0, 4, 1, 5});
    v[1] = __builtin_shuffle(a, b, (vi4){2, 6, 3, 7});
    v[2] = __builtin_shuffle(c, d, (vi4){0, 4, 1, 5});
    v[3] = __builtin_shuffle(c, d, (vi4){2, 6, 3, 7});
}

/* n words of 16 rows -> n x 16 */
static void tile_of_words(const void *const *rows, int64_t n, int32_t *tile)
{
    int64_t i = 0;
    vi4 v[4];
    for (; i + 4 <= n; i += 4)
        for (int r = 0; r < LANES; r += 4) {
            for (int k = 0; k < 4; ++k)
                memcpy(&v[k], (const char *)rows[r + k] + i * 4, sizeof v[k]);
            turn_words(v);
            for (int k = 0; k < 4; ++k)
                memcpy(tile + (i + k) * LANES + r, &v[k], sizeof v[k]);
        }
    for (; i < n; ++i)
        for (int r = 0; r < LANES; ++r)
            memcpy(tile + i * LANES + r, (const char *)rows[r] + i * 4, 4);
}

/* n x 16 words -> 16 rows; n is a multiple of 16 */
static void rows_of_words(const int32_t *sums, int64_t n, void *const *dst)
{
    vi4 v[4];
    for (int64_t i = 0; i < n; i += 4)
        for (int r = 0; r < LANES; r += 4) {
            for (int k = 0; k < 4; ++k)
                memcpy(&v[k], sums + (i + k) * LANES + r, sizeof v[k]);
            turn_words(v);
            for (int k = 0; k < 4; ++k)
                memcpy((char *)dst[r + k] + i * 4, &v[k], sizeof v[k]);
        }
}

/* ---- across ------------------------------------------------------------------- */

/* Sums of 16 lanes; `step` bytes or samples lie between taps. */
static inline void sum_bytes(const uint8_t *p, const uint32_t *w, int n, int64_t step,
                             vu *sum)
{
    memset(sum, 0, GROUPS * sizeof *sum);
    for (int t = 0; t < n; ++t)
        for (int g = 0; g < GROUPS; ++g)
            sum[g] += (vu)load_bytes(p + t * step + g * WIDTH) * w[t];
}
static inline void sum_as_floats(const uint8_t *p, const float *w, int n, int64_t step,
                                 vf *sum)
{
    memset(sum, 0, GROUPS * sizeof *sum);
    for (int t = 0; t < n; ++t)
        for (int g = 0; g < GROUPS; ++g) {
            vi words = load_bytes(p + t * step + g * WIDTH);
            sum[g] += __builtin_convertvector(words, vf) * w[t];
        }
}
static inline void sum_floats(const float *p, const float *w, int n, int64_t step,
                              vf *sum)
{
    memset(sum, 0, GROUPS * sizeof *sum);
    for (int t = 0; t < n; ++t)
        for (int g = 0; g < GROUPS; ++g)
            sum[g] += load_floats(p + t * step + g * WIDTH) * w[t];
}

static inline void sums_of_bytes(const tt_image_across *a, int64_t channels, bool round)
{
    const tt_image_axis *x = &a->resize->x;
    for (int64_t j = 0; j < x->n_dst; ++j) {
        const uint32_t *w = (const uint32_t *)x->weights + j * x->n_taps;
        const uint8_t *p = (const uint8_t *)a->tile + x->first[j] * channels * LANES;
        for (int64_t c = 0; c < channels; ++c) {
            int64_t at = (j * channels + c) * LANES;
            vu sum[GROUPS];
            sum_bytes(p + c * LANES, w, x->n_taps, channels * LANES, sum);
            if (round)
                store_rounded((uint8_t *)a->sums + at, sum, 22);
            else
                memcpy((uint32_t *)a->sums + at, sum, sizeof sum);
        }
    }
}

static inline void sums_in_float(const tt_image_across *a, int64_t channels)
{
    const tt_image_axis *x = &a->resize->x;
    int64_t step = channels * LANES;
    for (int64_t j = 0; j < x->n_dst; ++j) {
        const float *w = (const float *)x->weights + j * x->n_taps;
        for (int64_t c = 0; c < channels; ++c) {
            int64_t at = x->first[j] * step + c * LANES;
            vf sum[GROUPS];
            if (a->resize->is_float)
                sum_floats((const float *)a->tile + at, w, x->n_taps, step, sum);
            else
                sum_as_floats((const uint8_t *)a->tile + at, w, x->n_taps, step, sum);
            memcpy((float *)a->sums + j * step + c * LANES, sum, sizeof sum);
        }
    }
}

static void across(const tt_image_across *a)
{
    int64_t channels = a->resize->n_channels;
    int64_t n = a->resize->x.n_dst * channels, room = (n + LANES - 1) / LANES * LANES;
    tt_image_math math = a->resize->math;
    if (a->resize->is_float)
        tile_of_words(a->rows, a->resize->x.n_src * channels, a->tile);
    else
        tile_of_bytes(a->rows, a->resize->x.n_src * channels, a->tile);
    bool in_float = math == TT_IMAGE_FLOAT || math == TT_IMAGE_ROUNDED;
    if (in_float && channels == 3)
        sums_in_float(a, 3);
    else if (in_float)
        sums_in_float(a, channels);
    else if (math == TT_IMAGE_FIXED22 && channels == 3)
        sums_of_bytes(a, 3, /*round=*/true);
    else
        sums_of_bytes(a, channels, math == TT_IMAGE_FIXED22);
    if (math == TT_IMAGE_FIXED22)
        rows_of_bytes(a->sums, room, a->dst);
    else
        rows_of_words(a->sums, room, a->dst);
}

/* ---- down ----------------------------------------------------------------------- */

static inline void down_fixed11(const tt_image_down *d, int64_t at, uint8_t *dst)
{
    const uint32_t *w = d->weights;
    const char *p = d->rows + at * 4;
    vu sum[GROUPS] = {{0}};
    if (d->n_taps == 2) {
        for (int g = 0; g < GROUPS; ++g, p += WIDTH * 4) {
            vi one = (vi)load_words(p) >> 4;
            vi two = (vi)load_words(p + d->row_bytes) >> 4;
            one = (vi)((vu)one * w[0]) >> 16;
            two = (vi)((vu)two * w[1]) >> 16;
            sum[g] = (vu)(one + two);
        }
        store_rounded(dst, sum, 2);
        return;
    }
    for (int t = 0; t < d->n_taps; ++t)
        for (int g = 0; g < GROUPS; ++g)
            sum[g] += load_words(p + t * d->row_bytes + g * WIDTH * 4) * w[t];
    store_rounded(dst, sum, 22);
}

/* 16 samples from `at` on */
static inline void down_16(const tt_image_down *d, int64_t at, void *dst)
{
    if (d->math == TT_IMAGE_FIXED22) {
        vu sum[GROUPS];
        sum_bytes((const uint8_t *)d->rows + at, d->weights, d->n_taps, d->row_bytes,
                  sum);
        store_rounded(dst, sum, 22);
    } else if (d->math == TT_IMAGE_FIXED11) {
        down_fixed11(d, at, dst);
    } else {
        const float *rows = (const float *)(const void *)d->rows;
        vf sum[GROUPS];
        sum_floats(rows + at, d->weights, d->n_taps,
                   d->row_bytes / (int64_t)sizeof(float), sum);
        if (d->math == TT_IMAGE_FLOAT)
            memcpy(dst, sum, sizeof sum);
        else
            store_nearest(dst, sum);
    }
}

static void down(const tt_image_down *d)
{
    size_t item = d->math == TT_IMAGE_FLOAT ? sizeof(float) : 1;
    for (int64_t at = 0; at < d->n; at += LANES) {
        char *dst = (char *)d->dst + at * (int64_t)item;
        if (d->n - at >= LANES) {
            down_16(d, at, dst);
        } else {
            float last[LANES];
            down_16(d, at, last);
            memcpy(dst, last, (size_t)(d->n - at) * item);
        }
    }
}

#include "kernels/image_resize_pairs.inc.h"

const tt_image_resize_table IMAGE_TABLE = {IMAGE_NAME, across_pairs, across_quads,
                                           down_pairs, across,       down};
