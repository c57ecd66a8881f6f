/* Appending to a cache of keys and values: see kv_append.h. */
#include "kernels/kv_append.h"

#include <string.h>

#include "base/threads.h"

enum { GRAIN_BYTES = 1 << 18 }; /* of a thread's share */

typedef struct {
    const tt_kv_append *p;
    void *const *ptrs;
} append_call;

/* Tokens of the past of a batch that counts `total` in the end. */
static int64_t past_of(const tt_kv_append *p, int64_t total)
{
    return p->is_prompt ? 0 : total - p->tokens;
}

static tt_status read_totals(const append_call *call, tt_error *err)
{
    const tt_kv_append *p = call->p;
    const int32_t *lengths = call->ptrs[TT_APPEND_LENGTHS];
    int64_t *totals = call->ptrs[TT_APPEND_TOTALS];
    for (int64_t b = 0; b < p->batch; ++b) {
        int64_t total = (int64_t)lengths[b] + 1, past = past_of(p, total);
        totals[b] = total;
        if (total >= 1 && past >= 0 && past <= p->past &&
            past + p->tokens <= p->present && total <= past + p->tokens)
            continue;
        return tt_fail(
            err, TT_BAD_INPUT,
            "seqlens_k of batch %lld is %lld: with %lld new tokens, a past of "
            "%lld and room for %lld that cannot be",
            (long long)b, (long long)lengths[b], (long long)p->tokens,
            (long long)p->past, (long long)p->present);
    }
    return TT_OK;
}

/* The row of the tables for each new token. */
static tt_status read_rows(const append_call *call, tt_error *err)
{
    const tt_kv_append *p = call->p;
    const int64_t *places = call->ptrs[TT_APPEND_PLACES];
    const int64_t *totals = call->ptrs[TT_APPEND_TOTALS];
    int64_t *rows = call->ptrs[TT_APPEND_ROWS];
    for (int64_t i = 0; i < p->batch * p->tokens; ++i) {
        int64_t token = i % p->tokens;
        rows[i] = past_of(p, totals[i / p->tokens]) + token;
        if (places != NULL && !p->is_prompt) rows[i] = places[i];
        if (places != NULL && p->is_prompt) /* no overflow: beyond the rows it stays */
            rows[i] = places[0] + (places[0] < p->turn.n_rows ? token : 0);
        if (rows[i] < 0 || rows[i] >= p->turn.n_rows)
            return tt_fail(err, TT_BAD_INPUT,
                           "position %lld is outside of the %lld rows of the tables of "
                           "cosines and sines",
                           (long long)rows[i], (long long)p->turn.n_rows);
    }
    return TT_OK;
}

/* The cache of one head up to its new tokens, and behind them. */
static void copy_past(const tt_kv_append *p, const char *past, char *present,
                      int64_t n_past)
{
    size_t row = (size_t)p->turn.head_size * tt_dtype_bytes(p->turn.dtype);
    int64_t end = n_past + p->tokens;
    if (past == present) return;
    if (n_past > 0 && !p->leaves_past) memcpy(present, past, (size_t)n_past * row);
    memset(present + (size_t)end * row, 0, (size_t)(p->present - end) * row);
}

static void append_head(const append_call *call, int64_t batch, int64_t head,
                        bool is_key)
{
    const tt_kv_append *p = call->p;
    void *const *ptrs = call->ptrs;
    const int64_t *rows = (const int64_t *)ptrs[TT_APPEND_ROWS],
                  *s = is_key ? p->k : p->v;
    size_t item = tt_dtype_bytes(p->turn.dtype), row = (size_t)p->turn.head_size * item;
    const char *past = ptrs[is_key ? TT_APPEND_PAST_K : TT_APPEND_PAST_V];
    const char *from = (const char *)ptrs[is_key ? TT_APPEND_K : TT_APPEND_V] +
                       (is_key ? p->k_offset : p->v_offset) * (int64_t)item;
    char *present = ptrs[is_key ? TT_APPEND_PRESENT_K : TT_APPEND_PRESENT_V];
    int64_t n_past = past_of(p, ((const int64_t *)ptrs[TT_APPEND_TOTALS])[batch]);
    int64_t at = batch * p->heads + head;
    if (past != NULL) past += (size_t)(at * p->past) * row;
    present += (size_t)(at * p->present) * row;
    copy_past(p, past, present, n_past);
    for (int64_t t = 0; t < p->tokens; ++t) {
        const char *x = from + (batch * s[0] + head * s[1] + t * s[2]) * (int64_t)item;
        char *dst = present + (size_t)(n_past + t) * row;
        if (is_key && p->turn.half > 0)
            tt_rotary_row(&p->turn, x, ptrs[TT_APPEND_COS], ptrs[TT_APPEND_SIN],
                          rows[batch * p->tokens + t], dst);
        else
            memcpy(dst, x, row);
    }
}

static void append_heads(void *arg, int64_t begin, int64_t end)
{
    const append_call *call = arg;
    for (int64_t i = begin; i < end; ++i)
        append_head(call, i / 2 / call->p->heads, i / 2 % call->p->heads, i % 2 == 0);
}

tt_status tt_kv_append_run(const void *params, void *const *ptrs, tt_error *err)
{
    const tt_kv_append *p = params;
    append_call call = {p, ptrs};
    size_t bytes =
        (size_t)(p->present * p->turn.head_size) * tt_dtype_bytes(p->turn.dtype);
    TT_TRY(read_totals(&call, err));
    if (p->turn.half > 0) TT_TRY(read_rows(&call, err));
    tt_parallel_for(2 * p->batch * p->heads, (int64_t)(GRAIN_BYTES / (bytes + 1)) + 1,
                    append_heads, &call);
    return TT_OK;
}
