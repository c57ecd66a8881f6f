/* QuantizeLinear and DequantizeLinear over dense memory.
 *
 * Elements lie as [n_outer, n_axis, n_inner]; the scale of an element belongs to its
 * place along the axis.  In blocks of block_size along the axis the scales lie as
 * [n_outer, n_axis / block_size rounded up, n_inner]. */
#ifndef TT_KERNELS_QUANTIZE_H
#define TT_KERNELS_QUANTIZE_H

#include "base/shape.h"

typedef struct {
    tt_dtype real;      /* f32, f16, bf16; source also s32 when quantising */
    tt_dtype quantized; /* u8, s8, u16, s16, small ones; dequantising also s32 */
    tt_dtype scale;     /* f32, f16, bf16, f8e8m0 */
    tt_dtype precision; /* f16, bf16: src / scale is rounded to it; else f32 */
    bool saturate;      /* what is too large for a float of 8 bits */
    int64_t n_outer, n_axis, n_inner;
    int64_t block_size; /* 0: one scale per place along the axis */
} tt_quantize;

bool tt_quantize_has(const tt_quantize *quantize, bool dequantize);

/* dst = saturate(round to even(src / scale) + zero_point); zero_points may be NULL.  To
 * floats: src / scale + zero_point, rounded to them once more. */
void tt_quantize_run(const tt_quantize *quantize, const void *src, const void *scales,
                     const void *zero_points, void *dst);

/* dst = (src - zero_point) * scale. */
void tt_dequantize_run(const tt_quantize *quantize, const void *src, const void *scales,
                       const void *zero_points, void *dst);

/* A row of n elements: scales and zero points are one of each, or n.  The loops of one
 * instruction set, by the integer type. */
typedef void (*tt_quantize_row)(int64_t n, const void *src, void *dst,
                                const float *scales, const float *zero_points);
enum { TT_QUANTIZED_DTYPES = TT_BF16 + 1 };
typedef struct {
    const char *name;
    tt_quantize_row quantize[TT_QUANTIZED_DTYPES][2]; /* [dtype][one scale each] */
    tt_quantize_row dequantize[TT_QUANTIZED_DTYPES][2];
    /* sums[i] += row[i] ^ flip for i < n, of at most 256 rows */
    void (*add_rows)(const uint8_t *src, int64_t stride, int64_t n_rows, uint8_t flip,
                     uint16_t *sums, int64_t n);
    /* sum of src[i] ^ flip for i < n <= 2^24 */
    uint32_t (*sum_run)(const uint8_t *src, int64_t n, uint8_t flip);
} tt_quantize_table;

const tt_quantize_table *tt_quantize_table_best(void);

extern const tt_quantize_table tt_quantize_scalar, tt_quantize_avx2, tt_quantize_avx512;

/* Least and greatest of n numbers and 0. */
void tt_range_with_zero(const float *src, int64_t n, float *low, float *high);

#endif
