/* Nodes in their places -> the flat block that kernels/forest.c walks. */
#include <math.h>
#include <string.h>

#include "base/alloc.h"
#include "base/checked.h"
#include "ops/fail.h"
#include "ops/forest_builder.h"

enum { GROUP_BITS = 4, WIDE_BITS = 36 };

/* ---- leaves ----------------------------------------------------------------------- */

/* starts and order: a counting sort, which keeps the order of the file. */
static void sort_weights(tt_forest_builder *b)
{
    const tt_tree_table *t = b->table;
    for (int64_t i = 0; i < t->n_weights; ++i)
        b->starts[t->weights[i].leaf + 2]++;
    for (int64_t i = 2; i <= t->n_nodes + 1; ++i)
        b->starts[i] += b->starts[i - 1];
    for (int64_t i = 0; i < t->n_weights; ++i)
        b->order[b->starts[t->weights[i].leaf + 1]++] = i;
}

static const tt_table_weight *weight_at(const tt_forest_builder *b, int64_t leaf,
                                        int64_t k)
{
    return &b->table->weights[b->order[b->starts[b->leaves[leaf]] + k]];
}

static int64_t n_weights_of(const tt_forest_builder *b, int64_t leaf)
{
    return b->starts[b->leaves[leaf] + 1] - b->starts[b->leaves[leaf]];
}

/* Has every leaf one weight, the leaves of a tree for the same score, all scores some
 * tree?  Or is there one score, to which missing ones add nothing? */
static tt_status is_one_each(tt_forest_builder *b, bool *out, tt_error *err)
{
    const tt_tree_table *t = b->table;
    bool is_sum = t->aggregate == TT_FOREST_SUM || t->aggregate == TT_FOREST_AVERAGE;
    uint8_t *covered;
    int64_t n_covered = 0;
    *out = true;
    if (t->n_scores == 1 && is_sum) return TT_OK;
    *out = false;
    for (int64_t i = 0; i < b->n_leaves; ++i)
        if (n_weights_of(b, i) != 1) return TT_OK;
    covered = tt_calloc((size_t)t->n_scores, 1);
    if (covered == NULL) return tt_forest_no_memory(b, err);
    *out = true;
    for (int64_t k = 0; k < t->n_roots && *out; ++k) {
        int64_t last = k + 1 < t->n_roots ? b->trees[k + 1].first : b->n_nodes;
        int64_t score = -1;
        for (int64_t i = b->trees[k].first; i < last; ++i) {
            if (b->nodes[i].leaf < 0) continue;
            int64_t its = weight_at(b, b->nodes[i].leaf, 0)->score;
            if (score >= 0 && its != score) *out = false;
            score = its;
        }
        b->trees[k].score = (int32_t)score;
        n_covered += !covered[score];
        covered[score] = 1;
    }
    if (n_covered < t->n_scores) *out = false;
    tt_free(covered);
    return TT_OK;
}

/* Has every leaf all scores, in their order? */
static bool is_all_each(const tt_forest_builder *b)
{
    for (int64_t i = 0; i < b->n_leaves; ++i) {
        if (n_weights_of(b, i) != b->table->n_scores) return false;
        for (int64_t k = 0; k < b->table->n_scores; ++k)
            if (weight_at(b, i, k)->score != k) return false;
    }
    return true;
}

/* ---- the block -------------------------------------------------------------------- */

static int bits_of(int64_t largest)
{
    int bits = 0;
    while (largest >> bits != 0)
        ++bits;
    return bits;
}

static int64_t n_entries_of(const tt_forest_builder *b)
{
    int64_t n = 0;
    for (int64_t i = 0; i < b->n_leaves; ++i)
        n += n_weights_of(b, i);
    return n;
}

/* Puts n items of `bytes` each behind what is there. */
static bool reserve(size_t *end, int64_t n, size_t bytes, size_t *place)
{
    size_t all;
    if (!tt_mul_size((size_t)n, bytes, &all) || !tt_round_up(*end, 64, place))
        return false;
    return tt_add_size(*place, all, end);
}

