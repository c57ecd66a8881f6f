/* Local response normalisation: x / (bias + alpha * sum of squares of its neighbours
 * in the channels) ^ beta. */
#ifndef TT_KERNELS_LRN_H
#define TT_KERNELS_LRN_H

#include <stdbool.h>

#include "base/dtype.h"

/* [n_rows][n_channels][n_items], or with the channels last [n_rows][n_items][..]. */
typedef struct {
    tt_dtype dtype; /* any float; computed in f32, f64 in f64 */
    bool is_channels_last;
    int64_t n_rows, n_channels, n_items;
    int64_t before, after;   /* neighbours on either side, less than n_channels */
    float alpha, beta, bias; /* alpha is divided by the size of the window */
} tt_lrn;

void tt_lrn_run(const tt_lrn *lrn, const void *src, void *dst);

#endif
