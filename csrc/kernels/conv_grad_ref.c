/* Gradients of a convolution's weights, weight by weight: see conv_grad.h. */
#include "kernels/conv_grad.h"

#include "base/threads.h"
#include "kernels/item.h"

typedef struct {
    const tt_conv_kernel *conv;
    const void *src, *dst;
    void *weights, *bias;
} job;

/* Sum over a row of the result of dst times the src item that kernel offset k[2] reads. */
static double row_sum(const job *j, int64_t src, int64_t dst, int64_t k)
{
    const tt_conv_kernel *c = j->conv;
    double sum = 0.0;
    for (int64_t x = 0; x < c->dst[2]; ++x) {
        int64_t from = x * c->strides[2] - c->pads[2] + k * c->dilations[2];
        if (from < 0 || from >= c->src[2]) continue;
        sum += tt_item_load(c->dtype, j->dst, dst + x * c->dst_strides[4]) *
               tt_item_load(c->dtype, j->src, src + from * c->src_strides[4]);
    }
    return sum;
}

static double weight(const job *j, int64_t out_channel, int64_t in_channel,
                     const int64_t k[3])
{
    const tt_conv_kernel *c = j->conv;
    double sum = 0.0;
    for (int64_t n = 0; n < c->batch; ++n) {
        int64_t src = n * c->src_strides[0] + in_channel * c->src_strides[1];
        int64_t dst = n * c->dst_strides[0] + out_channel * c->dst_strides[1];
        for (int64_t z = 0; z < c->dst[0]; ++z) {
            int64_t d = z * c->strides[0] - c->pads[0] + k[0] * c->dilations[0];
            if (d < 0 || d >= c->src[0]) continue;
            for (int64_t y = 0; y < c->dst[1]; ++y) {
                int64_t h = y * c->strides[1] - c->pads[1] + k[1] * c->dilations[1];
                if (h < 0 || h >= c->src[1]) continue;
                sum +=
                    row_sum(j, src + d * c->src_strides[2] + h * c->src_strides[3],
                            dst + z * c->dst_strides[2] + y * c->dst_strides[3], k[2]);
            }
        }
    }
    return sum;
}

static double bias(const job *j, int64_t channel)
{
    const tt_conv_kernel *c = j->conv;
    double sum = 0.0;
    for (int64_t n = 0; n < c->batch; ++n)
        for (int64_t z = 0; z < c->dst[0]; ++z)
            for (int64_t y = 0; y < c->dst[1]; ++y)
                for (int64_t x = 0; x < c->dst[2]; ++x)
                    sum += tt_item_load(
                        c->dtype, j->dst,
                        n * c->dst_strides[0] + channel * c->dst_strides[1] +
                            z * c->dst_strides[2] + y * c->dst_strides[3] +
                            x * c->dst_strides[4]);
    return sum;
}

/* Output channels [begin, end) of all groups. */
static void run_channels(void *arg, int64_t begin, int64_t end)
{
    const job *j = arg;
    const tt_conv_kernel *c = j->conv;
    for (int64_t channel = begin; channel < end; ++channel) {
        int64_t group = channel / c->dst_channels, k[3];
        int64_t at = group * c->weights_strides[0] +
                     channel % c->dst_channels * c->weights_strides[1];
        for (int64_t i = 0; i < c->src_channels; ++i)
            for (k[0] = 0; k[0] < c->kernel[0]; ++k[0])
                for (k[1] = 0; k[1] < c->kernel[1]; ++k[1])
                    for (k[2] = 0; k[2] < c->kernel[2]; ++k[2])
                        tt_item_store(
                            c->dtype, j->weights,
                            at + i * c->weights_strides[2] +
                                k[0] * c->weights_strides[3] +
                                k[1] * c->weights_strides[4] +
                                k[2] * c->weights_strides[5],
                            weight(j, channel, group * c->src_channels + i, k));
        if (j->bias != NULL)
            tt_item_store(c->dtype, j->bias, channel, bias(j, channel));
    }
}

tt_status tt_conv_grad_weights_ref(const void *params, void *const *ptrs, tt_error *err)
{
    const tt_conv_kernel *c = params;
    job j = {c, ptrs[0], ptrs[1], ptrs[2], ptrs[3]};
    (void)err;
    tt_parallel_for(c->groups * c->dst_channels, 1, run_channels, &j);
    return TT_OK;
}
