/* Determinants of square matrices by LU decomposition with partial pivoting, in double
 * whatever the type. */
#ifndef TT_KERNELS_DET_H
#define TT_KERNELS_DET_H

#include <stdbool.h>

#include "base/dtype.h"

/* src [n_matrices, n, n] row-major, dst [n_matrices]. */
typedef struct {
    tt_dtype dtype;
    int64_t n_matrices, n;
    int n_parts; /* matrices are split into so many parts, each has a scratch */
} tt_det;

/* False: it does not fit. */
bool tt_det_scratch_bytes(const tt_det *det, size_t *out);
void tt_det_run(const tt_det *det, const void *src, void *dst, double *scratch);

#endif
