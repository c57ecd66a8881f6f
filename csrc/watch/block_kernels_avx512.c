/* The loops over blocks with AVX-512: see block_kernels.h. */
#ifdef __x86_64__
#pragma GCC target("avx512f,avx512bw,avx512dq,avx512vl")

#include <immintrin.h>

#include "watch/block_kernels.h"

enum { N = 16 };

static inline __mmask16 lanes(int64_t n)
{
    return n >= N ? (__mmask16)0xffff : (__mmask16)((1u << n) - 1u);
}

/* Neither NaN nor infinite. */
static inline __mmask16 are_finite(__mmask16 lanes_in, __m512 v)
{
    return _mm512_mask_cmp_ps_mask(lanes_in, _mm512_abs_ps(v),
                                   _mm512_set1_ps(HUGE_VALF), _CMP_LT_OQ);
}

static inline __m512d low_half(__m512 v)
{
    return _mm512_cvtps_pd(_mm512_castps512_ps256(v));
}

static inline __m512d high_half(__m512 v)
{
    return _mm512_cvtps_pd(_mm512_extractf32x8_ps(v, 1));
}

static void scan_vectors(const float *x, int64_t n, tt_scan *out)
{
    __m512 low = _mm512_set1_ps(HUGE_VALF), high = _mm512_set1_ps(-HUGE_VALF);
    __m512d sum0 = _mm512_setzero_pd(), sum1 = _mm512_setzero_pd();
    int64_t n_finite = 0;
    for (int64_t i = 0; i < n; i += N) {
        __mmask16 in = lanes(n - i);
        __m512 v = _mm512_maskz_loadu_ps(in, x + i);
        __mmask16 ok = are_finite(in, v);
        low = _mm512_mask_min_ps(low, ok, low, v);
        high = _mm512_mask_max_ps(high, ok, high, v);
        v = _mm512_maskz_mov_ps(ok, v);
        sum0 = _mm512_add_pd(sum0, low_half(v));
        sum1 = _mm512_add_pd(sum1, high_half(v));
        n_finite += __builtin_popcount(ok);
    }
    out->n = n_finite;
    out->minimum = (double)_mm512_reduce_min_ps(low);
    out->maximum = (double)_mm512_reduce_max_ps(high);
    out->sum = _mm512_reduce_add_pd(_mm512_add_pd(sum0, sum1));
}

static double cells_of_vectors(const float *x, int64_t n, const tt_grid *grid,
                               double mean, uint16_t *out)
{
    const __m512 scale = _mm512_set1_ps((float)tt_grid_scale(grid->exponent));
    const __m512i first = _mm512_set1_epi32((int)grid->first);
    const __m512d center = _mm512_set1_pd(mean);
    __m512d m2a = _mm512_setzero_pd(), m2b = _mm512_setzero_pd();
    for (int64_t i = 0; i < n; i += N) {
        __mmask16 in = lanes(n - i);
        __m512 v = _mm512_maskz_loadu_ps(in, x + i), scaled;
        __mmask16 ok = are_finite(in, v);
        __m512i cell;
        __m512d a, b;
        /* rounded down, so that a product too small for a float stays below 0 */
        scaled =
            _mm512_mul_round_ps(v, scale, _MM_FROUND_TO_NEG_INF | _MM_FROUND_NO_EXC);
        cell =
            _mm512_cvt_roundps_epi32(scaled, _MM_FROUND_TO_NEG_INF | _MM_FROUND_NO_EXC);
        cell = _mm512_mask_sub_epi32(_mm512_set1_epi32(TT_GRID_CELLS), ok, cell, first);
        _mm256_mask_storeu_epi16(out + i, in, _mm512_cvtepi32_epi16(cell));
        a = _mm512_maskz_sub_pd((__mmask8)ok, low_half(v), center);
        b = _mm512_maskz_sub_pd((__mmask8)(ok >> 8), high_half(v), center);
        m2a = _mm512_fmadd_pd(a, a, m2a);
        m2b = _mm512_fmadd_pd(b, b, m2b);
    }
    return _mm512_reduce_add_pd(_mm512_add_pd(m2a, m2b));
}

/* Up to 16 columns from c on. */
static void strip(const float *x, int64_t stride, int64_t n_rows, int64_t c,
                  __mmask16 in, const tt_columns *out)
{
    __mmask8 in0 = (__mmask8)in, in1 = (__mmask8)(in >> 8);
    __m512 low = _mm512_set1_ps(HUGE_VALF), high = _mm512_set1_ps(-HUGE_VALF);
    __m512d sum0 = _mm512_setzero_pd(), sum1 = _mm512_setzero_pd(), old;
    __m512i n = _mm512_setzero_si512(), old_n;
    for (int64_t r = 0; r < n_rows; ++r) {
        __m512 v = _mm512_maskz_loadu_ps(in, x + r * stride + c);
        __mmask16 ok = are_finite(in, v);
        low = _mm512_mask_min_ps(low, ok, low, v);
        high = _mm512_mask_max_ps(high, ok, high, v);
        v = _mm512_maskz_mov_ps(ok, v);
        sum0 = _mm512_add_pd(sum0, low_half(v));
        sum1 = _mm512_add_pd(sum1, high_half(v));
        n = _mm512_mask_add_epi32(n, ok, n, _mm512_set1_epi32(1));
    }
#define MERGE(field, at, mask, op, value)                     \
    old = _mm512_maskz_loadu_pd(mask, out->field + c + (at)); \
    _mm512_mask_storeu_pd(out->field + c + (at), mask, op(old, value))
    MERGE(minimum, 0, in0, _mm512_min_pd, low_half(low));
    MERGE(minimum, 8, in1, _mm512_min_pd, high_half(low));
    MERGE(maximum, 0, in0, _mm512_max_pd, low_half(high));
    MERGE(maximum, 8, in1, _mm512_max_pd, high_half(high));
    MERGE(sum, 0, in0, _mm512_add_pd, sum0);
    MERGE(sum, 8, in1, _mm512_add_pd, sum1);
#undef MERGE
    old_n = _mm512_maskz_loadu_epi64(in0, out->n + c);
    old_n = _mm512_add_epi64(old_n, _mm512_cvtepi32_epi64(_mm512_castsi512_si256(n)));
    _mm512_mask_storeu_epi64(out->n + c, in0, old_n);
    old_n = _mm512_maskz_loadu_epi64(in1, out->n + c + 8);
    old_n =
        _mm512_add_epi64(old_n, _mm512_cvtepi32_epi64(_mm512_extracti32x8_epi32(n, 1)));
    _mm512_mask_storeu_epi64(out->n + c + 8, in1, old_n);
}

static void columns_of_vectors(const float *x, int64_t stride, int64_t n_rows,
                               int64_t n_columns, const tt_columns *out)
{
    for (int64_t c = 0; c < n_columns; c += N)
        strip(x, stride, n_rows, c, lanes(n_columns - c), out);
}

const tt_block_kernels tt_block_kernels_avx512 = {"avx512", scan_vectors,
                                                  cells_of_vectors, columns_of_vectors};

#else
typedef int tt_block_kernels_avx512_is_for_x86;
#endif
