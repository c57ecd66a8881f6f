/* Rows of elements to integers and back, for one instruction set: TABLE is filled, its
 * name is TABLE_NAME.  The loops are plain C that the compiler vectorises. */
#include "kernels/quantize_item.inc.h"

#define EACH(i, n) _Pragma("GCC ivdep") for (int64_t i = 0; i < (n); ++i)

#define QUANTIZE_ROWS(name, type, lowest, largest)                                  \
    static void quantize_##name(int64_t n, const void *src_, void *dst_,            \
                                const float *scales, const float *zero_points)      \
    {                                                                               \
        quantize_row_##name(n, src_, dst_, scales[0], zero_points[0]);              \
    }                                                                               \
    static void quantize_each_##name(int64_t n, const void *src_, void *dst_,       \
                                     const float *scales, const float *zero_points) \
    {                                                                               \
        const float *src = src_;                                                    \
        type *dst = dst_;                                                           \
        EACH(i, n)                                                                  \
        dst[i] = quantize_item_##name(src[i], scales[i], zero_points[i]);           \
    }
QUANTIZED_LIST(QUANTIZE_ROWS)

#define DEQUANTIZE_ROWS(name, type, lowest, largest)                                  \
    static void dequantize_##name(int64_t n, const void *src_, void *dst_,            \
                                  const float *scales, const float *zero_points)      \
    {                                                                                 \
        const float scale = scales[0], zero = zero_points[0];                         \
        const type *src = src_;                                                       \
        float *dst = dst_;                                                            \
        EACH(i, n)                                                                    \
        dst[i] = dequantize_item(src[i], scale, zero);                                \
    }                                                                                 \
    static void dequantize_each_##name(int64_t n, const void *src_, void *dst_,       \
                                       const float *scales, const float *zero_points) \
    {                                                                                 \
        const type *src = src_;                                                       \
        float *dst = dst_;                                                            \
        EACH(i, n)                                                                    \
        dst[i] = dequantize_item(src[i], scales[i], zero_points[i]);                  \
    }
QUANTIZED_LIST(DEQUANTIZE_ROWS)
DEQUANTIZE_ROWS(S32, int32_t, , )

static void add_rows(const uint8_t *src, int64_t stride, int64_t n_rows, uint8_t flip,
                     uint16_t *sums, int64_t n)
{
    for (int64_t row = 0; row < n_rows; ++row, src += stride)
        EACH(i, n)
    sums[i] = (uint16_t)(sums[i] + (src[i] ^ flip));
}

static uint32_t sum_run(const uint8_t *src, int64_t n, uint8_t flip)
{
    uint32_t sum = 0;
    EACH(i, n)
    sum += (uint32_t)(src[i] ^ flip);
    return sum;
}

#define QUANTIZE_ENTRY(name, type, lowest, largest) \
    [TT_##name] = {quantize_##name, quantize_each_##name},
#define DEQUANTIZE_ENTRY(name, type, lowest, largest) \
    [TT_##name] = {dequantize_##name, dequantize_each_##name},

const tt_quantize_table TABLE = {
    .name = TABLE_NAME,
    .add_rows = add_rows,
    .sum_run = sum_run,
    .quantize = {QUANTIZED_LIST(QUANTIZE_ENTRY)},
    .dequantize = {QUANTIZED_LIST(DEQUANTIZE_ENTRY) DEQUANTIZE_ENTRY(S32, , , )},
};
