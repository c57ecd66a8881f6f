/* Matrix products of few rows with constant weights: dst = finish(a b + bias).
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

/* Rows from which on oneDNN's kernels are as fast. */
enum { TT_MATMUL_FEW_ROWS = 48 };

typedef enum {
    TT_FINISH_LINEAR,     /* alpha x + beta */
    TT_FINISH_RELU,       /* x > 0 ? x : alpha x */
    TT_FINISH_CLIP,       /* min(max(x, alpha), beta), NaN stays NaN */
    TT_FINISH_HARD_SWISH, /* x min(max(alpha x + beta, 0), 1) */
    TT_FINISH_SIGMOID,
    TT_FINISH_TANH,
    TT_FINISH_SWISH, /* x sigmoid(alpha x) */
    TT_FINISH_GELU_ERF,
    TT_FINISH_GELU_TANH,
    TT_FINISH_ADD, /* + a tensor like dst, its rows `row` apart (0: one row for all) */
    TT_FINISH_MUL  /* times such a tensor */
} tt_finish_kind;

typedef struct {
    tt_finish_kind kind;
    float alpha, beta;
    int64_t row;
} tt_finish;

enum { TT_MAX_FINISHES = 4 };

typedef struct {
    int64_t m, n, k;
    int64_t a_row, a_item, dst_row; /* strides in floats; dst has unit stride along n */
    bool has_bias;
    bool accumulates; /* dst += instead of dst = */
    int n_finishes;   /* applied in order */
    tt_finish finishes[TT_MAX_FINISHES];
} tt_matmul_packed;

/* ptrs: a, packed b, bias (or NULL), the operand of each finish (or NULL), dst, which
 * overlaps none of them.  A tt_kernel of plan/lower.h. */
tt_status tt_matmul_packed_run(const void *params, void *const *ptrs, tt_error *err);
/* Name of the version that runs on this processor. */
const char *tt_matmul_packed_name(void);

/* How b lies in memory, strides in floats. */
typedef struct {
    int64_t k, n, k_stride, n_stride;
} tt_matmul_unpacked;

/* Bytes of packed b; false when that overflows. */
bool tt_matmul_packed_bytes(int64_t k, int64_t n, size_t *out);
/* Packs b: a tt_pack of plan/lower.h, params is a tt_matmul_unpacked. */
tt_status tt_matmul_pack(const void *params, const void *src, void *dst, tt_error *err);

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
