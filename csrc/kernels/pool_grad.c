/* Gradients of pools, window by window over blocks of channels: see pool_grad.h. */
#include "kernels/pool_grad.h"

#include <string.h>

#include "base/cpu.h"
#include "base/threads.h"

enum { BLOCK = 64 };

typedef struct {
    const tt_pool_kernel *pool;
    const void *src, *grad;
    void *out;
    int64_t n_blocks;
    tt_pool_window_fn window; /* NULL: not f32 */
} job;

/* A window: which of its items are inside the input. */
typedef struct {
    int64_t n_channels;
    int64_t start[3], low[3], high[3]; /* first position; kernel items [low, high) */
    int64_t count;                     /* what a mean is divided by */
} spot;

/* How many of n positions start, start + step, ... lie below `bound`. */
static int64_t n_below(int64_t start, int64_t step, int64_t n, int64_t bound)
{
    int64_t below = start >= bound ? 0 : (bound - start + step - 1) / step;
    return below < n ? below : n;
}

static spot find(const tt_pool_kernel *k, const int64_t at[3], int64_t n_channels)
{
    spot s = {.n_channels = n_channels, .count = 1};
    for (int i = 0; i < 3; ++i) {
        int64_t start = at[i] * k->strides[i] - k->pads_begin[i];
        int64_t step = k->dilations[i], n = k->kernel[i];
        s.start[i] = start;
        s.low[i] = n_below(start, step, n, 0);
        s.high[i] = n_below(start, step, n, k->src[i]);
        s.count *= k->mode == TT_POOL_MEAN_PADS
                       ? n_below(start, step, n, k->src[i] + k->pads_end[i])
                       : s.high[i] - s.low[i];
    }
    return s;
}

static int64_t place(const tt_pool_kernel *k, const spot *s, int dim, int64_t i)
{
    return (s->start[dim] + i * k->dilations[dim]) * k->src_strides[2 + dim];
}

/* Runs what follows for each item inside the input, at `offset` from the image. */
#define FOR_WINDOW(k, s, offset)                                         \
    for (int64_t d_ = (s)->low[0]; d_ < (s)->high[0]; ++d_)              \
        for (int64_t h_ = (s)->low[1]; h_ < (s)->high[1]; ++h_)          \
            for (int64_t w_ = (s)->low[2], offset = place(k, s, 0, d_) + \
                                                    place(k, s, 1, h_) + \
                                                    place(k, s, 2, w_);  \
                 w_ < (s)->high[2];                                      \
                 ++w_, offset += (k)->dilations[2] * (k)->src_strides[4])

static tt_pool_window_fn window_of_isa(void)
{
#ifdef __x86_64__
    tt_isa isa = tt_cpu_get()->isa;
    if (isa == TT_ISA_AVX512) return tt_pool_window_avx512;
    if (isa == TT_ISA_AVX2) return tt_pool_window_avx2;
#endif
    return tt_pool_window_scalar;
}

static int64_t n_items(const spot *s)
{
    int64_t n = 1;
    for (int i = 0; i < 3; ++i)
        n *= s->high[i] > s->low[i] ? s->high[i] - s->low[i] : 0;
    return n; /* at most the items of an image, which was checked */
}

/* The usual windows of f32, over vectors of channels; false: not one of them. */
static bool run_window(const tt_pool_kernel *k, tt_pool_window_fn fn, const spot *s,
                       const float *src, const float *grad, float *out)
{
    tt_pool_window w = {.x = src, .g = grad, .out = out};
    int64_t n = n_items(s);
    if (n == 0) return true;
    if (n > TT_POOL_WINDOW) return false;
    FOR_WINDOW(k, s, offset)
    w.offsets[w.n_items++] = offset;
    fn(&w, s->n_channels);
    return true;
}

#define ITEM float
#define NAME(name) name##_f32
#include "kernels/pool_grad.inc.h"
#undef ITEM
#undef NAME
#define ITEM double
#define NAME(name) name##_f64
#include "kernels/pool_grad.inc.h"
#undef ITEM
#undef NAME

/* Blocks [begin, end) of the (n, block of channels) blocks. */
static void run_blocks(void *arg, int64_t begin, int64_t end)
{
    const job *j = arg;
    const tt_pool_kernel *k = j->pool;
    for (int64_t at = begin; at < end; ++at) {
        int64_t first = at % j->n_blocks * BLOCK, left = k->channels - first;
        int64_t n_channels = left < BLOCK ? left : BLOCK;
        if (k->dtype == TT_F32)
            block_f32(j, at / j->n_blocks, first, n_channels);
        else
            block_f64(j, at / j->n_blocks, first, n_channels);
    }
}

tt_status tt_pool_grad_run(const void *params, void *const *ptrs, tt_error *err)
{
    const tt_pool_kernel *k = params;
    job j = {.pool = k, .src = ptrs[0], .grad = ptrs[1], .out = ptrs[2]};
    (void)err;
    if (k->dtype == TT_F32) j.window = window_of_isa();
    j.n_blocks = (k->channels + BLOCK - 1) / BLOCK;
    tt_parallel_for(k->batch * j.n_blocks, 1, run_blocks, &j);
    return TT_OK;
}
