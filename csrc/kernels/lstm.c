/* LSTM: packing, the walk over steps, sequences and directions. */
#include "kernels/lstm.h"

#include <string.h>

#include "base/cpu.h"
#include "base/threads.h"

static const tt_lstm_table *table(void)
{
#ifdef __x86_64__
    tt_isa isa = tt_cpu_get()->isa;
    if (isa == TT_ISA_AVX512) return &tt_lstm_avx512;
    if (isa == TT_ISA_AVX2) return &tt_lstm_avx2;
#endif
    return &tt_lstm_scalar;
}

const char *tt_lstm_name(void)
{
    return table()->name;
}

static int64_t n_blocks(int64_t hidden)
{
    return (hidden + table()->lanes - 1) / table()->lanes;
}

size_t tt_lstm_packed_floats(int64_t hidden, int64_t columns)
{
    return (size_t)(n_blocks(hidden) * table()->lanes) * 4 * (size_t)columns;
}

void tt_lstm_pack(const float *weights, int64_t hidden, int64_t columns, float *packed)
{
    int64_t lanes = table()->lanes;
    for (int64_t block = 0; block < n_blocks(hidden); ++block)
        for (int64_t k = 0; k < columns; ++k)
            for (int64_t gate = 0; gate < 4; ++gate)
                for (int64_t lane = 0; lane < lanes; ++lane) {
                    int64_t unit = block * lanes + lane;
                    *packed++ = unit < hidden
                                    ? weights[(gate * hidden + unit) * columns + k]
                                    : 0.0f;
                }
}

/* c and two h of every sequence and direction. */
size_t tt_lstm_scratch_bytes(const tt_lstm_kernel *k)
{
    return (size_t)(k->n_directions * k->batch * 3 * k->hidden) * sizeof(float);
}

typedef struct {
    const tt_lstm_kernel *k;
    void *const *ptrs;
} lstm_call;

static void load_state(const float *from, int64_t at, float *to, int64_t n)
{
    if (from != NULL)
        memcpy(to, from + at, (size_t)n * sizeof *to);
    else
        memset(to, 0, (size_t)n * sizeof *to);
}

static void store_state(float *to, int64_t at, const float *from, int64_t n)
{
    if (to != NULL) memcpy(to + at, from, (size_t)n * sizeof *from);
}

static void run_sequence(const lstm_call *call, int64_t direction, int64_t sequence)
{
    const tt_lstm_kernel *k = call->k;
    void *const *p = call->ptrs;
    const tt_lstm_table *t = table();
    int64_t n = k->hidden, index = direction * k->batch + sequence;
    int64_t state =
        (k->batch_first ? sequence * k->n_directions + direction : index) * n;
    float *c = (float *)p[TT_LSTM_SCRATCH] + index * 3 * n, *h = c + n, *next = h + n;
    const float *r = p[TT_LSTM_R], *w = p[TT_LSTM_W], *bias = p[TT_LSTM_BIAS];
    bool reverse = direction == 1 || k->first_is_reverse;
    r += (size_t)direction * tt_lstm_packed_floats(n, n);
    if (w != NULL) w += (size_t)direction * tt_lstm_packed_floats(n, k->inputs);
    if (bias != NULL) bias += direction * 4 * n;
    load_state(p[TT_LSTM_H0], state, h, n);
    load_state(p[TT_LSTM_C0], state, c, n);
    for (int64_t i = 0; i < k->steps; ++i) {
        int64_t step = reverse ? k->steps - 1 - i : i;
        int64_t row =
            k->batch_first ? sequence * k->steps + step : step * k->batch + sequence;
        const float *gates = bias, *x = NULL;
        float *swap = h;
        if (k->has_projection)
            gates = (const float *)p[TT_LSTM_X] +
                    (direction * k->steps * k->batch + row) * 4 * n;
        else
            x = (const float *)p[TT_LSTM_X] + row * k->inputs;
        t->step(gates, w, x, k->inputs, r, h, c, next, n);
        h = next;
        next = swap;
        int64_t y = k->batch_first
                        ? row * k->n_directions + direction
                        : (step * k->n_directions + direction) * k->batch + sequence;
        store_state(p[TT_LSTM_Y], y * n, h, n);
    }
    store_state(p[TT_LSTM_YH], state, h, n);
    store_state(p[TT_LSTM_YC], state, c, n);
}

static void run_sequences(void *arg, int64_t begin, int64_t end)
{
    const lstm_call *call = arg;
    for (int64_t i = begin; i < end; ++i)
        run_sequence(call, i / call->k->batch, i % call->k->batch);
}

tt_status tt_lstm_run(const void *params, void *const *ptrs, tt_error *err)
{
    const tt_lstm_kernel *k = params;
    lstm_call call = {k, ptrs};
    int64_t work = k->steps * k->hidden * k->hidden + 1;
    (void)err;
    tt_parallel_for(k->n_directions * k->batch, 300000 / work + 1, run_sequences,
                    &call);
    return TT_OK;
}
