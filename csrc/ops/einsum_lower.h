/* What lowering of Einsum is made of: tensors as strides by label. */
#ifndef TT_OPS_EINSUM_LOWER_H
#define TT_OPS_EINSUM_LOWER_H

#include "base/checked.h"
#include "ops/einsum.h"
#include "ops/fail.h"
#include "plan/lower.h"

typedef uint64_t tt_labels; /* a set */

static inline bool tt_labels_has(tt_labels set, int label)
{
    return ((set >> label) & 1) != 0;
}

typedef struct {
    int n;
    int labels[TT_MAX_RANK];
} tt_label_list;

/* A tensor that has `labels` as dims; strides of others are 0. */
typedef struct {
    tt_operand operand;
    tt_labels labels;
    bool is_constant; /* an input that is one, as it is */
    int64_t strides[TT_EINSUM_LABELS];
} tt_einsum_view;

typedef struct {
    tt_lower *lower;
    const tt_node *node;
    tt_dtype dtype;
    tt_einsum e;
    int n; /* views that are left */
    tt_einsum_view views[TT_EINSUM_OPERANDS];
} tt_einsum_state;

/* Items of a tensor with these labels. */
double tt_einsum_size(const tt_einsum *e, tt_labels set);
/* The labels of a set, those with the largest strides first. */
tt_status tt_einsum_list(const tt_einsum_state *s, tt_labels set, const int64_t *by,
                         tt_label_list *out, tt_error *err);

/* A dense tensor with these dims in memory; is_final: it is the node's output. */
tt_status tt_einsum_dense(const tt_einsum_state *s, const tt_label_list *list,
                          bool is_final, tt_einsum_view *out, tt_error *err);
/* Strides by label of a row-major output, and that output. */
void tt_einsum_row_major(const tt_einsum_state *s, int64_t *strides);
tt_status tt_einsum_result(const tt_einsum_state *s, tt_einsum_view *out,
                           tt_error *err);

/* x times y as matrix products (einsum_matmul.c).  *is_done is false, and nothing is
 * added, where they are none.  Labels outside of `keep` are in both. */
tt_status tt_einsum_matmul(const tt_einsum_state *s, const tt_einsum_view *x,
                           const tt_einsum_view *y, tt_labels keep, bool is_final,
                           tt_einsum_view *out, bool *is_done, tt_error *err);

#endif
