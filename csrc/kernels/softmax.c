/* Softmax: choice of the instruction set, splitting over threads, the plain version
 * for other types. */
#include "kernels/softmax.h"

#include <math.h>

#include "base/cpu.h"
#include "base/threads.h"
#include "kernels/item.h"

static const tt_softmax_table *table(void)
{
#ifdef __x86_64__
    tt_isa isa = tt_cpu_get()->isa;
    if (isa == TT_ISA_AVX512) return &tt_softmax_avx512;
    if (isa == TT_ISA_AVX2) return &tt_softmax_avx2;
#endif
    return &tt_softmax_scalar;
}

const char *tt_softmax_name(void)
{
    return table()->name;
}

typedef struct {
    const tt_softmax_kernel *kernel;
    const tt_softmax_table *table;
    const void *src;
    const float *mask;
    void *dst;
} softmaxing;

/* ---- any type, by the definition in double ------------------------------------- */

static double load(const softmaxing *s, int64_t at)
{
    return tt_item_load(s->kernel->dtype, s->src, at);
}

static void plain_column(const softmaxing *s, int64_t at)
{
    const tt_softmax_kernel *k = s->kernel;
    double high = -INFINITY, sum = 0.0;
    int64_t best = 0;
    for (int64_t i = 0; i < k->n; ++i) {
        double x = load(s, at + i * k->inner);
        if (x > high || isnan(x)) {
            high = x;
            best = i;
        }
    }
    for (int64_t i = 0; i < k->n; ++i)
        sum += exp(load(s, at + i * k->inner) - high);
    for (int64_t i = 0; i < k->n; ++i) {
        double x = load(s, at + i * k->inner) - high, y;
        if (k->kind == TT_SOFTMAX_HARD)
            y = i == best ? 1.0 : 0.0;
        else
            y = k->kind == TT_SOFTMAX_LOG ? x - log(sum) : exp(x) / sum;
        tt_item_store(k->dtype, s->dst, at + i * k->inner, y);
    }
}

static void plain_rows(void *arg, int64_t begin, int64_t end)
{
    const softmaxing *s = arg;
    const tt_softmax_kernel *k = s->kernel;
    for (int64_t row = begin; row < end; ++row)
        for (int64_t c = 0; c < k->inner; ++c)
            plain_column(s, row * k->n * k->inner + c);
}

/* ---- float ------------------------------------------------------------------------ */

static int64_t mask_offset(const tt_softmax_kernel *k, int64_t row)
{
    int64_t offset = 0;
    for (int d = k->rank - 1; d >= 0; --d) {
        offset += row % k->dims[d] * k->mask_strides[d];
        row /= k->dims[d];
    }
    return offset;
}

static void float_rows(void *arg, int64_t begin, int64_t end)
{
    const softmaxing *s = arg;
    const tt_softmax_kernel *k = s->kernel;
    bool is_log = k->kind == TT_SOFTMAX_LOG;
    for (int64_t row = begin; row < end; ++row) {
        const float *src = (const float *)s->src + row * k->n * k->inner;
        float *dst = (float *)s->dst + row * k->n * k->inner;
        if (k->inner > 1) {
            s->table->columns(src, dst, k->n, k->inner, is_log);
            continue;
        }
        const float *mask = k->has_mask ? s->mask + mask_offset(k, row) : NULL;
        s->table->row(src, mask, dst, k->n, is_log);
    }
}

tt_status tt_softmax_run(const void *params, void *const *ptrs, tt_error *err)
{
    const tt_softmax_kernel *k = params;
    softmaxing s = {.kernel = k, .table = table(), .src = ptrs[0]};
    int64_t per_row = k->n * k->inner, grain;
    (void)err;
    if (k->rows <= 0 || per_row <= 0) return TT_OK;
    grain = 16384 / per_row + 1;
    s.mask = k->has_mask ? ptrs[1] : NULL;
    s.dst = ptrs[k->has_mask ? 2 : 1];
    if (k->dtype == TT_F32 && k->kind != TT_SOFTMAX_HARD)
        tt_parallel_for(k->rows, grain, float_rows, &s);
    else
        tt_parallel_for(k->rows, grain, plain_rows, &s);
    return TT_OK;
}
