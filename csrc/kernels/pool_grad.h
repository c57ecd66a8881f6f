/* Gradients of pools: each window's gradient goes back to its largest item (the first of
 * equal ones, or a NaN), or in equal parts to the items of its mean.
 *
 * Tensors are [n, channels, d, h, w] with channels next to each other. */
#ifndef TT_KERNELS_POOL_GRAD_H
#define TT_KERNELS_POOL_GRAD_H

#include "kernels/pool.h"

/* params: a tt_pool_kernel of mode MAX, MEAN or MEAN_PADS in f32 or f64 whose
 * src_strides are those of src and of its gradient, and dst_strides those of the
 * gradient of the result.
 * ptrs: src (NULL for means), gradient of the result, then written: gradient of src.  A
 * tt_kernel of plan/lower.h. */
tt_status tt_pool_grad_run(const void *params, void *const *ptrs, tt_error *err);

/* A window of few items of a max pool: offsets of its items from x and out. */
enum { TT_POOL_WINDOW = 64 };

typedef struct {
    const float *x, *g;
    float *out;
    int32_t n_items; /* at least 1 */
    int64_t offsets[TT_POOL_WINDOW];
} tt_pool_window;

/* Per instruction set. */
typedef void (*tt_pool_window_fn)(const tt_pool_window *w, int64_t n_channels);

extern const tt_pool_window_fn tt_pool_window_scalar, tt_pool_window_avx2,
    tt_pool_window_avx512;

#endif
