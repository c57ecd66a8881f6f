/* Reductions: loop nest, threads, and the plain version in double (or int64). */
#include "kernels/reduce.h"

#include <math.h>
#include <string.h>

#include "base/cpu.h"
#include "base/threads.h"
#include "kernels/item.h"

static const tt_reduce_table *table(void)
{
#ifdef __x86_64__
    tt_isa isa = tt_cpu_get()->isa;
    if (isa == TT_ISA_AVX512) return &tt_reduce_avx512;
    if (isa == TT_ISA_AVX2) return &tt_reduce_avx2;
#endif
    return &tt_reduce_scalar;
}

const char *tt_reduce_name(void)
{
    return table()->name;
}

/* ---- planning ------------------------------------------------------------------- */

static void push(int64_t dim, int64_t stride, int *n, int64_t *dims, int64_t *strides)
{
    if (dim == 1) return;
    if (*n > 0 && strides[*n - 1] == dim * stride) {
        dims[*n - 1] *= dim;
        strides[*n - 1] = stride;
        return;
    }
    dims[*n] = dim;
    strides[(*n)++] = stride;
}

/* The order of reduced dims is free (but for arg): the smallest stride innermost. */
static void sort_reduced(tt_reduce_kernel *k)
{
    for (int i = 1; i < k->n_reduced; ++i) {
        for (int j = i; j > 0; --j) {
            int64_t *d = &k->reduced[j], *s = &k->reduced_strides[j], t;
            if (s[-1] >= s[0]) break;
            t = d[0], d[0] = d[-1], d[-1] = t;
            t = s[0], s[0] = s[-1], s[-1] = t;
        }
    }
}

void tt_reduce_plan(tt_reduce_kernel *k, const tt_shape *src, const int64_t *strides,
                    const bool *is_reduced)
{
    k->n_kept = k->n_reduced = 0;
    for (int i = 0; i < src->rank; ++i) {
        if (is_reduced[i])
            push(src->dims[i], strides[i], &k->n_reduced, k->reduced,
                 k->reduced_strides);
        else
            push(src->dims[i], strides[i], &k->n_kept, k->kept, k->kept_strides);
    }
    sort_reduced(k);
}

/* Steps an index and its offset to the next item; false after the last. */
static bool advance(int64_t *index, int64_t *offset, const int64_t *dims,
                    const int64_t *strides, int n)
{
    for (int d = n - 1; d >= 0; --d) {
        *offset += strides[d];
        if (++index[d] < dims[d]) return true;
        *offset -= dims[d] * strides[d];
        index[d] = 0;
    }
    return false;
}

typedef struct {
    const tt_reduce_kernel *k;
    const tt_reduce_table *table;
    const void *src;
    void *dst;
    int64_t n_reduced; /* items */
} reducing;

/* ---- by the definition -------------------------------------------------------------- */

static double finish(const tt_reduce_kernel *k, double a, double high, int64_t n)
{
    switch (k->kind) {
    case TT_REDUCE_MEAN:
        return a / (double)n;
    case TT_REDUCE_L2:
        return sqrt(a);
    case TT_REDUCE_LOG_SUM:
        return log(a);
    case TT_REDUCE_LOG_SUM_EXP:
        return isinf(high) && high < 0 ? high : high + log(a);
    default:
        return a;
    }
}

static double accumulate(tt_reduce_kind kind, double a, double x, double high)
{
    switch (kind) {
    case TT_REDUCE_MAX:
        return x > a || isnan(x) ? x : a;
    case TT_REDUCE_MIN:
        return x < a || isnan(x) ? x : a;
    case TT_REDUCE_PROD:
        return a * x;
    case TT_REDUCE_L1:
        return a + fabs(x);
    case TT_REDUCE_L2:
    case TT_REDUCE_SUM_SQUARE:
        return a + x * x;
    case TT_REDUCE_LOG_SUM_EXP:
        return a + exp(x - high);
    default:
        return a + x;
    }
}

