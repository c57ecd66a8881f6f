/* TreeEnsemble (ai.onnx.ml 5) as a table of nodes: inner ones first, then the leaves. */
#include <string.h>

#include "ops/fail.h"
#include "ops/ml_common.h"
#include "ops/tree_lists.h"
#include "ops/tree_table.h"

static const tt_forest_aggregate aggregates[] = {TT_FOREST_AVERAGE, TT_FOREST_SUM,
                                                 TT_FOREST_MIN, TT_FOREST_MAX};
static const tt_score_transform transforms[] = {
    TT_TRANSFORM_NONE, TT_TRANSFORM_SOFTMAX, TT_TRANSFORM_LOGISTIC,
    TT_TRANSFORM_SOFTMAX_ZERO, TT_TRANSFORM_PROBIT};
enum { N_AGGREGATES = 4, N_TRANSFORMS = 5, SUM = 1 };

/* ---- attributes ------------------------------------------------------------------- */

/* A tensor that may be missing. */
static tt_status read_optional(const tt_node *node, const char *name,
                               tt_tree_numbers *out, tt_error *err)
{
    *out = (tt_tree_numbers){TT_F32, NULL, 0};
    return tt_attribute_find(node, name) == NULL ? TT_OK
                                                 : tt_tree_tensor(node, name, out, err);
}

static tt_status read_choice(const tt_node *node, const char *name, int64_t fallback,
                             int n, int64_t *out, tt_error *err)
{
    TT_TRY(tt_attribute_int(node, name, fallback, out, err));
    if (*out >= 0 && *out < n) return TT_OK;
    return tt_fail_at(node, err, TT_BAD_MODEL, "%s is %lld, expected 0..%d", name,
                      (long long)*out, n - 1);
}

tt_status tt_tree_rule_v5(const tt_node *node, tt_score_rule *rule, tt_error *err)
{
    int64_t transform;
    *rule = (tt_score_rule){.kind = TT_SCORES_PLAIN};
    TT_TRY(read_choice(node, "post_transform", 0, N_TRANSFORMS, &transform, err));
    TT_TRY(tt_attribute_int(node, "n_targets", 1, &rule->n_scores, err));
    rule->transform = transforms[transform];
    rule->n_outputs = rule->n_scores;
    if (rule->n_scores < 1 || rule->n_scores > TT_ML_MAX_SCORES)
        return tt_fail_at(node, err, TT_BAD_MODEL, "n_targets is %lld, expected 1..%d",
                          (long long)rule->n_scores, TT_ML_MAX_SCORES);
    return TT_OK;
}

/* ---- the lists -------------------------------------------------------------------- */

typedef struct {
    int64_t n_inner, n_leaves, n_roots;
    const int64_t *roots, *columns, *on_true, *on_false, *missing;
    const int64_t *true_is_leaf, *false_is_leaf, *scores;
    tt_tree_numbers modes, splits, weights, members;
} lists;

static tt_status read_lists(const tt_node *node, lists *l, tt_error *err)
{
    int n;
    TT_TRY(tt_tree_tensor(node, "nodes_modes", &l->modes, err));
    TT_TRY(tt_tree_tensor(node, "nodes_splits", &l->splits, err));
    TT_TRY(tt_tree_tensor(node, "leaf_weights", &l->weights, err));
    TT_TRY(read_optional(node, "membership_values", &l->members, err));
    l->n_inner = l->modes.n;
    l->n_leaves = l->weights.n;
    TT_TRY(tt_tree_ints(node, "nodes_featureids", l->n_inner, &l->columns, err));
    TT_TRY(tt_tree_ints(node, "nodes_truenodeids", l->n_inner, &l->on_true, err));
    TT_TRY(tt_tree_ints(node, "nodes_falsenodeids", l->n_inner, &l->on_false, err));
    TT_TRY(tt_tree_ints(node, "nodes_trueleafs", l->n_inner, &l->true_is_leaf, err));
    TT_TRY(tt_tree_ints(node, "nodes_falseleafs", l->n_inner, &l->false_is_leaf, err));
    TT_TRY(tt_tree_ints(node, "leaf_targetids", l->n_leaves, &l->scores, err));
    TT_TRY(tt_attribute_ints(node, "nodes_missing_value_tracks_true", &l->missing, &n,
                             err));
    if (n <= 0) l->missing = NULL;
    if (l->splits.n != l->n_inner || (n > 0 && n != l->n_inner))
        return tt_fail_at(node, err, TT_BAD_MODEL,
                          "%lld nodes_modes, %lld nodes_splits, %d "
                          "nodes_missing_value_tracks_true",
                          (long long)l->n_inner, (long long)l->splits.n, n);
    TT_TRY(tt_attribute_ints(node, "tree_roots", &l->roots, &n, err));
    l->n_roots = n;
    if (n < 1 || n > l->n_inner)
        return tt_fail_at(node, err, TT_BAD_MODEL,
                          "%d tree_roots for %lld nodes, expected one for each tree", n,
                          (long long)l->n_inner);
    return TT_OK;
}

