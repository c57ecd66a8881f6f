/* Ensembles of decision trees over rows of numbers.
 *
 * A forest is one flat block: the header, then arrays that it gives the places of.
 * Numbers are compared as keys: integers in the order of the floats, so that every kind
 * of comparison becomes `key <= threshold`.  NaN is the largest key or, for a feature of
 * which it shall go left, the smallest.
 *
 * The children of a node are neighbours, left then right, and a leaf is its own left
 * child below the largest threshold: a walk is the same few operations at each level,
 * without a branch.  Of the first levels all comparisons are made, for as many rows as a
 * vector has lanes; gathers, which could do the others so too, are slower than loads on
 * many processors. */
#ifndef TT_KERNELS_FOREST_H
#define TT_KERNELS_FOREST_H

#include <stdbool.h>

#include "base/dtype.h"
#include "base/status.h"
#include "kernels/ml_scores.h"

enum {
    TT_FOREST_GROUP = 16, /* rows whose keys lie side by side */
    TT_FOREST_TOP_LEVELS = 4,
    TT_FOREST_TOP = 15 /* nodes of these levels */
};

typedef struct {
    int32_t threshold;
    uint32_t link; /* left child (counted from the root) << feature_bits | 16 feature */
} tt_forest_node;

/* For keys of double, and for trees whose links do not fit: feature_bits is 32. */
typedef struct {
    int64_t threshold;
    uint64_t link;
} tt_forest_wide_node;

typedef struct {
    int32_t first; /* its root */
    int32_t min_depth, max_depth;
    int32_t score; /* what its leaves add to, with TT_LEAVES_ONE */
} tt_forest_tree;

/* The first levels of a tree, level by level; a leaf stands for all below it.  The right
 * child is taken where the key is above the threshold. */
typedef struct {
    int32_t offset[TT_FOREST_TOP]; /* 16 feature */
    int32_t threshold[TT_FOREST_TOP];
    int32_t exits[TT_FOREST_TOP + 1]; /* nodes behind them */
} tt_forest_top;

/* Where a feature's keys come from. */
typedef struct {
    int32_t column;
    int32_t nan_is_least;
} tt_forest_feature;

typedef enum {
    TT_LEAVES_ONE, /* one value per leaf, found by its node */
    TT_LEAVES_ALL, /* n_scores values per leaf */
    TT_LEAVES_SOME /* any, with the numbers of their scores */
} tt_forest_leaves;

typedef enum {
    TT_FOREST_SUM,
    TT_FOREST_AVERAGE,
    TT_FOREST_MIN,
    TT_FOREST_MAX
} tt_forest_aggregate;

typedef struct {
    bool is_wide;
    tt_forest_leaves leaves;
    tt_forest_aggregate aggregate;
    int feature_bits;
    int32_t n_trees, n_nodes, n_leaves, n_features;
    int64_t n_columns; /* that rows must have at least */
    int64_t n_scores;
    /* places in the block, in bytes */
    size_t trees;    /* tt_forest_tree[n_trees] */
    size_t tops;     /* tt_forest_top[n_trees]; not of wide ones */
    size_t nodes;    /* tt_forest_node or tt_forest_wide_node[n_nodes] */
    size_t features; /* tt_forest_feature[n_features] */
    size_t values;   /* double per node (ONE), per leaf and score (ALL), per entry */
    size_t leaf_of;  /* int32[n_nodes]; not with ONE */
    size_t starts;   /* int64[n_leaves + 1], of the entries of a leaf: SOME */
    size_t scores;   /* int64 per entry: SOME */
    size_t base;     /* double[n_scores] */
    size_t labels;   /* int64 of each class; 0: none */
} tt_forest;

/* One call.  dst rows are rule.n_outputs wide. */
typedef struct {
    tt_dtype src_dtype, dst_dtype;
    int64_t n_rows, n_columns;
    tt_score_rule rule;
    /* filled by tt_forest_split */
    int64_t block_rows;
    int n_slots;
    size_t slot_bytes;
} tt_forest_call;

/* Chooses the blocks; false when the working memory would overflow. */
bool tt_forest_split(const tt_forest *forest, tt_forest_call *call, int n_threads,
                     size_t *scratch_bytes);

/* ptrs: src (rows, dense), forest, labels (int64[n_rows] or NULL), dst or NULL, scratch.
 * A tt_kernel of plan/lower.h. */
tt_status tt_forest_run(const void *params, void *const *ptrs, tt_error *err);

const char *tt_forest_name(const tt_forest *forest);

/* Keys; NaN gives `nan`. */
int32_t tt_forest_key_f32(float value, int32_t nan);
int64_t tt_forest_key_f64(double value, int64_t nan);

/* ---- parts ------------------------------------------------------------------------ */

/* Nodes that n rows reach in one tree, counted from its root, from reached[] on, which
 * lies `done` levels below it: keys[group][feature][lane], of doubles where the forest is
 * wide.  n may be rounded up to a multiple of 4. */
void tt_forest_walk(const tt_forest *forest, const tt_forest_tree *tree,
                    const void *keys, int64_t n, int32_t done, int32_t *reached);
/* The leaves that one row reaches in all trees: keys[feature] -> reached[tree]. */
void tt_forest_walk_trees(const tt_forest *forest, const int32_t *keys,
                          int32_t *reached);

/* The nodes where n_groups leave the top of a tree. */
typedef struct {
    void (*top)(const tt_forest *forest, const tt_forest_top *nodes,
                const int32_t *keys, int64_t n_groups, int32_t *reached);
    const char *name;
} tt_forest_isa;

extern const tt_forest_isa tt_forest_avx2, tt_forest_avx512;

static inline const void *tt_forest_at(const tt_forest *forest, size_t place)
{
    return (const char *)forest + place;
}

#endif