static double start_of(tt_reduce_kind kind)
{
    if (kind == TT_REDUCE_MAX) return -INFINITY;
    if (kind == TT_REDUCE_MIN) return INFINITY;
    return kind == TT_REDUCE_PROD ? 1.0 : 0.0;
}

static double reduce_plain(const reducing *r, int64_t base, double a,
                           tt_reduce_kind kind, double high)
{
    const tt_reduce_kernel *k = r->k;
    int64_t index[TT_MAX_RANK] = {0}, offset = base;
    if (r->n_reduced == 0) return a;
    do {
        a = accumulate(kind, a, tt_item_load(k->dtype, r->src, offset), high);
    } while (advance(index, &offset, k->reduced, k->reduced_strides, k->n_reduced));
    return a;
}

static int64_t wrap_add(int64_t a, int64_t b)
{
    return (int64_t)((uint64_t)a + (uint64_t)b);
}

static int64_t accumulate_int(tt_reduce_kind kind, int64_t a, int64_t x, bool is_first)
{
    int64_t magnitude = x < 0 ? (int64_t)(0 - (uint64_t)x) : x;
    switch (kind) {
    case TT_REDUCE_MAX:
        return is_first || x > a ? x : a;
    case TT_REDUCE_MIN:
        return is_first || x < a ? x : a;
    case TT_REDUCE_PROD:
        return is_first ? x : (int64_t)((uint64_t)a * (uint64_t)x);
    case TT_REDUCE_L1:
        return wrap_add(is_first ? 0 : a, magnitude);
    case TT_REDUCE_SUM_SQUARE:
        return wrap_add(is_first ? 0 : a, (int64_t)((uint64_t)x * (uint64_t)x));
    default:
        return wrap_add(is_first ? 0 : a, x);
    }
}

static int64_t reduce_int(const reducing *r, int64_t base)
{
    const tt_reduce_kernel *k = r->k;
    int64_t index[TT_MAX_RANK] = {0}, offset = base;
    int64_t a = k->kind == TT_REDUCE_PROD ? 1 : 0;
    bool is_first = true;
    if (r->n_reduced == 0) return a;
    do {
        a = accumulate_int(k->kind, a, tt_item_load_int(k->dtype, r->src, offset),
                           is_first);
        is_first = false;
    } while (advance(index, &offset, k->reduced, k->reduced_strides, k->n_reduced));
    if (k->kind == TT_REDUCE_MEAN) a /= r->n_reduced;
    return a;
}

static bool is_exact_int(const tt_reduce_kernel *k)
{
    bool is_int = tt_dtype_is_int(k->dtype) || k->dtype == TT_BOOL;
    return is_int && k->kind != TT_REDUCE_L2 && k->kind != TT_REDUCE_LOG_SUM &&
           k->kind != TT_REDUCE_LOG_SUM_EXP;
}

static void plain_items(void *arg, int64_t begin, int64_t end)
{
    const reducing *r = arg;
    const tt_reduce_kernel *k = r->k;
    for (int64_t i = begin; i < end; ++i) {
        int64_t base = tt_dims_offset(i, k->kept, k->kept_strides, k->n_kept);
        double a, high = 0.0;
        if (is_exact_int(k)) {
            tt_item_store_int(k->dtype, r->dst, i, reduce_int(r, base));
            continue;
        }
        if (k->kind == TT_REDUCE_LOG_SUM_EXP)
            high = reduce_plain(r, base, -INFINITY, TT_REDUCE_MAX, 0.0);
        if (k->kind == TT_REDUCE_LOG_SUM_EXP && isinf(high) && high > 0)
            a = 1.0;
        else
            a = reduce_plain(r, base, start_of(k->kind), k->kind, high);
        tt_item_store(k->dtype, r->dst, i, finish(k, a, high, r->n_reduced));
    }
}

/* ---- arg max, arg min ----------------------------------------------------------------- */

