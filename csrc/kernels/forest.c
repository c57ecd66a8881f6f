/* Ensembles of trees: keys of a block of rows, a walk down each tree, the sum of the
 * leaves; see forest.h. */
#include "kernels/forest.h"

#include <math.h>
#include <string.h>

#include "base/checked.h"
#include "base/cpu.h"
#include "base/threads.h"
#include "kernels/item.h"

enum {
    BLOCK_ROWS = 256,
    BLOCK_BYTES = 192 << 10, /* of keys and sums, beside the nodes of a tree, in L2 */
    ALIGN = 64
};

static const tt_forest_isa plain = {NULL, "forest:scalar"};

static const tt_forest_isa *best_isa(void)
{
#ifdef __x86_64__
    tt_isa isa = tt_cpu_get()->isa;
    if (isa == TT_ISA_AVX512) return &tt_forest_avx512;
    if (isa == TT_ISA_AVX2) return &tt_forest_avx2;
#endif
    return &plain;
}

const char *tt_forest_name(const tt_forest *forest)
{
    return forest->is_wide ? "forest:wide" : best_isa()->name;
}

/* ---- keys ------------------------------------------------------------------------- */

int32_t tt_forest_key_f32(float value, int32_t nan)
{
    int32_t bits;
    if (value != value) return nan;
    value += 0.0f; /* -0 is 0 */
    memcpy(&bits, &value, sizeof bits);
    return bits < 0 ? bits ^ INT32_MAX : bits;
}

int64_t tt_forest_key_f64(double value, int64_t nan)
{
    int64_t bits;
    if (value != value) return nan;
    value += 0.0;
    memcpy(&bits, &value, sizeof bits);
    return bits < 0 ? bits ^ INT64_MAX : bits;
}

/* Keys of one column of n rows, `step` apart in src and `apart` in keys. */
static void column_of_f32(const float *src, int64_t step, int64_t n, int32_t nan,
                          int32_t *keys)
{
    for (int64_t i = 0; i < n; ++i)
        keys[i] = tt_forest_key_f32(src[i * step], nan);
}

/* Of any type: as float where keys are narrow. */
static void column_of_any(tt_dtype dtype, const void *src, int64_t first, int64_t step,
                          int64_t n, int32_t nan, int32_t *keys)
{
    for (int64_t i = 0; i < n; ++i)
        keys[i] =
            tt_forest_key_f32((float)tt_item_load(dtype, src, first + i * step), nan);
}

static void column_wide(tt_dtype dtype, const void *src, int64_t first, int64_t step,
                        int64_t n, int64_t nan, int64_t *keys)
{
    bool is_double = dtype == TT_F64;
    for (int64_t i = 0; i < n; ++i) {
        double value = tt_item_load(dtype, src, first + i * step);
        keys[i] = tt_forest_key_f64(is_double ? value : (float)value, nan);
    }
}

/* keys[feature][apart]: n rows from `row` on. */
static void make_keys(const tt_forest *forest, const tt_forest_call *call,
                      const void *src, int64_t row, int64_t n, int64_t apart,
                      void *keys)
{
    const tt_forest_feature *feature = tt_forest_at(forest, forest->features);
    const int64_t step = call->n_columns;
    for (int64_t f = 0; f < forest->n_features; ++f, ++feature) {
        const int64_t first = row * step + feature->column;
        const int32_t nan = feature->nan_is_least ? INT32_MIN : INT32_MAX;
        if (feature->column < 0) /* nothing is compared */
            memset((char *)keys + f * apart * (forest->is_wide ? 8 : 4), 0,
                   (size_t)n * (forest->is_wide ? 8 : 4));
        else if (forest->is_wide)
            column_wide(call->src_dtype, src, first, step, n,
                        feature->nan_is_least ? INT64_MIN : INT64_MAX,
                        (int64_t *)keys + f * apart);
        else if (call->src_dtype == TT_F32)
            column_of_f32((const float *)src + first, step, n, nan,
                          (int32_t *)keys + f * apart);
        else
            column_of_any(call->src_dtype, src, first, step, n, nan,
                          (int32_t *)keys + f * apart);
    }
}

