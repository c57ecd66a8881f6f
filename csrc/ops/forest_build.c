/* A table of nodes -> nodes in their places.
 *
 * Nodes are placed level by level from a queue, children side by side.  Every mode
 * becomes `key <= threshold`: of > and >= the children change places, == and sets become
 * a binary search whose ends jump to one of two places that they share. */
#include <string.h>

#include "base/alloc.h"
#include "kernels/sort.h"
#include "ops/fail.h"
#include "ops/forest_builder.h"

/* What is to be placed: a node of the table, or the search among its items
 * [first, last), which ends at `found` or one behind it. */
typedef struct tt_forest_task {
    int64_t node, first, last;
    int32_t place, found; /* found < 0: the node itself */
    int32_t min_depth, max_depth;
    bool takes_nan; /* a search that has yet to send NaN to `found` */
} task;

tt_status tt_forest_no_memory(const tt_forest_builder *b, tt_error *err)
{
    return tt_fail_at(b->node, err, TT_NO_MEMORY, "a forest of %lld nodes",
                      (long long)b->table->n_nodes);
}

/* ---- features --------------------------------------------------------------------- */

/* Does NaN go to the left child, where it must be the least key?  The children of > and
 * >= have changed places. */
static bool is_nan_least(const tt_table_node *node)
{
    switch ((int)node->mode) {
    case TT_BRANCH_LEQ:
    case TT_BRANCH_LT:
        return node->missing_is_true;
    case TT_BRANCH_GT:
    case TT_BRANCH_GTE:
        return !node->missing_is_true;
    default:
        return false;
    }
}

static int64_t code_of(const tt_table_node *node)
{
    return 2 * (int64_t)node->column + is_nan_least(node);
}

static bool is_less(const void *arg, int64_t a, int64_t b)
{
    (void)arg;
    return a < b;
}

/* The features that are compared, without doubles; one that is not when there is none. */
static tt_status collect_features(tt_forest_builder *b, tt_error *err)
{
    const tt_tree_table *t = b->table;
    int64_t *scratch = tt_calloc((size_t)t->n_nodes + 1, sizeof *scratch), n = 0;
    b->codes = tt_calloc((size_t)t->n_nodes + 1, sizeof *b->codes);
    if (b->codes == NULL || scratch == NULL) {
        tt_free(scratch);
        return tt_forest_no_memory(b, err);
    }
    for (int64_t i = 0; i < t->n_nodes; ++i)
        if (t->nodes[i].mode != TT_BRANCH_LEAF) b->codes[n++] = code_of(&t->nodes[i]);
    tt_sort_indices(b->codes, scratch, n, is_less, NULL);
    for (int64_t i = 0; i < n; ++i)
        if (b->n_features == 0 || b->codes[i] != b->codes[b->n_features - 1])
            b->codes[b->n_features++] = b->codes[i];
    if (n == 0) b->codes[b->n_features++] = -2;
    tt_free(scratch);
    return TT_OK;
}

static int32_t feature_of(const tt_forest_builder *b, const tt_table_node *node)
{
    int64_t low = 0, high = b->n_features - 1, code = code_of(node);
    while (low < high) {
        int64_t middle = low + (high - low) / 2;
        if (b->codes[middle] < code)
            low = middle + 1;
        else
            high = middle;
    }
    return (int32_t)low;
}

/* ---- placing ---------------------------------------------------------------------- */

static tt_status take_places(tt_forest_builder *b, int n, int32_t *first, tt_error *err)
{
    if (b->n_nodes > INT32_MAX - n)
        return tt_fail_at(b->node, err, TT_LIMIT, "more than 2^31 nodes");
    if (!tt_grow((void **)&b->nodes, &b->nodes_capacity, (size_t)(b->n_nodes + n),
                 sizeof *b->nodes))
        return tt_forest_no_memory(b, err);
    *first = (int32_t)b->n_nodes;
    b->n_nodes += n;
    return TT_OK;
}

static tt_status push(tt_forest_builder *b, const task *what, tt_error *err)
{
    if (!tt_grow((void **)&b->queue, &b->queue_capacity, (size_t)b->n_queue + 1,
                 sizeof *b->queue))
        return tt_forest_no_memory(b, err);
    b->queue[b->n_queue++] = *what;
    return TT_OK;
}

