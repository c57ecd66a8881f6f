/* Rows of depthwise convolutions; compiled per instruction set (simd.h).  DEPTHWISE_WORDS:
 * the processor rounds to bfloat16 by itself. */
#include <string.h>

#include "kernels/depthwise.h"
#include "kernels/item.h"
#include "kernels/post_ops.inc.h"

enum { TILE = TT_DEPTHWISE_TILE, LANES = TT_DEPTHWISE_LANES, WINDOW_MAX = 5 };

#define INLINE static inline __attribute__((always_inline))

/* One vector of channels of a row. */
typedef struct {
    const tt_depthwise_row *row;
    const float *weights;
    vf bias, low, high;
    int64_t channel, n_channels;
} strip;

/* How results end: most are bounded and stored whole. */
typedef enum { PLAIN_F32, PLAIN_BF16, ANY_END } ending;

/* ---- pixels ----------------------------------------------------------------------- */

static vf wide_some(const uint16_t *src, int64_t n)
{
    float lanes[VF_N];
    for (int i = 0; i < VF_N; ++i) {
        uint32_t bits = i < n ? (uint32_t)src[i] << 16 : 0;
        memcpy(&lanes[i], &bits, sizeof bits);
    }
    return vf_load(lanes);
}

INLINE vf wide(const uint16_t *src)
{
#if defined(__AVX512F__)
    __m256i halves = _mm256_loadu_si256((const __m256i *)(const void *)src);
    return (vf)_mm512_slli_epi32(_mm512_cvtepu16_epi32(halves), 16);
#elif defined(__AVX2__)
    __m128i halves = _mm_loadu_si128((const __m128i *)(const void *)src);
    return (vf)_mm256_slli_epi32(_mm256_cvtepu16_epi32(halves), 16);
#else
    return wide_some(src, VF_N);
#endif
}

/* Where the next pixel is; the compiler is kept from having all places in registers. */
INLINE const void *next(const void *at, int64_t step, const bool is_bf16)
{
    at = is_bf16 ? (const void *)((const uint16_t *)at + step)
                 : (const void *)((const float *)at + step);
    __asm__("" : "+r"(at));
    return at;
}

INLINE vf pixel_at(const void *src, int64_t at, const bool is_bf16, const strip *s,
                   const ending end)
{
    const uint16_t *halves = (const uint16_t *)src + at;
    const float *floats = (const float *)src + at;
    if (end == ANY_END && s->n_channels < VF_N)
        return is_bf16 ? wide_some(halves, s->n_channels)
                       : vf_load_n(floats, s->n_channels);
    return is_bf16 ? wide(halves) : vf_load(floats);
}

/* ---- results ---------------------------------------------------------------------- */

INLINE void store_words(const strip *s, vf x, uint16_t *to)
{
#ifdef DEPTHWISE_WORDS
    __mmask16 some = (__mmask16)((1u << s->n_channels) - 1);
    _mm256_mask_storeu_epi16(to, some, (__m256i)_mm512_cvtneps_pbh((__m512)x));
#else
    float lanes[VF_N];
    vf_store(lanes, x);
    for (int64_t i = 0; i < s->n_channels; ++i)
        to[i] = tt_bf16_from_f32(lanes[i]);
#endif
}

/* Post-ops, and parts of vectors. */
static void store_any(const strip *s, vf x, int64_t at)
{
    const tt_depthwise_row *row = s->row;
    const tt_post_ops *posts = &row->kernel->posts;
    if (posts->n > 0)
        x = posts_steps(posts, row->operands, x, at, s->channel, s->n_channels);
    if (row->kernel->is_dst_bf16)
        store_words(s, x, (uint16_t *)row->dst + at);
    else
        vf_store_n((float *)row->dst + at, x, s->n_channels);
}

INLINE void store(const strip *s, vf x, int64_t at, const ending end)
{
    x = vf_min(s->high, vf_max(s->low, x));
    if (end == PLAIN_F32)
        vf_store((float *)s->row->dst + at, x);
    else if (end == PLAIN_BF16)
        store_words(s, x, (uint16_t *)s->row->dst + at);
    else
        store_any(s, x, at);
}

/* ---- tiles ------------------------------------------------------------------------ */

/* Else the compiler would load it again for every product. */
#ifdef __x86_64__
#define KEEP(x) __asm__("" : "+v"(x))
#else
#define KEEP(x) (void)(x)
#endif

/* n outputs from pixel x on; window 0: of any width and step.  is_edge: pixels outside of
 * [0, src_w) are passed over. */
INLINE void tile(const strip *s, int64_t x, const bool is_bf16, const bool is_edge,
                 const int n, const int window, const int stride, int64_t at,
                 const ending end)
{
    const tt_conv_own *k = s->row->kernel;
    const float *weights = s->weights;
    int64_t step = k->src_x, left = k->src_w - x;
    vf sums[TILE];
#pragma GCC unroll 8
    for (int i = 0; i < n; ++i)
        sums[i] = s->bias;
    for (int64_t y = 0; y < k->kernel_h; ++y) {
        const void *from = next(s->row->rows[y], x * step + s->channel, is_bf16);
        vf w[WINDOW_MAX];
        if (window == 0) {
            for (int64_t j = 0; j < k->kernel_w; ++j, weights += LANES)
#pragma GCC unroll 8
                for (int i = 0; i < n; ++i) {
                    int64_t at_x = x + i * k->stride_w + j;
                    if (is_edge && (at_x < 0 || at_x >= k->src_w)) continue;
                    sums[i] = vf_fma(pixel_at(s->row->rows[y], at_x * step + s->channel,
                                              is_bf16, s, end),
                                     vf_load(weights), sums[i]);
                }
            continue;
        }
#pragma GCC unroll 8
        for (int j = 0; j < window; ++j)
            w[j] = vf_load(weights + j * LANES);
        weights += window * LANES;
#pragma GCC unroll 32
        for (int p = 0; p < (n - 1) * stride + window; ++p) {
            if (!is_edge || (p >= -x && p < left)) {
                vf pixel = pixel_at(from, 0, is_bf16, s, end);
                KEEP(pixel);
#pragma GCC unroll 8
                for (int j = 0; j < window; ++j)
                    if (p >= j && (p - j) % stride == 0 && (p - j) / stride < n)
                        sums[(p - j) / stride] =
                            vf_fma(pixel, w[j], sums[(p - j) / stride]);
            }
            from = next(from, step, is_bf16);
        }
    }
    step = k->dst_x;
#pragma GCC unroll 8
    for (int i = 0; i < n; ++i, at += step)
        store(s, sums[i], at, end);
}