/* ---- sums ------------------------------------------------------------------------- */

/* What n rows (`width` sums each) have so far; `has` for MIN, MAX and SOME. */
typedef struct {
    double *sums;
    uint8_t *has;
    int64_t width;
} totals;

static inline void put(tt_forest_aggregate aggregate, double value, double *sum,
                       uint8_t *has)
{
    if (aggregate <= TT_FOREST_AVERAGE)
        *sum += value;
    else if (!*has || (aggregate == TT_FOREST_MIN ? value < *sum : value > *sum))
        *sum = value;
    *has = 1;
}

/* `reached` is `apart` from row to row. */
static void add_one(const tt_forest *forest, const tt_forest_tree *tree,
                    const int32_t *reached, int64_t n, totals *to)
{
    const double *value =
        (const double *)tt_forest_at(forest, forest->values) + tree->first;
    double *sum = to->sums + tree->score;
    uint8_t *has = to->has + tree->score;
    if (forest->aggregate <= TT_FOREST_AVERAGE)
        for (int64_t i = 0; i < n; ++i)
            sum[i * to->width] += value[reached[i]];
    else
        for (int64_t i = 0; i < n; ++i)
            put(forest->aggregate, value[reached[i]], &sum[i * to->width],
                &has[i * to->width]);
}

static void add_all(const tt_forest *forest, const tt_forest_tree *tree,
                    const int32_t *reached, int64_t n, totals *to)
{
    const double *values = tt_forest_at(forest, forest->values);
    const int32_t *leaf_of =
        (const int32_t *)tt_forest_at(forest, forest->leaf_of) + tree->first;
    const int64_t n_scores = forest->n_scores;
    for (int64_t i = 0; i < n; ++i) {
        const double *value = values + leaf_of[reached[i]] * n_scores;
        double *sum = to->sums + i * to->width;
        uint8_t *has = to->has + i * to->width;
        if (forest->aggregate <= TT_FOREST_AVERAGE)
            for (int64_t s = 0; s < n_scores; ++s)
                sum[s] += value[s];
        else
            for (int64_t s = 0; s < n_scores; ++s)
                put(forest->aggregate, value[s], &sum[s], &has[s]);
    }
}

static void add_some(const tt_forest *forest, const tt_forest_tree *tree,
                     const int32_t *reached, int64_t n, totals *to)
{
    const double *values = tt_forest_at(forest, forest->values);
    const int64_t *starts = tt_forest_at(forest, forest->starts);
    const int64_t *scores = tt_forest_at(forest, forest->scores);
    const int32_t *leaf_of =
        (const int32_t *)tt_forest_at(forest, forest->leaf_of) + tree->first;
    for (int64_t i = 0; i < n; ++i) {
        const int64_t *start = starts + leaf_of[reached[i]];
        for (int64_t k = start[0]; k < start[1]; ++k)
            put(forest->aggregate, values[k], &to->sums[i * to->width + scores[k]],
                &to->has[i * to->width + scores[k]]);
    }
}

typedef void (*add_function)(const tt_forest *forest, const tt_forest_tree *tree,
                             const int32_t *reached, int64_t n, totals *to);

static const add_function adders[] = {
    [TT_LEAVES_ONE] = add_one, [TT_LEAVES_ALL] = add_all, [TT_LEAVES_SOME] = add_some};

/* ---- a block of rows -------------------------------------------------------------- */

typedef struct {
    const tt_forest_call *call;
    const tt_forest *forest;
    const void *src;
    int64_t *labels;
    void *dst;
    char *scratch;
} forest_run;

/* The parts of a slot of the scratch. */
typedef struct {
    char *keys;
    int32_t *reached;
    totals totals;
} slot;

static size_t padded(size_t bytes)
{
    return (bytes + ALIGN - 1) & ~(size_t)(ALIGN - 1);
}

static int64_t width_of(const tt_forest *forest, const tt_forest_call *call)
{
    int64_t n = call->rule.n_outputs; /* a score can become two */
    return n > forest->n_scores ? n : forest->n_scores;
}

