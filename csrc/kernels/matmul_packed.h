/* Matrix products of few rows with constant weights: dst = posts(a b + bias).
 *
 * With few rows the time goes into reading the weights once, and oneDNN's kernels read
 * and multiply in turns.  Here the weights a few blocks ahead are fetched while those
 * at hand are multiplied (17 rows, 384 x 1536: 324 us with oneDNN 3.2, 265 us here;
 * 32 rows: 452 and 405; from 64 rows on no difference; Cascade Lake, one thread, the
 * weights in memory, November 2026).
 *
 * b is packed in panels of TT_MATMUL_PANEL vectors of columns, each panel k rows
 * long and contiguous, the last one filled up with zeros. */
#ifndef TT_KERNELS_MATMUL_PACKED_H
#define TT_KERNELS_MATMUL_PACKED_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/status.h"
#include "kernels/post_ops.h"

/* Rows from which on oneDNN's kernels are as fast. */
enum { TT_MATMUL_FEW_ROWS = 48 };

/* Pointers of the kernel. */
enum {
    TT_MATMUL_PACKED_A,
    TT_MATMUL_PACKED_B,
    TT_MATMUL_PACKED_BIAS, /* or NULL */
    TT_MATMUL_PACKED_POST, /* TT_POST_OPS_MAX operands, NULL where none */
    TT_MATMUL_PACKED_DST = TT_MATMUL_PACKED_POST + TT_POST_OPS_MAX,
    TT_MATMUL_PACKED_POINTERS
};

typedef struct {
    int64_t m, n, k;
    int64_t a_row, a_item, dst_row; /* strides in floats; dst has unit stride along n */
    bool accumulates;               /* dst += instead of dst = */
    tt_post_ops posts;
} tt_matmul_packed;

/* dst overlaps nothing else.  A tt_kernel of plan/lower.h. */
tt_status tt_matmul_packed_run(const void *params, void *const *ptrs, tt_error *err);
/* Name of the version that runs on this processor. */
const char *tt_matmul_packed_name(void);

/* Bytes of packed b; false when that overflows. */
bool tt_matmul_packed_bytes(int64_t k, int64_t n, size_t *out);
/* Packs b of k rows and n columns with these strides (floats). */
void tt_matmul_pack(const float *b, int64_t k, int64_t n, const int64_t *strides,
                    float *packed);

/* Panels [begin, end) of the product; per instruction set. */
typedef struct {
    const char *name;
    int panel; /* columns of a panel */
    void (*panels)(const tt_matmul_packed *, void *const *ptrs, int64_t begin,
                   int64_t end);
} tt_matmul_packed_table;

extern const tt_matmul_packed_table tt_matmul_packed_scalar, tt_matmul_packed_avx2,
    tt_matmul_packed_avx512;

#endif
