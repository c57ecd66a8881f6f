/* Counting of n-grams of integers, for TfIdfVectorizer. */
#ifndef TT_KERNELS_NGRAM_H
#define TT_KERNELS_NGRAM_H

#include "base/dtype.h"

typedef enum { TT_NGRAM_TF, TT_NGRAM_IDF, TT_NGRAM_TFIDF } tt_ngram_mode;

/* src [n_rows, n_tokens] of int32 or int64, dst [n_rows, n_columns] of f32. */
typedef struct {
    tt_ngram_mode mode;
    tt_dtype dtype;
    int n_sizes; /* n-grams have 1 to n_sizes tokens */
    int64_t min_size, max_size, max_skip;
    int64_t n_rows, n_tokens, n_columns;
    int64_t columns; /* where in the table: the columns of all n-grams by number */
} tt_ngrams;

/* The n-grams of one size in a table of int64: `count` of them, from `grams` on those of
 * `size` tokens each, from `numbers` on their numbers in the pool. */
typedef struct {
    int64_t size, count, grams, numbers;
} tt_ngram_size;

/* Puts n-grams into ascending order, for the search; false when one occurs twice. */
bool tt_ngram_sort(int64_t *table, const tt_ngram_size *size);

/* sizes: n_sizes of them.  weights has an item per n-gram, or is NULL. */
void tt_ngram_run(const tt_ngrams *ngrams, const tt_ngram_size *sizes,
                  const int64_t *table, const float *weights, const void *src,
                  float *dst);

#endif
