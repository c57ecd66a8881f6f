/* Conversions between register dtypes, and between memory of f16 and bf16 and f32
 * registers; included by eltwise_kernels.inc.h.
 *
 * Float to integer truncates toward zero and saturates, NaN gives 0.  Integer to
 * integer wraps.  Anything to bool is x != 0.  To f16 and bf16: nearest, half to
 * even, in one rounding (from double by way of an f32 rounded to odd). */

/* ---- f16 and bf16 memory -------------------------------------------------- */

/* Scaling by 2^112 moves the exponent of an f16 to that of an f32, subnormals
 * included. */
static inline float half_to_float(uint16_t half)
{
    uint32_t rest = (half & 0x7fffu) << 13;
    uint32_t bits = float_bits(bits_float(rest) * 5.192296858534828e33f);
    bits = rest >= 0x0f800000u ? rest | 0x7fc00000u : bits;
    bits = rest == 0x0f800000u ? 0x7f800000u : bits;
    return bits_float(bits | (half & 0x8000u) << 16);
}

static inline uint16_t half_from_float(float x)
{
    uint32_t bits = float_bits(x), a = bits & 0x7fffffffu;
    uint32_t normal = (a + 0xfffu + ((a >> 13) & 1) - (112u << 23)) >> 13;
    /* adding 1/2 leaves the bits worth 2^-24 and more, rounded */
    uint32_t small = float_bits(bits_float(a) + 0.5f) - 0x3f000000u;
    uint32_t half = a < 0x38800000u ? small : normal;
    half = a >= 0x477ff000u ? 0x7c00u : half;
    half = a > 0x7f800000u ? 0x7e00u | ((a >> 13) & 0x3ffu) : half;
    return (uint16_t)(half | (bits >> 16 & 0x8000u));
}

static inline uint16_t bfloat16_from_float(float x)
{
    uint32_t bits = float_bits(x), rounded = bits + 0x7fffu + (bits >> 16 & 1);
    rounded = (bits & 0x7fffffffu) > 0x7f800000u ? bits | 0x400000u : rounded;
    return (uint16_t)(rounded >> 16);
}

KERNEL(load_f16)
{
    const uint16_t *a = a_;
    float *dst = dst_;
    int64_t i = 0;
    (void)b_, (void)c_, (void)immediate;
#if defined(__F16C__)
    for (; i + 8 <= n; i += 8)
        _mm256_storeu_ps(dst + i,
                         _mm256_cvtph_ps(_mm_loadu_si128((const __m128i *)(a + i))));
#endif
    for (; i < n; ++i)
        dst[i] = half_to_float(a[i]);
}

KERNEL(store_f16)
{
    const float *a = a_;
    uint16_t *dst = dst_;
    int64_t i = 0;
    (void)b_, (void)c_, (void)immediate;
#if defined(__F16C__)
    for (; i + 8 <= n; i += 8)
        _mm_storeu_si128((__m128i *)(dst + i),
                         _mm256_cvtps_ph(_mm256_loadu_ps(a + i), /*nearest even*/ 0));
#endif
    for (; i < n; ++i)
        dst[i] = half_from_float(a[i]);
}

KERNEL(load_bf16)
{
    const uint16_t *a = a_;
    float *dst = dst_;
    (void)b_, (void)c_, (void)immediate;
    EACH(i, n)
    dst[i] = bits_float((uint32_t)a[i] << 16);
}

KERNEL(store_bf16)
{
    const float *a = a_;
    uint16_t *dst = dst_;
    (void)b_, (void)c_, (void)immediate;
    EACH(i, n)
    dst[i] = bfloat16_from_float(a[i]);
}

/* ---- between register dtypes ---------------------------------------------- */

#define VALUE_F32(x) (x)
#define VALUE_F64(x) (x)
#define VALUE_S8(x) (x)
#define VALUE_U8(x) (x)
#define VALUE_S16(x) (x)
#define VALUE_U16(x) (x)
#define VALUE_S32(x) (x)
#define VALUE_U32(x) (x)
#define VALUE_S64(x) (x)
#define VALUE_U64(x) (x)
#define VALUE_BOOL(x) ((x) != 0)

