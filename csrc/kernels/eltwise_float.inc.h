/* Kernels over float or double registers; included by eltwise_kernels.inc.h once
 * for each with T (the type), DTYPE (the tt_dtype), N(name) (a name for this type)
 * and F(name) (a function of vector_math.h or libm for this type). */

/* ---- one argument --------------------------------------------------------- */

#define SIGN_OF(x) ((x) > 0 ? (T)1 : (x) < 0 ? (T) - 1 : (x)) /* -0 and NaN stay */

/* X(operation, value as a function of x, alpha, beta) */
#define FLOAT_UNARY_LIST(X)                                               \
    X(ABS, F(fabs)(x))                                                    \
    X(NEG, -x)                                                            \
    X(SIGN, SIGN_OF(x))                                                   \
    X(CEIL, -F(floor)(-x))                                                \
    X(FLOOR, F(floor)(x))                                                 \
    X(ROUND, F(round)(x))                                                 \
    X(SQRT, F(sqrt)(x))                                                   \
    X(RECIPROCAL, 1 / x)                                                  \
    X(EXP, F(exp)(x))                                                     \
    X(LOG, F(log)(x))                                                     \
    X(ERF, F(erf)(x))                                                     \
    X(SIGMOID, F(sigmoid)(x))                                             \
    X(TANH, F(tanh)(x))                                                   \
    X(ASIN, F(asin)(x))                                                   \
    X(ACOS, F(acos)(x))                                                   \
    X(ATAN, F(atan)(x))                                                   \
    X(SINH, F(sinh)(x))                                                   \
    X(COSH, F(cosh)(x))                                                   \
    X(ASINH, F(asinh)(x))                                                 \
    X(ACOSH, F(acosh)(x))                                                 \
    X(ATANH, F(atanh)(x))                                                 \
    X(RELU, x < 0 ? 0 : x)                                                \
    X(LEAKY_RELU, x < 0 ? alpha * x : x)                                  \
    X(ELU, x < 0 ? alpha * F(expm1_below)(x) : x)                         \
    X(SELU, beta *(x < 0 ? alpha * F(expm1_below)(x) : x))                \
    X(CELU, x < 0 ? alpha * F(expm1_below)(x / alpha) : x)                \
    X(HARD_SIGMOID, N(clamp)(alpha * x + beta, 0, 1))                     \
    X(HARD_SWISH, N(gate)(x, N(clamp)(x / 6 + (T)0.5, 0, 1)))             \
    X(SOFTPLUS, F(softplus)(x))                                           \
    X(SOFTSIGN, N(softsign)(x))                                           \
    X(MISH, N(mish)(x))                                                   \
    X(SWISH, N(gate)(x, F(sigmoid)(alpha * x)))                           \
    X(GELU_ERF, F(gelu_erf)(x))                                           \
    X(GELU_TANH, N(gelu_tanh)(x))                                         \
    X(THRESHOLDED_RELU, x <= alpha ? 0 : x)                               \
    X(SHRINK, x<-alpha ? x + beta : x> alpha ? x - beta : x == x ? 0 : x) \
    X(LINEAR, F(madd)(alpha, x, beta))                                    \
    X(CLIP, N(clamp)(x, alpha, beta))

/* NaN stays: both comparisons are false. */
static inline T N(clamp)(T x, T low, T high)
{
    T y = x < low ? low : x;
    return y > high ? high : y;
}

/* x times a factor in [0, 1]; a factor of 0 means 0, also for x = -inf. */
static inline T N(gate)(T x, T factor)
{
    return factor == 0 ? 0 : x * factor;
}

/* inf / inf never happens: 1 - 1 / (1 + |x|) near and at infinity. */
static inline T N(softsign)(T x)
{
    T a = F(fabs)(x);
    return a > (T)1e30 ? F(copysign)(1, x) : x / (1 + a);
}

/* x tanh(ln(1 + e^x)), with e = e^-|x| a ratio that neither overflows nor cancels. */
static inline T N(mish)(T x)
{
    T e = F(exp)(-F(fabs)(x));
    T numerator = x >= 0 ? 1 + 2 * e : e * (e + 2);
    T rest = x >= 0 ? 2 * e * e : 2;
    return N(gate)(x, numerator / (numerator + rest));
}

/* (1 + tanh(u)) / 2 is sigmoid(2u), u = sqrt(2/pi) (x + 0.044715 x^3). */
static inline T N(gelu_tanh)(T x)
{
    T slope = F(madd)(x * x, (T)0.071354816272600249, (T)1.5957691216057308);
    return N(gate)(x, F(sigmoid)(x * slope));
}

#define UNARY_KERNEL(NAME, VALUE)                                       \
    KERNEL(N(NAME))                                                     \
    {                                                                   \
        const T *a = a_;                                                \
        T *dst = dst_;                                                  \
        const T alpha = (T)immediate->alpha, beta = (T)immediate->beta; \
        (void)alpha, (void)beta, (void)b_, (void)c_;                    \
        EACH(i, n)                                                      \
        {                                                               \
            const T x = a[i];                                           \
            dst[i] = VALUE;                                             \
        }                                                               \
    }
FLOAT_UNARY_LIST(UNARY_KERNEL)

