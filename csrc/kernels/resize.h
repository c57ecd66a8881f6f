/* Resampling of dense tensors, one table of source positions per dim.
 *
 * Nearest neighbour gathers all dims in one step, for any type.  Linear and cubic go
 * dim by dim: dst[o, j, i] = sum over t of weight[j, t] src[o, index[j, t], i], which
 * for channels-last images (and all dims but the last) is a weighted sum of contiguous
 * runs.  Both kinds of params are plain blocks from tt_alloc. */
#ifndef TT_KERNELS_RESIZE_H
#define TT_KERNELS_RESIZE_H

#include "base/shape.h"
#include "base/status.h"

typedef struct tt_resize_gather tt_resize_gather;
typedef struct tt_resize_pass tt_resize_pass;

/* dims of source and destination in memory order, outermost first.  index[d] lists
 * dst_dims[d] positions in the source, -1 where `fill` is stored; NULL: the dim stays.
 * *out is freed with tt_free. */
tt_status tt_resize_gather_new(tt_dtype dtype, int rank, const int64_t *src_dims,
                               const int64_t *dst_dims, const int32_t *const *index,
                               double fill, tt_resize_gather **out, tt_error *err);
size_t tt_resize_gather_bytes(const tt_resize_gather *gather);

/* One dim: [outer, n_src, inner] -> [outer, n_dst, inner].  index and weights have
 * n_dst x n_taps items; positions are in range; index[j, 0] of -1 stores `fill`.
 * Either both dtypes are float32 or sums are taken in double. */
typedef struct {
    tt_dtype src_dtype, dst_dtype;
    int64_t outer, n_src, n_dst, inner;
    int n_taps;
    double fill;
} tt_resize_dims;

tt_status tt_resize_pass_new(const tt_resize_dims *dims, const int32_t *index,
                             const float *weights, tt_resize_pass **out, tt_error *err);
size_t tt_resize_pass_bytes(const tt_resize_pass *pass);

/* tt_kernels of plan/lower.h; ptrs: src, dst. */
tt_status tt_resize_gather_run(const void *params, void *const *ptrs, tt_error *err);
tt_status tt_resize_pass_run(const void *params, void *const *ptrs, tt_error *err);
const char *tt_resize_name(void);

/* Loops per instruction set. */
typedef struct {
    const char *name;
    /* dst[i] = sum over t of weights[t] rows[t][i] */
    void (*blend)(const float *const *rows, const float *weights, int n_taps,
                  float *dst, int64_t n);
    /* dst[j] = sum over t of weights[j, t] src[index[j, t]] */
    void (*blend_items)(const float *src, const int32_t *index, const float *weights,
                        int n_taps, float *dst, int64_t n);
} tt_resize_table;

extern const tt_resize_table tt_resize_scalar;
#ifdef __x86_64__
extern const tt_resize_table tt_resize_avx2, tt_resize_avx512;
#endif

#endif
