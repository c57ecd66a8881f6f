/* TfIdfVectorizer of integers: how often the n-grams of a pool occur in each row.
 *
 * Sorting of the pool happens once, when compiling.  Like in
 * onnxruntime, and unlike in onnx.reference, `weights` goes by n-grams, not columns. */
#include <string.h>

#include "base/checked.h"
#include "kernels/ngram.h"
#include "ops/fail.h"
#include "ops/move.h"

typedef struct {
    tt_ngrams ngrams;
    const int64_t *counts, *pool, *columns;
    const float *weights;
    int n_pool, n_grams;
    bool has_weights;
} vectorizer;

static tt_status read_mode(const tt_node *node, tt_ngram_mode *out, tt_error *err)
{
    static const char *const MODES[] = {"TF", "IDF", "TFIDF"};
    const char *mode;
    TT_TRY(tt_attribute_string(node, "mode", "", &mode, err));
    for (int i = 0; i < 3; ++i)
        if (strcmp(mode, MODES[i]) == 0) {
            *out = (tt_ngram_mode)i;
            return TT_OK;
        }
    return tt_fail_at(node, err, TT_BAD_MODEL, "mode '%s', expected TF, IDF or TFIDF",
                      mode);
}

/* n-grams of `i + 1` tokens begin at *first in the pool; their number. */
static int64_t grams_of(const vectorizer *v, int i, int64_t *first)
{
    int64_t end = i + 1 < v->ngrams.n_sizes ? v->counts[i + 1] : v->n_pool;
    *first = v->counts[i];
    return (end - v->counts[i]) / (i + 1);
}

static tt_status check_counts(const tt_node *node, const vectorizer *v, tt_error *err)
{
    int64_t total = 0, first;
    for (int i = 0; i < v->ngrams.n_sizes; ++i) {
        int64_t end = i + 1 < v->ngrams.n_sizes ? v->counts[i + 1] : v->n_pool;
        if (v->counts[i] < 0 || end < v->counts[i] || end > v->n_pool ||
            (end - v->counts[i]) % (i + 1) != 0)
            return tt_fail_at(
                node, err, TT_BAD_MODEL,
                "ngram_counts does not divide a pool of %d items, see its "
                "item %d",
                v->n_pool, i);
        total += grams_of(v, i, &first);
    }
    if (total == v->n_grams) return TT_OK;
    return tt_fail_at(node, err, TT_BAD_MODEL,
                      "ngram_indexes has %d items for %lld n-grams", v->n_grams,
                      (long long)total);
}

static tt_status read_sizes(const tt_node *node, tt_ngrams *p, tt_error *err)
{
    TT_TRY(tt_attribute_int(node, "min_gram_length", 1, &p->min_size, err));
    TT_TRY(tt_attribute_int(node, "max_gram_length", 1, &p->max_size, err));
    TT_TRY(tt_attribute_int(node, "max_skip_count", 0, &p->max_skip, err));
    if (p->min_size >= 1 && p->max_size >= p->min_size && p->max_skip >= 0 &&
        p->max_size <= p->n_sizes)
        return TT_OK;
    return tt_fail_at(node, err, TT_BAD_MODEL,
                      "n-grams of %lld to %lld tokens with %lld skips, the pool has "
                      "those of up to %d",
                      (long long)p->min_size, (long long)p->max_size,
                      (long long)p->max_skip, p->n_sizes);
}

static tt_status read_columns(const tt_node *node, vectorizer *v, tt_error *err)
{
    int n_weights;
    TT_TRY(tt_attribute_floats(node, "weights", &v->weights, &n_weights, err));
    for (int i = 0; i < v->n_grams; ++i) {
        if (v->columns[i] < 0 || v->columns[i] >= INT32_MAX)
            return tt_fail_at(node, err, TT_BAD_MODEL,
                              "item %d of ngram_indexes is %lld", i,
                              (long long)v->columns[i]);
        if (v->columns[i] >= v->ngrams.n_columns)
            v->ngrams.n_columns = v->columns[i] + 1;
    }
    v->has_weights = n_weights > 0 && v->ngrams.mode != TT_NGRAM_TF;
    if (n_weights <= 0 || n_weights == v->n_grams) return TT_OK;
    return tt_fail_at(node, err, TT_BAD_MODEL, "%d weights for %d n-grams", n_weights,
                      v->n_grams);
}

