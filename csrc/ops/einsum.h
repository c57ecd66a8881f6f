/* An equation of Einsum, read and checked against the shapes of its operands. */
#ifndef TT_OPS_EINSUM_H
#define TT_OPS_EINSUM_H

#include "ops/op.h"

/* A label is a letter (A to Z, then a to z) or a dim of the ellipsis, counted so that
 * the last one is TT_EINSUM_LABELS - 1. */
enum {
    TT_EINSUM_LETTERS = 52,
    TT_EINSUM_LABELS = TT_EINSUM_LETTERS + TT_MAX_RANK,
    TT_EINSUM_OPERANDS = 64
};

typedef struct {
    int rank;
    int labels[TT_MAX_RANK];
} tt_einsum_term;

typedef struct {
    int n_terms;
    tt_einsum_term terms[TT_EINSUM_OPERANDS], out;
    int64_t dims[TT_EINSUM_LABELS]; /* of labels that occur; dims of 1 broadcast */
} tt_einsum;

tt_status tt_einsum_read(const tt_site *site, tt_einsum *out, tt_error *err);

#endif
