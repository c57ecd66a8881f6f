/* Elementary functions of double: libm where an operation is one function, the
 * stable forms of vector_math.h where it is not.  Also the plain names that
 * eltwise_float.inc.h asks of both types. */
#ifndef TT_KERNELS_VECTOR_MATH_F64_H
#define TT_KERNELS_VECTOR_MATH_F64_H

#include <float.h>

#include "kernels/vector_math.h"

/* ---- float ---------------------------------------------------------------- */

#define fabs_f32 __builtin_fabsf
#define sqrt_f32 sqrtf
#define copysign_f32 __builtin_copysignf
#define fmod_f32 fmodf
#define trig_limit_f32 TRIG_LIMIT_F32
#define largest_f32 FLT_MAX

/* ---- double --------------------------------------------------------------- */

#define fabs_f64 __builtin_fabs
#define sqrt_f64 sqrt
#define copysign_f64 __builtin_copysign
#define fmod_f64 fmod
#define trig_limit_f64 ((double)INFINITY)
#define largest_f64 DBL_MAX

#define exp_f64 exp
#define log_f64 log
#define erf_f64 erf
#define tanh_f64 tanh
#define sin_f64 sin
#define cos_f64 cos
#define tan_f64 tan
#define asin_f64 asin
#define acos_f64 acos
#define atan_f64 atan
#define sinh_f64 sinh
#define cosh_f64 cosh
#define asinh_f64 asinh
#define acosh_f64 acosh
#define atanh_f64 atanh
#define pow_f64 pow
#define expm1_below_f64 expm1

static inline double sigmoid_f64(double x)
{
    double e = exp(-__builtin_fabs(x));
    return (x >= 0.0 ? 1.0 : e) / (1.0 + e);
}

static inline double softplus_f64(double x)
{
    return (x > 0.0 ? x : 0.0) + log1p(exp(-__builtin_fabs(x)));
}

/* x Phi(x).  erfc amplifies a relative error of its argument z by 2 z^2, up to 1400, so
 * what rounding z = |x| / sqrt 2 loses is put back with the derivative of erfc. */
static inline double gelu_erf_f64(double x)
{
    const double root = 0.70710678118654752440, root_rest = -4.8336466567264565e-17;
    double a = __builtin_fabs(x), z = root * a;
    double lost = isinf(a) ? 0.0 : __builtin_fma(root, a, -z) + root_rest * a;
    double slope = 1.1283791670955126 * exp(-z * z); /* 2 / sqrt pi */
    double tail = 0.5 * (erfc(z) - slope * lost);
    double factor = x < 0.0 ? tail : 1.0 - tail;
    return factor == 0.0 ? -0.0 : x * factor;
}

#endif
