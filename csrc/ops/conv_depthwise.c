/* Depthwise convolutions of u8 go to a kernel of our own: oneDNN's take as long as those
 * of f32.  See kernels/conv_depthwise.h. */
#include "kernels/conv_depthwise.h"

#include <string.h>

#include "kernels/post_ops.h"
#include "ops/conv_common.h"
#include "ops/quantized_args.h"

/* Larger windows and steps would take the buffer out of the cache. */
enum { EXTENT_MAX = 16, NARROW = TT_CONV_DEPTHWISE_NARROW };

typedef struct {
    const tt_quantized *quantized;
    int64_t dims[3], strides[3]; /* of the weights: channels, rows, columns */
    tt_conv_depthwise kernel;
    tt_operand operands[TT_CONV_DEPTHWISE_POINTERS];
} depthwise_state;

static bool is_wanted(const tt_lower *lower, const tt_node *node,
                      const tt_conv_geometry *g)
{
    const tt_graph *graph = tt_lower_graph(lower);
    int bias = node->inputs[2];
    if (tt_quantized_of(node) == NULL || !tt_lower_wants_kernels(lower) ||
        g->is_transposed || !tt_conv_is_depthwise(g, EXTENT_MAX) ||
        graph->values[node->inputs[0]].shape.dtype != TT_U8 ||
        (bias >= 0 && tt_graph_constant(graph, bias) == NULL))
        return false;
    return tt_conv_depthwise_is_fast() || !tt_lower_wants_primitives(lower);
}

static void describe(depthwise_state *s, const tt_shape *src, const tt_conv_geometry *g)
{
    const tt_window w = tt_window_plane(&g->window);
    s->kernel =
        (tt_conv_depthwise){.batch = src->dims[0],
                            .channels = g->groups,
                            TT_WINDOW_FIELDS(w),
                            .src_zero_point = (uint8_t)s->quantized->src_zero_point};
}

static int64_t sum_weights(const depthwise_state *s, const int8_t *weights,
                           int64_t channel)
{
    int64_t total = 0;
    for (int64_t y = 0; y < s->dims[1]; ++y)
        for (int64_t x = 0; x < s->dims[2]; ++x)
            total += weights[channel * s->strides[0] + y * s->strides[1] +
                             x * s->strides[2]];
    return total;
}

/* Multipliers and offsets of all channels, and whether they keep results bounded; the
 * zero point is taken out by offsets. */
static tt_status make_scales(tt_lower *lower, const tt_node *node, depthwise_state *s,
                             const int8_t *weights, tt_error *err)
{
    int64_t channels = s->kernel.channels;
    int64_t n_places = (channels + NARROW - 1) / NARROW * NARROW;
    tt_quantized_scales scales;
    TT_TRY(tt_quantized_make_scales(lower, node, n_places, &scales, err));
    s->operands[TT_CONV_DEPTHWISE_MULTIPLIER] = scales.multiplier;
    s->operands[TT_CONV_DEPTHWISE_OFFSET] = scales.offset;
    s->kernel.is_bounded = true;
    for (int64_t c = 0; c < channels; ++c) {
        double all = (double)sum_weights(s, weights, c) * s->kernel.src_zero_point;
        double step = tt_quantized_step(&scales, c);
        double shift = tt_quantized_bias(&scales, c) - all * step;
        tt_quantized_set(&scales, tt_conv_depthwise_place(channels, c), step, shift);
        if (!tt_quantized_is_bounded(&scales, step, shift, s->dims[1] * s->dims[2],
                                     /*more=*/0.0))
            s->kernel.is_bounded = false;
    }
    return TT_OK;
}

static void pack(const tt_md *plain, const void *weights, void *made)
{
    tt_conv_depthwise_pack(weights, plain->dims, plain->strides, made);
}

static tt_status take_weights(tt_lower *lower, const tt_node *node, depthwise_state *s,
                              tt_error *err)
{
    tt_md plain = {.dtype = TT_S8, .ndims = 3};
    tt_operand weights;
    const int8_t *data;
    TT_TRY(tt_lower_src(lower, node, 1, TT_ORDER_ROW_MAJOR, &weights, err));
    s->dims[0] = s->kernel.channels;
    s->dims[1] = s->kernel.kernel_h;
    s->dims[2] = s->kernel.kernel_w;
    tt_strides_row_major(s->dims, 3, s->strides);
    data = tt_operand_constant(lower, weights);
    if (data == NULL)
        return tt_fail(err, TT_INTERNAL, "%s '%s': weights that are not constant",
                       node->op_type, node->name);
    memcpy(plain.dims, s->dims, sizeof s->dims);
    memcpy(plain.strides, s->strides, sizeof s->strides);
    TT_TRY(make_scales(lower, node, s, data, err));
    return tt_lower_derived(
        lower, weights, &plain, pack,
        tt_conv_depthwise_packed_bytes(s->dims[0], s->dims[1], s->dims[2]),
        &s->operands[TT_CONV_DEPTHWISE_WEIGHTS], err);
}

tt_status tt_conv_lower_depthwise(tt_lower *lower, const tt_node *node,
                                  const tt_conv_geometry *geometry, const tt_work *work,
                                  bool *done, tt_error *err)
{
    const tt_graph *graph = tt_lower_graph(lower);
    tt_dtype dst = graph->values[node->outputs[0]].shape.dtype;
    depthwise_state s = {.quantized = tt_quantized_of(node)};
    tt_work w = *work;
    float low, high;
    *done = is_wanted(lower, node, geometry) &&
            tt_quantized_clamp(node, /*first=*/0, dst, &low, &high);
    if (!*done) return TT_OK;
    describe(&s, &graph->values[node->inputs[0]].shape, geometry);
    s.kernel.dst = dst;
    s.kernel.low = low;
    s.kernel.high = high;
    w.cost_ns = w.flops / 60.0;
    s.kernel.n_slots = tt_lower_is_parallel(lower, &w) ? tt_lower_threads(lower) : 1;
    TT_TRY(tt_lower_src(lower, node, 0, TT_ORDER_CHANNELS_LAST,
                        &s.operands[TT_CONV_DEPTHWISE_SRC], err));
    TT_TRY(take_weights(lower, node, &s, err));
    TT_TRY(tt_lower_dst(lower, node, 0, TT_ORDER_CHANNELS_LAST,
                        &s.operands[TT_CONV_DEPTHWISE_DST], err));
    TT_TRY(tt_lower_temporary(lower, tt_conv_depthwise_scratch_bytes(&s.kernel),
                              &s.operands[TT_CONV_DEPTHWISE_SCRATCH], err));
    return tt_lower_kernel(lower, node, tt_conv_depthwise_name(), tt_conv_depthwise_run,
                           &s.kernel, sizeof s.kernel, s.operands,
                           TT_CONV_DEPTHWISE_DST, 2, &w, err);
}