static bool better(const tt_reduce_kernel *k, double x, double best)
{
    if (isnan(best)) return false; /* the first NaN stays, as in NumPy */
    if (isnan(x)) return true;
    if (k->select_last && x == best) return true;
    return k->kind == TT_REDUCE_ARG_MAX ? x > best : x < best;
}

static void arg_items(void *arg, int64_t begin, int64_t end)
{
    const reducing *r = arg;
    const tt_reduce_kernel *k = r->k;
    int64_t stride = k->n_reduced > 0 ? k->reduced_strides[0] : 0;
    for (int64_t i = begin; i < end; ++i) {
        int64_t base = tt_dims_offset(i, k->kept, k->kept_strides, k->n_kept), at = 0;
        double best = tt_item_load(k->dtype, r->src, base);
        for (int64_t j = 1; j < r->n_reduced; ++j) {
            double x = tt_item_load(k->dtype, r->src, base + j * stride);
            if (!better(k, x, best)) continue;
            best = x;
            at = j;
        }
        ((int64_t *)r->dst)[i] = at;
    }
}

/* ---- float ------------------------------------------------------------------------------- */

static float finish_f32(tt_reduce_kind kind, float a, int64_t n)
{
    switch (kind) {
    case TT_REDUCE_MEAN:
        return a / (float)n;
    case TT_REDUCE_L2:
        return sqrtf(a);
    case TT_REDUCE_LOG_SUM:
        return logf(a);
    default:
        return a;
    }
}

/* The innermost reduced dim is contiguous. */
static void run_items(void *arg, int64_t begin, int64_t end)
{
    const reducing *r = arg;
    const tt_reduce_kernel *k = r->k;
    int n_outer = k->n_reduced - 1;
    int64_t n = k->reduced[n_outer];
    for (int64_t i = begin; i < end; ++i) {
        int64_t index[TT_MAX_RANK] = {0};
        int64_t offset = tt_dims_offset(i, k->kept, k->kept_strides, k->n_kept);
        float parts[2];
        parts[0] = r->table->run(k->kind, (const float *)r->src + offset, n);
        while (advance(index, &offset, k->reduced, k->reduced_strides, n_outer)) {
            float part = r->table->run(k->kind, (const float *)r->src + offset, n);
            bool extreme = k->kind == TT_REDUCE_MAX || k->kind == TT_REDUCE_MIN ||
                           k->kind == TT_REDUCE_PROD;
            parts[1] = part;
            if (extreme)
                parts[0] = r->table->run(k->kind, parts, 2);
            else
                parts[0] += part;
        }
        ((float *)r->dst)[i] = finish_f32(k->kind, parts[0], r->n_reduced);
    }
}

enum { FEW_ITEMS = 8 };

/* Sums of so few items that a call for each would take longer. */
static void sums_of_few(void *arg, int64_t begin, int64_t end)
{
    const reducing *r = arg;
    const tt_reduce_kernel *k = r->k;
    int64_t stride = k->n_kept > 0 ? k->kept_strides[0] : 0;
    const float *src = (const float *)r->src + begin * stride;
    float scale = k->kind == TT_REDUCE_MEAN ? (float)r->n_reduced : 1.0f;
    for (int64_t i = begin; i < end; ++i, src += stride) {
        float sum = src[0];
        for (int64_t j = 1; j < r->n_reduced; ++j)
            sum += src[j];
        ((float *)r->dst)[i] = sum / scale;
    }
}

static bool is_few(const tt_reduce_kernel *k, int64_t n_reduced)
{
    return n_reduced <= FEW_ITEMS && k->n_reduced == 1 && k->n_kept <= 1 &&
           (k->kind == TT_REDUCE_SUM || k->kind == TT_REDUCE_MEAN);
}

enum {
    COLUMN_BLOCK = 2048, /* columns */
    ROW_BLOCK = 16 /* rows that are read side by side: streams of the prefetcher */
};

/* The innermost kept dim is contiguous: begin and end count rows of it, cut into blocks
 * that stay in L1. */
