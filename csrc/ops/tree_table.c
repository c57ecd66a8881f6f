/* TreeEnsembleClassifier and TreeEnsembleRegressor as tables of nodes; what is the same
 * for TreeEnsemble. */
#include "ops/tree_table.h"

#include <math.h>
#include <string.h>

#include "base/alloc.h"
#include "kernels/sort.h"
#include "ops/fail.h"
#include "ops/ml_common.h"
#include "ops/tree_lists.h"

static const char *const modes[] = {
#define NAME(code, name) [code] = name,
    TT_BRANCH_LIST(NAME)
#undef NAME
};
static const char *const aggregates[] = {[TT_FOREST_SUM] = "SUM",
                                         [TT_FOREST_AVERAGE] = "AVERAGE",
                                         [TT_FOREST_MIN] = "MIN",
                                         [TT_FOREST_MAX] = "MAX"};

/* ---- memory ----------------------------------------------------------------------- */

tt_status tt_tree_table_reserve(const tt_node *node, tt_tree_table *t, tt_error *err)
{
    t->nodes = tt_calloc((size_t)t->n_nodes + 1, sizeof *t->nodes);
    t->roots = tt_calloc((size_t)t->n_nodes + 1, sizeof *t->roots);
    t->weights = tt_calloc((size_t)t->n_weights + 1, sizeof *t->weights);
    t->items = tt_calloc((size_t)t->n_items + 1, sizeof *t->items);
    t->base = tt_calloc((size_t)t->n_scores + 1, sizeof *t->base);
    if (t->nodes != NULL && t->roots != NULL && t->weights != NULL &&
        t->items != NULL && t->base != NULL)
        return TT_OK;
    return tt_fail_at(node, err, TT_NO_MEMORY, "%lld nodes", (long long)t->n_nodes);
}

void tt_tree_table_free(tt_tree_table *t)
{
    tt_free(t->nodes);
    tt_free(t->roots);
    tt_free(t->weights);
    tt_free(t->items);
    tt_free(t->base);
}

/* Heap sort: no memory, and no input is slow. */
static void sort_doubles(double *items, int64_t n)
{
    for (int64_t start = n / 2, size = n; size > 1;) {
        int64_t at;
        double sinking;
        if (start > 0) {
            --start;
        } else {
            double top = items[0];
            --size;
            items[0] = items[size];
            items[size] = top;
        }
        at = start;
        sinking = items[at];
        for (int64_t child; (child = 2 * at + 1) < size; at = child) {
            if (child + 1 < size && items[child + 1] > items[child]) ++child;
            if (!(items[child] > sinking)) break;
            items[at] = items[child];
        }
        items[at] = sinking;
    }
}

void tt_tree_table_sort_items(tt_tree_table *t, tt_table_node *node)
{
    double *items = t->items + node->first_item;
    int64_t n = 0, n_kept = 0;
    for (int64_t i = 0; i < node->last_item - node->first_item; ++i)
        if (items[i] == items[i]) items[n++] = items[i];
    sort_doubles(items, n);
    for (int64_t i = 0; i < n; ++i)
        if (n_kept == 0 || items[i] != items[n_kept - 1]) items[n_kept++] = items[i];
    node->last_item = node->first_item + n_kept;
}

/* ---- attributes ------------------------------------------------------------------- */

/* A list of numbers: `name` of floats, or `name`_as_tensor. */
static tt_status read_numbers(const tt_node *node, const char *name, const char *tensor,
                              tt_tree_numbers *out, tt_error *err)
{
    const float *floats;
    int n;
    TT_TRY(tt_attribute_floats(node, name, &floats, &n, err));
    *out = (tt_tree_numbers){TT_F32, n > 0 ? floats : NULL, n > 0 ? n : 0};
    if (tt_attribute_find(node, tensor) == NULL) return TT_OK;
    if (n > 0)
        return tt_fail_at(node, err, TT_BAD_MODEL,
                          "%s must be a tensor, given without %s", tensor, name);
    TT_TRY(tt_tree_tensor(node, tensor, out, err));
    if (out->dtype == TT_F32 || out->dtype == TT_F64) return TT_OK;
    return tt_fail_at(node, err, TT_BAD_MODEL, "%s must be float32 or float64", tensor);
}

/* ---- the rule of the scores ------------------------------------------------------- */

static bool is_classifier(const tt_node *node)
{
    return strcmp(node->op_type, "TreeEnsembleClassifier") == 0;
}

/* Of two classes, when all weights are for one of them: for the first class they are
 * the score of the second one, as boosters write them. */
