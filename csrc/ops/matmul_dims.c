/* Matrices as oneDNN sees them: see matmul_dims.h. */
#include "ops/matmul_dims.h"

/* [batch.., m, x] as [batch m, x]. */
void tt_matmul_merge(tt_md *md)
{
    int last = md->ndims - 2;
    int64_t stride = md->strides[last], rows = 1;
    for (int i = last; i >= 0; --i) {
        if (rows == 1 && md->dims[i] != 1) stride = md->strides[i];
        rows *= md->dims[i];
    }
    md->dims[0] = rows;
    md->strides[0] = stride;
    md->dims[1] = md->dims[last + 1];
    md->strides[1] = md->strides[last + 1];
    md->ndims = 2;
}

/* Do the dims before the last one have strides like those of a single dim? */
bool tt_matmul_is_mergeable(const tt_md *md)
{
    int64_t expected = -1;
    for (int i = md->ndims - 2; i >= 0; --i) {
        if (md->dims[i] == 1) continue;
        if (expected >= 0 && md->strides[i] != expected) return false;
        expected = md->strides[i] * md->dims[i];
    }
    return true;
}

bool tt_matmul_is_single_batch(const tt_md *md)
{
    for (int i = 0; i < md->ndims - 2; ++i)
        if (md->dims[i] != 1) return false;
    return true;
}

/* A batch dim of 1 may have any stride, and views leave some that look like another
 * dim's.  oneDNN goes by the order of the strides (3.13 then computes nonsense, 3.2
 * falls to a slower implementation), so such a dim is described as the outermost. */
void tt_matmul_settle_batches(tt_md *md)
{
    int64_t span = 1;
    for (int i = 0; i < md->ndims; ++i)
        if (md->dims[i] > 1 && md->strides[i] * md->dims[i] > span)
            span = md->strides[i] * md->dims[i];
    for (int i = 0; i < md->ndims - 2; ++i)
        if (md->dims[i] == 1) md->strides[i] = span;
}

/* The same for a single row, which looks like a column when its stride is 1: oneDNN
 * takes the slowest way for that. */
void tt_matmul_settle_row(tt_md *md)
{
    int row = md->ndims - 2;
    if (md->dims[row] == 1 && md->strides[row + 1] == 1)
        md->strides[row] = md->dims[row + 1];
}

/* And for a single column, whose stride may be smaller than the rows' span when the
 * matrix is part of another: oneDNN 3.2 takes it for a leading dimension and fails. */
void tt_matmul_settle_column(tt_md *md)
{
    int column = md->ndims - 1;
    if (md->dims[column] == 1) md->strides[column] = 1;
}
