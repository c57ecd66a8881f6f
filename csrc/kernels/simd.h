/* Vectors of float for kernels that exist once as a template (<kernel>.inc.h) and
 * are compiled for several instruction sets.
 *
 * Included after a target pragma: AVX-512 gives 16 lanes, AVX2 with FMA 8, else four
 * lanes of GCC's portable vectors.  +, -, *, / work on vf directly.  Unaligned
 * memory everywhere; the _n forms touch only the first n lanes (0 <= n <= VF_N),
 * the others read as 0. */
#ifndef TT_KERNELS_SIMD_H
#define TT_KERNELS_SIMD_H

#include <stdint.h>
#include <string.h>

#if defined(__AVX512F__) || defined(__AVX2__)
#include <immintrin.h>
#endif

#if defined(__AVX2__)
/* The sums of the lanes of eight vectors. */
static inline void sums_of_8(const __m256 *a, float *out)
{
    __m256 low = _mm256_hadd_ps(_mm256_hadd_ps(a[0], a[1]), _mm256_hadd_ps(a[2], a[3]));
    __m256 high =
        _mm256_hadd_ps(_mm256_hadd_ps(a[4], a[5]), _mm256_hadd_ps(a[6], a[7]));
    _mm256_storeu_ps(out, _mm256_add_ps(_mm256_permute2f128_ps(low, high, 0x20),
                                        _mm256_permute2f128_ps(low, high, 0x31)));
}
#endif

#if defined(__AVX512F__)

enum { VF_N = 16 };
typedef __m512 vf;
typedef int32_t vi __attribute__((vector_size(64)));

static inline vf vf_set1(float x)
{
    return _mm512_set1_ps(x);
}
static inline vf vf_load(const float *p)
{
    return _mm512_loadu_ps(p);
}
static inline void vf_store(float *p, vf x)
{
    _mm512_storeu_ps(p, x);
}
static inline __mmask16 vf_mask(int64_t n)
{
    return (__mmask16)((1u << n) - 1u);
}
static inline vf vf_load_n(const float *p, int64_t n)
{
    return _mm512_maskz_loadu_ps(vf_mask(n), p);
}
static inline void vf_store_n(float *p, vf x, int64_t n)
{
    _mm512_mask_storeu_ps(p, vf_mask(n), x);
}
static inline vf vf_fma(vf a, vf b, vf c)
{
    return _mm512_fmadd_ps(a, b, c);
}
/* The second argument where either is NaN. */
static inline vf vf_max(vf a, vf b)
{
    return _mm512_max_ps(a, b);
}
static inline vf vf_min(vf a, vf b)
{
    return _mm512_min_ps(a, b);
}
static inline vf vf_sqrt(vf a)
{
    return _mm512_sqrt_ps(a);
}
static inline float vf_sum(vf a)
{
    return _mm512_reduce_add_ps(a);
}
static inline float vf_high(vf a)
{
    return _mm512_reduce_max_ps(a);
}
static inline float vf_low(vf a)
{
    return _mm512_reduce_min_ps(a);
}
static inline vf vf_abs(vf a)
{
    return _mm512_abs_ps(a);
}
/* out[i] is the sum of the lanes of a[i], for eight vectors. */
static inline void vf_sums8(const vf *a, float *out)
{
    __m256 halves[8];
    for (int i = 0; i < 8; ++i)
        halves[i] = _mm256_add_ps(_mm512_castps512_ps256(a[i]),
                                  _mm512_extractf32x8_ps(a[i], 1));
    sums_of_8(halves, out);
}
/* Lanes from n on get `x`. */
static inline vf vf_fill_from(vf a, int64_t n, float x)
{
    return _mm512_mask_blend_ps(vf_mask(n), _mm512_set1_ps(x), a);
}
static inline int vf_any_nan(vf a)
{
    return _mm512_cmp_ps_mask(a, a, _CMP_UNORD_Q) != 0;
}

#elif defined(__AVX2__)

enum { VF_N = 8 };
typedef __m256 vf;
typedef int32_t vi __attribute__((vector_size(32)));

