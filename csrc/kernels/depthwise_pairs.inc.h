/* Depthwise convolution of bfloat16 by products of pairs (AVX-512 BF16), 32 channels at a
 * time: half the multiplications of depthwise.inc.h, which includes this.
 *
 * Two rows of the window are one: the pixels of both at a place are interleaved, channel
 * by channel, and serve all columns of the window.  The last of an odd number of rows
 * pairs neighbouring pixels; where the window is odd too, the last pair has a weight of
 * 0 before its own.  Interleaving works within quarters of a register, so the sums are
 * of channels 8 q + [0, 4) and 8 q + [4, 8) for quarters q. */

enum { WORDS = TT_DEPTHWISE_PAIR_CHANNELS };

typedef struct {
    const tt_depthwise_row *row;
    const uint32_t *weights; /* of the block */
    __m512 bias[2];
    __m512 low, high;
    int64_t channel;
} pair_strip;

INLINE __m512i pair_pixel(const void *from, int64_t p, int64_t x, int64_t src_w,
                          const bool is_edge)
{
    if (is_edge && (x + p < 0 || x + p >= src_w)) return _mm512_setzero_si512();
    return _mm512_loadu_si512(from);
}

INLINE void pair_dot(__m512 *sum, __m512i pixels, __m512i weights)
{
    *sum = _mm512_dpbf16_ps(*sum, (__m512bh)pixels, (__m512bh)weights);
}

/* Both halves of the sums of 32 channels, as they lie in memory. */
INLINE void pair_store(const pair_strip *s, __m512 first, __m512 second, int64_t at,
                       const bool is_dst_bf16)
{
    first = _mm512_min_ps(s->high, _mm512_max_ps(s->low, first));
    second = _mm512_min_ps(s->high, _mm512_max_ps(s->low, second));
    if (is_dst_bf16) {
        const __m512i order = _mm512_setr_epi64(0, 4, 1, 5, 2, 6, 3, 7);
        __m512i words = (__m512i)_mm512_cvtne2ps_pbh(second, first);
        _mm512_storeu_si512((uint16_t *)s->row->dst + at,
                            _mm512_permutexvar_epi64(order, words));
    } else {
        const __m512i left = _mm512_setr_epi64(0, 1, 8, 9, 2, 3, 10, 11);
        const __m512i right = _mm512_setr_epi64(4, 5, 12, 13, 6, 7, 14, 15);
        float *to = (float *)s->row->dst + at;
        __m512i a = _mm512_castps_si512(first), b = _mm512_castps_si512(second);
        _mm512_storeu_si512(to, _mm512_permutex2var_epi64(a, left, b));
        _mm512_storeu_si512(to + LANES, _mm512_permutex2var_epi64(a, right, b));
    }
}

