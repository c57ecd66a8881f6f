#include "help_kernels_conv_u8s8.h"

#include "base/alloc.h"

int random_to(int low, int high)
{
    return low + (int)(tt_random() % (uint32_t)(high - low + 1));
}

void convolution_bound(tt_conv_u8s8 *k)
{
    k->dst_h = (k->src_h + 2 * k->pad_h - k->kernel_h) / k->stride_h + 1;
    k->dst_w = (k->src_w + 2 * k->pad_w - k->kernel_w) / k->stride_w + 1;
    k->low = k->dst == TT_U8 ? 0.0f : -128.0f;
    k->high = k->low + 255.0f;
    if (random_to(0, 2) > 0) return;
    k->low += 20.0f;
    k->high -= 30.0f;
}

int64_t convolution_pixels(const tt_conv_u8s8 *k)
{
    return k->batch * k->dst_h * k->dst_w;
}

size_t convolution_dst_bytes(const tt_conv_u8s8 *k)
{
    return (size_t)(convolution_pixels(k) * k->dst_channels) *
           (k->dst == TT_F32 ? 4 : 1);
}

static void *random_bytes(size_t n)
{
    uint8_t *bytes = tt_alloc(n);
    CHECK(bytes != NULL);
    for (size_t i = 0; i < n; ++i)
        bytes[i] = (uint8_t)tt_random();
    return bytes;
}

static void *equal_floats(int64_t n, float value)
{
    float *floats = tt_alloc((size_t)n * sizeof *floats);
    CHECK(floats != NULL);
    for (int64_t i = 0; i < n; ++i)
        floats[i] = value;
    return floats;
}

void convolution_fill(convolution *c, float multiplier, float offset,
                      bool (*packed_bytes)(const int64_t dims[4], size_t *out),
                      convolution_pack pack, size_t scratch_bytes)
{
    const tt_conv_u8s8 *k = &c->kernel;
    int64_t dims[4] = {k->dst_channels, k->src_channels, k->kernel_h, k->kernel_w};
    int64_t strides[4], places = (k->dst_channels + 63) / 64 * 64;
    size_t packed = 0;
    strides[3] = 1;
    for (int i = 3; i > 0; --i)
        strides[i - 1] = strides[i] * dims[i];
    for (int64_t i = 0; i < strides[0] * dims[0]; ++i)
        c->weights[i] = (int8_t)tt_random();
    CHECK(packed_bytes(dims, &packed));
    c->ptrs[TT_CONV_U8S8_WEIGHTS] = random_bytes(packed);
    pack(c->weights, dims, strides, c->ptrs[TT_CONV_U8S8_WEIGHTS]);
    c->ptrs[TT_CONV_U8S8_MULTIPLIER] = equal_floats(places, multiplier);
    c->ptrs[TT_CONV_U8S8_OFFSET] = equal_floats(places, offset);
    c->ptrs[TT_CONV_U8S8_SRC] =
        random_bytes((size_t)(k->batch * k->src_h * k->src_w * k->src_channels));
    c->ptrs[TT_CONV_U8S8_SUM] =
        random_bytes((size_t)(convolution_pixels(k) * k->dst_channels));
    c->ptrs[TT_CONV_U8S8_DST] = random_bytes(convolution_dst_bytes(k));
    c->ptrs[TT_CONV_U8S8_SCRATCH] = random_bytes(scratch_bytes);
}

void convolution_empty(convolution *c)
{
    for (int i = 0; i < TT_CONV_U8S8_POINTERS; ++i)
        tt_free(c->ptrs[i]);
}
