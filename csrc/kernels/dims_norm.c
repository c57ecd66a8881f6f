/* Normalisation over dims: see dims_norm.h.
 *
 * The inner loop runs along the innermost reduced dim, for one group at a time, or where
 * that has the larger stride along the innermost kept dim, for BLOCK groups. */
#include "kernels/dims_norm.h"

#include "base/threads.h"
#include "kernels/item.h"

enum { BLOCK = 64 };

typedef struct {
    const tt_dims_norm *norm;
    const void *src;
    void *dst;
    int64_t n_last, stride_last;       /* innermost kept dim */
    int64_t width, n_blocks;           /* of it: groups at a time, blocks */
    int64_t n_run, stride_run, n_runs; /* innermost reduced dim, and how often */
} norm_call;

typedef struct {
    double mean[BLOCK], divisor[BLOCK]; /* y = (x - mean) / divisor */
} block_stats;

#define SAME(x) (x)

/* Does `body` for all items x of n groups j from `at` on. */
#define EACH(call, at, n, body)                                                    \
    for (int64_t r = 0; r < (call)->n_runs; ++r) {                                 \
        const tt_dims_norm *p_ = (call)->norm;                                     \
        int64_t first = (at) + tt_dims_offset(r, p_->reduced, p_->reduced_strides, \
                                              p_->n_reduced - 1);                  \
        for (int64_t k = 0; k < (call)->n_run; ++k)                                \
            for (int64_t j = 0, x = first + k * (call)->stride_run; j < (n);       \
                 ++j, x += (call)->stride_last) {                                  \
                body                                                               \
            }                                                                      \
    }

#define DEFINE_BLOCK(name, T, load, store)                                         \
    static void moments_##name(const norm_call *call, int64_t at, int64_t n,       \
                               block_stats *stats)                                 \
    {                                                                              \
        const T *src = call->src;                                                  \
        double count = (double)(call->n_runs * call->n_run), sum[BLOCK] = {0};     \
        EACH(call, at, n, sum[j] += (double)load(src[x]);)                         \
        for (int64_t j = 0; j < n; ++j) {                                          \
            stats->mean[j] = sum[j] / count;                                       \
            sum[j] = 0.0;                                                          \
        }                                                                          \
        EACH(call, at, n, double d = (double)load(src[x]) - stats->mean[j];        \
             sum[j] += d * d;)                                                     \
        for (int64_t j = 0; j < n; ++j)                                            \
            stats->divisor[j] = sqrt(sum[j] / count) + 1e-9;                       \
    }                                                                              \
                                                                                   \
    static void norms_##name(const norm_call *call, int64_t at, int64_t n,         \
                             block_stats *stats)                                   \
    {                                                                              \
        const T *src = call->src;                                                  \
        double sum[BLOCK] = {0};                                                   \
        bool is_l1 = call->norm->kind == TT_DIMS_NORM_L1;                          \
        if (is_l1)                                                                 \
            EACH(call, at, n, sum[j] += fabs((double)load(src[x]));)               \
        else                                                                       \
            EACH(call, at, n, double v = (double)load(src[x]); sum[j] += v * v;)   \
        for (int64_t j = 0; j < n; ++j) {                                          \
            double length = is_l1 ? sum[j] : sqrt(sum[j]);                         \
            stats->mean[j] = 0.0;                                                  \
            stats->divisor[j] = length == 0.0 ? (double)INFINITY : length;         \
        }                                                                          \
    }                                                                              \
                                                                                   \
    static void block_##name(const norm_call *call, int64_t at, int64_t n)         \
    {                                                                              \
        const T *src = call->src;                                                  \
        T *dst = call->dst;                                                        \
        block_stats stats;                                                         \
        if (call->norm->kind == TT_DIMS_NORM_MOMENTS)                              \
            moments_##name(call, at, n, &stats);                                   \
        else                                                                       \
            norms_##name(call, at, n, &stats);                                     \
        EACH(call, at, n,                                                          \
             double y = ((double)load(src[x]) - stats.mean[j]) / stats.divisor[j]; \
             dst[x] = (T)store(y);)                                                \
    }

DEFINE_BLOCK(f32, float, SAME, SAME)
DEFINE_BLOCK(f64, double, SAME, SAME)
#define F16(x) tt_f16_from_f32((float)(x))
#define BF16(x) tt_bf16_from_f32((float)(x))
DEFINE_BLOCK(f16, uint16_t, tt_f32_from_f16, F16)
DEFINE_BLOCK(bf16, uint16_t, tt_f32_from_bf16, BF16)

static void run_block(const norm_call *call, int64_t at, int64_t n)
{
    switch (call->norm->dtype) {
    case TT_F32:
        block_f32(call, at, n);
        break;
    case TT_F64:
        block_f64(call, at, n);
        break;
    case TT_F16:
        block_f16(call, at, n);
        break;
    default:
        block_bf16(call, at, n);
        break;
    }
}

static void run_blocks(void *arg, int64_t begin, int64_t end)
{
    const norm_call *call = arg;
    const tt_dims_norm *p = call->norm;
    for (int64_t block = begin; block < end; ++block) {
        int64_t i = block % call->n_blocks * call->width, n = call->n_last - i;
        int64_t at = tt_dims_offset(block / call->n_blocks, p->kept, p->kept_strides,
                                    p->n_kept - 1);
        run_block(call, at + i * call->stride_last, n < call->width ? n : call->width);
    }
}

void tt_dims_norm_run(const tt_dims_norm *norm, const void *src, void *dst)
{
    int kept = norm->n_kept - 1, reduced = norm->n_reduced - 1;
    norm_call call = {
        .norm = norm, .src = src, .dst = dst, .n_last = 1, .n_run = 1, .n_runs = 1};
    int64_t n_lines = 1, cost;
    if (kept >= 0) {
        call.n_last = norm->kept[kept];
        call.stride_last = norm->kept_strides[kept];
        n_lines = tt_dims_product(norm->kept, kept);
    }
    if (reduced >= 0) {
        call.n_run = norm->reduced[reduced];
        call.stride_run = norm->reduced_strides[reduced];
        call.n_runs = tt_dims_product(norm->reduced, reduced);
    }
    call.width = call.stride_run < call.stride_last ? 1 : BLOCK;
    call.n_blocks = (call.n_last + call.width - 1) / call.width;
    cost = call.width * call.n_run * call.n_runs + 1;
    tt_parallel_for(n_lines * call.n_blocks, 20000 / cost + 1, run_blocks, &call);
}
