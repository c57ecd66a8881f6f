/* Words of two bfloat16, the earlier item in the low half, each rounded to nearest even
 * from a float, for attention on processors that multiply them.  A word is held where a
 * float would be: nothing computes with it but TILE_FMA. */
#include <immintrin.h>

#include "kernels/simd.h"

#define TILE_FMA(a, b, sum) \
    ((vf)_mm512_dpbf16_ps((__m512)(sum), (__m512bh)(a), (__m512bh)(b)))

/* Words that n items fill. */
static int64_t words_of(int64_t n)
{
    return (n + 1) / 2;
}

/* One vector of items to half a vector of words. */
static inline void store_words(float *dst, vf items)
{
    _mm256_storeu_si256((__m256i *)dst, (__m256i)_mm512_cvtneps_pbh((__m512)items));
}

/* n items, n even, to words; dst may be src. */
static void row_words(const float *src, int64_t n, float *dst)
{
    int64_t i = 0;
    for (; i + VF_N <= n; i += VF_N)
        store_words(dst + i / 2, vf_load(src + i));
    if (i < n) {
        float last[VF_N];
        store_words(last, vf_load_n(src + i, n - i));
        memcpy(dst + i / 2, last, (size_t)(n - i) / 2 * sizeof *dst);
    }
}

/* 2^x for x <= 0 with a relative error below 2^-13.6 (Remez fit), a small part of what
 * rounding to bfloat16 adds; 0 below -126, where results would be subnormal.  NaN
 * stays. */
static inline vf exp2_below(vf x)
{
    __mmask16 in_range =
        _mm512_cmp_ps_mask((__m512)x, _mm512_set1_ps(-126.0f), _CMP_NLT_UQ);
    vf f = (vf)_mm512_reduce_ps((__m512)x, _MM_FROUND_TO_NEG_INF), p;
    p = vf_fma(vf_set1(7.80245889e-2f), f, vf_set1(0.226067225f));
    p = vf_fma(p, f, vf_set1(0.695833413f));
    p = vf_fma(p, f, vf_set1(0.999925226f));
    return (vf)_mm512_maskz_scalef_ps(in_range, (__m512)p, (__m512)x);
}

/* A word of each pair (first[i], second[i]). */
static inline vf join_words(vf first, vf second)
{
    __m512i low = _mm512_cvtepu16_epi32((__m256i)_mm512_cvtneps_pbh((__m512)first));
    __m512i high = _mm512_cvtepu16_epi32((__m256i)_mm512_cvtneps_pbh((__m512)second));
    return (vf)_mm512_or_si512(low, _mm512_slli_epi32(high, 16));
}

/* Items that lie apart; zeros where there are fewer than a vector. */
static vf gathered(const float *src, int64_t item, int64_t n)
{
    float items[VF_N];
    for (int64_t i = 0; i < VF_N; ++i)
        items[i] = i < n ? src[i * item] : 0.0f;
    return vf_load(items);
}
