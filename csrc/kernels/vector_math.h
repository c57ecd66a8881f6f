/* Elementary functions of float as straight-line code that a compiler turns into
 * vector instructions: no branches, no tables, no calls.
 *
 * Included after a target pragma, so every instruction set gets its own copy.
 * Polynomials are minimax fits of relative error (Remez exchange, 40 digits); the
 * errors in ULP that tests/c/test_kernels_eltwise.c holds them to were measured over
 * all floats against long double.  NaN comes out as NaN, infinities and
 * subnormals are exact cases, unless a comment says who handles them. */
#ifndef TT_KERNELS_VECTOR_MATH_H
#define TT_KERNELS_VECTOR_MATH_H

#include <math.h>
#include <stdint.h>
#include <string.h>

static inline float bits_float(uint32_t bits)
{
    float x;
    memcpy(&x, &bits, sizeof x);
    return x;
}

static inline uint32_t float_bits(float x)
{
    uint32_t bits;
    memcpy(&bits, &x, sizeof bits);
    return bits;
}

static inline double bits_double(uint64_t bits)
{
    double x;
    memcpy(&x, &bits, sizeof x);
    return x;
}

static inline uint64_t double_bits(double x)
{
    uint64_t bits;
    memcpy(&bits, &x, sizeof bits);
    return bits;
}

/* To f32, but an inexact result gets an odd last bit: a later rounding to fewer bits
 * is then as if from the double itself. */
static inline float round_to_odd(double x)
{
    float y = (float)x;
    double back = (double)y;
    uint32_t bits = float_bits(y);
    /* nearest went away from zero: one step back */
    bits -= __builtin_fabs(back) > __builtin_fabs(x);
    return bits_float(bits | (back != x && x == x));
}

/* a b + c, in one rounding where that is one instruction. */
static inline float madd_f32(float a, float b, float c)
{
#if defined(__FMA__) || defined(__ARM_FEATURE_FMA)
    return __builtin_fmaf(a, b, c);
#else
    return a * b + c;
#endif
}

static inline double madd_f64(double a, double b, double c)
{
#if defined(__FMA__) || defined(__ARM_FEATURE_FMA)
    return __builtin_fma(a, b, c);
#else
    return a * b + c;
#endif
}

/* Adding and taking away 1.5 * 2^23 (2^52) rounds to the nearest integer, half to
 * even; the integer also stands in the low bits of the sum. */
#define ROUNDER_F32 12582912.0f
#define ROUNDER_F64 6755399441055744.0

/* ---- e^x ------------------------------------------------------------------ */

#define LOG2_E 1.44269504f
#define LN2_HI 0.693359375f /* 9 bits: a multiple of it by |n| < 2^14 is exact */
#define LN2_LO -2.12194440e-4f

/* e^(hi + lo) 2^shift for |lo| << 1, shift in {-1, 0}.  Subnormal results are
 * rounded once; overflow gives inf. */
static inline float exp_parts(float hi, float lo, int32_t shift)
{
    float capped = hi > 91.0f ? 91.0f : hi, top, n, r, p;
    int32_t i, half;
    capped = capped < -106.0f ? -106.0f : capped;
    top = madd_f32(capped + lo, LOG2_E, ROUNDER_F32);
    n = top - ROUNDER_F32;
    i = (int32_t)(float_bits(top) - float_bits(ROUNDER_F32)) + shift;
    r = madd_f32(n, -LN2_HI, capped);
    r = madd_f32(n, -LN2_LO, r) + lo;
    p = madd_f32(1.38131448e-3f, r, 8.36941879e-3f);
    p = madd_f32(p, r, 4.1668456e-2f);
    p = madd_f32(p, r, 0.166665152f);
    p = madd_f32(p, r, 0.49999994f);
    p = madd_f32(p, r * r, r) + 1.0f;
    half = i >> 1;
    p *= bits_float((uint32_t)(half + 127) << 23);
    return p * bits_float((uint32_t)(i - half + 127) << 23);
}

static inline float exp_f32(float x)
{
    return exp_parts(x, 0.0f, 0);
}

