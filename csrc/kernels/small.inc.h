/* Rows of small elements to floats and back, for one instruction set: TABLE is filled,
 * its name is TABLE_NAME.  Straight-line code on the bits, which the compiler
 * vectorises. */
#include "kernels/vector_math.h"

#define EACH(i, n) _Pragma("GCC ivdep") for (int64_t i = 0; i < (n); ++i)

/* X(dtype, bits of the mantissa, bias of the exponent, the sign's bit, largest code
 * without it, code of infinity or 0, of NaN or 0, where -0 would be) */
#define SMALL_FLOATS(X)                              \
    X(F8E4M3FN, 3, 7, 0x80, 0x7e, 0, 0x7f, true)     \
    X(F8E4M3FNUZ, 3, 8, 0x80, 0x7f, 0, 0x80, false)  \
    X(F8E5M2, 2, 15, 0x80, 0x7b, 0x7c, 0x7e, true)   \
    X(F8E5M2FNUZ, 2, 16, 0x80, 0x7f, 0, 0x80, false) \
    X(F6E2M3, 3, 1, 0x20, 0x1f, 0, 0, true)          \
    X(F6E3M2, 2, 3, 0x20, 0x1f, 0, 0, true)          \
    X(F4E2M1, 1, 1, 0x08, 0x07, 0, 0, true)
/* X(dtype, bits, is signed) */
#define SMALL_INTS(X) \
    X(U4, 4, false)   \
    X(S4, 4, true)    \
    X(U2, 2, false)   \
    X(S2, 2, true)

/* ---- floats ---------------------------------------------------------------- */

/* 2^exponent, for a normal float. */
#define POWER(exponent) bits_float((uint32_t)((exponent) + 127) << 23)

/* Below the least normal number the steps are equal, and the mantissa is their count;
 * adding 2^23 steps rounds to them.  Codes are in order: one past the largest finite
 * one is too large, wherever infinity and NaN are. */
#define DECODE_FLOAT(dtype, n_mantissa, bias, sign_bit, largest, infinity, nan, zeros) \
    static inline float decode_item_##dtype(uint8_t item)                              \
    {                                                                                  \
        const uint32_t code = item & ((sign_bit) - 1u);                                \
        const uint32_t sign = (item & (sign_bit) ? 0x80000000u : 0u);                  \
        const float few = (float)(int32_t)code * POWER(1 - (bias) - (n_mantissa));     \
        uint32_t bits = (code << (23 - (n_mantissa))) + ((127u - (bias)) << 23);       \
        bits = code < (1u << (n_mantissa)) ? float_bits(few) : bits;                   \
        bits = code > (largest) ? (code == (infinity) ? 0x7f800000u : 0x7fc00000u)     \
                                : bits;                                                \
        bits = !(zeros) && item == 0x80 ? 0x7fc00000u : bits;                          \
        return bits_float(bits | sign);                                                \
    }
SMALL_FLOATS(DECODE_FLOAT)

#define ENCODE_FLOAT(dtype, n_mantissa, bias, sign_bit, largest, infinity, nan, zeros) \
    static inline uint8_t encode_item_##dtype(float x, uint32_t too_large)             \
    {                                                                                  \
        const uint32_t bits = float_bits(x), size = bits & 0x7fffffffu;                \
        const bool is_nan = size > 0x7f800000u;                                        \
        const float steps = POWER(1 - (bias) - (n_mantissa) + 23);                     \
        const uint32_t half = (1u << (22 - (n_mantissa))) - 1;                         \
        const uint32_t odd = size >> (23 - (n_mantissa)) & 1;                          \
        uint32_t few = float_bits(bits_float(size) + steps) - float_bits(steps);       \
        uint32_t code = ((size + half + odd) >> (23 - (n_mantissa))) -                 \
                        ((127u - (bias)) << (n_mantissa));                             \
        uint32_t sign = bits >> 31;                                                    \
        code = size < ((128u - (bias)) << 23) ? few : code;                            \
        code = code > (largest) ? too_large : code;                                    \
        code = is_nan ? (nan) : code;                                                  \
        sign = !(zeros) && code == 0 ? 0 : sign;                                       \
        sign ^= (nan) == 0 && is_nan;                                                  \
        return (uint8_t)(code | (sign ? (sign_bit) : 0u));                             \
    }
SMALL_FLOATS(ENCODE_FLOAT)

