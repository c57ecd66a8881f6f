/* Rotary position embedding: see rotary.h. */
#include "kernels/rotary.h"

#include <string.h>

#include "base/threads.h"
#include "kernels/item.h"

enum { GRAIN_ITEMS = 16384 }; /* of a thread's share */

static void halves_f32(int64_t half, const float *restrict x, const float *restrict c,
                       const float *restrict s, float *restrict y)
{
    for (int64_t i = 0; i < half; ++i) {
        float a = x[i], b = x[i + half];
        y[i] = c[i] * a - s[i] * b;
        y[i + half] = s[i] * a + c[i] * b;
    }
}

static void pairs_f32(int64_t half, const float *restrict x, const float *restrict c,
                      const float *restrict s, float *restrict y)
{
    for (int64_t i = 0; i < half; ++i) {
        float a = x[2 * i], b = x[2 * i + 1];
        y[2 * i] = c[i] * a - s[i] * b;
        y[2 * i + 1] = s[i] * a + c[i] * b;
    }
}

static void turn_any(const tt_rotary_turn *t, const void *x, const void *cosines,
                     const void *sines, int64_t at, void *y)
{
    int64_t step = t->is_interleaved ? 2 : 1, other = t->is_interleaved ? 1 : t->half;
    for (int64_t i = 0; i < t->half; ++i) {
        double a = tt_item_load(t->dtype, x, i * step);
        double b = tt_item_load(t->dtype, x, i * step + other);
        double c = tt_item_load(t->dtype, cosines, at + i);
        double s = tt_item_load(t->dtype, sines, at + i);
        tt_item_store(t->dtype, y, i * step, c * a - s * b);
        tt_item_store(t->dtype, y, i * step + other, s * a + c * b);
    }
}

void tt_rotary_row(const tt_rotary_turn *t, const void *x, const void *cosines,
                   const void *sines, int64_t row, void *dst)
{
    size_t item = tt_dtype_bytes(t->dtype), from = (size_t)(2 * t->half) * item;
    int64_t at = row * t->half;
    if (t->dtype != TT_F32)
        turn_any(t, x, cosines, sines, at, dst);
    else if (t->is_interleaved)
        pairs_f32(t->half, x, (const float *)cosines + at, (const float *)sines + at,
                  dst);
    else
        halves_f32(t->half, x, (const float *)cosines + at, (const float *)sines + at,
                   dst);
    if (t->head_size > 2 * t->half)
        memcpy((char *)dst + from, (const char *)x + from,
               (size_t)t->head_size * item - from);
}

typedef struct {
    const tt_rotary *k;
    void *const *ptrs;
} rotary_call;

static int64_t place_of(const tt_rotary *k, const int64_t *places, int64_t token)
{
    if (k->places == TT_ROTARY_BY_PLACE) return places[token];
    if (k->places == TT_ROTARY_BY_TOKEN) return token;
    return places[0] + token % k->tokens;
}

/* Tokens [begin, end) of all batches, with all their heads. */
static void run_tokens(void *arg, int64_t begin, int64_t end)
{
    const rotary_call *call = arg;
    const tt_rotary *k = call->k;
    int64_t item = (int64_t)tt_dtype_bytes(k->turn.dtype);
    const char *x = call->ptrs[TT_ROTARY_X];
    char *dst = call->ptrs[TT_ROTARY_DST];
    for (int64_t token = begin; token < end; ++token) {
        int64_t b = token / k->tokens, t = token % k->tokens;
        int64_t row = place_of(k, call->ptrs[TT_ROTARY_PLACES], token);
        for (int64_t h = 0; h < k->heads; ++h)
            tt_rotary_row(&k->turn,
                          x + (b * k->x[0] + h * k->x[1] + t * k->x[2]) * item,
                          call->ptrs[TT_ROTARY_COS], call->ptrs[TT_ROTARY_SIN], row,
                          dst + (b * k->dst[0] + h * k->dst[1] + t * k->dst[2]) * item);
    }
}

/* The first place that the tables lack, or -1; their number is *n. */
static bool places_fit(const tt_rotary *k, const int64_t *places, int64_t *bad)
{
    int64_t n = k->places == TT_ROTARY_BY_PLACE ? k->batch * k->tokens : 1;
    int64_t last = k->places == TT_ROTARY_BY_PLACE ? 1 : k->tokens;
    for (int64_t i = 0; i < n; ++i) {
        if (places[i] >= 0 && places[i] <= k->turn.n_rows - last) continue;
        *bad = places[i];
        return false;
    }
    return true;
}

tt_status tt_rotary_run(const void *params, void *const *ptrs, tt_error *err)
{
    const tt_rotary *k = params;
    rotary_call call = {k, ptrs};
    int64_t n = k->batch * k->tokens, width = k->heads * k->turn.head_size, bad;
    if (n == 0 || width == 0) return TT_OK;
    if (k->places != TT_ROTARY_BY_TOKEN && !places_fit(k, ptrs[TT_ROTARY_PLACES], &bad))
        return tt_fail(
            err, TT_BAD_INPUT,
            "position %lld (and the %lld tokens from there on) is outside of "
            "the %lld rows of the tables of cosines and sines",
            (long long)bad, (long long)(k->places == TT_ROTARY_FROM ? k->tokens : 1),
            (long long)k->turn.n_rows);
    tt_parallel_for(n, GRAIN_ITEMS / (width + 1) + 1, run_tokens, &call);
    return TT_OK;
}
