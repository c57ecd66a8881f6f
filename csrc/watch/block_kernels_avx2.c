/* The loops over blocks with AVX2: see block_kernels.h.  What is left after the last
 * whole vector goes through the plain form. */
#ifdef __x86_64__
#pragma GCC target("avx2,fma")

#include <immintrin.h>

#include "watch/block_kernels.h"

enum { N = 8 };

/* All bits of the lanes that are neither NaN nor infinite. */
static inline __m256 are_finite(__m256 v)
{
    __m256 magnitude = _mm256_andnot_ps(_mm256_set1_ps(-0.0f), v);
    return _mm256_cmp_ps(magnitude, _mm256_set1_ps(HUGE_VALF), _CMP_LT_OQ);
}

static inline __m256d low_half(__m256 v)
{
    return _mm256_cvtps_pd(_mm256_castps256_ps128(v));
}

static inline __m256d high_half(__m256 v)
{
    return _mm256_cvtps_pd(_mm256_extractf128_ps(v, 1));
}

static inline double sum_of(__m256d v)
{
    double lanes[4];
    _mm256_storeu_pd(lanes, v);
    return lanes[0] + lanes[1] + (lanes[2] + lanes[3]);
}

static void scan_vectors(const float *x, int64_t n, tt_scan *out)
{
    __m256 low = _mm256_set1_ps(HUGE_VALF), high = _mm256_set1_ps(-HUGE_VALF);
    __m256d sum0 = _mm256_setzero_pd(), sum1 = _mm256_setzero_pd();
    float lows[N], highs[N];
    int64_t n_finite = 0, i = 0;
    for (; i + N <= n; i += N) {
        __m256 v = _mm256_loadu_ps(x + i), ok = are_finite(v);
        low = _mm256_min_ps(low, _mm256_blendv_ps(low, v, ok));
        high = _mm256_max_ps(high, _mm256_blendv_ps(high, v, ok));
        n_finite += __builtin_popcount((unsigned)_mm256_movemask_ps(ok));
        v = _mm256_and_ps(v, ok);
        sum0 = _mm256_add_pd(sum0, low_half(v));
        sum1 = _mm256_add_pd(sum1, high_half(v));
    }
    tt_block_kernels_ref.scan(x + i, n - i, out);
    out->n += n_finite;
    out->sum += sum_of(_mm256_add_pd(sum0, sum1));
    _mm256_storeu_ps(lows, low);
    _mm256_storeu_ps(highs, high);
    for (int k = 0; k < N; ++k) {
        if ((double)lows[k] < out->minimum) out->minimum = (double)lows[k];
        if ((double)highs[k] > out->maximum) out->maximum = (double)highs[k];
    }
}