static inline vf vf_set1(float x)
{
    return _mm256_set1_ps(x);
}
static inline vf vf_load(const float *p)
{
    return _mm256_loadu_ps(p);
}
static inline void vf_store(float *p, vf x)
{
    _mm256_storeu_ps(p, x);
}
static inline __m256i vf_mask(int64_t n)
{
    return _mm256_cmpgt_epi32(_mm256_set1_epi32((int)n),
                              _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7));
}
static inline vf vf_load_n(const float *p, int64_t n)
{
    return _mm256_maskload_ps(p, vf_mask(n));
}
static inline void vf_store_n(float *p, vf x, int64_t n)
{
    _mm256_maskstore_ps(p, vf_mask(n), x);
}
static inline vf vf_fma(vf a, vf b, vf c)
{
    return _mm256_fmadd_ps(a, b, c);
}
static inline vf vf_max(vf a, vf b)
{
    return _mm256_max_ps(a, b);
}
static inline vf vf_min(vf a, vf b)
{
    return _mm256_min_ps(a, b);
}
static inline vf vf_sqrt(vf a)
{
    return _mm256_sqrt_ps(a);
}
static inline float vf_sum(vf a)
{
    __m128 s = _mm_add_ps(_mm256_castps256_ps128(a), _mm256_extractf128_ps(a, 1));
    s = _mm_add_ps(s, _mm_movehl_ps(s, s));
    return _mm_cvtss_f32(_mm_add_ss(s, _mm_movehdup_ps(s)));
}
static inline float vf_high(vf a)
{
    __m128 s = _mm_max_ps(_mm256_castps256_ps128(a), _mm256_extractf128_ps(a, 1));
    s = _mm_max_ps(s, _mm_movehl_ps(s, s));
    return _mm_cvtss_f32(_mm_max_ss(s, _mm_movehdup_ps(s)));
}
static inline float vf_low(vf a)
{
    __m128 s = _mm_min_ps(_mm256_castps256_ps128(a), _mm256_extractf128_ps(a, 1));
    s = _mm_min_ps(s, _mm_movehl_ps(s, s));
    return _mm_cvtss_f32(_mm_min_ss(s, _mm_movehdup_ps(s)));
}
static inline vf vf_abs(vf a)
{
    return _mm256_andnot_ps(_mm256_set1_ps(-0.0f), a);
}
static inline void vf_sums8(const vf *a, float *out)
{
    sums_of_8(a, out);
}
static inline vf vf_fill_from(vf a, int64_t n, float x)
{
    return _mm256_blendv_ps(_mm256_set1_ps(x), a, _mm256_castsi256_ps(vf_mask(n)));
}
static inline int vf_any_nan(vf a)
{
    return _mm256_movemask_ps(_mm256_cmp_ps(a, a, _CMP_UNORD_Q)) != 0;
}

#else

enum { VF_N = 4 };
typedef float vf __attribute__((vector_size(16)));
typedef int32_t vi __attribute__((vector_size(16)));

static inline vf vf_set1(float x)
{
    return (vf){x, x, x, x};
}
static inline vf vf_load(const float *p)
{
    vf x;
    memcpy(&x, p, sizeof x);
    return x;
}
static inline void vf_store(float *p, vf x)
{
    memcpy(p, &x, sizeof x);
}
static inline vf vf_load_n(const float *p, int64_t n)
{
    vf x = {0};
    memcpy(&x, p, (size_t)n * sizeof *p);
    return x;
}
static inline void vf_store_n(float *p, vf x, int64_t n)
{
    memcpy(p, &x, (size_t)n * sizeof *p);
}
static inline vf vf_fma(vf a, vf b, vf c)
{
    return a * b + c;
}
static inline vf vf_max(vf a, vf b)
{
    vi pick = a > b;
    return (vf)((pick & (vi)a) | (~pick & (vi)b));
}
static inline vf vf_min(vf a, vf b)
{
    vi pick = a < b;
    return (vf)((pick & (vi)a) | (~pick & (vi)b));
}
static inline vf vf_sqrt(vf a)
{
    return (vf){__builtin_sqrtf(a[0]), __builtin_sqrtf(a[1]), __builtin_sqrtf(a[2]),
                __builtin_sqrtf(a[3])};
}
static inline float vf_sum(vf a)
{
    return (a[0] + a[2]) + (a[1] + a[3]);
}
static inline float vf_high(vf a)
{
    float x = a[0] > a[1] ? a[0] : a[1], y = a[2] > a[3] ? a[2] : a[3];
    return x > y ? x : y;
}
static inline float vf_low(vf a)
{
    float x = a[0] < a[1] ? a[0] : a[1], y = a[2] < a[3] ? a[2] : a[3];
    return x < y ? x : y;
}
static inline vf vf_abs(vf a)
{
    return (vf)((vi)a & 0x7fffffff);
}
static inline void vf_sums8(const vf *a, float *out)
{
    for (int i = 0; i < 8; ++i)
        out[i] = vf_sum(a[i]);
}
static inline vf vf_fill_from(vf a, int64_t n, float x)
{
    for (int64_t i = n; i < VF_N; ++i)
        a[i] = x;
    return a;
}
static inline int vf_any_nan(vf a)
{
    return !(a[0] == a[0] && a[1] == a[1] && a[2] == a[2] && a[3] == a[3]);
}

