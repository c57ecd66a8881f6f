/* Planning and running of resampling: see resize.h. */
#include "kernels/resize.h"

#include <string.h>

#include "base/alloc.h"
#include "base/checked.h"
#include "base/cpu.h"
#include "base/threads.h"
#include "kernels/item.h"

enum { GRAIN_ITEMS = 8192, MAX_TAPS_ON_STACK = 64 };

static const tt_resize_table *table_of(tt_isa isa)
{
#ifdef __x86_64__
    if (isa == TT_ISA_AVX512) return &tt_resize_avx512;
    if (isa == TT_ISA_AVX2) return &tt_resize_avx2;
#endif
    (void)isa;
    return &tt_resize_scalar;
}

const char *tt_resize_name(void)
{
    return table_of(tt_cpu_get()->isa)->name;
}

/* ---- nearest neighbour ------------------------------------------------------ */

/* Dims from the first to the last that has a table; what lies inside is one run. */
struct tt_resize_gather {
    size_t n_bytes;
    int64_t run_bytes, item_bytes;
    int rank;
    int64_t dims[TT_MAX_RANK];   /* of the destination */
    int64_t steps[TT_MAX_RANK];  /* of the source, bytes */
    int64_t tables[TT_MAX_RANK]; /* first item of the dim's table */
    int64_t n_rows;              /* product of dims but the last */
    uint8_t fill[16];
    int32_t index[]; /* positions of all dims, one after the other */
};

tt_status tt_resize_gather_new(tt_dtype dtype, int rank, const int64_t *src_dims,
                               const int64_t *dst_dims, const int32_t *const *index,
                               double fill, tt_resize_gather **out, tt_error *err)
{
    int64_t n_index = 0, step = (int64_t)tt_dtype_bytes(dtype), inner = step, at = 0;
    size_t bytes = 0;
    tt_resize_gather *g;
    int last = rank - 1;
    while (last >= 0 && index[last] == NULL)
        inner *= src_dims[last--];
    for (int i = 0; i <= last; ++i)
        n_index += dst_dims[i];
    if (!tt_mul_size((size_t)n_index, sizeof(int32_t), &bytes) ||
        !tt_add_size(bytes, sizeof *g, &bytes))
        return tt_fail(err, TT_LIMIT, "resizing to %lld positions", (long long)n_index);
    g = tt_calloc(1, bytes);
    if (g == NULL) return tt_fail(err, TT_NO_MEMORY, "tables of %zu bytes", bytes);
    g->n_bytes = bytes;
    g->item_bytes = step;
    g->run_bytes = inner;
    g->rank = last + 1;
    g->n_rows = 1;
    tt_item_store(dtype, g->fill, 0, fill);
    step = inner;
    for (int i = last; i >= 0; --i) {
        g->dims[i] = dst_dims[i];
        g->steps[i] = step;
        step *= src_dims[i];
        if (i < last) g->n_rows *= dst_dims[i];
    }
    for (int i = 0; i <= last; ++i) {
        g->tables[i] = at;
        for (int64_t k = 0; k < dst_dims[i]; ++k)
            g->index[at++] = index[i] == NULL ? (int32_t)k : index[i][k];
    }
    *out = g;
    return TT_OK;
}

size_t tt_resize_gather_bytes(const tt_resize_gather *gather)
{
    return gather->n_bytes;
}

typedef struct {
    const void *params;
    const char *src;
    char *dst;
    const tt_resize_table *table;
} job;

static void fill_run(const tt_resize_gather *g, char *dst)
{
    for (int64_t i = 0; i < g->run_bytes; i += g->item_bytes)
        memcpy(dst + i, g->fill, (size_t)g->item_bytes);
}

/* One row of the innermost resized dim. */
static void gather_row(const tt_resize_gather *g, const char *src, char *dst)
{
    int last = g->rank - 1;
    const int32_t *index = g->index + g->tables[last];
    int64_t n = g->dims[last], run = g->run_bytes;
    for (int64_t j = 0; j < n; ++j) {
        if (index[j] < 0) {
            fill_run(g, dst + j * run);
        } else if (run == 4) {
            memcpy(dst + j * 4, src + (int64_t)index[j] * 4, 4);
        } else {
            memcpy(dst + j * run, src + index[j] * run, (size_t)run);
        }
    }
}

static void gather_rows(void *arg, int64_t begin, int64_t end)
{
    const job *j = arg;
    const tt_resize_gather *g = j->params;
    int last = g->rank - 1;
    int64_t row_bytes = g->dims[last] * g->run_bytes, previous = -1;
    for (int64_t row = begin; row < end; ++row) {
        int64_t rest = row, from = 0;
        char *dst = j->dst + row * row_bytes;
        for (int i = last - 1; i >= 0 && from >= 0; --i) {
            int32_t at = g->index[g->tables[i] + rest % g->dims[i]];
            rest /= g->dims[i];
            from = at < 0 ? -1 : from + at * g->steps[i];
        }
        if (from < 0) {
            for (int64_t k = 0; k < row_bytes; k += g->run_bytes)
                fill_run(g, dst + k);
        } else if (from == previous) { /* the row before, once more */
            memcpy(dst, dst - row_bytes, (size_t)row_bytes);
        } else {
            gather_row(g, j->src + from, dst);
        }
        previous = from;
    }
}

tt_status tt_resize_gather_run(const void *params, void *const *ptrs, tt_error *err)
{
    const tt_resize_gather *g = params;
    int64_t row_items = g->dims[g->rank - 1] * (g->run_bytes / g->item_bytes);
    job j = {params, ptrs[0], ptrs[1], NULL};
    (void)err;
    tt_parallel_for(g->n_rows, 1 + GRAIN_ITEMS * 4 / (row_items + 1), gather_rows, &j);
    return TT_OK;
}

