/* What the pools and their gradients read alike. */
#ifndef TT_OPS_POOL_H
#define TT_OPS_POOL_H

#include "kernels/pool.h"
#include "ops/window.h"

typedef struct {
    tt_window window;
    tt_pool_mode mode;
    bool column_major;
    int64_t p;
    int64_t real_pads_end[TT_MAX_SPATIAL]; /* before ceil_mode widened them */
} tt_pool_geometry;

/* What the attributes and the shape of input 0 say; `mode` MEAN becomes MEAN_PADS where
 * the node counts pads. */
tt_status tt_pool_read(const tt_site *site, tt_pool_mode mode, tt_pool_geometry *out,
                       tt_error *err);

/* What pool_ref.c is told of a pool, but for the strides of its tensors. */
tt_pool_kernel tt_pool_plain_kernel(const tt_pool_geometry *geometry,
                                    const tt_shape *src);

/* Strides of n, c and up to three spatial dims as exactly three. */
void tt_pool_five(const int64_t *strides, int rank, int64_t *out);

#endif