/* n outputs from output i on. */
INLINE void outputs(const strip *s, const int n, const int window, const int stride,
                    int64_t i, const bool is_bf16, const ending end)
{
    const tt_conv_own *k = s->row->kernel;
    int64_t x = i * k->stride_w - k->pad_w, width = (n - 1) * k->stride_w + k->kernel_w;
    int64_t at = s->row->at + i * k->dst_x + s->channel;
    if (x < 0 || x + width > k->src_w)
        tile(s, x, is_bf16, /*is_edge=*/true, n, window, stride, at, end);
    else
        tile(s, x, is_bf16, /*is_edge=*/false, n, window, stride, at, end);
}

/* The last tile may do outputs again, unless they are added to what is there. */
INLINE void run_strip(const strip *s, const int window, const int stride,
                      const bool is_bf16, const ending end)
{
    const tt_conv_own *k = s->row->kernel;
    int64_t i = 0;
    for (; i + TILE <= k->dst_w; i += TILE)
        outputs(s, TILE, window, stride, i, is_bf16, end);
    if (i < k->dst_w && i > 0 && k->posts.n == 0) {
        outputs(s, TILE, window, stride, k->dst_w - TILE, is_bf16, end);
        return;
    }
    for (; i < k->dst_w; ++i)
        outputs(s, 1, window, stride, i, is_bf16, ANY_END);
}

INLINE void run_ending(const strip *s, const int window, const int stride,
                       const bool is_bf16, ending end)
{
    if (end == PLAIN_F32)
        run_strip(s, window, stride, is_bf16, PLAIN_F32);
    else if (end == PLAIN_BF16)
        run_strip(s, window, stride, is_bf16, PLAIN_BF16);
    else
        run_strip(s, window, stride, is_bf16, ANY_END);
}

/* The share of these channels in what is ahead. */
INLINE void fetch(const tt_depthwise_row *row, int64_t channel, int64_t n_channels)
{
    enum { LINE = 64 };
    int64_t n = row->kernel->dst_channels,
            end = channel + n_channels < n ? channel + n_channels : n;
    int64_t at = row->ahead_bytes * channel / n, last = row->ahead_bytes * end / n;
    for (; at < last; at += LINE)
        __builtin_prefetch(row->ahead + at, 0, /*into L2*/ 2);
}

#ifdef DEPTHWISE_WORDS
#include "kernels/depthwise_pairs.inc.h"
#endif

INLINE void run_row(const tt_depthwise_row *row, const int window, const int stride)
{
    const tt_conv_own *k = row->kernel;
    int64_t taps = k->kernel_h * k->kernel_w, c = 0;
    ending plain = k->posts.n > 0 ? ANY_END : k->is_dst_bf16 ? PLAIN_BF16 : PLAIN_F32;
    vf low = vf_set1(k->posts.has_clamp ? k->posts.low : -__builtin_inff());
    vf high = vf_set1(k->posts.has_clamp ? k->posts.high : __builtin_inff());
#ifdef DEPTHWISE_WORDS
    if (window > 0 && row->pairs != NULL) c = pair_row(row, window, stride, low, high);
#endif
    for (; c < k->dst_channels; c += VF_N) {
        strip s = {.row = row,
                   .weights = row->weights + c / LANES * taps * LANES + c % LANES,
                   .bias = vf_zero(),
                   .low = low,
                   .high = high,
                   .channel = c,
                   .n_channels =
                       k->dst_channels - c < VF_N ? k->dst_channels - c : VF_N};
        if (row->bias != NULL) s.bias = vf_load_n(row->bias + c, s.n_channels);
        fetch(row, c, VF_N);
        ending end = s.n_channels < VF_N ? ANY_END : plain;
        if (k->is_src_bf16)
            run_ending(&s, window, stride, /*is_bf16=*/true, end);
        else
            run_ending(&s, window, stride, /*is_bf16=*/false, end);
    }
}

#define ROW(window, stride)                                        \
    static __attribute__((noinline)) void row_##window##_##stride( \
        const tt_depthwise_row *row)                               \
    {                                                              \
        run_row(row, window, stride);                              \
    }
ROW(3, 1)
ROW(3, 2)
ROW(5, 1)
ROW(5, 2)
ROW(0, 0)

static void depthwise_run(const tt_depthwise_row *row)
{
    int64_t window = row->kernel->kernel_w, stride = row->kernel->stride_w;
    if (window == 3 && stride == 1)
        row_3_1(row);
    else if (window == 3 && stride == 2)
        row_3_2(row);
    else if (window == 5 && stride == 1)
        row_5_1(row);
    else if (window == 5 && stride == 2)
        row_5_2(row);
    else
        row_0_0(row);
}

const tt_depthwise_table TABLE = {TABLE_NAME, depthwise_run};