static tt_status read_child(const tt_node *node, const lists *l, int64_t child,
                            bool is_leaf, int64_t *out, tt_error *err)
{
    int64_t n = is_leaf ? l->n_leaves : l->n_inner;
    if (child < 0 || child >= n)
        return tt_fail_at(node, err, TT_BAD_MODEL, "there is no %s %lld, only %lld",
                          is_leaf ? "leaf" : "node", (long long)child, (long long)n);
    *out = is_leaf ? l->n_inner + child : child;
    return TT_OK;
}

/* The sets of the nodes of mode MEMBER follow each other, each with a NaN behind it. */
static void take_members(const lists *l, tt_tree_table *t, tt_table_node *to,
                         int64_t *at)
{
    to->first_item = t->n_items;
    for (; *at < l->members.n; ++*at) {
        double member = tt_tree_number(&l->members, *at);
        if (member != member) break;
        t->items[t->n_items++] = member;
    }
    ++*at;
    to->last_item = t->n_items;
}

static tt_status fill_node(const tt_node *node, const lists *l, tt_tree_table *t,
                           int64_t i, int64_t *member, tt_error *err)
{
    tt_table_node *to = &t->nodes[i];
    double mode = tt_tree_number(&l->modes, i);
    if (!(mode >= 0 && mode < TT_BRANCH_LEAF) || mode != (double)(int)mode)
        return tt_fail_at(node, err, TT_BAD_MODEL, "no mode of a node is %g", mode);
    if (l->columns[i] < 0 || l->columns[i] >= INT32_MAX)
        return tt_fail_at(node, err, TT_BAD_MODEL, "a node compares feature %lld",
                          (long long)l->columns[i]);
    to->mode = (tt_branch)mode;
    to->column = (int32_t)l->columns[i];
    to->threshold = tt_tree_number(&l->splits, i);
    to->missing_is_true = l->missing != NULL && l->missing[i] != 0;
    TT_TRY(
        read_child(node, l, l->on_true[i], l->true_is_leaf[i] != 0, &to->on_true, err));
    TT_TRY(read_child(node, l, l->on_false[i], l->false_is_leaf[i] != 0, &to->on_false,
                      err));
    if (to->mode == TT_BRANCH_MEMBER) {
        take_members(l, t, to, member);
    } else if (to->mode == TT_BRANCH_EQ || to->mode == TT_BRANCH_NEQ) {
        to->first_item = t->n_items;
        t->items[t->n_items++] = to->threshold;
        to->last_item = t->n_items;
    }
    tt_tree_table_sort_items(t, to);
    return TT_OK;
}

static tt_status fill(const tt_node *node, const lists *l, tt_tree_table *t,
                      tt_error *err)
{
    int64_t aggregate, member = 0;
    TT_TRY(read_choice(node, "aggregate_function", SUM, N_AGGREGATES, &aggregate, err));
    t->aggregate = aggregates[aggregate];
    t->n_items = 0;
    for (int64_t i = 0; i < l->n_inner; ++i)
        TT_TRY(fill_node(node, l, t, i, &member, err));
    for (int64_t i = 0; i < l->n_leaves; ++i) {
        if (l->scores[i] < 0 || l->scores[i] >= t->n_scores)
            return tt_fail_at(node, err, TT_BAD_MODEL,
                              "leaf %lld is for target %lld of %lld", (long long)i,
                              (long long)l->scores[i], (long long)t->n_scores);
        t->nodes[l->n_inner + i].mode = TT_BRANCH_LEAF;
        t->weights[i] = (tt_table_weight){l->n_inner + i, l->scores[i],
                                          tt_tree_number(&l->weights, i)};
    }
    for (int64_t i = 0; i < l->n_roots; ++i)
        TT_TRY(read_child(node, l, l->roots[i], false, &t->roots[i], err));
    return TT_OK;
}

tt_status tt_tree_table_read_v5(const tt_node *node, tt_tree_table *t, tt_error *err)
{
    lists l;
    memset(t, 0, sizeof *t);
    TT_TRY(tt_tree_rule_v5(node, &t->rule, err));
    TT_TRY(read_lists(node, &l, err));
    t->n_nodes = l.n_inner + l.n_leaves;
    t->n_weights = l.n_leaves;
    t->n_items = l.n_inner + l.members.n;
    t->n_scores = t->rule.n_scores;
    t->n_roots = l.n_roots;
    TT_TRY(tt_tree_table_reserve(node, t, err));
    return fill(node, &l, t, err);
}