/* n outputs from pixel x on. */
INLINE void pair_tile(const pair_strip *s, int64_t x, const bool is_edge, const int n,
                      const int window, const int stride, int64_t at,
                      const bool is_dst_bf16)
{
    const tt_conv_own *k = s->row->kernel;
    const int n_pixels = (n - 1) * stride + window, n_pairs = (window + 1) / 2;
    const uint32_t *weights = s->weights;
    int64_t step = k->src_x, begin = x * step + s->channel, y = 0;
    __m512 first[TILE], second[TILE];
    __m512i w[2 * WINDOW_MAX];
#pragma GCC unroll 8
    for (int i = 0; i < n; ++i)
        first[i] = s->bias[0], second[i] = s->bias[1];
    for (; y + 1 < k->kernel_h; y += 2) {
        const void *upper = next(s->row->rows[y], begin, /*is_bf16=*/true);
        const void *lower = next(s->row->rows[y + 1], begin, /*is_bf16=*/true);
#pragma GCC unroll 16
        for (int j = 0; j < 2 * window; ++j, weights += LANES)
            w[j] = _mm512_loadu_si512(weights);
#pragma GCC unroll 32
        for (int p = 0; p < n_pixels; ++p) {
            __m512i a = pair_pixel(upper, p, x, k->src_w, is_edge);
            __m512i b = pair_pixel(lower, p, x, k->src_w, is_edge);
            __m512i pairs[2] = {_mm512_unpacklo_epi16(a, b),
                                _mm512_unpackhi_epi16(a, b)};
#pragma GCC unroll 8
            for (int j = 0; j < window; ++j)
                if (p >= j && (p - j) % stride == 0 && (p - j) / stride < n) {
                    pair_dot(&first[(p - j) / stride], pairs[0], w[2 * j]);
                    pair_dot(&second[(p - j) / stride], pairs[1], w[2 * j + 1]);
                }
            upper = next(upper, step, /*is_bf16=*/true);
            lower = next(lower, step, /*is_bf16=*/true);
        }
    }
    if (y < k->kernel_h) {
        const void *from = next(s->row->rows[y], begin, /*is_bf16=*/true);
        __m512i here = pair_pixel(from, 0, x, k->src_w, is_edge);
#pragma GCC unroll 8
        for (int j = 0; j < 2 * n_pairs; ++j, weights += LANES)
            w[j] = _mm512_loadu_si512(weights);
#pragma GCC unroll 32
        for (int p = 0; p + 1 < n_pixels; ++p) {
            from = next(from, step, /*is_bf16=*/true);
            __m512i there = pair_pixel(from, p + 1, x, k->src_w, is_edge);
            __m512i pairs[2] = {_mm512_unpacklo_epi16(here, there),
                                _mm512_unpackhi_epi16(here, there)};
#pragma GCC unroll 8
            for (int j = 0; j < n_pairs; ++j) {
                int column = tt_depthwise_pair_column(window, j);
                if (p >= column && (p - column) % stride == 0 &&
                    (p - column) / stride < n) {
                    pair_dot(&first[(p - column) / stride], pairs[0], w[2 * j]);
                    pair_dot(&second[(p - column) / stride], pairs[1], w[2 * j + 1]);
                }
            }
            here = there;
        }
    }
    step = k->dst_x;
#pragma GCC unroll 8
    for (int i = 0; i < n; ++i, at += step)
        pair_store(s, first[i], second[i], at, is_dst_bf16);
}

INLINE void pair_outputs(const pair_strip *s, const int n, const int window,
                         const int stride, int64_t i, const bool is_dst_bf16)
{
    const tt_conv_own *k = s->row->kernel;
    int64_t x = i * k->stride_w - k->pad_w, width = (n - 1) * k->stride_w + k->kernel_w;
    int64_t at = s->row->at + i * k->dst_x + s->channel;
    if (x < 0 || x + width > k->src_w)
        pair_tile(s, x, /*is_edge=*/true, n, window, stride, at, is_dst_bf16);
    else
        pair_tile(s, x, /*is_edge=*/false, n, window, stride, at, is_dst_bf16);
}

INLINE void pair_run(const pair_strip *s, const int window, const int stride,
                     const bool is_dst_bf16)
{
    int64_t i = 0, n = s->row->kernel->dst_w;
    for (; i + TILE <= n; i += TILE)
        pair_outputs(s, TILE, window, stride, i, is_dst_bf16);
    if (i < n && i > 0) {
        pair_outputs(s, TILE, window, stride, n - TILE, is_dst_bf16);
        return;
    }
    for (; i < n; ++i)
        pair_outputs(s, 1, window, stride, i, is_dst_bf16);
}

/* Blocks of 32 channels of a row; gives the first channel that is left. */
INLINE int64_t pair_row(const tt_depthwise_row *row, const int window, const int stride,
                        vf low, vf high)
{
    const tt_conv_own *k = row->kernel;
    int64_t c = 0, block = tt_depthwise_pair_words(k->kernel_h, k->kernel_w);
    for (; c + WORDS <= k->dst_channels; c += WORDS) {
        pair_strip s = {.row = row,
                        .weights = row->pairs + c / WORDS * block,
                        .low = (__m512)low,
                        .high = (__m512)high,
                        .channel = c};
        for (int half = 0; half < 2; ++half) {
            float bias[LANES] = {0};
            for (int lane = 0; row->bias != NULL && lane < LANES; ++lane)
                bias[lane] = row->bias[c + tt_depthwise_pair_channel(half, lane)];
            s.bias[half] = _mm512_loadu_ps(bias);
        }
        fetch(row, c, WORDS);
        if (k->is_dst_bf16)
            pair_run(&s, window, stride, /*is_dst_bf16=*/true);
        else
            pair_run(&s, window, stride, /*is_dst_bf16=*/false);
    }
    return c;
}
