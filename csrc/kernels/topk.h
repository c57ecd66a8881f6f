/* The k best of rows, best first; of equal elements the one with the lower index.
 * NaN is larger than any number. */
#ifndef TT_KERNELS_TOPK_H
#define TT_KERNELS_TOPK_H

#include "base/shape.h"

/* Rows run along the middle of [n_outer, n, n_inner]; values and indices are
 * [n_outer, k, n_inner].  All memory is row-major; values may be NULL. */
typedef struct {
    tt_dtype dtype;
    int64_t n_outer, n, n_inner, k;
    bool largest;
} tt_topk;

/* Is the dtype ordered? */
bool tt_topk_has(tt_dtype dtype);

/* Splits the rows over the current arena; needs no memory besides the results. */
void tt_topk_run(const tt_topk *topk, const void *src, void *values, int64_t *indices);

#endif
