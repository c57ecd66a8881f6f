/* Gradients of rows: choice of the instruction set, splitting over threads, the plain
 * version for other types. */
#include "kernels/row_grad.h"

#include <math.h>

#include "base/cpu.h"
#include "base/threads.h"
#include "kernels/item.h"

enum { GRAIN = 1 << 14 }; /* items of a part */

static const tt_row_grad_table *table(void)
{
#ifdef __x86_64__
    tt_isa isa = tt_cpu_get()->isa;
    if (isa == TT_ISA_AVX512) return &tt_row_grad_avx512;
    if (isa == TT_ISA_AVX2) return &tt_row_grad_avx2;
#endif
    return &tt_row_grad_scalar;
}

const char *tt_row_grad_name(void)
{
    return table()->name;
}

typedef struct {
    const tt_row_grad *k;
    const tt_row_grad_table *table;
    void *const *ptrs;
} job;

static void run_rows(const tt_row_grad *k, void *const *ptrs,
                     void (*body)(void *arg, int64_t begin, int64_t end))
{
    job j = {.k = k, .table = table(), .ptrs = ptrs};
    if (k->n_rows > 0 && k->n_columns > 0)
        tt_parallel_for(k->n_rows, GRAIN / k->n_columns + 1, body, &j);
}

static double load(const job *j, int i, int64_t at)
{
    return tt_item_load(j->k->dtype, j->ptrs[i], at);
}

/* Row `row` of pointer i, of f32. */
static float *row_of(const job *j, int i, int64_t row)
{
    return (float *)j->ptrs[i] + row * j->k->n_columns;
}

/* ---- Softmax -------------------------------------------------------------------- */

static void plain_softmax(const job *j, int64_t row)
{
    int64_t n = j->k->n_columns, first = row * n;
    bool is_log = j->k->is_log;
    double sum = 0.0;
    for (int64_t i = first; i < first + n; ++i)
        sum += is_log ? load(j, 1, i) : load(j, 0, i) * load(j, 1, i);
    for (int64_t i = first; i < first + n; ++i) {
        double y = load(j, 0, i), g = load(j, 1, i);
        tt_item_store(j->k->dtype, j->ptrs[2], i,
                      is_log ? g - exp(y) * sum : y * (g - sum));
    }
}

static void softmax_rows(void *arg, int64_t begin, int64_t end)
{
    const job *j = arg;
    for (int64_t row = begin; row < end; ++row) {
        if (j->k->dtype != TT_F32)
            plain_softmax(j, row);
        else
            j->table->softmax(row_of(j, 0, row), row_of(j, 1, row), row_of(j, 2, row),
                              j->k->n_columns, j->k->is_log);
    }
}

tt_status tt_softmax_grad_run(const void *params, void *const *ptrs, tt_error *err)
{
    (void)err;
    run_rows(params, ptrs, softmax_rows);
    return TT_OK;
}

/* ---- GELU ------------------------------------------------------------------------- */

static double gelu_slope(double x, bool is_tanh)
{
    const double root = 0.79788456080286535588, cubic = 0.044715; /* sqrt(2 / pi) */
    if (fabs(x) > 40.0) return x > 0.0 ? 1.0 : 0.0;
    if (is_tanh) {
        double t = tanh(root * x * (1.0 + cubic * x * x));
        return 0.5 * (1.0 + t) +
               0.5 * x * (1.0 - t * t) * root * (1.0 + 3.0 * cubic * x * x);
    }
    return 0.5 * erfc(-x * 0.70710678118654752440) +
           x * exp(-0.5 * x * x) * 0.39894228040143267794;
}

static void gelu_rows(void *arg, int64_t begin, int64_t end)
{
    const job *j = arg;
    int64_t n = j->k->n_columns;
    if (j->k->dtype == TT_F32) {
        j->table->gelu(row_of(j, 0, begin), row_of(j, 1, begin), row_of(j, 2, begin),
                       (end - begin) * n, j->k->is_tanh);
        return;
    }
    for (int64_t i = begin * n; i < end * n; ++i)
        tt_item_store(j->k->dtype, j->ptrs[2], i,
                      load(j, 1, i) * gelu_slope(load(j, 0, i), j->k->is_tanh));
}

tt_status tt_gelu_grad_run(const void *params, void *const *ptrs, tt_error *err)
{
    (void)err;
    run_rows(params, ptrs, gelu_rows);
    return TT_OK;
}

/* ---- normalisation ------------------------------------------------------------------ */

static tt_norm_stats *stats_of(const job *j)
{
    return j->ptrs[TT_NORM_GRAD_STATS];
}

