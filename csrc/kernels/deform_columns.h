/* What a deformable convolution reads, as rows of a matrix: every point of every window
 * is moved by an offset, read between the items by linear interpolation (0 outside) and
 * scaled by a mask. */
#ifndef TT_KERNELS_DEFORM_COLUMNS_H
#define TT_KERNELS_DEFORM_COLUMNS_H

#include <stdbool.h>

#include "base/dtype.h"

enum { TT_DEFORM_MAX_RANK = 3 };

/* src is channels-last [n_batches, src.., n_channels]; offset [n_batches,
 * n_offset_groups, n_points, rank, dst..] and mask (or NULL) without the rank.  columns
 * [n_groups, n_batches, dst.., n_channels / n_groups, n_points]. */
typedef struct {
    tt_dtype dtype; /* any float; computed in f32, f64 in f64 */
    int rank;       /* spatial dims, 1 to TT_DEFORM_MAX_RANK */
    int64_t n_batches, n_channels, n_groups, n_offset_groups;
    int64_t n_points, n_dst; /* of a window; windows of one batch */
    int64_t src[TT_DEFORM_MAX_RANK], dst[TT_DEFORM_MAX_RANK];
    int64_t kernel[TT_DEFORM_MAX_RANK], strides[TT_DEFORM_MAX_RANK];
    int64_t dilations[TT_DEFORM_MAX_RANK], pads[TT_DEFORM_MAX_RANK];
} tt_deform_columns;

void tt_deform_columns_run(const tt_deform_columns *columns, const void *src,
                           const void *offset, const void *mask, void *dst);

#endif