static int64_t groups_of(int64_t n_rows)
{
    return (n_rows + TT_FOREST_GROUP - 1) / TT_FOREST_GROUP;
}

/* Bytes of the keys of a slot, and of its places of leaves: of one row in all trees, or
 * of all rows in one. */
static size_t keys_bytes(const tt_forest *forest, int64_t rows)
{
    return padded((size_t)groups_of(rows) * TT_FOREST_GROUP *
                  (size_t)forest->n_features * (forest->is_wide ? 8 : 4));
}

static size_t reached_bytes(const tt_forest *forest, int64_t rows)
{
    int64_t n = groups_of(rows) * TT_FOREST_GROUP;
    if (n < forest->n_trees) n = forest->n_trees;
    return padded((size_t)n * 4);
}

static slot slot_at(const forest_run *run, int64_t number)
{
    const tt_forest_call *call = run->call;
    char *at = run->scratch + (size_t)number * call->slot_bytes;
    int64_t width = width_of(run->forest, call);
    slot s = {.keys = at, .totals.width = width};
    at += keys_bytes(run->forest, call->block_rows);
    s.reached = (int32_t *)(void *)at;
    at += reached_bytes(run->forest, call->block_rows);
    s.totals.sums = (double *)(void *)at;
    s.totals.has = (uint8_t *)(s.totals.sums + call->block_rows * width);
    return s;
}

static void walk_rows(const forest_run *run, slot *s, int64_t row, int64_t n)
{
    const tt_forest *forest = run->forest;
    const tt_forest_tree *tree = tt_forest_at(forest, forest->trees);
    const add_function add = adders[forest->leaves];
    const tt_forest_top *top = tt_forest_at(forest, forest->tops);
    const tt_forest_isa *isa = best_isa();
    const int64_t groups = groups_of(n);
    const size_t group_bytes =
        (size_t)forest->n_features * TT_FOREST_GROUP * (forest->is_wide ? 8 : 4);
    if (n % TT_FOREST_GROUP != 0) /* lanes past the end walk too */
        memset(s->keys + (size_t)(groups - 1) * group_bytes, 0, group_bytes);
    for (int64_t g = 0; g < groups; ++g) {
        int64_t left = n - g * TT_FOREST_GROUP;
        make_keys(forest, run->call, run->src, row + g * TT_FOREST_GROUP,
                  left < TT_FOREST_GROUP ? left : TT_FOREST_GROUP, TT_FOREST_GROUP,
                  s->keys + (size_t)g * group_bytes);
    }
    for (int32_t t = 0; t < forest->n_trees; ++t, ++tree) {
        bool has_top = isa->top != NULL && !forest->is_wide;
        if (has_top)
            isa->top(forest, top + t, (const int32_t *)(void *)s->keys, groups,
                     s->reached);
        else
            memset(s->reached, 0, (size_t)groups * TT_FOREST_GROUP * 4);
        tt_forest_walk(forest, tree, s->keys, n, has_top ? TT_FOREST_TOP_LEVELS : 0,
                       s->reached);
        add(forest, tree, s->reached, n, &s->totals);
    }
}

/* One row: several trees side by side. */
static void walk_trees(const forest_run *run, slot *s, int64_t row)
{
    const tt_forest *forest = run->forest;
    const tt_forest_tree *tree = tt_forest_at(forest, forest->trees);
    make_keys(forest, run->call, run->src, row, 1, 1, s->keys);
    tt_forest_walk_trees(forest, (const int32_t *)(void *)s->keys, s->reached);
    for (int32_t t = 0; t < forest->n_trees; ++t)
        adders[forest->leaves](forest, tree + t, s->reached + t, 1, &s->totals);
}

