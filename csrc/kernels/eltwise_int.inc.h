/* Kernels over integer registers; included by eltwise_kernels.inc.h once for each
 * type with T, U (an unsigned type of at least 32 bits and the size of T), BITS,
 * IS_SIGNED (0 or 1), LOWEST, LARGEST and N(name).  Arithmetic wraps around: it is
 * done in U, which has no undefined overflow. */

#if IS_SIGNED
#define IS_NEGATIVE(x) ((x) < 0)
#define IS_MINUS_ONE(x) ((x) == -1)
#else
#define IS_NEGATIVE(x) 0
#define IS_MINUS_ONE(x) 0
#endif
#define NEGATED(x) ((T)((U)0 - (U)(x)))

/* An immediate as T, saturated; NaN is 0.  2^(BITS-1 or BITS) is exact. */
static inline T N(from_double)(double x)
{
    if (x != x) return 0;
    if (x <= (double)LOWEST) return LOWEST;
    return x >= (double)LARGEST ? LARGEST : (T)x;
}

#define INT_UNARY_LIST(X)                       \
    X(ABS, IS_NEGATIVE(x) ? NEGATED(x) : x)     \
    X(NEG, NEGATED(x))                          \
    X(SIGN, (T)((x != 0) - 2 * IS_NEGATIVE(x))) \
    X(RELU, IS_NEGATIVE(x) ? 0 : x)             \
    X(BITWISE_NOT, (T) ~(U)x)

#define UNARY_KERNEL(NAME, VALUE)            \
    KERNEL(N(NAME))                          \
    {                                        \
        const T *a = a_;                     \
        T *dst = dst_;                       \
        (void)b_, (void)c_, (void)immediate; \
        EACH(i, n)                           \
        {                                    \
            const T x = a[i];                \
            dst[i] = VALUE;                  \
        }                                    \
    }
INT_UNARY_LIST(UNARY_KERNEL)

KERNEL(N(CLIP))
{
    const T *a = a_;
    T *dst = dst_;
    const T low = N(from_double)(immediate->alpha);
    const T high = N(from_double)(immediate->beta);
    (void)b_, (void)c_;
    EACH(i, n)
    {
        const T x = a[i] < low ? low : a[i];
        dst[i] = x > high ? high : x;
    }
}

/* Toward zero; a divisor of 0 gives 0, and the one overflow wraps. */
static inline T N(divide)(T x, T y)
{
    if (y == 0) return 0;
    return IS_MINUS_ONE(y) ? NEGATED(x) : (T)(x / y);
}

static inline T N(remainder)(T x, T y)
{
    return y == 0 || IS_MINUS_ONE(y) ? (T)0 : (T)(x % y);
}

static inline T N(modulo)(T x, T y)
{
    const T r = N(remainder)(x, y);
    return r != 0 && IS_NEGATIVE(r) != IS_NEGATIVE(y) ? (T)((U)r + (U)y) : r;
}

/* By squaring.  A negative exponent leaves only the powers of 1 and -1. */
static inline T N(power)(T x, T y)
{
    U result = 1, square = (U)x;
    if (IS_NEGATIVE(y)) {
        if (x == 1) return 1;
        return IS_MINUS_ONE(x) ? ((U)y & 1 ? x : (T)1) : (T)0;
    }
    for (; y != 0; y = (T)(y >> 1)) {
        if (y & 1) result *= square;
        square *= square;
    }
    return (T)result;
}

#define INT_BINARY_LIST(X)            \
    X(ADD, T, (T)((U)x + (U)y))       \
    X(SUB, T, (T)((U)x - (U)y))       \
    X(MUL, T, (T)((U)x * (U)y))       \
    X(MAX, T, x > y ? x : y)          \
    X(MIN, T, x < y ? x : y)          \
    X(EQUAL, uint8_t, x == y)         \
    X(GREATER, uint8_t, x > y)        \
    X(GREATER_EQUAL, uint8_t, x >= y) \
    X(LESS, uint8_t, x < y)           \
    X(LESS_EQUAL, uint8_t, x <= y)
BINARY_WITH_SCALARS(INT_BINARY_LIST)

#define INT_SLOW_LIST(X)                               \
    X(DIV, T, N(divide)(x, y))                         \
    X(POW, T, N(power)(x, y))                          \
    X(MOD, T, N(modulo)(x, y))                         \
    X(FMOD, T, N(remainder)(x, y))                     \
    X(PRELU, T, IS_NEGATIVE(x) ? (T)((U)x * (U)y) : x) \
    X(BITWISE_AND, T, x &y)                            \
    X(BITWISE_OR, T, x | y)                            \
    X(BITWISE_XOR, T, x ^ y)
INT_SLOW_LIST(BINARY_KERNEL)

/* A negative count, or one of the width or more, leaves copies of what is shifted in:
 * zeros from the right, the sign from the left. */
static inline T N(shift_left)(T x, T y)
{
    return (U)y < BITS ? (T)((U)x << ((U)y & (BITS - 1))) : (T)0;
}

static inline T N(shift_right)(T x, T y)
{
    const U fill = IS_NEGATIVE(x) ? ~(U)0 : (U)0;
    return (U)y < BITS ? (T)((((U)x ^ fill) >> ((U)y & (BITS - 1))) ^ fill) : (T)fill;
}

#define INT_SHIFT_LIST(X)                 \
    X(SHIFT_LEFT, T, N(shift_left)(x, y)) \
    X(SHIFT_RIGHT, T, N(shift_right)(x, y))
INT_SHIFT_LIST(BINARY_KERNEL)

static const tt_eltwise_kernel N(kernels)[TT_ELTWISE_COUNT] = {
    INT_UNARY_LIST(UNARY_ENTRY) UNARY_ENTRY(CLIP, )
        INT_BINARY_LIST(BINARY_SCALARS_ENTRY) INT_SLOW_LIST(BINARY_ENTRY)
            INT_SHIFT_LIST(BINARY_ENTRY)[TT_ELTWISE_SELECT] = SELECT_ENTRY(T)};

#undef IS_NEGATIVE
#undef IS_MINUS_ONE
#undef NEGATED
#undef INT_UNARY_LIST
#undef INT_BINARY_LIST
#undef INT_SLOW_LIST
#undef INT_SHIFT_LIST
#undef UNARY_KERNEL