/* e^x - 1 for x <= 1 (a larger x counts as 1). */
static inline float expm1_below_f32(float x)
{
    float capped = x > 1.0f ? 1.0f : x, top, n, r, p, scale;
    capped = capped < -25.0f ? -25.0f : capped;
    top = madd_f32(capped, LOG2_E, ROUNDER_F32);
    n = top - ROUNDER_F32;
    scale = bits_float((float_bits(top) - float_bits(ROUNDER_F32) + 127) << 23);
    r = madd_f32(n, -LN2_HI, capped);
    r = madd_f32(n, -LN2_LO, r);
    p = madd_f32(1.39475976e-3f, r, 8.36724695e-3f);
    p = madd_f32(p, r, 4.16662656e-2f);
    p = madd_f32(p, r, 0.166665375f);
    p = madd_f32(p, r, 0.5f);
    p = madd_f32(p, r * r, r);
    return madd_f32(scale, p, scale - 1.0f);
}

static inline float tanh_f32(float x)
{
    float t = expm1_below_f32(-2.0f * __builtin_fabsf(x));
    return __builtin_copysignf(-t / (t + 2.0f), x);
}

/* Both signs use e^-|x|, so neither overflows nor cancels. */
static inline float sigmoid_f32(float x)
{
    float e = exp_parts(-__builtin_fabsf(x), 0.0f, 0);
    return (x >= 0.0f ? 1.0f : e) / (1.0f + e);
}

static inline float sinh_f32(float x)
{
    float a = __builtin_fabsf(x), t = expm1_below_f32(a), half = exp_parts(a, 0.0f, -1);
    float small = 0.5f * (t + t / (t + 1.0f)), large = half - 0.25f / half;
    return __builtin_copysignf(a < 1.0f ? small : large, x);
}

static inline float cosh_f32(float x)
{
    float half = exp_parts(__builtin_fabsf(x), 0.0f, -1);
    return half + 0.25f / half;
}

/* ---- logarithms ----------------------------------------------------------- */

#define SQRT_HALF_BITS 0x3f3504f3u

/* ln(x 2^-shift) of a positive, normal, finite x. */
static inline float log_normal(float x, int32_t shift)
{
    uint32_t bits = float_bits(x);
    int32_t exponent = (int32_t)(bits - SQRT_HALF_BITS) >> 23;
    float f = bits_float(bits - ((uint32_t)exponent << 23)) - 1.0f, square = f * f;
    float k = (float)(exponent - shift), p;
    p = madd_f32(6.74664974e-2f, f, -0.116756544f);
    p = madd_f32(p, f, 0.118881591f);
    p = madd_f32(p, f, -0.124055885f);
    p = madd_f32(p, f, 0.142195523f);
    p = madd_f32(p, f, -0.166679963f);
    p = madd_f32(p, f, 0.200021192f);
    p = madd_f32(p, f, -0.250000089f);
    p = madd_f32(p, f, 0.333333135f);
    p = madd_f32(p, f * square, k * LN2_LO);
    p = madd_f32(square, -0.5f, p);
    return madd_f32(k, LN2_HI, f + p);
}

static inline float log_f32(float x)
{
    int is_small = x < 1.17549435e-38f;
    float y = log_normal(is_small ? x * 8388608.0f : x, is_small ? 23 : 0);
    y = x < INFINITY ? y : x; /* inf and NaN */
    y = x == 0.0f ? -INFINITY : y;
    return x < 0.0f ? NAN : y;
}

/* ln(1 + u) for u >= 0, u finite or NaN: the rounding error of 1 + u is added back. */
static inline float log1p_positive(float u)
{
    float w = 1.0f + u;
    return log_normal(w, 0) + (u - (w - 1.0f)) / w;
}

/* For u > 1 the error is that of 1, not of u. */
static inline float softplus_f32(float x)
{
    float e = exp_parts(-__builtin_fabsf(x), 0.0f, 0);
    return (x > 0.0f ? x : 0.0f) + log1p_positive(e);
}

#define LN2 0.693147181f
#define LARGE_F32 16384.0f /* above, 1 + x^2 is x^2 */

