/* Elements to integers and back, for the loops of quantize.inc.h and
 * eltwise_kernels.inc.h: included after the target pragma of an instruction set.
 *
 * Clamping comes first, to bounds that are integers, so the result is the same as if
 * it came last; NaN takes the lower bound.  Adding 1.5 * 2^23 then rounds to even and
 * leaves the integer in the low bits of the sum. */
#include "kernels/vector_math.h"

/* X(dtype, its type, lowest, largest) */
#define QUANTIZED_LIST(X)      \
    X(U8, uint8_t, 0, 255)     \
    X(S8, int8_t, -128, 127)   \
    X(U16, uint16_t, 0, 65535) \
    X(S16, int16_t, -32768, 32767)

#define quantize_rounded(quotient, zero) \
    (float_bits((quotient) + 12582912.0f) + (uint32_t)(int32_t)(zero))

#define QUANTIZE_ITEM(name, type, lowest, largest)                            \
    static inline type quantize_item_##name(float x, float scale, float zero) \
    {                                                                         \
        const float low = (lowest) - zero, high = (largest) - zero;           \
        float y = x / scale;                                                  \
        y = y > low ? y : low;                                                \
        y = y < high ? y : high;                                              \
        return (type)quantize_rounded(y, zero);                               \
    }
QUANTIZED_LIST(QUANTIZE_ITEM)

#ifdef __FMA__
/* x / scale, correctly rounded, without dividing: with the rounded inverse, one step
 * gives a neighbour of the quotient, the next the quotient itself (Markstein, IBM
 * J. Res. Dev. 34, 1990), as long as nothing overflows or is subnormal. */
static inline float quotient_of(float x, float scale, float inverse)
{
    float y = x * inverse;
    y = __builtin_fmaf(__builtin_fmaf(-y, scale, x), inverse, y);
    return __builtin_fmaf(__builtin_fmaf(-y, scale, x), inverse, y);
}
enum { HAS_QUOTIENT = 1 };
#else
enum { HAS_QUOTIENT = 0 };
#define quotient_of(x, scale, inverse) ((void)(inverse), (x) / (scale))
#endif

/* A row with one scale.  x is clamped instead of the quotient: the rounding of the
 * bounds is far below half a step. */
#define QUANTIZE_ROW(name, type, lowest, largest)                                  \
    static inline void quantize_row_##name(int64_t n, const float *src, type *dst, \
                                           float scale, float zero)                \
    {                                                                              \
        const float low = ((lowest) - zero) * scale,                               \
                    high = ((largest) - zero) * scale;                             \
        const float inverse = 1.0f / scale;                                        \
        if (!HAS_QUOTIENT || !(scale > 0x1p-80f && scale < 0x1p80f)) {             \
            _Pragma("GCC ivdep") for (int64_t i = 0; i < n; ++i) dst[i] =          \
                quantize_item_##name(src[i], scale, zero);                         \
            return;                                                                \
        }                                                                          \
        _Pragma("GCC ivdep") for (int64_t i = 0; i < n; ++i)                       \
        {                                                                          \
            float x = src[i];                                                      \
            x = x > low ? x : low;                                                 \
            x = x < high ? x : high;                                               \
            dst[i] = (type)quantize_rounded(quotient_of(x, scale, inverse), zero); \
        }                                                                          \
    }
QUANTIZED_LIST(QUANTIZE_ROW)

#define dequantize_item(x, scale, zero) (((float)(x) - (zero)) * (scale))