static tt_status read_single_score(const tt_node *node, tt_score_rule *rule,
                                   tt_error *err)
{
    const int64_t *ids;
    tt_tree_numbers weights, base;
    bool is_positive = true;
    int n;
    TT_TRY(tt_attribute_ints(node, "class_ids", &ids, &n, err));
    TT_TRY(
        read_numbers(node, "class_weights", "class_weights_as_tensor", &weights, err));
    TT_TRY(read_numbers(node, "base_values", "base_values_as_tensor", &base, err));
    if (n < 1 || base.n > 1) return TT_OK;
    for (int i = 1; i < n; ++i)
        if (ids[i] != ids[0]) return TT_OK;
    for (int64_t i = 0; i < weights.n; ++i)
        is_positive = is_positive && tt_tree_number(&weights, i) >= 0;
    rule->threshold = is_positive ? 0.5 : 0;
    rule->kind = TT_SCORES_SECOND;
    if (ids[0] != 0) return TT_OK;
    rule->kind = is_positive ? TT_SCORES_PROBABILITY : TT_SCORES_SIGNED;
    rule->n_scores = 1;
    return TT_OK;
}

tt_status tt_tree_rule(const tt_node *node, tt_score_rule *rule, tt_error *err)
{
    const int64_t *labels;
    int n;
    *rule = (tt_score_rule){.kind = TT_SCORES_PLAIN};
    TT_TRY(tt_ml_transform(node, &rule->transform, err));
    if (is_classifier(node)) {
        TT_TRY(tt_ml_labels(node, "classlabels_int64s", &labels, &n, err));
        rule->n_scores = rule->n_outputs = n;
        return n == 2 ? read_single_score(node, rule, err) : TT_OK;
    }
    TT_TRY(tt_attribute_int(node, "n_targets", 1, &rule->n_scores, err));
    rule->n_outputs = rule->n_scores;
    if (rule->n_scores < 1 || rule->n_scores > TT_ML_MAX_SCORES)
        return tt_fail_at(node, err, TT_BAD_MODEL, "n_targets is %lld, expected 1..%d",
                          (long long)rule->n_scores, TT_ML_MAX_SCORES);
    return TT_OK;
}

/* ---- nodes ------------------------------------------------------------------------ */

/* The numbers that a file gives its nodes, and their order in it. */
typedef struct {
    const int64_t *trees, *ids;
    int64_t n;
    int64_t *order; /* sorted by (tree, id); NULL: as they are */
} node_names;

static bool comes_before(const void *arg, int64_t a, int64_t b)
{
    const node_names *names = arg;
    return names->trees[a] != names->trees[b] ? names->trees[a] < names->trees[b]
                                              : names->ids[a] < names->ids[b];
}

static int64_t in_order(const node_names *names, int64_t i)
{
    return names->order == NULL ? i : names->order[i];
}

/* Sorts the names, and refuses one that is there twice. */
static tt_status sort_names(const tt_node *node, node_names *names, int64_t *memory,
                            tt_error *err)
{
    bool is_sorted = true;
    for (int64_t i = 1; i < names->n; ++i)
        is_sorted = is_sorted && comes_before(names, i - 1, i);
    if (is_sorted) return TT_OK;
    for (int64_t i = 0; i < names->n; ++i)
        memory[i] = i;
    tt_sort_indices(memory, memory + names->n, names->n, comes_before, names);
    names->order = memory;
    for (int64_t i = 1; i < names->n; ++i)
        if (!comes_before(names, memory[i - 1], memory[i]))
            return tt_fail_at(
                node, err, TT_BAD_MODEL, "node %lld of tree %lld is defined twice",
                (long long)names->ids[memory[i]], (long long)names->trees[memory[i]]);
    return TT_OK;
}

/* The node of this name, or -1. */
static int64_t find_node(const node_names *names, int64_t tree, int64_t id)
{
    int64_t low = 0, high = names->n;
    while (low < high) {
        int64_t middle = low + (high - low) / 2, at = in_order(names, middle);
        if (names->trees[at] < tree ||
            (names->trees[at] == tree && names->ids[at] < id))
            low = middle + 1;
        else
            high = middle;
    }
    if (low == names->n) return -1;
    low = in_order(names, low);
    return names->trees[low] == tree && names->ids[low] == id ? low : -1;
}

/* The lists of the attributes nodes_*. */
typedef struct {
    node_names names;
    const int64_t *columns, *on_true, *on_false, *missing; /* missing may be NULL */
    const tt_attribute *modes;
    tt_tree_numbers thresholds;
} node_lists;