static inline float asinh_f32(float x)
{
    float a = __builtin_fabsf(x), capped = a > LARGE_F32 ? LARGE_F32 : a;
    float square = capped * capped;
    float small = log1p_positive(capped + square / (1.0f + sqrtf(1.0f + square)));
    float large = log_normal(a, 0) + LN2;
    float y = a > LARGE_F32 ? large : small;
    y = a == INFINITY ? a : y;
    return __builtin_copysignf(y, x);
}

static inline float acosh_f32(float x)
{
    float t = (x > LARGE_F32 ? LARGE_F32 : x) - 1.0f;
    float small = log1p_positive(t + sqrtf(2.0f * t + t * t));
    float large = log_normal(x, 0) + LN2;
    float y = x > LARGE_F32 ? large : small;
    y = x == INFINITY ? x : y;
    return x < 1.0f ? NAN : y;
}

static inline float atanh_f32(float x)
{
    float a = __builtin_fabsf(x), y = 0.5f * log1p_positive(2.0f * a / (1.0f - a));
    y = a == 1.0f ? INFINITY : y;
    y = a > 1.0f ? NAN : y;
    return __builtin_copysignf(y, x);
}

/* ---- the error function --------------------------------------------------- */

/* e^(z^2) erfc(z) for z in [0, 10.2], as a polynomial in t = 1 / (1 + 0.3 z). */
static inline float erfcx_of(float t)
{
    float p = madd_f32(-0.129540578f, t, 0.485656083f);
    p = madd_f32(p, t, -0.512487352f);
    p = madd_f32(p, t, 0.547983646f);
    p = madd_f32(p, t, -9.48534533e-2f);
    p = madd_f32(p, t, 0.215023383f);
    p = madd_f32(p, t, 0.148310736f);
    p = madd_f32(p, t, 0.170719847f);
    p = madd_f32(p, t, 0.16918768f);
    return p * t;
}

/* e^(-scale a^2) with a^2 in two parts, so that the error does not grow with a^2. */
static inline float exp_minus_square(float a, float scale)
{
    float head = bits_float(float_bits(a) & 0xfffff000u);
    return exp_parts(-scale * head * head, -scale * (a - head) * (a + head), 0);
}

static inline float erf_f32(float x)
{
    float a = __builtin_fabsf(x), square, small, large;
    a = a > 10.0f ? 10.0f : a;
    square = a * a;
    small = madd_f32(8.51310469e-5f, square, -8.17563967e-4f);
    small = madd_f32(small, square, 5.20385895e-3f);
    small = madd_f32(small, square, -2.68605091e-2f);
    small = madd_f32(small, square, 0.112837151f);
    small = madd_f32(small, square, -0.376126349f);
    small = madd_f32(small, square, 1.12837923f) * a;
    large = 1.0f - exp_minus_square(a, 1.0f) * erfcx_of(1.0f / madd_f32(0.3f, a, 1.0f));
    return __builtin_copysignf(a < 0.9f ? small : large, x);
}

/* x Phi(x) with Phi(-a) from erfcx: relative accuracy in the left tail too, where
 * 1 + erf would cancel; -inf gives -0. */
static inline float gelu_erf_f32(float x)
{
    float a = __builtin_fabsf(x), tail;
    a = a > 15.0f ? 15.0f : a;
    tail = 0.5f * exp_minus_square(a, 0.5f) *
           erfcx_of(1.0f / madd_f32(0.212132034f, a, 1.0f)); /* 0.3 / sqrt(2) */
    return (x < -15.0f ? -15.0f : x) * (x < 0.0f ? tail : 1.0f - tail);
}

/* ---- trigonometric functions ---------------------------------------------- */

/* Beyond this the reduction below loses bits: the caller asks libm instead. */
#define TRIG_LIMIT_F32 33554432.0f

/* x = quadrant pi/2 + *r, |*r| <= pi/4, reduced in double: the product with the
 * 27-bit head of pi/2 is exact. */
static inline uint32_t trig_reduce(float x, float *r)
{
    double d = (double)x, top = madd_f64(d, 0.6366197723675814, ROUNDER_F64);
    double n = top - ROUNDER_F64;
    d = d - n * 1.5707963109016418;
    *r = (float)(d - n * 1.5893254773528196e-8);
    return (uint32_t)double_bits(top);
}

