/* Matrix products of uint8 by int8, with exact sums of 32 bits (as long as those hold
 * them; beyond they wrap).
 *
 *   sums = (a - a_zero) (b - b_zero)
 *   dst  = posts(sums * a_scale * b_scale + bias)      or the sums themselves
 *
 * Zero points and scales of a belong to rows, those of b to columns.  b is packed in
 * panels of columns, in groups of four rows, with the sum of each column behind a
 * panel.  Other types come in by 128: int8 rows as uint8 with a greater zero point,
 * uint8 columns as int8 with a smaller one. */
#ifndef TT_KERNELS_MATMUL_U8S8_H
#define TT_KERNELS_MATMUL_U8S8_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "kernels/post_ops.h"

typedef struct {
    int64_t m, n, k;
    const uint8_t *a;      /* rows of tt_u8s8_row_bytes(k), zeros behind the k */
    const int32_t *a_zero; /* [m] */
    const int32_t *a_sum;  /* [m], of the bytes; read only with b_zero */
    const void *b;         /* packed */
    const int32_t *b_zero; /* [n], or NULL: zeros */
    int64_t dst_row;       /* elements */
    int32_t *sums;         /* destination if not NULL, and nothing below counts */
    float *dst;
    const float *a_scale, *b_scale, *bias; /* [m], [n], [n] or NULL */
    const float *operands[TT_POST_OPS_MAX];
    tt_post_ops posts;
    bool accumulates; /* posts(dst + ..) */
} tt_u8s8;

/* Name of the version that runs on this processor. */
const char *tt_u8s8_name(void);
/* Bytes of a row of a. */
static inline int64_t tt_u8s8_row_bytes(int64_t k)
{
    return (k + 3) / 4 * 4;
}
/* Bytes of packed b; false when that overflows. */
bool tt_u8s8_packed_bytes(int64_t k, int64_t n, size_t *out);
/* Packs k rows and n columns of bytes, `is_unsigned`: of uint8.  Item (row, column) is
 * at row / inner * strides[0] + row % inner * strides[1] + column * strides[2].  Serial:
 * also called where no parallel work may start. */
void tt_u8s8_pack(const void *b, bool is_unsigned, int64_t k, int64_t inner, int64_t n,
                  const int64_t *strides, void *packed);
/* Parallel. */
void tt_u8s8_multiply(const tt_u8s8 *product);

/* m rows of k numbers to uint8 over their range, zero included.  `per_row`: each over
 * its own (a row with NaN or infinity gets the scale NaN); else all over the range of
 * all, exactly as DynamicQuantizeLinear.  Parallel. */
typedef struct {
    int64_t m, k, src_row;
    const float *src;
    bool per_row;
    uint8_t *dst;
    float *scale;
    int32_t *zero, *sum;
} tt_quantize_rows;
void tt_quantize_rows_run(const tt_quantize_rows *rows);

/* Per instruction set. */
typedef struct {
    const char *name;
    int panel, rows; /* columns of a panel, rows of a tile */
    /* rows [row, row_end) of one panel */
    void (*multiply)(const tt_u8s8 *, int64_t panel, int64_t row, int64_t row_end);
    void (*quantize)(const tt_quantize_rows *, int64_t row, int64_t row_end);
} tt_u8s8_table;

extern const tt_u8s8_table tt_u8s8_scalar, tt_u8s8_avx2, tt_u8s8_avx512,
    tt_u8s8_avx512_vnni;

#endif
