/* BatchNormalization as it trains: see batch_norm.h.
 *
 * Threads split the channels.  Mean and variance of a channel are put together in double
 * from those of its runs, by Chan's formula: no difference of large sums.  A run is the
 * inner dims of one sample; without inner dims, where channels lie side by side, a block
 * of them goes through the samples together. */
#include "kernels/batch_norm.h"

#include <math.h>

#include "base/threads.h"
#include "kernels/item.h"

enum { BLOCK = 64 };

typedef struct {
    double n, mean, squares; /* squares: sum of (x - mean)^2 */
} moments;

typedef struct {
    const tt_batch_norm *kernel;
    void *const *ptrs;
} job;

/* What is to be done to a channel. */
typedef struct {
    double mean, factor, shift;
} channel;

static void merge(moments *all, double n, double mean, double squares)
{
    double total = all->n + n, gap = mean - all->mean;
    if (n == 0) return;
    all->mean += gap * n / total;
    all->squares += squares + gap * gap * all->n * n / total;
    all->n = total;
}

#define SAME(x) (x)
#define RUNS(name, type, wide, load, store)                                       \
    static void add_##name(const void *data, int64_t at, int64_t n, moments *all) \
    {                                                                             \
        const type *x = (const type *)data + at;                                  \
        double sum = 0, squares = 0, mean;                                        \
        for (int64_t i = 0; i < n; ++i)                                           \
            sum += (double)load(x[i]);                                            \
        mean = n > 0 ? sum / (double)n : 0;                                       \
        for (int64_t i = 0; i < n; ++i) {                                         \
            double d = (double)load(x[i]) - mean;                                 \
            squares += d * d;                                                     \
        }                                                                         \
        merge(all, (double)n, mean, squares);                                     \
    }                                                                             \
    static void scale_##name(const void *data, void *to, int64_t at, int64_t n,   \
                             const channel *c)                                    \
    {                                                                             \
        const type *x = (const type *)data + at;                                  \
        type *y = (type *)to + at;                                                \
        const wide mean = (wide)c->mean, factor = (wide)c->factor;                \
        const wide shift = (wide)c->shift;                                        \
        for (int64_t i = 0; i < n; ++i)                                           \
            y[i] = (type)store(((wide)load(x[i]) - mean) * factor + shift);       \
    }
RUNS(f32, float, float, SAME, SAME)
RUNS(f64, double, double, SAME, SAME)
RUNS(f16, uint16_t, float, tt_f32_from_f16, tt_f16_from_f32)
RUNS(bf16, uint16_t, float, tt_f32_from_bf16, tt_bf16_from_f32)

static void add_run(tt_dtype dtype, const void *x, int64_t at, int64_t n, moments *all)
{
    if (dtype == TT_F32)
        add_f32(x, at, n, all);
    else if (dtype == TT_F64)
        add_f64(x, at, n, all);
    else if (dtype == TT_F16)
        add_f16(x, at, n, all);
    else
        add_bf16(x, at, n, all);
}

static void scale_run(tt_dtype dtype, const void *x, void *y, int64_t at, int64_t n,
                      const channel *c)
{
    if (dtype == TT_F32)
        scale_f32(x, y, at, n, c);
    else if (dtype == TT_F64)
        scale_f64(x, y, at, n, c);
    else if (dtype == TT_F16)
        scale_f16(x, y, at, n, c);
    else
        scale_bf16(x, y, at, n, c);
}

/* Item `c` of the running mean or variance. */
static void move(const job *j, int from, int to, int64_t c, double batch)
{
    const tt_batch_norm *k = j->kernel;
    double old = tt_item_load(k->statistics, j->ptrs[from], c);
    if (j->ptrs[to] == NULL) return;
    tt_item_store(k->statistics, j->ptrs[to], c,
                  k->momentum * old + (1 - k->momentum) * batch);
}

/* An empty batch has no mean: NaN, as its sum over its count. */
static channel finish(const job *j, int64_t c, const moments *all)
{
    const tt_batch_norm *k = j->kernel;
    double mean = all->n > 0 ? all->mean : (double)NAN;
    double variance = all->squares / all->n;
    double scale = tt_item_load(k->scale, j->ptrs[TT_BATCH_NORM_SCALE], c);
    move(j, TT_BATCH_NORM_MEAN, TT_BATCH_NORM_MEAN_NEW, c, mean);
    move(j, TT_BATCH_NORM_VARIANCE, TT_BATCH_NORM_VARIANCE_NEW, c, variance);
    return (channel){.mean = mean,
                     .factor = scale / sqrt(variance + k->epsilon),
                     .shift = tt_item_load(k->scale, j->ptrs[TT_BATCH_NORM_SHIFT], c)};
}

static void run_channels(void *arg, int64_t begin, int64_t end)
{
    const job *j = arg;
    const tt_batch_norm *k = j->kernel;
    const void *x = j->ptrs[TT_BATCH_NORM_X];
    void *y = j->ptrs[TT_BATCH_NORM_Y];
    for (int64_t c = begin; c < end; ++c) {
        moments all = {0};
        channel made;
        for (int64_t n = 0; n < k->n_samples; ++n)
            add_run(k->dtype, x, (n * k->n_channels + c) * k->inner, k->inner, &all);
        made = finish(j, c, &all);
        for (int64_t n = 0; n < k->n_samples && y != NULL; ++n)
            scale_run(k->dtype, x, y, (n * k->n_channels + c) * k->inner, k->inner,
                      &made);
    }
}

/* inner == 1: channels [first, first + n) with n <= BLOCK, sample by sample. */
static void run_block(const job *j, int64_t first, int64_t n)
{
    const tt_batch_norm *k = j->kernel;
    const void *x = j->ptrs[TT_BATCH_NORM_X];
    void *y = j->ptrs[TT_BATCH_NORM_Y];
    moments all[BLOCK] = {{0}};
    channel made[BLOCK];
    for (int64_t s = 0; s < k->n_samples; ++s)
        for (int64_t c = 0; c < n; ++c)
            merge(&all[c], 1, tt_item_load(k->dtype, x, s * k->n_channels + first + c),
                  0);
    for (int64_t c = 0; c < n; ++c)
        made[c] = finish(j, first + c, &all[c]);
    for (int64_t s = 0; s < k->n_samples && y != NULL; ++s)
        for (int64_t c = 0; c < n; ++c)
            scale_run(k->dtype, x, y, s * k->n_channels + first + c, 1, &made[c]);
}

static void run_blocks(void *arg, int64_t begin, int64_t end)
{
    const job *j = arg;
    for (int64_t block = begin; block < end; ++block) {
        int64_t first = block * BLOCK, n = j->kernel->n_channels - first;
        run_block(j, first, n < BLOCK ? n : BLOCK);
    }
}

tt_status tt_batch_norm_run(const void *params, void *const *ptrs, tt_error *err)
{
    const tt_batch_norm *k = params;
    job j = {k, ptrs};
    (void)err;
    if (k->inner == 1)
        tt_parallel_for((k->n_channels + BLOCK - 1) / BLOCK,
                        1000 / (k->n_samples + 1) + 1, run_blocks, &j);
    else
        tt_parallel_for(k->n_channels, 20000 / (k->n_samples * k->inner + 1) + 1,
                        run_channels, &j);
    return TT_OK;
}
