/* Matrix products with weights of 4 or 8 bits in blocks along k, each with its scale
 * and zero point: dst = posts(x dequantised(b) + bias).
 *
 * The weights are read as they are and never written out as floats, so few rows take
 * what reading the weights takes.  Either in float32, or with x made int8 in the same
 * blocks (`is_integer`), which multiplies four times as fast and adds the error of
 * that.  b, its scales and zero points are packed in panels of one vector of columns.
 * Zero points are counted from the middle of what the bits hold. */
#ifndef TT_KERNELS_MATMUL_NBITS_H
#define TT_KERNELS_MATMUL_NBITS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/dtype.h"
#include "kernels/post_ops.h"

typedef struct {
    int64_t m, n, n_blocks, block; /* block: multiple of 8 */
    int bits;
    bool is_integer;
    const float *x;     /* rows of n_blocks * block numbers, or */
    const int8_t *q;    /* the same as integers, */
    const float *steps; /* with the step of each block [m, n_blocks] */
    const float *sums; /* of x or q of each block; NULL without zero points of floats */
    const void *b;
    const float *scales, *zeros; /* packed; zeros NULL: the middle */
    float *dst;                  /* rows of n */
    const float *bias;           /* [n] or NULL */
    const float *operands[TT_POST_OPS_MAX];
    tt_post_ops posts;
    bool accumulates; /* posts(dst + ..) */
} tt_nbits;

const char *tt_nbits_name(void);
/* Columns of a panel. */
int tt_nbits_panel(void);
/* Packs b [n, n_blocks, block of `bits`] as MatMulNBits of com.microsoft has it. */
void tt_nbits_pack(const uint8_t *b, int bits, int64_t n, int64_t n_blocks,
                   int64_t block, uint8_t *packed);
/* A matrix of integers, one a byte (4 bits: the lower half): column j's element k is at
 * j * strides[0] + k * strides[1]. */
typedef struct {
    const uint8_t *data;
    int bits;
    uint8_t flip; /* bits to turn so that the middle is 128, or 8 */
    int64_t n, k, block;
    const int64_t *strides;
} tt_nbits_matrix;
void tt_nbits_pack_matrix(const tt_nbits_matrix *b, uint8_t *packed);
/* Packs one number (f32, u8, s8, u4, s4) per block, minus `less`; strides of columns and
 * blocks, of which any may be 0. */
void tt_nbits_pack_numbers(const void *from, tt_dtype dtype, float less, int64_t n,
                           int64_t n_blocks, const int64_t *strides, float *packed);
/* Packs zero points, rows of which are `row_bytes` long. */
void tt_nbits_pack_zeros(const uint8_t *from, int bits, int64_t n, int64_t n_blocks,
                         int64_t row_bytes, float *packed);
/* Parallel. */
void tt_nbits_multiply(const tt_nbits *product);

/* m rows of k numbers to rows of n_blocks * block (zeros behind the k): as integers,
 * or as they are (x NULL: not copied).  Parallel. */
typedef struct {
    int64_t m, k, n_blocks, block;
    const float *src;
    float *x;
    int8_t *q;
    float *steps, *sums; /* sums may be NULL */
} tt_nbits_rows;
void tt_nbits_rows_run(const tt_nbits_rows *rows);

/* Per instruction set. */
typedef struct {
    const char *name;
    int panel, rows; /* columns of a panel, rows of a tile */
    void (*multiply)(const tt_nbits *, int64_t panel, int64_t row, int64_t row_end);
    void (*rows_of)(const tt_nbits_rows *, int64_t row, int64_t row_end);
} tt_nbits_table;

extern const tt_nbits_table tt_nbits_scalar, tt_nbits_avx2, tt_nbits_avx512,
    tt_nbits_avx512_vnni;

#endif