/* A node of the table comes to `place`, at most `deep` levels below its parent. */
static tt_status push_node(tt_forest_builder *b, const task *parent, int64_t node,
                           int32_t place, int32_t deep, tt_error *err)
{
    task child = {.node = node,
                  .place = place,
                  .found = -1,
                  .min_depth = parent->min_depth + 1,
                  .max_depth = parent->max_depth + deep};
    return push(b, &child, err);
}

static tt_status place_leaf(tt_forest_builder *b, const task *what,
                            tt_forest_tree *tree)
{
    int32_t *number = &b->leaf_of[what->node];
    if (*number < 0) {
        *number = (int32_t)b->n_leaves;
        b->leaves[b->n_leaves++] = what->node;
    }
    b->nodes[what->place] = (tt_placed){
        .rule = TT_ALWAYS, .child = what->place - tree->first, .leaf = *number};
    if (what->min_depth < tree->min_depth) tree->min_depth = what->min_depth;
    if (what->max_depth > tree->max_depth) tree->max_depth = what->max_depth;
    return TT_OK;
}

static tt_status place_comparison(tt_forest_builder *b, const task *what,
                                  const tt_forest_tree *tree, tt_error *err)
{
    const tt_table_node *from = &b->table->nodes[what->node];
    bool is_swapped = from->mode == TT_BRANCH_GT || from->mode == TT_BRANCH_GTE;
    bool is_equal_left = from->mode == TT_BRANCH_LEQ || from->mode == TT_BRANCH_GT;
    tt_placed_rule found = is_equal_left ? TT_AT_MOST : TT_BELOW;
    int32_t pair = 0;
    if (from->threshold != from->threshold) found = is_swapped ? TT_NUMBERS : TT_NEVER;
    TT_TRY(take_places(b, 2, &pair, err));
    b->nodes[what->place] = (tt_placed){.value = from->threshold,
                                        .rule = found,
                                        .child = pair - tree->first,
                                        .feature = feature_of(b, from),
                                        .leaf = -1};
    TT_TRY(
        push_node(b, what, is_swapped ? from->on_false : from->on_true, pair, 1, err));
    return push_node(b, what, is_swapped ? from->on_true : from->on_false, pair + 1, 1,
                     err);
}

static tt_status place_search(tt_forest_builder *b, const task *what,
                              const tt_forest_tree *tree, tt_error *err)
{
    const tt_table_node *from = &b->table->nodes[what->node];
    int64_t middle = what->first + (what->last - what->first) / 2;
    tt_placed node = {.feature = feature_of(b, from), .leaf = -1, .rule = TT_ALWAYS};
    task left = *what, right = *what;
    int32_t pair = 0, inner;
    if (!what->takes_nan && what->first == what->last) { /* not among the items */
        node.child = what->found + 1 - tree->first;
        b->nodes[what->place] = node;
        return TT_OK;
    }
    TT_TRY(take_places(b, what->takes_nan ? 2 : 4, &pair, err));
    node.child = pair - tree->first;
    if (what->takes_nan) {
        node.rule = TT_NUMBERS;
        b->nodes[what->place] = node;
        node.rule = TT_ALWAYS;
        node.child = what->found - tree->first;
        b->nodes[pair + 1] = node;
        left.place = pair;
        left.takes_nan = false;
        return push(b, &left, err);
    }
    inner = pair + 2;
    node.rule = TT_AT_MOST;
    node.value = b->table->items[middle];
    b->nodes[what->place] = node;
    node.rule = TT_BELOW; /* left of it: less, or equal */
    node.child = inner - tree->first;
    b->nodes[pair] = node;
    node.rule = TT_ALWAYS;
    node.child = what->found - tree->first;
    b->nodes[inner + 1] = node;
    left.place = inner;
    left.last = middle;
    right.place = pair + 1;
    right.first = middle + 1;
    TT_TRY(push(b, &left, err));
    return push(b, &right, err);
}

