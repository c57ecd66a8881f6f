/* Causal convolution: choice of the instruction set, channels over threads. */
#include "kernels/causal_conv.h"

#include <string.h>

#include "base/checked.h"
#include "base/cpu.h"
#include "base/threads.h"
#include "kernels/item.h"

static const tt_causal_conv_table *table(void)
{
#ifdef __x86_64__
    tt_isa isa = tt_cpu_get()->isa;
    if (isa == TT_ISA_AVX512) return &tt_causal_conv_avx512;
    if (isa == TT_ISA_AVX2) return &tt_causal_conv_avx2;
#endif
    return &tt_causal_conv_scalar;
}

const char *tt_causal_conv_name(void)
{
    return table()->name;
}

/* Floats of one slot: the state and the row behind it, the weights, the result. */
static bool slot_floats(const tt_causal_conv *p, int64_t *out)
{
    int64_t half;
    return tt_add_i64(p->length, p->taps, &half) && tt_add_i64(half, half, out);
}

bool tt_causal_conv_split(tt_causal_conv *p, int n_threads, size_t *out)
{
    int64_t n, floats;
    if (!tt_mul_i64(p->batch, p->channels, &n) || !slot_floats(p, &floats))
        return false;
    p->n_slots = n < n_threads ? (int)n : n_threads;
    if (p->n_slots < 1) p->n_slots = 1;
    return tt_mul_size((size_t)floats, sizeof(float) * (size_t)p->n_slots, out);
}

typedef struct {
    const tt_causal_conv *p;
    void *const *ptrs;
} conv_call;

static void load_row(const tt_causal_conv *p, const void *from, int64_t at, int64_t n,
                     float *to)
{
    if (from == NULL)
        memset(to, 0, (size_t)n * sizeof *to);
    else if (p->dtype == TT_F32)
        memcpy(to, (const float *)from + at, (size_t)n * sizeof *to);
    else
        for (int64_t i = 0; i < n; ++i)
            to[i] = (float)tt_item_load(p->dtype, from, at + i);
}

static void store_row(const tt_causal_conv *p, const float *from, void *to, int64_t at,
                      int64_t n)
{
    if (to == NULL) return;
    if (p->dtype == TT_F32)
        memcpy((float *)to + at, from, (size_t)n * sizeof *from);
    else
        for (int64_t i = 0; i < n; ++i)
            tt_item_store(p->dtype, to, at + i, (double)from[i]);
}

static void run_channel(const conv_call *call, int64_t row, float *scratch)
{
    const tt_causal_conv *p = call->p;
    void *const *ptrs = call->ptrs;
    int64_t state = p->taps - 1, channel = row % p->channels;
    float *x = scratch, *w = x + state + p->length, *y = w + p->taps, bias;
    load_row(p, ptrs[TT_CAUSAL_PAST], row * state, state, x);
    load_row(p, ptrs[TT_CAUSAL_X], row * p->length, p->length, x + state);
    load_row(p, ptrs[TT_CAUSAL_WEIGHTS], channel * p->taps, p->taps, w);
    load_row(p, ptrs[TT_CAUSAL_BIAS], channel, 1, &bias);
    table()->row(p->length, p->taps, x, w, bias, p->is_silu, y);
    store_row(p, y, ptrs[TT_CAUSAL_DST], row * p->length, p->length);
    store_row(p, x + p->length, ptrs[TT_CAUSAL_PRESENT], row * state, state);
}

static void run_slots(void *arg, int64_t begin, int64_t end)
{
    const conv_call *call = arg;
    const tt_causal_conv *p = call->p;
    int64_t n = p->batch * p->channels, floats = 0;
    (void)slot_floats(p, &floats); /* fits: the split has seen it */
    for (int64_t slot = begin; slot < end; ++slot) {
        float *scratch = (float *)call->ptrs[TT_CAUSAL_SCRATCH] + slot * floats;
        for (int64_t i = n * slot / p->n_slots; i < n * (slot + 1) / p->n_slots; ++i)
            run_channel(call, i, scratch);
    }
}

tt_status tt_causal_conv_run(const void *params, void *const *ptrs, tt_error *err)
{
    conv_call call = {params, ptrs};
    (void)err;
    if (call.p->length == 0 && call.p->taps == 1) return TT_OK;
    tt_parallel_for(call.p->n_slots, /*grain=*/1, run_slots, &call);
    return TT_OK;
}