static tt_status read_lists(const tt_node *node, node_lists *l, tt_error *err)
{
    int n;
    memset(l, 0, sizeof *l);
    TT_TRY(tt_attribute_ints(node, "nodes_nodeids", &l->names.ids, &n, err));
    l->names.n = n < 0 ? 0 : n;
    TT_TRY(tt_tree_ints(node, "nodes_treeids", l->names.n, &l->names.trees, err));
    TT_TRY(tt_tree_ints(node, "nodes_featureids", l->names.n, &l->columns, err));
    TT_TRY(tt_tree_ints(node, "nodes_truenodeids", l->names.n, &l->on_true, err));
    TT_TRY(tt_tree_ints(node, "nodes_falsenodeids", l->names.n, &l->on_false, err));
    TT_TRY(read_numbers(node, "nodes_values", "nodes_values_as_tensor", &l->thresholds,
                        err));
    TT_TRY(tt_attribute_ints(node, "nodes_missing_value_tracks_true", &l->missing, &n,
                             err));
    if (n <= 0) l->missing = NULL;
    if ((n > 0 && n != l->names.n) || l->thresholds.n != l->names.n)
        return tt_fail_at(node, err, TT_BAD_MODEL,
                          "%lld nodes, %lld nodes_values, %d "
                          "nodes_missing_value_tracks_true",
                          (long long)l->names.n, (long long)l->thresholds.n, n);
    l->modes = tt_attribute_find(node, "nodes_modes");
    if (l->names.n == 0)
        return tt_fail_at(node, err, TT_BAD_MODEL, "an ensemble without nodes");
    if (l->modes == NULL || l->modes->kind != TT_ATTRIBUTE_STRINGS ||
        l->modes->n != l->names.n)
        return tt_fail_at(node, err, TT_BAD_MODEL,
                          "nodes_modes must be %lld names, one for each node",
                          (long long)l->names.n);
    return TT_OK;
}

static tt_status fill_node(const tt_node *node, const node_lists *l, tt_tree_table *t,
                           int64_t i, tt_error *err)
{
    tt_table_node *to = &t->nodes[i];
    int64_t tree = l->names.trees[i];
    int mode = tt_ml_find_name(modes, TT_BRANCH_COUNT, l->modes->as.strings[i]);
    if (mode < 0 || mode == TT_BRANCH_MEMBER)
        return tt_fail_at(node, err, TT_BAD_MODEL, "no mode of a node is '%.40s'",
                          l->modes->as.strings[i]);
    to->mode = (tt_branch)mode;
    if (mode == TT_BRANCH_LEAF) return TT_OK;
    if (l->columns[i] < 0 || l->columns[i] >= INT32_MAX)
        return tt_fail_at(node, err, TT_BAD_MODEL, "a node compares feature %lld",
                          (long long)l->columns[i]);
    to->column = (int32_t)l->columns[i];
    to->threshold = tt_tree_number(&l->thresholds, i);
    to->missing_is_true = l->missing != NULL && l->missing[i] != 0;
    to->on_true = find_node(&l->names, tree, l->on_true[i]);
    to->on_false = find_node(&l->names, tree, l->on_false[i]);
    if (to->on_true < 0 || to->on_false < 0)
        return tt_fail_at(node, err, TT_BAD_MODEL, "there is no node %lld in tree %lld",
                          (long long)(to->on_true < 0 ? l->on_true[i] : l->on_false[i]),
                          (long long)tree);
    if (mode == TT_BRANCH_EQ || mode == TT_BRANCH_NEQ) {
        to->first_item = t->n_items;
        t->items[t->n_items++] = to->threshold;
        to->last_item = t->n_items;
        tt_tree_table_sort_items(t, to);
    }
    return TT_OK;
}

/* The root of a tree is its first node. */
static void find_roots(const node_names *names, tt_tree_table *t)
{
    for (int64_t i = 0; i < names->n; ++i) {
        int64_t at = in_order(names, i);
        if (i > 0 && names->trees[at] == names->trees[in_order(names, i - 1)]) {
            int64_t *root = &t->roots[t->n_roots - 1];
            if (at < *root) *root = at;
        } else {
            t->roots[t->n_roots++] = at;
        }
    }
}

/* ---- weights ---------------------------------------------------------------------- */

typedef struct {
    const int64_t *trees, *ids, *scores;
    tt_tree_numbers weights;
} weight_lists;

