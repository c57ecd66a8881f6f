/* Boxes that say the same: greedy suppression by overlap. */
#ifndef TT_KERNELS_BOXES_H
#define TT_KERNELS_BOXES_H

#include <stdint.h>

/* Boxes as (left, top, right, bottom) in the order of falling scores.  A box is kept
 * when its intersection over union with every kept box of its class is at most
 * `overlap`; classes may be NULL.  kept: room for n_max indices.  Returns how many. */
int64_t tt_boxes_suppress(const float *boxes, const int32_t *classes, int64_t n,
                          double overlap, int64_t n_max, int32_t *kept);

#endif