static inline float sin_kernel(float r)
{
    float square = r * r, p = madd_f32(-1.95166562e-4f, square, 8.33217334e-3f);
    p = madd_f32(p, square, -0.166666552f);
    return madd_f32(p * square, r, r);
}

static inline float cos_kernel(float r)
{
    float square = r * r, p = madd_f32(2.44324128e-5f, square, -1.38873095e-3f);
    p = madd_f32(p, square, 4.16666456e-2f);
    return madd_f32(p, square * square, madd_f32(square, -0.5f, 1.0f));
}

static inline float sin_f32(float x)
{
    float r, y;
    uint32_t quadrant = trig_reduce(x, &r);
    float sine = sin_kernel(r), cosine = cos_kernel(r);
    y = quadrant & 1 ? cosine : sine;
    y = bits_float(float_bits(y) ^ ((quadrant & 2) << 30));
    return x == 0.0f ? x : y;
}

static inline float cos_f32(float x)
{
    float r, y;
    uint32_t quadrant = trig_reduce(x, &r);
    float sine = sin_kernel(r), cosine = cos_kernel(r);
    y = quadrant & 1 ? sine : cosine;
    return bits_float(float_bits(y) ^ (((quadrant + 1) & 2) << 30));
}

static inline float tan_f32(float x)
{
    float r, y;
    uint32_t quadrant = trig_reduce(x, &r);
    float sine = sin_kernel(r), cosine = cos_kernel(r);
    y = (quadrant & 1 ? -cosine : sine) / (quadrant & 1 ? sine : cosine);
    return x == 0.0f ? x : y;
}

#define HALF_PI 1.57079633f
#define HALF_PI_REST -4.37113883e-8f /* pi/2 - HALF_PI */

static inline float atan_f32(float x)
{
    float a = __builtin_fabsf(x), z = a > 1.0f ? 1.0f / a : a, square = z * z, p;
    p = madd_f32(-1.7936267e-3f, square, 1.09146293e-2f);
    p = madd_f32(p, square, -3.11778933e-2f);
    p = madd_f32(p, square, 5.79576418e-2f);
    p = madd_f32(p, square, -8.40345323e-2f);
    p = madd_f32(p, square, 0.109521866f);
    p = madd_f32(p, square, -0.142642424f);
    p = madd_f32(p, square, 0.199985489f);
    p = madd_f32(p, square, -0.333332986f);
    p = madd_f32(p * square, z, z);
    return __builtin_copysignf(a > 1.0f ? HALF_PI - (p - HALF_PI_REST) : p, x);
}

/* asin(a) for a <= 1/2, else asin(sqrt((1 - a) / 2)), of which acos(a) is twice. */
static inline float asin_half(float a)
{
    float square = a > 0.5f ? 0.5f * (1.0f - a) : a * a, p;
    float s = a > 0.5f ? sqrtf(square) : a;
    p = madd_f32(3.75652052e-2f, square, 1.44026065e-2f);
    p = madd_f32(p, square, 3.18176113e-2f);
    p = madd_f32(p, square, 4.45157215e-2f);
    p = madd_f32(p, square, 7.50051066e-2f);
    p = madd_f32(p, square, 0.166666597f);
    return madd_f32(p * square, s, s);
}

static inline float asin_f32(float x)
{
    float a = __builtin_fabsf(x), p = asin_half(a);
    float large = HALF_PI - (2.0f * p - HALF_PI_REST);
    return __builtin_copysignf(a > 0.5f ? large : p, x);
}

static inline float acos_f32(float x)
{
    float a = __builtin_fabsf(x), p = asin_half(a), large;
    large = x < 0.0f ? 2.0f * (HALF_PI - (p - HALF_PI_REST)) : 2.0f * p;
    p = x < 0.0f ? -p : p;
    return a > 0.5f ? large : HALF_PI - (p - HALF_PI_REST);
}

/* ---- x^y ------------------------------------------------------------------ */

/* log2 of |x| in double, good to 50 bits; -inf at 0, inf at inf.  x came from a
 * float, so it is normal as a double. */