static tt_status read_weights(const tt_node *node, weight_lists *w, tt_error *err)
{
    bool is_class = is_classifier(node);
    TT_TRY(
        read_numbers(node, is_class ? "class_weights" : "target_weights",
                     is_class ? "class_weights_as_tensor" : "target_weights_as_tensor",
                     &w->weights, err));
    TT_TRY(tt_tree_ints(node, is_class ? "class_treeids" : "target_treeids",
                        w->weights.n, &w->trees, err));
    TT_TRY(tt_tree_ints(node, is_class ? "class_nodeids" : "target_nodeids",
                        w->weights.n, &w->ids, err));
    return tt_tree_ints(node, is_class ? "class_ids" : "target_ids", w->weights.n,
                        &w->scores, err);
}

static tt_status fill_weights(const tt_node *node, const weight_lists *w,
                              const node_names *names, tt_tree_table *t, tt_error *err)
{
    for (int64_t i = 0; i < w->weights.n; ++i) {
        int64_t at = find_node(names, w->trees[i], w->ids[i]), score = w->scores[i];
        if (at < 0 || t->nodes[at].mode != TT_BRANCH_LEAF || score < 0 ||
            score >= t->n_scores)
            return tt_fail_at(node, err, TT_BAD_MODEL,
                              "a weight for node %lld of tree %lld, score %lld: "
                              "expected a leaf and a score below %lld",
                              (long long)w->ids[i], (long long)w->trees[i],
                              (long long)score, (long long)t->n_scores);
        t->weights[i] = (tt_table_weight){at, score, tt_tree_number(&w->weights, i)};
    }
    return TT_OK;
}

/* One base value per score.  With one for two classes it is the first one's. */
static tt_status fill_base(const tt_node *node, tt_tree_table *t, tt_error *err)
{
    tt_tree_numbers base;
    TT_TRY(read_numbers(node, "base_values", "base_values_as_tensor", &base, err));
    if (base.n == 0) return TT_OK;
    if (base.n != t->n_scores && !(is_classifier(node) && base.n == 1))
        return tt_fail_at(node, err, TT_BAD_MODEL, "%lld base_values for %lld scores",
                          (long long)base.n, (long long)t->n_scores);
    for (int64_t i = 0; i < base.n; ++i)
        t->base[i] = tt_tree_number(&base, i);
    return TT_OK;
}

static tt_status read_aggregate(const tt_node *node, tt_tree_table *t, tt_error *err)
{
    const char *text;
    int found;
    TT_TRY(tt_attribute_string(node, "aggregate_function", "SUM", &text, err));
    found = tt_ml_find_name(aggregates, 4, text);
    if (found < 0)
        return tt_fail_at(node, err, TT_BAD_MODEL,
                          "aggregate_function must be SUM, AVERAGE, MIN or MAX, not "
                          "'%.40s'",
                          text);
    t->aggregate = (tt_forest_aggregate)found;
    return TT_OK;
}

/* ---- all of it -------------------------------------------------------------------- */

static tt_status fill(const tt_node *node, node_lists *l, const weight_lists *w,
                      tt_tree_table *t, int64_t *memory, tt_error *err)
{
    TT_TRY(sort_names(node, &l->names, memory, err));
    t->n_items = 0;
    for (int64_t i = 0; i < t->n_nodes; ++i)
        TT_TRY(fill_node(node, l, t, i, err));
    find_roots(&l->names, t);
    TT_TRY(fill_weights(node, w, &l->names, t, err));
    TT_TRY(fill_base(node, t, err));
    return is_classifier(node) ? TT_OK : read_aggregate(node, t, err);
}

tt_status tt_tree_table_read(const tt_node *node, tt_tree_table *t, tt_error *err)
{
    node_lists l;
    weight_lists w;
    int64_t *memory;
    tt_status status;
    int n;
    memset(t, 0, sizeof *t);
    TT_TRY(tt_tree_rule(node, &t->rule, err));
    TT_TRY(read_lists(node, &l, err));
    TT_TRY(read_weights(node, &w, err));
    if (is_classifier(node)) {
        TT_TRY(tt_ml_labels(node, "classlabels_int64s", &t->labels, &n, err));
        t->n_labels = n;
    }
    t->n_nodes = t->n_items = l.names.n;
    t->n_weights = w.weights.n;
    t->n_scores = t->rule.n_scores;
    TT_TRY(tt_tree_table_reserve(node, t, err));
    memory = tt_calloc((size_t)t->n_nodes, 2 * sizeof *memory);
    if (memory == NULL)
        return tt_fail_at(node, err, TT_NO_MEMORY, "%lld nodes", (long long)t->n_nodes);
    status = fill(node, &l, &w, t, memory, err);
    tt_free(memory);
    return status;
}