/* The header, and the size of the block. */
static tt_status plan_block(tt_forest_builder *b, bool is_double, tt_forest *f,
                            size_t *end, tt_error *err)
{
    const tt_tree_table *t = b->table;
    bool is_one, fits = true;
    int64_t n_entries = n_entries_of(b), n_values;
    TT_TRY(is_one_each(b, &is_one, err));
    f->aggregate = t->aggregate;
    f->n_trees = (int32_t)t->n_roots;
    f->n_nodes = (int32_t)b->n_nodes;
    f->n_leaves = (int32_t)b->n_leaves;
    f->n_features = (int32_t)b->n_features;
    f->n_scores = t->n_scores;
    f->n_columns = b->codes[b->n_features - 1] / 2 + 1;
    f->leaves = is_one           ? TT_LEAVES_ONE
                : is_all_each(b) ? TT_LEAVES_ALL
                                 : TT_LEAVES_SOME;
    f->feature_bits = bits_of(b->n_features - 1) + GROUP_BITS;
    f->is_wide = is_double || b->n_features > INT32_MAX / 32 ||
                 f->feature_bits + bits_of(b->largest_tree - 1) > 31;
    if (f->is_wide) f->feature_bits = WIDE_BITS;
    n_values = is_one ? b->n_nodes : n_entries;
    *end = sizeof *f;
    fits = fits && reserve(end, f->n_trees, sizeof(tt_forest_tree), &f->trees);
    if (!f->is_wide)
        fits = fits && reserve(end, f->n_trees, sizeof(tt_forest_top), &f->tops);
    fits = fits && reserve(end, f->n_nodes, f->is_wide ? 16 : 8, &f->nodes);
    fits = fits && reserve(end, f->n_features, sizeof(tt_forest_feature), &f->features);
    fits = fits && reserve(end, n_values, sizeof(double), &f->values);
    if (!is_one) fits = fits && reserve(end, f->n_nodes, 4, &f->leaf_of);
    if (f->leaves == TT_LEAVES_SOME) {
        fits = fits && reserve(end, b->n_leaves + 1, 8, &f->starts);
        fits = fits && reserve(end, n_entries, 8, &f->scores);
    }
    fits = fits && reserve(end, f->n_scores, sizeof(double), &f->base);
    if (t->n_labels > 0) fits = fits && reserve(end, t->n_labels, 8, &f->labels);
    if (!fits || *end > INT64_MAX) return tt_forest_no_memory(b, err);
    return TT_OK;
}

static int32_t threshold_f32(const tt_placed *node)
{
    float value = (float)node->value;
    bool is_below = node->rule == TT_BELOW;
    switch (node->rule) {
    case TT_ALWAYS:
        return INT32_MAX;
    case TT_NUMBERS:
        return INT32_MAX - 1;
    case TT_NEVER:
        return INT32_MIN;
    case TT_AT_MOST:
    case TT_BELOW:
        break;
    }
    if ((double)value > node->value) value = nextafterf(value, -INFINITY);
    if ((double)value < node->value) is_below = false; /* rounded down: <= is < */
    return tt_forest_key_f32(value, 0) - is_below;
}

static int64_t threshold_f64(const tt_placed *node)
{
    switch (node->rule) {
    case TT_ALWAYS:
        return INT64_MAX;
    case TT_NUMBERS:
        return INT64_MAX - 1;
    case TT_NEVER:
        return INT64_MIN;
    case TT_AT_MOST:
    case TT_BELOW:
        break;
    }
    return tt_forest_key_f64(node->value, 0) - (node->rule == TT_BELOW);
}

static void write_nodes(const tt_forest_builder *b, const tt_forest *f, char *to)
{
    tt_forest_node *narrow = (tt_forest_node *)(void *)(to + f->nodes);
    tt_forest_wide_node *wide = (tt_forest_wide_node *)(void *)(to + f->nodes);
    for (int64_t i = 0; i < b->n_nodes; ++i) {
        const tt_placed *node = &b->nodes[i];
        uint64_t link = (uint64_t)node->child << f->feature_bits |
                        (uint64_t)node->feature * TT_FOREST_GROUP;
        if (f->is_wide)
            wide[i] = (tt_forest_wide_node){threshold_f64(node), link};
        else
            narrow[i] = (tt_forest_node){threshold_f32(node), (uint32_t)link};
    }
}

