/* ScatterElements and ScatterND over row-major memory: dst already holds the data,
 * updates are applied in their order, so the last of equal indices wins. */
#ifndef TT_KERNELS_SCATTER_H
#define TT_KERNELS_SCATTER_H

#include "base/shape.h"
#include "base/status.h"
#include "kernels/gather.h"

typedef enum {
    TT_SCATTER_SET,
    TT_SCATTER_ADD,
    TT_SCATTER_MUL,
    TT_SCATTER_MAX,
    TT_SCATTER_MIN
} tt_scatter_op;

/* Can updates of this dtype be combined so? */
bool tt_scatter_has(tt_scatter_op op, tt_dtype dtype);

typedef struct {
    tt_scatter_op op;
    tt_dtype dtype;
    int rank, axis;
    int64_t dims[TT_MAX_RANK];        /* of indices and updates */
    int64_t dst_strides[TT_MAX_RANK]; /* in items */
    int64_t dim;                      /* of dst along the axis */
    bool is_32;
} tt_scatter_elements;

tt_status tt_scatter_elements_run(const tt_scatter_elements *scatter,
                                  const void *indices, const void *updates, void *dst,
                                  tt_error *err);

/* Slices: where.slice_bytes each, one batch. */
typedef struct {
    tt_scatter_op op;
    tt_dtype dtype;
    tt_gather_nd where;
} tt_scatter_nd;

tt_status tt_scatter_nd_run(const tt_scatter_nd *scatter, const void *indices,
                            const void *updates, void *dst, tt_error *err);

#endif
