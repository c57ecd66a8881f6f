/* The elementwise operations from their definitions, one element at a time: floats in
 * long double with libm, integers in 128 bits.  The truth for tests, never fast. */
#include <math.h>
#include <string.h>

#include "kernels/eltwise_table.h"

typedef long double real;
__extension__ typedef __int128 wide;

/* ---- elements in and out -------------------------------------------------- */

static real get_real(tt_dtype dtype, const void *data, int64_t i)
{
    return dtype == TT_F32 ? (real)((const float *)data)[i]
                           : (real)((const double *)data)[i];
}

static void put_real(tt_dtype dtype, void *data, int64_t i, real x)
{
    if (dtype == TT_F32)
        ((float *)data)[i] = (float)x;
    else
        ((double *)data)[i] = (double)x;
}

static wide get_int(tt_dtype dtype, const void *data, int64_t i)
{
    switch (dtype) {
    case TT_S8:
        return ((const int8_t *)data)[i];
    case TT_U8:
        return ((const uint8_t *)data)[i];
    case TT_S16:
        return ((const int16_t *)data)[i];
    case TT_U16:
        return ((const uint16_t *)data)[i];
    case TT_S32:
        return ((const int32_t *)data)[i];
    case TT_U32:
        return ((const uint32_t *)data)[i];
    case TT_S64:
        return ((const int64_t *)data)[i];
    case TT_U64:
        return ((const uint64_t *)data)[i];
    default:
        return ((const uint8_t *)data)[i] != 0;
    }
}

/* The low bytes, little or big end alike. */
static void put_int(tt_dtype dtype, void *data, int64_t i, wide x)
{
    uint64_t low = (uint64_t)x;
    switch (tt_dtype_bytes(dtype)) {
    case 1:
        ((uint8_t *)data)[i] = (uint8_t)low;
        break;
    case 2:
        ((uint16_t *)data)[i] = (uint16_t)low;
        break;
    case 4:
        ((uint32_t *)data)[i] = (uint32_t)low;
        break;
    default:
        ((uint64_t *)data)[i] = low;
        break;
    }
}

static int bits_of(tt_dtype dtype)
{
    return (int)tt_dtype_bytes(dtype) * 8;
}

static wide lowest(tt_dtype dtype)
{
    return tt_dtype_is_signed_int(dtype) ? -((wide)1 << (bits_of(dtype) - 1)) : 0;
}

static wide largest(tt_dtype dtype)
{
    return ((wide)1 << (bits_of(dtype) - tt_dtype_is_signed_int(dtype))) - 1;
}

static wide saturate(tt_dtype dtype, real x)
{
    if (isnan(x)) return 0;
    if (x <= (real)lowest(dtype)) return lowest(dtype);
    if (x >= (real)largest(dtype)) return largest(dtype);
    return (wide)x;
}

/* ---- floats --------------------------------------------------------------- */

static real clamp(real x, real low, real high)
{
    if (isnan(x)) return x;
    x = x < low ? low : x;
    return x > high ? high : x;
}

static real sigmoid(real x)
{
    return x >= 0 ? 1 / (1 + expl(-x)) : expl(x) / (1 + expl(x));
}

/* x f where f in [0, 1] is 0 in the limit. */
static real gate(real x, real f)
{
    return isinf(x) && x < 0 ? 0 : x * f;
}

