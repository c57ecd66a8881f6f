/* Reductions and arg-reductions over any set of dims of a strided tensor.
 *
 * Dims are split into kept ones and reduced ones (dims and strides of the source,
 * both lists merged where memory allows).  Three loops cover the common cases in
 * float: a contiguous run is reduced (last dims), a contiguous run is kept (channels
 * of a channels-last image, rows of a matrix), anything else goes element by element
 * in double. */
#ifndef TT_KERNELS_REDUCE_H
#define TT_KERNELS_REDUCE_H

#include "base/shape.h"
#include "base/status.h"

/* X(code, text): what is accumulated, and what is done at the end */
#define TT_REDUCE_LIST(X)                   \
    X(TT_REDUCE_SUM, "sum")                 \
    X(TT_REDUCE_MEAN, "mean")               \
    X(TT_REDUCE_MAX, "max")                 \
    X(TT_REDUCE_MIN, "min")                 \
    X(TT_REDUCE_PROD, "prod")               \
    X(TT_REDUCE_L1, "l1")                   \
    X(TT_REDUCE_L2, "l2")                   \
    X(TT_REDUCE_LOG_SUM, "log_sum")         \
    X(TT_REDUCE_LOG_SUM_EXP, "log_sum_exp") \
    X(TT_REDUCE_SUM_SQUARE, "sum_square")   \
    X(TT_REDUCE_ARG_MAX, "arg_max")         \
    X(TT_REDUCE_ARG_MIN, "arg_min")

typedef enum {
#define TT_REDUCE_ENUM(code, text) code,
    TT_REDUCE_LIST(TT_REDUCE_ENUM)
#undef TT_REDUCE_ENUM
} tt_reduce_kind;

typedef struct {
    tt_reduce_kind kind;
    tt_dtype dtype;        /* of the source */
    bool select_last;      /* arg: the last of equal ones */
    int n_kept, n_reduced; /* innermost dim last in both */
    int64_t kept[TT_MAX_RANK], kept_strides[TT_MAX_RANK];
    int64_t reduced[TT_MAX_RANK], reduced_strides[TT_MAX_RANK];
} tt_reduce_kernel;

/* Fills the lists from a source and the set of reduced dims, merging neighbours. */
void tt_reduce_plan(tt_reduce_kernel *kernel, const tt_shape *src,
                    const int64_t *strides, const bool *is_reduced);

/* ptrs: src, dst (dense, in the order of the kept dims; int64 for arg).  A tt_kernel
 * of plan/lower.h. */
tt_status tt_reduce_run(const void *params, void *const *ptrs, tt_error *err);
const char *tt_reduce_name(void);

/* Float loops per instruction set.  run: the result of n contiguous items.  add: dst[i]
 * = dst[i] (+) src[i] (+) src[i + stride] (+) ..., n_rows of them, for i < n; the first
 * call of a group has is_first. */
typedef struct {
    const char *name;
    float (*run)(tt_reduce_kind kind, const float *src, int64_t n);
    void (*add)(tt_reduce_kind kind, const float *src, int64_t stride, int64_t n_rows,
                float *dst, int64_t n, bool is_first);
} tt_reduce_table;

extern const tt_reduce_table tt_reduce_scalar, tt_reduce_avx2, tt_reduce_avx512;

#endif
