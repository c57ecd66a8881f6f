/* Convolution and its transpose, output by output: see conv.h. */
#include "base/threads.h"
#include "kernels/conv.h"
#include "kernels/item.h"

typedef struct {
    const tt_conv_kernel *conv;
    const void *src, *weights, *bias;
    void *dst;
} job;

/* Input position that kernel offset k of output position `at` reads, or -1. */
static int64_t source_of(const tt_conv_kernel *c, int dim, int64_t at, int64_t k)
{
    int64_t offset = k * c->dilations[dim], position;
    if (!c->is_transposed) {
        position = at * c->strides[dim] - c->pads[dim] + offset;
    } else {
        position = at + c->pads[dim] - offset;
        if (position % c->strides[dim] != 0) return -1;
        position /= c->strides[dim];
    }
    return position >= 0 && position < c->src[dim] ? position : -1;
}

/* Sum over input channels at one kernel offset. */
static double dot(const job *j, int64_t src, int64_t weights)
{
    const tt_conv_kernel *c = j->conv;
    int64_t src_step = c->src_strides[1], weights_step = c->weights_strides[2];
    double sum = 0.0;
    if (c->dtype == TT_F32) {
        const float *x = (const float *)j->src + src;
        const float *w = (const float *)j->weights + weights;
        for (int64_t i = 0; i < c->src_channels; ++i)
            sum += (double)x[i * src_step] * (double)w[i * weights_step];
        return sum;
    }
    for (int64_t i = 0; i < c->src_channels; ++i)
        sum += tt_item_load(c->dtype, j->src, src + i * src_step) *
               tt_item_load(c->dtype, j->weights, weights + i * weights_step);
    return sum;
}

static double output(const job *j, int64_t n, int64_t group, int64_t channel,
                     const int64_t at[3])
{
    const tt_conv_kernel *c = j->conv;
    int64_t first = group * c->src_channels;
    int64_t src = n * c->src_strides[0] + first * c->src_strides[1];
    int64_t weights = group * c->weights_strides[0] + channel * c->weights_strides[1];
    double sum = 0.0;
    if (c->has_bias)
        sum = tt_item_load(c->dtype, j->bias, group * c->dst_channels + channel);
    for (int64_t a = 0; a < c->kernel[0]; ++a) {
        int64_t d = source_of(c, 0, at[0], a);
        if (d < 0) continue;
        for (int64_t b = 0; b < c->kernel[1]; ++b) {
            int64_t h = source_of(c, 1, at[1], b);
            if (h < 0) continue;
            for (int64_t e = 0; e < c->kernel[2]; ++e) {
                int64_t w = source_of(c, 2, at[2], e);
                if (w < 0) continue;
                sum += dot(j,
                           src + d * c->src_strides[2] + h * c->src_strides[3] +
                               w * c->src_strides[4],
                           weights + a * c->weights_strides[3] +
                               b * c->weights_strides[4] + e * c->weights_strides[5]);
            }
        }
    }
    return sum;
}

/* Rows [begin, end) of the (n, group, channel, d, h) rows of the output. */
static void run_rows(void *arg, int64_t begin, int64_t end)
{
    const job *j = arg;
    const tt_conv_kernel *c = j->conv;
    for (int64_t row = begin; row < end; ++row) {
        int64_t rest = row, at[3] = {0}, group, channel, n, dst;
        at[1] = rest % c->dst[1], rest /= c->dst[1];
        at[0] = rest % c->dst[0], rest /= c->dst[0];
        channel = rest % c->dst_channels, rest /= c->dst_channels;
        group = rest % c->groups, n = rest / c->groups;
        dst = n * c->dst_strides[0] +
              (group * c->dst_channels + channel) * c->dst_strides[1] +
              at[0] * c->dst_strides[2] + at[1] * c->dst_strides[3];
        for (at[2] = 0; at[2] < c->dst[2]; ++at[2])
            tt_item_store(c->dtype, j->dst, dst + at[2] * c->dst_strides[4],
                          output(j, n, group, channel, at));
    }
}

tt_status tt_conv_run_ref(const void *params, void *const *ptrs, tt_error *err)
{
    const tt_conv_kernel *c = params;
    job j = {c, ptrs[0], ptrs[1], ptrs[2], ptrs[3]};
    (void)err;
    tt_parallel_for(c->batch * c->groups * c->dst_channels * c->dst[0] * c->dst[1], 1,
                    run_rows, &j);
    return TT_OK;
}
