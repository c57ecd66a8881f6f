/* Pooling, output by output: see pool.h. */
#include <math.h>

#include "base/threads.h"
#include "kernels/item.h"
#include "kernels/pool.h"

typedef struct {
    const tt_pool_kernel *pool;
    const void *src;
    void *dst;
    int64_t *indices;
} job;

typedef struct {
    double value; /* maximum, or sum */
    int64_t at;   /* element of src that holds the maximum, or -1 */
    int64_t place[3];
    int64_t n_items;
} window_state;

static bool is_wide_int(tt_dtype dtype)
{
    return dtype == TT_S64 || dtype == TT_U64;
}

/* a > b for items of src; 64-bit integers do not fit a double. */
static bool is_greater(const job *j, int64_t a, int64_t b)
{
    tt_dtype dtype = j->pool->dtype;
    if (dtype == TT_U64)
        return ((const uint64_t *)j->src)[a] > ((const uint64_t *)j->src)[b];
    return ((const int64_t *)j->src)[a] > ((const int64_t *)j->src)[b];
}

static void take(const job *j, window_state *s, int64_t at, const int64_t place[3])
{
    const tt_pool_kernel *p = j->pool;
    double x = tt_item_load(p->dtype, j->src, at);
    s->n_items++;
    if (p->mode == TT_POOL_MAX) {
        bool better = s->at < 0 || x > s->value || (x != x && s->value == s->value);
        if (s->at >= 0 && is_wide_int(p->dtype)) better = is_greater(j, at, s->at);
        if (!better) return;
        s->value = x;
        s->at = at;
        memcpy(s->place, place, sizeof s->place);
    } else if (p->mode == TT_POOL_NORM) {
        s->value += p->p == 2.0 ? x * x : pow(fabs(x), p->p);
    } else {
        s->value += x;
    }
}

/* Items of the window at `at` that lie inside the input and its padding. */
static double count_with_pads(const tt_pool_kernel *p, const int64_t at[3])
{
    double n = 1.0;
    for (int i = 0; i < 3; ++i) {
        int64_t first = at[i] * p->strides[i] - p->pads_begin[i], count = 0;
        for (int64_t k = 0; k < p->kernel[i]; ++k)
            if (first + k * p->dilations[i] < p->src[i] + p->pads_end[i]) ++count;
        n *= (double)count;
    }
    return n;
}

static void finish(const job *j, const window_state *s, const int64_t at[3],
                   int64_t dst, int64_t index, int64_t plane)
{
    const tt_pool_kernel *p = j->pool;
    const int64_t *d = p->src, *x = s->place;
    double value = s->value;
    if (p->mode == TT_POOL_MEAN)
        value /= (double)s->n_items;
    else if (p->mode == TT_POOL_MEAN_PADS)
        value /= count_with_pads(p, at);
    else if (p->mode == TT_POOL_NORM)
        value = p->p == 2.0 ? sqrt(value) : pow(value, 1.0 / p->p);
    if (p->mode == TT_POOL_MAX && is_wide_int(p->dtype) && s->at >= 0)
        ((int64_t *)j->dst)[dst] = ((const int64_t *)j->src)[s->at];
    else
        tt_item_store(p->dtype, j->dst, dst,
                      s->at < 0 && p->mode == TT_POOL_MAX ? -(double)INFINITY : value);
    if (!p->has_indices) return;
    j->indices[index] = plane * d[0] * d[1] * d[2] +
                        (p->column_major ? x[0] + (x[1] + x[2] * d[1]) * d[0]
                                         : (x[0] * d[1] + x[1]) * d[2] + x[2]);
}

/* Position in the input of kernel item k at output `at`, or -1. */
static int64_t source_of(const tt_pool_kernel *p, int dim, int64_t at, int64_t k)
{
    int64_t x = at * p->strides[dim] - p->pads_begin[dim] + k * p->dilations[dim];
    return x >= 0 && x < p->src[dim] ? x : -1;
}

static void pool_one(const job *j, int64_t plane, const int64_t at[3])
{
    const tt_pool_kernel *p = j->pool;
    window_state s = {.at = -1};
    int64_t n = plane / p->channels, c = plane % p->channels, x[3];
    int64_t src = n * p->src_strides[0] + c * p->src_strides[1];
    int64_t dst = n * p->dst_strides[0] + c * p->dst_strides[1];
    int64_t index = n * p->index_strides[0] + c * p->index_strides[1];
    for (int64_t a = 0; a < p->kernel[0]; ++a) {
        if ((x[0] = source_of(p, 0, at[0], a)) < 0) continue;
        for (int64_t b = 0; b < p->kernel[1]; ++b) {
            if ((x[1] = source_of(p, 1, at[1], b)) < 0) continue;
            for (int64_t e = 0; e < p->kernel[2]; ++e) {
                if ((x[2] = source_of(p, 2, at[2], e)) < 0) continue;
                take(j, &s,
                     src + x[0] * p->src_strides[2] + x[1] * p->src_strides[3] +
                         x[2] * p->src_strides[4],
                     x);
            }
        }
    }
    for (int i = 0; i < 3; ++i) {
        dst += at[i] * p->dst_strides[2 + i];
        index += at[i] * p->index_strides[2 + i];
    }
    finish(j, &s, at, dst, index, plane);
}

static void run_planes(void *arg, int64_t begin, int64_t end)
{
    const job *j = arg;
    const int64_t *dst = j->pool->dst;
    for (int64_t plane = begin; plane < end; ++plane)
        for (int64_t a = 0; a < dst[0]; ++a)
            for (int64_t b = 0; b < dst[1]; ++b)
                for (int64_t e = 0; e < dst[2]; ++e)
                    pool_one(j, plane, (const int64_t[3]){a, b, e});
}

tt_status tt_pool_run_ref(const void *params, void *const *ptrs, tt_error *err)
{
    const tt_pool_kernel *p = params;
    job j = {p, ptrs[0], ptrs[1], ptrs[2]};
    (void)err;
    tt_parallel_for(p->batch * p->channels, 1, run_planes, &j);
    return TT_OK;
}
