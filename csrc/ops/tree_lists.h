/* Lists of numbers in the attributes of tree ensembles, and their lengths. */
#ifndef TT_OPS_TREE_LISTS_H
#define TT_OPS_TREE_LISTS_H

#include "ops/op.h"

/* Points into the node. */
typedef struct {
    tt_dtype dtype;
    const void *data;
    int64_t n; /* 0: there is none */
} tt_tree_numbers;

/* The tensor `name`, which the node has: float32, float64, float16 or uint8. */
tt_status tt_tree_tensor(const tt_node *node, const char *name, tt_tree_numbers *out,
                         tt_error *err);
double tt_tree_number(const tt_tree_numbers *list, int64_t i);
/* A list of exactly `wanted` ints. */
tt_status tt_tree_ints(const tt_node *node, const char *name, int64_t wanted,
                       const int64_t **out, tt_error *err);

#endif