static inline double log2_f64(double a)
{
    uint64_t bits = double_bits(a);
    uint64_t biased = (bits - 0x3fe6a09e667f3bcdull + (1023ull << 52)) >> 52;
    double m = bits_double(bits - ((biased - 1023) << 52));
    /* the integer `biased` < 2^12 read off the mantissa of a double in [2^52, 2^53) */
    double k = bits_double(biased | 0x4330000000000000ull) - 4503599627371519.0;
    double s = (m - 1.0) / (m + 1.0), square = s * s, p;
    p = madd_f64(0.24297339473971144, square, 0.26143951144757321);
    p = madd_f64(p, square, 0.32061653430836717);
    p = madd_f64(p, square, 0.41219839998126634);
    p = madd_f64(p, square, 0.5770780172594534);
    p = madd_f64(p, square, 0.96179669392430434);
    p = madd_f64(p, square, 2.8853900817779272);
    p = madd_f64(p, s, k);
    p = a == 0.0 ? -(double)INFINITY : p;
    return a < (double)INFINITY ? p : a;
}

/* 2^x as a double; x outside [-300, 300] counts as the nearer end. */
static inline double exp2_f64(double x)
{
    double capped = x > 300.0 ? 300.0 : x, top, f, p;
    capped = capped < -300.0 ? -300.0 : capped;
    top = capped + ROUNDER_F64;
    f = capped - (top - ROUNDER_F64);
    p = madd_f64(1.5201721988842369e-05, f, 0.00015469553229161616);
    p = madd_f64(p, f, 0.0013333925466841024);
    p = madd_f64(p, f, 0.009618026441808156);
    p = madd_f64(p, f, 0.05550410347295899);
    p = madd_f64(p, f, 0.24022651204160045);
    p = madd_f64(p, f, 0.69314718073114423);
    p = madd_f64(p, f, 0.99999999996107247);
    return p * bits_double((double_bits(top) + 1023) << 52);
}

static inline double round_f64(double x);

/* All special cases of C's pow; computed in double, so the float result carries one
 * rounding. */
static inline float pow_f32(float base, float exponent)
{
    double x = (double)base, y = (double)exponent, a = __builtin_fabs(x);
    double half = 0.5 * y, power = exp2_f64(y * log2_f64(a));
    int is_integer = round_f64(y) == y, is_odd = is_integer & (round_f64(half) != half);
    power = a == 1.0 ? 1.0 : power;
    power = is_odd ? __builtin_copysign(power, x) : power;
    power = (x < 0.0) & (a < (double)INFINITY) & !is_integer ? (double)NAN : power;
    power = (x != x) | (y != y) ? x + y : power;
    return (float)((x == 1.0) | (y == 0.0) ? 1.0 : power);
}

/* ---- rounding ------------------------------------------------------------- */

/* Half to even.  Without a rounding instruction: add and take away 2^23, which
 * leaves no fraction bits; larger numbers have none already. */
static inline float round_f32(float x)
{
#if defined(__SSE4_1__) || !defined(__x86_64__)
    return __builtin_rintf(x);
#else
    float a = __builtin_fabsf(x), y = (a + 8388608.0f) - 8388608.0f;
    return __builtin_copysignf(a < 8388608.0f ? y : a, x);
#endif
}

static inline double round_f64(double x)
{
#if defined(__SSE4_1__) || !defined(__x86_64__)
    return __builtin_rint(x);
#else
    double a = __builtin_fabs(x), y = (a + 4503599627370496.0) - 4503599627370496.0;
    return __builtin_copysign(a < 4503599627370496.0 ? y : a, x);
#endif
}

static inline float floor_f32(float x)
{
#if defined(__SSE4_1__) || !defined(__x86_64__)
    return __builtin_floorf(x);
#else
    float y = round_f32(x);
    return __builtin_copysignf(y > x ? y - 1.0f : y, x);
#endif
}

static inline double floor_f64(double x)
{
#if defined(__SSE4_1__) || !defined(__x86_64__)
    return __builtin_floor(x);
#else
    double y = round_f64(x);
    return __builtin_copysign(y > x ? y - 1.0 : y, x);
#endif
}

#endif