/* The base values, the transform and the class of a row. */
static void finish_row(const forest_run *run, totals *t, int64_t i, int64_t row)
{
    const tt_forest *forest = run->forest;
    const tt_score_rule *rule = &run->call->rule;
    const double *base = tt_forest_at(forest, forest->base);
    double *sums = t->sums + i * t->width;
    uint8_t *has = t->has + i * t->width;
    bool knows = forest->leaves == TT_LEAVES_SOME;
    int64_t found;
    for (int64_t s = 0; s < forest->n_scores; ++s) {
        if (forest->aggregate == TT_FOREST_AVERAGE) sums[s] /= forest->n_trees;
        sums[s] += base[s];
        if (base[s] != 0) has[s] = 1;
    }
    found = tt_scores_finish(rule, sums, knows ? has : NULL);
    if (run->labels != NULL)
        run->labels[row] =
            ((const int64_t *)tt_forest_at(forest, forest->labels))[found];
    if (run->dst == NULL) return;
    for (int64_t s = 0; s < rule->n_outputs; ++s)
        tt_item_store(run->call->dst_dtype, run->dst, row * rule->n_outputs + s,
                      sums[s]);
}

static void run_block(const forest_run *run, slot *s, int64_t row, int64_t n)
{
    memset(s->totals.sums, 0, (size_t)(n * s->totals.width) * sizeof(double));
    memset(s->totals.has, 0, (size_t)(n * s->totals.width));
    if (n == 1 && !run->forest->is_wide)
        walk_trees(run, s, row);
    else
        walk_rows(run, s, row, n);
    for (int64_t i = 0; i < n; ++i)
        finish_row(run, &s->totals, i, row + i);
}

static void run_slots(void *arg, int64_t begin, int64_t end)
{
    const forest_run *run = arg;
    const tt_forest_call *call = run->call;
    const int64_t rows = call->block_rows;
    const int64_t n_blocks = (call->n_rows + rows - 1) / rows;
    for (int64_t number = begin; number < end; ++number) {
        slot s = slot_at(run, number);
        int64_t last = n_blocks * (number + 1) / call->n_slots;
        for (int64_t b = n_blocks * number / call->n_slots; b < last; ++b) {
            int64_t row = b * rows, left = call->n_rows - row;
            run_block(run, &s, row, left < rows ? left : rows);
        }
    }
}

/* ---- a call ----------------------------------------------------------------------- */

bool tt_forest_split(const tt_forest *forest, tt_forest_call *call, int n_threads,
                     size_t *scratch_bytes)
{
    const size_t width = (size_t)width_of(forest, call),
                 features = (size_t)forest->n_features;
    int64_t rows = BLOCK_ROWS, each, n_blocks;
    size_t sums;
    /* a group of keys, and a row of sums, can be had however many there are */
    if (!tt_mul_size(width, 16 * (sizeof(double) + 1), &sums) ||
        features > SIZE_MAX / 1024 || sums > SIZE_MAX / 1024)
        return false;
    each = (int64_t)(features * (forest->is_wide ? 8 : 4) + width * 9);
    if (rows * each > BLOCK_BYTES) rows = BLOCK_BYTES / each;
    each = (call->n_rows + n_threads - 1) / n_threads;
    if (rows > each) rows = each;
    rows = rows < TT_FOREST_GROUP ? TT_FOREST_GROUP : rows;
    if (rows > TT_FOREST_GROUP) rows -= rows % TT_FOREST_GROUP;
    if (call->n_rows < rows) rows = call->n_rows > 0 ? call->n_rows : 1;
    n_blocks = (call->n_rows + rows - 1) / rows;
    call->block_rows = rows;
    call->n_slots = n_blocks < n_threads ? (int)n_blocks : n_threads;
    if (call->n_slots < 1) call->n_slots = 1;
    call->slot_bytes = keys_bytes(forest, rows) + reached_bytes(forest, rows) +
                       padded((size_t)rows * width * (sizeof(double) + 1));
    return tt_mul_size(call->slot_bytes, (size_t)call->n_slots, scratch_bytes);
}

tt_status tt_forest_run(const void *params, void *const *ptrs, tt_error *err)
{
    const tt_forest_call *call = params;
    forest_run run = {call, ptrs[1], ptrs[0], ptrs[2], ptrs[3], ptrs[4]};
    (void)err;
    tt_parallel_for(call->n_slots, /*grain=*/1, run_slots, &run);
    return TT_OK;
}