static double cells_of_vectors(const float *x, int64_t n, const tt_grid *grid,
                               double mean, uint16_t *out)
{
    const __m256 scale = _mm256_set1_ps((float)tt_grid_scale(grid->exponent));
    const __m256 zero = _mm256_setzero_ps();
    const __m256i first = _mm256_set1_epi32((int)grid->first);
    const __m256i none = _mm256_set1_epi32(TT_GRID_CELLS);
    const __m256d center = _mm256_set1_pd(mean);
    __m256d m2a = _mm256_setzero_pd(), m2b = _mm256_setzero_pd();
    int64_t i = 0;
    for (; i + N <= n; i += N) {
        __m256 v = _mm256_loadu_ps(x + i), ok = are_finite(v), below, scaled;
        __m256i cell;
        __m256d a, b;
        scaled = _mm256_floor_ps(_mm256_mul_ps(v, scale));
        /* a product too small for a float: -1, not 0 */
        below = _mm256_and_ps(_mm256_cmp_ps(v, zero, _CMP_LT_OQ),
                              _mm256_cmp_ps(scaled, zero, _CMP_EQ_OQ));
        cell =
            _mm256_add_epi32(_mm256_cvttps_epi32(scaled), _mm256_castps_si256(below));
        cell = _mm256_sub_epi32(cell, first);
        cell = _mm256_blendv_epi8(none, cell, _mm256_castps_si256(ok));
        _mm_storeu_si128((void *)(out + i),
                         _mm_packus_epi32(_mm256_castsi256_si128(cell),
                                          _mm256_extracti128_si256(cell, 1)));
        /* lanes that are not finite become the mean: nothing is added */
        a = _mm256_sub_pd(low_half(v), center);
        b = _mm256_sub_pd(high_half(v), center);
        a = _mm256_and_pd(a, _mm256_castsi256_pd(_mm256_cvtepi32_epi64(
                                 _mm_castps_si128(_mm256_castps256_ps128(ok)))));
        b = _mm256_and_pd(b, _mm256_castsi256_pd(_mm256_cvtepi32_epi64(
                                 _mm_castps_si128(_mm256_extractf128_ps(ok, 1)))));
        m2a = _mm256_fmadd_pd(a, a, m2a);
        m2b = _mm256_fmadd_pd(b, b, m2b);
    }
    return sum_of(_mm256_add_pd(m2a, m2b)) +
           tt_block_kernels_ref.cells(x + i, n - i, grid, mean, out + i);
}

/* 8 columns from c on. */
static void strip(const float *x, int64_t stride, int64_t n_rows, int64_t c,
                  const tt_columns *out)
{
    __m256 low = _mm256_set1_ps(HUGE_VALF), high = _mm256_set1_ps(-HUGE_VALF);
    __m256d sum0 = _mm256_setzero_pd(), sum1 = _mm256_setzero_pd(), old;
    __m256i n = _mm256_setzero_si256();
    int32_t counts[N];
    for (int64_t r = 0; r < n_rows; ++r) {
        __m256 v = _mm256_loadu_ps(x + r * stride + c), ok = are_finite(v);
        low = _mm256_min_ps(low, _mm256_blendv_ps(low, v, ok));
        high = _mm256_max_ps(high, _mm256_blendv_ps(high, v, ok));
        n = _mm256_sub_epi32(n, _mm256_castps_si256(ok));
        v = _mm256_and_ps(v, ok);
        sum0 = _mm256_add_pd(sum0, low_half(v));
        sum1 = _mm256_add_pd(sum1, high_half(v));
    }
#define MERGE(field, at, op, value)               \
    old = _mm256_loadu_pd(out->field + c + (at)); \
    _mm256_storeu_pd(out->field + c + (at), op(old, value))
    MERGE(minimum, 0, _mm256_min_pd, low_half(low));
    MERGE(minimum, 4, _mm256_min_pd, high_half(low));
    MERGE(maximum, 0, _mm256_max_pd, low_half(high));
    MERGE(maximum, 4, _mm256_max_pd, high_half(high));
    MERGE(sum, 0, _mm256_add_pd, sum0);
    MERGE(sum, 4, _mm256_add_pd, sum1);
#undef MERGE
    _mm256_storeu_si256((void *)counts, n);
    for (int k = 0; k < N; ++k)
        out->n[c + k] += counts[k];
}

static void columns_of_vectors(const float *x, int64_t stride, int64_t n_rows,
                               int64_t n_columns, const tt_columns *out)
{
    int64_t c = 0;
    for (; c + N <= n_columns; c += N)
        strip(x, stride, n_rows, c, out);
    if (c < n_columns) {
        tt_columns rest = {out->n + c, out->minimum + c, out->maximum + c,
                           out->sum + c};
        tt_block_kernels_ref.columns(x + c, stride, n_rows, n_columns - c, &rest);
    }
}

const tt_block_kernels tt_block_kernels_avx2 = {"avx2", scan_vectors, cells_of_vectors,
                                                columns_of_vectors};

#else
typedef int tt_block_kernels_avx2_is_for_x86;
#endif
