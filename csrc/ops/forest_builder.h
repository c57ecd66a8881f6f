/* A forest between its table and its block: nodes in their places (forest_build.c), which
 * become the block (forest_write.c). */
#ifndef TT_OPS_FOREST_BUILDER_H
#define TT_OPS_FOREST_BUILDER_H

#include "ops/tree_table.h"

/* Which keys go left, in terms of `value`. */
typedef enum {
    TT_AT_MOST, /* key <= value */
    TT_BELOW,   /* key < value */
    TT_ALWAYS,  /* leaves and jumps */
    TT_NUMBERS, /* all but NaN */
    TT_NEVER
} tt_placed_rule;

typedef struct {
    double value;
    tt_placed_rule rule;
    int32_t child, feature; /* child: of the tree's root */
    int32_t leaf;           /* number of a leaf, or -1 */
} tt_placed;

typedef struct {
    const tt_node *node;
    const tt_tree_table *table;
    tt_placed *nodes;
    struct tt_forest_task *queue;
    tt_forest_tree *trees;
    uint8_t *visited;        /* inner nodes */
    int32_t *leaf_of;        /* number of each leaf of the table, or -1 */
    int64_t *leaves;         /* the other way round */
    int64_t *codes;          /* column * 2 + (NaN is least), sorted */
    int64_t *starts, *order; /* weights by leaf of the table */
    size_t nodes_capacity, queue_capacity;
    int64_t n_nodes, n_queue, n_leaves, n_features, largest_tree;
} tt_forest_builder;

tt_status tt_forest_no_memory(const tt_forest_builder *b, tt_error *err);

/* The block of what was placed. */
tt_status tt_forest_write(tt_forest_builder *b, bool is_double, tt_constant **out,
                          tt_error *err);

#endif
