/* Local response normalisation: see lrn.h.  Blocks of neighbours in memory, pixels or
 * channels, share one pass over the window. */
#include "kernels/lrn.h"

#include "base/threads.h"
#include "kernels/item.h"

enum { BLOCK = 128 };

typedef struct {
    const tt_lrn *lrn;
    const void *src;
    void *dst;
} lrn_call;

#define SAME(x) (x)

/* A block of n items at `at`, whose sums of squares are known. */
#define DEFINE_BLOCKS(name, T, A, load, store, power, root)                          \
    static void finish_##name(const tt_lrn *p, const T *src, T *dst, const A *sum,   \
                              int64_t n)                                             \
    {                                                                                \
        A alpha = (A)p->alpha, bias = (A)p->bias, beta = (A)p->beta;                 \
        if (p->beta == 0.75f)                                                        \
            for (int64_t i = 0; i < n; ++i) {                                        \
                A half = root(bias + alpha * sum[i]);                                \
                dst[i] = (T)store((load(src[i]) / (half * root(half))));             \
            }                                                                        \
        else                                                                         \
            for (int64_t i = 0; i < n; ++i)                                          \
                dst[i] =                                                             \
                    (T)store((load(src[i]) / power(bias + alpha * sum[i], beta)));   \
    }                                                                                \
                                                                                     \
    /* Channel c of n pixels; rows of channels are p->n_items apart. */              \
    static void pixels_##name(const tt_lrn *p, const T *src, T *dst, int64_t c,      \
                              int64_t n)                                             \
    {                                                                                \
        int64_t first = c > p->before ? -p->before : -c;                             \
        int64_t last = p->n_channels - 1 - c;                                        \
        A sum[BLOCK] = {0};                                                          \
        if (last > p->after) last = p->after;                                        \
        for (int64_t k = first; k <= last; ++k) {                                    \
            const T *row = src + k * p->n_items;                                     \
            for (int64_t i = 0; i < n; ++i) {                                        \
                A x = load(row[i]);                                                  \
                sum[i] += x * x;                                                     \
            }                                                                        \
        }                                                                            \
        finish_##name(p, src, dst, sum, n);                                          \
    }                                                                                \
                                                                                     \
    /* Channels from c on of one pixel. */                                           \
    static void channels_##name(const tt_lrn *p, const T *src, T *dst, int64_t c,    \
                                int64_t n)                                           \
    {                                                                                \
        A sum[BLOCK] = {0};                                                          \
        for (int64_t k = -p->before; k <= p->after; ++k) {                           \
            int64_t first = c + k < 0 ? -c - k : 0;                                  \
            int64_t end = p->n_channels - c - k < n ? p->n_channels - c - k : n;     \
            for (int64_t i = first; i < end; ++i) {                                  \
                A x = load(src[i + k]);                                              \
                sum[i] += x * x;                                                     \
            }                                                                        \
        }                                                                            \
        finish_##name(p, src, dst, sum, n);                                          \
    }                                                                                \
                                                                                     \
    static void block_##name(const lrn_call *call, int64_t at, int64_t c, int64_t n) \
    {                                                                                \
        const tt_lrn *p = call->lrn;                                                 \
        const T *src = (const T *)call->src + at;                                    \
        T *dst = (T *)call->dst + at;                                                \
        (p->is_channels_last ? channels_##name : pixels_##name)(p, src, dst, c, n);  \
    }

DEFINE_BLOCKS(f32, float, float, SAME, SAME, powf, sqrtf)
DEFINE_BLOCKS(f64, double, double, SAME, SAME, pow, sqrt)
DEFINE_BLOCKS(f16, uint16_t, float, tt_f32_from_f16, tt_f16_from_f32, powf, sqrtf)
DEFINE_BLOCKS(bf16, uint16_t, float, tt_f32_from_bf16, tt_bf16_from_f32, powf, sqrtf)

static void run_block(const lrn_call *call, int64_t at, int64_t c, int64_t n)
{
    switch (call->lrn->dtype) {
    case TT_F32:
        block_f32(call, at, c, n);
        break;
    case TT_F64:
        block_f64(call, at, c, n);
        break;
    case TT_F16:
        block_f16(call, at, c, n);
        break;
    default:
        block_bf16(call, at, c, n);
        break;
    }
}

/* A line is what lies together: the pixels of a channel, or the channels of a pixel. */
static void run_lines(void *arg, int64_t begin, int64_t end)
{
    const lrn_call *call = arg;
    const tt_lrn *p = call->lrn;
    int64_t length = p->is_channels_last ? p->n_channels : p->n_items;
    for (int64_t line = begin; line < end; ++line)
        for (int64_t i = 0; i < length; i += BLOCK)
            run_block(call, line * length + i,
                      p->is_channels_last ? i : line % p->n_channels,
                      length - i < BLOCK ? length - i : BLOCK);
}

void tt_lrn_run(const tt_lrn *lrn, const void *src, void *dst)
{
    lrn_call call = {lrn, src, dst};
    int64_t n_lines =
        lrn->n_rows * (lrn->is_channels_last ? lrn->n_items : lrn->n_channels);
    int64_t length = lrn->is_channels_last ? lrn->n_channels : lrn->n_items;
    int64_t cost = length * (lrn->before + lrn->after + 8) + 1;
    tt_parallel_for(n_lines, 50000 / cost + 1, run_lines, &call);
}