#define CAST_LOOP(FROM, from, TO, to, RESULT) \
    KERNEL(cast_##FROM##_##TO)                \
    {                                         \
        const from *a = a_;                   \
        to *dst = dst_;                       \
        (void)b_, (void)c_, (void)immediate;  \
        EACH(i, n)                            \
        {                                     \
            const from x = a[i];              \
            dst[i] = RESULT;                  \
        }                                     \
    }
#define CAST_PLAIN(FROM, from, TO, to) \
    CAST_LOOP(FROM, from, TO, to, (to)VALUE_##FROM(x))

/* X(target, its type, a wider type that converts fast, lowest, largest, the largest
 * float and the largest double that are not above) */
#define INT_TARGETS(X, FROM, from)                                                    \
    X(FROM, from, S8, int8_t, int32_t, INT8_MIN, INT8_MAX, 127, 127)                  \
    X(FROM, from, U8, uint8_t, int32_t, 0, UINT8_MAX, 255, 255)                       \
    X(FROM, from, S16, int16_t, int32_t, INT16_MIN, INT16_MAX, 32767, 32767)          \
    X(FROM, from, U16, uint16_t, int32_t, 0, UINT16_MAX, 65535, 65535)                \
    X(FROM, from, S32, int32_t, int32_t, INT32_MIN, INT32_MAX, 0x7fffff80, INT32_MAX) \
    X(FROM, from, U32, uint32_t, uint32_t, 0, UINT32_MAX, 0xffffff00, UINT32_MAX)     \
    X(FROM, from, S64, int64_t, int64_t, INT64_MIN, INT64_MAX, 0x7fffff8000000000,    \
      0x7ffffffffffffc00)                                                             \
    X(FROM, from, U64, uint64_t, uint64_t, 0, UINT64_MAX, 0xffffff0000000000,         \
      0xfffffffffffff800)

#define TOP_F32(f32, f64) (f32)
#define TOP_F64(f32, f64) (f64)

/* Clamps first, so that the conversion itself is always defined. */
#define SATURATING(FROM, from, TO, to, wide, lowest, largest, top_f32, top_f64)     \
    static inline to saturate_##FROM##_##TO(from x)                                 \
    {                                                                               \
        const from low = (from)(lowest), high = (from)TOP_##FROM(top_f32, top_f64); \
        from y = x < low ? low : x;                                                 \
        to result;                                                                  \
        y = y > high ? high : y;                                                    \
        y = x == x ? y : 0;                                                         \
        result = (to)(wide)y;                                                       \
        return x > high ? (to)(largest) : result;                                   \
    }                                                                               \
    CAST_LOOP(FROM, from, TO, to, saturate_##FROM##_##TO(x))
INT_TARGETS(SATURATING, F32, float)
INT_TARGETS(SATURATING, F64, double)

#define WRAPPING(FROM, from, TO, to, wide, lowest, largest, top_f32, top_f64) \
    CAST_PLAIN(FROM, from, TO, to)
#define CAST_TO_FLOATS(FROM, from)      \
    CAST_PLAIN(FROM, from, F32, float)  \
    CAST_PLAIN(FROM, from, F64, double) \
    CAST_LOOP(FROM, from, BOOL, uint8_t, x != 0)
#define CAST_FROM_INT(FROM, from)     \
    INT_TARGETS(WRAPPING, FROM, from) \
    CAST_TO_FLOATS(FROM, from)

CAST_TO_FLOATS(F32, float)
CAST_TO_FLOATS(F64, double)
CAST_FROM_INT(S8, int8_t)
CAST_FROM_INT(U8, uint8_t)
CAST_FROM_INT(S16, int16_t)
CAST_FROM_INT(U16, uint16_t)
CAST_FROM_INT(S32, int32_t)
CAST_FROM_INT(U32, uint32_t)
CAST_FROM_INT(S64, int64_t)
CAST_FROM_INT(U64, uint64_t)
CAST_FROM_INT(BOOL, uint8_t)

/* ---- to f32 registers of f16 or bf16 precision ---------------------------- */

KERNEL(cast_F64_odd)
{
    const double *a = a_;
    float *dst = dst_;
    (void)b_, (void)c_, (void)immediate;
    EACH(i, n)
    dst[i] = round_to_odd(a[i]);
}

#define NARROWED(FROM, to_f32, TO)                              \
    KERNEL(cast_##FROM##_##TO)                                  \
    {                                                           \
        uint16_t block[256];                                    \
        float *dst = dst_;                                      \
        to_f32(n, dst, a_, b_, c_, immediate);                  \
        while (n > 0) {                                         \
            int64_t n_block = n < 256 ? n : 256;                \
            store_##TO(n_block, block, dst, b_, c_, immediate); \
            load_##TO(n_block, dst, block, b_, c_, immediate);  \
            dst += n_block, n -= n_block;                       \
        }                                                       \
    }
#define store_F16 store_f16
#define load_F16 load_f16
#define store_BF16 store_bf16
#define load_BF16 load_bf16
#define CAST_SOURCES(X)  \
    X(F32, cast_F32_F32) \
    X(F64, cast_F64_odd) \
    X(S8, cast_S8_F32)   \
    X(U8, cast_U8_F32)   \
    X(S16, cast_S16_F32) \
    X(U16, cast_U16_F32) \
    X(S32, cast_S32_F32) \
    X(U32, cast_U32_F32) \
    X(S64, cast_S64_F32) \
    X(U64, cast_U64_F32) \
    X(BOOL, cast_BOOL_F32)
#define NARROWED_BOTH(FROM, to_f32) \
    NARROWED(FROM, to_f32, F16)     \
    NARROWED(FROM, to_f32, BF16)
CAST_SOURCES(NARROWED_BOTH)

#define CAST_ENTRY(FROM, TO) [TT_##TO] = cast_##FROM##_##TO
#define CAST_ROW(FROM, to_f32)                                                         \
    [TT_##                                                                             \
        FROM] = {CAST_ENTRY(FROM, F32), CAST_ENTRY(FROM, F64),  CAST_ENTRY(FROM, S8),  \
                 CAST_ENTRY(FROM, U8),  CAST_ENTRY(FROM, S16),  CAST_ENTRY(FROM, U16), \
                 CAST_ENTRY(FROM, S32), CAST_ENTRY(FROM, U32),  CAST_ENTRY(FROM, S64), \
                 CAST_ENTRY(FROM, U64), CAST_ENTRY(FROM, BOOL), CAST_ENTRY(FROM, F16), \
                 CAST_ENTRY(FROM, BF16)},