/* The top of one tree, from its nodes as they are written. */
static void write_top(const tt_forest *f, const tt_forest_node *nodes,
                      tt_forest_top *top)
{
    const uint32_t mask = ((uint32_t)1 << f->feature_bits) - 1;
    int32_t at[2 * TT_FOREST_TOP + 1] = {0};
    for (int i = 0; i < TT_FOREST_TOP; ++i) {
        const tt_forest_node *node = &nodes[at[i]];
        bool is_jump = node->threshold == INT32_MAX;
        int32_t child = (int32_t)(node->link >> f->feature_bits);
        top->offset[i] = (int32_t)(node->link & mask);
        top->threshold[i] = node->threshold;
        at[2 * i + 1] = child;
        at[2 * i + 2] = is_jump ? child : child + 1;
    }
    memcpy(top->exits, at + TT_FOREST_TOP, sizeof top->exits);
}

static void write_tops(const tt_forest_builder *b, const tt_forest *f, char *to)
{
    const tt_forest_node *nodes = (const tt_forest_node *)(void *)(to + f->nodes);
    tt_forest_top *tops = (tt_forest_top *)(void *)(to + f->tops);
    for (int32_t t = 0; t < f->n_trees && !f->is_wide; ++t)
        write_top(f, nodes + b->trees[t].first, &tops[t]);
}

static void write_features(const tt_forest_builder *b, const tt_forest *f, char *to)
{
    tt_forest_feature *features = (tt_forest_feature *)(void *)(to + f->features);
    for (int64_t i = 0; i < b->n_features; ++i)
        features[i] = (tt_forest_feature){
            .column = b->codes[i] < 0 ? -1 : (int32_t)(b->codes[i] / 2),
            .nan_is_least = b->codes[i] >= 0 && b->codes[i] % 2 != 0};
}

/* Values by node: weights of one leaf are summed (there is one, but for sums). */
static void write_values_by_node(const tt_forest_builder *b, const tt_forest *f,
                                 char *to)
{
    double *values = (double *)(void *)(to + f->values);
    for (int64_t i = 0; i < b->n_nodes; ++i) {
        if (b->nodes[i].leaf < 0) continue;
        for (int64_t k = 0; k < n_weights_of(b, b->nodes[i].leaf); ++k)
            values[i] += weight_at(b, b->nodes[i].leaf, k)->weight;
    }
}

static void write_values(const tt_forest_builder *b, const tt_forest *f, char *to)
{
    double *values = (double *)(void *)(to + f->values);
    int32_t *leaf_of = (int32_t *)(void *)(to + f->leaf_of);
    int64_t *starts = (int64_t *)(void *)(to + f->starts);
    int64_t *scores = (int64_t *)(void *)(to + f->scores);
    int64_t n = 0;
    for (int64_t i = 0; i < b->n_nodes; ++i)
        leaf_of[i] = b->nodes[i].leaf;
    for (int64_t i = 0; i < b->n_leaves; ++i) {
        if (f->leaves == TT_LEAVES_SOME) starts[i] = n;
        for (int64_t k = 0; k < n_weights_of(b, i); ++k, ++n) {
            values[n] = weight_at(b, i, k)->weight;
            if (f->leaves == TT_LEAVES_SOME) scores[n] = weight_at(b, i, k)->score;
        }
    }
    if (f->leaves == TT_LEAVES_SOME) starts[b->n_leaves] = n;
}

tt_status tt_forest_write(tt_forest_builder *b, bool is_double, tt_constant **out,
                          tt_error *err)
{
    const tt_tree_table *t = b->table;
    tt_shape shape = {.dtype = TT_U8, .rank = 1};
    tt_forest f;
    size_t n_bytes = 0;
    void *data;
    char *to;
    memset(&f, 0, sizeof f);
    sort_weights(b);
    TT_TRY(plan_block(b, is_double, &f, &n_bytes, err));
    shape.dims[0] = (int64_t)n_bytes;
    TT_TRY(tt_constant_empty(&shape, out, &data, err));
    to = data;
    memcpy(to, &f, sizeof f);
    memcpy(to + f.trees, b->trees, (size_t)f.n_trees * sizeof *b->trees);
    write_nodes(b, &f, to);
    write_tops(b, &f, to);
    write_features(b, &f, to);
    if (f.leaves == TT_LEAVES_ONE)
        write_values_by_node(b, &f, to);
    else
        write_values(b, &f, to);
    memcpy(to + f.base, t->base, (size_t)f.n_scores * sizeof *t->base);
    if (f.labels != 0)
        memcpy(to + f.labels, t->labels, (size_t)t->n_labels * sizeof *t->labels);
    return TT_OK;
}
