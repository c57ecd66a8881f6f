/* One element to an integer and back, for the loops of quantize.inc.h and
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

#define QUANTIZE_ITEM(name, type, lowest, largest)                            \
    static inline type quantize_item_##name(float x, float scale, float zero) \
    {                                                                         \
        const float low = (lowest) - zero, high = (largest) - zero;           \
        float y = x / scale;                                                  \
        y = y > low ? y : low;                                                \
        y = y < high ? y : high;                                              \
        return (type)(float_bits(y + 12582912.0f) + (uint32_t)(int32_t)zero); \
    }
QUANTIZED_LIST(QUANTIZE_ITEM)

#define dequantize_item(x, scale, zero) (((float)(x) - (zero)) * (scale))
