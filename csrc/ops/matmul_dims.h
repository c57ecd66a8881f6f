/* Dims and strides of batches of matrices, [batch.., rows, columns]. */
#ifndef TT_OPS_MATMUL_DIMS_H
#define TT_OPS_MATMUL_DIMS_H

#include "dnnl/dnnl_shim.h"

/* [batch.., m, x] becomes [batch m, x]. */
void tt_matmul_merge(tt_md *md);
/* Do the dims before the last one have strides like those of a single dim? */
bool tt_matmul_is_mergeable(const tt_md *md);
bool tt_matmul_is_single_batch(const tt_md *md);
/* Strides that mean nothing (of dims of 1) as oneDNN wants them. */
void tt_matmul_settle_batches(tt_md *md);
void tt_matmul_settle_row(tt_md *md);
void tt_matmul_settle_column(tt_md *md);

#endif