static bool float_unary(tt_eltwise_op op, real x, real alpha, real beta, real *y)
{
    const real pi = acosl(-1);
    switch (op) {
    case TT_ELTWISE_ABS:
        *y = fabsl(x);
        return true;
    case TT_ELTWISE_NEG:
        *y = -x;
        return true;
    case TT_ELTWISE_SIGN:
        *y = x > 0 ? 1 : x < 0 ? -1 : x;
        return true;
    case TT_ELTWISE_CEIL:
        *y = ceill(x);
        return true;
    case TT_ELTWISE_FLOOR:
        *y = floorl(x);
        return true;
    case TT_ELTWISE_ROUND:
        *y = rintl(x);
        return true;
    case TT_ELTWISE_SQRT:
        *y = sqrtl(x);
        return true;
    case TT_ELTWISE_RECIPROCAL:
        *y = 1 / x;
        return true;
    case TT_ELTWISE_EXP:
        *y = expl(x);
        return true;
    case TT_ELTWISE_LOG:
        *y = logl(x);
        return true;
    case TT_ELTWISE_ERF:
        *y = erfl(x);
        return true;
    case TT_ELTWISE_SIGMOID:
        *y = sigmoid(x);
        return true;
    case TT_ELTWISE_TANH:
        *y = tanhl(x);
        return true;
    case TT_ELTWISE_SIN:
        *y = sinl(x);
        return true;
    case TT_ELTWISE_COS:
        *y = cosl(x);
        return true;
    case TT_ELTWISE_TAN:
        *y = tanl(x);
        return true;
    case TT_ELTWISE_ASIN:
        *y = asinl(x);
        return true;
    case TT_ELTWISE_ACOS:
        *y = acosl(x);
        return true;
    case TT_ELTWISE_ATAN:
        *y = atanl(x);
        return true;
    case TT_ELTWISE_SINH:
        *y = sinhl(x);
        return true;
    case TT_ELTWISE_COSH:
        *y = coshl(x);
        return true;
    case TT_ELTWISE_ASINH:
        *y = asinhl(x);
        return true;
    case TT_ELTWISE_ACOSH:
        *y = acoshl(x);
        return true;
    case TT_ELTWISE_ATANH:
        *y = atanhl(x);
        return true;
    case TT_ELTWISE_RELU:
        *y = x < 0 ? 0 : x;
        return true;
    case TT_ELTWISE_LEAKY_RELU:
        *y = x < 0 ? alpha * x : x;
        return true;
    case TT_ELTWISE_ELU:
        *y = x < 0 ? alpha * expm1l(x) : x;
        return true;
    case TT_ELTWISE_SELU:
        *y = beta * (x < 0 ? alpha * expm1l(x) : x);
        return true;
    case TT_ELTWISE_CELU:
        *y = x < 0 ? alpha * expm1l(x / alpha) : x;
        return true;
    case TT_ELTWISE_HARD_SIGMOID:
        *y = clamp(alpha * x + beta, 0, 1);
        return true;
    case TT_ELTWISE_HARD_SWISH:
        *y = gate(x, clamp(x / 6 + 0.5L, 0, 1));
        return true;
    case TT_ELTWISE_SOFTPLUS:
        *y = (x > 0 ? x : 0) + log1pl(expl(-fabsl(x)));
        break;
    case TT_ELTWISE_SOFTSIGN:
        *y = isinf(x) ? copysignl(1, x) : x / (1 + fabsl(x));
        break;
    case TT_ELTWISE_MISH:
        *y = gate(x, tanhl((x > 0 ? x : 0) + log1pl(expl(-fabsl(x)))));
        return true;
    case TT_ELTWISE_SWISH:
        *y = isinf(alpha * x) && alpha * x < 0 ? 0 : x * sigmoid(alpha * x);
        return true;
    case TT_ELTWISE_GELU_ERF:
        *y = gate(x, erfcl(-x / sqrtl(2)) / 2);
        return true;
    case TT_ELTWISE_GELU_TANH:
        *y = gate(x, sigmoid(2 * sqrtl(2 / pi) * (x + 0.044715L * x * x * x)));
        return true;
    case TT_ELTWISE_THRESHOLDED_RELU:
        *y = x <= alpha ? 0 : x;
        return true;
    case TT_ELTWISE_SHRINK:
        *y = x < -alpha ? x + beta : x > alpha ? x - beta : isnan(x) ? x : 0;
        return true;
    case TT_ELTWISE_LINEAR:
        *y = alpha * x + beta;
        return true;
    case TT_ELTWISE_CLIP:
        *y = clamp(x, alpha, beta);
        return true;
    case TT_ELTWISE_POW_SCALAR:
        *y = powl(x, alpha);
        return true;
    default:
        return false;
    }
    if (isnan(x)) *y = x;
    return true;
}

static bool float_binary(tt_eltwise_op op, real x, real y, real *z)
{
    switch (op) {
    case TT_ELTWISE_ADD:
        *z = x + y;
        return true;
    case TT_ELTWISE_SUB:
        *z = x - y;
        return true;
    case TT_ELTWISE_MUL:
        *z = x * y;
        return true;
    case TT_ELTWISE_DIV:
        *z = x / y;
        return true;
    case TT_ELTWISE_MAX:
        *z = isnan(x) || isnan(y) ? x + y : x > y ? x : y;
        return true;
    case TT_ELTWISE_MIN:
        *z = isnan(x) || isnan(y) ? x + y : x < y ? x : y;
        return true;
    case TT_ELTWISE_POW:
        *z = powl(x, y);
        return true;
    case TT_ELTWISE_FMOD:
        *z = fmodl(x, y);
        return true;
    case TT_ELTWISE_MOD:
        *z = fmodl(x, y);
        if (*z == 0)
            *z = copysignl(0, y);
        else if ((*z < 0) != (y < 0))
            *z += y;
        return true;
    case TT_ELTWISE_PRELU:
        *z = x < 0 ? x * y : x;
        return true;
    default:
        return false;
    }
}

