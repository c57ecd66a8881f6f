/* Softmax, log-softmax and hardmax over one axis of a dense tensor, optionally of
 * scores + mask.
 *
 * The tensor is [rows, n, inner], normalised over n.  Rows with inner == 1 go through
 * vectors along n, others through vectors along inner.  The maximum is subtracted
 * first, so nothing overflows; a row of -inf alone gives NaN, as the definition
 * does. */
#ifndef TT_KERNELS_SOFTMAX_H
#define TT_KERNELS_SOFTMAX_H

#include "base/shape.h"
#include "base/status.h"

typedef enum { TT_SOFTMAX, TT_SOFTMAX_LOG, TT_SOFTMAX_HARD } tt_softmax_kind;

typedef struct {
    tt_softmax_kind kind;
    tt_dtype dtype;
    int64_t rows, n, inner;
    /* inner == 1: an f32 mask is added, contiguous along n, found for a row by the
     * indices of the leading dims (whose product is rows) and these strides */
    bool has_mask;
    int rank;
    int64_t dims[TT_MAX_RANK], mask_strides[TT_MAX_RANK];
} tt_softmax_kernel;

/* ptrs: src, (mask), dst; dst may be src.  A tt_kernel of plan/lower.h. */
tt_status tt_softmax_run(const void *params, void *const *ptrs, tt_error *err);
/* Name of the version that runs on this processor. */
const char *tt_softmax_name(void);

/* One row, or `lanes` columns of a block with inner > 1; per instruction set. */
typedef struct {
    const char *name;
    void (*row)(const float *src, const float *mask, float *dst, int64_t n, bool log);
    void (*columns)(const float *src, float *dst, int64_t n, int64_t inner, bool log);
} tt_softmax_table;

extern const tt_softmax_table tt_softmax_scalar, tt_softmax_avx2, tt_softmax_avx512;

#endif