/* Reduction of a huge angle needs more bits than a float loop has: a block with one
 * goes through libm. */
#define TRIG_KERNEL(NAME, function)                            \
    KERNEL(N(NAME))                                            \
    {                                                          \
        const T *a = a_;                                       \
        T *dst = dst_;                                         \
        (void)b_, (void)c_, (void)immediate;                   \
        while (n > 0) {                                        \
            int64_t n_block = n < TRIG_BLOCK ? n : TRIG_BLOCK; \
            int32_t n_large = 0;                               \
            EACH(i, n_block)                                   \
            n_large += F(fabs)(a[i]) > F(trig_limit);          \
            if (n_large == 0) {                                \
                EACH(i, n_block)                               \
                dst[i] = F(function)(a[i]);                    \
            } else {                                           \
                for (int64_t i = 0; i < n_block; ++i)          \
                    dst[i] = (T)function((double)a[i]);        \
            }                                                  \
            a += n_block, dst += n_block, n -= n_block;        \
        }                                                      \
    }
TRIG_KERNEL(SIN, sin)
TRIG_KERNEL(COS, cos)
TRIG_KERNEL(TAN, tan)

KERNEL(N(POW_SCALAR))
{
    const T *a = a_;
    T *dst = dst_;
    const T alpha = (T)immediate->alpha;
    (void)b_, (void)c_;
    if (alpha == 2) {
        EACH(i, n)
        dst[i] = a[i] * a[i];
    } else if (alpha == 3) {
        EACH(i, n)
        dst[i] = a[i] * a[i] * a[i];
    } else if (alpha == 1) {
        EACH(i, n)
        dst[i] = a[i];
    } else if (alpha == -1) {
        EACH(i, n)
        dst[i] = 1 / a[i];
    } else if (alpha == (T)0.5) { /* unlike the root: +0 of -0, inf of -inf */
        EACH(i, n)
        dst[i] = a[i] == (T)-INFINITY ? (T)INFINITY : F(sqrt)(a[i]) + 0;
    } else {
        EACH(i, n)
        dst[i] = F(pow)(a[i], alpha);
    }
}

KERNEL(N(IS_NAN))
{
    const T *a = a_;
    uint8_t *dst = dst_;
    (void)b_, (void)c_, (void)immediate;
    EACH(i, n)
    dst[i] = a[i] != a[i];
}

KERNEL(N(IS_INF))
{
    const T *a = a_;
    uint8_t *dst = dst_;
    /* a bound that nothing passes when that sign is not asked for */
    const T low = immediate->alpha != 0 ? -F(largest) : (T)-INFINITY;
    const T high = immediate->beta != 0 ? F(largest) : (T)INFINITY;
    (void)b_, (void)c_;
    EACH(i, n)
    dst[i] = (a[i] < low) | (a[i] > high);
}

/* ---- two and three arguments ---------------------------------------------- */

/* The remainder with the sign of the divisor, that of a zero too; NaN where C's fmod
 * has none. */
static inline T N(modulo)(T x, T y)
{
    const T r = F(fmod)(x, y);
    if (r == 0) return F(copysign)(0, y);
    return (r < 0) != (y < 0) ? r + y : r;
}

/* X(operation, type of the result, value as a function of x and y) */
#define FLOAT_BINARY_LIST(X)              \
    X(ADD, T, x + y)                      \
    X(SUB, T, x - y)                      \
    X(MUL, T, x *y)                       \
    X(DIV, T, x / y)                      \
    X(MAX, T, (x > y) | (x != x) ? x : y) \
    X(MIN, T, (x < y) | (x != x) ? x : y) \
    X(PRELU, T, x < 0 ? x * y : x)        \
    X(EQUAL, uint8_t, x == y)             \
    X(GREATER, uint8_t, x > y)            \
    X(GREATER_EQUAL, uint8_t, x >= y)     \
    X(LESS, uint8_t, x < y)               \
    X(LESS_EQUAL, uint8_t, x <= y)
BINARY_WITH_SCALARS(FLOAT_BINARY_LIST)

/* rarely with a scalar: one version */
#define FLOAT_SLOW_LIST(X)     \
    X(POW, T, F(pow)(x, y))    \
    X(MOD, T, N(modulo)(x, y)) \
    X(FMOD, T, F(fmod)(x, y))
FLOAT_SLOW_LIST(BINARY_KERNEL)

static const tt_eltwise_kernel N(kernels)[TT_ELTWISE_COUNT] = {
    FLOAT_UNARY_LIST(UNARY_ENTRY) UNARY_ENTRY(SIN, ) UNARY_ENTRY(COS, )
        UNARY_ENTRY(TAN, ) UNARY_ENTRY(POW_SCALAR, ) UNARY_ENTRY(IS_NAN, )
            UNARY_ENTRY(IS_INF, ) FLOAT_BINARY_LIST(BINARY_SCALARS_ENTRY)
                FLOAT_SLOW_LIST(BINARY_ENTRY)[TT_ELTWISE_SELECT] = SELECT_ENTRY(T)};

#undef SIGN_OF
#undef FLOAT_UNARY_LIST
#undef FLOAT_BINARY_LIST
#undef FLOAT_SLOW_LIST
#undef UNARY_KERNEL
#undef TRIG_KERNEL