static tt_status read_vectorizer(const tt_site *site, vectorizer *v, tt_error *err)
{
    const tt_node *node = site->node;
    const tt_shape *src;
    *v = (vectorizer){0};
    TT_TRY(tt_need_inputs(site, 1, err));
    src = tt_input_shape(site, 0);
    if (src->dtype != TT_S32 && src->dtype != TT_S64)
        return tt_fail_at(node, err, TT_UNSUPPORTED, "n-grams of %s",
                          tt_dtype_name(src->dtype));
    if (src->rank > 2)
        return tt_fail_at(node, err, TT_BAD_MODEL, "the input has rank %d, at most 2",
                          src->rank);
    v->ngrams.dtype = src->dtype;
    v->ngrams.n_rows = src->rank == 2 ? src->dims[0] : 1;
    v->ngrams.n_tokens = src->rank == 0 ? 1 : src->dims[src->rank - 1];
    TT_TRY(read_mode(node, &v->ngrams.mode, err));
    TT_TRY(
        tt_attribute_ints(node, "ngram_counts", &v->counts, &v->ngrams.n_sizes, err));
    TT_TRY(tt_attribute_ints(node, "ngram_indexes", &v->columns, &v->n_grams, err));
    TT_TRY(tt_attribute_ints(node, "pool_int64s", &v->pool, &v->n_pool, err));
    if (v->ngrams.n_sizes < 1 || v->n_grams < 1 || v->n_pool < 1)
        return tt_fail_at(node, err, TT_BAD_MODEL, "%s",
                          "ngram_counts, ngram_indexes and pool_int64s must be given");
    TT_TRY(read_sizes(node, &v->ngrams, err));
    TT_TRY(check_counts(node, v, err));
    return read_columns(node, v, err);
}

static tt_status infer(tt_site *site, tt_shape *out, tt_error *err)
{
    vectorizer v;
    TT_TRY(read_vectorizer(site, &v, err));
    *out = (tt_shape){.dtype = TT_F32, .rank = 1, .dims = {v.ngrams.n_columns}};
    if (tt_input_shape(site, 0)->rank == 2) {
        out->rank = 2;
        out->dims[0] = v.ngrams.n_rows;
        out->dims[1] = v.ngrams.n_columns;
    }
    return tt_check_shape(site, out, err);
}

/* A constant of n items of this type. */
static tt_status make(tt_lower *lower, tt_dtype dtype, int64_t n, tt_operand *operand,
                      void **data, tt_error *err)
{
    const tt_shape shape = {.dtype = dtype, .rank = 1, .dims = {n}};
    tt_constant *constant;
    TT_TRY(tt_constant_empty(&shape, &constant, data, err));
    return tt_lower_constant(lower, constant, operand, err);
}

/* The records of all sizes, and the table that they point into, columns first. */
static tt_status make_table(tt_lower *lower, const tt_node *node, const vectorizer *v,
                            tt_operand *sizes, tt_operand *table, tt_error *err)
{
    tt_ngram_size *size;
    int64_t *items, number = 0, at = v->n_grams;
    void *data;
    TT_TRY(make(lower, TT_S64, 4 * (int64_t)v->ngrams.n_sizes, sizes, &data, err));
    size = data;
    TT_TRY(make(lower, TT_S64, (int64_t)v->n_pool + 2 * v->n_grams, table, &data, err));
    items = data;
    memcpy(items, v->columns, (size_t)v->n_grams * sizeof *items);
    for (int i = 0; i < v->ngrams.n_sizes; ++i, ++size) {
        int64_t first, n = grams_of(v, i, &first);
        *size = (tt_ngram_size){i + 1, n, at, at + n * (i + 1)};
        memcpy(items + size->grams, v->pool + first,
               (size_t)(n * (i + 1)) * sizeof *items);
        for (int64_t k = 0; k < n; ++k)
            items[size->numbers + k] = number++;
        at += n * (i + 2);
        if (!tt_ngram_sort(items, size))
            return tt_fail_at(node, err, TT_BAD_MODEL,
                              "an n-gram of %d tokens occurs twice in the pool", i + 1);
    }
    return TT_OK;
}

static tt_status run(const void *params, void *const *ptrs, tt_error *err)
{
    (void)err;
    tt_ngram_run(params, ptrs[1], ptrs[2], ptrs[3], ptrs[0], ptrs[4]);
    return TT_OK;
}

static tt_status lower_tfidf(tt_lower *lower, const tt_node *node, tt_error *err)
{
    tt_site site = tt_lower_site(lower, node);
    tt_work work = {.bytes = (double)tt_shape_bytes(tt_output_shape(lower, node, 0))};
    tt_operand operands[5] = {[3] = TT_NO_OPERAND};
    vectorizer v;
    void *weights;
    TT_TRY(read_vectorizer(&site, &v, err));
    TT_TRY(tt_lower_src(lower, node, 0, TT_ORDER_ROW_MAJOR, &operands[0], err));
    TT_TRY(make_table(lower, node, &v, &operands[1], &operands[2], err));
    if (v.has_weights) {
        TT_TRY(make(lower, TT_F32, v.n_grams, &operands[3], &weights, err));
        memcpy(weights, v.weights, (size_t)v.n_grams * sizeof(float));
    }
    TT_TRY(tt_lower_dst(lower, node, 0, TT_ORDER_ROW_MAJOR, &operands[4], err));
    work.cost_ns =
        50.0 + work.bytes + 100.0 * (double)(v.ngrams.n_rows * v.ngrams.n_tokens);
    return tt_lower_kernel(lower, node, "tfidf", run, &v.ngrams, sizeof v.ngrams,
                           operands, 4, 1, &work, err);
}

const tt_op tt_op_tfidf_vectorizer = {
    .name = "TfIdfVectorizer",
    .domain = "",
    .since = 9,
    .summary = "how often n-grams of a pool occur",
    .infer = infer,
    .lower = lower_tfidf,
};