/* ---- weighted sums ------------------------------------------------------------ */

struct tt_resize_pass {
    size_t n_bytes;
    tt_resize_dims dims;
    size_t weights_at; /* bytes from the start of the struct */
    int32_t index[];
};

static const float *weights_of(const tt_resize_pass *pass)
{
    return (const float *)(const void *)((const char *)pass + pass->weights_at);
}

tt_status tt_resize_pass_new(const tt_resize_dims *dims, const int32_t *index,
                             const float *weights, tt_resize_pass **out, tt_error *err)
{
    size_t n, index_bytes, bytes;
    tt_resize_pass *pass;
    if (!tt_mul_size((size_t)dims->n_dst, (size_t)dims->n_taps, &n) ||
        !tt_mul_size(n, sizeof *index, &index_bytes) ||
        !tt_mul_size(index_bytes, 2, &bytes) ||
        !tt_add_size(bytes, sizeof *pass, &bytes))
        return tt_fail(err, TT_LIMIT, "resizing to %lld positions",
                       (long long)dims->n_dst);
    pass = tt_calloc(1, bytes);
    if (pass == NULL) return tt_fail(err, TT_NO_MEMORY, "tables of %zu bytes", bytes);
    pass->n_bytes = bytes;
    pass->dims = *dims;
    pass->weights_at = sizeof *pass + index_bytes;
    memcpy(pass->index, index, index_bytes);
    memcpy((char *)pass + pass->weights_at, weights, index_bytes);
    *out = pass;
    return TT_OK;
}

size_t tt_resize_pass_bytes(const tt_resize_pass *pass)
{
    return pass->n_bytes;
}

/* Integers are truncated, as a cast from float does. */
static void store_item(tt_dtype dtype, void *dst, int64_t i, double value)
{
    tt_item_store(dtype, dst, i, tt_dtype_is_float(dtype) ? value : trunc(value));
}

static void blend_any(const tt_resize_pass *pass, const char *src, char *dst, int64_t o,
                      int64_t j)
{
    const tt_resize_dims *d = &pass->dims;
    const int32_t *index = pass->index + j * d->n_taps;
    const float *weights = weights_of(pass) + j * d->n_taps;
    for (int64_t i = 0; i < d->inner; ++i) {
        double sum = 0.0;
        for (int t = 0; t < d->n_taps; ++t)
            sum += (double)weights[t] *
                   tt_item_load(d->src_dtype, src,
                                (o * d->n_src + index[t]) * d->inner + i);
        store_item(d->dst_dtype, dst, (o * d->n_dst + j) * d->inner + i, sum);
    }
}

static void blend_f32(const tt_resize_pass *pass, const tt_resize_table *table,
                      const float *src, float *dst, int64_t o, int64_t j)
{
    const tt_resize_dims *d = &pass->dims;
    const float *rows[MAX_TAPS_ON_STACK];
    const int32_t *index = pass->index + j * d->n_taps;
    for (int t = 0; t < d->n_taps; ++t)
        rows[t] = src + (o * d->n_src + index[t]) * d->inner;
    table->blend(rows, weights_of(pass) + j * d->n_taps, d->n_taps,
                 dst + (o * d->n_dst + j) * d->inner, d->inner);
}

/* Runs [begin, end) of the destination's outer x n_dst. */
static void blend_runs(void *arg, int64_t begin, int64_t end)
{
    const job *j = arg;
    const tt_resize_pass *pass = j->params;
    const tt_resize_dims *d = &pass->dims;
    bool is_f32 = d->src_dtype == TT_F32 && d->dst_dtype == TT_F32 &&
                  d->n_taps <= MAX_TAPS_ON_STACK;
    for (int64_t run = begin; run < end; ++run) {
        int64_t o = run / d->n_dst, at = run % d->n_dst;
        if (pass->index[at * d->n_taps] < 0)
            for (int64_t i = 0; i < d->inner; ++i)
                store_item(d->dst_dtype, j->dst, run * d->inner + i, d->fill);
        else if (is_f32)
            blend_f32(pass, j->table, (const float *)(const void *)j->src,
                      (float *)(void *)j->dst, o, at);
        else
            blend_any(pass, j->src, j->dst, o, at);
    }
}

/* Rows [begin, end) of a pass over the innermost dim, none of them filled. */
static void blend_rows(void *arg, int64_t begin, int64_t end)
{
    const job *j = arg;
    const tt_resize_pass *pass = j->params;
    const tt_resize_dims *d = &pass->dims;
    for (int64_t o = begin; o < end; ++o)
        j->table->blend_items((const float *)(const void *)j->src + o * d->n_src,
                              pass->index, weights_of(pass), d->n_taps,
                              (float *)(void *)j->dst + o * d->n_dst, d->n_dst);
}

static bool has_fill(const tt_resize_pass *pass)
{
    for (int64_t j = 0; j < pass->dims.n_dst; ++j)
        if (pass->index[j * pass->dims.n_taps] < 0) return true;
    return false;
}

tt_status tt_resize_pass_run(const void *params, void *const *ptrs, tt_error *err)
{
    const tt_resize_pass *pass = params;
    const tt_resize_dims *d = &pass->dims;
    job j = {params, ptrs[0], ptrs[1], table_of(tt_cpu_get()->isa)};
    (void)err;
    if (d->inner == 1 && d->src_dtype == TT_F32 && d->dst_dtype == TT_F32 &&
        !has_fill(pass))
        tt_parallel_for(d->outer, 1 + GRAIN_ITEMS / (d->n_dst + 1), blend_rows, &j);
    else
        tt_parallel_for(d->outer * d->n_dst, 1 + GRAIN_ITEMS / (d->inner + 1),
                        blend_runs, &j);
    return TT_OK;
}