static void column_blocks(void *arg, int64_t begin, int64_t end)
{
    const reducing *r = arg;
    const tt_reduce_kernel *k = r->k;
    int64_t n = k->kept[k->n_kept - 1],
            n_blocks = (n + COLUMN_BLOCK - 1) / COLUMN_BLOCK;
    int n_outer = k->n_reduced > 0 ? k->n_reduced - 1 : 0;
    int64_t n_rows = k->n_reduced > 0 ? k->reduced[n_outer] : 1;
    int64_t stride = k->n_reduced > 0 ? k->reduced_strides[n_outer] : 0;
    for (int64_t b = begin; b < end; ++b) {
        int64_t row = b / n_blocks, at = b % n_blocks * COLUMN_BLOCK;
        int64_t width = n - at < COLUMN_BLOCK ? n - at : COLUMN_BLOCK;
        int64_t index[TT_MAX_RANK] = {0};
        int64_t offset =
            tt_dims_offset(row, k->kept, k->kept_strides, k->n_kept - 1) + at;
        float *dst = (float *)r->dst + row * n + at;
        bool is_first = true;
        do {
            for (int64_t first = 0; first < n_rows; first += ROW_BLOCK) {
                const float *src = (const float *)r->src + offset + first * stride;
                int64_t n_block =
                    n_rows - first < ROW_BLOCK ? n_rows - first : ROW_BLOCK;
                r->table->add(k->kind, src, stride, n_block, dst, width, is_first);
                is_first = false;
            }
        } while (advance(index, &offset, k->reduced, k->reduced_strides, n_outer));
        if (k->kind == TT_REDUCE_MEAN || k->kind == TT_REDUCE_L2 ||
            k->kind == TT_REDUCE_LOG_SUM)
            for (int64_t i = 0; i < width; ++i)
                dst[i] = finish_f32(k->kind, dst[i], r->n_reduced);
    }
}

/* ---- choice -------------------------------------------------------------------------------- */

static bool is_vector_kind(const tt_reduce_kernel *k)
{
    return k->dtype == TT_F32 && k->kind < TT_REDUCE_ARG_MAX &&
           k->kind != TT_REDUCE_LOG_SUM_EXP;
}

tt_status tt_reduce_run(const void *params, void *const *ptrs, tt_error *err)
{
    const tt_reduce_kernel *k = params;
    reducing r = {.k = k, .table = table(), .src = ptrs[0], .dst = ptrs[1]};
    int64_t n_kept = tt_dims_product(k->kept, k->n_kept), grain;
    int last_kept = k->n_kept - 1, last = k->n_reduced - 1;
    (void)err;
    r.n_reduced = tt_dims_product(k->reduced, k->n_reduced);
    if (n_kept == 0) return TT_OK;
    grain = 65536 / (r.n_reduced + 1) + 1;
    if (k->kind >= TT_REDUCE_ARG_MAX) {
        tt_parallel_for(n_kept, grain, arg_items, &r);
    } else if (is_vector_kind(k) && last >= 0 && r.n_reduced > 0 &&
               k->reduced_strides[last] == 1) {
        tt_parallel_for(n_kept, grain, is_few(k, r.n_reduced) ? sums_of_few : run_items,
                        &r);
    } else if (is_vector_kind(k) && last_kept >= 0 && r.n_reduced > 0 &&
               k->kept_strides[last_kept] == 1) {
        int64_t n = k->kept[last_kept];
        int64_t n_blocks = (n + COLUMN_BLOCK - 1) / COLUMN_BLOCK;
        int64_t width = n < COLUMN_BLOCK ? n : COLUMN_BLOCK;
        grain = 65536 / (r.n_reduced * width + 1) + 1;
        tt_parallel_for(n_kept / n * n_blocks, grain, column_blocks, &r);
    } else {
        tt_parallel_for(n_kept, grain, plain_items, &r);
    }
    return TT_OK;
}
