/* Attention row by row in double, for every dtype: see attention.h. */
#include <math.h>

#include "base/checked.h"
#include "base/threads.h"
#include "kernels/attention.h"
#include "kernels/item.h"

typedef struct {
    const tt_attention_kernel *k;
    void *const *ptrs;
    int64_t batch, head, row; /* of the queries */
    int64_t visible, offset;
    double *scores;
} plain_row;

bool tt_attention_plain_split(tt_attention_kernel *k, int n_threads, size_t *out)
{
    int64_t rows = k->batch * k->heads * k->queries;
    k->n_slots = rows < n_threads ? (int)rows : n_threads;
    if (k->n_slots < 1) k->n_slots = 1;
    return tt_mul_size((size_t)k->keys, sizeof(double) * (size_t)k->n_slots, out);
}

static double raw_score(const plain_row *r, int64_t key)
{
    const tt_attention_kernel *k = r->k;
    int64_t q = r->batch * k->q[0] + r->head * k->q[1] + r->row * k->q[2];
    int64_t at =
        r->batch * k->k[0] + r->head / k->heads_per_key * k->k[1] + key * k->k[2];
    double sum = 0.0;
    for (int64_t i = 0; i < k->head_size; ++i)
        sum += tt_item_load(k->dtype, r->ptrs[TT_ATTENTION_Q], q + i * k->q[3]) *
               tt_item_load(k->dtype, r->ptrs[TT_ATTENTION_K], at + i * k->k[3]);
    return sum * (double)k->scale;
}

static double masked(const plain_row *r, int64_t key, double score)
{
    const tt_attention_kernel *k = r->k;
    int64_t at = r->row + r->offset, mask;
    double item;
    if (key >= r->visible || key < at - k->left || key > at + k->right)
        return -INFINITY;
    if (k->mask_kind == TT_MASK_NONE) return score;
    mask = r->batch * k->mask[0] + r->head * k->mask[1] + r->row * k->mask[2] + key;
    item = tt_item_load(k->mask_dtype, r->ptrs[TT_ATTENTION_MASK], mask);
    if (k->mask_kind == TT_MASK_ADD) return score + item;
    return item != 0.0 ? score : -INFINITY;
}

static void keep(const plain_row *r, int64_t key, double score)
{
    const int64_t *strides = r->k->scores;
    tt_item_store(r->k->dtype, r->ptrs[TT_ATTENTION_SCORES],
                  r->batch * strides[0] + r->head * strides[1] + r->row * strides[2] +
                      key * strides[3],
                  score);
}

/* The score that takes part without a value; -inf when there is none. */
static double sink_of(const plain_row *r)
{
    const void *sinks = r->ptrs[TT_ATTENTION_SINKS];
    if (!r->k->has_sink) return -INFINITY;
    return sinks == NULL ? 0.0 : tt_item_load(r->k->dtype, sinks, r->head);
}

/* Scores of the row, before softmax; the highest is returned. */
static double score_row(const plain_row *r)
{
    const tt_attention_kernel *k = r->k;
    double high = sink_of(r), cap = (double)k->softcap;
    for (int64_t key = 0; key < k->keys; ++key) {
        double score = raw_score(r, key);
        if (k->scores_kind == TT_SCORES_RAW) keep(r, key, score);
        if (cap != 0.0) score = cap * tanh(score / cap);
        if (k->scores_kind == TT_SCORES_CAPPED) keep(r, key, score);
        score = masked(r, key, score);
        if (k->scores_kind == TT_SCORES_MASKED) keep(r, key, score);
        r->scores[key] = score;
        if (score > high) high = score;
    }
    return high;
}

static void run_row(const plain_row *r)
{
    const tt_attention_kernel *k = r->k;
    double high = score_row(r), sum = 0.0, share;
    int64_t v = r->batch * k->v[0] + r->head / k->heads_per_key * k->v[1];
    int64_t dst = r->batch * k->dst[0] + r->head * k->dst[1] + r->row * k->dst[2];
    if (high == -INFINITY) high = 0.0; /* every exponential is 0 */
    sum = exp(sink_of(r) - high);
    for (int64_t key = 0; key < k->keys; ++key) {
        r->scores[key] = exp(r->scores[key] - high);
        sum += r->scores[key];
    }
    share = k->masked_is_zero && sum == 0.0 ? 0.0 : 1.0 / sum;
    for (int64_t key = 0; key < k->keys; ++key) {
        r->scores[key] *= share;
        if (k->scores_kind == TT_SCORES_SOFTMAX) keep(r, key, r->scores[key]);
    }
    for (int64_t i = 0; i < k->value_size; ++i) {
        double y = 0.0;
        for (int64_t key = 0; key < k->keys; ++key)
            y += r->scores[key] * tt_item_load(k->value_dtype, r->ptrs[TT_ATTENTION_V],
                                               v + key * k->v[2] + i * k->v[3]);
        tt_item_store(k->dtype, r->ptrs[TT_ATTENTION_DST], dst + i * k->dst[3], y);
    }
}

typedef struct {
    const tt_attention_kernel *k;
    void *const *ptrs;
} plain_call;

static void run_slots(void *arg, int64_t begin, int64_t end)
{
    const plain_call *call = arg;
    const tt_attention_kernel *k = call->k;
    int64_t n = k->batch * k->heads * k->queries;
    for (int64_t slot = begin; slot < end; ++slot)
        for (int64_t at = n * slot / k->n_slots; at < n * (slot + 1) / k->n_slots;
             ++at) {
            plain_row row = {.k = k, .ptrs = call->ptrs};
            row.batch = at / k->queries / k->heads;
            row.head = at / k->queries % k->heads;
            row.row = at % k->queries;
            row.scores = (double *)call->ptrs[TT_ATTENTION_SCRATCH] + slot * k->keys;
            tt_attention_range(k, call->ptrs[TT_ATTENTION_LENGTHS], row.batch,
                               &row.visible, &row.offset);
            run_row(&row);
        }
}

tt_status tt_attention_plain_run(const void *params, void *const *ptrs, tt_error *err)
{
    plain_call call = {params, ptrs};
    (void)err;
    tt_parallel_for(call.k->n_slots, /*grain=*/1, run_slots, &call);
    return TT_OK;
}
