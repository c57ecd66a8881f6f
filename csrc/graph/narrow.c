/* Rounding to bfloat16 that keeps sums: see narrow.h.
 *
 * Rounded one by one, the errors of a filter's weights add up to a shift of its output
 * by (their sum) * (mean of the input).  After an activation that mean is far from zero
 * and depthwise filters have too few weights for errors to cancel: in
 * EfficientNet-Lite0 this is two thirds of all noise of bfloat16. */
#include "graph/narrow.h"

#include <math.h>

#include "kernels/item.h"

/* Of finite values that are not rounded exactly: the neighbour on the other side. */
static uint16_t other_neighbour(float value, uint16_t rounded)
{
    bool is_above = tt_f32_from_bf16(rounded) > value;
    bool grows = (rounded & 0x8000u) != 0 ? is_above : !is_above;
    if (grows) return (uint16_t)(rounded + 1);
    return (rounded & 0x7fffu) == 0 ? (uint16_t)(rounded ^ 0x8001u)
                                    : (uint16_t)(rounded - 1);
}

/* How much closer to zero `total` comes with `step`. */
static double gain(double total, double step)
{
    return fabs(total) - fabs(total + step);
}

static void narrow_row(const float *src, uint16_t *dst, int64_t n)
{
    uint16_t others[TT_NARROW_TAPS];
    double steps[TT_NARROW_TAPS], total = 0.0;
    for (int64_t i = 0; i < n; ++i) {
        double error;
        dst[i] = tt_bf16_from_f32(src[i]);
        error = (double)tt_f32_from_bf16(dst[i]) - (double)src[i];
        others[i] = dst[i];
        if (error != 0.0) others[i] = other_neighbour(src[i], dst[i]);
        steps[i] =
            (double)tt_f32_from_bf16(others[i]) - (double)tt_f32_from_bf16(dst[i]);
        total += error;
    }
    if (!isfinite(total)) return;
    for (int64_t turn = 0; turn < n; ++turn) {
        int64_t best = 0;
        for (int64_t i = 1; i < n; ++i)
            if (gain(total, steps[i]) > gain(total, steps[best])) best = i;
        if (!(gain(total, steps[best]) > 0.0)) return;
        dst[best] = others[best];
        total += steps[best];
        steps[best] = 0.0;
    }
}

static tt_status fill(void *owner, void *dst, tt_error *err)
{
    tt_constant *wide = owner;
    const tt_shape *shape = tt_constant_shape(wide);
    int64_t rows = shape->dims[0], n = rows > 0 ? tt_shape_numel(shape) / rows : 0;
    TT_TRY(tt_constant_pin(wide, err));
    const float *src = tt_constant_data(wide);
    for (int64_t row = 0; row < rows; ++row)
        narrow_row(src + row * n, (uint16_t *)dst + row * n, n);
    tt_constant_unpin(wide);
    return TT_OK;
}

static void release(void *owner)
{
    tt_constant_unref(owner);
}

tt_status tt_constant_narrowed(tt_constant *wide, tt_constant **out, tt_error *err)
{
    tt_shape shape = *tt_constant_shape(wide);
    tt_status status;
    tt_hash key;
    shape.dtype = TT_BF16;
    status = tt_constant_lazy(&shape, fill, release, tt_constant_ref(wide), out, err);
    if (status != TT_OK) {
        tt_constant_unref(wide);
        return status;
    }
    if (tt_constant_key(wide, &key))
        tt_constant_set_key(*out, tt_hash_bytes(&key, sizeof key, /*seed=*/8));
    return TT_OK;
}