/* ---- integers ------------------------------------------------------------- */

static wide int_power(wide x, wide y, tt_dtype dtype)
{
    uint64_t result = 1, factor = (uint64_t)x;
    (void)dtype;
    if (y < 0) return x == 1 ? 1 : x == -1 ? (y % 2 != 0 ? -1 : 1) : 0;
    for (; y != 0; y /= 2, factor *= factor)
        if (y % 2 != 0) result *= factor;
    return (wide)result;
}

static bool int_unary(tt_eltwise_op op, tt_dtype dtype, wide x, double alpha,
                      double beta, wide *y)
{
    switch (op) {
    case TT_ELTWISE_ABS:
        *y = x < 0 ? -x : x;
        return true;
    case TT_ELTWISE_NEG:
        *y = -x;
        return true;
    case TT_ELTWISE_SIGN:
        *y = (x > 0) - (x < 0);
        return true;
    case TT_ELTWISE_RELU:
        *y = x < 0 ? 0 : x;
        return true;
    case TT_ELTWISE_BITWISE_NOT:
        *y = ~x;
        return true;
    case TT_ELTWISE_CLIP:
        if (x < saturate(dtype, (real)alpha)) x = saturate(dtype, (real)alpha);
        *y = x > saturate(dtype, (real)beta) ? saturate(dtype, (real)beta) : x;
        return true;
    default:
        return false;
    }
}

static bool int_binary(tt_eltwise_op op, tt_dtype dtype, wide x, wide y, wide *z)
{
    switch (op) {
    case TT_ELTWISE_ADD:
        *z = x + y;
        return true;
    case TT_ELTWISE_SUB:
        *z = x - y;
        return true;
    case TT_ELTWISE_MUL:
        *z = (wide)((uint64_t)x * (uint64_t)y);
        return true;
    case TT_ELTWISE_DIV:
        *z = y == 0 ? 0 : x / y;
        return true;
    case TT_ELTWISE_FMOD:
        *z = y == 0 ? 0 : x % y;
        return true;
    case TT_ELTWISE_MOD:
        *z = y == 0 ? 0 : x % y;
        if (*z != 0 && (*z < 0) != (y < 0)) *z += y;
        return true;
    case TT_ELTWISE_POW:
        *z = int_power(x, y, dtype);
        return true;
    case TT_ELTWISE_MAX:
        *z = x > y ? x : y;
        return true;
    case TT_ELTWISE_MIN:
        *z = x < y ? x : y;
        return true;
    case TT_ELTWISE_PRELU:
        *z = x < 0 ? (wide)((uint64_t)x * (uint64_t)y) : x;
        return true;
    case TT_ELTWISE_BITWISE_AND:
        *z = x & y;
        return true;
    case TT_ELTWISE_BITWISE_OR:
        *z = x | y;
        return true;
    case TT_ELTWISE_BITWISE_XOR:
        *z = x ^ y;
        return true;
    case TT_ELTWISE_SHIFT_LEFT:
        *z = y < 0 || y >= bits_of(dtype) ? 0 : (wide)((uint64_t)x << (int)y);
        return true;
    case TT_ELTWISE_SHIFT_RIGHT:
        *z = y < 0 || y >= bits_of(dtype) ? (x < 0 ? -1 : 0) : x >> (int)y;
        return true;
    default:
        return false;
    }
}

/* ---- tests, which give bool ----------------------------------------------- */

static bool test_order(tt_eltwise_op op, bool less, bool equal, bool greater,
                       uint8_t *y)
{
    switch (op) {
    case TT_ELTWISE_EQUAL:
        *y = equal;
        return true;
    case TT_ELTWISE_GREATER:
        *y = greater;
        return true;
    case TT_ELTWISE_GREATER_EQUAL:
        *y = greater || equal;
        return true;
    case TT_ELTWISE_LESS:
        *y = less;
        return true;
    case TT_ELTWISE_LESS_EQUAL:
        *y = less || equal;
        return true;
    default:
        return false;
    }
}