/* == , != and sets: both children, then the search for the way to them. */
static tt_status place_set(tt_forest_builder *b, const task *what, tt_error *err)
{
    const tt_table_node *from = &b->table->nodes[what->node];
    bool is_swapped = from->mode == TT_BRANCH_NEQ;
    task search = *what;
    int32_t deep = 3; /* a jump, NaN, the last comparison */
    search.first = from->first_item;
    search.last = from->last_item;
    /* NaN is no item.  Where missing values track true, != sends them there anyway. */
    search.takes_nan = from->missing_is_true && !is_swapped;
    for (int64_t n = search.last - search.first; n > 0; n /= 2)
        deep += 2;
    TT_TRY(take_places(b, 2, &search.found, err));
    TT_TRY(push_node(b, what, is_swapped ? from->on_false : from->on_true, search.found,
                     deep, err));
    TT_TRY(push_node(b, what, is_swapped ? from->on_true : from->on_false,
                     search.found + 1, deep, err));
    return push(b, &search, err);
}

static tt_status place(tt_forest_builder *b, const task *what, tt_forest_tree *tree,
                       tt_error *err)
{
    const tt_table_node *from = &b->table->nodes[what->node];
    if (what->found >= 0) return place_search(b, what, tree, err);
    if (from->mode == TT_BRANCH_LEAF) return place_leaf(b, what, tree);
    if (b->visited[what->node])
        return tt_fail_at(b->node, err, TT_BAD_MODEL,
                          "a node is reached twice: its trees have a cycle, or share "
                          "a branch");
    b->visited[what->node] = 1;
    if (from->mode >= TT_BRANCH_EQ) return place_set(b, what, err);
    return place_comparison(b, what, tree, err);
}

static tt_status place_tree(tt_forest_builder *b, int64_t number, tt_error *err)
{
    tt_forest_tree *tree = &b->trees[number];
    task root = {.node = b->table->roots[number], .found = -1};
    *tree = (tt_forest_tree){.min_depth = INT32_MAX};
    TT_TRY(take_places(b, 1, &tree->first, err));
    root.place = tree->first;
    b->n_queue = 0;
    TT_TRY(push(b, &root, err));
    for (int64_t i = 0; i < b->n_queue; ++i) { /* grows while it is walked */
        task what = b->queue[i];
        TT_TRY(place(b, &what, tree, err));
    }
    if (b->n_nodes - tree->first > b->largest_tree)
        b->largest_tree = b->n_nodes - tree->first;
    return TT_OK;
}

/* ---- all of it -------------------------------------------------------------------- */

static tt_status start(tt_forest_builder *b, tt_error *err)
{
    const tt_tree_table *t = b->table;
    size_t n = (size_t)t->n_nodes + 2;
    b->trees = tt_calloc((size_t)t->n_roots, sizeof *b->trees);
    b->visited = tt_calloc(n, 1);
    b->leaf_of = tt_calloc(n, sizeof *b->leaf_of);
    b->leaves = tt_calloc(n, sizeof *b->leaves);
    b->starts = tt_calloc(n, sizeof *b->starts);
    b->order = tt_calloc((size_t)t->n_weights + 1, sizeof *b->order);
    if (b->trees == NULL || b->visited == NULL || b->leaf_of == NULL ||
        b->leaves == NULL || b->starts == NULL || b->order == NULL)
        return tt_forest_no_memory(b, err);
    memset(b->leaf_of, -1, n * sizeof *b->leaf_of);
    return collect_features(b, err);
}

tt_status tt_forest_build(const tt_node *node, const tt_tree_table *table,
                          bool is_double, tt_constant **out, tt_error *err)
{
    tt_forest_builder b = {.node = node, .table = table};
    tt_status status = start(&b, err);
    for (int64_t i = 0; i < table->n_roots && status == TT_OK; ++i)
        status = place_tree(&b, i, err);
    if (status == TT_OK) status = tt_forest_write(&b, is_double, out, err);
    tt_free(b.nodes);
    tt_free(b.queue);
    tt_free(b.trees);
    tt_free(b.visited);
    tt_free(b.leaf_of);
    tt_free(b.leaves);
    tt_free(b.starts);
    tt_free(b.order);
    tt_free(b.codes);
    return status;
}