#define FLOAT_ROWS(dtype, n_mantissa, bias, sign_bit, largest, infinity, nan, zeros) \
    static void decode_##dtype(int64_t n, const uint8_t *src, float *dst)            \
    {                                                                                \
        EACH(i, n)                                                                   \
        dst[i] = decode_item_##dtype(src[i]);                                        \
    }                                                                                \
    static void encode_##dtype(int64_t n, const float *src, uint8_t *dst,            \
                               tt_small_rule rule)                                   \
    {                                                                                \
        const uint32_t beyond = (infinity) ? (infinity) : (nan);                     \
        const uint32_t too_large = rule.saturate || !beyond ? (largest) : beyond;    \
        EACH(i, n)                                                                   \
        dst[i] = encode_item_##dtype(src[i], too_large);                             \
    }
SMALL_FLOATS(FLOAT_ROWS)

/* ---- powers of two ---------------------------------------------------------- */

/* The least, 2^-127, is a subnormal float; 255 is NaN. */
static void decode_F8E8M0(int64_t n, const uint8_t *src, float *dst)
{
    EACH(i, n)
    {
        uint32_t bits = (uint32_t)src[i] << 23;
        bits = src[i] == 0 ? 0x00400000u : bits;
        bits = src[i] == 255 ? 0x7fc00000u : bits;
        dst[i] = bits_float(bits);
    }
}

/* Adding `up` to the bits of a normal float carries into the exponent where it is
 * rounded up; a subnormal one above `least` becomes 2^-126. */
static inline void encode_powers(int64_t n, const float *src, uint8_t *dst, uint32_t up,
                                 uint32_t least, bool saturate)
{
    const uint32_t zero = saturate ? 0 : 255, too_large = saturate ? 254 : 255;
    EACH(i, n)
    {
        const uint32_t size = float_bits(src[i]) & 0x7fffffffu;
        uint32_t code = (size + up) >> 23;
        code = size < 0x00800000u ? size > least : code;
        code = size == 0 ? zero : code;
        code = code > 254 ? too_large : code;
        code = size > 0x7f800000u ? 255 : code;
        dst[i] = (uint8_t)code;
    }
}

static void encode_F8E8M0(int64_t n, const float *src, uint8_t *dst, tt_small_rule rule)
{
    static const struct {
        uint32_t up, least;
    } modes[] = {
        [TT_POWER_UP] = {0x7fffff, 0x400000},
        [TT_POWER_DOWN] = {0,        0x7fffff},
        [TT_POWER_NEAREST] = {0x400000, 0x400000},
    };
    encode_powers(n, src, dst, modes[rule.power].up, modes[rule.power].least,
                  rule.saturate);
}

/* ---- integers --------------------------------------------------------------- */

#define INT_ROWS(dtype, n_bits, is_signed)                                         \
    static void decode_##dtype(int64_t n, const uint8_t *src, float *dst)          \
    {                                                                              \
        EACH(i, n)                                                                 \
        {                                                                          \
            const int32_t code = src[i] & ((1 << (n_bits)) - 1);                   \
            const int32_t half = 1 << ((n_bits) - 1);                              \
            dst[i] = (float)((is_signed) ? (code ^ half) - half : code);           \
        }                                                                          \
    }                                                                              \
    static void encode_##dtype(int64_t n, const float *src, uint8_t *dst,          \
                               tt_small_rule rule)                                 \
    {                                                                              \
        (void)rule;                                                                \
        EACH(i, n)                                                                 \
        {                                                                          \
            /* beyond 2^31 floats are multiples of 2^8 */                          \
            const float x = src[i] > -0x1p31f && src[i] < 0x1p31f ? src[i] : 0.0f; \
            dst[i] = (uint8_t)((uint32_t)(int32_t)x & ((1u << (n_bits)) - 1));     \
        }                                                                          \
    }
SMALL_INTS(INT_ROWS)

#define DECODE_FLOAT_ENTRY(dtype, ...) [TT_##dtype] = decode_##dtype,
#define ENCODE_FLOAT_ENTRY(dtype, ...) [TT_##dtype] = encode_##dtype,

const tt_small_table TABLE = {
    .name = TABLE_NAME,
    .decode = {SMALL_FLOATS(DECODE_FLOAT_ENTRY)
                   SMALL_INTS(DECODE_FLOAT_ENTRY)[TT_F8E8M0] = decode_F8E8M0},
    .encode = {SMALL_FLOATS(ENCODE_FLOAT_ENTRY)
                   SMALL_INTS(ENCODE_FLOAT_ENTRY)[TT_F8E8M0] = encode_F8E8M0},
};