static bool test_bool(tt_eltwise_op op, bool x, bool y, uint8_t *z)
{
    switch (op) {
    case TT_ELTWISE_NOT:
        *z = !x;
        return true;
    case TT_ELTWISE_AND:
        *z = x && y;
        return true;
    case TT_ELTWISE_OR:
        *z = x || y;
        return true;
    case TT_ELTWISE_XOR:
        *z = x != y;
        return true;
    case TT_ELTWISE_EQUAL:
        *z = x == y;
        return true;
    default:
        return false;
    }
}

/* ---- all of them ---------------------------------------------------------- */

static bool cast_one(tt_dtype from, tt_dtype to, int64_t i, void *dst, const void *a)
{
    const bool is_real = from == TT_F32 || from == TT_F64;
    if (to == TT_F32 || to == TT_F64) {
        real x = is_real ? get_real(from, a, i) : (real)get_int(from, a, i);
        put_real(to, dst, i, x);
    } else if (to == TT_BOOL) {
        bool x = is_real ? get_real(from, a, i) != 0 : get_int(from, a, i) != 0;
        ((uint8_t *)dst)[i] = x;
    } else {
        wide x = is_real ? saturate(to, get_real(from, a, i)) : get_int(from, a, i);
        put_int(to, dst, i, x);
    }
    return true;
}

/* Half to even, then the zero point, then the range; not a number is the least. */
static void quantize_one(tt_dtype to, int64_t i, void *dst, const void *a, float scale,
                         double zero)
{
    const float x = ((const float *)a)[i] / scale;
    put_int(to, dst, i,
            isnan(x) ? saturate(to, -(real)INFINITY)
                     : saturate(to, rintl((real)x) + (real)zero));
}

static bool one_real(tt_eltwise_op op, tt_dtype dtype, int64_t i, void *dst,
                     const void *a, const void *b, double alpha, double beta)
{
    const real x = get_real(dtype, a, i), y = get_real(dtype, b, i);
    uint8_t *test = (uint8_t *)dst + i;
    real z;
    if (op == TT_ELTWISE_IS_NAN) {
        *test = (uint8_t)(isnan(x) != 0);
        return true;
    }
    if (op == TT_ELTWISE_IS_INF) {
        *test = (uint8_t)(isinf(x) && (x < 0 ? alpha != 0 : beta != 0));
        return true;
    }
    if (test_order(op, x<y, x == y, x> y, test)) return true;
    if (dtype == TT_F32) alpha = (double)(float)alpha, beta = (double)(float)beta;
    if (!float_unary(op, x, (real)alpha, (real)beta, &z) && !float_binary(op, x, y, &z))
        return false;
    put_real(dtype, dst, i, z);
    return true;
}

static bool one_int(tt_eltwise_op op, tt_dtype dtype, int64_t i, void *dst,
                    const void *a, const void *b, double alpha, double beta)
{
    const wide x = get_int(dtype, a, i), y = get_int(dtype, b, i);
    wide z;
    if (dtype == TT_BOOL) return test_bool(op, x != 0, y != 0, (uint8_t *)dst + i);
    if (test_order(op, x<y, x == y, x> y, (uint8_t *)dst + i)) return true;
    if (!int_unary(op, dtype, x, alpha, beta, &z) && !int_binary(op, dtype, x, y, &z))
        return false;
    put_int(dtype, dst, i, z);
    return true;
}

bool tt_eltwise_ref(tt_eltwise_op op, tt_dtype dtype, tt_dtype to, int64_t n, void *dst,
                    const void *a, const void *b, const void *c, double alpha,
                    double beta)
{
    const size_t width = tt_dtype_bytes(dtype);
    bool ok = true;
    for (int64_t i = 0; i < n && ok; ++i) {
        size_t at = (size_t)i * width;
        if (op == TT_ELTWISE_SELECT)
            memcpy((char *)dst + at,
                   (const char *)(((const uint8_t *)a)[i] != 0 ? b : c) + at, width);
        else if (op == TT_ELTWISE_CAST)
            ok = cast_one(dtype, to, i, dst, a);
        else if (op == TT_ELTWISE_QUANTIZE)
            quantize_one(to, i, dst, a, (float)alpha, beta);
        else if (op == TT_ELTWISE_DEQUANTIZE)
            ((float *)dst)[i] =
                (float)(get_int(dtype, a, i) - (wide)beta) * (float)alpha;
        else if (dtype == TT_F32 || dtype == TT_F64)
            ok = one_real(op, dtype, i, dst, a, b, alpha, beta);
        else
            ok = one_int(op, dtype, i, dst, a, b, alpha, beta);
    }
    return ok;
}
