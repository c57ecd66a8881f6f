/* Linear attention: choice of the instruction set, heads over threads, other types. */
#include "kernels/linear_attention.h"

#include <math.h>
#include <string.h>

#include "base/checked.h"
#include "base/cpu.h"
#include "base/threads.h"
#include "kernels/item.h"

static const tt_linear_table *table(void)
{
#ifdef __x86_64__
    tt_isa isa = tt_cpu_get()->isa;
    if (isa == TT_ISA_AVX512) return &tt_linear_avx512;
    if (isa == TT_ISA_AVX2) return &tt_linear_avx2;
#endif
    return &tt_linear_scalar;
}

const char *tt_linear_attention_name(void)
{
    return table()->name;
}

/* ---- scratch ---------------------------------------------------------------------- */

/* Parts of the scratch of one thread, in floats from its start. */
typedef struct {
    int64_t state, q, k, v, decay, change, y, end;
} layout;

/* False when that overflows. */
static bool layout_of(const tt_linear_attention *p, layout *at)
{
    int64_t n[] = {0,           p->key_size,   p->key_size,  p->value_size,
                   p->key_size, p->value_size, p->value_size};
    int64_t *places[] = {&at->q,      &at->k, &at->v,  &at->decay,
                         &at->change, &at->y, &at->end};
    at->state = 0;
    if (!tt_mul_i64(p->key_size, p->value_size, &n[0]) ||
        !tt_mul_i64(p->key_size, p->heads_per_key, &n[1]) ||
        !tt_mul_i64(p->value_size, p->heads_per_key, &n[6]))
        return false;
    for (int i = 0; i < 7; ++i)
        if (!tt_add_i64(i > 0 ? *places[i - 1] : 0, n[i], places[i])) return false;
    return true;
}

bool tt_linear_attention_split(tt_linear_attention *p, int n_threads, size_t *out)
{
    int64_t n = p->batch * p->heads;
    layout at;
    p->n_slots = n < n_threads ? (int)n : n_threads;
    if (p->n_slots < 1) p->n_slots = 1;
    return layout_of(p, &at) && tt_mul_size((size_t)at.end, sizeof(float), out) &&
           tt_mul_size(*out, (size_t)p->n_slots, out);
}

/* ---- running ---------------------------------------------------------------------- */

typedef struct {
    const tt_linear_attention *p;
    void *const *ptrs;
    layout at;
} linear_call;

static void load_row(tt_dtype dtype, const void *from, int64_t at, int64_t n, float *to)
{
    if (dtype == TT_F32)
        memcpy(to, (const float *)from + at, (size_t)n * sizeof *to);
    else
        for (int64_t i = 0; i < n; ++i)
            to[i] = (float)tt_item_load(dtype, from, at + i);
}

static void store_row(tt_dtype dtype, const float *from, void *to, int64_t at,
                      int64_t n)
{
    if (dtype == TT_F32)
        memcpy((float *)to + at, from, (size_t)n * sizeof *from);
    else
        for (int64_t i = 0; i < n; ++i)
            tt_item_store(dtype, to, at + i, (double)from[i]);
}

/* The decay of token `at` (of all batches) as factors of the rows of the state. */
static void load_decay(const linear_call *call, int64_t at, int64_t head, float *to)
{
    const tt_linear_attention *p = call->p;
    int64_t first = (at * p->heads + head) * p->decay_size;
    for (int64_t i = 0; i < p->key_size; ++i)
        to[i] = i < p->decay_size
                    ? expf((float)tt_item_load(p->dtype, call->ptrs[TT_LINEAR_DECAY],
                                               first + i))
                    : to[0];
}

static void run_head(const linear_call *call, int64_t batch, int64_t head,
                     float *scratch)
{
    const tt_linear_attention *p = call->p;
    void *const *ptrs = call->ptrs;
    int64_t n_state = p->key_size * p->value_size, state = batch * p->heads + head;
    int64_t n_q = p->heads_per_key * p->key_size,
            n_y = p->heads_per_key * p->value_size;
    float *q = scratch + call->at.q, *k = scratch + call->at.k,
          *v = scratch + call->at.v;
    float *decay = scratch + call->at.decay;
    tt_linear_token token = {.key_size = p->key_size,
                             .value_size = p->value_size,
                             .n_queries = p->heads_per_key,
                             .q = q,
                             .k = k,
                             .v = v,
                             .decay = p->decay_size > 0 ? decay : NULL,
                             .beta = 1.0f,
                             .scale = p->scale,
                             .is_delta = p->is_delta,
                             .state = scratch + call->at.state,
                             .change = scratch + call->at.change,
                             .y = scratch + call->at.y};
    if (ptrs[TT_LINEAR_PAST] != NULL)
        load_row(p->state_dtype, ptrs[TT_LINEAR_PAST], state * n_state, n_state,
                 token.state);
    else
        memset(token.state, 0, (size_t)n_state * sizeof *token.state);
    for (int64_t t = 0; t < p->tokens; ++t) {
        int64_t row = (batch * p->tokens + t) * p->heads + head;
        load_row(p->dtype, ptrs[TT_LINEAR_Q], row * n_q, n_q, q);
        load_row(p->dtype, ptrs[TT_LINEAR_K], row * p->key_size, p->key_size, k);
        load_row(p->dtype, ptrs[TT_LINEAR_V], row * p->value_size, p->value_size, v);
        if (p->decay_size > 0) load_decay(call, batch * p->tokens + t, head, decay);
        if (p->beta_heads > 0)
            token.beta = (float)tt_item_load(p->dtype, ptrs[TT_LINEAR_BETA],
                                             (batch * p->tokens + t) * p->beta_heads +
                                                 head % p->beta_heads);
        table()->token(&token);
        if (ptrs[TT_LINEAR_DST] != NULL)
            store_row(p->dtype, token.y, ptrs[TT_LINEAR_DST], row * n_y, n_y);
    }
    if (ptrs[TT_LINEAR_PRESENT] != NULL)
        store_row(p->state_dtype, token.state, ptrs[TT_LINEAR_PRESENT], state * n_state,
                  n_state);
}

static void run_slots(void *arg, int64_t begin, int64_t end)
{
    const linear_call *call = arg;
    const tt_linear_attention *p = call->p;
    int64_t n = p->batch * p->heads;
    for (int64_t slot = begin; slot < end; ++slot) {
        float *scratch = (float *)call->ptrs[TT_LINEAR_SCRATCH] + slot * call->at.end;
        for (int64_t i = n * slot / p->n_slots; i < n * (slot + 1) / p->n_slots; ++i)
            run_head(call, i / p->heads, i % p->heads, scratch);
    }
}

tt_status tt_linear_attention_run(const void *params, void *const *ptrs, tt_error *err)
{
    linear_call call = {.p = params, .ptrs = ptrs};
    (void)err;
    if (call.p->tokens == 0 && ptrs[TT_LINEAR_PRESENT] == NULL) return TT_OK;
    (void)layout_of(call.p, &call.at); /* fits: the split has seen it */
    tt_parallel_for(call.p->n_slots, /*grain=*/1, run_slots, &call);
    return TT_OK;
}