static void plain_stats(const job *j, int64_t row)
{
    int64_t n = j->k->n_columns, first = row * n;
    tt_norm_stats s = {0.0, 0.0};
    double squares = 0.0;
    for (int64_t i = first; i < first + n && !j->k->is_rms; ++i)
        s.mean += load(j, TT_NORM_GRAD_X, i) / (double)n;
    for (int64_t i = first; i < first + n; ++i) {
        double d = load(j, TT_NORM_GRAD_X, i) - s.mean;
        squares += d * d;
    }
    s.inv_std = 1.0 / sqrt(squares / (double)n + j->k->epsilon);
    stats_of(j)[row] = s;
}

static double unit_of(const job *j, int64_t row, int64_t i)
{
    const tt_norm_stats *s = &stats_of(j)[row];
    return (load(j, TT_NORM_GRAD_X, i) - s->mean) * s->inv_std;
}

static void plain_norm(const job *j, int64_t row)
{
    int64_t n = j->k->n_columns, first = row * n;
    double sum = 0.0, sum_unit = 0.0;
    plain_stats(j, row);
    for (int64_t i = 0; i < n; ++i) {
        double h = load(j, TT_NORM_GRAD_G, first + i) * load(j, TT_NORM_GRAD_SCALE, i);
        sum += j->k->is_rms ? 0.0 : h;
        sum_unit += h * unit_of(j, row, first + i);
    }
    for (int64_t i = 0; i < n; ++i) {
        double h = load(j, TT_NORM_GRAD_G, first + i) * load(j, TT_NORM_GRAD_SCALE, i);
        h -= (sum + unit_of(j, row, first + i) * sum_unit) / (double)n;
        tt_item_store(j->k->dtype, j->ptrs[TT_NORM_GRAD_DX], first + i,
                      h * stats_of(j)[row].inv_std);
    }
}

static void norm_rows(void *arg, int64_t begin, int64_t end)
{
    const job *j = arg;
    for (int64_t row = begin; row < end; ++row) {
        if (j->k->dtype != TT_F32)
            plain_norm(j, row);
        else
            j->table->norm(row_of(j, TT_NORM_GRAD_X, row), j->ptrs[TT_NORM_GRAD_SCALE],
                           row_of(j, TT_NORM_GRAD_G, row),
                           row_of(j, TT_NORM_GRAD_DX, row), j->k->n_columns,
                           j->k->is_rms, (float)j->k->epsilon, &stats_of(j)[row]);
    }
}

static void plain_column(const job *j, int64_t column)
{
    double scale = 0.0, shift = 0.0;
    for (int64_t row = 0; row < j->k->n_rows; ++row) {
        int64_t at = row * j->k->n_columns + column;
        double g = load(j, TT_NORM_GRAD_G, at);
        shift += g;
        scale += g * unit_of(j, row, at);
    }
    if (j->ptrs[TT_NORM_GRAD_DSCALE] != NULL)
        tt_item_store(j->k->dtype, j->ptrs[TT_NORM_GRAD_DSCALE], column, scale);
    if (j->ptrs[TT_NORM_GRAD_DSHIFT] != NULL)
        tt_item_store(j->k->dtype, j->ptrs[TT_NORM_GRAD_DSHIFT], column, shift);
}

/* Blocks [begin, end) of columns. */
static void norm_columns(void *arg, int64_t begin, int64_t end)
{
    const job *j = arg;
    int64_t first = begin * TT_NORM_GRAD_BLOCK, last = end * TT_NORM_GRAD_BLOCK;
    if (last > j->k->n_columns) last = j->k->n_columns;
    if (j->k->dtype != TT_F32) {
        for (int64_t column = first; column < last; ++column)
            plain_column(j, column);
        return;
    }
    tt_norm_grad_columns c = {.x = j->ptrs[TT_NORM_GRAD_X],
                              .g = j->ptrs[TT_NORM_GRAD_G],
                              .stats = stats_of(j),
                              .scale = j->ptrs[TT_NORM_GRAD_DSCALE],
                              .shift = j->ptrs[TT_NORM_GRAD_DSHIFT],
                              .n_rows = j->k->n_rows,
                              .n_columns = j->k->n_columns,
                              .first = first,
                              .n = last - first};
    j->table->columns(&c);
}

tt_status tt_norm_grad_run(const void *params, void *const *ptrs, tt_error *err)
{
    const tt_row_grad *k = params;
    job j = {.k = k, .table = table(), .ptrs = ptrs};
    int64_t n_blocks = (k->n_columns + TT_NORM_GRAD_BLOCK - 1) / TT_NORM_GRAD_BLOCK;
    (void)err;
    run_rows(k, ptrs, norm_rows);
    if (ptrs[TT_NORM_GRAD_DSCALE] != NULL || ptrs[TT_NORM_GRAD_DSHIFT] != NULL)
        tt_parallel_for(n_blocks, GRAIN / TT_NORM_GRAD_BLOCK / (k->n_rows + 1) + 1,
                        norm_columns, &j);
    return TT_OK;
}
