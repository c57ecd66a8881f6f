/* An ensemble of trees as its node says it, the same for all versions of the operator.
 * Lengths, children, features and scores are checked; that nodes form trees is not. */
#ifndef TT_OPS_TREE_TABLE_H
#define TT_OPS_TREE_TABLE_H

#include "kernels/forest.h"
#include "ops/op.h"

/* X(code, name in files); in the order of the numbers of TreeEnsemble-5 */
#define TT_BRANCH_LIST(X)                \
    X(TT_BRANCH_LEQ, "BRANCH_LEQ")       \
    X(TT_BRANCH_LT, "BRANCH_LT")         \
    X(TT_BRANCH_GTE, "BRANCH_GTE")       \
    X(TT_BRANCH_GT, "BRANCH_GT")         \
    X(TT_BRANCH_EQ, "BRANCH_EQ")         \
    X(TT_BRANCH_NEQ, "BRANCH_NEQ")       \
    X(TT_BRANCH_MEMBER, "BRANCH_MEMBER") \
    X(TT_BRANCH_LEAF, "LEAF")

typedef enum {
#define TT_BRANCH_ENUM(code, name) code,
    TT_BRANCH_LIST(TT_BRANCH_ENUM)
#undef TT_BRANCH_ENUM
        TT_BRANCH_COUNT
} tt_branch;

typedef struct {
    tt_branch mode;
    bool missing_is_true;
    int32_t column;
    int64_t on_true, on_false;     /* nodes of the table; none of a leaf */
    int64_t first_item, last_item; /* of EQ, NEQ, MEMBER: in items, last not included */
    double threshold;              /* of the others */
} tt_table_node;

typedef struct {
    int64_t leaf, score;
    double weight;
} tt_table_weight;

typedef struct {
    int64_t n_nodes, n_roots, n_weights, n_items, n_scores, n_labels;
    tt_table_node *nodes;
    int64_t *roots;
    tt_table_weight *weights;
    double *items; /* those of a node rise, without NaN */
    double *base;  /* n_scores */
    const int64_t *labels;
    tt_forest_aggregate aggregate;
    tt_score_rule rule;
} tt_tree_table;

/* What the shapes of the outputs need: cheap.  TreeEnsembleClassifier and -Regressor. */
tt_status tt_tree_rule(const tt_node *node, tt_score_rule *rule, tt_error *err);
/* The same of TreeEnsemble. */
tt_status tt_tree_rule_v5(const tt_node *node, tt_score_rule *rule, tt_error *err);

/* Reads all of it; free it in any case. */
tt_status tt_tree_table_read(const tt_node *node, tt_tree_table *table, tt_error *err);
tt_status tt_tree_table_read_v5(const tt_node *node, tt_tree_table *table,
                                tt_error *err);
void tt_tree_table_free(tt_tree_table *table);

/* Room for these; what counts is n_nodes, n_roots, n_weights, n_items, n_scores. */
tt_status tt_tree_table_reserve(const tt_node *node, tt_tree_table *table,
                                tt_error *err);
/* Sorts the items of a node and drops NaN and doubles. */
void tt_tree_table_sort_items(tt_tree_table *table, tt_table_node *node);

/* Compiles a table; `is_double`: of rows of double.  The block is a constant of bytes. */
tt_status tt_forest_build(const tt_node *node, const tt_tree_table *table,
                          bool is_double, tt_constant **out, tt_error *err);

#endif
