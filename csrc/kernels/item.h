/* Single elements of any real dtype as double or int64: for reference kernels and
 * for the rare dtypes.  16-bit floats round to nearest even, as IEEE 754 has it. */
#ifndef TT_KERNELS_ITEM_H
#define TT_KERNELS_ITEM_H

#include <math.h>
#include <string.h>

#include "base/dtype.h"

static inline float tt_f32_of_bits(uint32_t bits)
{
    float value;
    memcpy(&value, &bits, sizeof value);
    return value;
}

static inline uint32_t tt_bits_of_f32(float value)
{
    uint32_t bits;
    memcpy(&bits, &value, sizeof bits);
    return bits;
}

static inline float tt_f32_from_bf16(uint16_t half)
{
    return tt_f32_of_bits((uint32_t)half << 16);
}

static inline uint16_t tt_bf16_from_f32(float value)
{
    uint32_t bits = tt_bits_of_f32(value);
    if (value != value) return (uint16_t)((bits >> 16) | 0x40);
    return (uint16_t)((bits + 0x7fff + ((bits >> 16) & 1)) >> 16);
}

static inline float tt_f32_from_f16(uint16_t half)
{
    uint32_t sign = (uint32_t)(half & 0x8000) << 16;
    uint32_t exponent = (half >> 10) & 31, mantissa = half & 1023;
    if (exponent == 31) return tt_f32_of_bits(sign | 0x7f800000 | mantissa << 13);
    if (exponent == 0) { /* zero or subnormal: mantissa times 2^-24, exact */
        float value = (float)mantissa * 5.9604644775390625e-8f;
        return sign != 0 ? -value : value;
    }
    return tt_f32_of_bits(sign | (exponent + 112) << 23 | mantissa << 13);
}

static inline uint16_t tt_f16_from_f32(float value)
{
    uint32_t bits = tt_bits_of_f32(value), sign = (bits >> 16) & 0x8000;
    uint32_t magnitude = bits & 0x7fffffff;
    if (magnitude > 0x7f800000) return (uint16_t)(sign | 0x7e00);
    if (magnitude >= 0x477ff000) return (uint16_t)(sign | 0x7c00);
    if (magnitude < 0x38800000) { /* subnormal: let the FPU round at 2^-24 */
        float rounded = tt_f32_of_bits(magnitude) + 0.5f;
        return (uint16_t)(sign | (tt_bits_of_f32(rounded) - 0x3f000000));
    }
    magnitude += 0xfff + ((magnitude >> 13) & 1);
    return (uint16_t)(sign | ((magnitude >> 13) - (112 << 10)));
}

/* Item i of a bool, integer or float dtype. */
static inline double tt_item_load(tt_dtype dtype, const void *data, int64_t i)
{
    switch (dtype) {
    case TT_F32:
        return (double)((const float *)data)[i];
    case TT_F64:
        return ((const double *)data)[i];
    case TT_F16:
        return (double)tt_f32_from_f16(((const uint16_t *)data)[i]);
    case TT_BF16:
        return (double)tt_f32_from_bf16(((const uint16_t *)data)[i]);
    case TT_U8:
    case TT_BOOL:
        return ((const uint8_t *)data)[i];
    case TT_S8:
        return ((const int8_t *)data)[i];
    case TT_U16:
        return ((const uint16_t *)data)[i];
    case TT_S16:
        return ((const int16_t *)data)[i];
    case TT_U32:
        return ((const uint32_t *)data)[i];
    case TT_S32:
        return ((const int32_t *)data)[i];
    case TT_U64:
        return (double)((const uint64_t *)data)[i];
    case TT_S64:
        return (double)((const int64_t *)data)[i];
    default:
        return 0.0;
    }
}

/* The nearest value of an integer type with these bounds; NaN gives 0. */
static inline double tt_clamp_item(double value, double low, double high)
{
    if (value != value) return 0.0;
    value = nearbyint(value);
    return value < low ? low : value > high ? high : value;
}

/* Stores value, rounded to nearest even and clamped to the range of the dtype. */
static inline void tt_item_store(tt_dtype dtype, void *data, int64_t i, double value)
{
    switch (dtype) {
    case TT_F32:
        ((float *)data)[i] = (float)value;
        break;
    case TT_F64:
        ((double *)data)[i] = value;
        break;
    case TT_F16:
        ((uint16_t *)data)[i] = tt_f16_from_f32((float)value);
        break;
    case TT_BF16:
        ((uint16_t *)data)[i] = tt_bf16_from_f32((float)value);
        break;
    case TT_BOOL:
        ((uint8_t *)data)[i] = value != 0.0;
        break;
    case TT_U8:
        ((uint8_t *)data)[i] = (uint8_t)tt_clamp_item(value, 0, 255);
        break;
    case TT_S8:
        ((int8_t *)data)[i] = (int8_t)tt_clamp_item(value, -128, 127);
        break;
    case TT_U16:
        ((uint16_t *)data)[i] = (uint16_t)tt_clamp_item(value, 0, 65535);
        break;
    case TT_S16:
        ((int16_t *)data)[i] = (int16_t)tt_clamp_item(value, -32768, 32767);
        break;
    case TT_U32:
        ((uint32_t *)data)[i] = (uint32_t)tt_clamp_item(value, 0, 4294967295.0);
        break;
    case TT_S32:
        ((int32_t *)data)[i] =
            (int32_t)tt_clamp_item(value, -2147483648.0, 2147483647.0);
        break;
    case TT_U64: /* the largest double below 2^64 and 2^63 */
        ((uint64_t *)data)[i] =
            (uint64_t)tt_clamp_item(value, 0, 18446744073709549568.0);
        break;
    case TT_S64:
        ((int64_t *)data)[i] = (int64_t)tt_clamp_item(value, -9223372036854775808.0,
                                                      9223372036854774784.0);
        break;
    default:
        break;
    }
}

/* Item i of an integer (or bool) dtype; uint64 as its two's complement. */
static inline int64_t tt_item_load_int(tt_dtype dtype, const void *data, int64_t i)
{
    switch (dtype) {
    case TT_U8:
    case TT_BOOL:
        return ((const uint8_t *)data)[i];
    case TT_S8:
        return ((const int8_t *)data)[i];
    case TT_U16:
        return ((const uint16_t *)data)[i];
    case TT_S16:
        return ((const int16_t *)data)[i];
    case TT_U32:
        return ((const uint32_t *)data)[i];
    case TT_S32:
        return ((const int32_t *)data)[i];
    case TT_U64:
        return (int64_t)((const uint64_t *)data)[i];
    case TT_S64:
        return ((const int64_t *)data)[i];
    default:
        return 0;
    }
}

/* Stores the low bits of value: integer arithmetic wraps around. */
static inline void tt_item_store_int(tt_dtype dtype, void *data, int64_t i,
                                     int64_t value)
{
    switch (dtype) {
    case TT_U8:
    case TT_BOOL:
    case TT_S8:
        ((uint8_t *)data)[i] = (uint8_t)value;
        break;
    case TT_U16:
    case TT_S16:
        ((uint16_t *)data)[i] = (uint16_t)value;
        break;
    case TT_U32:
    case TT_S32:
        ((uint32_t *)data)[i] = (uint32_t)value;
        break;
    case TT_U64:
    case TT_S64:
        ((uint64_t *)data)[i] = (uint64_t)value;
        break;
    default:
        break;
    }
}

#endif
