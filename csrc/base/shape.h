/* Dims, strides and broadcasting.  A tt_shape is a plain value: copy it. */
#ifndef TT_BASE_SHAPE_H
#define TT_BASE_SHAPE_H

#include "base/dtype.h"
#include "base/status.h"

#ifdef __cplusplus
extern "C" {
#endif

enum { TT_MAX_RANK = 10 };

/* Concrete dtype and dims; rank 0 is a scalar.  dims[i] >= 0 always. */
typedef struct {
    tt_dtype dtype;
    int rank;
    int64_t dims[TT_MAX_RANK];
} tt_shape;

/* A tensor in memory: strides count elements and may be any non-negative
 * number (0 = broadcast).  Never owns `data`. */
typedef struct {
    tt_shape shape;
    int64_t strides[TT_MAX_RANK];
    void *data;
} tt_tensor;

/* Row-major strides of dims into strides[0..rank); a dim of 0 counts as 1.
 * The caller has checked that the element count does not overflow. */
void tt_strides_row_major(const int64_t *dims, int rank, int64_t *strides);

/* Strides of (N, C, d1, d2, ..) stored as (N, d1, d2, .., C). */
void tt_strides_channels_last(const int64_t *dims, int rank, int64_t *strides);

/* Items of n dims; the caller has checked that their count does not overflow. */
int64_t tt_dims_product(const int64_t *dims, int n);

/* Where item `index` lies (row-major order of the first n dims), in elements. */
int64_t tt_dims_offset(int64_t index, const int64_t *dims, const int64_t *strides,
                       int n);

/* Element count.  tt_shape is always valid, so this cannot overflow. */
int64_t tt_shape_numel(const tt_shape *shape);

/* Bytes of the dense tensor; 0 for strings and types below a byte. */
size_t tt_shape_bytes(const tt_shape *shape);

bool tt_shape_equal(const tt_shape *a, const tt_shape *b); /* dtype and dims */

/* Do the strides describe the row-major dense layout?  Dims of 1 may have any
 * stride; a tensor with a dim of 0 is dense. */
bool tt_is_row_major(const tt_shape *shape, const int64_t *strides);
bool tt_is_channels_last(const tt_shape *shape, const int64_t *strides);

/* Is every element used once, in any order of dims (some permutation of a dense
 * tensor)? */
bool tt_is_dense(const tt_shape *shape, const int64_t *strides);

/* Number of elements from the first to one past the last addressed. */
int64_t tt_span(const tt_shape *shape, const int64_t *strides);

/* NumPy broadcasting of a and b into out (dims only; out->dtype untouched).
 * TT_BAD_MODEL with both shapes in the text when they do not broadcast or the
 * result's element count overflows. */
tt_status tt_shape_broadcast(const tt_shape *a, const tt_shape *b, tt_shape *out,
                             tt_error *err);

/* "[1,3,224,224]" into text (always terminated); returns text. */
const char *tt_shape_text(const tt_shape *shape, char *text, size_t text_bytes);

#ifdef __cplusplus
}
#endif

#endif
