/* Counting of n-grams: see ngram.h. */
#include "kernels/ngram.h"

#include <string.h>

#include "base/threads.h"
#include "kernels/item.h"

/* ---- the table ------------------------------------------------------------- */

static int compare(const int64_t *a, const int64_t *b, int64_t n)
{
    for (int64_t i = 0; i < n; ++i)
        if (a[i] != b[i]) return a[i] < b[i] ? -1 : 1;
    return 0;
}

static void swap(int64_t *table, const tt_ngram_size *s, int64_t a, int64_t b)
{
    int64_t *ga = table + s->grams + a * s->size, *gb = table + s->grams + b * s->size;
    int64_t *ca = table + s->numbers + a, *cb = table + s->numbers + b, kept = *ca;
    *ca = *cb;
    *cb = kept;
    for (int64_t i = 0; i < s->size; ++i) {
        kept = ga[i];
        ga[i] = gb[i];
        gb[i] = kept;
    }
}

static void sift(int64_t *table, const tt_ngram_size *s, int64_t at, int64_t n)
{
    const int64_t *grams = table + s->grams;
    for (int64_t child; (child = 2 * at + 1) < n; at = child) {
        if (child + 1 < n && compare(grams + child * s->size,
                                     grams + (child + 1) * s->size, s->size) < 0)
            ++child;
        if (compare(grams + at * s->size, grams + child * s->size, s->size) >= 0)
            return;
        swap(table, s, at, child);
    }
}

bool tt_ngram_sort(int64_t *table, const tt_ngram_size *s)
{
    const int64_t *grams = table + s->grams;
    for (int64_t i = s->count / 2; i-- > 0;)
        sift(table, s, i, s->count);
    for (int64_t n = s->count - 1; n > 0; --n) {
        swap(table, s, 0, n);
        sift(table, s, 0, n);
    }
    for (int64_t i = 1; i < s->count; ++i)
        if (compare(grams + (i - 1) * s->size, grams + i * s->size, s->size) == 0)
            return false;
    return true;
}

/* ---- counting --------------------------------------------------------------- */

typedef struct {
    const tt_ngrams *p;
    const tt_ngram_size *sizes;
    const int64_t *table;
    const float *weights;
    const void *src;
    float *dst;
} ngram_call;

/* The number of the n-gram whose tokens lie `step` apart from `at` on, or -1. */
static int64_t find(const ngram_call *call, const tt_ngram_size *s, int64_t at,
                    int64_t step)
{
    int64_t low = 0, high = s->count;
    while (low < high) {
        int64_t middle = low + (high - low) / 2, i = 0;
        const int64_t *gram = call->table + s->grams + middle * s->size;
        int64_t token = 0;
        for (; i < s->size; ++i) {
            token = tt_item_load_int(call->p->dtype, call->src, at + i * step);
            if (token != gram[i]) break;
        }
        if (i == s->size) return call->table[s->numbers + middle];
        if (token < gram[i])
            high = middle;
        else
            low = middle + 1;
    }
    return -1;
}

/* Counts an n-gram, or nothing (-1). */
static void add(const ngram_call *call, int64_t number, float *dst)
{
    float *column, weight = 1.0f;
    if (number < 0) return;
    column = &dst[call->table[call->p->columns + number]];
    if (call->weights != NULL) weight = call->weights[number];
    if (call->p->mode == TT_NGRAM_IDF)
        *column = weight;
    else
        *column += weight;
}

static void count_row(const ngram_call *call, int64_t row, float *dst)
{
    const tt_ngrams *p = call->p;
    int64_t first = p->min_size, begin = row * p->n_tokens;
    int64_t last = p->max_size < p->n_sizes ? p->max_size : p->n_sizes;
    for (int64_t step = 1; step <= p->n_tokens && step - 1 <= p->max_skip; ++step) {
        for (int64_t size = first; size <= last; ++size) {
            int64_t n = size == 1 ? p->n_tokens
                        : step > (p->n_tokens - 1) / (size - 1)
                            ? 0
                            : p->n_tokens - step * (size - 1);
            for (int64_t i = 0; i < n; ++i)
                add(call, find(call, &call->sizes[size - 1], begin + i, step), dst);
        }
        if (first == 1) first = 2; /* one token has nothing to skip */
    }
}

static void run_rows(void *arg, int64_t begin, int64_t end)
{
    const ngram_call *call = arg;
    for (int64_t row = begin; row < end; ++row) {
        float *dst = call->dst + row * call->p->n_columns;
        memset(dst, 0, (size_t)call->p->n_columns * sizeof *dst);
        count_row(call, row, dst);
    }
}

void tt_ngram_run(const tt_ngrams *ngrams, const tt_ngram_size *sizes,
                  const int64_t *table, const float *weights, const void *src,
                  float *dst)
{
    ngram_call call = {ngrams, sizes, table, weights, src, dst};
    int64_t cost = ngrams->n_columns + 50 * ngrams->n_tokens + 1;
    tt_parallel_for(ngrams->n_rows, 50000 / cost + 1, run_rows, &call);
}
