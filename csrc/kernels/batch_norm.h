/* BatchNormalization as it trains: by the mean and variance of what it reads, which also
 * move the running ones. */
#ifndef TT_KERNELS_BATCH_NORM_H
#define TT_KERNELS_BATCH_NORM_H

#include "base/dtype.h"
#include "base/status.h"

enum {
    TT_BATCH_NORM_X, /* [n_samples, n_channels, inner], row-major */
    TT_BATCH_NORM_SCALE,
    TT_BATCH_NORM_SHIFT,
    TT_BATCH_NORM_MEAN, /* as they were; [n_channels] each, like scale and shift */
    TT_BATCH_NORM_VARIANCE,
    TT_BATCH_NORM_Y,        /* may be X; NULL: unwanted */
    TT_BATCH_NORM_MEAN_NEW, /* kept * momentum + batch's * (1 - momentum), or NULL */
    TT_BATCH_NORM_VARIANCE_NEW,
    TT_BATCH_NORM_N
};

typedef struct {
    tt_dtype dtype, scale, statistics; /* of x and y, scale and shift, the means */
    int64_t n_samples, n_channels, inner;
    double epsilon, momentum;
} tt_batch_norm;

/* ptrs: as the enum has them.  A tt_kernel of plan/lower.h. */
tt_status tt_batch_norm_run(const void *params, void *const *ptrs, tt_error *err);

#endif