#endif

static inline vf vf_zero(void)
{
    return vf_set1(0.0f);
}

/* pick is all ones or all zeros in each lane. */
static inline vf vf_select(vi pick, vf a, vf b)
{
    return (vf)((pick & (vi)a) | (~pick & (vi)b));
}

/* e^x = p 2^i with an error of p below 1.5 ULP: x = i ln 2 + r, p is a polynomial for
 * e^r (Remez fit, as in vector_math.h). */
static inline vf vf_exp_parts(vf x, vi *i)
{
    const vf rounder = vf_set1(12582912.0f); /* 1.5 * 2^23 */
    vf top = vf_fma(x, vf_set1(1.44269504f), rounder), n = top - rounder, r, p;
    *i = (vi)top - (vi)rounder;
    r = vf_fma(n, vf_set1(-0.693359375f), x);
    r = vf_fma(n, vf_set1(2.12194440e-4f), r);
    p = vf_fma(vf_set1(1.38131448e-3f), r, vf_set1(8.36941879e-3f));
    p = vf_fma(p, r, vf_set1(4.1668456e-2f));
    p = vf_fma(p, r, vf_set1(0.166665152f));
    p = vf_fma(p, r, vf_set1(0.49999994f));
    return vf_fma(p, r * r, r) + vf_set1(1.0f);
}

/* e^x, multiplied by two powers of two so that subnormal results come out right.  NaN
 * stays. */
static inline vf vf_exp(vf x)
{
    vi i, half;
    vf p = vf_exp_parts(vf_max(vf_set1(-106.0f), vf_min(vf_set1(91.0f), x)), &i);
    half = i >> 1;
    p *= (vf)((half + 127) << 23);
    return p * (vf)((i - half + 127) << 23);
}

/* 1 / (1 + e^-x), from e^-|x|: neither overflows nor cancels. */
static inline vf vf_sigmoid(vf x)
{
    vf e = vf_exp(-vf_abs(x)), one = vf_set1(1.0f);
    return vf_select((vi)(x >= vf_zero()), one, e) / (one + e);
}

/* (1 - e) / (1 + e) with e = e^-2|x|, and x - x^3/3 + 2 x^5/15 - 17 x^7/315 where
 * the quotient would cancel (|x| < 0.15: relative error 3e-8). */
static inline vf vf_tanh(vf x)
{
    vf a = vf_abs(x), one = vf_set1(1.0f), e = vf_exp(a * vf_set1(-2.0f)), s = x * x, p;
    vf large = (one - e) / (one + e);
    vi sign = (vi)x & (vi)vf_set1(-0.0f);
    large = (vf)((vi)large | sign);
    p = vf_fma(s, vf_set1(-5.39682540e-2f), vf_set1(0.133333333f));
    p = vf_fma(p, s, vf_set1(-0.333333333f));
    p = vf_fma(p * s, x, x);
    return vf_select((vi)(a < vf_set1(0.15f)), p, large);
}

#endif
